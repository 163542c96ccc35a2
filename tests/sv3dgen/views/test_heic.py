"""HEIC files made here box by box around HEVC pictures: single, tiled, turned, mirrored, damaged."""

import struct
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.views.color_profile import in_srgb, matrix_profile
from sv3dgen.views.image import read_photo, read_rgba

TILE = 64


def box(kind, *content, version=None, flags=0):
    head = b"" if version is None else struct.pack(">I", version << 24 | flags)
    body = head + b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def units(pixels):
    """One picture as HEVC units, without start codes."""
    height, width = pixels.shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", "-"]
    colors = ["-vf", "scale=out_color_matrix=bt601:out_range=full", "-pix_fmt", "yuv444p"]
    coder = ["-c:v", "libx265", "-x265-params", "log-level=none:crf=4:info=0", "-frames:v", "1", "-f", "hevc", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *source, *colors, *coder]
    run = subprocess.run(command, input=pixels.tobytes(), capture_output=True)
    if run.returncode:
        pytest.skip("needs an ffmpeg with libx265")
    return [unit for unit in run.stdout.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]


def lengths_and(picture):
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in picture if (unit[0] >> 1) & 63 < 32)


def heic(path, pixels, *, tiles=(1, 1), size=None, transforms=(), coder=b"hvc1", alpha=None, aux=b"auxid:1"):
    """Write pixels (h, w, 3) as rows x columns tiles; `size` (w, h) crops the grid; `alpha` has the size of a tile."""
    rows, columns = tiles
    blocks = [block for line in np.split(pixels, rows) for block in np.split(line, columns, axis=1)]
    coded = [units(np.ascontiguousarray(block)) for block in blocks]
    sets = [unit for unit in coded[0] if (unit[0] >> 1) & 63 in (32, 33, 34)]
    config = b"\1" + b"\0" * 20 + b"\xff" + bytes([len(sets)])
    for unit in sets:
        config += bytes([(unit[0] >> 1) & 63]) + struct.pack(">HH", 1, len(unit)) + unit
    bodies = [lengths_and(picture) for picture in coded]
    width, height = size or pixels.shape[1::-1]
    tiled = len(blocks) > 1
    kinds = [coder] * len(blocks) + ([b"grid"] if tiled else [])
    if tiled:
        bodies.append(struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height))
    if alpha is not None:
        bodies.append(lengths_and(units(np.repeat(alpha[..., None], 3, axis=2))))
    primary = len(kinds)
    kinds += [coder] if alpha is not None else []
    entries = [
        box(b"infe", struct.pack(">HH", number, 0), kind, b"\0", version=2) for number, kind in enumerate(kinds, 1)
    ]
    block_height, block_width = blocks[0].shape[:2]
    properties = [
        box(b"hvcC", config),
        box(b"ispe", struct.pack(">II", block_width, block_height), version=0),
        box(b"ispe", struct.pack(">II", width, height), version=0),
        box(b"colr", b"nclx", struct.pack(">HHHB", 1, 13, 6, 0x80)),
        *transforms,
        box(b"auxC", b"urn:mpeg:hevc:2015:" + aux + b"\0", version=0),
    ]
    turned = [4, *range(5, 5 + len(transforms))]
    owned = [[1, 2, 4]] * len(blocks) + ([[3, *turned]] if tiled else [])
    if not tiled:
        owned = [[1, 2, *turned]]
    owned += [[1, 2, 5 + len(transforms)]] if alpha is not None else []
    owners = b"".join(struct.pack(">HB", number, len(each)) + bytes(each) for number, each in enumerate(owned, 1))
    numbers = range(1, len(blocks) + 1)
    links = [box(b"dimg", struct.pack(f">HH{len(blocks)}H", primary, len(blocks), *numbers))] if tiled else []
    links += [box(b"auxl", struct.pack(">HHH", primary + 1, 1, primary))] if alpha is not None else []

    def meta(first):
        places, at = b"", first
        for number, body in enumerate(bodies, 1):
            places += struct.pack(">HHHII", number, 0, 1, at, len(body))
            at += len(body)
        return box(
            b"meta",
            box(b"hdlr", b"\0" * 4, b"pict", b"\0" * 13, version=0),
            box(b"pitm", struct.pack(">H", primary), version=0),
            box(b"iloc", b"\x44\0", struct.pack(">H", len(bodies)), places, version=0),
            box(b"iinf", struct.pack(">H", len(entries)), *entries, version=0),
            box(b"iref", *links, version=0) if links else b"",
            box(b"iprp", box(b"ipco", *properties), box(b"ipma", struct.pack(">I", len(owned)), owners, version=0)),
            version=0,
        )

    start = box(b"ftyp", b"heic", b"\0" * 4, b"mif1heic")
    path.write_bytes(start + meta(len(start) + len(meta(0)) + 8) + box(b"mdat", *bodies))
    return path


@pytest.fixture(scope="module")
def pixels():
    y, x = np.mgrid[: 2 * TILE, : 3 * TILE]
    return np.stack([x, 2 * y, 255 - x], axis=-1).astype(np.uint8)


def assert_shows(image, expected):
    found = np.asarray(image.convert("RGB"), dtype=float)
    assert found.shape == expected.shape and np.abs(found - expected).mean() < 3


