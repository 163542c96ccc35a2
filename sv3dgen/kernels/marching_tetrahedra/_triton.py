"""The Triton version of marching tetrahedra: one pass over the tetrahedra and one over the edges, for a byte of each.

What is left is done for the surface alone: torch counts its vertices and faces, for which the host waits twice, and two
kernels write them. Gradients are added up atomically, so their last bits change from run to run.
"""

from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import torch
import triton
import triton.language as tl
from torch import Tensor

from sv3dgen.kernels.triton_launch import blocks, launch

ITEMS = 256


def surface(inside: Tensor, tets: Tensor, edges: Tensor, tet_edges: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Faces (int64), and the two grid vertices of the edge under each surface vertex.

    `inside` is uint8; `table` [16, 2, 3] (int32) has the triangles of each pattern as local edges, -1 where none.
    """
    inside, tets, edges, tet_edges = (tensor.contiguous() for tensor in (inside, tets, edges, tet_edges))
    crossed = torch.empty(len(edges), dtype=torch.uint8, device=inside.device)
    launch(_crossed_kernel, (blocks(len(edges), ITEMS),), inside, edges, crossed, len(edges), ITEMS=ITEMS)
    triangles = torch.empty(len(tets), 2, dtype=torch.uint8, device=inside.device)
    launch(_triangles_kernel, (blocks(len(tets), ITEMS),), inside, tets, table, triangles, len(tets), ITEMS=ITEMS)
    ends = edges[crossed.bool()]
    number = crossed.cumsum(0, dtype=torch.int32)  # of the surface vertex on a crossed edge, from 1 on
    wanted = triangles.flatten().nonzero()[:, 0]
    faces = torch.empty(len(wanted), 3, dtype=torch.int64, device=inside.device)
    tensors = inside, tets, table, tet_edges, number, wanted, faces
    launch(_faces_kernel, (blocks(len(wanted), ITEMS),), *tensors, len(wanted), ITEMS=ITEMS)
    return faces, ends


class Crossings(torch.autograd.Function):
    """Signed distances and positions (float32) of grid vertices, pairs of them -> where it is zero between them."""

    @staticmethod
    def forward(ctx, sdf, positions, ends):
        sdf, positions, ends = sdf.detach().contiguous(), positions.detach().contiguous(), ends.contiguous()
        ctx.save_for_backward(sdf, positions, ends)
        out = positions.new_empty(len(ends), 3)
        launch(_crossings_kernel, (blocks(len(ends), ITEMS),), sdf, positions, ends, out, len(ends), ITEMS=ITEMS)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        sdf, positions, ends = ctx.saved_tensors
        to_sdf, to_positions = torch.zeros_like(sdf), torch.zeros_like(positions)
        tensors = sdf, positions, ends, gradient.contiguous(), to_sdf, to_positions
        launch(_crossings_backward_kernel, (blocks(len(ends), ITEMS),), *tensors, len(ends), ITEMS=ITEMS)
        return to_sdf, to_positions, None


@triton.jit
@no_type_check
def _items(ITEMS: tl.constexpr):
    return tl.program_id(0).to(tl.int64) * ITEMS + tl.arange(0, ITEMS)


@triton.jit
@no_type_check
def _crossed_kernel(inside, edges, crossed, count, ITEMS: tl.constexpr):
    i = _items(ITEMS)
    here = i < count
    a = tl.load(inside + tl.load(edges + 2 * i, mask=here, other=0), mask=here, other=0)
    b = tl.load(inside + tl.load(edges + 2 * i + 1, mask=here, other=0), mask=here, other=0)
    tl.store(crossed + i, (a != b).to(tl.uint8), mask=here)


@triton.jit
@no_type_check
def _pattern(inside, tets, tet, here):
    """Bit i for vertex i inside."""
    pattern = (tet * 0).to(tl.int32)
    for k in tl.static_range(4):
        vertex = tl.load(tets + 4 * tet + k, mask=here, other=0)
        pattern += tl.load(inside + vertex, mask=here, other=0).to(tl.int32) << k
    return pattern


@triton.jit
@no_type_check
def _triangles_kernel(inside, tets, table, triangles, count, ITEMS: tl.constexpr):
    """Which of its two triangles each tetrahedron has."""
    i = _items(ITEMS)
    here = i < count
    pattern = _pattern(inside, tets, i, here)
    for which in tl.static_range(2):
        has = tl.load(table + 6 * pattern + 3 * which, mask=here, other=-1) >= 0
        tl.store(triangles + 2 * i + which, has.to(tl.uint8), mask=here)


@triton.jit
@no_type_check
def _faces_kernel(inside, tets, table, tet_edges, number, wanted, faces, count, ITEMS: tl.constexpr):
    i = _items(ITEMS)
    here = i < count
    slot = tl.load(wanted + i, mask=here, other=0)
    tet, which = slot // 2, slot % 2
    pattern = _pattern(inside, tets, tet, here)
    for k in tl.static_range(3):
        local = tl.load(table + 6 * pattern + 3 * which + k, mask=here, other=0)
        edge = tl.load(tet_edges + 6 * tet + local, mask=here, other=0)
        vertex = tl.load(number + edge, mask=here, other=1).to(tl.int64) - 1
        tl.store(faces + 3 * i + k, vertex, mask=here)


@triton.jit
@no_type_check
def _ends(sdf, ends, i, here):
    """The grid vertices of surface vertices, the difference of their distances, and the share of the second."""
    a = tl.load(ends + 2 * i, mask=here, other=0).to(tl.int64)
    b = tl.load(ends + 2 * i + 1, mask=here, other=0).to(tl.int64)
    of_a = tl.load(sdf + a, mask=here, other=1.0)
    span = of_a - tl.load(sdf + b, mask=here, other=0.0)
    return a, b, span, of_a / span


@triton.jit
@no_type_check
def _crossings_kernel(sdf, positions, ends, out, count, ITEMS: tl.constexpr):
    i = _items(ITEMS)
    here = i < count
    a, b, _, t = _ends(sdf, ends, i, here)
    for k in tl.static_range(3):
        p = tl.load(positions + 3 * a + k, mask=here, other=0.0)
        q = tl.load(positions + 3 * b + k, mask=here, other=0.0)
        tl.store(out + 3 * i + k, p * (1 - t) + q * t, mask=here)


@triton.jit
@no_type_check
def _crossings_backward_kernel(sdf, positions, ends, gradient, to_sdf, to_positions, count, ITEMS: tl.constexpr):
    i = _items(ITEMS)
    here = i < count
    a, b, span, t = _ends(sdf, ends, i, here)
    along = t * 0
    for k in tl.static_range(3):
        pull = tl.load(gradient + 3 * i + k, mask=here, other=0.0)
        p = tl.load(positions + 3 * a + k, mask=here, other=0.0)
        along += pull * (tl.load(positions + 3 * b + k, mask=here, other=0.0) - p)
        tl.atomic_add(to_positions + 3 * a + k, pull * (1 - t), mask=here, sem="relaxed")
        tl.atomic_add(to_positions + 3 * b + k, pull * t, mask=here, sem="relaxed")
    tl.atomic_add(to_sdf + a, along * (1 - t) / span, mask=here, sem="relaxed")
    tl.atomic_add(to_sdf + b, along * t / span, mask=here, sem="relaxed")
