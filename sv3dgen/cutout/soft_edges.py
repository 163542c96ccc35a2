"""A soft alpha from a hard segmentation, and the colors of the object without the background mixed into them.

Near the outline a pixel shows alpha F + (1 - alpha) B, in the display values that editors and renderers blend in. B is
known from the background next to it and F from the object next to it; alpha is where the pixel lies between them.
Colors are sRGB levels, 0 to 255. Within, they are planes [3, height, width], which filters are quickest on.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from sv3dgen.cutout.masks import grown, shrunk

_NOISE_LEVELS = 5.0  # a pixel that differs from the background by less shows nothing of the object


def soft_cutout(
    rgb: Float[np.ndarray, "height width 3"],
    probability: Float[np.ndarray, "height width"],
    backdrop: Float[np.ndarray, "height width 3"] | None = None,
    band_px: int = 2,
) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]:
    """Colors of the object and alpha in [0, 1].

    Pixels farther than `band_px` from the outline keep their color, and are all or nothing. `backdrop` is what the
    background would look like without the object, for places that have no background near; where it is None, the
    nearest background pixels stand in.
    """
    solid = probability > 0.5
    surely_object = shrunk(solid, band_px)
    # Narrow gaps end in pixels that are hardly decided; deep inside, the same is only noise.
    surely_object &= (probability > 0.75) | shrunk(solid, 2 * band_px)
    surely_background = ~grown(solid, band_px)
    if not surely_background.any():
        surely_background = ~solid
    planes = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    if backdrop is None:
        mean = rgb[surely_background].mean(0)[:, None, None]
        backdrop_planes = _spread(planes, surely_background, 4.0 * band_px, mean)
    else:
        backdrop_planes = np.moveaxis(backdrop, -1, 0)
    behind = _spread(planes, surely_background, 1.5 * band_px, backdrop_planes)
    unmixed = _object_colors(planes, solid, surely_object, behind, band_px)
    along = unmixed - behind
    length = _summed(np.square(along))
    alpha = _summed((planes - behind) * along) / length.clip(1)
    faint = _NOISE_LEVELS / np.sqrt(length.clip(1))
    alpha = ((alpha - faint) / (1 - 2 * faint).clip(0.2)).clip(0, 1)
    # Where object and background look alike, the segmentation knows better than the colors.
    alike = np.clip(2 - np.sqrt(length) / 20, 0, 1)
    alpha = alike * ndimage.gaussian_filter(solid.astype(np.float32), 0.7) + (1 - alike) * alpha
    alpha = np.where(surely_object, 1, np.where(surely_background, 0, alpha))
    colors = np.ascontiguousarray(np.moveaxis(_without_background(planes, alpha, behind, unmixed), 0, -1))
    return colors, alpha.astype(np.float32)


def _object_colors(
    planes: Float[np.ndarray, "3 height width"],
    solid: Bool[np.ndarray, "height width"],
    surely_object: Bool[np.ndarray, "height width"],
    behind: Float[np.ndarray, "3 height width"],
    band_px: int,
) -> Float[np.ndarray, "3 height width"]:
    """The object's own color near its outline: from its inside; in parts too thin to have one, from their middle."""
    contrast = np.abs(planes - behind).max(0) * solid
    strongest = ndimage.maximum_filter(contrast, 2 * band_px + 1)
    middle = solid & (contrast > 0.8 * strongest)
    thin = _spread(planes, middle, 0.8 * band_px, planes)
    return _spread(planes, surely_object, 1.0 * band_px, thin)


def _spread(
    planes: Float[np.ndarray, "3 height width"],
    known: Bool[np.ndarray, "height width"],
    sigma_px: float,
    otherwise: Float[np.ndarray, "3 #height #width"],
) -> Float[np.ndarray, "3 height width"]:
    """Colors of the known pixels averaged with Gaussian weights; `otherwise`, gradually, far from any of them."""
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma_px)
    total = ndimage.gaussian_filter(np.where(known, planes, np.float32(0)), (0, sigma_px, sigma_px))
    return (total + 1e-3 * otherwise) / (weight + 1e-3)


def _without_background(
    planes: Float[np.ndarray, "3 height width"],
    alpha: Float[np.ndarray, "height width"],
    behind: Float[np.ndarray, "3 height width"],
    unmixed: Float[np.ndarray, "3 height width"],
) -> Float[np.ndarray, "3 height width"]:
    """F = (I - (1 - alpha) B) / alpha; for a low alpha, which magnifies noise, the neighbors' color."""
    solved = ((planes - (1 - alpha) * behind) / alpha.clip(1e-3)).clip(0, 255)
    trust = np.clip((alpha - 0.3) / 0.5, 0, 1)
    colors = trust * solved + (1 - trust) * unmixed
    return np.where(alpha >= 1, planes, colors).clip(0, 255).astype(np.float32)


def _summed(planes: Float[np.ndarray, "3 height width"]) -> Float[np.ndarray, "height width"]:
    return planes[0] + planes[1] + planes[2]
