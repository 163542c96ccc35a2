"""Perspective-correct barycentric coordinates of pixels in their faces, and attributes interpolated with them.

Both work on flat lists of pixels, since only a part of the pixels is shaded. Differentiable: when a vertex moves, the
point `interpolate(vertices)` moves along the pixel's ray, for the coordinates make it project to the pixel center.
"""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import get_num_threads, njit, prange
from torch import Tensor

from sv3dgen.kernels.backend import Backend, resolve, resolve_own

SMALLEST_SUM = 1e-30  # below it a triangle is seen exactly edge-on: its coordinates are 1/3 each, without a gradient
BLOCK_BITS = 8  # scattered rows belong to threads in interleaved blocks of 256


def barycentrics(
    clip: Float[Tensor, "views vertices 4"],
    faces: Int[Tensor, "faces 3"],
    face_index: Int[Tensor, " pixels"],
    view: Int[Tensor, " pixels"],
    row: Int[Tensor, " pixels"],
    col: Int[Tensor, " pixels"],
    height_px: int,
    width_px: int,
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "pixels 3"]:
    """Barycentric coordinates in face `face_index` of the point that the center of pixel (row, col) of `view` sees.

    They sum to one, and may leave [0, 1] a little on an edge. Differentiable in `clip`; a triangle seen at a grazing
    angle has large gradients. Two-dimensional homogeneous coordinates (Olano and Greer 1997): with (x, y, w) the
    corners' clip coordinates and (px, py) the pixel in [-1, 1]^2, sum_i b_i (x_i - px w_i, y_i - py w_i) = 0.
    """
    pixels = torch.stack([face_index.long(), view.long(), row.long(), col.long()], dim=-1)
    chosen = resolve("rasterizer", backend, clip.device)
    if chosen == "nvdiffrast":  # it has them only with the whole picture, and cut off at the edges of faces
        chosen = resolve_own("rasterizer", clip.device)
    if chosen == "torch":
        return _barycentrics_reference(clip, faces, pixels, height_px, width_px)
    function = _Barycentrics if chosen == "numba" else _triton().Barycentrics
    return function.apply(clip.float(), faces.long(), pixels, height_px, width_px).to(clip.dtype)


def interpolate(
    attributes: Float[Tensor, "vertices channels"],
    faces: Int[Tensor, "faces 3"],
    face_index: Int[Tensor, " pixels"],
    barycentric: Float[Tensor, "pixels 3"],
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "pixels channels"]:
    """Vertex attributes at points given by a face and barycentric coordinates; differentiable in both floats."""
    chosen = resolve("rasterizer", backend, attributes.device)
    if chosen == "nvdiffrast":
        return import_module("sv3dgen.kernels.rasterizer._interpolate_nvdiffrast").interpolate(
            attributes, faces, face_index, barycentric
        )
    if chosen == "torch":
        return torch.einsum("pkc,pk->pc", attributes[faces.long()[face_index.long()]], barycentric)
    function = _Interpolate if chosen == "numba" else _triton().Interpolate
    values = function.apply(attributes.float(), faces.long(), face_index.long(), barycentric.float())
    return values.to(attributes.dtype)


@cache
def _triton() -> ModuleType:
    """The module with the Triton versions; triton is loaded only where it is used."""
    return import_module("sv3dgen.kernels.rasterizer._interpolate_triton")


def _barycentrics_reference(clip: Tensor, faces: Tensor, pixels: Tensor, height: int, width: int) -> Tensor:
    face_index, view, row, col = pixels.unbind(-1)
    corners = clip[view[:, None], faces.long()[face_index]]
    px = (2 * col + 1).to(clip.dtype) / width - 1
    py = 1 - (2 * row + 1).to(clip.dtype) / height
    x = corners[..., 0] - px[:, None] * corners[..., 3]
    y = corners[..., 1] - py[:, None] * corners[..., 3]
    volume = x.roll(-1, 1) * y.roll(-2, 1) - x.roll(-2, 1) * y.roll(-1, 1)
    total = volume.sum(-1, keepdim=True)
    edge_on = total.abs() < SMALLEST_SUM
    return torch.where(edge_on, 1 / 3, volume / torch.where(edge_on, 1.0, total))


