"""The numba version of the hash encoding: the three sweeps of `_autograd`.

One block of points is taken through one level at a time. The eight corners of each point's cell (bits 0, 1, 2 of the
corner's number: x, y, z) are found as an `index` into the table and a `weight`: that of the corner in the value, or,
given a `direction`, in the derivative of the value along it. What remains is to gather with the weights (encoding), to
scatter with them (table gradient) or to contract what the corners hold (point gradient).

Corner k of point i of a block is number k * BLOCK + i of a flat array. With constant distances between the corners LLVM
can tell them apart, and puts 16 points into a register; with two-dimensional arrays it does not.

To encode, a table is read as pairs of features, 64 bits at a time, into an array that lies as the corners do: that is
half as much to look up, and arithmetic finds in rows what belongs together.
"""

from functools import cache
from typing import no_type_check  # a run-time type checker's wrapper around a kernel cannot be compiled

import numba
import numpy as np
import torch
from numba import prange
from torch import Tensor

from sv3dgen.compiling.kernel import kernel
from sv3dgen.kernels.hash_grid.encode import HashGridSpec, level_rows

BLOCK = 256  # points whose corners fit into the first-level cache
CHUNK = 2048  # points a thread takes at once
FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}  # not "nnan": points that are not numbers must stay inside the table


def gather(points: Tensor, direction: Tensor | None, table: Tensor, spec: HashGridSpec, active: int) -> Tensor:
    encoded = torch.empty(len(points), spec.channels)
    encoded[:, active * spec.features_per_level :] = 0
    _gather_kernel(_rows(points), _rows(direction), _pairs(table), _layout(spec)[:active], encoded.numpy())
    return encoded.to(table.dtype)