def test_one_picture(tmp_path, pixels):
    path = heic(tmp_path / "a.heic", pixels)
    assert_shows(read_photo(path), pixels)
    assert_shows(read_rgba(path), pixels)


def test_tiles_with_a_cropped_edge(tmp_path, pixels):
    path = heic(tmp_path / "a.heic", pixels, tiles=(2, 3), size=(170, 100))
    assert_shows(read_photo(path), pixels[:100, :170])


def test_turned_and_mirrored(tmp_path, pixels):
    quarter = heic(tmp_path / "a.heic", pixels, tiles=(2, 3), transforms=[box(b"irot", b"\1")])
    assert_shows(read_photo(quarter), np.rot90(pixels))
    both = heic(tmp_path / "b.heic", pixels, transforms=[box(b"irot", b"\2"), box(b"imir", b"\1")])
    assert_shows(read_photo(both), pixels[::-1])


@pytest.mark.parametrize("tiles", [(1, 1), (2, 3)])
def test_a_telephone_s_colors_are_brought_to_srgb(tmp_path, pixels, tiles):
    path = heic(
        tmp_path / "a.heic", pixels, tiles=tiles, transforms=[box(b"colr", b"prof", matrix_profile("Display P3"))]
    )
    meant = Image.fromarray(pixels)
    meant.info["icc_profile"] = matrix_profile("Display P3")
    assert_shows(read_photo(path), np.asarray(in_srgb(meant, meant.convert("RGBA")))[..., :3])


@pytest.mark.parametrize("turned", [False, True])
def test_a_clean_aperture_is_cropped(tmp_path, pixels, turned):
    aperture = box(b"clap", struct.pack(">8i", 151, 1, 101, 1, -7, 2, 3, 2))  # 151x101 around (-3.5, 1.5)
    path = heic(tmp_path / "a.heic", pixels, transforms=[aperture, *([box(b"irot", b"\1")] if turned else [])])
    left, top = round((192 - 151) / 2 - 3.5), round((128 - 101) / 2 + 1.5)
    expected = pixels[top : top + 101, left : left + 151]
    assert_shows(read_photo(path), np.rot90(expected) if turned else expected)


def test_an_aperture_beyond_the_picture_is_damage(tmp_path, pixels):
    for numbers in ((900, 1, 9, 1, 0, 1, 0, 1), (9, 0, 9, 1, 0, 1, 0, 1)):
        path = heic(tmp_path / "a.heic", pixels, transforms=[box(b"clap", struct.pack(">8i", *numbers))])
        with pytest.raises(InputError, match="a.heic: a damaged HEIC"):
            read_photo(path)


def test_an_aperture_that_is_cut_short_is_damage(tmp_path, pixels):
    path = heic(tmp_path / "a.heic", pixels, transforms=[box(b"clap", b"\0" * 12)])
    with pytest.raises(InputError, match="a.heic: a damaged HEIC"):
        read_photo(path)


def test_what_lies_next_to_the_picture_and_is_no_alpha_is_left(tmp_path, pixels):
    depth = np.zeros(pixels.shape[:2], dtype=np.uint8)
    path = heic(tmp_path / "a.heic", pixels, alpha=depth, aux=b"auxid:128")
    assert read_photo(path).getchannel("A").getextrema() == (255, 255)


def test_an_alpha_that_can_t_be_read_is_left_out(tmp_path, pixels, caplog):
    path = heic(tmp_path / "a.heic", pixels, alpha=np.zeros(pixels.shape[:2], dtype=np.uint8))
    whole = path.read_bytes()
    broken = whole.replace(b"infe\2\0\0\0\0\2\0\0hvc1", b"infe\2\0\0\0\0\2\0\0j2k1")
    assert broken != whole
    path.write_bytes(broken)
    image = read_photo(path)
    assert_shows(image, pixels)
    assert image.getchannel("A").getextrema() == (255, 255)
    assert "a.heic: its alpha can't be read (a HEIF picture coded as j2k1" in caplog.text


@pytest.mark.parametrize("tiles", [(1, 1), (2, 3)])
def test_an_alpha_next_to_the_picture_is_its_alpha(tmp_path, pixels, tiles):
    alpha = np.zeros(pixels.shape[:2], dtype=np.uint8)
    alpha[30:90, 40:150] = 255
    small = np.ascontiguousarray(alpha[:: tiles[0], :: tiles[1]])  # as large as a tile; it is scaled
    path = heic(tmp_path / "a.heic", pixels, tiles=tiles, transforms=[box(b"irot", b"\2")], alpha=small)
    image = read_photo(path)
    assert_shows(image, pixels[::-1, ::-1])
    found = np.asarray(image.getchannel("A"), dtype=float)
    assert np.abs(found - alpha[::-1, ::-1]).mean() < 3 and found.max() > 250


def test_what_is_refused(tmp_path, pixels):
    path = heic(tmp_path / "a.heic", pixels, tiles=(2, 3))
    whole = path.read_bytes()
    for content in (whole[:200], whole[: len(whole) - 900], whole[:40] + b"\xff" * 60 + whole[100:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="a.heic: a damaged HEIC"):
            read_photo(path)
    with pytest.raises(InputError, match="coded as j2k1"):
        read_photo(heic(tmp_path / "b.heic", pixels, coder=b"j2k1"))
