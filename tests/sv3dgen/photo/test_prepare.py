"""From a file to SV3D's input, and every unusual file on the way."""

import json

import numpy as np
import pytest
from checkout import SHARED
from PIL import Image, ImageDraw

from sv3dgen.errors import InputError
from sv3dgen.photo.prepare import prepare_image, prepare_photo
from sv3dgen.views.image import precheck_photo

BAD = SHARED / "bad_inputs"
CASES = [None]
if BAD.exists():
    CASES = [
        case for case in json.loads((BAD / "index.json").read_text()) if not case["file"].startswith(("mesh_", "ckpt_"))
    ]


def disc(size=(200, 160), box=(60, 30, 150, 120), background="white", color=(190, 50, 40)):
    image = Image.new("RGB", size, background)
    ImageDraw.Draw(image).ellipse(box, fill=color)
    return image


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["file"] if case else "absent")
def test_unusual_files(case, tmp_path):
    if case is None:
        pytest.skip("needs ../shared/bad_inputs, which is not part of the project")
    path = BAD / case["file"]
    try:
        prepared = prepare_photo(path, matting="classical")
        assert case["expect"] != "REJECT"
        assert prepared.image.size == prepared.alpha.size == (576, 576) and prepared.image.mode == "RGB"
        assert prepared.alpha.getbbox() is not None
        precheck_photo(path)
    except InputError as error:
        assert case["expect"] != "ACCEPT"
        assert path.name in str(error) and "\n" not in str(error)
    if case["expect"] == "REJECT":
        with pytest.raises(InputError):
            precheck_photo(path)


def test_a_cutout_and_a_photo_on_white_give_the_same(tmp_path):
    photo = disc()
    cutout = photo.convert("RGBA")
    mask = Image.new("L", photo.size)
    ImageDraw.Draw(mask).ellipse((60, 30, 150, 120), fill=255)
    cutout.putalpha(mask)
    cutout.save(tmp_path / "cutout.png")
    photo.save(tmp_path / "photo.png")
    first = prepare_photo(tmp_path / "cutout.png", foreground_ratio=0.9)
    second = prepare_photo(tmp_path / "photo.png", foreground_ratio=0.9, matting="classical")
    difference = np.abs(np.asarray(first.image).astype(int) - np.asarray(second.image).astype(int))
    assert difference.mean() < 1.5 and first.notes == second.notes == ()


def test_what_spoils_the_views_is_said_once(tmp_path, caplog):
    disc(box=(-60, 30, 60, 150)).save(tmp_path / "cut off.png")
    prepared = prepare_photo(tmp_path / "cut off.png", matting="classical")
    assert len(prepared.notes) == 1 and "touches the left" in prepared.notes[0]
    assert caplog.messages == [f"{tmp_path / 'cut off.png'}: {prepared.notes[0]}"]


def test_a_picture_in_memory():
    assert prepare_image(disc(), matting="classical", size_px=64).image.size == (64, 64)


def test_photos(shared):
    """The rotated coffee is the upright one; the palette's and the RGBA's alpha survive."""
    folder = shared / "photos" / "dev"
    upright, turned = (
        prepare_photo(folder / name, matting="classical")
        for name in ("coffee_rgb_600x400.png", "coffee_exif6_400x600.jpg")
    )
    assert np.abs(np.asarray(upright.image).astype(int) - np.asarray(turned.image).astype(int)).mean() < 4
    assert "unsure" in upright.notes[0] and "rembg" in upright.notes[0]
    for name in ("taxi_rgba_800x800.png", "lysol_palette_trns.png", "rocking_chair_rgb_271x347.jpg"):
        prepared = prepare_photo(folder / name, matting="classical")
        assert prepared.notes == () and 0.05 < (np.asarray(prepared.alpha) > 127).mean() < 0.5
