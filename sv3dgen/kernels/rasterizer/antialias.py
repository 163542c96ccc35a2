"""Coverage of pixels by a mesh, with a gradient from the pixels beside the outline to the vertices on it.

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
from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import get_num_threads, njit, prange
from torch import Tensor

from sv3dgen.kernels.backend import Backend, resolve, resolve_own
from sv3dgen.kernels.rasterizer.edge_adjacency import Edges
from sv3dgen.kernels.rasterizer.rasterize import STRIP_BITS, Fragments, expand_ranges, in_front


def antialiased_coverage(
    fragments: Fragments,
    clip: Float[Tensor, "views vertices 4"],
    faces: Int[Tensor, "faces 3"],
    edges: Edges,
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "views height width"]:
    """Coverage in [0, 1] by the mesh that `fragments` were made from; fractional beside the outline.

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
        screen = _screen_numba(clip, *face_index.shape[1:])
        winner = _winner_numba(screen, _facing_numba(screen, faces), face_index, ends, sides, strips)
        total = _coverage_numba(winner, screen, face_index, ends)
        ctx.state = clip, face_index, ends, screen, winner, total
        return torch.from_numpy(np.clip(total, 0.0, 1.0))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        to_clip = _coverage_backward_numba(*ctx.state, gradient.contiguous().numpy())
        return torch.from_numpy(to_clip), None, None, None, None


@njit(cache=True, parallel=True)
@no_type_check
def _screen_numba(clip, height, width):
    """Image positions with pixel centers at whole numbers; NaN in front of the near plane."""
    views, vertices = clip.shape[:2]
    screen = np.empty((views, vertices, 2), np.float64)
    for flat in prange(views * vertices):
        view, i = flat // vertices, flat % vertices
        w = np.float64(clip[view, i, 3])
        if w > 0 and clip[view, i, 2] >= -w:
            screen[view, i, 0] = (clip[view, i, 0] / w * 0.5 + 0.5) * width - 0.5
            screen[view, i, 1] = (0.5 - clip[view, i, 1] / w * 0.5) * height - 0.5
        else:
            screen[view, i] = np.nan
    return screen


@njit(cache=True, parallel=True)
@no_type_check
def _facing_numba(screen, faces):
    """Whether each face runs clockwise on the screen."""
    views, num_faces = len(screen), len(faces)
    facing = np.empty((views, num_faces), np.bool_)
    for flat in prange(views * num_faces):
        view, f = flat // num_faces, flat % num_faces
        a, b, c = screen[view, faces[f, 0]], screen[view, faces[f, 1]], screen[view, faces[f, 2]]
        facing[view, f] = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0
    return facing


@njit(cache=True, inline="always")
@no_type_check
def _crossing(a, b, n, along):
    """Where the line through a and b has coordinate `n` on axis `along`: its other coordinate."""
    across = 1 - along
    return a[across] + (n - a[along]) * (b[across] - a[across]) / (b[along] - a[along])


@njit(cache=True, inline="always")
@no_type_check
def _fraction(screen, ends, edge, row, col, steep, here_covered):
    """t of an edge at the pair of pixels that starts at (row, col)."""
    a, b = screen[ends[edge, 0]], screen[ends[edge, 1]]
    beyond = _crossing(a, b, row, 1) - col if steep else _crossing(a, b, col, 0) - row
    return beyond if here_covered else 1 - beyond


@njit(cache=True, parallel=True)
@no_type_check
def _winner_numba(screen, facing, face_index, ends, sides, strips):
    """The outermost silhouette edge at each pair of pixels, -1 where none: [view, axis, row, col].

    Axis 1 holds the pairs (row, col), (row, col + 1) of steep edges, axis 0 (row, col), (row + 1, col) of flat ones.
    """
    views, height, width = face_index.shape
    winner = np.empty((views, 2, height, width), np.int32)
    for task in prange(views * strips):
        view, strip = task // strips, task % strips
        for row in range(height):
            if (row >> STRIP_BITS) & (strips - 1) == strip:
                winner[view, :, row] = -1
        for edge in range(len(ends)):
            if sides[edge, 1] < 0 or facing[view, sides[edge, 0]] != facing[view, sides[edge, 1]]:
                _walk(screen[view], face_index[view], ends, edge, strip, strips, winner[view])
    return winner


