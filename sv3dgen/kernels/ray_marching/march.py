"""Marching rays through an occupancy grid, and compositing what lies on them.

Samples are packed: those of ray r are offsets[r] : offsets[r + 1] of every per-sample tensor, front to back. The volume
rendering integral is discretized as usual (Max 1995): alpha_i = 1 - exp(-density_i delta_i), transmittance T_i is the
product of 1 - alpha_j over the samples before i, and the weight of a sample is T_i alpha_i.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sv3dgen.devices import has_float64
from sv3dgen.kernels.backend import Backend, resolve


@dataclass(frozen=True)
class RaySamples:
    """Packed samples of rays, front to back."""

    ray_index: Int[Tensor, " samples"]
    t: Float[Tensor, " samples"]  # distance along the ray to the middle of the sample's interval, in world units
    delta: Float[Tensor, " samples"]  # length of the interval
    offsets: Int[Tensor, " rays_plus_one"]

    def select(self, keep: Bool[Tensor, " samples"]) -> "RaySamples":
        """The samples that `keep` marks. Their intervals stay as long as they were."""
        return self.picked(keep, keep.nonzero()[:, 0])  # once: the host waits for a GPU to tell how many there are

    def picked(self, keep: Bool[Tensor, " samples"], index: Int[Tensor, " kept"]) -> "RaySamples":
        """As `select`, where the places of what `keep` marks are known."""
        kept_before = torch.nn.functional.pad(keep.cumsum(0), (1, 0))
        return RaySamples(self.ray_index[index], self.t[index], self.delta[index], kept_before[self.offsets])


def march(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    occupied: Bool[Tensor, "x y z"],
    aabb: Float[Tensor, "2 3"],
    *,
    step_size: float,
    jitter: Float[Tensor, " rays"],
    backend: Backend = "auto",
) -> RaySamples:
    """Samples `step_size` apart on each ray, kept where they fall into an occupied cell of the box `aabb` (low, high).

    Directions have unit length. With t_near where the ray enters the box (0 if it starts inside), the samples stand at
    t_near + (k + 1/2 + jitter) step_size, for every integer k that puts them inside; jitter in [0, 1), zero for
    evaluation. Not differentiable. All but torch compute in float32 whatever the dtype, and nerfacc may
    differ for samples within 2e-5 of a cell's face. Raises ValueError for step_size <= 0.
    """
    if not step_size > 0:
        raise ValueError(f"step_size: expected a positive length, got {step_size}")
    chosen = resolve("ray_marching", backend, origins.device)
    if chosen == "torch":
        with torch.no_grad():
            return _march_reference(origins, directions, occupied, aabb, step_size, jitter)
    ray_index, t, offsets = _compiled(chosen).march(origins, directions, occupied, aabb, step_size, jitter)
    return RaySamples(ray_index, t, torch.full_like(t, step_size), offsets)


def render_weights(
    density: Float[Tensor, " samples"],
    delta: Float[Tensor, " samples"],
    offsets: Int[Tensor, " rays_plus_one"],
    *,
    backend: Backend = "auto",
) -> Float[Tensor, " samples"]:
    """Share of each sample in its ray's color, T_i (1 - exp(-density_i delta_i)); differentiable in the density."""
    chosen = resolve("ray_marching", backend, density.device)
    if chosen == "torch":
        if not has_float64(density.device):
            return render_weights(density.cpu(), delta.cpu(), offsets.cpu()).to(density.device)
        transmittance, alpha = _transmittance_and_alpha(density, delta.detach(), offsets)
        return transmittance * alpha
    if chosen == "nerfacc":
        return _compiled(chosen).render_weights(density, delta, offsets)
    from sv3dgen.kernels.ray_marching._autograd import RenderWeights

    return RenderWeights.apply(density, delta, offsets, _compiled(chosen))


def accumulate(
    weights: Float[Tensor, " samples"],
    values: Float[Tensor, "samples channels"],
    offsets: Int[Tensor, " rays_plus_one"],
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "rays channels"]:
    """Weighted sum of the values along each ray, zero where a ray has no samples; differentiable in both."""
    chosen = resolve("ray_marching", backend, values.device)
    if chosen == "torch":
        sums = values.new_zeros(len(offsets) - 1, values.shape[1])
        return sums.index_add(0, _ray_index(offsets), weights[:, None] * values)
    if chosen == "nerfacc":
        return _compiled(chosen).accumulate(weights, values, offsets)
    from sv3dgen.kernels.ray_marching._autograd import Accumulate

    return Accumulate.apply(weights, values, offsets, _compiled(chosen))