def scatter(points: Tensor, direction: Tensor | None, grad: Tensor, spec: HashGridSpec, active: int) -> Tensor:
    # Each thread owns whole levels; where there are more threads than levels, copies of them that are added up.
    threads = numba.get_num_threads()
    copies = max(1, threads // active)
    table = torch.empty(copies, spec.entries, spec.features_per_level)
    table[:, (spec.offsets + (spec.entries,))[active] :] = 0
    layout = _layout(spec)[:active]
    # Threads take runs of neighbors: deal the levels out so that each gets coarse (cached) and fine ones.
    layout = np.concatenate([layout[first::threads] for first in range(threads)])
    _scatter_kernel(_rows(points), _rows(direction), _plain(grad), layout, table.numpy())
    return table[0] if copies == 1 else table.sum(dim=0)


def contract(
    points: Tensor, direction: Tensor | None, table: Tensor, grad: Tensor, spec: HashGridSpec, active: int
) -> Tensor:
    contracted = torch.empty(len(points), 3)
    layout = _layout(spec)[:active]
    _contract_kernel(_rows(points), _rows(direction), _plain(table), _plain(grad), layout, contracted.numpy())
    return contracted.to(points.dtype)


def _plain(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()


def _pairs(table: Tensor) -> np.ndarray:
    """[entries, features / 2], each the bits of two features."""
    return _plain(table).view(np.uint64)


def _rows(vectors: Tensor | None) -> np.ndarray:
    """Coordinates as three rows, so that neighboring points fill a vector register; no columns stands for None."""
    return np.empty((3, 0), np.float32) if vectors is None else _plain(vectors.t())


@cache
def _layout(spec: HashGridSpec) -> np.ndarray:
    return np.array(level_rows(spec), np.int64)


@kernel()
@no_type_check
def _scratch():
    return np.empty(8 * BLOCK, np.uint32), np.empty(3 * BLOCK, np.float32), np.empty(8 * BLOCK, np.float32)


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _locate(points, start, count, level, index, fraction):
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
def _value_weights(count, fraction, weight):
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
        dx = _inside(points[0, start + i]) * resolution * direction[0, start + i]
        dy = _inside(points[1, start + i]) * resolution * direction[1, start + i]
        dz = _inside(points[2, start + i]) * resolution * direction[2, start + i]
        for k in range(8):
            x, y, z = (x1 if k & 1 else x0), (y1 if k & 2 else y0), (z1 if k & 4 else z0)
            along_x, along_y, along_z = (dx if k & 1 else -dx), (dy if k & 2 else -dy), (dz if k & 4 else -dz)
            weight[k * BLOCK + i] = along_x * y * z + x * along_y * z + x * y * along_z


@kernel()
@no_type_check
def _inside(x):
    """The slope of the clamp that moves points into the cube."""
    return np.float32(1) if x >= np.float32(0) and x <= np.float32(1) else np.float32(0)


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _corners(points, start, count, level, direction, index, fraction, weight):
    _locate(points, start, count, level, index, fraction)
    if direction.shape[1] == 0:
        _value_weights(count, fraction, weight)
    else:
        _derivative_weights(points, start, count, level, direction, fraction, weight)


@kernel(parallel=True, fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _gather_kernel(points, direction, table, layout, encoded):
    total = points.shape[1]
    for chunk in prange((total + CHUNK - 1) // CHUNK):
        index, fraction, weight = _scratch()
        held = np.empty(8 * BLOCK, np.uint64)
        first, second = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        for start in range(chunk * CHUNK, min(total, (chunk + 1) * CHUNK), BLOCK):
            count = min(total - start, BLOCK)
            for level in layout:
                _corners(points, start, count, level, direction, index, fraction, weight)
                for pair in range(table.shape[1]):
                    _hold(table, pair, count, index, held)
                    _weigh_pair(held.view(np.float32), weight, count, first, second)
                    channel = level[6] + 2 * pair
                    for i in range(count):
                        encoded[start + i, channel], encoded[start + i, channel + 1] = first[i], second[i]


@kernel(error_model="numpy")
@no_type_check
def _hold(table, pair, count, index, held):
    """What the table has of a pair of features at each corner."""
    for k in range(8):
        for j in range(k * BLOCK, k * BLOCK + count):
            held[j] = table[index[j], pair]


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _weigh_pair(held, weight, count, first, second):
    """The weighted sums over the corners of both features of a pair."""
    for i in range(count):
        a, b = np.float32(0), np.float32(0)
        for k in range(8):
            w = weight[k * BLOCK + i]
            a += w * held[2 * (k * BLOCK + i)]
            b += w * held[2 * (k * BLOCK + i) + 1]
        first[i], second[i] = a, b


@kernel(parallel=True, fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _scatter_kernel(points, direction, grad, layout, tables):
    total, copies = points.shape[1], tables.shape[0]
    share = (total + copies - 1) // copies
    for item in prange(len(layout) * copies):
        level, copy = layout[item // copies], item % copies
        table = tables[copy]
        table[level[4] : level[4] + level[5]] = 0
        index, fraction, weight = _scratch()
        stop = min(total, (copy + 1) * share)
        for start in range(copy * share, stop, BLOCK):
            count = min(stop - start, BLOCK)
            _corners(points, start, count, level, direction, index, fraction, weight)
            for feature in range(0, table.shape[1], 2):
                _scatter_pair(grad[start:, level[6] + feature :], feature, count, index, weight, table)


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _scatter_pair(grad, feature, count, index, weight, table):
    for i in range(count):
        first, second = grad[i, 0], grad[i, 1]
        for k in range(8):
            entry, w = index[k * BLOCK + i], weight[k * BLOCK + i]
            table[entry, feature] += w * first
            table[entry, feature + 1] += w * second


@kernel(parallel=True, fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _contract_kernel(points, direction, table, grad, layout, contracted):
    total = points.shape[1]
    for chunk in prange((total + CHUNK - 1) // CHUNK):
        index, fraction, value = _scratch()
        for start in range(chunk * CHUNK, min(total, (chunk + 1) * CHUNK), BLOCK):
            count = min(total - start, BLOCK)
            contracted[start : start + count] = 0
            for level in layout:
                _locate(points, start, count, level, index, fraction)
                value[:] = 0
                for feature in range(0, table.shape[1], 2):
                    _contract_pair(table, feature, grad[start:, level[6] + feature :], count, index, value)
                if direction.shape[1] == 0:
                    _add_gradient(value, fraction, count, np.float32(level[0]), contracted[start:])
                else:
                    _add_mixed(
                        value, fraction, direction, points, start, count, np.float32(level[0]), contracted[start:]
                    )
            for i in range(start, start + count):
                for axis in range(3):
                    contracted[i, axis] *= _inside(points[axis, i])


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _contract_pair(table, feature, grad, count, index, value):
    for i in range(count):
        first, second = grad[i, 0], grad[i, 1]
        for k in range(8):
            entry = index[k * BLOCK + i]
            value[k * BLOCK + i] += first * table[entry, feature] + second * table[entry, feature + 1]


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _add_gradient(value, fraction, count, resolution, contracted):
    """Gradient of the trilinear interpolation of the corners' values."""
    for i in range(count):
        x, y, z = fraction[i], fraction[BLOCK + i], fraction[2 * BLOCK + i]
        v0, v1, v2, v3, v4, v5, v6, v7 = _values(value, i)
        # First along the four edges in x, then along the two remaining ones in y and z.
        e0, e1, e2, e3 = v1 - v0, v3 - v2, v5 - v4, v7 - v6
        w0, w1, w2, w3 = v0 + x * e0, v2 + x * e1, v4 + x * e2, v6 + x * e3
        contracted[i, 0] += resolution * _mix(_mix(e0, e1, y), _mix(e2, e3, y), z)
        contracted[i, 1] += resolution * _mix(w1 - w0, w3 - w2, z)
        contracted[i, 2] += resolution * _mix(w2 - w0, w3 - w1, y)


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _add_mixed(value, fraction, direction, points, start, count, resolution, contracted):
    """Gradient of the derivative along `direction`: a trilinear function has mixed second derivatives only."""
    for i in range(count):
        x, y, z = fraction[i], fraction[BLOCK + i], fraction[2 * BLOCK + i]
        v0, v1, v2, v3, v4, v5, v6, v7 = _values(value, i)
        xy = resolution * resolution * _mix(v3 - v2 - v1 + v0, v7 - v6 - v5 + v4, z)
        xz = resolution * resolution * _mix(v5 - v4 - v1 + v0, v7 - v6 - v3 + v2, y)
        yz = resolution * resolution * _mix(v6 - v4 - v2 + v0, v7 - v5 - v3 + v1, x)
        dx = _inside(points[0, start + i]) * direction[0, start + i]
        dy = _inside(points[1, start + i]) * direction[1, start + i]
        dz = _inside(points[2, start + i]) * direction[2, start + i]
        contracted[i, 0] += dy * xy + dz * xz
        contracted[i, 1] += dx * xy + dz * yz
        contracted[i, 2] += dx * xz + dy * yz


@kernel()
@no_type_check
def _values(value, i):
    return (
        value[i],
        value[BLOCK + i],
        value[2 * BLOCK + i],
        value[3 * BLOCK + i],
        value[4 * BLOCK + i],
        value[5 * BLOCK + i],
        value[6 * BLOCK + i],
        value[7 * BLOCK + i],
    )


@kernel(fastmath=FAST_MATH)
@no_type_check
def _mix(first, second, share):
    return first + share * (second - first)
