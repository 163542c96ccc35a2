"""Encoding and a network of one hidden layer in one sweep: a block of points stays in the first-level cache.

Channels and outputs lie as rows of BLOCK points, as in `_corners_numba`. Sums are taken for two hidden units over eight
channels at a time, whose rows one loop reads together: sixteen products for ten numbers read. Outputs are taken four at
a time, so that a unit is read once for them. Units, channels and outputs are padded with zeros to whole groups.
"""

from typing import no_type_check  # a run-time type checker's wrapper around a kernel cannot be compiled

import numpy as np
import torch
from numba import prange
from torch import Tensor

from sv3dgen.compiling.kernel import kernel
from sv3dgen.kernels.hash_grid._corners_numba import (
    BLOCK,
    CHUNK,
    FAST_MATH,
    hold,
    layout_of,
    locate,
    pairs,
    plain,
    rows_of,
    value_weights,
    weigh_pair,
)
from sv3dgen.kernels.hash_grid.encode import HashGridSpec

CHANNELS, UNITS, OUTPUTS = 8, 8, 4  # in a group of each; two units are summed at a time


def evaluate(
    points: Tensor,
    table: Tensor,
    spec: HashGridSpec,
    active: int,
    hidden: tuple[Tensor, Tensor],
    out: tuple[Tensor, Tensor],
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """The outputs at the points; and the encoding of the open levels [channels, points], or of no point if not `keep`.

    Layers are (weight, bias); channels of closed levels are zero.
    """
    found = torch.empty(len(points), len(out[1]))
    encoded = torch.empty(active * spec.features_per_level, len(points) if keep else 0)
    weight, bias, out_weight = _padded(hidden, out[0], len(encoded))
    out_bias = np.zeros(out_weight.shape[1], np.float32)
    out_bias[: len(out[1])] = plain(out[1])
    layers = weight, bias, out_weight, out_bias
    arrays = rows_of(points), pairs(table), layout_of(spec)[:active], *layers
    _network_kernel(*arrays, encoded.numpy(), found.numpy())
    return found, encoded


def evaluate_backward(
    encoded: Tensor, hidden: tuple[Tensor, Tensor], out: Tensor, grad: Tensor, channels: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients in the encoding [points, channels], closed levels too, and in both layers' weights and biases.

    Threads take chunks of points, whose sums are added up in their order: results do not depend on the threads.
    """
    units, outputs, active = len(hidden[1]), grad.shape[1], len(encoded)
    weight, bias, out_weight = _padded(hidden, out, active)
    chunks = -(-len(grad) // CHUNK)
    to_encoded = torch.empty(len(grad), channels)
    to_encoded[:, active:] = 0
    to_hidden = np.empty((chunks, *weight.shape), np.float32)
    to_bias, to_out = np.empty((chunks, len(bias)), np.float32), np.empty((chunks, *out_weight.shape), np.float32)
    layers = weight, np.ascontiguousarray(weight.T), bias, out_weight
    _backward_kernel(encoded.numpy(), plain(grad), *layers, to_encoded.numpy(), to_hidden, to_bias, to_out)
    to_weight = torch.zeros(hidden[0].shape)
    to_weight[:, :active] = torch.from_numpy(to_hidden.sum(0))[:units, :active]
    return (
        to_encoded,
        to_weight,
        torch.from_numpy(to_bias.sum(0))[:units],
        torch.from_numpy(to_out.sum(0))[:units, :outputs].t().contiguous(),
        grad.sum(0),
    )


def _padded(hidden: tuple[Tensor, Tensor], out: Tensor, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The hidden layer's weights [units, channels] and biases, and the outputs' weights [units, outputs]."""
    units = -(-len(hidden[1]) // UNITS) * UNITS
    weight = np.zeros((units, -(-channels // CHANNELS) * CHANNELS), np.float32)
    weight[: len(hidden[1]), :channels] = plain(hidden[0])[:, :channels]
    bias, out_weight = np.zeros(units, np.float32), np.zeros((units, -(-len(out) // OUTPUTS) * OUTPUTS), np.float32)
    bias[: len(hidden[1])], out_weight[: len(hidden[1]), : len(out)] = plain(hidden[1]), plain(out.t())
    return weight, bias, out_weight


@kernel(parallel=True, fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _network_kernel(points, table, layout, weight, bias, out_weight, out_bias, encoded, found):
    total = points.shape[1]
    for chunk in prange((total + CHUNK - 1) // CHUNK):
        _network_chunk(points, table, layout, weight, bias, out_weight, out_bias, chunk * CHUNK, encoded, found)


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _network_chunk(points, table, layout, weight, bias, out_weight, out_bias, first, encoded, found):
    index, share = np.empty(8 * BLOCK, np.uint32), np.empty(8 * BLOCK, np.float32)
    fraction, held = np.empty(3 * BLOCK, np.float32), np.empty(8 * BLOCK, np.uint64)
    first_unit, second_unit = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    rows = np.zeros(weight.shape[1] * BLOCK, np.float32)
    sums = np.empty(len(out_bias) * BLOCK, np.float32)
    for start in range(first, min(points.shape[1], first + CHUNK), BLOCK):
        count = min(points.shape[1] - start, BLOCK)
        for level in layout:
            locate(points, start, count, level, index, fraction)
            value_weights(count, fraction, share)
            for pair in range(table.shape[1]):
                hold(table, pair, count, index, held)
                row = (level[6] + 2 * pair) * BLOCK
                weigh_pair(held.view(np.float32), share, count, rows[row:], rows[row + BLOCK :])
        if encoded.shape[1] > 0:
            for c in range(encoded.shape[0]):
                encoded[c, start : start + count] = rows[c * BLOCK : c * BLOCK + count]
        for o in range(len(out_bias)):
            sums[o * BLOCK : (o + 1) * BLOCK] = out_bias[o]
        for j in range(0, len(bias), 2):
            first_unit[:], second_unit[:] = bias[j], bias[j + 1]
            for c in range(0, weight.shape[1], CHANNELS):
                _add_rows(weight[j, c:], weight[j + 1, c:], rows[c * BLOCK :], first_unit, second_unit)
            for o in range(0, len(out_bias), OUTPUTS):
                _add_units(out_weight[j, o:], out_weight[j + 1, o:], first_unit, second_unit, sums[o * BLOCK :])
        for i in range(count):
            for o in range(found.shape[1]):
                found[start + i, o] = sums[o * BLOCK + i]


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _add_rows(a, b, rows, first, second):
    """Add eight rows, weighted, to two sums."""
    a0, a1, a2, a3, a4, a5, a6, a7 = a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
    b0, b1, b2, b3, b4, b5, b6, b7 = b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]
    for i in range(BLOCK):
        r0, r1, r2, r3 = rows[i], rows[BLOCK + i], rows[2 * BLOCK + i], rows[3 * BLOCK + i]
        r4, r5, r6, r7 = rows[4 * BLOCK + i], rows[5 * BLOCK + i], rows[6 * BLOCK + i], rows[7 * BLOCK + i]
        first[i] += a0 * r0 + a1 * r1 + a2 * r2 + a3 * r3 + a4 * r4 + a5 * r5 + a6 * r6 + a7 * r7
        second[i] += b0 * r0 + b1 * r1 + b2 * r2 + b3 * r3 + b4 * r4 + b5 * r5 + b6 * r6 + b7 * r7


@kernel()
@no_type_check
def _positive(x):
    return np.float32(0) if x < np.float32(0) else x  # what is not a number stays so, as torch has it


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _add_units(a, b, first, second, sums):
    """Add two units, weighted, to four outputs."""
    a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
    b0, b1, b2, b3 = b[0], b[1], b[2], b[3]
    for i in range(BLOCK):
        p, q = _positive(first[i]), _positive(second[i])
        sums[i] += a0 * p + b0 * q
        sums[BLOCK + i] += a1 * p + b1 * q
        sums[2 * BLOCK + i] += a2 * p + b2 * q
        sums[3 * BLOCK + i] += a3 * p + b3 * q


@kernel(parallel=True, fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _backward_kernel(encoded, grad, weight, turned, bias, out_weight, to_encoded, to_hidden, to_bias, to_out):
    for chunk in prange(len(to_bias)):
        to = to_hidden[chunk], to_bias[chunk], to_out[chunk]
        _backward_chunk(encoded, grad, weight, turned, bias, out_weight, chunk * CHUNK, to_encoded, *to)


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _backward_chunk(encoded, grad, weight, turned, bias, out_weight, first, to_encoded, to_hidden, to_bias, to_out):
    units, outputs, channels = len(bias), out_weight.shape[1], weight.shape[1]
    rows, pulls = np.zeros(channels * BLOCK, np.float32), np.empty(units * BLOCK, np.float32)
    grads = np.zeros(outputs * BLOCK, np.float32)
    first_unit, second_unit = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    to_hidden[:], to_bias[:], to_out[:] = 0, 0, 0
    for start in range(first, min(len(grad), first + CHUNK), BLOCK):
        count = min(len(grad) - start, BLOCK)
        if count < BLOCK:
            grads[:] = 0
        for c in range(len(encoded)):
            rows[c * BLOCK : c * BLOCK + count] = encoded[c, start : start + count]
        for i in range(count):
            for o in range(grad.shape[1]):
                grads[o * BLOCK + i] = grad[start + i, o]
        for j in range(0, units, 2):
            first_unit[:], second_unit[:] = bias[j], bias[j + 1]
            for c in range(0, channels, CHANNELS):
                _add_rows(weight[j, c:], weight[j + 1, c:], rows[c * BLOCK :], first_unit, second_unit)
            first_pull, second_pull = pulls[j * BLOCK :], pulls[(j + 1) * BLOCK :]
            pulls[j * BLOCK : (j + 2) * BLOCK] = 0
            for o in range(0, outputs, OUTPUTS):
                _pull_unit(out_weight[j, o:], grads[o * BLOCK :], first_unit, first_pull, to_out[j, o:])
                _pull_unit(out_weight[j + 1, o:], grads[o * BLOCK :], second_unit, second_pull, to_out[j + 1, o:])
            to_bias[j] += _cut(first_unit, first_pull)
            to_bias[j + 1] += _cut(second_unit, second_pull)
            for c in range(0, channels, 4):
                _add_products(first_pull, second_pull, rows[c * BLOCK :], to_hidden[j, c:], to_hidden[j + 1, c:])
        for c in range(0, len(encoded), 2):  # levels have two features or more
            first_unit[:], second_unit[:] = 0, 0
            for j in range(0, units, UNITS):
                _add_rows(turned[c, j:], turned[c + 1, j:], pulls[j * BLOCK :], first_unit, second_unit)
            for i in range(count):
                to_encoded[start + i, c] = first_unit[i]
                to_encoded[start + i, c + 1] = second_unit[i]


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _pull_unit(weight, grads, unit, pull, to_weight):
    """Add the gradients of four outputs to the unit's, and to those of the weights between them."""
    w0, w1, w2, w3 = weight[0], weight[1], weight[2], weight[3]
    t0 = t1 = t2 = t3 = np.float32(0)
    for i in range(BLOCK):
        g0, g1, g2, g3 = grads[i], grads[BLOCK + i], grads[2 * BLOCK + i], grads[3 * BLOCK + i]
        h = _positive(unit[i])
        t0, t1, t2, t3 = t0 + g0 * h, t1 + g1 * h, t2 + g2 * h, t3 + g3 * h
        pull[i] += w0 * g0 + w1 * g1 + w2 * g2 + w3 * g3
    to_weight[0], to_weight[1] = to_weight[0] + t0, to_weight[1] + t1
    to_weight[2], to_weight[3] = to_weight[2] + t2, to_weight[3] + t3


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _cut(unit, pull):
    """No gradient where the unit is off; gives the sum of what is left."""
    total = np.float32(0)
    for i in range(BLOCK):
        pull[i] = pull[i] if unit[i] > 0 else np.float32(0)
        total += pull[i]
    return total


@kernel(fastmath=FAST_MATH, error_model="numpy")
@no_type_check
def _add_products(first, second, rows, to_first, to_second):
    """Add the sums of the products of two rows with four."""
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = np.float32(0)
    for i in range(BLOCK):
        a, b = first[i], second[i]
        r0, r1, r2, r3 = rows[i], rows[BLOCK + i], rows[2 * BLOCK + i], rows[3 * BLOCK + i]
        a0, a1, a2, a3 = a0 + a * r0, a1 + a * r1, a2 + a * r2, a3 + a * r3
        b0, b1, b2, b3 = b0 + b * r0, b1 + b * r1, b2 + b * r2, b3 + b * r3
    to_first[0], to_first[1], to_first[2], to_first[3] = (
        to_first[0] + a0,
        to_first[1] + a1,
        to_first[2] + a2,
        to_first[3] + a3,
    )
    to_second[0], to_second[1], to_second[2], to_second[3] = (
        to_second[0] + b0,
        to_second[1] + b1,
        to_second[2] + b2,
        to_second[3] + b3,
    )
