"""Keying what compression, dithering or a shadow has spoiled, against masks that are known."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from sv3dgen.bench.keying import COMPRESSIONS, scores
from sv3dgen.cutout.noisy_key import noisy_key
from sv3dgen.views.image import masked_image

SCALE, SIZE = 4, 240
WHITE = (255, 255, 255)


def drawn(background=WHITE):
    """A colorful thing with a hole, a thin arm and a pale side; the picture and the share that it has of each pixel."""
    cover = Image.new("L", (SIZE * SCALE, SIZE * SCALE))
    picture = Image.new("RGB", cover.size, background)
    for image, fills in (
        (cover, [255, 255, 255, 255, 0]),
        (picture, ["#c82020", "#204080", "#e8e4dc", "#d0a020", background]),
    ):
        draw = ImageDraw.Draw(image)
        for fill, (shape, box) in zip(
            fills,
            [
                (draw.ellipse, (40, 60, 180, 200)),
                (draw.rectangle, (60, 120, 160, 185)),
                (draw.ellipse, (120, 70, 200, 150)),
                (draw.rectangle, (100, 20, 105, 80)),
                (draw.ellipse, (85, 130, 120, 165)),
            ],
            strict=True,
        ):
            shape([SCALE * value for value in box], fill=fill)
    small = picture.resize((SIZE, SIZE), Image.Resampling.BOX)
    return small, np.array(cover.resize((SIZE, SIZE), Image.Resampling.BOX)) >= 128


def jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def keys(image, background=WHITE):
    """The plain key's mask, and the careful one's."""
    plain = masked_image(image.convert("RGBA"), Path("picture"))
    assert plain.background is not None
    found = noisy_key(np.array(image), background)
    assert found is not None
    return np.array(plain.image)[..., 3] > 0, found


@pytest.mark.parametrize("quality, least", [(50, 0.965), (75, 0.98), (95, 0.985)])
def test_jpeg_on_white(quality, least):
    image, truth = drawn()
    plain, found = keys(jpeg(image, quality))
    assert overlap(found.rgba[..., 3] >= 128, truth) > max(least, overlap(plain, truth) + 0.02)
    assert not found.shadow


def test_strong_compression_leaves_no_wide_fringe():
    """What has any of the object (5 %) is little more than the object, whose outline is as soft as a pixel."""
    image, truth = drawn()
    fringes = []
    for quality in (50, 90):
        _, found = keys(jpeg(image, quality))
        present, solid = found.rgba[..., 3] >= 13, found.rgba[..., 3] >= 128
        fringes.append((present & ~solid).sum())
    assert fringes[0] < 1.1 * fringes[1]


def test_another_background():
    image, truth = drawn((40, 120, 130))
    found = noisy_key(np.array(jpeg(image, 75)), (40, 120, 130))
    assert found is not None and overlap(found.rgba[..., 3] >= 128, truth) > 0.98


def test_the_edge_is_soft_and_its_color_the_object_s():
    image, truth = drawn()
    _, found = keys(jpeg(image, 95))
    alpha = found.rgba[..., 3]
    assert 0.005 < ((alpha > 20) & (alpha < 235)).mean() < 0.05
    red = np.abs(found.rgba[100:140, 38:60, :3].astype(float) - (200, 32, 32)).max(-1)
    assert red[alpha[100:140, 38:60] > 60].max() < 60  # white would be 200 away


def test_dithering():
    image, truth = drawn()
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 0, 255, 255, 200, 0])
    plain, found = keys(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"))
    careful = overlap(found.rgba[..., 3] >= 128, truth)
    assert careful > 0.95 and careful > overlap(plain, truth) + 0.05


def test_a_soft_shadow_is_left_out_and_told():
    image, truth = drawn()
    shadow = Image.new("L", image.size)
    ImageDraw.Draw(shadow).ellipse((30, 180, 215, 225), fill=110)
    shaded = Image.composite(Image.new("RGB", image.size), Image.new("RGB", image.size, WHITE), shadow)
    shaded = shaded.filter(ImageFilter.GaussianBlur(8))
    shaded.paste(image, mask=Image.fromarray(truth))
    plain, found = keys(shaded)
    assert found.shadow and overlap(found.rgba[..., 3] >= 128, truth) > 0.95 > overlap(plain, truth)


def test_pictures_as_they_were_drawn_keep_the_plain_key():
    for background in (WHITE, (40, 120, 130)):
        assert noisy_key(np.array(drawn(background)[0]), background) is None


def test_the_table_of_both_keys(tmp_path):
    image, truth = drawn()
    image.putalpha(Image.fromarray(truth))
    for name in ("000.png", "001.png"):  # a film needs two
        image.save(tmp_path / name)
    for name, (plain, careful) in scores(tmp_path).items():
        assert name in COMPRESSIONS and 0.8 < plain <= 1 and careful >= plain - 0.005
