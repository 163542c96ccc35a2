"""Coverage of pixels by a mesh, with a gradient from the pixels next to the outline to the vertices on it.

A silhouette edge is one whose two faces look opposite ways on the screen, or a border. Each one is followed over the
pairs of neighboring pixel centers that it passes between: side by side where the edge is steep, one above the other
where it is flat. Where one center of a pair is covered and the other is empty, let t in [0, 1] be the crossing, as seen
from the covered center: beyond the middle, the empty pixel gains t - 1/2; before it, the covered one loses 1/2 - t. So
the sum over the pixels follows the area inside the outline, without jumps when a center changes sides. Of several edges
that cross one pair the outermost counts, which makes triangles smaller than a pixel harmless. The meaning of t is
nvdiffrast's (Laine et al. 2020, section 3.6); but its `antialias` looks only at the edges of the face that the covered
pixel shows, and so misses most of an outline of faces of a pixel or less: it is not offered here. Outlines of one part
of the object in front of another are not treated. Faces must be oriented consistently.
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
from sv3dgen.kernels.rasterizer._antialias_numba import (
    coverage_backward_numba,
    coverage_numba,
    facing_numba,
    screen_numba,
    winner_numba,
)
from sv3dgen.kernels.rasterizer.edge_adjacency import Edges
from sv3dgen.kernels.rasterizer.rasterize import Fragments, expand_ranges, in_front


def antialiased_coverage(
    fragments: Fragments,
    clip: Float[Tensor, "views vertices 4"],
    faces: Int[Tensor, "faces 3"],
    edges: Edges,
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "views height width"]:
    """Coverage in [0, 1] by the mesh that `fragments` were made from; fractional next to the outline.

    Differentiable in `clip`. Edges with a vertex in front of the near plane are ignored.
    """
    chosen = resolve("rasterizer", backend, clip.device)
    if chosen == "nvdiffrast":
        chosen = resolve_own("rasterizer", clip.device)
    if chosen == "torch":
        return _coverage_reference(fragments.face_index >= 0, clip, faces.long(), edges)
    inputs = fragments.face_index, faces.long(), edges.vertices.long(), edges.faces.long()
    function = _Coverage if chosen == "numba" else _triton().Coverage
    return function.apply(clip.float(), *inputs).to(clip.dtype)


@cache
def _triton() -> ModuleType:
    """The module with the Triton version; triton is loaded only where it is used."""
    return import_module("sv3dgen.kernels.rasterizer._antialias_triton")


def _coverage_reference(covered: Tensor, clip: Tensor, faces: Tensor, edges: Edges) -> Tensor:
    views, height, width = covered.shape
    usable = in_front(clip)
    ndc = clip[..., :2] / torch.where(usable, clip[..., 3], 1.0)[..., None]
    # In px, with pixel centers at whole numbers.
    screen = torch.stack([(ndc[..., 0] * 0.5 + 0.5) * width - 0.5, (0.5 - ndc[..., 1] * 0.5) * height - 0.5], dim=-1)
    a, b, c = screen.detach()[:, faces].unbind(2)
    facing = (b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0] > 0
    silhouette = (edges.faces[:, 1] < 0) | (facing[:, edges.faces[:, 0]] != facing[:, edges.faces[:, 1]])
    silhouette &= usable[:, edges.vertices].all(-1)
    view, edge = silhouette.nonzero().unbind(-1)
    a, b = screen[view[:, None], edges.vertices[edge]].unbind(1)

    # Along the edge's dominant axis it meets whole numbers n; across it, it passes between two centers there.
    steep = (b - a)[:, 1].abs() >= (b - a)[:, 0].abs()
    along, across = torch.where(steep, 1, 0)[:, None], torch.where(steep, 0, 1)[:, None]
    a_along, b_along = a.gather(1, along)[:, 0], b.gather(1, along)[:, 0]
    a_across, b_across = a.gather(1, across)[:, 0], b.gather(1, across)[:, 0]
    first = torch.minimum(a_along, b_along).detach().ceil().long().clamp(min=0)
    last = torch.maximum(a_along, b_along).detach().ceil().long() - 1
    last = torch.minimum(last, torch.where(steep, height - 1, width - 1))
    owner, n = expand_ranges(first, last)
    slope = (b_across - a_across)[owner] / (b_along - a_along)[owner]
    crossing = a_across[owner] + (n - a_along[owner]) * slope
    low = crossing.detach().floor().long()
    size = torch.where(steep[owner], width, height)
    # What misses is kept, without weight: the host would wait for a GPU to tell how many are left.
    inside = (low >= 0) & (low + 1 < size)
    low = torch.where(inside, low, 0)

    row, col = torch.where(steep[owner], n, low), torch.where(steep[owner], low, n)
    here = (view[owner] * height + row) * width + col
    beyond = torch.where(inside, here + torch.where(steep[owner], 1, width), here)
    flat = covered.reshape(-1)
    t = torch.where(flat[here], crossing - low, low + 1 - crossing)
    pair = 2 * here + steep[owner].long()
    outermost = _outermost(pair, t.detach(), edge[owner], flat[here] != flat[beyond], 2 * flat.numel())
    target = torch.where(flat[here] == (t > 0.5), beyond, here)
    coverage = covered.to(clip.dtype).reshape(-1).index_add(0, target, torch.where(outermost, t - 0.5, 0.0))
    return coverage.clamp(0, 1).reshape(views, height, width)


def _outermost(pair: Tensor, t: Tensor, edge: Tensor, open_pair: Tensor, num_pairs: int) -> Tensor:
    """Which crossings win their pair: greatest t, then lowest edge index; only where `open_pair`."""
    nothing, no_edge = -1.0, 2**62
    greatest = t.new_full((num_pairs,), nothing)
    greatest = greatest.scatter_reduce(0, pair, torch.where(open_pair, t, nothing), "amax")
    first = open_pair & (t == greatest[pair])
    lowest = edge.new_full((num_pairs,), no_edge)
    lowest = lowest.scatter_reduce(0, pair, torch.where(first, edge, no_edge), "amin")
    return first & (edge == lowest[pair])


class _Coverage(torch.autograd.Function):
    @staticmethod
    def forward(ctx, clip, face_index, faces, edge_vertices, edge_faces):
        clip, face_index, faces, ends, sides = (
            t.detach().contiguous().numpy() for t in (clip, face_index.int(), faces, edge_vertices, edge_faces)
        )
        views, threads = len(clip), get_num_threads()
        strips = 1 if views % threads == 0 or views > 2 * threads else 1 << (threads - 1).bit_length()
        screen = screen_numba(clip, *face_index.shape[1:])
        winner = winner_numba(screen, facing_numba(screen, faces), face_index, ends, sides, strips)
        total = coverage_numba(winner, screen, face_index, ends)
        ctx.state = clip, face_index, ends, screen, winner, total
        return torch.from_numpy(np.clip(total, 0.0, 1.0))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        to_clip = coverage_backward_numba(*ctx.state, gradient.contiguous().numpy())
        return torch.from_numpy(to_clip), None, None, None, None
