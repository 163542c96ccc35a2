"""The Triton version of marching and compositing: a program takes a ray, its samples side by side.

Nothing is added atomically, so results do not depend on timing. Marching looks at every place a sample may stand at
rather than skip empty cells: they are independent of one another, and neighboring lanes read neighboring cells.
"""

from typing import no_type_check  # a run-time type checker's wrapper around a kernel cannot be compiled

import torch
import triton
import triton.language as tl
from torch import Tensor

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
    launch(_count_kernel, grid, *rays, offsets, *sizes, PLACES=PLACES, **EXACT)
    torch.cumsum(offsets, 0, out=offsets)
    total = int(offsets[-1])
    ray_index = torch.empty(total, dtype=torch.int64, device=origins.device)
    t = torch.empty(total, device=origins.device)
    launch(_pack_kernel, grid, *rays, offsets, ray_index, t, *sizes, PLACES=PLACES, **EXACT)
    return ray_index, t.to(origins.dtype), offsets


def weights(density: Tensor, delta: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """The weight of each sample, and the transmittance behind it."""
    found, behind = (torch.empty(len(density), device=density.device) for _ in range(2))
    _launch(_weights_kernel, offsets, density, delta, found, behind)
    return found, behind


def weights_backward(grad: Tensor, delta: Tensor, offsets: Tensor, weights: Tensor, behind: Tensor) -> Tensor:
    """Gradient in the density from that in the weights."""
    grad_density = torch.empty(len(grad), device=grad.device)
    _launch(_weights_backward_kernel, offsets, grad, delta, weights, behind, grad_density)
    return grad_density


def prune(density: Tensor, delta: Tensor, offsets: Tensor, min_transmittance: float, min_alpha: float) -> Tensor:
    """Mask of the samples that can be seen; the arguments are those of `ray_marching.prune`."""
    keep = torch.empty(len(density), dtype=torch.uint8, device=density.device)
    _launch(_prune_kernel, offsets, density, delta, keep, float(min_transmittance), float(min_alpha))
    return keep.bool()


def accumulate(weights: Tensor, values: Tensor, offsets: Tensor) -> Tensor:
    """Weighted sums along the rays."""
    channels = values.shape[1]
    sums = torch.empty(len(offsets) - 1, channels, device=values.device)
    _launch(_accumulate_kernel, offsets, weights, values, sums, channels, WIDTH=power_of_two(channels))
    return sums


def accumulate_backward(weights: Tensor, values: Tensor, offsets: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in the weights and in the values from that in the sums."""
    channels = values.shape[1]
    grad_weights = torch.empty(len(weights), device=values.device)
    grad_values = torch.empty(values.shape, device=values.device)
    samples = weights, values, grad, grad_weights, grad_values
    width = power_of_two(channels)
    _launch(_accumulate_backward_kernel, offsets, *samples, channels, WIDTH=width)
    return grad_weights, grad_values


def _launch(kernel, offsets: Tensor, *arguments, **constants) -> None:
    """Run a kernel on every ray; tensors among the arguments are made plain."""
    plain = (argument.detach().contiguous() if isinstance(argument, Tensor) else argument for argument in arguments)
    launch(kernel, (len(offsets) - 1,), offsets.long().contiguous(), *plain, **constants, SAMPLES=SAMPLES, num_warps=1)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().float().contiguous()


@triton.jit
@no_type_check
def _between_faces(origin, direction, low, high):
    """Distances at which a ray enters and leaves the space between two opposite faces of the box."""
    parallel = direction == 0
    divisor = tl.where(parallel, 1.0, direction)
    to_low, to_high = tl.div_rn(low - origin, divisor), tl.div_rn(high - origin, divisor)
    always = tl.where((origin >= low) & (origin <= high), float("inf"), -float("inf"))
    enter = tl.where(parallel, -always, tl.minimum(to_low, to_high))
    leave = tl.where(parallel, always, tl.maximum(to_low, to_high))
    return enter, leave


@triton.jit
@no_type_check
def _cell(t, origin, direction, low, cells_per_length, size):
    """The cell along one axis. Written so that NaN becomes zero, which keeps it inside the grid."""
    place = (origin + t * direction - low) * cells_per_length
    return tl.minimum(tl.where(place > 0, place, 0.0), size - 1).to(tl.int32)


@triton.jit
@no_type_check
def _ray(origins, directions, box, ray):
    """Origin and direction of a ray, and where it enters (not before 0) and leaves the box."""
    x, y, z = tl.load(origins + 3 * ray), tl.load(origins + 3 * ray + 1), tl.load(origins + 3 * ray + 2)
    dx, dy, dz = tl.load(directions + 3 * ray), tl.load(directions + 3 * ray + 1), tl.load(directions + 3 * ray + 2)
    enter_x, leave_x = _between_faces(x, dx, tl.load(box), tl.load(box + 3))
    enter_y, leave_y = _between_faces(y, dy, tl.load(box + 1), tl.load(box + 4))
    enter_z, leave_z = _between_faces(z, dz, tl.load(box + 2), tl.load(box + 5))
    near = tl.maximum(tl.maximum(tl.maximum(enter_x, enter_y), enter_z), 0.0)
    return x, y, z, dx, dy, dz, near, tl.minimum(tl.minimum(leave_x, leave_y), leave_z)


@triton.jit
@no_type_check
def _keep(t, far, x, y, z, dx, dy, dz, cells, box, cells_per_length, size_x, size_y, size_z):
    """Which of the places t are inside the box and in an occupied cell."""
    inside = t < far
    cell_x = _cell(t, x, dx, tl.load(box), tl.load(cells_per_length), size_x)
    cell_y = _cell(t, y, dy, tl.load(box + 1), tl.load(cells_per_length + 1), size_y)
    cell_z = _cell(t, z, dz, tl.load(box + 2), tl.load(cells_per_length + 2), size_z)
    return inside & (tl.load(cells + (cell_x * size_y + cell_y) * size_z + cell_z, mask=inside, other=0) != 0)


@triton.jit
@no_type_check
def _count_kernel(
    origins,
    directions,
    phases,
    cells,
    box,
    cells_per_length,
    most_places,
    counts,
    size_x,
    size_y,
    size_z,
    step_size,
    PLACES: tl.constexpr,
):
    ray = tl.program_id(0).to(tl.int64)
    x, y, z, dx, dy, dz, near, far = _ray(origins, directions, box, ray)
    phase, places = tl.load(phases + ray), tl.load(most_places)
    count = tl.zeros((PLACES,), tl.int32)
    for first in range(0, tl.where(near < far, places, 0), PLACES):
        number = first + tl.arange(0, PLACES)
        t = near + (number.to(tl.float32) + phase) * step_size
        keep = _keep(t, far, x, y, z, dx, dy, dz, cells, box, cells_per_length, size_x, size_y, size_z)
        count += (keep & (number < places)).to(tl.int32)
    tl.store(counts + ray + 1, tl.sum(count, axis=0).to(tl.int64))


@triton.jit
@no_type_check
def _pack_kernel(
    origins,
    directions,
    phases,
    cells,
    box,
    cells_per_length,
    most_places,
    offsets,
    ray_index,
    found,
    size_x,
    size_y,
    size_z,
    step_size,
    PLACES: tl.constexpr,
):
    ray = tl.program_id(0).to(tl.int64)
    x, y, z, dx, dy, dz, near, far = _ray(origins, directions, box, ray)
    phase, places = tl.load(phases + ray), tl.load(most_places)
    written = tl.load(offsets + ray)
    for first in range(0, tl.where(near < far, places, 0), PLACES):
        number = first + tl.arange(0, PLACES)
        t = near + (number.to(tl.float32) + phase) * step_size
        keep = _keep(t, far, x, y, z, dx, dy, dz, cells, box, cells_per_length, size_x, size_y, size_z)
        keep = keep & (number < places)
        where = written + tl.cumsum(keep.to(tl.int32), axis=0) - 1
        tl.store(ray_index + where, ray + tl.zeros((PLACES,), tl.int64), mask=keep)
        tl.store(found + where, t, mask=keep)
        written += tl.sum(keep.to(tl.int32), axis=0)


@triton.jit
@no_type_check
def _alpha(depth):
    """1 - exp(-depth); as a series where the difference would cancel (error below 2e-9 of it)."""
    small = tl.where(tl.abs(depth) < 0.1, depth, 0.0)
    series = 1 - small / 2 * (1 - small / 3 * (1 - small / 4 * (1 - small / 5 * (1 - small / 6))))
    return tl.where(tl.abs(depth) < 0.1, small * series, 1 - tl.exp(-depth))


@triton.jit
@no_type_check
def _depth(density, delta, i, mask):
    """Optical depth of samples."""
    thickness = tl.load(delta + i, mask=mask, other=0.0).to(tl.float32)
    return tl.load(density + i, mask=mask, other=0.0).to(tl.float32) * thickness


@triton.jit
@no_type_check
def _weights_kernel(offsets, density, delta, weights, behind, SAMPLES: tl.constexpr):
    ray = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(offsets + ray), tl.load(offsets + ray + 1)
    passed = 0.0
    for first in range(start, stop, SAMPLES):
        i = first + tl.arange(0, SAMPLES)
        depth = _depth(density, delta, i, i < stop)
        # Summed without the sample's own depth: to take it off afterwards would cancel where it is large.
        before = passed + tl.cumsum(_depth(density, delta, i - 1, (i > first) & (i < stop)), axis=0)
        tl.store(weights + i, tl.exp(-before) * _alpha(depth), mask=i < stop)
        tl.store(behind + i, tl.exp(-before - depth), mask=i < stop)
        passed += tl.sum(depth, axis=0)


@triton.jit
@no_type_check
def _weights_backward_kernel(offsets, grad, delta, weights, behind, grad_density, SAMPLES: tl.constexpr):
    # More density at i adds what is left behind i to its own weight, and takes its share from each weight after it.
    ray = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(offsets + ray), tl.load(offsets + ray + 1)
    taken = 0.0
    for last in range(0, stop - start, SAMPLES):
        end = stop - last
        i = end - SAMPLES + tl.arange(0, SAMPLES)
        here = i >= start
        pull = tl.load(grad + i, mask=here, other=0.0).to(tl.float32)
        own = pull * tl.load(weights + i, mask=here, other=0.0)
        next_pull = tl.load(grad + i + 1, mask=here & (i + 1 < end), other=0.0).to(tl.float32)
        next_one = next_pull * tl.load(weights + i + 1, mask=here & (i + 1 < end), other=0.0)
        after = taken + tl.cumsum(next_one, axis=0, reverse=True)
        left = tl.load(behind + i, mask=here, other=0.0)
        thickness = tl.load(delta + i, mask=here, other=0.0).to(tl.float32)
        tl.store(grad_density + i, (pull * left - after) * thickness, mask=here)
        taken += tl.sum(own, axis=0)


@triton.jit
@no_type_check
def _prune_kernel(offsets, density, delta, keep, min_transmittance, min_alpha, SAMPLES: tl.constexpr):
    ray = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(offsets + ray), tl.load(offsets + ray + 1)
    passed = 0.0
    for first in range(start, stop, SAMPLES):
        i = first + tl.arange(0, SAMPLES)
        depth = _depth(density, delta, i, i < stop)
        before = passed + tl.cumsum(_depth(density, delta, i - 1, (i > first) & (i < stop)), axis=0)
        seen = (tl.exp(-before) > min_transmittance) & (_alpha(depth) > min_alpha)
        tl.store(keep + i, seen.to(tl.uint8), mask=i < stop)
        passed += tl.sum(depth, axis=0)


@triton.jit
@no_type_check
def _accumulate_kernel(offsets, weights, values, sums, channels, WIDTH: tl.constexpr, SAMPLES: tl.constexpr):
    ray = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(offsets + ray), tl.load(offsets + ray + 1)
    channel = tl.arange(0, WIDTH)
    total = tl.zeros((WIDTH,), tl.float32)
    for first in range(start, stop, SAMPLES):
        i = first + tl.arange(0, SAMPLES)
        exists = (i < stop)[:, None] & (channel < channels)[None, :]
        weight = tl.load(weights + i, mask=i < stop, other=0.0).to(tl.float32)
        value = tl.load(values + (i * channels)[:, None] + channel[None, :], mask=exists, other=0.0).to(tl.float32)
        total += tl.sum(weight[:, None] * value, axis=0)
    tl.store(sums + ray * channels + channel, total, mask=channel < channels)


@triton.jit
@no_type_check
def _accumulate_backward_kernel(
    offsets, weights, values, grad, grad_weights, grad_values, channels, WIDTH: tl.constexpr, SAMPLES: tl.constexpr
):
    ray = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(offsets + ray), tl.load(offsets + ray + 1)
    channel = tl.arange(0, WIDTH)
    pull = tl.load(grad + ray * channels + channel, mask=channel < channels, other=0.0).to(tl.float32)
    for first in range(start, stop, SAMPLES):
        i = first + tl.arange(0, SAMPLES)
        exists = (i < stop)[:, None] & (channel < channels)[None, :]
        where = (i * channels)[:, None] + channel[None, :]
        weight = tl.load(weights + i, mask=i < stop, other=0.0).to(tl.float32)
        value = tl.load(values + where, mask=exists, other=0.0).to(tl.float32)
        tl.store(grad_weights + i, tl.sum(value * pull[None, :], axis=1), mask=i < stop)
        tl.store(grad_values + where, weight[:, None] * pull[None, :], mask=exists)
