"""Image files as 8-bit RGBA, whatever they are stored as. Standard library and PIL only: bad files are refused early.
HEIC alone goes through ffmpeg (`heic`).

Colors are sRGB, by the picture's profile (`color_profile`). EXIF orientation turns a photo (`read_photo`), but not a
posed view (`read_rgba`), whose camera belongs to the pixels as they are stored.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, ImageChops

from sv3dgen.errors import InputError
from sv3dgen.views.color_profile import TOLD, in_srgb
from sv3dgen.views.picture_formats import FORMATS, has_no_alpha, is_tga, what_it_is

log = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000  # a quarter of a gigabyte as RGBA; refused from the header, before anything is decoded
MIN_SIZE_PX = 16
WHITE_LEVEL = 247  # 0.97 of 255: a pixel is object if any channel is at or below it (docs/method.md)
BLACK_LEVEL = 24  # as video leaves it
OBJECT_ALPHA = 13  # 5 % of 255: an image whose alpha stays below shows nothing
MAX_ASPECT = 16  # a photo that is longer than this for its width shows no object that a square view could hold

_UPRIGHT = {  # EXIF orientation -> what turns the stored pixels upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DNG_VERSION, _SUBFILE_TYPE = 50706, 254  # tags of TIFF; bit 0 of the latter says that there is a larger picture
_BITS, _PLANES = 258, 284  # also of TIFF; the latter is 2 where each channel is stored by itself
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def read_rgba(path: str | Path) -> Image.Image:
    """The image (the first frame of an animation) as 8-bit RGBA with straight alpha; InputError names a bad file.

    16-bit gray is scaled, palettes and their transparency are looked up, CMYK is converted.
    """
    path = Path(path)
    with open_image(path) as image:
        _check_checksums(image, path)
        return in_srgb(image, to_rgba(image, path))


def read_photo(path: str | Path, notes: list[str] | None = None) -> Image.Image:
    """A photo as 8-bit RGBA with straight alpha, turned upright by its EXIF orientation; InputError names a bad file.

    Of an animation or a burst the first picture is taken, and said to be. An orientation that EXIF doesn't define is
    ignored. Lines for the user are appended to `notes`, so that a caller who reads many photos can say them once; where
    `notes` is None they are logged.
    """
    told: list[str] = [] if notes is None else notes
    path = Path(path)
    with open_image(path) as image:
        width, height = image.size
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise InputError(f"{path}: {width}x{height} pixels, expected sides that differ at most {MAX_ASPECT} times")
        pictures = getattr(image, "n_frames", 1)
        if pictures > 1:
            told.append(f"holds {pictures} pictures; the first is taken")
        _check_checksums(image, path)
        if image.format == "TIFF":
            image.load()  # PIL turns these upright itself, and only then forgets the tag
        turn = _UPRIGHT.get(_orientation(image))
        upright = in_srgb(image, to_rgba(image, path))
        if TOLD in upright.info:
            told.append(upright.info[TOLD])
        for note in told if notes is None else ():
            log.info("%s: %s", path, note)
        return upright if turn is None else upright.transpose(turn)


def precheck_photo(path: str | Path) -> None:
    """Refuse in one line (InputError) a photo that can't be read, or in which there can be no object.

    Decodes the file once and imports nothing heavy. Whether an object can be told from its background is left to
    `photo.prepare_photo`.
    """
    path = Path(path)
    image = read_photo(path)
    if has_cutout(image, path):
        return
    present = [_present_levels(channel) for channel in image.convert("RGB").split()]
    if all(levels[-1] - levels[0] < 255 - WHITE_LEVEL for levels in present):
        raise InputError(f"{path}: one plain color, there is no object in it")


def has_cutout(image: Image.Image, path: str | Path) -> bool:
    """Whether the alpha tells an object from its background: opaque everywhere (to 5 %) counts as no alpha.

    Raises InputError where all is transparent.
    """
    present = _present_levels(image.getchannel("A"))
    lowest, highest = present[0], present[-1]
    if highest < OBJECT_ALPHA:
        raise InputError(f"{path}: fully transparent, there is no object in it")
    return lowest <= 255 - OBJECT_ALPHA


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """An opened image of known format and bearable size; whatever fails inside becomes one line about the file."""
    check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns of sizes that are refused below, and of odd metadata
            with _opened(path) as image:
                check_size(path, image.size)
                _refuse_odd_tiff(image, path)
                yield image
    except Image.DecompressionBombError:
        raise InputError(f"{path}: more than {MAX_PIXELS // 10**6} megapixels; scale it down first") from None
    except Image.UnidentifiedImageError:
        raise InputError(f"{path}: {what_it_is(path)}") from None
    except InputError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # PIL's decoders raise whatever the broken bytes lead to
        log.debug("%s", path, exc_info=True)
        raise InputError(f"{path}: damaged or cut short ({one_line(error)})") from None


def _opened(path: Path) -> Image.Image:
    """By PIL, or by ffmpeg what telephones write."""
    try:
        image = Image.open(path, formats=("TGA", *FORMATS) if is_tga(path) else FORMATS)
    except Image.UnidentifiedImageError:
        if not _is_heif(path):
            raise
        image = None
    if image is not None and (image.format != "AVIF" or image.info.get("icc_profile")):
        return image
    from sv3dgen.views.heic import put_colors, read_heic

    return read_heic(path, MAX_PIXELS) if image is None else put_colors(image, path)


def _refuse_odd_tiff(image: Image.Image, path: Path) -> None:
    """Refuse a TIFF whose first picture is only the small preview of a camera's raw data (DNG, NEF, ARW), and one whose
    deep channels lie apart, of which PIL makes noise."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if _DNG_VERSION in tags or tags.get(_SUBFILE_TYPE, 0) & 1:
        raise InputError(f"{path}: a camera's raw photo; develop it to JPEG or PNG first")
    if tags.get(_PLANES) == 2 and max(tags.get(_BITS, (8,))) > 8:
        raise InputError(f"{path}: channels of more than 8 bits in planes of their own; save it as PNG first")


