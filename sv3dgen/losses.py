"""Losses on images and meshes (paper, sections 4.1 and appendix F; the terms of the authors' code next to them).

Images are `[images, channels, height, width]`. A mask selects pixels; a neighbor pair counts where both its pixels are
selected. Every loss is a mean over what is selected, and 0 where nothing is: empty masks and 1 x 1 images are fine.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Mask = Bool[Tensor, "images 1 height width"]


def object_mask(
    shaded: Mask, opacity: Float[Tensor, "images 1 height width"], target_alpha: Float[Tensor, "images 1 height width"]
) -> Mask:
    """Pixels of the object by the target, where the render has a surface and shaded it."""
    return shaded & (opacity.detach() > 0.5) & (target_alpha > 0.5)


def mse(
    predicted: Float[Tensor, "images channels height width"],
    target: Float[Tensor, "images channels height width"],
    mask: Mask | None = None,
) -> Float[Tensor, ""]:
    """Squared difference per channel. Serves L_mse, L_mask and, with the albedo a small step aside, L_albedo."""
    return masked_mean((predicted - target).square(), mask)


def smoothness(values: Float[Tensor, "images channels height width"], mask: Mask) -> Float[Tensor, ""]:
    """Squared differences of neighbors, summed over channels and over the two directions.

    Of depth it is RegNeRF's term (L_depth); of normals the 2D normal smoothness of the authors' code.
    """
    terms = (_mean_where(d.square().sum(1), selected) for d, _, selected in _neighbors(values, mask))
    return sum(terms, values.new_zeros(()))


def bilateral_smoothness(
    values: Float[Tensor, "images channels height width"],
    edges: Float[Tensor, "images 1 height width"],
    mask: Mask,
) -> Float[Tensor, ""]:
    """Smoothness of depth or normals that lets go at edges of the target: L_bilateral.

    exp(-3 edges) (sqrt(1 + |difference|) - 1) for both directions; `edges` by `sobel_edges` (the paper) or
    `difference_edges` (the authors' code). The -1 is not in the paper: it moves no gradient, and makes flat score 0.
    """
    total = values.new_zeros(())
    for difference, pixel, selected in _neighbors(values, mask):
        # The constant keeps the gradient finite where nothing differs. (`vector_norm` would, at ten times the time.)
        length = torch.sqrt(difference.square().sum(1) + 1e-12) - 1e-6
        each = torch.exp(-3 * edges.reshape(-1)[pixel]) * (torch.sqrt(1 + length) - 1)
        total = total + _mean_where(each, selected)
    return total


def sobel_edges(rgb: Float[Tensor, "images channels height width"]) -> Float[Tensor, "images 1 height width"]:
    """Length of the Sobel gradient, averaged over channels; scaled so that a step of height h reads h next to it."""
    padded = torch.nn.functional.pad(rgb, (1, 1, 1, 1), mode="replicate")
    smooth_down = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    smooth_across = padded[..., :, :-2] + 2 * padded[..., :, 1:-1] + padded[..., :, 2:]
    across = (smooth_down[..., :, 2:] - smooth_down[..., :, :-2]) / 4
    down = (smooth_across[..., 2:, :] - smooth_across[..., :-2, :]) / 4
    return torch.sqrt(across.square() + down.square()).mean(1, keepdim=True)


def difference_edges(rgb: Float[Tensor, "images channels height width"]) -> Float[Tensor, "images 1 height width"]:
    """|dI/dx| + |dI/dy| by forward differences, averaged over channels; 0 past the last row and column."""
    across = torch.nn.functional.pad((rgb[..., :, 1:] - rgb[..., :, :-1]).abs(), (0, 1, 0, 0))
    down = torch.nn.functional.pad((rgb[..., 1:, :] - rgb[..., :-1, :]).abs(), (0, 0, 0, 1))
    return (across + down).mean(1, keepdim=True)


def outside_range(
    values: Float[Tensor, "images channels height width"], low: float, high: float, mask: Mask
) -> Float[Tensor, ""]:
    """How far values lie outside [low, high]: keeps albedo away from black and white (authors' code)."""
    return masked_mean((low - values).clamp_min(0) + (values - high).clamp_min(0), mask)


def illumination_squared(
    light: Float[Tensor, "images 1 height width"], target_rgb: Float[Tensor, "images 3 height width"], mask: Mask
) -> Float[Tensor, ""]:
    """|V(I) - L|^2 with V the largest channel, as in HSV (L_illum). Both sRGB: L as a white surface would show it."""
    return masked_mean((target_rgb.amax(1, keepdim=True) - light).square(), mask)


def illumination_absolute(
    light: Float[Tensor, "images 1 height width"], target_rgb: Float[Tensor, "images 3 height width"], mask: Mask
) -> Float[Tensor, ""]:
    """|V(I) - L|, the form of the authors' code."""
    return masked_mean((target_rgb.amax(1, keepdim=True) - light).abs(), mask)


def binary_entropy(opacity: Float[Tensor, "images 1 height width"]) -> Float[Tensor, ""]:
    """Entropy in nats of each opacity as a coin, 0 for 0 or 1: drives fog to one side (authors' code: opaque)."""
    # The margin bounds the gradient, which is infinite at 0 and 1.
    p = opacity.clamp(1e-3, 1 - 1e-3)
    return -masked_mean(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p), None)


def masked_mean(values: Float[Tensor, "images channels height width"], mask: Mask | None) -> Float[Tensor, ""]:
    """Mean over the selected pixels and all channels; 0, with a zero gradient, where none is. Values must be finite."""
    if mask is None:
        return _mean(values)
    return (values * mask).sum() / (mask.sum() * values.shape[1]).clamp_min(1)


def _mean(values: Tensor) -> Tensor:
    return values.sum() / max(values.numel(), 1)


def _mean_where(values: Tensor, selected: Tensor | None) -> Tensor:
    """The mean of what is selected; of all where None."""
    return _mean(values) if selected is None else (values * selected).sum() / selected.sum().clamp_min(1)


def _neighbors(values: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    """Pairs of neighbors, across and then down: `[pairs, channels]` differences, the first one's index, and which of
    the pairs are selected: None for all.

    On the CPU it picks the pairs out instead of masking them, since often a tenth of the frame is shaded; and both
    directions at once, since each gradient of a pick is a frame of its own. Elsewhere they are masked: the host would
    wait to learn how many there are, and pixels cost little.
    """
    width = mask.shape[-1]
    index = torch.arange(mask.numel(), device=mask.device).view(mask.shape)
    selected_across, selected_down = mask[..., :, 1:] & mask[..., :, :-1], mask[..., 1:, :] & mask[..., :-1, :]
    if mask.device.type != "cpu":
        across = (values[..., :, 1:] - values[..., :, :-1]).movedim(1, -1).flatten(0, 2)
        down = (values[..., 1:, :] - values[..., :-1, :]).movedim(1, -1).flatten(0, 2)
        return [
            (across, index[..., :, :-1].flatten(), selected_across.flatten()),
            (down, index[..., :-1, :].flatten(), selected_down.flatten()),
        ]
    across = index[..., :, :-1][selected_across]
    down = index[..., :-1, :][selected_down]
    pixels = values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])
    picked = pixels.index_select(0, torch.cat([across, across + 1, down, down + width]))
    first, right, above, below = picked.split([len(across)] * 2 + [len(down)] * 2)
    return [(right - first, across, None), (below - above, down, None)]
