"""The Triton versions of barycentric coordinates and interpolation: pixels side by side, gradients added up.

Plain torch would do for the values, but the gradient of its indexing sorts the indices of all pixels first. Atomic
additions come in any order, so the last bits of gradients differ from run to run.
"""

from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import torch
import triton
import triton.language as tl
from torch import Tensor

from sv3dgen.kernels.triton_launch import blocks, launch, power_of_two

PIXELS = 128
SMALLEST_SUM = tl.constexpr(1e-30)  # as in `interpolate`; a kernel can read no other globals


class Barycentrics(torch.autograd.Function):
    """Clip positions (float32), faces, pixels as (face, view, row, col) -> coordinates; computed in float64."""

    @staticmethod
    def forward(ctx, clip, faces, pixels, height, width):
        clip, faces, pixels = clip.detach().contiguous(), faces.contiguous(), pixels.contiguous()
        ctx.save_for_backward(clip, faces, pixels)
        ctx.sizes = len(pixels), clip.shape[1], height, width
        out = clip.new_empty(len(pixels), 3)
        grid = (blocks(len(pixels), PIXELS),)
        launch(_barycentrics_kernel, grid, clip, faces, pixels, out, *ctx.sizes, PIXELS=PIXELS)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        clip, faces, pixels = ctx.saved_tensors
        to_clip = torch.zeros_like(clip)
        grid = (blocks(len(pixels), PIXELS),)
        tensors = clip, faces, pixels, gradient.contiguous(), to_clip
        launch(_barycentrics_backward_kernel, grid, *tensors, *ctx.sizes, PIXELS=PIXELS)
        return to_clip, None, None, None, None


