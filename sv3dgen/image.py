"""Image files as 8-bit RGBA, whatever they are stored as. Standard library and PIL only: bad files are refused early.

Colours are sRGB as stored; an ICC profile is not applied. EXIF orientation is left alone here: the cameras of posed
views belong to the pixels as they are stored.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageChops

from sv3dgen.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 64_000_000  # a quarter of a gigabyte as RGBA; refused from the header, before anything is decoded
MIN_SIZE_PX = 16
WHITE_LEVEL = 247  # 0.97 of 255: a pixel is object if any channel is at or below it (docs/method.md)
OBJECT_ALPHA = 13  # 5 % of 255: an image whose alpha stays below shows nothing


def read_rgba(path: str | Path) -> Image.Image:
    """The image (the first frame of an animation) as 8-bit RGBA with straight alpha; InputError names a bad file.

    16-bit grey is scaled, palettes and their transparency are looked up, CMYK is converted.
    """
    path = Path(path)
    with open_image(path) as image:
        if image.mode.startswith("I;16") or image.mode == "I":
            # PIL's own conversion clips at 255. Mode "I" is what some versions call a 16-bit PNG.
            scaled = image.convert("I").point(lambda level: level * (255 / 65535) + 0.5)
            return scaled.convert("L").convert("RGBA")
        if image.mode == "F":
            raise InputError(f"{path}: floating-point pixels, expected 8 or 16 bits a channel")
        return (image.convert("RGB") if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") else image).convert("RGBA")


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """An opened image of known format and bearable size; whatever fails inside becomes one line about the file."""
    check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns of sizes that are refused below, and of odd metadata
            with Image.open(path, formats=FORMATS) as image:
                check_size(path, image.size)
                yield image
    except Image.DecompressionBombError:
        raise InputError(f"{path}: more than {MAX_PIXELS // 10**6} megapixels; scale it down first") from None
    except Image.UnidentifiedImageError:
        raise InputError(f"{path}: not an image, expected one of {', '.join(FORMATS)}") from None
    except InputError:
        raise
    # PIL's decoders raise all of these on damaged files.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged or cut short ({one_line(error)})") from None


def check_file(path: Path) -> None:
    """Refuse what is not a file with bytes in it."""
    if not os.path.exists(path):  # not Path.exists, which raises on names that no file can have
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: a folder, expected a file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty file (0 bytes)")


def check_size(path: Path, size: tuple[int, int]) -> None:
    """Refuse sizes too small to hold an object, and too large for memory."""
    width, height = size
    if min(size) < MIN_SIZE_PX:
        raise InputError(f"{path}: {width}x{height} pixels, expected at least {MIN_SIZE_PX} on each side")
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: {width}x{height} pixels, expected at most {MAX_PIXELS // 10**6} megapixels; scale it down first"
        )


def with_alpha(image: Image.Image, path: Path) -> Image.Image:
    """The RGBA image with an alpha that tells the object from its background; InputError if there is no object.

    An alpha that is opaque everywhere counts as missing. Then a background of one colour that runs along the border is
    keyed out: on white, a pixel is object if any channel is <= 0.97 (docs/method.md); on another colour, if any channel
    differs by more than 0.03.
    """
    present = [level for level, count in enumerate(image.getchannel("A").histogram()) if count]
    lowest, highest = present[0], present[-1]
    if highest < OBJECT_ALPHA:
        raise InputError(f"{path}: fully transparent, there is no object in it")
    if lowest < 255:
        return image
    background = border_colour(image)
    if background is None:
        raise InputError(
            f"{path}: no alpha channel and no plain background; cut the object out (RGBA) or put it on white"
        )
    mask = object_mask(image, background)
    if mask.getbbox() is None:
        raise InputError(f"{path}: one plain colour, there is no object in it")
    image.putalpha(mask)
    return image


def border_colour(image: Image.Image) -> tuple[int, int, int] | None:
    """White if most of the image's outermost pixels are, else the colour that nearly all of them have, else None."""
    rgb = image.convert("RGB")
    width, height = rgb.size
    strips = [(0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height), (width - 1, 0, width, height)]
    border = [pixel for strip in strips for pixel in _pixels(rgb.crop(strip))]
    if sum(min(pixel) > WHITE_LEVEL for pixel in border) > 0.5 * len(border):
        return (255, 255, 255)
    middle = len(border) // 2
    median = tuple(sorted(pixel[channel] for pixel in border)[middle] for channel in range(3))
    near = sum(max(abs(a - b) for a, b in zip(pixel, median, strict=True)) < 255 - WHITE_LEVEL for pixel in border)
    return (median[0], median[1], median[2]) if near > 0.95 * len(border) else None


def object_mask(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """255 where any channel is 0.03 or more away from the background, else 0; mode L."""
    difference = ImageChops.difference(image.convert("RGB"), Image.new("RGB", image.size, background))
    red, green, blue = difference.split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return largest.point([255 if level >= 255 - WHITE_LEVEL else 0 for level in range(256)])


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def _pixels(strip: Image.Image) -> list[tuple[int, int, int]]:
    data = strip.tobytes()
    return list(zip(data[0::3], data[1::3], data[2::3], strict=True))
