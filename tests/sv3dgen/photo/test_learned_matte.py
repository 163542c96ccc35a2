"""The network in the box, and when it is followed."""

import hashlib
import logging

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sv3dgen.errors import InputError
from sv3dgen.photo import learned_matte, matting
from sv3dgen.photo.matte_choice import FAR, SAME, difference, why_in_parts, why_undecided
from sv3dgen.photo.matting import cut_out
from sv3dgen.views.image import read_photo

SIZE = 200
needs_network = pytest.mark.skipif(not learned_matte.is_available(), reason="needs onnxruntime")


def disc(x, y, radius):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.hypot(columns - x, rows - y) < radius


def drawn(background=(238, 238, 238), shadow=None):
    """A shaded ball, perhaps with its hard shadow, and its mask."""
    image = Image.new("RGB", (SIZE, SIZE), background)
    draw = ImageDraw.Draw(image)
    if shadow is not None:
        draw.ellipse(shadow, fill=(140, 140, 140))
    for step in range(45):
        reach, light = 45 - step, 90 + 3 * step
        draw.ellipse((100 - reach, 90 - reach, 100 + reach, 90 + reach), fill=(light // 4, light // 3, light))
    return image.convert("RGBA"), disc(100, 90, 45.5)


def overlap(cutout, mask):
    found = np.asarray(cutout.image.getchannel("A").resize(mask.shape[::-1])) > 127
    return (found & mask).sum() / (found | mask).sum()


def test_the_weights_are_those_that_were_released():
    digest = hashlib.sha256(learned_matte.MODEL.read_bytes()).hexdigest()
    assert digest in (learned_matte.MODEL.parent / "README.md").read_text()


def test_thin_parts_and_outlines_are_no_difference():
    ball = disc(100, 100, 60)
    thin = ball | (np.abs(np.arange(SIZE) - 100) < 2)[None, :]
    assert difference(thin, ball.astype(np.float32)) < SAME
    assert difference(disc(100, 100, 61), ball.astype(np.float32)) < SAME


def test_whole_pieces_are():
    ball = disc(100, 100, 60)
    shadow = ball | disc(150, 150, 30)
    assert SAME < difference(shadow, ball.astype(np.float32)) < FAR
    assert difference(disc(100, 60, 20), ball.astype(np.float32)) > FAR


def test_a_hole_counts_where_the_network_is_sure():
    ball, hole = disc(100, 100, 60), disc(100, 100, 20)
    assert difference(ball & ~hole, np.where(hole, 0.6, ball).astype(np.float32)) == 0
    assert difference(ball & ~hole, ball.astype(np.float32)) > SAME


def test_nothing_on_either_side():
    nothing = np.zeros((20, 20), dtype=bool)
    assert difference(nothing, nothing.astype(np.float32)) == 0 and why_in_parts(nothing) is None


def test_an_object_in_two_halves_is_doubted():
    ball = disc(100, 100, 60)
    assert why_in_parts(ball) is None
    halves = ball & (np.abs(np.arange(SIZE) - 100) > 8)[:, None]
    assert "2 parts" in str(why_in_parts(halves))
    assert why_in_parts(ball | disc(10, 10, 5)) is None


def test_a_network_that_cannot_decide():
    ball = disc(100, 100, 60)
    assert why_undecided(np.where(ball, 0.95, 0.02).astype(np.float32)) is None
    assert "neither" in str(why_undecided(np.where(ball, 0.6, 0.02).astype(np.float32)))


def test_without_onnxruntime(monkeypatch):
    monkeypatch.setattr(matting, "is_available", lambda: False)
    image, mask = drawn()
    assert overlap(cut_out(image, "a"), mask) > 0.97
    with pytest.raises(InputError, match="onnxruntime"):
        cut_out(image, "a", method="learned")


@needs_network
def test_the_background_is_followed_where_both_agree():
    image, mask = drawn()
    found = cut_out(image, "a")
    assert found.method == "classical" and found.doubt is None and overlap(found, mask) > 0.98


@needs_network
def test_a_hard_shadow_is_left_out(caplog):
    caplog.set_level(logging.INFO, logger="sv3dgen")
    image, mask = drawn(shadow=(75, 120, 190, 148))
    assert overlap(cut_out(image, "a", method="classical"), mask) < 0.9
    found = cut_out(image, "a")
    assert found.method == "learned" and overlap(found, mask) > 0.96 and "network is followed" in caplog.text


@needs_network
def test_a_busy_background():
    rng = np.random.default_rng(0)
    image, mask = drawn()
    busy = Image.fromarray(rng.integers(60, 200, (25, 25, 3), dtype=np.uint8)).resize(
        (SIZE, SIZE), Image.Resampling.NEAREST
    )
    busy.paste(image.convert("RGB"), mask=Image.fromarray((mask * 255).astype(np.uint8)))
    found = cut_out(busy.convert("RGBA"), "a")
    assert found.method == "learned" and overlap(found, mask) > 0.95


@needs_network
def test_a_small_object_is_looked_at_again():
    large = Image.new("RGB", (1600, 1200), (238, 238, 238))
    image, mask = drawn()
    large.paste(image.convert("RGB"), (900, 500))
    matte = learned_matte.learned_matte(large)
    assert matte is not None
    truth = np.zeros((1200, 1600), dtype=bool)
    truth[500 : 500 + SIZE, 900 : 900 + SIZE] = mask
    found = matte > 0.5
    assert (found & truth).sum() / (found | truth).sum() > 0.94


@needs_network
def test_shared_wild_photos(shared):
    folder = shared / "wild" / "photos"
    if not folder.is_dir():
        pytest.skip("needs ../shared/wild")
    found = cut_out(read_photo(folder / "hard_shadow.png"), "a")
    assert np.asarray(found.image.getchannel("A")).mean() / 255 == pytest.approx(0.159, abs=0.003)  # the ball alone
    assert "2 parts" in str(cut_out(read_photo(folder / "grey_band_on_grey.png"), "a").doubt)


@needs_network
def test_a_cup_on_a_wooden_table(shared):
    found = cut_out(read_photo(shared / "photos" / "dev" / "coffee_rgb_600x400.png"), "a")
    assert found.method == "learned" and found.doubt is None
    alpha = np.asarray(found.image.getchannel("A"))
    assert alpha[:, :60].max() == 0 and alpha[380:, :150].max() == 0 and alpha[200, 300] == 255
