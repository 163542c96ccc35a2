"""Centering an object: the official script's pixels, and the cases in which that script fails."""

import json

import numpy as np
import pytest
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.photo.recenter import canvas_side, object_box, object_notes, on_white, recentered, recentered_rgba


def ellipse(size, box, color=(200, 60, 30)):
    """An RGBA ellipse with soft edges that fills `box`."""
    x0, y0, x1, y1 = box
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    inside = 1 - np.hypot((x - (x0 + x1) / 2) / ((x1 - x0) / 2), (y - (y0 + y1) / 2) / ((y1 - y0) / 2))
    alpha = np.clip(0.5 + inside * min(x1 - x0, y1 - y0) / 2, 0, 1)
    pixels = np.concatenate([np.broadcast_to(color, (*alpha.shape, 3)), 255 * alpha[..., None]], axis=-1)
    return Image.fromarray(pixels.round().astype(np.uint8))


def slow_recentered(image, ratio, size_px):
    """The same, spelled out: paste into an array, PIL's Lanczos, then each pixel over white, truncated."""
    pixels = np.asarray(image)
    rows, columns = np.nonzero(pixels[..., 3])
    part = pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = part.shape[:2]
    side = image.height if ratio is None else int(max(height, width) / ratio)
    square = np.zeros((side, side, 4), dtype=np.uint8)
    top, left = side // 2 - height // 2, side // 2 - width // 2
    square[top : top + height, left : left + width] = part
    small = np.asarray(Image.fromarray(square).resize((size_px, size_px), Image.Resampling.LANCZOS)) / 255.0
    result = np.empty((size_px, size_px, 3), dtype=np.uint8)
    for row in range(size_px):
        for column in range(size_px):
            r, g, b, a = small[row, column].tolist()
            result[row, column] = [int((c * a + (1 - a)) * 255) for c in (r, g, b)]
    return result


@pytest.mark.parametrize("ratio", [None, 0.5, 0.917])
@pytest.mark.parametrize("box", [(10, 20, 61, 71), (30, 5, 60, 70), (3, 30, 70, 55)])
def test_equals_the_definition(ratio, box):
    image = ellipse((80, 77), box)
    assert np.array_equal(
        np.asarray(recentered(image, foreground_ratio=ratio, size_px=48)), slow_recentered(image, ratio, 48)
    )


def test_equals_the_official_outputs(shared):
    folders = [path for path in sorted((shared / "parity").glob("*/preprocess")) if (path / "cases.json").exists()]
    assert folders
    for folder in folders:
        for case in json.loads((folder / "cases.json").read_text()):
            with Image.open(folder / case["input"]) as image, Image.open(folder / case["output"]) as expected:
                result = recentered(image, foreground_ratio=case["image_frame_ratio"])
                difference = np.asarray(result).astype(int) - np.asarray(expected.convert("RGB")).astype(int)
            assert np.abs(difference).max() <= 1, case


@pytest.mark.parametrize("ratio", [0.4, 0.9, 1.0])
def test_the_longer_side_takes_its_share_and_the_middle_is_the_middle(ratio):
    image = ellipse((400, 300), (20, 100, 270, 180))
    left, top, right, bottom = opaque_box(recentered_rgba(image, foreground_ratio=ratio))
    assert (right - left) / 576 == pytest.approx(ratio, abs=0.02)
    assert (left + right) / 2 == pytest.approx(288, abs=2) and (top + bottom) / 2 == pytest.approx(288, abs=2)


