"""Photos: whatever a user has comes out as upright 8-bit RGBA, or is refused in one line."""

import logging
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from checkout import ROOT
from PIL import ExifTags, Image, TiffImagePlugin

from sv3dgen.errors import InputError
from sv3dgen.views.image import has_cutout, masked_image, precheck_photo, read_photo, read_rgba


def picture(size=(48, 32)):
    """Red, with a blue left upper corner, on transparent ground."""
    image = Image.new("RGBA", size)
    image.paste((200, 40, 40, 255), (8, 8, size[0] - 8, size[1] - 8))
    image.paste((30, 60, 220, 255), (8, 8, 16, 16))
    return image


def on_white(image):
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")


def save_with_orientation(image, path, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(path, exif=exif)


def inverse_of_orientation(image, orientation):
    """What a camera held that way stores, by definition of the EXIF tag: row 0 and column 0 named per value."""
    pixels = np.asarray(image)
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: pixels.swapaxes(0, 1)[::-1],
        7: pixels.swapaxes(0, 1)[::-1, ::-1],
        8: pixels.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    return Image.fromarray(np.ascontiguousarray(stored))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    upright = on_white(picture())
    save_with_orientation(inverse_of_orientation(upright, orientation), tmp_path / "a.png", orientation)
    assert np.array_equal(np.asarray(read_photo(tmp_path / "a.png").convert("RGB")), np.asarray(upright))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_undefined_orientation_is_ignored(tmp_path, orientation):
    upright = on_white(picture())
    save_with_orientation(upright, tmp_path / "a.png", orientation)
    assert np.array_equal(np.asarray(read_photo(tmp_path / "a.png").convert("RGB")), np.asarray(upright))


def test_posed_views_are_not_turned(tmp_path):
    save_with_orientation(on_white(picture()), tmp_path / "a.jpg", 6)
    assert read_rgba(tmp_path / "a.jpg").size == (48, 32) and read_photo(tmp_path / "a.jpg").size == (32, 48)


def test_damaged_exif_is_ignored(tmp_path):
    on_white(picture()).save(tmp_path / "a.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    assert read_photo(tmp_path / "a.jpg").size == (48, 32)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_is_read(tmp_path, mode):
    picture().convert(mode).save(tmp_path / "a.png")
    read = read_photo(tmp_path / "a.png")
    assert read.mode == "RGBA" and read.size == (48, 32)
    if mode in ("LA", "RGBA"):
        assert read.getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("suffix, tolerance", [("webp", 12), ("bmp", 0), ("jpg", 40)])
def test_other_formats_keep_the_colors(tmp_path, suffix, tolerance):
    image = on_white(picture())
    image.save(tmp_path / f"a.{suffix}")
    read = np.asarray(read_photo(tmp_path / f"a.{suffix}").convert("RGB")).astype(int)
    assert np.abs(read[12:20, 20:30] - np.asarray(image)[12:20, 20:30]).max() <= tolerance


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red, green, blue, alpha = np.asarray(read_photo(tmp_path / "a.jpg"))[16, 16].tolist()
    assert red > 200 and green < 60 and blue < 60 and alpha == 255


def test_webp_keeps_alpha(tmp_path):
    picture().save(tmp_path / "a.webp", lossless=True)
    assert has_cutout(read_photo(tmp_path / "a.webp"), "a.webp")


def test_sixteen_bit_gray_is_scaled(tmp_path):
    ramp = np.linspace(0, 65535, 1024).astype(np.uint16).reshape(32, 32)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    assert np.abs(np.asarray(read_photo(tmp_path / "a.png"))[..., 0] - ramp / 257.0).max() <= 1


def test_48_bit_rgb(tmp_path):
    """PIL can't write one: a PNG by hand, with 16-bit big-endian channels."""
    levels = np.zeros((20, 20, 3), dtype=">u2")
    levels[..., 0], levels[..., 1] = 0xC812, 0x2834

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (20).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    assert read_photo(tmp_path / "a.png").getpixel((3, 3)) == (0xC8, 0x28, 0, 255)


def test_the_first_picture_of_an_animation_is_taken_and_said(tmp_path, caplog):
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with caplog.at_level(logging.INFO):
        assert read_photo(tmp_path / "a.gif").getpixel((5, 5)) == (255, 0, 0, 255)
    assert caplog.messages == [f"{tmp_path / 'a.gif'}: holds 3 pictures; the first is taken"]


def test_an_opaque_alpha_counts_as_none():
    image = picture()
    assert has_cutout(image, "a")
    image.putalpha(255)
    assert not has_cutout(image, "a")
    image.putalpha(250)  # as lossy compression leaves it
    assert not has_cutout(image, "a")
    image.putalpha(2)
    with pytest.raises(InputError, match="fully transparent"):
        has_cutout(image, "a")


def cut(path):
    picture((256, 256)).save(path)
    path.write_bytes(path.read_bytes()[:200])


def flip_a_byte(path):
    Image.effect_noise((64, 64), 90).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


BAD = {
    "absent.png": (lambda path: None, "no such file"),
    "empty.png": (lambda path: path.write_bytes(b""), "empty file"),
    "folder.png": (lambda path: path.mkdir(), "a folder"),
    "text.jpg": (lambda path: path.write_text("<html>404</html>"), "not an image"),
    "photo.heic": (lambda path: path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(99)), "HEIC"),
    "array.npy": (lambda path: np.save(path, np.full((32, 32, 3), np.nan)), "not an image"),
    "pickled.npy": (lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True), "not an image"),
    "cut.png": (cut, "damaged or cut short"),
    "flipped.png": (flip_a_byte, "damaged or cut short"),
    "dot.png": (lambda path: Image.new("RGB", (1, 1)).save(path), "at least 16"),
    "strip.png": (lambda path: Image.new("RGB", (2000, 16)).save(path), "16 times"),
    "bomb.png": (lambda path: Image.new("1", (9000, 9000)).save(path), "megapixels"),
    "white.png": (lambda path: Image.new("RGB", (64, 64), "white").save(path), "no object"),
    "clear.png": (lambda path: Image.new("RGBA", (64, 64), (90, 10, 10, 0)).save(path), "fully transparent"),
    "faint.png": (lambda path: Image.new("RGBA", (64, 64), (90, 10, 10, 2)).save(path), "fully transparent"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_line(tmp_path, name):
    make, expected = BAD[name]
    make(tmp_path / name)
    with pytest.raises(InputError, match=expected) as caught:
        precheck_photo(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_the_precheck_imports_nothing_heavy(tmp_path):
    picture().save(tmp_path / "a.png")
    code = (
        "import sys; from sv3dgen.views.image import precheck_photo; precheck_photo(sys.argv[1]);"
        "assert not {'numpy', 'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True, cwd=ROOT)


@pytest.mark.parametrize("kind", ["AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_formats_of_cameras_and_scanners(tmp_path, kind, orientation):
    pixels = np.zeros((48, 64, 3), dtype=np.uint8)
    pixels[:24, :32] = (200, 40, 40)  # the upper left quarter
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[274] = orientation
    image.save(tmp_path / f"a.{kind.lower()}", kind, exif=exif)
    photo = read_photo(tmp_path / f"a.{kind.lower()}")
    assert photo.size == ((64, 48) if orientation == 1 else (48, 64))
    corner = photo.getpixel((8, 8) if orientation == 1 else (40, 8))  # a quarter turn clockwise brings it to the right
    assert abs(corner[0] - 200) < 12 and abs(corner[1] - 40) < 12


def test_deep_tiffs(tmp_path):
    Image.fromarray(np.full((20, 20), 32768, dtype=np.uint16)).save(tmp_path / "a.tiff")
    assert read_photo(tmp_path / "a.tiff").getpixel((3, 3)) == (128, 128, 128, 255)
    Image.fromarray(np.full((20, 20), 0.5, dtype=np.float32)).save(tmp_path / "b.tiff")
    with pytest.raises(InputError, match="floating-point"):
        read_photo(tmp_path / "b.tiff")


@pytest.mark.parametrize(("bits", "refused"), [(8, False), (16, True)])
def test_deep_channels_in_planes_of_their_own_are_refused(tmp_path, bits, refused):
    size, plane = 20, np.full((20, 20), 200, dtype=f"<u{bits // 8}").tobytes()
    tags = [(256, 3, 1, size), (257, 3, 1, size), (258, 3, 3, 134), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 3, 140)]
    tags += [(277, 3, 1, 3), (278, 4, 1, size), (279, 4, 3, 152), (284, 3, 1, 2)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    arrays = struct.pack("<3H3I3I", bits, bits, bits, *(164 + k * len(plane) for k in range(3)), *[len(plane)] * 3)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", 0)
    (tmp_path / "a.tif").write_bytes(head + arrays + 3 * plane)
    if not refused:
        assert read_photo(tmp_path / "a.tif").getpixel((3, 3)) == (200, 200, 200, 255)
        return
    with pytest.raises(InputError, match="a.tif: channels of more than 8 bits in planes of their own; save it as PNG"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("tags", [{50706: b"\1\4\0\0"}, {254: 1}])
def test_previews_of_raw_photos_are_refused(tags, tmp_path):
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[tag] = value
    Image.new("RGB", (32, 32), "red").save(tmp_path / "a.dng", "TIFF", tiffinfo=info)
    with pytest.raises(InputError, match="a.dng: a camera's raw photo"):
        read_photo(tmp_path / "a.dng")


def test_a_spot_in_a_noisy_dark_picture_is_no_picture_within_bars():
    levels = np.random.default_rng(0).integers(0, 24, (64, 64, 3), dtype=np.uint8)
    levels[30:32, 30:33] = 200
    with pytest.raises(InputError, match="no plain background"):
        masked_image(Image.fromarray(levels).convert("RGBA"), Path("a.png"))


def test_black_bars_around_a_plain_background_are_named():
    picture = Image.new("RGBA", (64, 48), "white")
    picture.paste((200, 30, 30), (20, 15, 40, 35))
    barred = Image.new("RGBA", (64, 80), "black")
    barred.paste(picture, (0, 16))
    with pytest.raises(InputError, match="a.png: black bars around the picture"):
        masked_image(barred, Path("a.png"))
    picture.paste((0, 0, 60), (0, 0, 64, 48))  # a background that is dark but for blue
    picture.paste((200, 30, 30), (26, 18, 38, 30))
    barred.paste(picture, (0, 16))
    with pytest.raises(InputError, match="black bars"):
        masked_image(barred, Path("a.png"))
    busy = Image.effect_noise((64, 80), 90).convert("RGBA")
    with pytest.raises(InputError, match="no plain background"):
        masked_image(busy, Path("a.png"))
