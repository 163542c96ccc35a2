"""From a photo to what SV3D sees: read, cut out, centered, on white."""

import logging
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.photo.matting import Method, cut_out
from sv3dgen.photo.recenter import SV3D_SIZE_PX, object_notes, on_white, recentered_rgba
from sv3dgen.views.image import read_photo

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedPhoto:
    """The conditioning picture, square, and what there is to say about it."""

    image: Image.Image  # RGB on white
    alpha: Image.Image  # L, of the same size
    notes: tuple[str, ...] = ()  # what may spoil the views, one line each; they were logged as warnings
    large: Image.Image | None = None  # RGBA, the same square at `large_px`, where that was asked for


def prepare_photo(
    path: str | Path,
    *,
    foreground_ratio: float | int | None = None,
    size_px: int = SV3D_SIZE_PX,
    matting: Method = "auto",
    large_px: int | None = None,
) -> PreparedPhoto:
    """Read a photo and make SV3D's input of it; InputError says in one line what is wrong with it.

    `foreground_ratio` is the share of the square that the object's longer side takes, None what the official script
    does (see `recenter.recentered`). `matting` matters only where the file has no alpha that cuts the object out.
    `large_px` asks for the square at a second size.
    """
    return prepare_image(
        read_photo(path),
        str(path),
        foreground_ratio=foreground_ratio,
        size_px=size_px,
        matting=matting,
        large_px=large_px,
    )


def prepare_image(
    image: Image.Image,
    name: str = "image",
    *,
    foreground_ratio: float | int | None = None,
    size_px: int = SV3D_SIZE_PX,
    matting: Method = "auto",
    large_px: int | None = None,
) -> PreparedPhoto:
    """As `prepare_photo`, from a picture in memory; `name` is for messages."""
    cutout = cut_out(image.convert("RGBA"), name, method=matting)
    notes = object_notes(cutout.image)
    for note in notes:
        log.warning("%s: %s", name, note)
    large = None
    try:
        square = recentered_rgba(cutout.image, foreground_ratio=foreground_ratio, size_px=size_px)
        if large_px is not None:
            large = recentered_rgba(cutout.image, foreground_ratio=foreground_ratio, size_px=large_px)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    doubts = () if cutout.doubt is None else (cutout.doubt,)
    return PreparedPhoto(on_white(square), square.getchannel("A"), (*doubts, *notes), large)
