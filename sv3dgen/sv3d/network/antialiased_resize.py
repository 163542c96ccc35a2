"""Bicubic resizing after a Gaussian blur that follows the reduction, as the image encoder of SV3D was fed with.

The numbers are those of kornia's `resize(..., "bicubic", align_corners=True, antialias=True)`.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


def antialiased_resize(
    images: Float[Tensor, "images channels height width"], size: tuple[int, int]
) -> Float[Tensor, "images channels out_height out_width"]:
    """Pictures of `size` (height, width) pixels; the corner pixels' centers stay at the corners.

    Each axis that shrinks is blurred first. Values may overshoot the range of the input, as bicubic ones do.
    """
    factors = [images.shape[axis] / pixels for axis, pixels in zip((-2, -1), size, strict=True)]
    if max(factors) > 1:
        for axis, factor in zip((-2, -1), factors, strict=True):
            images = _blur(images, axis, sigma=max((factor - 1) / 2, 0.001))
    return nn.functional.interpolate(images, size=size, mode="bicubic", align_corners=True)


def _blur(
    images: Float[Tensor, "images channels height width"], axis: int, sigma: float
) -> Float[Tensor, "images channels height width"]:
    """Convolution with a Gaussian of some 4 sigma, but at least 3, pixels; the picture is mirrored at its border."""
    radius = int(max(4 * sigma, 3)) // 2  # an even number of taps gets one more
    weights = [math.exp(-0.5 * (tap / sigma) ** 2) for tap in range(-radius, radius + 1)]
    pads = (0, 0, radius, radius) if axis == -2 else (radius, radius, 0, 0)
    padded = nn.functional.pad(images, pads, mode="reflect")
    blurred = torch.zeros_like(images)
    for tap, weight in enumerate(weights):
        blurred += padded.narrow(axis, tap, images.shape[axis]) * (weight / sum(weights))
    return blurred