class Interpolate(torch.autograd.Function):
    """Attributes (float32), faces, face of each pixel, its barycentric coordinates (float32) -> values at pixels."""

    @staticmethod
    def forward(ctx, attributes, faces, face_index, barycentric):
        tensors = attributes.detach(), faces, face_index, barycentric.detach()
        attributes, faces, face_index, barycentric = (tensor.contiguous() for tensor in tensors)
        ctx.save_for_backward(attributes, faces, face_index, barycentric)
        out = attributes.new_empty(len(face_index), attributes.shape[1])
        _launch_interpolation(_interpolate_kernel, attributes, faces, face_index, barycentric, out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        attributes, faces, face_index, barycentric = ctx.saved_tensors
        gradient = gradient.contiguous()
        to_attributes = to_barycentric = None
        if ctx.needs_input_grad[0]:
            to_attributes = torch.zeros_like(attributes)
            _launch_interpolation(_spread_kernel, to_attributes, faces, face_index, barycentric, gradient)
        if ctx.needs_input_grad[3]:
            to_barycentric = torch.empty_like(barycentric)
            _launch_interpolation(_weights_kernel, attributes, faces, face_index, to_barycentric, gradient)
        return to_attributes, None, None, to_barycentric


def _launch_interpolation(
    kernel, attributes: Tensor, faces: Tensor, face_index: Tensor, barycentric: Tensor, values: Tensor
) -> None:
    channels = attributes.shape[1]
    width = power_of_two(channels)
    rows = max(1, 1024 // width)  # 8 values to a lane
    tensors = attributes, faces, face_index, barycentric, values
    launch(kernel, (blocks(len(face_index), rows),), *tensors, len(face_index), channels, ROWS=rows, WIDTH=width)


@triton.jit
@no_type_check
def _corner(clip, faces, face, view, px, py, vertices, here, k: tl.constexpr):
    """Corner k of each pixel's face: where its clip position is, and x - px w, y - py w."""
    where = clip + 4 * (view * vertices + tl.load(faces + 3 * face + k, mask=here, other=0))
    w = tl.load(where + 3, mask=here, other=1.0).to(tl.float64)
    x = tl.load(where, mask=here, other=0.0).to(tl.float64) - px * w
    y = tl.load(where + 1, mask=here, other=0.0).to(tl.float64) - py * w
    return x, y


@triton.jit
@no_type_check
def _corners(clip, faces, pixels, i, here, vertices, height, width):
    """Place on the screen in [-1, 1]^2, and all three corners, of pixels."""
    face = tl.load(pixels + 4 * i, mask=here, other=0)
    view = tl.load(pixels + 4 * i + 1, mask=here, other=0)
    row = tl.load(pixels + 4 * i + 2, mask=here, other=0)
    col = tl.load(pixels + 4 * i + 3, mask=here, other=0)
    px = (2 * col + 1).to(tl.float64) / width - 1
    py = 1 - (2 * row + 1).to(tl.float64) / height
    x0, y0 = _corner(clip, faces, face, view, px, py, vertices, here, 0)
    x1, y1 = _corner(clip, faces, face, view, px, py, vertices, here, 1)
    x2, y2 = _corner(clip, faces, face, view, px, py, vertices, here, 2)
    return face, view, px, py, x0, y0, x1, y1, x2, y2


@triton.jit
@no_type_check
def _barycentrics_kernel(clip, faces, pixels, out, count, vertices, height, width, PIXELS: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)
    here = i < count
    _, _, _, _, x0, y0, x1, y1, x2, y2 = _corners(clip, faces, pixels, i, here, vertices, height, width)
    b0, b1, b2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
    total = b0 + b1 + b2
    edge_on = tl.abs(total) < SMALLEST_SUM
    total = tl.where(edge_on, 1.0, total)
    tl.store(out + 3 * i, tl.where(edge_on, 1 / 3, b0 / total), mask=here)
    tl.store(out + 3 * i + 1, tl.where(edge_on, 1 / 3, b1 / total), mask=here)
    tl.store(out + 3 * i + 2, tl.where(edge_on, 1 / 3, b2 / total), mask=here)


@triton.jit
@no_type_check
def _add_to_corner(to_clip, faces, face, view, vertices, x, y, px, py, counts, k: tl.constexpr):
    where = to_clip + 4 * (view * vertices + tl.load(faces + 3 * face + k, mask=counts, other=0))
    tl.atomic_add(where, x.to(tl.float32), mask=counts, sem="relaxed")
    tl.atomic_add(where + 1, y.to(tl.float32), mask=counts, sem="relaxed")
    tl.atomic_add(where + 3, (-px * x - py * y).to(tl.float32), mask=counts, sem="relaxed")


@triton.jit
@no_type_check
def _barycentrics_backward_kernel(
    clip, faces, pixels, gradient, to_clip, count, vertices, height, width, PIXELS: tl.constexpr
):
    i = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)
    here = i < count
    face, view, px, py, x0, y0, x1, y1, x2, y2 = _corners(clip, faces, pixels, i, here, vertices, height, width)
    b0, b1, b2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
    total = b0 + b1 + b2
    counts = here & (tl.abs(total) >= SMALLEST_SUM)
    total = tl.where(counts, total, 1.0)
    # Gradient of the unnormalized coordinates: that of the normalized ones less their weighted mean.
    g0 = tl.load(gradient + 3 * i, mask=here, other=0.0).to(tl.float64) / total
    g1 = tl.load(gradient + 3 * i + 1, mask=here, other=0.0).to(tl.float64) / total
    g2 = tl.load(gradient + 3 * i + 2, mask=here, other=0.0).to(tl.float64) / total
    mean = (g0 * b0 + g1 * b1 + g2 * b2) / total
    g0, g1, g2 = g0 - mean, g1 - mean, g2 - mean
    x, y = g2 * y1 - g1 * y2, g1 * x2 - g2 * x1
    _add_to_corner(to_clip, faces, face, view, vertices, x, y, px, py, counts, 0)
    x, y = g0 * y2 - g2 * y0, g2 * x0 - g0 * x2
    _add_to_corner(to_clip, faces, face, view, vertices, x, y, px, py, counts, 1)
    x, y = g1 * y0 - g0 * y1, g0 * x1 - g1 * x0
    _add_to_corner(to_clip, faces, face, view, vertices, x, y, px, py, counts, 2)


@triton.jit
@no_type_check
def _tile(count, channels, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """The pixels and channels of this program, and which of them exist."""
    i = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.arange(0, WIDTH)
    return i, channel, i < count, (i < count)[:, None] & (channel < channels)[None, :]


@triton.jit
@no_type_check
def _vertex(faces, face_index, i, here, k: tl.constexpr):
    return tl.load(faces + 3 * tl.load(face_index + i, mask=here, other=0) + k, mask=here, other=0)


@triton.jit
@no_type_check
def _interpolate_kernel(
    attributes, faces, face_index, barycentric, values, count, channels, ROWS: tl.constexpr, WIDTH: tl.constexpr
):
    i, channel, here, exists = _tile(count, channels, ROWS, WIDTH)
    total = tl.zeros((ROWS, WIDTH), tl.float32)
    for k in tl.static_range(3):
        vertex = _vertex(faces, face_index, i, here, k)
        held = tl.load(attributes + (vertex * channels)[:, None] + channel[None, :], mask=exists, other=0.0)
        total += tl.load(barycentric + 3 * i + k, mask=here, other=0.0)[:, None] * held
    tl.store(values + (i * channels)[:, None] + channel[None, :], total, mask=exists)


@triton.jit
@no_type_check
def _spread_kernel(
    to_attributes, faces, face_index, barycentric, gradient, count, channels, ROWS: tl.constexpr, WIDTH: tl.constexpr
):
    i, channel, here, exists = _tile(count, channels, ROWS, WIDTH)
    pull = tl.load(gradient + (i * channels)[:, None] + channel[None, :], mask=exists, other=0.0)
    for k in tl.static_range(3):
        vertex = _vertex(faces, face_index, i, here, k)
        added = tl.load(barycentric + 3 * i + k, mask=here, other=0.0)[:, None] * pull
        tl.atomic_add(
            to_attributes + (vertex * channels)[:, None] + channel[None, :], added, mask=exists, sem="relaxed"
        )


@triton.jit
@no_type_check
def _weights_kernel(
    attributes, faces, face_index, to_barycentric, gradient, count, channels, ROWS: tl.constexpr, WIDTH: tl.constexpr
):
    i, channel, here, exists = _tile(count, channels, ROWS, WIDTH)
    pull = tl.load(gradient + (i * channels)[:, None] + channel[None, :], mask=exists, other=0.0)
    for k in tl.static_range(3):
        vertex = _vertex(faces, face_index, i, here, k)
        held = tl.load(attributes + (vertex * channels)[:, None] + channel[None, :], mask=exists, other=0.0)
        tl.store(to_barycentric + 3 * i + k, tl.sum(held * pull, axis=1), mask=here)
