"""A slow nerfacc: the functions for marching and compositing, after its documentation, in float32 as it computes.

Marching steps from the near plane by adding the step up, and walks from cell to cell by adding up the distances between
their faces, 1e-6 ahead: that is how far its samples are from where exact arithmetic would put them.
"""

from types import SimpleNamespace

import numpy as np
import torch
from accelerator_case import module_of
from torch import Tensor

AHEAD = np.float32(1e-6)
MOST_STEPS = 100_000


def traverse_grids(
    rays_o: Tensor,
    rays_d: Tensor,
    binaries: Tensor,
    aabbs: Tensor,
    near_planes: Tensor,
    far_planes: Tensor,
    step_size: float = 1e-3,
) -> tuple[None, SimpleNamespace, None]:
    """Intervals (left out), samples and where rays end (left out): those of one grid [1, x, y, z] in aabbs [1, 6]."""
    for tensor in (rays_o, rays_d, aabbs, near_planes, far_planes):
        assert tensor.dtype == torch.float32
    assert binaries.dtype == torch.bool and len(binaries) == len(aabbs) == 1 and len(rays_o) > 0
    grid, low, high, step = binaries[0].numpy(), aabbs[0, :3].numpy(), aabbs[0, 3:].numpy(), np.float32(step_size)
    rays = zip(rays_o.numpy(), rays_d.numpy(), near_planes.numpy(), far_planes.numpy(), strict=True)
    found = [_march(origin, towards, near, far, grid, low, high, step) for origin, towards, near, far in rays]
    counts = torch.tensor([len(middles) for middles in found])
    samples = SimpleNamespace(
        vals=torch.tensor([middle for middles in found for middle in middles], dtype=torch.float32),
        ray_indices=torch.repeat_interleave(counts),
        packed_info=torch.stack([counts.cumsum(0) - counts, counts], dim=1),
    )
    return None, samples, None


def _march(origin, direction, near, far, occupied, low, high, step):
    """Middles of the intervals on one ray."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.float32(1) / direction
        to_faces = np.stack([(low - origin) * inverse, (high - origin) * inverse])
        enter, leave = np.fmax.reduce(to_faces.min(axis=0)), np.fmin.reduce(to_faces.max(axis=0))
    if enter > leave or leave <= 0:
        return []
    start, stop = np.fmax(enter, near), np.fmin(leave, far)
    if start >= stop:
        return []
    shape = np.array(occupied.shape)
    size = (high - low) / shape.astype(np.float32)

    def cell_at(t):
        return np.clip(((origin + direction * t - low) / (high - low) * shape).astype(int), 0, shape - 1)

    ahead = origin + direction * (start + AHEAD)
    cell, last = cell_at(start + AHEAD), cell_at(stop - AHEAD)
    sign = np.sign(direction).astype(int)
    beyond = low + (cell + (direction > 0)) * size - ahead
    with np.errstate(divide="ignore", invalid="ignore"):
        to_face = np.where(direction == 0, stop, beyond.astype(np.float32) * inverse + start)
        between = np.where(direction == 0, stop, size * inverse * sign)
    middles, t, half = [], near, step * np.float32(0.5)
    assert np.isfinite(t) and start - t < MOST_STEPS * step  # on a GPU it would go on for ever
    while t + half < start:
        t += step
    while True:
        while t + half < min(to_face.min(), stop):
            if occupied[tuple(cell)]:
                middles.append((t + (t + step)) * np.float32(0.5))
            t += step
        axis = 0 if to_face[0] < to_face[1] and to_face[0] < to_face[2] else 1 if to_face[1] < to_face[2] else 2
        cell[axis] += sign[axis]
        to_face[axis] = np.float32(to_face[axis] + between[axis])
        if cell[axis] == last[axis] + sign[axis]:
            return middles


def render_transmittance_from_density(
    t_starts: Tensor, t_ends: Tensor, sigmas: Tensor, packed_info: Tensor
) -> tuple[Tensor, Tensor]:
    """exp(-sum of what is before), 1 - exp(-own); `packed_info` has start and count of each ray's samples."""
    assert t_starts.dtype == t_ends.dtype == sigmas.dtype == torch.float32 and packed_info.dtype == torch.int64
    depth = sigmas * (t_ends - t_starts)
    before = [depth[start : start + count].cumsum(0) - depth[start : start + count] for start, count in packed_info]
    return torch.exp(-torch.cat(before)), 1 - torch.exp(-depth)


def render_weight_from_density(
    t_starts: Tensor, t_ends: Tensor, sigmas: Tensor, packed_info: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, transmittances and opacities."""
    transmittance, alpha = render_transmittance_from_density(t_starts, t_ends, sigmas, packed_info)
    return transmittance * alpha, transmittance, alpha


def accumulate_along_rays(weights: Tensor, values: Tensor, ray_indices: Tensor, n_rays: int) -> Tensor:
    """Weighted sums [n_rays, channels]."""
    assert weights.shape == values.shape[:-1]
    terms = weights[..., None] * values
    return torch.zeros(n_rays, terms.shape[-1], dtype=terms.dtype).index_add(0, ray_indices, terms)


MODULES = {
    "nerfacc": module_of(
        "nerfacc",
        traverse_grids=traverse_grids,
        render_transmittance_from_density=render_transmittance_from_density,
        render_weight_from_density=render_weight_from_density,
        accumulate_along_rays=accumulate_along_rays,
    )
}
