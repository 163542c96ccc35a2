"""Marching and compositing by nerfacc (MIT, from 0.5.3 on), behind the calls of `ray_marching`.

nerfacc steps from a ray's near plane and keeps an interval where its middle falls into an occupied cell. With the near
plane half a step before the first sample that we place, its middles are our samples. It adds the step up, which drifts
by some 1e-5 along a ray; so its distances are set to the exact place of the number they stand for. It finds cells by
walking from face to face, off by about 1e-6: samples that near to a cell's face may be kept or not.
"""

import nerfacc  # pyright: ignore[reportMissingImports]  (an accelerator)
import torch
from torch import Tensor

from sv3dgen.kernels.ray_marching.march import clip_to_box


@torch.no_grad()
def march(
    origins: Tensor, directions: Tensor, occupied: Tensor, aabb: Tensor, step_size: float, jitter: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Ray index, t and offsets of the samples; the arguments are those of `ray_marching.march`."""
    if len(origins) == 0:
        return jitter.new_empty(0, dtype=torch.int64), jitter.new_empty(0), jitter.new_zeros(1, dtype=torch.int64)
    rays, box = (origins.float().contiguous(), directions.float().contiguous()), aabb.float()
    near, far = clip_to_box(*rays, box)
    hits, phase = near < far, (jitter.float() + 0.5) % 1.0
    # Rays that miss end before they begin: from a near plane that is not a number nerfacc would step for ever.
    near, far = torch.where(hits, near, 1.0), torch.where(hits, far, 0.0)
    near_planes = near + (phase - 0.5) * step_size
    grid = {"binaries": occupied[None].contiguous(), "aabbs": box.reshape(1, 6)}
    planes = {"near_planes": near_planes, "far_planes": far, "step_size": step_size}
    _, samples, _ = nerfacc.traverse_grids(*rays, **grid, **planes)
    ray_index = samples.ray_indices.long()
    steps = ((samples.vals - near_planes[ray_index]) / step_size - 0.5).round()
    t = near[ray_index] + (steps + phase[ray_index]) * step_size
    counts = torch.bincount(ray_index, minlength=len(origins))
    return ray_index, t.to(origins.dtype), torch.nn.functional.pad(counts.cumsum(0), (1, 0))


def render_weights(density: Tensor, delta: Tensor, offsets: Tensor) -> Tensor:
    """The weight of each sample; differentiable in the density."""
    if len(density) == 0:
        return density * delta.detach()
    weights, _, _ = nerfacc.render_weight_from_density(**_intervals(density, delta, offsets))
    return weights.to(density.dtype)


def accumulate(weights: Tensor, values: Tensor, offsets: Tensor) -> Tensor:
    """Weighted sums along the rays; differentiable in both."""
    ray_index = torch.repeat_interleave(offsets.diff())
    sums = nerfacc.accumulate_along_rays(weights, values, ray_indices=ray_index, n_rays=len(offsets) - 1)
    return sums.to(values.dtype)


def prune(density: Tensor, delta: Tensor, offsets: Tensor, min_transmittance: float, min_alpha: float) -> Tensor:
    """Mask of the samples that can be seen; the arguments are those of `ray_marching.prune`."""
    if len(density) == 0:
        return torch.empty(0, dtype=torch.bool, device=density.device)
    # Not its render_visibility_from_density: that keeps empty samples where the least alpha is 0.
    transmittance, alpha = nerfacc.render_transmittance_from_density(**_intervals(density, delta, offsets))
    return (transmittance > min_transmittance) & (alpha > min_alpha)


def _intervals(density: Tensor, delta: Tensor, offsets: Tensor) -> dict[str, Tensor]:
    """Densities and lengths as nerfacc takes them. Of where an interval starts it uses the length alone."""
    length = delta.detach().float().contiguous()
    chunks = torch.stack([offsets[:-1], offsets.diff()], dim=1).long()
    starts = torch.zeros_like(length)
    return {"t_starts": starts, "t_ends": length, "sigmas": density.float().contiguous(), "packed_info": chunks}
