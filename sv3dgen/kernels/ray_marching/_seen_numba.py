"""Marching and looking by turns: a few samples of each ray, their density, and on where light still passes.

Most rays meet the surface early. What lies behind it is neither marched nor is its density asked for. A thread takes
whole rays, so results do not depend on timing.
"""

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import NamedTuple, no_type_check  # no type checker's wrapper around a kernel: it cannot be compiled

import numpy as np
import torch
from numba import prange
from torch import Tensor

from sv3dgen.compiling.kernel import kernel
from sv3dgen.kernels.ray_marching._numba import _plain, grid_of, march_ray, most_samples

LOOKS = (12, 24)  # samples of a ray in the first looks
LAST_LOOKS = 48  # and in those after


class Look(NamedTuple):
    """What one look has found: t and density of its samples, which of them show, and where each ray's begin."""

    t: np.ndarray
    density: np.ndarray
    keep: np.ndarray
    offsets: np.ndarray


def march_seen(
    density_at: Callable[[Tensor], Tensor],
    origins: Tensor,
    directions: Tensor,
    occupied: Tensor,
    aabb: Tensor,
    step_size: float,
    jitter: Tensor,
    min_transmittance: float,
    min_alpha: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ray index, t, offsets and density of the samples; the arguments are those of `seen.march_seen`."""
    box, cells, blocks, phase = grid_of(occupied, aabb, jitter)
    rays = _plain(origins), _plain(directions)
    step, limits = np.float32(step_size), (np.float32(min_transmittance), np.float32(min_alpha))
    candidates = most_samples(box, step_size)
    number, light = np.zeros(len(origins), np.int64), np.ones(len(origins), np.float32)
    kept = np.zeros(len(origins), np.int64)
    looks = []
    for size in _sizes():
        room, offsets = np.empty((len(origins), size), np.float32), np.zeros(len(origins) + 1, np.int64)
        _advance_kernel(*rays, cells, blocks, box, step, phase, candidates, number, room, offsets[1:])
        np.cumsum(offsets, out=offsets)
        if offsets[-1] == 0:
            break
        t, points = np.empty(offsets[-1], np.float32), torch.empty(3, int(offsets[-1]))
        _place_kernel(*rays, room, offsets, t, points.numpy())
        density = _plain(density_at(points.t().to(origins.dtype)))
        look = Look(t, density, np.empty(len(t), np.bool_), offsets)
        _look_kernel(density, offsets, step, *limits, candidates, light, number, look.keep, kept)
        looks.append(look)
    ends = torch.zeros(len(origins) + 1, dtype=torch.int64)
    np.cumsum(kept, out=ends[1:].numpy())
    total, next_place = int(ends[-1]), ends[:-1].numpy().copy()
    ray_index, t, density = torch.empty(total, dtype=torch.int64), torch.empty(total), torch.empty(total)
    for look in looks:
        _collect_kernel(*look, next_place, ray_index.numpy(), t.numpy(), density.numpy())
    return ray_index, t.to(origins.dtype), ends, density


def _sizes() -> Iterator[int]:
    return chain(LOOKS, repeat(LAST_LOOKS))


@kernel(parallel=True, error_model="numpy")
@no_type_check
def _advance_kernel(origins, directions, occupied, blocks, box, step_size, phase, candidates, number, room, counts):
    for ray in prange(len(origins)):
        counts[ray] = 0
        if number[ray] < candidates:
            counts[ray], number[ray] = march_ray(
                origins[ray],
                directions[ray],
                occupied,
                blocks,
                box,
                step_size,
                phase[ray],
                number[ray],
                candidates,
                room[ray],
            )


@kernel(parallel=True)
@no_type_check
def _place_kernel(origins, directions, room, offsets, t, points):
    for ray in prange(len(origins)):
        for axis in range(3):
            origin, direction = origins[ray, axis], directions[ray, axis]
            for sample in range(offsets[ray + 1] - offsets[ray]):
                points[axis, offsets[ray] + sample] = origin + room[ray, sample] * direction
        for sample in range(offsets[ray + 1] - offsets[ray]):
            t[offsets[ray] + sample] = room[ray, sample]


@kernel(parallel=True, error_model="numpy")
@no_type_check
def _look_kernel(density, offsets, step_size, min_transmittance, min_alpha, candidates, light, number, keep, kept):
    for ray in prange(len(offsets) - 1):
        transmittance, shown = light[ray], 0
        for i in range(offsets[ray], offsets[ray + 1]):
            alpha = -np.expm1(-density[i] * step_size)
            keep[i] = transmittance > min_transmittance and alpha > min_alpha
            shown += keep[i]
            transmittance *= np.float32(1) - alpha
        light[ray] = transmittance
        kept[ray] += shown
        if not transmittance > min_transmittance:
            number[ray] = candidates  # done


@kernel(parallel=True)
@no_type_check
def _collect_kernel(t, density, keep, offsets, next_place, ray_index, kept_t, kept_density):
    for ray in prange(len(offsets) - 1):
        place = next_place[ray]
        for i in range(offsets[ray], offsets[ray + 1]):
            if keep[i]:
                ray_index[place], kept_t[place], kept_density[place] = ray, t[i], density[i]
                place += 1
        next_place[ray] = place
