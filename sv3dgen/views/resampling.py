"""Scaling pictures down by the exact mean over areas."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def downscale_rgba(
    image: UInt8[Tensor, "4 height width"], new_height: int, new_width: int
) -> UInt8[Tensor, "4 new_height new_width"]:
    """The exact mean over each new pixel's area, colors weighted by alpha; new sizes must not be larger."""
    alpha = image[3:].float()
    means = downscale_planes(torch.cat([image[:3].float() * alpha, alpha]), new_height, new_width)
    straight = torch.cat([means[:3] / means[3:].clamp_min(1e-6), means[3:]])
    return straight.round().clamp(0, 255).byte()


def downscale_planes(
    planes: Float[Tensor, "planes height width"], new_height: int, new_width: int
) -> Float[Tensor, "planes new_height new_width"]:
    """The exact mean over each new pixel's area; new sizes must not be larger."""
    rows, columns = _overlaps(planes.shape[1], new_height), _overlaps(planes.shape[2], new_width)
    return rows.to(planes.device) @ planes @ columns.to(planes.device).T


def _overlaps(old: int, new: int) -> Float[Tensor, "new old"]:
    """Share of each new pixel's extent that lies in each old pixel, along one axis."""
    edges = torch.arange(new + 1, dtype=torch.float64) * (old / new)
    start = torch.arange(old, dtype=torch.float64)
    shared = torch.minimum(edges[1:, None], start + 1) - torch.maximum(edges[:-1, None], start)
    return (shared.clamp_min(0) * (new / old)).float()
