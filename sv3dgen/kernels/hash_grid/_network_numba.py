"""Encoding and a network of one hidden layer in one sweep: a block of points stays in the first-level cache throughout.

Channels and outputs lie as rows of BLOCK points, as in `_numba`. A hidden unit is summed over eight channels at a time,
whose rows one loop reads together, so that its sums are read and written once for eight products.
"""

from typing import no_type_check  # a run-time type checker's wrapper around a kernel cannot be compiled

import numpy as np
import torch
from numba import prange
from torch import Tensor

from sv3dgen.compiling.kernel import kernel
from sv3dgen.kernels.hash_grid._numba import BLOCK, CHUNK, FAST_MATH, _layout, _locate, _plain, _rows, _value_weights
from sv3dgen.kernels.hash_grid.encode import HashGridSpec

TOGETHER = 8  # channels


def evaluate(
    points: Tensor,
    table: Tensor,
    spec: HashGridSpec,
    active: int,
    hidden: tuple[Tensor, Tensor],
    out: tuple[Tensor, Tensor],
) -> Tensor:
    """The outputs at the points; layers are (weight, bias), and channels of closed levels are zero."""
    channels = active * spec.features_per_level
    padded = -(-channels // TOGETHER) * TOGETHER
    weight = np.zeros((len(hidden[1]), padded), np.float32)
    weight[:, :channels] = _plain(hidden[0])[:, :channels]
    found = torch.empty(len(points), len(out[1]))
    layers = weight, _plain(hidden[1]), _plain(out[0].t()), _plain(out[1])
    _network_kernel(_rows(points), _plain(table), _layout(spec)[:active], *layers, found.numpy())
    return found


@kernel(parallel=True, fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _network_kernel(points, table, layout, weight, bias, out_weight, out_bias, found):
    total = points.shape[1]
    for chunk in prange((total + CHUNK - 1) // CHUNK):
        _network_chunk(points, table, layout, weight, bias, out_weight, out_bias, chunk * CHUNK, found)


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _network_chunk(points, table, layout, weight, bias, out_weight, out_bias, first, found):
    index, share = np.empty(8 * BLOCK, np.uint32), np.empty(8 * BLOCK, np.float32)
    fraction, unit = np.empty(3 * BLOCK, np.float32), np.empty(BLOCK, np.float32)
    rows = np.zeros(weight.shape[1] * BLOCK, np.float32)
    sums = np.empty(len(out_bias) * BLOCK, np.float32)
    for start in range(first, min(points.shape[1], first + CHUNK), BLOCK):
        count = min(points.shape[1] - start, BLOCK)
        for level in layout:
            _locate(points, start, count, level, index, fraction)
            _value_weights(count, fraction, share)
            for feature in range(table.shape[1]):
                _gather_row(table, feature, count, index, share, rows[(level[6] + feature) * BLOCK :])
        for o in range(len(out_bias)):
            sums[o * BLOCK : (o + 1) * BLOCK] = out_bias[o]
        for j in range(len(bias)):
            unit[:] = bias[j]
            for c in range(0, weight.shape[1], 8):
                _add_channels(weight[j, c:], rows[c * BLOCK :], unit)
            for o in range(len(out_bias)):
                _add_output(out_weight[j, o], unit, sums[o * BLOCK :])
        for i in range(count):
            for o in range(len(out_bias)):
                found[start + i, o] = sums[o * BLOCK + i]


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _gather_row(table, feature, count, index, share, row):
    for i in range(count):
        value = np.float32(0)
        for k in range(8):
            value += share[k * BLOCK + i] * table[index[k * BLOCK + i], feature]
        row[i] = value


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _add_channels(w, rows, unit):
    w0, w1, w2, w3, w4, w5, w6, w7 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
    for i in range(BLOCK):
        unit[i] += (
            w0 * rows[i]
            + w1 * rows[BLOCK + i]
            + w2 * rows[2 * BLOCK + i]
            + w3 * rows[3 * BLOCK + i]
            + w4 * rows[4 * BLOCK + i]
            + w5 * rows[5 * BLOCK + i]
            + w6 * rows[6 * BLOCK + i]
            + w7 * rows[7 * BLOCK + i]
        )


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _add_output(w, unit, sums):
    for i in range(BLOCK):
        sums[i] += w * max(unit[i], np.float32(0))
