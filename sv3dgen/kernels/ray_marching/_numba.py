"""The numba version of marching and compositing: a thread takes whole rays, so results do not depend on timing."""

from typing import no_type_check  # a run-time type checker's wrapper around a kernel cannot be compiled

import numpy as np
import torch
from numba import prange
from torch import Tensor

from sv3dgen.compiling.kernel import kernel

RAYS = 64  # a thread takes at once
BLOCK_BITS = 3
BLOCK = 1 << BLOCK_BITS  # cells along the edge of a block that is skipped whole when it is empty


def march(
    origins: Tensor, directions: Tensor, occupied: Tensor, aabb: Tensor, step_size: float, jitter: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Ray index, t and offsets of the samples; the arguments are those of `ray_marching.march`."""
    box, cells, blocks, phase = grid_of(occupied, aabb, jitter)
    # Rays write into generous room of their own first, as their counts are not known: untouched memory costs nothing.
    candidates = most_samples(box, step_size)
    room = np.empty((-(-len(origins) // RAYS), RAYS * candidates), np.float32)
    offsets = torch.zeros(len(origins) + 1, dtype=torch.int64)
    counts = offsets[1:].numpy()
    _march_kernel(_plain(origins), _plain(directions), cells, blocks, box, np.float32(step_size), phase, room, counts)
    torch.cumsum(offsets, 0, out=offsets)
    ray_index, t = torch.empty(int(offsets[-1]), dtype=torch.int64), torch.empty(int(offsets[-1]))
    _pack_kernel(room, offsets.numpy(), ray_index.numpy(), t.numpy())
    return ray_index, t.to(origins.dtype), offsets


def grid_of(occupied: Tensor, aabb: Tensor, jitter: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What rays walk through: the box, its cells, blocks of them with something in it; and each ray's phase."""
    cells = occupied.detach().contiguous().numpy().view(np.uint8)
    blocks = np.zeros([-(-size // BLOCK) for size in cells.shape], np.uint8)
    _mark_blocks(cells, blocks)
    return _plain(aabb), cells, blocks, ((jitter.detach().float() + 0.5) % 1.0).numpy()


def most_samples(box: np.ndarray, step_size: float) -> int:
    """More than there are on any ray through the box."""
    return int(np.linalg.norm(box[1] - box[0]) / np.float32(step_size)) + 2


def prune(density: Tensor, delta: Tensor, offsets: Tensor, min_transmittance: float, min_alpha: float) -> Tensor:
    """Mask of the samples that can be seen; the arguments are those of `ray_marching.prune`."""
    keep = torch.empty(len(density), dtype=torch.bool)
    limits = np.float32(min_transmittance), np.float32(min_alpha)
    _prune_kernel(_plain(density), _plain(delta), _plain_offsets(offsets), *limits, keep.numpy())
    return keep


def weights(density: Tensor, delta: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """The weight of each sample, and the transmittance behind it."""
    found, behind = torch.empty(len(density)), torch.empty(len(density))
    _weights_kernel(_plain(density), _plain(delta), _plain_offsets(offsets), found.numpy(), behind.numpy())
    return found, behind


def weights_backward(grad: Tensor, delta: Tensor, offsets: Tensor, weights: Tensor, behind: Tensor) -> Tensor:
    """Gradient in the density from that in the weights."""
    grad_density = torch.empty(len(grad))
    samples = _plain(grad), _plain(delta), _plain_offsets(offsets), weights.numpy(), behind.numpy()
    _weights_backward_kernel(*samples, grad_density.numpy())
    return grad_density


def accumulate(weights: Tensor, values: Tensor, offsets: Tensor) -> Tensor:
    """Weighted sums along the rays."""
    sums = torch.empty(len(offsets) - 1, values.shape[1])
    _accumulate_kernel(_plain(weights), _plain(values), _plain_offsets(offsets), sums.numpy())
    return sums


def accumulate_backward(weights: Tensor, values: Tensor, offsets: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in the weights and in the values from that in the sums."""
    grad_weights, grad_values = torch.empty(len(weights)), torch.empty(values.shape)
    samples = _plain(weights), _plain(values), _plain_offsets(offsets), _plain(grad)
    _accumulate_backward_kernel(*samples, grad_weights.numpy(), grad_values.numpy())
    return grad_weights, grad_values


def _plain(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()


def _plain_offsets(offsets: Tensor) -> np.ndarray:
    return offsets.long().contiguous().numpy()


@kernel(parallel=True)
@no_type_check
def _mark_blocks(occupied, blocks):
    size_x, size_y, size_z = occupied.shape
    for block_x in prange(blocks.shape[0]):
        column = np.empty(size_z, np.uint8)
        for block_y in range(blocks.shape[1]):
            column[:] = 0
            for x in range(block_x * BLOCK, min(size_x, (block_x + 1) * BLOCK)):
                for y in range(block_y * BLOCK, min(size_y, (block_y + 1) * BLOCK)):
                    for z in range(size_z):
                        column[z] |= occupied[x, y, z]
            for z in range(size_z):
                blocks[block_x, block_y, z >> BLOCK_BITS] |= column[z]


# No fast-math here: with the reference's roundings, the same samples are kept, to the last one.
@kernel(parallel=True, error_model="numpy")
@no_type_check
def _march_kernel(origins, directions, occupied, blocks, box, step_size, phase, room, counts):
    candidates = room.shape[1] // RAYS
    for chunk in prange(room.shape[0]):
        written = 0
        for ray in range(chunk * RAYS, min(len(origins), (chunk + 1) * RAYS)):
            ray_phase, found = phase[ray], room[chunk, written:]
            kept, _ = march_ray(
                origins[ray], directions[ray], occupied, blocks, box, step_size, ray_phase, 0, candidates, found
            )
            counts[ray] = kept
            written += kept


@kernel(error_model="numpy")
@no_type_check
def march_ray(origin, direction, occupied, blocks, box, step_size, phase, number, candidates, found):
    """Fill `found` with the t of a ray's samples from the place `number` on; how many there are, and where to go on.

    No place is left where that is `candidates`, which is more than a unit direction ever needs: wrong directions must
    not write past the room.
    """
    near, far = _clip_to_box(origin, direction, box)
    scale_x, first_x, per_cell_x, ahead_x = _faces(origin[0], direction[0], box[:, 0], occupied.shape[0])
    scale_y, first_y, per_cell_y, ahead_y = _faces(origin[1], direction[1], box[:, 1], occupied.shape[1])
    scale_z, first_z, per_cell_z, ahead_z = _faces(origin[2], direction[2], box[:, 2], occupied.shape[2])
    steps_per_length = np.float32(1) / step_size
    kept, room = 0, len(found)
    while number < candidates and kept < room:
        t = near + (np.float32(number) + phase) * step_size
        if not t < far:
            return kept, candidates
        x = _cell(origin[0] + t * direction[0] - box[0, 0], scale_x, occupied.shape[0])
        y = _cell(origin[1] + t * direction[1] - box[0, 1], scale_y, occupied.shape[1])
        z = _cell(origin[2] + t * direction[2] - box[0, 2], scale_z, occupied.shape[2])
        if occupied[x, y, z]:
            found[kept] = t
            kept += 1
            number += 1
            continue
        # Empty: go on behind the cell, or behind the whole block of cells if all of it is empty.
        bits = 0 if blocks[x >> BLOCK_BITS, y >> BLOCK_BITS, z >> BLOCK_BITS] else BLOCK_BITS
        leave = min(far, first_x + np.float32(((x >> bits) + ahead_x) << bits) * per_cell_x)
        leave = min(leave, first_y + np.float32(((y >> bits) + ahead_y) << bits) * per_cell_y)
        leave = min(leave, first_z + np.float32(((z >> bits) + ahead_z) << bits) * per_cell_z)
        # A sample next to the boundary is looked at rather than skipped: rounding may put it on either side.
        number = max(number + 1, int(np.ceil((leave - near) * steps_per_length - phase - np.float32(1e-2))))
    return kept, number


@kernel(error_model="numpy")
@no_type_check
def _faces(origin, direction, bounds, cells):
    """Cells per length; t at the first face, and from face to face; 1 if a cell is left through its upper face."""
    scale = np.float32(cells) / (bounds[1] - bounds[0])
    if direction == 0:
        return scale, np.float32(np.inf), np.float32(0), 0
    per_cell = np.float32(1) / (scale * direction)
    return scale, (bounds[0] - origin) / direction, per_cell, 1 if direction > 0 else 0


@kernel(error_model="numpy")
@no_type_check
def _cell(distance, scale, size):
    return min(max(int(distance * scale), 0), size - 1)


@kernel(error_model="numpy")
@no_type_check
def _clip_to_box(origin, direction, box):
    near, far = np.float32(0), np.float32(np.inf)
    for axis in range(3):
        if direction[axis] == 0:
            if origin[axis] < box[0, axis] or origin[axis] > box[1, axis]:
                return np.float32(0), np.float32(-np.inf)
        else:
            to_low = (box[0, axis] - origin[axis]) / direction[axis]
            to_high = (box[1, axis] - origin[axis]) / direction[axis]
            near, far = max(near, min(to_low, to_high)), min(far, max(to_low, to_high))
    return near, far


@kernel(parallel=True)
@no_type_check
def _pack_kernel(room, offsets, ray_index, t):
    rays = len(offsets) - 1
    for chunk in prange(room.shape[0]):
        first = offsets[chunk * RAYS]
        for ray in range(chunk * RAYS, min(rays, (chunk + 1) * RAYS)):
            for sample in range(offsets[ray], offsets[ray + 1]):
                ray_index[sample] = ray
                t[sample] = room[chunk, sample - first]


@kernel(parallel=True, error_model="numpy")
@no_type_check
def _weights_kernel(density, delta, offsets, weights, behind):
    for ray in prange(len(offsets) - 1):
        transmittance = np.float32(1)
        for i in range(offsets[ray], offsets[ray + 1]):
            alpha = -np.expm1(-density[i] * delta[i])
            weights[i] = transmittance * alpha
            transmittance *= np.float32(1) - alpha
            behind[i] = transmittance


@kernel(parallel=True, error_model="numpy")
@no_type_check
def _weights_backward_kernel(grad, delta, offsets, weights, behind, grad_density):
    # More density at i adds what is left behind i to its own weight, and takes its share from each weight after it.
    for ray in prange(len(offsets) - 1):
        taken = np.float32(0)
        for i in range(offsets[ray + 1] - 1, offsets[ray] - 1, -1):
            grad_density[i] = (grad[i] * behind[i] - taken) * delta[i]
            taken += grad[i] * weights[i]


@kernel(parallel=True, error_model="numpy")
@no_type_check
def _prune_kernel(density, delta, offsets, min_transmittance, min_alpha, keep):
    for ray in prange(len(offsets) - 1):
        transmittance = np.float32(1)
        for i in range(offsets[ray], offsets[ray + 1]):
            alpha = -np.expm1(-density[i] * delta[i])
            keep[i] = transmittance > min_transmittance and alpha > min_alpha
            transmittance *= np.float32(1) - alpha


@kernel(parallel=True, error_model="numpy")
@no_type_check
def _accumulate_kernel(weights, values, offsets, sums):
    for ray in prange(len(offsets) - 1):
        for channel in range(values.shape[1]):
            sums[ray, channel] = 0
        for i in range(offsets[ray], offsets[ray + 1]):
            for channel in range(values.shape[1]):
                sums[ray, channel] += weights[i] * values[i, channel]


@kernel(parallel=True, error_model="numpy")
@no_type_check
def _accumulate_backward_kernel(weights, values, offsets, grad, grad_weights, grad_values):
    for ray in prange(len(offsets) - 1):
        for i in range(offsets[ray], offsets[ray + 1]):
            product = np.float32(0)
            for channel in range(values.shape[1]):
                product += values[i, channel] * grad[ray, channel]
                grad_values[i, channel] = weights[i] * grad[ray, channel]
            grad_weights[i] = product
