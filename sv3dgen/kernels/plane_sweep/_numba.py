"""The numba version of the plane sweep: threads take planes, then rows of pixels.

A plane's window sums run down the columns and along the rows, so that a window costs the same at any radius.
"""

from typing import no_type_check  # a run-time type checker's wrapper around a kernel cannot be compiled

import numpy as np
import torch
from numba import prange
from torch import Tensor

from sv3dgen.compiling.kernel import kernel
from sv3dgen.kernels.plane_sweep.sweep import APART, LEAST_SHARE, NOISE, NOTHING, TINY

SUMS = 6  # of a window: pixels, I, J, II, JJ, IJ


def sweep(
    reference: Tensor,
    mask: Tensor,
    sources: Tensor,
    source_masks: Tensor,
    homographies: Tensor,
    first: Tensor,
    last: Tensor,
    radius: int,
    best: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Plane, score and rival of each pixel, as `plane_sweep` has them."""
    found = torch.zeros(reference.shape), torch.full(reference.shape, NOTHING), torch.full(reference.shape, NOTHING)
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    if len(rows) == 0:
        return found
    top, left = int(rows[0]), int(columns[0])
    box = slice(top, int(rows[-1]) + 1), slice(left, int(columns[-1]) + 1)
    here = _plain(reference[box]), mask[box].contiguous().numpy()
    volume = np.empty((len(homographies), *here[0].shape), np.float32)
    ranges = first[box].contiguous().numpy(), last[box].contiguous().numpy()
    there = _plain(sources), source_masks.contiguous().numpy()
    _score(*here, *there, _plain(homographies), *ranges, top, left, radius, best, volume)
    picked = [tensor[box].contiguous() for tensor in found]  # or a box that is the whole picture is of another type
    _pick(volume, here[1], *ranges, *(part.numpy() for part in picked))
    for tensor, part in zip(found, picked, strict=True):
        tensor[box] = part
    return found


def _plain(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()


@kernel(parallel=True, error_model="numpy")
@no_type_check
def _score(reference, mask, sources, source_masks, homographies, first, last, top, left, radius, best, volume):
    for plane in prange(len(homographies)):
        ranks = np.full((best, *mask.shape), np.float32(NOTHING), np.float32)
        for source in range(len(sources)):
            quantities = _warped(
                reference, mask, sources[source], source_masks[source], homographies[plane, source], top, left
            )
            _rank(quantities, mask, first, last, plane, radius, ranks)
        for i in range(mask.shape[0]):
            for j in range(mask.shape[1]):
                total = np.float32(0)
                for place in range(best):
                    total += ranks[place, i, j]
                volume[plane, i, j] = total / best if ranks[best - 1, i, j] > NOTHING else NOTHING


@kernel(error_model="numpy")
@no_type_check
def _warped(reference, mask, source, source_mask, homography, top, left):
    """The two pictures, less .5, where both masks have them: [height, width, (weight, I, J)]."""
    height, width = mask.shape
    rows, columns = source.shape
    out = np.zeros((height, width, 3), np.float32)
    h = homography
    for i in range(height):
        y0 = np.float32(top + i) + np.float32(0.5)
        for j in range(width):
            if not mask[i, j]:
                continue
            x0 = np.float32(left + j) + np.float32(0.5)
            w = h[2, 0] * x0 + h[2, 1] * y0 + h[2, 2]
            if not w > 0:
                continue
            x = (h[0, 0] * x0 + h[0, 1] * y0 + h[0, 2]) / w - np.float32(0.5)
            y = (h[1, 0] * x0 + h[1, 1] * y0 + h[1, 2]) / w - np.float32(0.5)
            if not (x >= 0 and y >= 0 and x < columns - 1 and y < rows - 1):
                continue
            c, r = int(x), int(y)
            if not (
                source_mask[r, c] and source_mask[r, c + 1] and source_mask[r + 1, c] and source_mask[r + 1, c + 1]
            ):
                continue
            a, b = x - np.float32(c), y - np.float32(r)
            upper = source[r, c] + a * (source[r, c + 1] - source[r, c])
            lower = source[r + 1, c] + a * (source[r + 1, c + 1] - source[r + 1, c])
            out[i, j, 0] = 1
            out[i, j, 1] = reference[i, j] - np.float32(0.5)
            out[i, j, 2] = upper + b * (lower - upper) - np.float32(0.5)
    return out


@kernel(error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
@no_type_check
def _rank(values, mask, first, last, plane, radius, ranks):
    """Correlate, and put each pixel's score among its best."""
    height, width = mask.shape
    least = np.float32(LEAST_SHARE * (2 * radius + 1) ** 2)
    noise, tiny = np.float32(NOISE**2), np.float32(TINY)
    column = np.zeros((width, SUMS), np.float32)
    for i in range(-radius, height):
        for sign, row in ((1, i + radius), (-1, i - radius - 1)):
            if row < 0 or row >= height:
                continue
            for j in range(width):
                if values[row, j, 0] == 0:
                    continue
                p, q = values[row, j, 1], values[row, j, 2]
                column[j, 0] += sign
                column[j, 1] += sign * p
                column[j, 2] += sign * q
                column[j, 3] += sign * p * p
                column[j, 4] += sign * q * q
                column[j, 5] += sign * p * q
        if i < 0:
            continue
        n = s1 = s2 = s3 = s4 = s5 = np.float32(0)
        for j in range(-radius, width):
            if j + radius < width:
                c = column[j + radius]
                n, s1, s2, s3, s4, s5 = n + c[0], s1 + c[1], s2 + c[2], s3 + c[3], s4 + c[4], s5 + c[5]
            if j - radius - 1 >= 0:
                c = column[j - radius - 1]
                n, s1, s2, s3, s4, s5 = n - c[0], s1 - c[1], s2 - c[2], s3 - c[3], s4 - c[4], s5 - c[5]
            if j < 0 or not mask[i, j] or n < least or plane < first[i, j] or plane > last[i, j]:
                continue
            own, other = max(s3 - s1 * s1 / n, tiny), max(s4 - s2 * s2 / n, tiny)
            score = (s5 - s1 * s2 / n) / np.sqrt(own * other) * (own / (own + n * noise))
            for place in range(ranks.shape[0]):
                if score > ranks[place, i, j]:
                    score, ranks[place, i, j] = ranks[place, i, j], score


@kernel(parallel=True, error_model="numpy")
@no_type_check
def _pick(volume, mask, first, last, planes, scores, rivals):
    count = len(volume)
    for i in prange(mask.shape[0]):
        for j in range(mask.shape[1]):
            if not mask[i, j]:
                continue
            low, high = max(first[i, j], 0), min(last[i, j], count - 1)
            top, index = np.float32(NOTHING), 0
            for plane in range(low, high + 1):
                if volume[plane, i, j] > top:
                    top, index = volume[plane, i, j], plane
            rival = np.float32(NOTHING)
            for plane in range(low, high + 1):
                if abs(plane - index) > APART and volume[plane, i, j] > rival:
                    rival = volume[plane, i, j]
            place = np.float32(index)
            if low < index < high and top > NOTHING:
                before, after = volume[index - 1, i, j], volume[index + 1, i, j]
                bend = before - 2 * top + after
                if before > NOTHING and after > NOTHING and bend < 0:
                    place += np.float32(0.5) * (before - after) / bend
            planes[i, j], scores[i, j], rivals[i, j] = place, top, rival
