"""The samples of rays that show in a picture: those that light still comes from."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.kernels.backend import Backend, resolve
from sv3dgen.kernels.ray_marching.march import RaySamples, march, prune


@torch.no_grad()
def march_seen(
    density_at: Callable[[Float[Tensor, "samples 3"]], Float[Tensor, " samples"]],
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    occupied: Bool[Tensor, "x y z"],
    aabb: Float[Tensor, "2 3"],
    *,
    step_size: float,
    jitter: Float[Tensor, " rays"],
    min_transmittance: float = 1e-3,
    min_alpha: float = 1e-3,
    backend: Backend = "auto",
) -> tuple[RaySamples, Float[Tensor, " samples"]]:
    """What `march` finds and `prune` keeps, and its density, which `density_at` tells for points.

    On a CPU a ray is followed a few samples at a time, front to back, as most meet the surface early. On a GPU the host
    would wait at each look: there the density of all samples is asked for at once. Arguments and errors are those of
    `march` and `prune`.
    """
    if resolve("ray_marching", backend, origins.device) == "numba":
        from sv3dgen.kernels.ray_marching import _seen_numba

        if not step_size > 0:
            raise ValueError(f"step_size: expected a positive length, got {step_size}")
        rays = origins, directions, occupied, aabb, step_size, jitter, min_transmittance, min_alpha
        ray_index, t, offsets, density = _seen_numba.march_seen(density_at, *rays)
        return RaySamples(ray_index, t, torch.full_like(t, step_size), offsets), density
    samples = march(origins, directions, occupied, aabb, step_size=step_size, jitter=jitter, backend=backend)
    rays = samples.ray_index
    density = density_at(origins[rays] + samples.t[:, None] * directions[rays])
    limits = {"min_transmittance": min_transmittance, "min_alpha": min_alpha}
    keep = prune(density, samples.delta, samples.offsets, **limits, backend=backend)
    index = keep.nonzero()[:, 0]  # once: the host waits for a GPU to tell how many there are
    return samples.picked(keep, index), density[index]
