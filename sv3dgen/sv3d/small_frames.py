"""Frames of a small model as views with a matte: enlarged, cut out of their white background, edges unmixed.

At 64 px many of an object's pixels are mixed with the background, and a small autoencoder does not quite hit white. So
what is not white is found with two thresholds, a pixel's neighborhood deciding between them, and the mixed pixels give
their color and their share back (`soft_edges.soft_cutout`).
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage

from sv3dgen.cutout.masks import part_sizes, parts
from sv3dgen.cutout.soft_edges import soft_cutout

_SURELY, _PERHAPS = 0.12, 0.045  # of the way from white to black, in the darkest channel
_LEAST_PART = 0.03  # of the largest part's pixels: what is smaller is noise
_BAND_PX = 4


def matted(frame: UInt8[np.ndarray, "height width 3"], size_px: int) -> UInt8[np.ndarray, "rows columns 4"]:
    """A frame on white, enlarged to `size_px` on its longer side, as straight RGBA."""
    height, width = frame.shape[:2]
    factor = size_px / max(height, width)
    size = round(width * factor), round(height * factor)
    rgb = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)).astype(np.float32)
    solid = _not_white(1 - rgb.min(-1) / 255)
    if not solid.any():
        return np.dstack([rgb, np.zeros(rgb.shape[:2])]).astype(np.uint8)
    white = np.full_like(rgb, 255)
    colors, alpha = soft_cutout(rgb, solid.astype(np.float32), backdrop=white, band_px=_BAND_PX)
    return (np.dstack([colors, alpha * 255]) + 0.5).clip(0, 255).astype(np.uint8)


def _not_white(darkness: Float[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Parts that are dark enough somewhere, without specks."""
    # Enlarging rings: next to an edge between dark and faint there is a line of white.
    labels = parts(np.asarray(ndimage.binary_closing(darkness > _PERHAPS, iterations=2), dtype=bool), diagonals=True)
    darkest = ndimage.maximum(darkness, labels, np.arange(labels.max() + 1)) if labels.max() else np.zeros(1)
    sizes = part_sizes(labels).astype(np.float64)
    sizes[0] = 0
    keep = (np.asarray(darkest) > _SURELY) & (sizes > _LEAST_PART * sizes.max())
    keep[0] = False
    return keep[labels]
