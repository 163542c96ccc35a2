"""The numba version of the hash encoding: the three sweeps of `_autograd`, over corners from `_corners_numba`.

With the corners' weights the table is gathered (encoding) or scattered into (table gradient); or what the corners hold
is contracted with the gradient (point gradient).
"""

from typing import no_type_check  # a run-time type checker's wrapper around a kernel cannot be compiled

import numba
import numpy as np
import torch
from numba import prange
from torch import Tensor

from sv3dgen.compiling.kernel import kernel
from sv3dgen.kernels.hash_grid._corners_numba import (
    BLOCK,
    CHUNK,
    FAST_MATH,
    corners,
    hold,
    inside,
    layout_of,
    locate,
    pairs,
    plain,
    rows_of,
    weigh_pair,
)
from sv3dgen.kernels.hash_grid.encode import HashGridSpec


def gather(points: Tensor, direction: Tensor | None, table: Tensor, spec: HashGridSpec, active: int) -> Tensor:
    encoded = torch.empty(len(points), spec.channels)
    encoded[:, active * spec.features_per_level :] = 0
    _gather_kernel(rows_of(points), rows_of(direction), pairs(table), layout_of(spec)[:active], encoded.numpy())
    return encoded.to(table.dtype)


def scatter(points: Tensor, direction: Tensor | None, grad: Tensor, spec: HashGridSpec, active: int) -> Tensor:
    # Each thread owns whole levels; where there are more threads than levels, copies of them that are added up.
    threads = numba.get_num_threads()
    copies = max(1, threads // active)
    table = torch.empty(copies, spec.entries, spec.features_per_level)
    table[:, (spec.offsets + (spec.entries,))[active] :] = 0
    layout = layout_of(spec)[:active]
    # Threads take runs of neighbors: deal the levels out so that each gets coarse (cached) and fine ones.
    layout = np.concatenate([layout[first::threads] for first in range(threads)])
    _scatter_kernel(rows_of(points), rows_of(direction), plain(grad), layout, table.numpy())
    return table[0] if copies == 1 else table.sum(dim=0)


def contract(
    points: Tensor, direction: Tensor | None, table: Tensor, grad: Tensor, spec: HashGridSpec, active: int
) -> Tensor:
    contracted = torch.empty(len(points), 3)
    layout = layout_of(spec)[:active]
    _contract_kernel(rows_of(points), rows_of(direction), plain(table), plain(grad), layout, contracted.numpy())
    return contracted.to(points.dtype)


@kernel()
@no_type_check
def _scratch():
    return np.empty(8 * BLOCK, np.uint32), np.empty(3 * BLOCK, np.float32), np.empty(8 * BLOCK, np.float32)


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
                corners(points, start, count, level, direction, index, fraction, weight)
                for pair in range(table.shape[1]):
                    hold(table, pair, count, index, held)
                    weigh_pair(held.view(np.float32), weight, count, first, second)
                    channel = level[6] + 2 * pair
                    for i in range(count):
                        encoded[start + i, channel], encoded[start + i, channel + 1] = first[i], second[i]


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
            corners(points, start, count, level, direction, index, fraction, weight)
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
                locate(points, start, count, level, index, fraction)
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
                    contracted[i, axis] *= inside(points[axis, i])


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
        dx = inside(points[0, start + i]) * direction[0, start + i]
        dy = inside(points[1, start + i]) * direction[1, start + i]
        dz = inside(points[2, start + i]) * direction[2, start + i]
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
