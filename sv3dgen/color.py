"""sRGB and linear light (IEC 61966-2-1)."""

import torch
from jaxtyping import Float
from torch import Tensor


def srgb_to_linear(srgb: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Display values to linear light. Differentiable everywhere; negative values go along the straight part."""
    # Clamped inside, because a power of zero has an infinite gradient that `where` turns into NaN.
    curve = ((srgb.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(srgb <= 0.04045, srgb / 12.92, curve)


def linear_to_srgb(linear: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Linear light to display values. Light above 1 gives values above 1: clamping is left to whoever writes a file."""
    curve = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curve)


def over_white(
    rgb: Float[Tensor, "images 3 height width"], alpha: Float[Tensor, "images 1 height width"]
) -> Float[Tensor, "images 3 height width"]:
    """Straight color in front of white."""
    return rgb * alpha + (1 - alpha)
