"""Pictures and masks as other programs leave them: under other names, in colors, with an alpha that says nothing."""

import numpy as np
import pytest
from ellipsoids import posed_views, sine_orbit
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.views.frame_files import FrameFiles
from sv3dgen.views.lens import check_model, read_lens
from sv3dgen.views.posed_views import read_views, write_views
from sv3dgen.views.view_files import open_views


@pytest.mark.parametrize("suffix", [".tif", ".TIFF", ".avif", ".bmp"])
def test_a_suffix_that_is_left_out(tmp_path, suffix):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"1{suffix}").touch()
    assert FrameFiles(tmp_path).picture("images/1") == tmp_path / "images" / f"1{suffix}"


@pytest.mark.parametrize("named", ["my%20images/1.png", "file://my%20images/1.png"])
def test_a_path_that_is_written_as_an_address(tmp_path, named):
    (tmp_path / "my images").mkdir()
    (tmp_path / "my images" / "1.png").touch()
    assert FrameFiles(tmp_path).picture(named) == tmp_path / "my images" / "1.png"


@pytest.mark.parametrize("mask", ["1.png", "1.jpg.png", "1_mask.png"])
def test_names_of_masks(tmp_path, mask):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / mask).touch()
    assert FrameFiles(tmp_path).mask(tmp_path / "1.jpg", None) == (tmp_path / "masks" / mask, None)


@pytest.mark.parametrize("spelled", ["opencv_fisheye", "OPENCV FISHEYE", "opencv-fisheye"])
def test_spellings_of_a_camera_model(spelled):
    check_model("here", {"camera_model": spelled})
    lens = read_lens("here", {"fl_x": 100.0, "camera_model": spelled}, {})
    assert lens.distortion is not None and lens.distortion.kind == "fisheye"


def test_a_frame_without_a_camera_model_has_the_files():
    file = {"fl_x": 100.0, "camera_model": "OPENCV_FISHEYE", "k1": 0.1}
    assert read_lens("here", file, {"camera_model": None}) == read_lens("here", file, {})


def test_no_camera_model():
    check_model("here", {"camera_model": None})
    assert read_lens("here", {"fl_x": 100.0, "camera_model": None}, {}).distortion is None


@pytest.fixture
def folder(tmp_path):
    write_views(posed_views(sine_orbit().cameras(size_px=48)), tmp_path)
    return tmp_path


def change(folder, background, make=None):
    """The pictures before a background; `make` turns their alpha into masks. Gives back the alphas."""
    alphas = []
    (folder / "masks").mkdir()
    for path in sorted(folder.glob("0*.png")):
        picture = Image.open(path)
        alphas.append(np.asarray(picture.getchannel("A")) > 127)
        if make is not None:
            make(picture.getchannel("A")).save(folder / "masks" / path.name)
        whole = background.copy()
        whole.paste(picture, mask=picture.getchannel("A"))
        whole.save(path)
    return np.stack(alphas)


def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8))


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 0, 255)])
def test_masks_drawn_in_a_color(folder, color):
    def label(alpha):
        return Image.composite(Image.new("RGB", alpha.size, color), Image.new("RGB", alpha.size), alpha)

    alphas = change(folder, noise(), label)
    assert (read_views(folder).images[:, 3].numpy() > 127).tolist() == alphas.tolist()


@pytest.mark.parametrize(("color", "behind"), [("red", "blue"), ("white", "blue"), ("yellow", "navy")])
def test_masks_in_two_colors(folder, color, behind):
    def label(alpha):
        return Image.composite(Image.new("RGB", alpha.size, color), Image.new("RGB", alpha.size, behind), alpha)

    alphas = change(folder, noise(), label)
    assert (read_views(folder).images[:, 3].numpy() > 127).tolist() == alphas.tolist()


def test_a_mask_of_object_all_over_is_named(folder):
    change(folder, noise(), lambda alpha: Image.new("L", alpha.size, 255))
    with pytest.raises(InputError, match=r"masks/000.png: a mask without background \(all of it is object\)"):
        open_views(folder)


def test_an_alpha_that_is_nearly_opaque_cuts_nothing_out(folder):
    alphas = change(folder, Image.new("RGB", (48, 48), "white"))
    for path in sorted(folder.glob("0*.png")):
        picture = Image.open(path).convert("RGBA")
        picture.putalpha(Image.fromarray(np.full((48, 48), 252, dtype=np.uint8)))
        picture.save(path)
    read = read_views(folder).images[:, 3].numpy() > 127
    assert (read & alphas).sum() > 0.9 * (read | alphas).sum()
