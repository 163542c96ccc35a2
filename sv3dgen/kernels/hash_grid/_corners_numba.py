"""The corners of the cells that points lie in, on a CPU: what a table holds at them, and how much each counts.

One block of points is taken through one level at a time. The eight corners of each point's cell (bits 0, 1, 2 of the
corner's number: x, y, z) are found as an `index` into the table and a `weight`: that of the corner in the value, or,
given a `direction`, in the derivative of the value along it.

Corner k of point i of a block is number k * BLOCK + i of a flat array. With constant distances between the corners LLVM
can tell them apart, and puts 16 points into a register; with two-dimensional arrays it does not.

To encode, a table is read as pairs of features, 64 bits at a time, into an array that lies as the corners do: that is
half as much to look up, and arithmetic finds in rows what belongs together.
"""

from functools import cache
from typing import no_type_check  # a run-time type checker's wrapper around a kernel cannot be compiled

import numpy as np
from torch import Tensor

from sv3dgen.compiling.kernel import kernel
from sv3dgen.kernels.hash_grid.encode import HashGridSpec, level_rows

BLOCK = 256  # points whose corners fit into the first-level cache
CHUNK = 2048  # points a thread takes at once
FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}  # not "nnan": points that are not numbers must stay inside the table


def plain(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()


def pairs(table: Tensor) -> np.ndarray:
    """[entries, features / 2], each the bits of two features."""
    return plain(table).view(np.uint64)


def rows_of(vectors: Tensor | None) -> np.ndarray:
    """Coordinates as three rows, so that neighboring points fill a vector register; no columns stands for None."""
    return np.empty((3, 0), np.float32) if vectors is None else plain(vectors.t())


@cache
def layout_of(spec: HashGridSpec) -> np.ndarray:
    return np.array(level_rows(spec), np.int64)


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def locate(points, start, count, level, index, fraction):
    resolution, last = np.float32(level[0]), np.int32(level[0] - 1)
    step_y, step_z, mask, offset = np.uint32(level[1]), np.uint32(level[2]), np.uint32(level[3]), np.uint32(level[4])
    for i in range(count):
        x, y, z = points[0, start + i], points[1, start + i], points[2, start + i]
        x, y, z = _scale(x, resolution), _scale(y, resolution), _scale(z, resolution)
        cell_x, cell_y, cell_z = min(np.int32(x), last), min(np.int32(y), last), min(np.int32(z), last)
        fraction[i] = x - np.float32(cell_x)
        fraction[BLOCK + i] = y - np.float32(cell_y)
        fraction[2 * BLOCK + i] = z - np.float32(cell_z)
        # 32 bits at each step: overflow is part of the hash, and wider integers would halve the speed.
        x0, y0, z0 = np.uint32(cell_x), np.uint32(np.uint32(cell_y) * step_y), np.uint32(np.uint32(cell_z) * step_z)
        x1, y1, z1 = np.uint32(x0 + np.uint32(1)), np.uint32(y0 + step_y), np.uint32(z0 + step_z)
        for k in range(8):
            a, b, c = (x1 if k & 1 else x0), (y1 if k & 2 else y0), (z1 if k & 4 else z0)
            index[k * BLOCK + i] = (a + b + c if mask == 0 else (a ^ b ^ c) & mask) + offset


@kernel()
@no_type_check
def _scale(x, resolution):
    # Written so that NaN becomes zero, which keeps it inside the table.
    return (x if x < np.float32(1) else np.float32(1)) * resolution if x > np.float32(0) else np.float32(0)


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def value_weights(count, fraction, weight):
    for i in range(count):
        x1, y1, z1 = fraction[i], fraction[BLOCK + i], fraction[2 * BLOCK + i]
        x0, y0, z0 = np.float32(1) - x1, np.float32(1) - y1, np.float32(1) - z1
        for k in range(8):
            weight[k * BLOCK + i] = (x1 if k & 1 else x0) * (y1 if k & 2 else y0) * (z1 if k & 4 else z0)


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _derivative_weights(points, start, count, level, direction, fraction, weight):
    resolution = np.float32(level[0])
    for i in range(count):
        x1, y1, z1 = fraction[i], fraction[BLOCK + i], fraction[2 * BLOCK + i]
        x0, y0, z0 = np.float32(1) - x1, np.float32(1) - y1, np.float32(1) - z1
        dx = inside(points[0, start + i]) * resolution * direction[0, start + i]
        dy = inside(points[1, start + i]) * resolution * direction[1, start + i]
        dz = inside(points[2, start + i]) * resolution * direction[2, start + i]
        for k in range(8):
            x, y, z = (x1 if k & 1 else x0), (y1 if k & 2 else y0), (z1 if k & 4 else z0)
            along_x, along_y, along_z = (dx if k & 1 else -dx), (dy if k & 2 else -dy), (dz if k & 4 else -dz)
            weight[k * BLOCK + i] = along_x * y * z + x * along_y * z + x * y * along_z


@kernel()
@no_type_check
def inside(x):
    """The slope of the clamp that moves points into the cube."""
    return np.float32(1) if x >= np.float32(0) and x <= np.float32(1) else np.float32(0)


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def corners(points, start, count, level, direction, index, fraction, weight):
    locate(points, start, count, level, index, fraction)
    if direction.shape[1] == 0:
        value_weights(count, fraction, weight)
    else:
        _derivative_weights(points, start, count, level, direction, fraction, weight)


@kernel(error_model="numpy")
@no_type_check
def hold(table, pair, count, index, held):
    """What the table has of a pair of features at each corner."""
    for k in range(8):
        for j in range(k * BLOCK, k * BLOCK + count):
            held[j] = table[index[j], pair]


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def weigh_pair(held, weight, count, first, second):
    """The weighted sums over the corners of both features of a pair."""
    for i in range(count):
        a, b = np.float32(0), np.float32(0)
        for k in range(8):
            w = weight[k * BLOCK + i]
            a += w * held[2 * (k * BLOCK + i)]
            b += w * held[2 * (k * BLOCK + i) + 1]
        first[i], second[i] = a, b
