"""The Triton version of rasterization: an atomic minimum over (depth, face) at every pixel, in one 64-bit number.

One program draws one face of one view. The arithmetic is the reference's, without fused multiply-adds, and of faces at
equal depth the lower index is the lesser number: the picture is the reference's bit by bit, in whatever order the
programs run.
"""

from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import torch
import triton
import triton.language as tl
from torch import Tensor

from sv3dgen.kernels.triton_launch import launch

PIXELS = 64  # that a program looks at at once; most triangles are smaller
SUBPIXEL_BITS = tl.constexpr(12)  # as in `rasterize`; a kernel can read no other globals
ONE_PX = tl.constexpr(1 << 12)
HALF_PX = tl.constexpr(1 << 11)
EMPTY = 0x3F800000_FFFFFFFF  # depth 1, face -1


def draw(
    snapped: Tensor, depth: Tensor, usable: Tensor, faces: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Face index and depth of every pixel [views, height, width]; vertices are as from `rasterize`'s projection."""
    views, vertices = depth.shape
    keys = torch.full((views, height, width), EMPTY, device=depth.device)
    corners = snapped.int().contiguous(), depth.contiguous(), usable.to(torch.uint8)
    arguments = *corners, faces.contiguous(), keys, vertices, height, width
    launch(_draw_kernel, (len(faces), views), *arguments, PIXELS=PIXELS, num_warps=1, enable_fp_fusion=False)
    words = keys.view(torch.int32).unflatten(-1, (width, 2))  # the lower half first, on every GPU and CPU of today
    return words[..., 0].contiguous(), _in_order(words[..., 1]).view(torch.float32)


def _in_order(bits: Tensor) -> Tensor:
    """The bits of a float as an integer that grows with it, and back: negative ones have all but the sign flipped."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
@no_type_check
def _least(a, b, c):
    return tl.minimum(tl.minimum(a, b), c)


@triton.jit
@no_type_check
def _most(a, b, c):
    return tl.maximum(tl.maximum(a, b), c)


@triton.jit
@no_type_check
def _inside(x, y, ax, ay, bx, by):
    """Whether points are on the inner side of an edge, or on it where it is a top or left edge."""
    dx, dy = bx - ax, by - ay
    owns = ((dy < 0) | ((dy == 0) & (dx > 0))).to(tl.int64)
    return dx * (y - ay) - dy * (x - ax) + owns > 0


@triton.jit
@no_type_check
def _draw_kernel(snapped, depth, usable, faces, keys, vertices, height, width, PIXELS: tl.constexpr):
    face = tl.program_id(0).to(tl.int64)
    view = tl.program_id(1).to(tl.int64)
    first = view * vertices
    a = first + tl.load(faces + 3 * face)
    b = first + tl.load(faces + 3 * face + 1)
    c = first + tl.load(faces + 3 * face + 2)
    ax, ay = tl.load(snapped + 2 * a).to(tl.int64), tl.load(snapped + 2 * a + 1).to(tl.int64)
    bx, by = tl.load(snapped + 2 * b).to(tl.int64), tl.load(snapped + 2 * b + 1).to(tl.int64)
    cx, cy = tl.load(snapped + 2 * c).to(tl.int64), tl.load(snapped + 2 * c + 1).to(tl.int64)
    drawn = (tl.load(usable + a) != 0) & (tl.load(usable + b) != 0) & (tl.load(usable + c) != 0)
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    drawn = drawn & (area != 0)
    turned = area < 0
    b, c = tl.where(turned, c, b), tl.where(turned, b, c)
    bx, cx = tl.where(turned, cx, bx), tl.where(turned, bx, cx)
    by, cy = tl.where(turned, cy, by), tl.where(turned, by, cy)

    zero = area * 0
    col0 = tl.maximum((_least(ax, bx, cx) - HALF_PX + ONE_PX - 1) >> SUBPIXEL_BITS, zero)
    row0 = tl.maximum((_least(ay, by, cy) - HALF_PX + ONE_PX - 1) >> SUBPIXEL_BITS, zero)
    cols = tl.minimum((_most(ax, bx, cx) - HALF_PX) >> SUBPIXEL_BITS, zero + width - 1) - col0 + 1
    rows = tl.minimum((_most(ay, by, cy) - HALF_PX) >> SUBPIXEL_BITS, zero + height - 1) - row0 + 1
    pixels = tl.where(drawn & (cols > 0) & (rows > 0), cols * rows, zero).to(tl.int32)
    cols = tl.maximum(cols, zero + 1).to(tl.int32)

    z0 = tl.load(depth + a).to(tl.float64)
    z1 = tl.load(depth + b).to(tl.float64) - z0
    z2 = tl.load(depth + c).to(tl.float64) - z0
    size = tl.where(area == 0, zero + 1, tl.abs(area)).to(tl.float64)
    slope_x = (z1 * (cy - ay).to(tl.float64) - z2 * (by - ay).to(tl.float64)) / size
    slope_y = (z2 * (bx - ax).to(tl.float64) - z1 * (cx - ax).to(tl.float64)) / size

    for start in range(0, pixels, PIXELS):
        pixel = start + tl.arange(0, PIXELS)
        row = row0 + (pixel // cols).to(tl.int64)
        col = col0 + (pixel % cols).to(tl.int64)
        x, y = col * ONE_PX + HALF_PX, row * ONE_PX + HALF_PX
        hit = (pixel < pixels) & _inside(x, y, ax, ay, bx, by)
        hit = hit & _inside(x, y, bx, by, cx, cy) & _inside(x, y, cx, cy, ax, ay)
        z = (z0 + slope_y * (y - ay).to(tl.float64) + slope_x * (x - ax).to(tl.float64)).to(tl.float32)
        z = tl.where(z == 0, 0.0, z)  # -0 would count as nearer than 0
        bits = z.to(tl.int32, bitcast=True)
        bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
        key = (bits.to(tl.int64) << 32) | face
        tl.atomic_min(keys + (view * height + row) * width + col, key, mask=hit & (z < 1), sem="relaxed")