def opaque_box(image):
    opaque = np.asarray(image)[..., 3] >= 128
    rows, columns = np.flatnonzero(opaque.max(1)), np.flatnonzero(opaque.max(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def test_an_object_wider_than_the_picture_is_high_fits():
    image = ellipse((300, 100), (10, 30, 290, 80))
    left, _, right, _ = opaque_box(recentered_rgba(image, foreground_ratio=None))
    assert 560 <= right - left <= 576 and canvas_side((280, 50), 100, None) == 280


def test_hidden_colors_do_not_leak():
    image = ellipse((64, 64), (10, 10, 50, 50))
    pixels = np.array(image)
    pixels[pixels[..., 3] == 0] = (0, 255, 0, 0)
    loud = recentered(Image.fromarray(pixels), foreground_ratio=0.9, size_px=96)
    assert np.array_equal(np.asarray(loud), np.asarray(recentered(image, foreground_ratio=0.9, size_px=96)))


def test_a_faint_speck_does_not_shrink_the_object():
    image = ellipse((200, 200), (80, 80, 120, 120))
    box = object_box(image)
    image.putpixel((1, 1), (9, 9, 9, 2))
    left, top, right, bottom = object_box(image)
    assert max(box[0] - left, box[1] - top) <= 8 and (right, bottom) == box[2:]
    image.putpixel((1, 1), (9, 9, 9, 255))  # but a solid one is part of the object, as in the official script
    assert object_box(image)[:2] == (1, 1)


def test_a_single_pixel_is_an_object():
    image = Image.new("RGBA", (512, 512))
    image.putpixel((100, 400), (255, 0, 0, 255))
    result = np.asarray(recentered(image, foreground_ratio=None))
    assert result.shape == (576, 576, 3) and (result < 250).any()
    assert np.asarray(recentered(image, foreground_ratio=1.0))[288, 288].tolist() == [255, 0, 0]


@pytest.mark.parametrize("alpha", [0, 2])
def test_nothing_visible_is_refused(alpha):
    with pytest.raises(InputError, match="no object"):
        recentered(Image.new("RGBA", (64, 64), (10, 20, 30, alpha)), foreground_ratio=None)


@pytest.mark.parametrize("ratio", [0, -1, 1.2, 0.001, float("nan")])
def test_a_ratio_out_of_range_is_refused(ratio):
    with pytest.raises(InputError, match="foreground_ratio"):
        recentered(ellipse((64, 64), (10, 10, 50, 50)), foreground_ratio=ratio)


def test_a_long_object_makes_no_giant_canvas(monkeypatch):
    sides = []
    new = Image.new
    monkeypatch.setattr(Image, "new", lambda mode, size, *rest: sides.append(max(size)) or new(mode, size, *rest))
    image = recentered(new("RGBA", (20000, 16), (200, 0, 0, 255)), foreground_ratio=0.5)
    assert max(sides) <= 8192 and image.size == (576, 576)
    assert np.asarray(image)[288, 288, 1] < 240 and np.asarray(image)[100].min() == 255


def test_compositing_truncates():
    pixels = np.array([[[100, 0, 255, 128]]], dtype=np.uint8)
    alpha = 128 / 255
    expected = [int((c / 255 * alpha + 1 - alpha) * 255) for c in (100, 0, 255)]
    assert np.asarray(on_white(Image.fromarray(pixels)))[0, 0].tolist() == expected


def test_notes():
    assert object_notes(ellipse((200, 200), (40, 40, 160, 160))) == []
    assert "touches the left and the top" in object_notes(ellipse((200, 200), (-50, -50, 90, 90)))[0]
    inside_out = ellipse((200, 200), (40, 40, 160, 160))
    inside_out.putalpha(inside_out.getchannel("A").point([255 - level for level in range(256)]))
    assert "is it inverted?" in object_notes(inside_out)[0]
    assert "only 31x" in object_notes(ellipse((200, 200), (100, 100, 130, 130)))[0].replace("30x", "31x")
    two = ellipse((200, 200), (10, 10, 90, 90))
    two.alpha_composite(ellipse((200, 200), (110, 110, 190, 190)))
    assert "more than one object" in object_notes(two)[0]
    assert any("fills nearly the whole" in note for note in object_notes(Image.new("RGBA", (99, 99), "red")))
