"""HEIC pictures, as telephones write them: one HEVC picture or a grid of them, decoded by the ffmpeg of imageio-ffmpeg.

Boxes after ISO/IEC 14496-12 and 23008-12 (HEIF). Wheels that read HEIC bring an encoder under the GPL; this does not.
"""

import logging
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.views.color_profile import info_of_boxes

log = logging.getLogger(__name__)

MAX_TILES = 1024
_ALPHAS = (b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")
_MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}
_DAMAGE = (IndexError, KeyError, ValueError, ZeroDivisionError, struct.error)  # what reading broken boxes leads to
_TURNS = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


@dataclass
class _Items:
    """What the file says of its pictures."""

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    parts: dict[int, list[int]] = field(default_factory=dict)  # of grids: their tiles, row by row
    auxiliary: dict[int, list[int]] = field(default_factory=dict)  # of a picture: its alpha, its depth
    places: dict[int, tuple[int, list[tuple[int, int]]]] = field(default_factory=dict)  # idat or file; offset, length
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    owned: dict[int, list[int]] = field(default_factory=dict)  # numbers of properties, from 1, in order
    inline: bytes = b""

    def of(self, item: int, kind: bytes) -> bytes | None:
        """An item's property of a kind."""
        numbers = self.owned.get(item, ())
        return next((self.properties[each - 1][1] for each in numbers if self.properties[each - 1][0] == kind), None)


def read_heic(path: Path, max_pixels: int) -> Image.Image:
    """The primary picture as 8-bit RGB, or RGBA where it has an alpha: cropped, turned and mirrored as the file asks.

    Raises InputError for damaged files, for pictures above `max_pixels`, and for coders other than HEVC.
    """
    data = path.read_bytes()
    try:
        items = _Items()
        _read_boxes(data, items)
        size = items.of(items.primary, b"ispe")
        if size is None:
            raise ValueError("it names no picture")
        width, height = _number(size, 4, 4), _number(size, 8, 4)
        if width * height > max_pixels:
            raise InputError(f"{path}: {width}x{height} pixels, expected at most {max_pixels // 10**6} megapixels")
        picture = _whole(data, items, items.primary, path)
        alpha = next((each for each in items.auxiliary.get(items.primary, ()) if _is_alpha(items, each)), None)
        if alpha is not None:
            _put_alpha(picture, data, items, alpha, path)
        picture.info.update(_color_info(items))
        return _turned(picture, items)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: a damaged HEIC picture ({error})") from None


def put_colors(picture: Image.Image, path: Path) -> Image.Image:
    """An AVIF picture that PIL has opened, and the color space that the file names, which PIL does not tell."""
    items = _Items()
    with suppress(*_DAMAGE):  # PIL judges the file
        _read_boxes(path.read_bytes(), items)
        picture.info.update(_color_info(items))
    return picture


def _color_info(items: _Items) -> dict[str, Any]:
    """What the picture, or the first of its tiles, says of its colors, as PIL keeps it."""
    owners = (items.primary, *items.parts.get(items.primary, ())[:1])
    numbers = [number for owner in owners for number in items.owned.get(owner, ())]
    found = [items.properties[number - 1] for number in numbers]
    return info_of_boxes([value for kind, value in found if kind == b"colr"])


def _is_alpha(items: _Items, item: int) -> bool:
    """By the name in its auxC, which ends with a zero: `auxid:128` is no `auxid:1`."""
    return (items.of(item, b"auxC") or b"")[4:].split(b"\0")[0] in _ALPHAS


def _put_alpha(picture: Image.Image, data: bytes, items: _Items, item: int, path: Path) -> None:
    """Give the picture its alpha; where that can't be read, the picture stays opaque, which is told."""
    try:
        picture.putalpha(_whole(data, items, item, path, gray=True).resize(picture.size))
    except _DAMAGE as error:
        reason = str(error).removeprefix(f"{path}: ")
        log.warning("%s: its alpha can't be read (%s); the picture is taken without", path, reason)


