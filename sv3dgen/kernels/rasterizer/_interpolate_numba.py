"""Barycentric coordinates and what they mix, with their gradients, on a CPU."""

from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
from numba import prange

from sv3dgen.compiling.kernel import kernel
from sv3dgen.kernels.rasterizer._limits import SMALLEST_SUM

BLOCK_BITS = 8  # scattered rows belong to threads in interleaved blocks of 256


@kernel(inline="always")
@no_type_check
def _corner(clip, faces, pixels, p, k, px, py):
    """Corner k of pixel p's face: its row in the flat list of clip positions, and x - px w, y - py w."""
    view, i = pixels[p, 1], faces[pixels[p, 0], k]
    w = np.float64(clip[view, i, 3])
    return view * clip.shape[1] + i, clip[view, i, 0] - px * w, clip[view, i, 1] - py * w


@kernel(parallel=True)
@no_type_check
def barycentrics_numba(clip, faces, pixels, height, width):
    out = np.empty((len(pixels), 3), np.float32)
    for p in prange(len(pixels)):
        px, py = (2 * pixels[p, 3] + 1) / width - 1, 1 - (2 * pixels[p, 2] + 1) / height
        _, x0, y0 = _corner(clip, faces, pixels, p, 0, px, py)
        _, x1, y1 = _corner(clip, faces, pixels, p, 1, px, py)
        _, x2, y2 = _corner(clip, faces, pixels, p, 2, px, py)
        b0, b1, b2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
        total = b0 + b1 + b2
        if abs(total) < SMALLEST_SUM:
            out[p] = 1 / 3
        else:
            out[p, 0], out[p, 1], out[p, 2] = b0 / total, b1 / total, b2 / total
    return out


@kernel(parallel=True)
@no_type_check
def barycentrics_backward_numba(clip, faces, pixels, height, width, gradient):
    """What each pixel adds to which row of the gradient of the flat clip positions."""
    rows = np.zeros((len(pixels), 3), np.int64)
    values = np.zeros((len(pixels), 3, 4), np.float32)
    for p in prange(len(pixels)):
        px, py = (2 * pixels[p, 3] + 1) / width - 1, 1 - (2 * pixels[p, 2] + 1) / height
        r0, x0, y0 = _corner(clip, faces, pixels, p, 0, px, py)
        r1, x1, y1 = _corner(clip, faces, pixels, p, 1, px, py)
        r2, x2, y2 = _corner(clip, faces, pixels, p, 2, px, py)
        b0, b1, b2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
        total = b0 + b1 + b2
        rows[p, 0], rows[p, 1], rows[p, 2] = r0, r1, r2
        if abs(total) < SMALLEST_SUM:
            continue
        # Gradient of the unnormalized coordinates: that of the normalized ones less their weighted mean.
        g0, g1, g2 = gradient[p, 0] / total, gradient[p, 1] / total, gradient[p, 2] / total
        mean = (g0 * b0 + g1 * b1 + g2 * b2) / total
        g0, g1, g2 = g0 - mean, g1 - mean, g2 - mean
        for k, (x, y) in enumerate(
            (
                (g2 * y1 - g1 * y2, g1 * x2 - g2 * x1),
                (g0 * y2 - g2 * y0, g2 * x0 - g0 * x2),
                (g1 * y0 - g0 * y1, g0 * x1 - g1 * x0),
            )
        ):
            values[p, k, 0], values[p, k, 1], values[p, k, 3] = x, y, -px * x - py * y
    return rows, values


@kernel(parallel=True)
@no_type_check
def interpolate_numba(attributes, faces, face_index, barycentric):
    out = np.empty((len(face_index), attributes.shape[1]), np.float32)
    for p in prange(len(face_index)):
        a, b, c = faces[face_index[p]]
        for channel in range(attributes.shape[1]):
            out[p, channel] = (
                barycentric[p, 0] * attributes[a, channel]
                + barycentric[p, 1] * attributes[b, channel]
                + barycentric[p, 2] * attributes[c, channel]
            )
    return out


@kernel(parallel=True)
@no_type_check
def interpolate_backward_numba(faces, face_index, barycentric, gradient):
    """What each pixel adds to which row of the gradient of the attributes."""
    rows = np.empty((len(face_index), 3), np.int64)
    values = np.empty((len(face_index), 3, gradient.shape[1]), np.float32)
    for p in prange(len(face_index)):
        for k in range(3):
            rows[p, k] = faces[face_index[p], k]
            for channel in range(gradient.shape[1]):
                values[p, k, channel] = barycentric[p, k] * gradient[p, channel]
    return rows, values


@kernel(parallel=True)
@no_type_check
def weights_backward_numba(attributes, faces, face_index, gradient):
    out = np.zeros((len(face_index), 3), np.float32)
    for p in prange(len(face_index)):
        for k in range(3):
            i = faces[face_index[p], k]
            for channel in range(gradient.shape[1]):
                out[p, k] += attributes[i, channel] * gradient[p, channel]
    return out


@kernel(parallel=True)
@no_type_check
def scatter_numba(rows, values, num_rows, parts):
    """Sum `values` into rows. Each part owns some blocks of rows and adds in pixel order, so the sums do not depend on
    the number of threads."""
    out = np.empty((num_rows, values.shape[2]), np.float32)
    for part in prange(parts):
        for block in range(part, (num_rows >> BLOCK_BITS) + 1, parts):
            out[block << BLOCK_BITS : (block + 1) << BLOCK_BITS] = 0.0
        for p in range(len(rows)):
            for k in range(3):
                row = rows[p, k]
                if (row >> BLOCK_BITS) & (parts - 1) == part:
                    for channel in range(values.shape[2]):
                        out[row, channel] += values[p, k, channel]
    return out
