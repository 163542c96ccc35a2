"""Perspective-correct barycentric coordinates of pixels in their faces, and attributes interpolated with them.

Both work on flat lists of pixels, since only a part of the pixels is shaded. Differentiable: when a vertex moves, the
point `interpolate(vertices)` moves along the pixel's ray, for the coordinates make it project to the pixel center.
"""

from functools import cache
from importlib import import_module
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import get_num_threads
from torch import Tensor

from sv3dgen.kernels.backend import Backend, resolve, resolve_own
from sv3dgen.kernels.rasterizer._interpolate_numba import (
    barycentrics_backward_numba,
    barycentrics_numba,
    interpolate_backward_numba,
    interpolate_numba,
    scatter_numba,
    weights_backward_numba,
)
from sv3dgen.kernels.rasterizer._limits import SMALLEST_SUM


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
        return torch.from_numpy(barycentrics_numba(_array(clip), _array(faces), _array(pixels), height, width))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        clip, faces, pixels = map(_array, ctx.saved_tensors)
        rows, values = barycentrics_backward_numba(clip, faces, pixels, *ctx.size, _array(gradient))
        views, vertices = clip.shape[:2]
        to_clip = scatter_numba(rows, values, views * vertices, _parts())
        return torch.from_numpy(to_clip.reshape(views, vertices, 4)), None, None, None, None


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, attributes, faces, face_index, barycentric):
        ctx.save_for_backward(attributes, faces, face_index, barycentric)
        return torch.from_numpy(interpolate_numba(*map(_array, (attributes, faces, face_index, barycentric))))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        attributes, faces, face_index, barycentric = map(_array, ctx.saved_tensors)
        gradient = _array(gradient)
        to_attributes = to_barycentric = None
        if ctx.needs_input_grad[0]:
            rows, values = interpolate_backward_numba(faces, face_index, barycentric, gradient)
            to_attributes = torch.from_numpy(scatter_numba(rows, values, len(attributes), _parts()))
        if ctx.needs_input_grad[3]:
            to_barycentric = torch.from_numpy(weights_backward_numba(attributes, faces, face_index, gradient))
        return to_attributes, None, None, to_barycentric


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _parts() -> int:
    """The power of two that is not below the number of threads."""
    return 1 << (get_num_threads() - 1).bit_length()
