"""A soft alpha from a hard segmentation, and the colors of the object without the background mixed into them.

Near the outline a pixel shows alpha F + (1 - alpha) B, in the display values that editors and renderers blend in. B is
known from the background next to it and F from the object next to it; alpha is where the pixel lies between them.
Colors are sRGB levels, 0 to 255.
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
    if backdrop is None:
        backdrop = spread(rgb, surely_background, 4.0 * band_px, rgb[surely_background].mean(0, keepdims=True)[None])
    behind = spread(rgb, surely_background, 1.5 * band_px, backdrop)
    unmixed = _object_colors(rgb, solid, surely_object, behind, band_px)
    along = unmixed - behind
    length = np.square(along).sum(-1)
    alpha = ((rgb - behind) * along).sum(-1) / length.clip(1)
    faint = _NOISE_LEVELS / np.sqrt(length.clip(1))
    alpha = ((alpha - faint) / (1 - 2 * faint).clip(0.2)).clip(0, 1)
    # Where object and background look alike, the segmentation knows better than the colors.
    alike = np.clip(2 - np.sqrt(length) / 20, 0, 1)
    alpha = alike * ndimage.gaussian_filter(solid.astype(np.float32), 0.7) + (1 - alike) * alpha
    alpha = np.where(surely_object, 1, np.where(surely_background, 0, alpha))
    return _without_background(rgb, alpha, behind, unmixed), alpha.astype(np.float32)


def _object_colors(
    rgb: Float[np.ndarray, "height width 3"],
    solid: Bool[np.ndarray, "height width"],
    surely_object: Bool[np.ndarray, "height width"],
    behind: Float[np.ndarray, "height width 3"],
    band_px: int,
) -> Float[np.ndarray, "height width 3"]:
    """The object's own color near its outline: from its inside; in parts too thin to have one, from their middle."""
    contrast = np.abs(rgb - behind).max(-1) * solid
    strongest = ndimage.maximum_filter(contrast, 2 * band_px + 1)
    middle = solid & (contrast > 0.8 * strongest)
    thin = spread(rgb, middle, 0.8 * band_px, rgb)
    return spread(rgb, surely_object, 1.0 * band_px, thin)


def spread(
    rgb: Float[np.ndarray, "height width 3"],
    known: Bool[np.ndarray, "height width"],
    sigma_px: float,
    otherwise: Float[np.ndarray, "#height #width 3"],
) -> Float[np.ndarray, "height width 3"]:
    """Colors of the known pixels averaged with Gaussian weights; `otherwise`, gradually, far from any of them."""
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma_px)[..., None]
    masked = np.where(known[..., None], rgb, 0).astype(np.float32)
    total = np.stack([ndimage.gaussian_filter(masked[..., channel], sigma_px) for channel in range(3)], axis=-1)
    return (total + 1e-3 * otherwise) / (weight + 1e-3)


def _without_background(
    rgb: Float[np.ndarray, "height width 3"],
    alpha: Float[np.ndarray, "height width"],
    behind: Float[np.ndarray, "height width 3"],
    unmixed: Float[np.ndarray, "height width 3"],
) -> Float[np.ndarray, "height width 3"]:
    """F = (I - (1 - alpha) B) / alpha; for a low alpha, which magnifies noise, the neighbors' color."""
    a = alpha[..., None]
    solved = ((rgb - (1 - a) * behind) / a.clip(1e-3)).clip(0, 255)
    trust = np.clip((a - 0.3) / 0.5, 0, 1)
    colors = trust * solved + (1 - trust) * unmixed
    return np.where(a >= 1, rgb, colors).clip(0, 255).astype(np.float32)