def check_file(path: Path) -> None:
    """Refuse what is not a file with bytes in it."""
    if not os.path.exists(path):  # not Path.exists, which raises on names that no file can have
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        what = "a folder" if path.is_dir() else "neither a file nor a folder (a device, a pipe)"
        raise InputError(f"{path}: {what}, expected a file")
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


@dataclass(frozen=True)
class MaskedImage:
    """An RGBA image whose alpha tells the object from its background."""

    image: Image.Image
    background: tuple[int, int, int] | None  # that the alpha was keyed from; None: it came with the picture


def masked_image(image: Image.Image, path: Path) -> MaskedImage:
    """The RGBA image with an alpha that tells the object from its background; InputError if there is no object.

    An alpha that is opaque everywhere (to 5 %) counts as missing. Then a background of one color that runs along the
    border is keyed out: on white, a pixel is object if any channel is <= 0.97 (docs/method.md); on another color, if
    any channel differs by more than 0.03. The image itself is changed.
    """
    present = _present_levels(image.getchannel("A"))
    lowest, highest = present[0], present[-1]
    if highest < OBJECT_ALPHA:
        raise InputError(f"{path}: fully transparent, there is no object in it")
    if lowest <= 255 - OBJECT_ALPHA:
        return MaskedImage(image, None)
    background = border_color(image)
    if background is None and _has_bars(image):
        raise InputError(f"{path}: black bars around the picture; crop them away first")
    if background is None:
        raise InputError(
            f"{path}: no alpha channel and no plain background; cut the object out (RGBA) or put it on white"
        )
    mask = object_mask(image, background)
    if mask.getbbox() is None:
        raise InputError(f"{path}: one plain color, there is no object in it")
    image.putalpha(mask)
    return MaskedImage(image, background)


def border_color(image: Image.Image) -> tuple[int, int, int] | None:
    """White if most of the image's outermost pixels are, else the color that nearly all of them have, else None."""
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


def _has_bars(image: Image.Image) -> bool:
    """Whether there is a plain background within black borders, as players and editors add them."""
    red, green, blue = image.convert("RGB").split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    box = brightest.point([0 if level <= BLACK_LEVEL else 255 for level in range(256)]).getbbox()
    if box is None or box == (0, 0, *image.size):
        return False
    left, top, right, bottom = box[0] + 2, box[1] + 2, box[2] - 2, box[3] - 2  # compression blurs where they meet
    if min(right - left, bottom - top) < MIN_SIZE_PX:
        return False
    return border_color(image.crop((left, top, right, bottom))) is not None


def object_mask(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """255 where any channel is 0.03 or more away from the background, else 0; mode L."""
    difference = ImageChops.difference(image.convert("RGB"), Image.new("RGB", image.size, background))
    red, green, blue = difference.split()
    largest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return largest.point([255 if level >= 255 - WHITE_LEVEL else 0 for level in range(256)])


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def _present_levels(channel: Image.Image) -> list[int]:
    """Levels, 0 to 255, that occur, in order."""
    return [level for level, count in enumerate(channel.histogram()) if count]


def _check_checksums(image: Image.Image, path: Path) -> None:
    """Have PIL check a PNG's checksums, which decoding alone does not: a flipped bit is a picture of noise."""
    if image.format == "PNG":
        with Image.open(path, formats=("PNG",)) as unread:
            unread.verify()


def to_rgba(image: Image.Image, path: str | Path) -> Image.Image:
    """An image of any mode as 8-bit RGBA; `path` is for messages."""
    if image.mode.startswith("I;16") or image.mode == "I":
        # PIL's own conversion clips at 255. Mode "I" is what some versions call a 16-bit PNG.
        scaled = image.convert("I").point(lambda level: level * (255 / 65535) + 0.5)
        return scaled.convert("L").convert("RGBA")
    if image.mode == "F":
        raise InputError(f"{path}: floating-point pixels, expected 8 or 16 bits a channel")
    opaque = image.mode in ("CMYK", "YCbCr", "LAB", "HSV") or has_no_alpha(Path(path), image)
    return (image.convert("RGB") if opaque else image).convert("RGBA")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (as stored) where there is none or the metadata are damaged."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # PIL's EXIF reader fails in many ways on damaged metadata; the pixels may still be good
        return 1


def _is_heif(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS


def _pixels(strip: Image.Image) -> list[tuple[int, int, int]]:
    data = strip.tobytes()
    return list(zip(data[0::3], data[1::3], data[2::3], strict=True))
