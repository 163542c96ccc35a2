"""Plane sweep (Collins 1996): for every pixel of a picture, the plane on which other views look most alike.

A plane takes each pixel of the reference to a place in a source by a homography. Alike is what correlates in a window:
over the n pixels of the window that both object masks have, with the sources read bilinearly,

    score = c_IJ / sqrt(c_II c_JJ) * c_II / (c_II + n noise^2),    c_IJ = sum IJ - sum I sum J / n

which is the normalized cross-correlation where there is texture, and falls to zero where the contrast is that of noise;
the second factor is nearly the same on all planes of a pixel, so that it does not choose among them.
A window with less than `LEAST_SHARE` of its pixels in both masks says nothing. Where something hides the surface from
some of the sources, the best ones still see it: a pixel's score is the mean of its `best` best sources.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sv3dgen.kernels.backend import Backend, resolve

LEAST_SHARE = 0.4  # of a window
NOISE = 0.01  # of intensities in [0, 1]: about two and a half steps of 8 bits
TINY = 1e-6  # sums of squares under it are rounding
APART = 3  # planes from the best one, from where on another peak is a rival
NOTHING = -1.0  # the score where nothing can be compared


class Sweep(NamedTuple):
    """What was found for each pixel."""

    plane: Float[Tensor, "height width"]  # index of the best plane, refined between planes by a parabola
    score: Float[Tensor, "height width"]  # of the best plane, -1 to 1; -1 where nothing could be compared
    rival: Float[Tensor, "height width"]  # the best score more than `APART` planes from it; -1 where there is none


def plane_sweep(
    reference: Float[Tensor, "height width"],
    mask: Bool[Tensor, "height width"],
    sources: Float[Tensor, "sources rows columns"],
    source_masks: Bool[Tensor, "sources rows columns"],
    homographies: Float[Tensor, "planes sources 3 3"],
    first: Int[Tensor, "height width"],
    last: Int[Tensor, "height width"],
    *,
    radius: int,
    best: int = 2,
    backend: Backend = "auto",
) -> Sweep:
    """The best plane of each pixel of `mask` among its planes `first` to `last`, both included.

    A homography takes (column, row, 1) of the reference to the source, pixel centers at .5; windows have 2 `radius` + 1
    pixels a side. Raises ValueError for fewer sources than `best`, and a radius under 1.
    """
    if not 1 <= best <= len(sources):
        raise ValueError(f"best: expected 1 to {len(sources)}, the number of sources, got {best}")
    if radius < 1:
        raise ValueError(f"radius: expected at least 1, got {radius}")
    ranges = first.int(), last.int()
    if resolve("plane_sweep", backend, reference.device) == "numba":
        from sv3dgen.kernels.plane_sweep._numba import sweep

        return Sweep(*sweep(reference, mask, sources, source_masks, homographies, *ranges, radius, best))
    scores = _scores(reference, mask, sources, source_masks, homographies, radius, best)
    return _picked(scores, mask, *ranges)


def _scores(
    reference: Tensor,
    mask: Tensor,
    sources: Tensor,
    source_masks: Tensor,
    homographies: Tensor,
    radius: int,
    best: int,
) -> Float[Tensor, "planes height width"]:
    """The definition, in plain torch, a plane at a time."""
    height, width = reference.shape
    rows, columns = sources.shape[1:]
    col, row = torch.meshgrid(
        torch.arange(width, device=reference.device) + 0.5,
        torch.arange(height, device=reference.device) + 0.5,
        indexing="xy",
    )
    pixels = torch.stack([col, row, torch.ones_like(col)]).flatten(1)
    found = []
    for plane in homographies:
        there = (plane @ pixels).unflatten(-1, (height, width))
        ahead = there[:, 2] > 0
        x, y = (there[:, axis] / there[:, 2].where(ahead, 1.0) - 0.5 for axis in (0, 1))
        inside = ahead & (x >= 0) & (y >= 0) & (x < columns - 1) & (y < rows - 1)
        x, y = x.where(inside, 0.0), y.where(inside, 0.0)
        left, top = x.floor().long(), y.floor().long()
        which = torch.arange(len(sources), device=left.device)[:, None, None]
        corners = [(which, top + i, left + j) for i, j in ((0, 0), (0, 1), (1, 0), (1, 1))]
        shared = inside & mask
        for corner in corners:
            shared = shared & source_masks[corner]
        a, b = x - left, y - top
        weights = ((1 - b) * (1 - a), (1 - b) * a, b * (1 - a), b * a)
        seen = sum(weight * sources[corner] for weight, corner in zip(weights, corners, strict=True))
        found.append(_correlation(reference, seen, shared, mask, radius).topk(best, dim=0).values)
    picked = torch.stack(found)  # planes, best, height, width
    return picked.mean(1).where(picked[:, -1] > NOTHING, NOTHING)


def _correlation(reference: Tensor, seen: Tensor, shared: Tensor, mask: Tensor, radius: int) -> Tensor:
    weight = shared.to(reference)
    here, there = (reference - 0.5) * weight, (seen - 0.5) * weight
    window = 2 * radius + 1
    quantities = torch.stack([weight, here, there, here * here, there * there, here * there], 1)
    sums = torch.nn.functional.avg_pool2d(quantities, window, 1, radius, divisor_override=1)
    n, i, j, ii, jj, ij = sums.unbind(1)
    count = n.clamp_min(1)
    own, other = (ii - i * i / count).clamp_min(TINY), (jj - j * j / count).clamp_min(TINY)
    score = (ij - i * j / count) / (own * other).sqrt() * (own / (own + count * NOISE**2))
    told = mask & (n >= LEAST_SHARE * window**2)
    return score.where(told, NOTHING)


def _picked(scores: Tensor, mask: Tensor, first: Tensor, last: Tensor) -> Sweep:
    planes = torch.arange(len(scores), device=scores.device)[:, None, None]
    allowed = (planes >= first) & (planes <= last) & mask
    scores = scores.where(allowed, NOTHING)
    score, index = scores.max(0)
    rival = scores.where((planes - index).abs() > APART, NOTHING).amax(0)
    padded = torch.nn.functional.pad(scores, (0, 0, 0, 0, 1, 1), value=NOTHING)
    before, after = padded.gather(0, index[None])[0], padded.gather(0, index[None] + 2)[0]
    bend = before - 2 * score + after
    refinable = (before > NOTHING) & (after > NOTHING) & (bend < 0)
    shift = (0.5 * (before - after) / bend.where(refinable, -1.0)).where(refinable, 0.0)
    return Sweep(index + shift, score, rival)
