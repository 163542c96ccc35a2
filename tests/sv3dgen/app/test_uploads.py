"""What the app takes of what was dropped on it."""

import json

import pytest
from PIL import Image

from sv3dgen.app import uploads
from sv3dgen.app.cutouts import KEEP, REMOVE, corrected, cut_photo, picked, shown
from sv3dgen.app.uploads import keep_film, keep_folder, keep_photo
from sv3dgen.errors import InputError
from sv3dgen.views.image import read_rgba


@pytest.fixture
def photo(tmp_path):
    picture = Image.new("RGB", (96, 80), (250, 250, 250))
    picture.paste((180, 30, 20), (30, 20, 66, 60))
    path = tmp_path / "box.png"
    picture.save(path)
    return path


def test_a_photo_is_cut_out_and_strokes_correct_it(photo, tmp_path):
    cut = cut_photo(photo)
    alpha = cut.cutout.getchannel("A")
    assert alpha.getpixel((48, 40)) == 255 and alpha.getpixel((5, 5)) == 0
    assert shown(cut).size == (96, 80)
    strokes = Image.new("RGBA", (192, 160))  # painted at twice the size
    strokes.paste(REMOVE, (60, 40, 100, 120))
    strokes.paste(KEEP, (150, 10, 180, 40))
    changed = corrected(cut, strokes)
    alpha = changed.cutout.getchannel("A")
    assert [alpha.getpixel(place) for place in ((40, 40), (60, 40), (82, 12), (5, 5))] == [0, 255, 255, 0]
    assert changed.cutout.convert("RGB").getpixel((82, 12)) == (250, 250, 250)
    kept = keep_photo(changed.cutout, "../<x>.png", tmp_path / "in")
    assert kept.name == "x.png" and read_rgba(kept).size == (96, 80)


def test_a_click_picks_the_patch_that_it_lies_in(tmp_path):
    picture = Image.new("RGB", (96, 80), (250, 250, 250))
    picture.paste((180, 30, 20), (20, 20, 50, 60))
    picture.paste((20, 60, 180), (50, 20, 80, 60))  # of the object too, and not wanted
    picture.save(tmp_path / "two.png")
    cut = cut_photo(tmp_path / "two.png")
    dot = Image.new("RGBA", (192, 160))
    dot.paste(REMOVE, (120, 70, 128, 78))
    alpha = corrected(cut, picked(cut, dot)).cutout.getchannel("A")
    assert [alpha.getpixel(place) for place in ((53, 23), (76, 57), (23, 23), (45, 57), (5, 5))] == [0, 0, 255, 255, 0]
    dot.paste(KEEP, (4, 4, 12, 12))
    alpha = corrected(cut, picked(cut, dot)).cutout.getchannel("A")
    assert [alpha.getpixel(place) for place in ((5, 5), (90, 70), (60, 40), (30, 40))] == [255, 255, 0, 255]


def test_strokes_of_both_colors_that_touch_are_two(photo):
    cut = cut_photo(photo)
    dots = Image.new("RGBA", (96, 80))
    dots.paste(REMOVE, (60, 36, 66, 42))  # on the box, up to its right side
    dots.paste(KEEP, (66, 36, 72, 42))
    alpha = corrected(cut, picked(cut, dots)).cutout.getchannel("A")
    assert [alpha.getpixel(place) for place in ((40, 30), (62, 38), (68, 38), (5, 5))] == [0, 0, 255, 255]


def test_what_was_painted_itself_holds_within_a_patch_of_the_other_brush(photo):
    cut = cut_photo(photo)
    dots = Image.new("RGBA", (96, 80))
    dots.paste(REMOVE, (34, 24, 38, 28))
    dots.paste(KEEP, (50, 40, 56, 46))
    alpha = corrected(cut, picked(cut, dots)).cutout.getchannel("A")
    assert [alpha.getpixel(place) for place in ((40, 30), (35, 25), (52, 42))] == [0, 0, 255]


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"",
        b"\x89PNG\r\n\x1a\n and no more",
        b"%PDF-1.4",
    ],
)
def test_what_is_no_photo_is_refused_by_name_alone(content, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        cut_photo(path)
    assert str(refused.value).startswith("x.png: ") and str(tmp_path) not in str(refused.value)
    with pytest.raises(InputError, match="^x.png: "):
        keep_film(path, tmp_path / "in")
    assert not (tmp_path / "in").exists()


def test_a_folder_is_laid_side_by_side_with_its_cameras(photo, tmp_path):
    (tmp_path / "images").mkdir()
    pictures = [tmp_path / "images" / name for name in ("a b.png", "c.png")]
    for picture in pictures:
        picture.write_bytes(photo.read_bytes())
    cameras = tmp_path / "transforms.json"
    cameras.write_text(json.dumps({"frames": [{"file_path": "./images/a b.png"}, {"file_path": "../../c"}]}))
    folder, told = keep_folder([*pictures, cameras], tmp_path / "in")
    assert told == ""
    assert sorted(path.name for path in folder.iterdir()) == ["a_b.png", "c.png", "transforms.json"]
    frames = json.loads((folder / "transforms.json").read_text())["frames"]
    assert [frame["file_path"] for frame in frames] == ["a_b.png", "c"]


def test_pictures_are_known_by_their_content_and_what_is_left_out_is_told(photo, tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "bare", format="JPEG")
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / "._box.png").write_bytes(b"of another system")
    given = [tmp_path / name for name in ("Thumbs.db", "._box.png", "bare", "box.png")]
    folder, told = keep_folder(given, tmp_path / "in")
    assert sorted(path.name for path in folder.iterdir()) == ["bare.jpg", "box.png"]
    assert told == "Left out, as no pictures of the object: Thumbs.db, ._box.png"
    assert folder.name == "bare"


def test_folders_are_bounded(photo, tmp_path, monkeypatch):
    other = tmp_path / "other" / "box.png"
    other.parent.mkdir()
    other.write_bytes(photo.read_bytes())
    for given, told in (
        ([photo] * 401, "401 files"),
        ([photo, other], "two files are called box.png, and a browser does not say"),
        ([tmp_path / "t.json"] * 1, "no pictures"),
    ):
        (tmp_path / "t.json").write_text("{}")
        with pytest.raises(InputError, match=told):
            keep_folder(given, tmp_path / "in")
    for content in ('{"frames": 3}', '{"frames": ' + "[" * 100_000):
        (tmp_path / "t.json").write_text(content)
        with pytest.raises(InputError, match=r"^t.json: expected the JSON of posed views"):
            keep_folder([photo, tmp_path / "t.json"], tmp_path / "in")
    assert not (tmp_path / "in").exists()
    monkeypatch.setattr(uploads, "MOST_FOLDER_BYTES", 10)
    with pytest.raises(InputError, match="expected at most"):
        keep_folder([photo], tmp_path / "in")
