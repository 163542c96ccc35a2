"""Pictures on their way into the model and frames on their way out of it."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.photo.prepare import prepare_photo
from sv3dgen.photo.recenter import recentered
from sv3dgen.sv3d.small_frames import matted
from sv3dgen.views.image import has_cutout, object_mask, to_rgba
from sv3dgen.views.orbits import Orbit
from sv3dgen.views.posed_views import PosedViews, views_of_orbit

_WHITE = (255, 255, 255)
_OVERSHOOT = 0.1  # beyond [0, 1], as resizing leaves it: cut off; what is farther out is of another range

Picture = Float[Tensor, "3 height width"] | Image.Image | str | Path


def conditioning_picture(picture: Picture, size_px: int) -> Float[Tensor, "3 size size"]:
    """The picture as [3, size_px, size_px], sRGB in [0, 1], float32, on the CPU.

    A file is read as a photo: turned upright, its object cut out and recentered on white as officially
    (`photo.prepare_photo` has the choices). A PIL image with transparency is recentered too; one without is taken as it
    is, on white, and scaled. A tensor must have the shape and lie on white already. Raises InputError on any other
    shape or range, and on files that are no good.
    """
    if isinstance(picture, Tensor):
        if picture.shape != (3, size_px, size_px):
            shape = "x".join(str(size) for size in picture.shape)
            raise InputError(f"image: a tensor of {shape}, expected 3x{size_px}x{size_px}, recentered on white")
        values = picture.detach().float().cpu()
        if not ((values >= -_OVERSHOOT) & (values <= 1 + _OVERSHOOT)).all():  # nor is NaN
            low, high = float(values.min()), float(values.max())
            raise InputError(f"image: a tensor of values from {low:g} to {high:g}, expected sRGB in [0, 1]")
        return values.clamp(0, 1)
    image = _recentered(picture, size_px)
    if image.width != image.height:
        raise InputError(f"image: {image.width}x{image.height} pixels, expected a square or a transparent background")
    rgb = image.convert("RGB").resize((size_px, size_px), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).float() / 255


def _recentered(picture: Image.Image | str | Path, size_px: int) -> Image.Image:
    """On white and square, but for a PIL image that is opaque."""
    if not isinstance(picture, Image.Image):
        return prepare_photo(picture, size_px=size_px).image
    image = to_rgba(picture, "image")
    return recentered(image, foreground_ratio=None, size_px=size_px) if has_cutout(image, "image") else image


def posed_views(frames: Float[Tensor, "frames 3 height width"], orbit: Orbit, *, enlarged_px: int = 0) -> PosedViews:
    """Square frames on white, sRGB in [0, 1], with the orbit's cameras. What is not white is the object.

    Levels are cut off, not rounded, as official; 8-bit pictures keep theirs. With `enlarged_px` they
    are enlarged to that size, and their edges lose the white.
    """
    levels = (frames.cpu() * 255 + 1e-3).byte().permute(0, 2, 3, 1).contiguous()
    pictures = [matted(frame, enlarged_px) if enlarged_px else _keyed(frame) for frame in levels.numpy()]
    return views_of_orbit(
        torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(),
        orbit,
        orbit.cameras(size_px=pictures[0].shape[0]),
    )


def _keyed(rgb: np.ndarray) -> np.ndarray:
    image = Image.fromarray(rgb)
    image.putalpha(object_mask(image, _WHITE))
    return np.array(image)