class _Barycentrics(torch.autograd.Function):
    @staticmethod
    def forward(ctx, clip, faces, pixels, height, width):
        ctx.save_for_backward(clip, faces, pixels)
        ctx.size = height, width
        return torch.from_numpy(_barycentrics_numba(_array(clip), _array(faces), _array(pixels), height, width))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        clip, faces, pixels = map(_array, ctx.saved_tensors)
        rows, values = _barycentrics_backward_numba(clip, faces, pixels, *ctx.size, _array(gradient))
        views, vertices = clip.shape[:2]
        to_clip = _scatter_numba(rows, values, views * vertices, _parts())
        return torch.from_numpy(to_clip.reshape(views, vertices, 4)), None, None, None, None


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, attributes, faces, face_index, barycentric):
        ctx.save_for_backward(attributes, faces, face_index, barycentric)
        return torch.from_numpy(_interpolate_numba(*map(_array, (attributes, faces, face_index, barycentric))))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        attributes, faces, face_index, barycentric = map(_array, ctx.saved_tensors)
        gradient = _array(gradient)
        to_attributes = to_barycentric = None
        if ctx.needs_input_grad[0]:
            rows, values = _interpolate_backward_numba(faces, face_index, barycentric, gradient)
            to_attributes = torch.from_numpy(_scatter_numba(rows, values, len(attributes), _parts()))
        if ctx.needs_input_grad[3]:
            to_barycentric = torch.from_numpy(_weights_backward_numba(attributes, faces, face_index, gradient))
        return to_attributes, None, None, to_barycentric


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _parts() -> int:
    """The power of two that is not below the number of threads."""
    return 1 << (get_num_threads() - 1).bit_length()


@njit(cache=True, inline="always")
@no_type_check
def _corner(clip, faces, pixels, p, k, px, py):
    """Corner k of pixel p's face: its row in the flat list of clip positions, and x - px w, y - py w."""
    view, i = pixels[p, 1], faces[pixels[p, 0], k]
    w = np.float64(clip[view, i, 3])
    return view * clip.shape[1] + i, clip[view, i, 0] - px * w, clip[view, i, 1] - py * w


@njit(cache=True, parallel=True)
@no_type_check
def _barycentrics_numba(clip, faces, pixels, height, width):
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


@njit(cache=True, parallel=True)
@no_type_check
def _barycentrics_backward_numba(clip, faces, pixels, height, width, gradient):
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


@njit(cache=True, parallel=True)
@no_type_check
def _interpolate_numba(attributes, faces, face_index, barycentric):
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


@njit(cache=True, parallel=True)
@no_type_check
def _interpolate_backward_numba(faces, face_index, barycentric, gradient):
    """What each pixel adds to which row of the gradient of the attributes."""
    rows = np.empty((len(face_index), 3), np.int64)
    values = np.empty((len(face_index), 3, gradient.shape[1]), np.float32)
    for p in prange(len(face_index)):
        for k in range(3):
            rows[p, k] = faces[face_index[p], k]
            for channel in range(gradient.shape[1]):
                values[p, k, channel] = barycentric[p, k] * gradient[p, channel]
    return rows, values


@njit(cache=True, parallel=True)
@no_type_check
def _weights_backward_numba(attributes, faces, face_index, gradient):
    out = np.zeros((len(face_index), 3), np.float32)
    for p in prange(len(face_index)):
        for k in range(3):
            i = faces[face_index[p], k]
            for channel in range(gradient.shape[1]):
                out[p, k] += attributes[i, channel] * gradient[p, channel]
    return out


@njit(cache=True, parallel=True)
@no_type_check
def _scatter_numba(rows, values, num_rows, parts):
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