def _whole(data: bytes, items: _Items, item: int, path: Path, *, gray: bool = False) -> Image.Image:
    """A picture's pixels, its tiles put together."""
    size = items.of(item, b"ispe") or b""
    box = (0, 0, _number(size, 4, 4), _number(size, 8, 4))
    if items.kinds[item] != b"grid":
        (tile,) = _decoded(data, items, [item], path, gray=gray)
        return Image.fromarray(tile).crop(box)
    grid = _content(data, items, item)
    rows, columns = grid[2] + 1, grid[3] + 1
    tiles = items.parts[item]
    if len(tiles) != rows * columns or len(tiles) > MAX_TILES:
        raise ValueError(f"{len(tiles)} tiles in a grid of {columns}x{rows}")
    frames = _decoded(data, items, tiles, path, gray=gray)
    lines = [np.concatenate(list(frames[first : first + columns]), axis=1) for first in range(0, len(tiles), columns)]
    return Image.fromarray(np.concatenate(lines)).crop(box)


def _decoded(data: bytes, items: _Items, wanted: list[int], path: Path, *, gray: bool) -> np.ndarray:
    """Pictures of one size, `n h w 3` or in gray `n h w`, as one HEVC stream through ffmpeg."""
    import imageio_ffmpeg

    stream = b""
    for item in wanted:
        config, size = items.of(item, b"hvcC"), items.of(item, b"ispe")
        if items.kinds[item] != b"hvc1" or config is None or size is None:
            coder = items.kinds[item].decode("latin-1")
            raise InputError(f"{path}: a HEIF picture coded as {coder}, which is not read; save it as JPEG or PNG")
        stream += _annex_b(config, _content(data, items, item))
    shape = items.of(wanted[0], b"ispe") or b""
    width, height = _number(shape, 4, 4), _number(shape, 8, 4)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-f", "hevc", "-i", "-"]
    pixels, colors = ("gray", []) if gray else ("rgb24", _colors(items, wanted[0]))
    command += ["-fps_mode", "passthrough", *colors, "-f", "rawvideo", "-pix_fmt", pixels, "-"]
    run = subprocess.run(command, input=stream, capture_output=True)
    channels = () if gray else (3,)
    if len(run.stdout) != len(wanted) * width * height * prod(channels):
        told = (run.stderr.decode(errors="replace").strip().splitlines() or ["too few pixels"])[-1]
        raise ValueError(told[:100])
    return np.frombuffer(run.stdout, dtype=np.uint8).reshape(len(wanted), height, width, *channels)


def _colors(items: _Items, item: int) -> list[str]:
    """How ffmpeg turns to RGB: by the file's `nclx` where it has one, else by what the stream says itself."""
    for owner in (items.primary, item):
        for number in items.owned.get(owner, ()):
            kind, value = items.properties[number - 1]
            if kind == b"colr" and value[:4] == b"nclx":
                matrix = _MATRICES.get(_number(value, 8, 2), "bt601")
                span = "full" if value[10] & 0x80 else "limited"
                return ["-vf", f"scale=in_color_matrix={matrix}:in_range={span}"]
    return []


def _annex_b(config: bytes, content: bytes) -> bytes:
    """Parameter sets of an hvcC box and a picture's units, with start codes in place of lengths."""
    start, units = b"\0\0\0\1", []
    length_size, at = (config[21] & 3) + 1, 23
    for _ in range(config[22]):
        count, at = _number(config, at + 1, 2), at + 3
        for _ in range(count):
            length = _number(config, at, 2)
            units.append(config[at + 2 : at + 2 + length])
            at += 2 + length
    at = 0
    while at < len(content):
        length = _number(content, at, length_size)
        units.append(content[at + length_size : at + length_size + length])
        at += length_size + length
    return b"".join(start + unit for unit in units)


def _turned(picture: Image.Image, items: _Items) -> Image.Image:
    """Cropped, turned and mirrored, in the order in which the file names these."""
    for number in items.owned.get(items.primary, ()):
        kind, value = items.properties[number - 1]
        if kind == b"clap":
            picture = _cropped(picture, value)
        if kind == b"irot" and value[0] & 3:
            picture = picture.transpose(_TURNS[value[0] & 3])  # pyright: ignore[reportArgumentType]
        if kind == b"imir":
            across = value[0] & 1
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT if across else Image.Transpose.FLIP_TOP_BOTTOM)
    return picture


