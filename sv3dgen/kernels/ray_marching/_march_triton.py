"""Triton's kernels of marching: which places on a ray samples stand at, counted first and then packed.

They look at every place a sample may stand at rather than skip empty cells: places are independent of one another, and
neighboring lanes read neighboring cells.
"""

from typing import no_type_check  # a run-time type checker's wrapper around a kernel cannot be compiled

import triton
import triton.language as tl


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
def count_kernel(
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
def pack_kernel(
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