@njit(cache=True)
@no_type_check
def _walk(screen, face_index, ends, edge, strip, strips, winner):
    """Follow one silhouette edge over the pairs it crosses in this thread's strips of rows."""
    a, b = screen[ends[edge, 0]], screen[ends[edge, 1]]
    if np.isnan(a[0]) or np.isnan(b[0]):
        return
    height, width = face_index.shape
    along = 1 if abs(b[1] - a[1]) >= abs(b[0] - a[0]) else 0
    size_along, size_across = (height, width) if along else (width, height)
    first = np.int64(max(np.ceil(min(a[along], b[along])), 0))
    last = np.int64(min(np.ceil(max(a[along], b[along])) - 1, size_along - 1))
    for n in range(first, last + 1):
        low = np.floor(_crossing(a, b, n, along))
        if not (low >= 0 and low + 1 < size_across):
            continue
        row, col = (n, np.int64(low)) if along else (np.int64(low), n)
        here = face_index[row, col] >= 0
        beyond = face_index[row + 1 - along, col + along] >= 0
        if here == beyond or (row >> STRIP_BITS) & (strips - 1) != strip:
            continue
        held = winner[along, row, col]
        if held < 0 or (
            _fraction(screen, ends, edge, row, col, along, here) > _fraction(screen, ends, held, row, col, along, here)
        ):
            winner[along, row, col] = edge


@njit(cache=True, parallel=True)
@no_type_check
def _coverage_numba(winner, screen, face_index, ends):
    """Coverage before it is clamped to [0, 1]."""
    views, height, width = face_index.shape
    total = np.empty((views, height, width), np.float32)
    for flat in prange(views * height):
        view, row = flat // height, flat % height
        for col in range(width):
            covered = face_index[view, row, col] >= 0
            value = 1.0 if covered else 0.0
            for k in range(4):  # the pairs to the right, below, from the left, from above
                steep, back = 1 - k % 2, k // 2
                r, c = row - back * (1 - steep), col - back * steep
                if r >= 0 and c >= 0 and winner[view, steep, r, c] >= 0:
                    edge = winner[view, steep, r, c]
                    t = _fraction(screen[view], ends, edge, r, c, steep, covered != (back == 1))
                    if (t > 0.5) != covered:
                        value += t - 0.5
            total[view, row, col] = value
    return total


@njit(cache=True, parallel=True)
@no_type_check
def _coverage_backward_numba(clip, face_index, ends, screen, winner, total, gradient):
    views, height, width = face_index.shape
    to_clip = np.zeros(clip.shape, np.float32)
    for view in prange(views):
        for along in range(2):
            for row in range(height):
                for col in range(width):
                    edge = winner[view, along, row, col]
                    if edge < 0:
                        continue
                    here = face_index[view, row, col] >= 0
                    t = _fraction(screen[view], ends, edge, row, col, along, here)
                    beside = (t > 0.5) == here  # the pixel that changes is the second of the pair
                    r, c = (row + 1 - along, col + along) if beside else (row, col)
                    if 0 <= total[view, r, c] <= 1:
                        pull = gradient[view, r, c] if here else -gradient[view, r, c]
                        n = row if along else col
                        _pull_edge(to_clip[view], clip[view], screen[view], ends[edge], n, along, pull, height, width)
    return to_clip


@njit(cache=True)
@no_type_check
def _pull_edge(to_clip, clip, screen, ends, n, along, pull, height, width):
    """Add the gradient of an edge's crossing with line `n`, times `pull`, to its two vertices."""
    a, b = screen[ends[0]], screen[ends[1]]
    across = 1 - along
    share = (n - a[along]) / (b[along] - a[along])
    slope = (b[across] - a[across]) / (b[along] - a[along])
    for vertex, weight in ((ends[0], (1 - share) * pull), (ends[1], share * pull)):
        # The crossing moves with the vertex across, and against slope times its motion along the axis.
        x, y = (weight, -slope * weight) if along else (-slope * weight, weight)
        w = np.float64(clip[vertex, 3])
        x, y = 0.5 * width / w * x, -0.5 * height / w * y
        to_clip[vertex, 0] += x
        to_clip[vertex, 1] += y
        to_clip[vertex, 3] -= (x * clip[vertex, 0] + y * clip[vertex, 1]) / w