def _cropped(picture: Image.Image, value: bytes) -> Image.Image:
    """clap: width, height, and how far its middle lies from the picture's, each a fraction of 32-bit numbers."""
    numbers = struct.unpack(">8i", value[:32])
    wide, tall, right, down = (above / below for above, below in zip(numbers[::2], numbers[1::2], strict=True))
    left, top = round((picture.width - wide) / 2 + right), round((picture.height - tall) / 2 + down)
    box = (left, top, left + round(wide), top + round(tall))
    if not (0 <= left < box[2] <= picture.width and 0 <= top < box[3] <= picture.height):
        raise ValueError(f"cropped to {box} of {picture.width}x{picture.height}")
    return picture.crop(box)


def _content(data: bytes, items: _Items, item: int) -> bytes:
    inline, extents = items.places[item]
    source = items.inline if inline else data
    if any(first + length > len(source) for first, length in extents):
        raise ValueError("cut short")
    return b"".join(source[first : first + length] for first, length in extents)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length, kind, head = _number(data, at, 4), data[at + 4 : at + 8], 8
        if length == 1:
            length, head = _number(data, at + 8, 8), 16
        length = length or len(data) - at
        if length < head or at + length > len(data):
            raise ValueError("cut short")
        yield kind, data[at + head : at + length]
        at += length


def _read_boxes(data: bytes, items: _Items) -> None:
    """Fill `items` from all boxes, those within others included."""
    for kind, body in _boxes(data):
        version = body[0] if body else 0
        if kind == b"meta":
            _read_boxes(body[4:], items)
        elif kind == b"iinf":
            _read_boxes(body[8 if version else 6 :], items)
        elif kind == b"iprp":
            _read_boxes(body, items)
        elif kind == b"ipco":
            items.properties += list(_boxes(body))
        elif kind == b"pitm":
            items.primary = _number(body, 4, 4 if version else 2)
        elif kind == b"infe" and version >= 2:
            wide = 4 if version > 2 else 2
            items.kinds[_number(body, 4, wide)] = body[6 + wide : 10 + wide]
        elif kind == b"idat":
            items.inline = body
        elif kind == b"iref":
            wide = 4 if version else 2
            for use, entry in _boxes(body[4:]):
                if use == b"auxl":
                    items.auxiliary.setdefault(_number(entry, wide + 2, wide), []).append(_number(entry, 0, wide))
                elif use == b"dimg":
                    count = _number(entry, wide, 2)
                    first = _number(entry, 0, wide)
                    items.parts[first] = [_number(entry, wide + 2 + wide * each, wide) for each in range(count)]
        elif kind == b"ipma":
            _read_owners(body, items)
        elif kind == b"iloc":
            _read_places(body, items)


def _read_owners(body: bytes, items: _Items) -> None:
    """ipma: which properties belong to which item."""
    id_size, long, at = 4 if body[0] else 2, body[3] & 1, 8
    for _ in range(_number(body, 4, 4)):
        item, count, at = _number(body, at, id_size), body[at + id_size], at + id_size + 1
        size = 2 if long else 1
        numbers = [_number(body, at + size * each, size) & (0x7FFF if long else 0x7F) for each in range(count)]
        items.owned.setdefault(item, []).extend(number for number in numbers if 0 < number)
        at += size * count


def _read_places(body: bytes, items: _Items) -> None:
    """iloc: where the items' bytes are."""
    version = body[0]
    offset_size, length_size, base_size, index_size = body[4] >> 4, body[4] & 15, body[5] >> 4, body[5] & 15
    index_size = index_size if version else 0
    id_size = 4 if version == 2 else 2
    count, at = _number(body, 6, id_size), 6 + id_size
    for _ in range(count):
        item, at = _number(body, at, id_size), at + id_size
        inline = 0
        if version:
            inline, at = _number(body, at, 2) & 15, at + 2
        base, at = _number(body, at + 2, base_size), at + 2 + base_size  # behind the data reference's number
        extents, many, at = [], _number(body, at, 2), at + 2
        for _ in range(many):
            at += index_size
            first = base + _number(body, at, offset_size)
            extents.append((first, _number(body, at + offset_size, length_size)))
            at += offset_size + length_size
        items.places[item] = (inline, extents)


def _number(data: bytes, first: int, size: int) -> int:
    if first + size > len(data):
        raise ValueError("cut short")
    return int.from_bytes(data[first : first + size], "big")