@torch.no_grad()
def prune(
    density: Float[Tensor, " samples"],
    delta: Float[Tensor, " samples"],
    offsets: Int[Tensor, " rays_plus_one"],
    *,
    min_transmittance: float = 1e-3,
    min_alpha: float = 1e-3,
    backend: Backend = "auto",
) -> Bool[Tensor, " samples"]:
    """Which samples show: more than `min_transmittance` of the light reaches them, and alpha is above `min_alpha`.

    Run the field once without gradients, `samples.select(prune(...))`, and only what is left with gradients.
    """
    chosen = resolve("ray_marching", backend, density.device)
    if chosen == "torch":
        if not has_float64(density.device):
            keep = prune(
                density.cpu(),
                delta.cpu(),
                offsets.cpu(),
                min_transmittance=min_transmittance,
                min_alpha=min_alpha,
            )
            return keep.to(density.device)
        transmittance, alpha = _transmittance_and_alpha(density, delta, offsets)
        return (transmittance > min_transmittance) & (alpha > min_alpha)
    return _compiled(chosen).prune(density, delta, offsets, min_transmittance, min_alpha)


@cache
def _compiled(backend: str) -> ModuleType:
    """The module of a version, loaded only where it is used."""
    return import_module(f"sv3dgen.kernels.ray_marching._{backend}")


# The definition, in plain torch.


def _march_reference(
    origins: Tensor, directions: Tensor, occupied: Tensor, aabb: Tensor, step_size: float, jitter: Tensor
) -> RaySamples:
    near, far = clip_to_box(origins, directions, aabb)
    low, high = aabb
    phase = (jitter + 0.5) % 1.0
    candidates = int(torch.linalg.vector_norm(high - low) / step_size) + 2
    number = torch.arange(candidates, device=origins.device, dtype=origins.dtype)
    t = near[:, None] + (number + phase[:, None]) * step_size
    points = origins[:, None] + t[..., None] * directions[:, None]
    shape = torch.tensor(occupied.shape, device=origins.device)
    # Rays that miss have infinite t, and conversion of that to integers is undefined.
    cell = torch.nan_to_num((points - low) * (shape / (high - low))).clamp(min=0).minimum(shape - 1).long()
    keep = (t < far[:, None]) & occupied[cell.unbind(-1)]
    offsets = torch.nn.functional.pad(keep.sum(dim=1).cumsum(0), (1, 0))
    return RaySamples(keep.nonzero()[:, 0], t[keep], torch.full_like(t[keep], step_size), offsets)


def clip_to_box(
    origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], aabb: Float[Tensor, "2 3"]
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """Distances at which rays enter (not before 0) and leave the box; those that miss leave before they enter."""
    to_low, to_high = (aabb[0] - origins) / directions, (aabb[1] - origins) / directions
    # A ray parallel to two faces is between them everywhere or nowhere; the quotients may be 0 / 0 there.
    parallel, between = directions == 0, (origins >= aabb[0]) & (origins <= aabb[1])
    infinity = torch.full_like(to_low, torch.inf)
    enter = torch.where(parallel, torch.where(between, -infinity, infinity), torch.minimum(to_low, to_high))
    leave = torch.where(parallel, torch.where(between, infinity, -infinity), torch.maximum(to_low, to_high))
    return enter.amax(dim=1).clamp(min=0), leave.amin(dim=1)


def _transmittance_and_alpha(density: Tensor, delta: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    depth = density * delta
    # Sums run over all rays at once and the part before each ray is taken off, which takes 64 bits.
    before = torch.nn.functional.pad(depth.double().cumsum(0), (1, 0))
    since_start = before[:-1] - before[offsets[_ray_index(offsets)]]
    return torch.exp(-since_start).to(density.dtype), -torch.expm1(-depth)


def _ray_index(offsets: Int[Tensor, " rays_plus_one"]) -> Int[Tensor, " samples"]:
    return torch.repeat_interleave(offsets.diff())
