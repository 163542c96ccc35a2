"""Color for the pixels next to an outline, which a render covers in part and shades nowhere."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def spread_to_outline(
    values: Float[Tensor, "images channels height width"], shaded: Bool[Tensor, "images 1 height width"]
) -> Float[Tensor, "images channels height width"]:
    """The values, and next to shaded pixels the mean of those of the 8 neighbors that are shaded; zero elsewhere.

    Antialiased opacity reaches one pixel beyond the shaded ones, whose color is zero: over white that is a dark rim.
    """
    weight = shaded.to(values.dtype)
    total, count = (torch.nn.functional.avg_pool2d(part, 3, stride=1, padding=1) for part in (values * weight, weight))
    return torch.where(shaded, values, total / count.clamp_min(1 / 9))
