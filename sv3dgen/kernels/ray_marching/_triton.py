"""The Triton version of marching and compositing: a program takes a ray, its samples side by side.

Nothing is added atomically, so results do not depend on timing. The kernels are in `_march_triton` and
`_composite_triton`.
"""

import torch
from torch import Tensor

from sv3dgen.kernels.ray_marching._composite_triton import (
    accumulate_backward_kernel,
    accumulate_kernel,
    prune_kernel,
    weights_backward_kernel,
    weights_kernel,
)
from sv3dgen.kernels.ray_marching._march_triton import count_kernel, pack_kernel
from sv3dgen.kernels.triton_launch import launch, power_of_two

PLACES = 128  # on a ray that marching looks at at once
SAMPLES = 32  # of a ray that compositing takes at once
EXACT = {"enable_fp_fusion": False}  # with the reference's roundings, the same samples are kept, to the last one


def march(
    origins: Tensor, directions: Tensor, occupied: Tensor, aabb: Tensor, step_size: float, jitter: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Ray index, t and offsets of the samples; the arguments are those of `ray_marching.march`."""
    low, high = box = aabb.detach().float()
    # Both stay on the device: the host would wait for it to read them.
    cells_per_length = torch.stack([size / side for size, side in zip(occupied.shape, high - low, strict=True)])
    places = (torch.linalg.vector_norm(high - low) / step_size).int() + 2
    phase = (jitter.detach().float() + 0.5) % 1.0
    cells = occupied.detach().contiguous().view(torch.uint8)
    rays = _plain(origins), _plain(directions), phase, cells, box.contiguous(), cells_per_length, places
    sizes = *occupied.shape, float(step_size)
    grid = (len(origins),)
    offsets = torch.zeros(len(origins) + 1, dtype=torch.int64, device=origins.device)
    launch(count_kernel, grid, *rays, offsets, *sizes, PLACES=PLACES, **EXACT)
    torch.cumsum(offsets, 0, out=offsets)
    total = int(offsets[-1])
    ray_index = torch.empty(total, dtype=torch.int64, device=origins.device)
    t = torch.empty(total, device=origins.device)
    launch(pack_kernel, grid, *rays, offsets, ray_index, t, *sizes, PLACES=PLACES, **EXACT)
    return ray_index, t.to(origins.dtype), offsets


def weights(density: Tensor, delta: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """The weight of each sample, and the transmittance behind it."""
    found, behind = (torch.empty(len(density), device=density.device) for _ in range(2))
    _launch(weights_kernel, offsets, density, delta, found, behind)
    return found, behind


def weights_backward(grad: Tensor, delta: Tensor, offsets: Tensor, weights: Tensor, behind: Tensor) -> Tensor:
    """Gradient in the density from that in the weights."""
    grad_density = torch.empty(len(grad), device=grad.device)
    _launch(weights_backward_kernel, offsets, grad, delta, weights, behind, grad_density)
    return grad_density


def prune(density: Tensor, delta: Tensor, offsets: Tensor, min_transmittance: float, min_alpha: float) -> Tensor:
    """Mask of the samples that can be seen; the arguments are those of `ray_marching.prune`."""
    keep = torch.empty(len(density), dtype=torch.uint8, device=density.device)
    _launch(prune_kernel, offsets, density, delta, keep, float(min_transmittance), float(min_alpha))
    return keep.bool()


def accumulate(weights: Tensor, values: Tensor, offsets: Tensor) -> Tensor:
    """Weighted sums along the rays."""
    channels = values.shape[1]
    sums = torch.empty(len(offsets) - 1, channels, device=values.device)
    _launch(accumulate_kernel, offsets, weights, values, sums, channels, WIDTH=power_of_two(channels))
    return sums


def accumulate_backward(weights: Tensor, values: Tensor, offsets: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in the weights and in the values from that in the sums."""
    channels = values.shape[1]
    grad_weights = torch.empty(len(weights), device=values.device)
    grad_values = torch.empty(values.shape, device=values.device)
    samples = weights, values, grad, grad_weights, grad_values
    width = power_of_two(channels)
    _launch(accumulate_backward_kernel, offsets, *samples, channels, WIDTH=width)
    return grad_weights, grad_values


def _launch(kernel, offsets: Tensor, *arguments, **constants) -> None:
    """Run a kernel on every ray; tensors among the arguments are made plain."""
    plain = (argument.detach().contiguous() if isinstance(argument, Tensor) else argument for argument in arguments)
    launch(kernel, (len(offsets) - 1,), offsets.long().contiguous(), *plain, **constants, SAMPLES=SAMPLES, num_warps=1)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().float().contiguous()
