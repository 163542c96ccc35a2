"""A photo with its object cut out, and what a person paints on it to correct that."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from sv3dgen.cutout.masks import parts
from sv3dgen.errors import InputError
from sv3dgen.photo.matting import cut_out
from sv3dgen.views.image import precheck_photo, read_photo

KEEP, REMOVE = "#00c853", "#ff1744"  # the brushes: what belongs to the object, and what does not
SHOWN_PX = 900
_BACKGROUND = (214, 214, 222)
_ALIKE = 24  # levels of 255 that colors of one patch differ by from its middle one
_FAINT = 0.25  # how much of the removed is still to be seen


@dataclass(frozen=True)
class CutPhoto:
    """An upright photo and the opacity of its object."""

    name: str
    photo: Image.Image  # RGB, with colors also where the object is not
    cutout: Image.Image  # RGBA of the same size
    doubt: str | None = None


def cut_photo(path: Path) -> CutPhoto:
    """Read a photo and cut its object out. Raises InputError, without the place of the file, for what is none."""
    try:
        precheck_photo(path)
        photo = read_photo(path)
        if max(photo.size) > 2 * SHOWN_PX:
            photo.thumbnail((2 * SHOWN_PX, 2 * SHOWN_PX), Image.Resampling.LANCZOS)
        found = cut_out(photo, str(path))
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from None
    except Image.DecompressionBombError:
        raise InputError(f"{path.name}: too many pixels; scale it down first") from None
    colors = Image.new("RGBA", photo.size, (*_BACKGROUND, 255))  # where the photo itself is transparent
    colors.alpha_composite(photo)
    colors = colors.convert("RGB").resize(found.image.size, Image.Resampling.LANCZOS)
    return CutPhoto(path.name, colors, found.image, found.doubt)


def shown(cut: CutPhoto) -> Image.Image:
    """The photo with what is not the object faint, at most `SHOWN_PX` on a side."""
    alpha = np.asarray(cut.cutout.getchannel("A"), dtype=np.float32)[..., None] / 255
    photo = np.asarray(cut.photo, dtype=np.float32)
    faint = _FAINT * photo + (1 - _FAINT) * np.asarray(_BACKGROUND, dtype=np.float32)
    picture = Image.fromarray((alpha * photo + (1 - alpha) * faint).round().astype(np.uint8))
    picture.thumbnail((SHOWN_PX, SHOWN_PX), Image.Resampling.LANCZOS)
    return picture


def corrected(cut: CutPhoto, strokes: Image.Image) -> CutPhoto:
    """The photo with what was painted taken over: green belongs to the object, red does not.

    `strokes` are RGBA over the picture that `shown` gave, of any size.
    """
    size = cut.cutout.size
    painted = np.asarray(strokes.convert("RGBA").resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    weight = painted[..., 3:] / 255
    keep = _is_kept(painted)
    rgba = np.asarray(cut.cutout, dtype=np.float32)
    photo = np.asarray(cut.photo, dtype=np.float32)
    alpha = rgba[..., 3:] * (1 - weight) + 255 * weight * keep[..., None]
    # Colors at the old outline were freed of the background's; the photo's own are right where it is no outline now.
    colors = np.where(weight * keep[..., None] > 0.5, photo, rgba[..., :3])
    changed = np.concatenate([colors, alpha], axis=-1).round().clip(0, 255).astype(np.uint8)
    return replace(cut, cutout=Image.fromarray(changed), doubt=None)


def picked(cut: CutPhoto, strokes: Image.Image) -> Image.Image:
    """Strokes of the photo's size, each grown to the whole patch of like color that it touches.

    Where both brushes touch a patch, it is removed but for what was painted itself.
    """
    size = cut.cutout.size
    painted = np.array(strokes.convert("RGBA").resize(size, Image.Resampling.BILINEAR))
    photo = np.asarray(cut.photo, dtype=np.float32)
    solid = painted[..., 3] > 127
    keep = _is_kept(painted.astype(np.float32))
    grown = painted.copy()
    for brush in (solid & keep, solid & ~keep):  # apart: strokes of both colors may touch
        touched = parts(brush)
        for number in range(1, int(touched.max()) + 1):
            here = touched == number
            alike = parts(np.abs(photo - np.median(photo[here], axis=0)).max(-1) <= _ALIKE)
            patch = np.isin(alike, np.setdiff1d(alike[here], [0]))
            grown[patch] = np.median(painted[here], axis=0).round().astype(np.uint8)
            grown[patch, 3] = 255
    grown[solid, :3] = painted[solid, :3]
    return Image.fromarray(grown)


def _is_kept(painted: Float[np.ndarray, "height width 4"]) -> Bool[np.ndarray, "height width"]:
    return _nearness(painted, KEEP) >= _nearness(painted, REMOVE)


def _nearness(painted: Float[np.ndarray, "height width 4"], color: str) -> Float[np.ndarray, "height width"]:
    brush = np.asarray([int(color[place : place + 2], 16) for place in (1, 3, 5)], dtype=np.float32)
    return -np.abs(painted[..., :3] - brush).sum(-1)
