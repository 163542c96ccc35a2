"""Cutting objects out of photos, against true masks."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sv3dgen.cli import input_check
from sv3dgen.cutout.background import positions
from sv3dgen.errors import InputError
from sv3dgen.photo import matting
from sv3dgen.photo.matting import REMBG_LICENCE, REMBG_MODEL, cut_out

SIZE = 160
ORBITS = (
    "cc0_spot",
    "gso_Crayola_Crayons_24_count",
    "gso_SCHOOL_BUS",
    "gso_Sterilite_Caddy_Blue_Sky_17_58_x_12_58_x_9_14",
)


def ring(size=SIZE, outer=52, inner=24):
    """Alpha of a ring with soft edges, in the middle."""
    y, x = np.mgrid[:size, :size] + 0.5
    radius = np.hypot(x - size / 2, y - size / 2)
    return (np.clip(outer - radius + 0.5, 0, 1) * np.clip(radius - inner + 0.5, 0, 1))[..., None]


def spokes(size=SIZE):
    """Alpha of a bar of 2 pixels across a bar of 6, as chairs have them."""
    alpha = np.zeros((size, size, 1))
    alpha[40:120, 77:83] = 1
    alpha[79:81, 30:130] = 1
    return alpha


BACKGROUNDS = {
    "white": lambda x, y: np.full((*x.shape, 3), 255.0),
    "gray": lambda x, y: np.full((*x.shape, 3), 128.0),
    "black": lambda x, y: np.zeros((*x.shape, 3)),
    "gradient": lambda x, y: (190 + 40 * y + 15 * x)[..., None] * np.array([0.93, 0.97, 1.0]),
    "vignette": lambda x, y: (205 - 45 * (x**2 + y**2))[..., None] * np.array([1.0, 0.97, 0.92]),
    "noise": lambda x, y: 180 + np.random.default_rng(0).normal(0, 4, (*x.shape, 3)),
    "wall and table": lambda x, y: np.where(y[..., None] < 0.5, (222.0, 219, 210), (140.0, 115, 95)) + 6 * x[..., None],
}


def photo(alpha, name, color=(60, 110, 200)):
    """An object with some shading before a background."""
    x, y = np.moveaxis(positions(*alpha.shape[:2]), -1, 0)
    shaded = np.array(color) * (1 + 0.25 * x[..., None])
    return as_image(alpha * shaded + (1 - alpha) * BACKGROUNDS[name](x, y))


def as_image(pixels):
    return Image.fromarray(
        np.broadcast_to(pixels, (*pixels.shape[:2], 3)).round().clip(0, 255).astype(np.uint8)
    ).convert("RGBA")


def overlap(cutout, alpha):
    found, true = np.asarray(cutout.image)[..., 3] > 127, alpha[..., 0] > 0.5
    return (found & true).sum() / (found | true).sum()


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("shape", [ring, spokes])
def test_an_object_before_a_plain_background(shape, background):
    alpha = shape()
    cutout = cut_out(photo(alpha, background), "a", method="classical")
    assert cutout.doubt is None and overlap(cutout, alpha) > 0.97
    assert np.abs(np.asarray(cutout.image)[..., 3] / 255 - alpha[..., 0]).mean() < 0.004


def test_edges_keep_nothing_of_the_background():
    """Over black, the soft edge of a dark object that stood before white is dark; left alone, it would shine."""
    alpha = ring()
    cutout = np.asarray(cut_out(as_image(alpha * 40 + (1 - alpha) * 255), "a", method="classical").image).astype(float)
    soft = (alpha[..., 0] > 0.1) & (alpha[..., 0] < 0.9)
    assert np.abs(cutout[..., 3] / 255 - alpha[..., 0])[soft].mean() < 0.04
    assert cutout[soft][cutout[soft][:, 3] > 20][:, :3].max() < 70


def test_a_soft_shadow_is_background():
    alpha = ring()
    y, x = np.mgrid[:SIZE, :SIZE]
    shadow = Image.fromarray((150 * (np.hypot((x - 80) / 60, (y - 134) / 9) < 1)).astype(np.uint8))
    light = 1 - np.asarray(shadow.filter(ImageFilter.GaussianBlur(7)))[..., None] / 255.0
    cutout = cut_out(as_image(alpha * (60, 110, 200) + (1 - alpha) * 255 * light), "a", method="classical")
    assert overlap(cutout, alpha) > 0.96


def test_a_highlight_is_no_hole_but_a_hole_is():
    alpha = ring(inner=10)
    y, x = np.mgrid[:SIZE, :SIZE]
    glint = np.exp(-np.square(np.hypot(x - 80, y - 50) / 11))[..., None]
    body = np.array([60.0, 110, 200]) * (1 - glint) + 255 * np.minimum(1, 1.3 * glint)
    found = np.asarray(cut_out(as_image(alpha * body + (1 - alpha) * 255), "a", method="classical").image)[..., 3]
    assert found[50, 80] == 255 and found[80, 80] == 0


def test_jpeg_blocks_are_not_object(tmp_path):
    alpha = ring()
    photo(alpha, "white").convert("RGB").save(tmp_path / "a.jpg", quality=60)
    cutout = cut_out(Image.open(tmp_path / "a.jpg").convert("RGBA"), "a", method="classical")
    far = np.hypot(*(np.mgrid[:SIZE, :SIZE] - 79.5)) > 56
    assert overlap(cutout, alpha) > 0.97 and np.asarray(cutout.image)[..., 3][far].max() == 0


def test_a_small_object_in_a_large_photo_is_looked_at_closely():
    large = Image.new("RGB", (3000, 2400), (128, 128, 128))
    large.paste(photo(ring(300, 110, 60), "gray").convert("RGB"), (1800, 600))
    cutout = cut_out(large.convert("RGBA"), "a", method="classical")
    columns = np.flatnonzero(np.asarray(cutout.image)[..., 3].max(0))
    assert cutout.image.width / large.width > 0.9 and np.ptp(columns) > 200


def test_doubts_are_said(caplog):
    x, y = np.moveaxis(positions(SIZE, SIZE), -1, 0)
    busy = 120 + 60 * np.sin(40 * x) * np.cos(31 * y) + np.random.default_rng(0).normal(0, 12, x.shape)
    alpha = ring()
    cutout = cut_out(as_image(alpha * (30, 60, 230) + (1 - alpha) * busy[..., None]), "a.png", method="classical")
    assert cutout.doubt is not None and "RGBA" in cutout.doubt and "rembg" in cutout.doubt
    assert caplog.messages == [f"a.png: {cutout.doubt}"] and overlap(cutout, alpha) > 0.6
    blurred = Image.fromarray((255 * alpha[..., 0]).astype(np.uint8)).filter(ImageFilter.GaussianBlur(9))
    faded = np.asarray(blurred)[..., None] / 255.0
    assert "fades" in str(cut_out(as_image(faded * 60 + (1 - faded) * 255), "b", method="classical").doubt)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_nothing_to_find(level):
    with pytest.raises(InputError, match=r"a\.png: no object.*rembg"):
        cut_out(as_image(np.full((64, 64, 3), level)), "a.png", method="classical")


@pytest.mark.parametrize("size", [(16, 16), (16, 200), (300, 20)])
def test_small_and_narrow_pictures(size):
    image = Image.new("RGB", size, "white")
    image.paste((200, 30, 30), (5, 5, size[0] - 5, size[1] - 5))
    cutout = np.asarray(cut_out(image.convert("RGBA"), "a", method="classical").image)
    assert cutout[size[1] // 2, size[0] // 2, 3] == 255 and cutout[0, 0, 3] == 0


def test_an_alpha_is_kept():
    image = photo(ring(), "white")
    image.putalpha(Image.fromarray((ring()[..., 0] * 255).astype(np.uint8)))
    kept = cut_out(image, "a", method="classical")
    assert kept.method == "alpha" and np.array_equal(np.asarray(kept.image), np.asarray(image))


def fake_rembg(monkeypatch, **functions):
    module = ModuleType("rembg")
    module.__spec__ = ModuleSpec("rembg", None)
    for name, function in functions.items():
        setattr(module, name, function)
    monkeypatch.setitem(sys.modules, "rembg", module)


def test_rembg_is_asked_for_a_model_that_may_be_used(monkeypatch, caplog):
    asked = []

    def remove(image, *, session, alpha_matting):
        asked.append((session, alpha_matting, image.size))
        image = image.convert("RGBA")
        image.putalpha(Image.fromarray((np.arange(image.width) < 9)[None].repeat(image.height, 0)).convert("L"))
        return image

    fake_rembg(monkeypatch, new_session=lambda name: f"session of {name}", remove=remove)
    with caplog.at_level("INFO"):
        cutout = cut_out(Image.new("RGBA", (1536, 768), "white"), "a")
    assert asked == [("session of u2net", True, (768, 384))] and cutout.method == "rembg" and cutout.doubt is None
    assert caplog.messages == [f"a: background removed by rembg, model {REMBG_MODEL} ({REMBG_LICENCE})"]


def test_without_the_weights_rembg_is_left_out_or_refused(monkeypatch, caplog):
    def new_session(name):
        raise ConnectionError("no network")

    fake_rembg(monkeypatch, new_session=new_session, remove=None)
    assert cut_out(photo(ring(), "white"), "a").method in ("classical", "learned")
    assert "can't be had (no network)" in caplog.messages[0]
    with pytest.raises(InputError, match="matting=rembg"):
        cut_out(photo(ring(), "white"), "a", method="rembg")


def test_rembg_without_its_runtime_exits_and_is_left_out(monkeypatch, caplog):
    class Exiting(ModuleType):
        def __getattr__(self, name):
            if name == "new_session":
                sys.exit(1)
            raise AttributeError(name)

    module = Exiting("rembg")
    module.__spec__ = ModuleSpec("rembg", None)
    monkeypatch.setitem(sys.modules, "rembg", module)
    assert cut_out(photo(ring(), "white"), "a").method in ("classical", "learned")
    assert "no onnxruntime" in caplog.messages[0]
    with pytest.raises(InputError, match="no onnxruntime"):
        cut_out(photo(ring(), "white"), "a", method="rembg")


def test_rembg_that_finds_no_background_says_so(monkeypatch, caplog):
    fake_rembg(monkeypatch, new_session=str, remove=lambda image, **_: image.convert("RGBA"))
    assert cut_out(photo(ring(), "white"), "a").doubt is not None
    assert caplog.messages[-1].startswith("a: rembg found no background")


def test_rembg_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "rembg", None)
    with pytest.raises(InputError, match="pip install"):
        cut_out(photo(ring(), "white"), "a", method="rembg")


@pytest.mark.parametrize("name", ORBITS)
def test_true_masks_of_rendered_objects(shared, name):
    """The white cow is left out on white: parts of it are exactly the background's white."""
    with Image.open(shared / "orbits" / name / "train_020.png") as image:
        rgba = np.asarray(image.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    for background in ("gray", "gradient") if name == "cc0_spot" else ("white", "gray", "gradient"):
        x, y = np.moveaxis(positions(*alpha.shape[:2]), -1, 0)
        composite = as_image(rgba[..., :3] * alpha + BACKGROUNDS[background](x, y) * (1 - alpha))
        cutout = cut_out(composite, "a", method="classical")
        assert cutout.doubt is None and overlap(cutout, alpha) > 0.975, background


def test_the_command_line_knows_the_methods():
    assert input_check.MATTING == get_args(matting.Method)
