"""Renders as views of lower resolution would show them: averaged over the pixels that show one of theirs."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def averaged(
    values: Float[Tensor, "images channels height width"],
    footprints: Sequence[int] | None,
    mask: Bool[Tensor, "images 1 height width"] | None = None,
) -> Float[Tensor, "images channels height width"]:
    """Every square of a footprint's side as the mean of it, of what `mask` selects of it; in place of all its pixels.

    `footprints` has the side for each image, 1 for one that stays as it is; None stands for that everywhere. What is
    left over at the lower and right border stays as well.
    """
    if footprints is None or all(side == 1 for side in footprints):
        return values
    result = values
    for side in sorted(set(footprints) - {1}):
        chosen = torch.tensor([index for index, own in enumerate(footprints) if own == side], device=values.device)
        height, width = (length // side * side for length in values.shape[2:])
        part = values[chosen][..., :height, :width]
        if mask is None:
            mean = torch.nn.functional.avg_pool2d(part, side)
        else:
            weight = mask[chosen][..., :height, :width].to(values.dtype)
            share = torch.nn.functional.avg_pool2d(weight, side)
            mean = torch.nn.functional.avg_pool2d(part * weight, side) / share.clamp_min(0.5 / side**2)
        spread = mean.repeat_interleave(side, 2).repeat_interleave(side, 3)
        rest_right, rest_below = values.shape[3] - width, values.shape[2] - height
        if rest_right or rest_below:
            whole = values[chosen].clone()
            whole[..., :height, :width] = spread
            spread = whole
        result = result.index_copy(0, chosen, spread)
    return result
