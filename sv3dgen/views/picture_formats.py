"""Which kinds of pictures are read, and what others are, by their first bytes. Standard library and PIL only."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "JPEG2000", "PPM")
SUFFIXES = (  # of pictures of these formats and TGA; HEIC is read by `heic`
    *(".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp"),
    *(".jp2", ".j2k", ".jpf", ".jpx", ".ppm", ".pgm", ".pnm", ".tga"),
)
_TGA = (".tga", ".targa", ".icb", ".vda", ".vst")  # its files begin with nothing that tells them
_TGA_HEADER_BYTES, _TGA_ALPHA_BITS = 18, 0x0F

_AS_PNG = "save it as PNG first"
_DEVELOP = "develop it to JPEG or PNG first"
_OTHERS: tuple[tuple[int, bytes, str, str], ...] = (  # where, what stands there, what it is, what to do
    (0, b"8BPS", "a Photoshop document", _AS_PNG),
    (0, b"gimp xcf", "a GIMP document", _AS_PNG),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture", _AS_PNG),
    (0, b"#?R", "a Radiance HDR picture", _AS_PNG),
    (0, b"DDS ", "a DDS texture", _AS_PNG),
    (0, b"\xabKTX", "a KTX texture", _AS_PNG),
    (0, b"\xff\x0a", "a JPEG XL picture", "save it as JPEG or PNG first"),
    (4, b"JXL \r\n\x87\n", "a JPEG XL picture", "save it as JPEG or PNG first"),
    (0, b"qoif", "a QOI picture", _AS_PNG),
    (0, b"P7\n", "a PAM picture", _AS_PNG),
    (0, b"PF\n", "a picture of floating-point numbers (PFM)", _AS_PNG),
    (0, b"\x00\x00\x01\x00", "an icon", _AS_PNG),
    (0, b"icns", "an icon", _AS_PNG),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw photo", _DEVELOP),
    (4, b"ftypcrx", "a camera's raw photo", _DEVELOP),
    (0, b"IIRO", "a camera's raw photo", _DEVELOP),
    (0, b"IIRS", "a camera's raw photo", _DEVELOP),
    (0, b"IIU\x00", "a camera's raw photo", _DEVELOP),
    (0, b"FOVb", "a camera's raw photo", _DEVELOP),
    (0, b"%PDF", "a PDF document", "save the picture in it as PNG first"),
    (0, b"%!PS", "a PostScript document", _AS_PNG),
    (0, b"\x93NUMPY", "an array of NumPy", _AS_PNG),
    (128, b"DICM", "a DICOM picture", _AS_PNG),
    (0, b"SIMPLE  =", "a FITS picture", _AS_PNG),
    (0, b"PK\x03\x04", "a ZIP archive", "unpack it first"),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "git lfs pull fetches the file itself"),
    (0, b"glTF", "a mesh", "pictures of it are made by python -m sv3dgen.render"),
    (4, b"ftyp", "a film", "expected a photo; a film of a turn is views=FILM orbit=static"),
    (0, b"\x1aE\xdf\xa3", "a film", "expected a photo; a film of a turn is views=FILM orbit=static"),
)
_PICTURES_LIKE_FILMS = (b"ftypavif", b"ftypavis", b"ftypmif1", b"ftypheic")  # in the container of MP4


def is_tga(path: Path) -> bool:
    return path.suffix.lower() in _TGA


def has_no_alpha(path: Path, image: Image.Image) -> bool:
    """Whether a TGA file's header gives its fourth channel no meaning."""
    if image.format != "TGA":
        return False
    with path.open("rb") as file:
        header = file.read(_TGA_HEADER_BYTES)
    return not header[17] & _TGA_ALPHA_BITS


def named_kind(path: Path) -> str | None:
    """What a file is that is no picture and no film that is read, and what to do with it; None for what has no name."""
    with path.open("rb") as file:
        return named_bytes(file.read(512))


def named_bytes(start: bytes) -> str | None:
    """As `named_kind`, of a file's first bytes."""
    return next((f"{name}; {advice}" for name, advice in _named(start)), None)


def what_it_is(path: Path) -> str:
    """What an unread file seems to be and what to do with it, else what is read."""
    with path.open("rb") as file:
        start = file.read(512)
    if start[4:12] in _PICTURES_LIKE_FILMS:
        return "damaged or cut short (a picture in AVIF or HEIC)"
    for name, advice in _named(start):
        return f"not an image that is read but {name}; {advice}"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml")) and b"<svg" in text:
        return f"not an image that is read but an SVG drawing; {_AS_PNG}"
    if text.startswith((b"<!doctype html", b"<html")):
        return "not an image but a web page; download the picture itself"
    return f"not an image, expected one of {', '.join(FORMATS)}, TGA, HEIC"


def _named(start: bytes) -> Iterator[tuple[str, str]]:
    """What a file may be that begins so, and what to do with it."""
    for offset, mark, name, advice in _OTHERS:
        if start[offset:].startswith(mark):
            yield name, advice
