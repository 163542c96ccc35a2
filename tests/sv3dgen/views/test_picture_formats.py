"""Pictures in the formats of cameras, scanners and textures are read; others are named."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.views.image import MAX_PIXELS, precheck_photo, read_photo, read_rgba
from sv3dgen.views.picture_formats import SUFFIXES

COLORS = np.dstack([*np.mgrid[0:240:8, 0:200:8].astype(np.uint8), np.full((30, 25), 90, np.uint8)])


def image():
    return Image.fromarray(COLORS)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jp2", {"irreversible": False}),
        ("a.j2k", {"irreversible": False}),
        ("a.tga", {}),
        ("A.TGA", {"compression": "tga_rle"}),
        ("a.ppm", {}),
        ("a.bmp", {}),
        ("ppm_inside.png", {"format": "PPM"}),
    ],
)
def test_colors_are_those_that_were_written(tmp_path, name, options):
    image().save(tmp_path / name, **options)
    read = read_photo(tmp_path / name)
    assert read.mode == "RGBA"
    np.testing.assert_array_equal(np.array(read)[..., :3], COLORS)
    precheck_photo(tmp_path / name)


@pytest.mark.parametrize("name", ["a.pgm", "a.jp2"])
def test_deep_gray_is_scaled(tmp_path, name):
    levels = np.arange(30 * 25, dtype=np.uint16).reshape(30, 25) * 87
    Image.fromarray(levels).save(tmp_path / name)
    gray = np.array(read_rgba(tmp_path / name))[..., 0].astype(int)
    assert np.abs(gray - levels / 257).max() <= 1


def test_alpha_of_tga_counts_where_the_header_says_so(tmp_path):
    cut_out = image().convert("RGBA")
    cut_out.putalpha(Image.new("L", cut_out.size, 0))
    cut_out.save(tmp_path / "a.tga")
    assert np.array(read_rgba(tmp_path / "a.tga"))[..., 3].max() == 0
    data = bytearray((tmp_path / "a.tga").read_bytes())
    data[17] &= 0xF0
    (tmp_path / "b.tga").write_bytes(data)
    read = np.array(read_rgba(tmp_path / "b.tga"))
    assert (read[..., 3] == 255).all() and (read[..., :3] == COLORS).all()


def icon():
    stream = io.BytesIO()
    image().resize((32, 32)).save(stream, "ICO")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"8BPS\0\1" + bytes(40), "a Photoshop document; save it as PNG first"),
        (icon(), "an icon"),
        (b"\xff\x0a" + bytes(40), "a JPEG XL picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "a JPEG XL picture"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"\n<!DOCTYPE html><html></html>", "a web page; download the picture itself"),
        (b"\0\0\0\x18ftypcrx " + bytes(40), "a camera's raw photo; develop it"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "a film"),
        (b"P7\nWIDTH 20\n" + bytes(40), "a PAM picture"),
        (b"%PDF-1.7" + bytes(40), "a PDF document"),
        (bytes(128) + b"DICM" + bytes(20), "a DICOM picture"),
        (b"nothing known", "expected one of PNG, "),
    ],
)
def test_others_are_named(tmp_path, data, told):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match="a.png: not an image") as refusal:
        read_rgba(tmp_path / "a.png")
    assert told in str(refusal.value)


def test_a_cut_off_avif_is_no_film(tmp_path):
    (tmp_path / "a.avif").write_bytes(b"\0\0\0\x1cftypavif" + bytes(20))
    with pytest.raises(InputError, match="damaged or cut short"):
        read_rgba(tmp_path / "a.avif")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tga", struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 60000, 60000, 24, 0) + bytes(100)),
        ("a.ppm", b"P6\n60000 60000\n255\n" + bytes(100)),
    ],
)
def test_bombs_are_refused_by_their_header(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=f"{MAX_PIXELS // 10**6} megapixels"):
        read_rgba(tmp_path / name)


@pytest.mark.parametrize("name", ["a.tga", "a.jp2", "a.ppm"])
def test_half_a_file_is_damaged(tmp_path, name):
    image().save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged or cut short"):
        read_rgba(tmp_path / name)


def test_text_is_no_tga(tmp_path):
    for suffix in (".tga", ".png"):
        (tmp_path / f"a{suffix}").write_text("a text that says nothing at all" * 30)
        with pytest.raises(InputError, match="not an image"):
            read_rgba(tmp_path / f"a{suffix}")
    assert ".tga" in SUFFIXES
