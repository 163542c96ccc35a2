"""Colors as a picture's profile means them, brought to sRGB: telephones take Display P3, cameras Adobe RGB, scanners
grays of their own. Standard library and PIL only.

A profile is an ICC profile in the file, the number of a color space that HEIF files name, or the mark that cameras
leave in EXIF. The transform is LittleCMS's, relative to white, black on black; what sRGB can't show is clipped.
"""

import io
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from PIL import ExifTags, Image, ImageCms

_SAME_LEVELS = 2  # a profile that moves no color by more is sRGB, whatever it calls itself, and is left alone
_GRAYS = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
_INTEROPERABILITY = 1  # of the EXIF folder of that name: R98 is sRGB, R03 Adobe RGB (DCF 2.0)
# Columns in XYZ relative to D50, as ICC profiles of these spaces state them.
_COLORANTS = {
    "Display P3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    "Adobe RGB": ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    "BT.2020": ((0.67348, 0.27904, -0.00194), (0.16566, 0.67534, 0.02998), (0.12505, 0.04561, 0.79686)),
}
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BY_PRIMARIES = {9: "BT.2020", 11: "Display P3", 12: "Display P3"}  # ITU-T H.273
_HDR = {16: "PQ", 18: "HLG"}  # its transfer characteristics


TOLD = "sv3dgen_colors"  # in a picture's `info`: what is to be told of its colors, where there is something


def in_srgb(image: Image.Image, rgba: Image.Image) -> Image.Image:
    """The 8-bit RGBA of a picture, brought to sRGB, and `TOLD` of that; `image` is as it was opened.

    A profile that is damaged, or made for other channels, is ignored and told.
    """
    colors, told = _converted(image, rgba, image.info.get("icc_profile") or _by_exif(image))
    colors.info.pop("icc_profile", None)  # PIL would save it with colors that it is not for
    if told:
        colors.info[TOLD] = told
    return colors


def _converted(image: Image.Image, rgba: Image.Image, profile: bytes | None) -> tuple[Image.Image, str]:
    if not profile or image.mode == "LAB":  # which PIL has converted itself
        return rgba, ""
    try:
        found = _transform(
            bytes(profile), "CMYK" if image.mode == "CMYK" else "gray" if image.mode in _GRAYS else "RGB"
        )
        if found is None:
            return rgba, ""
        transform, name, mode = found
        source = image if mode == "CMYK" else rgba.getchannel(0) if mode == "L" else rgba.convert("RGB")
        colors = ImageCms.applyTransform(source, transform)
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError, TypeError, struct.error) as error:
        reason = " ".join(str(error).split())[:80]
        return rgba, f"a color profile that can't be used is ignored ({reason}); colors are taken as sRGB"
    assert colors is not None
    colors.putalpha(rgba.getchannel("A"))
    return colors, f"colors are converted from {name} to sRGB"


def info_of_boxes(boxes: Sequence[bytes]) -> dict[str, Any]:
    """Of `colr` boxes in a HEIF file (HEIC, AVIF): an ICC profile, the file's own or by its numbers of ITU-T H.273."""
    contents = {box[:4]: box[4:] for box in reversed(boxes)}
    profile, numbers = contents.get(b"prof") or contents.get(b"rICC"), contents.get(b"nclx", b"")
    if profile is None and len(numbers) >= 4:
        primaries, transfer = struct.unpack(">2H", numbers[:4])
        if transfer in _HDR:
            return {TOLD: f"colors are coded for HDR ({_HDR[transfer]}) but taken as sRGB, too pale; save it as JPEG"}
        profile = matrix_profile(_BY_PRIMARIES[primaries]) if primaries in _BY_PRIMARIES else None
    return {} if profile is None else {"icc_profile": profile}


@lru_cache(maxsize=8)
def matrix_profile(name: str) -> bytes:
    """An ICC profile (version 4) of a color space in `_COLORANTS`: colorants and a curve."""
    curve = _gamma(563 / 256) if name == "Adobe RGB" else _parametric(_SRGB_CURVE)
    text = name.encode("utf-16-be")
    words = b"mluc" + struct.pack(">6I", 0, 1, 12, 0x656E5553, len(text), 28) + text
    tags = {b"desc": words, b"cprt": words, b"wtpt": _xyz((0.9642, 1.0, 0.8249))}
    for color, column in zip(b"rgb", _COLORANTS[name], strict=True):
        tags[bytes([color]) + b"XYZ"] = _xyz(column)
        tags[bytes([color]) + b"TRC"] = curve
    table, data, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += tag + struct.pack(">2I", at + len(data), len(value))
        data += padded
    head = struct.pack(">I4sI4s4s4s", at + len(data), b"", 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", *(_fixed(value) for value in (0.9642, 1.0, 0.8249)))
    return head.ljust(128, b"\0") + table + data


@lru_cache(maxsize=8)
def _transform(profile: bytes, channels: str) -> tuple[ImageCms.ImageCmsTransform, str, str] | None:
    """What brings a picture to sRGB, the profile's name, and the mode that it takes; None for sRGB."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = source.profile.xcolor_space.strip()
    mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space)
    if mode is None or (mode == "CMYK") != (channels == "CMYK") or (mode == "L" and channels != "gray"):
        raise ValueError(f"made for {space}, not for {channels}")
    transform = ImageCms.buildTransform(
        *(source, ImageCms.createProfile("sRGB"), mode, "RGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode != "CMYK" and _keeps_colors(transform, mode, grays=channels == "gray"):
        return None
    return transform, ImageCms.getProfileDescription(source).strip() or "its profile", mode


def _keeps_colors(transform: ImageCms.ImageCmsTransform, mode: str, *, grays: bool) -> bool:
    """Whether it moves no color; of a gray picture, no gray."""
    steps = range(0, 256, 51)
    colors = bytes(level for gray in range(256) for level in 3 * (gray,))
    colors += bytes(level for red in steps for green in steps for blue in steps for level in (red, green, blue))
    sample = Image.frombytes("RGB", (len(colors) // 3, 1), colors)
    if grays:
        sample = sample.crop((0, 0, 256, 1))
    moved = ImageCms.applyTransform(sample.convert(mode), transform)
    assert moved is not None
    return max(abs(a - b) for a, b in zip(moved.tobytes(), sample.tobytes(), strict=True)) <= _SAME_LEVELS


def _by_exif(image: Image.Image) -> bytes | None:
    """Adobe RGB where a camera says so; its files hold no profile."""
    try:
        mark = image.getexif().get_ifd(ExifTags.IFD.Interop).get(_INTEROPERABILITY)
    except Exception:  # PIL's EXIF reader fails in many ways on damaged metadata; the pixels may still be good
        return None
    is_marked = str(mark).strip("\0 ") == "R03" and image.mode == "RGB"
    return matrix_profile("Adobe RGB") if is_marked else None


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + struct.pack(">4i", 0, *(_fixed(value) for value in values))


def _parametric(values: tuple[float, ...]) -> bytes:
    """y = (a x + b)^g from d on, c x below."""
    return b"para" + struct.pack(">I2H5i", 0, 3, 0, *(_fixed(value) for value in values))


def _gamma(exponent: float) -> bytes:
    return b"curv" + struct.pack(">2IH", 0, 1, round(exponent * 256)) + bytes(2)


def _fixed(value: float) -> int:
    return round(value * 65536)
