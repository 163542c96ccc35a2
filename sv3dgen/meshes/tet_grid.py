"""Body-centered cubic (BCC) tetrahedral lattices, made by arithmetic: the whole of a box, or a band of it.

Lattice points are the corners and the centers of cubes. Every pair of face-adjacent centers and each of the four edges
of their shared face make one tetrahedron, so all are congruent and well shaped. The lattice is centered on the box and
overhangs it by at least half a cell on every side. The pyramids between its outermost cube faces and the cube centers
behind them are left out (they have one center only), so the tetrahedra cover the box and end in a bumpy border outside.

A lattice point has an index (x, y, z, kind): kind 0 is the lower corner of cube (x, y, z), kind 1 its center. Only the
points of a band are ever listed, never the tetrahedra of a large box.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numba import prange
from torch import Tensor

from sv3dgen.compiling.kernel import kernel
from sv3dgen.kernels.backend import Backend, resolve
from sv3dgen.kernels.marching_tetrahedra.march import EDGE_ENDS

CHUNK_POINTS = 1 << 18  # points per call of `keep`, which bounds the memory of a network behind it
MOST_NEIGHBORS = 14
Vector = Sequence[float] | Float[Tensor, "3"]


@dataclass(frozen=True)
class TetGrid:
    """Tetrahedra with all their edges. Index tensors are int32, to keep them small."""

    vertices: Float[Tensor, "vertices 3"]
    tets: Int[Tensor, "tets 4"]  # positively oriented: det(v1 - v0, v2 - v0, v3 - v0) > 0
    edges: Int[Tensor, "edges 2"]
    tet_edges: Int[Tensor, "tets 6"]  # index into `edges` of the vertex pairs 01, 02, 03, 12, 13, 23

    def to(self, device: torch.device | str) -> "TetGrid":
        return TetGrid(*(t.to(device) for t in (self.vertices, self.tets, self.edges, self.tet_edges)))


def bcc_grid(lower: Vector, upper: Vector, cell: float | int) -> TetGrid:
    """The lattice of cubes of side `cell` that covers the box: about 2 points and 12 tetrahedra per cube."""
    return bcc_band(lower, upper, cell, lambda points: torch.ones(len(points), dtype=torch.bool))


def bcc_band(
    lower: Vector,
    upper: Vector,
    cell: float | int,
    keep: Callable[[Float[Tensor, "points 3"]], Bool[Tensor, " points"]],
) -> TetGrid:
    """The tetrahedra with at least one vertex that `keep` accepts, and their vertices.

    `keep` sees all lattice points of the box, some at a time. The band holds every tetrahedron that a surface passes
    through if, of each edge the surface crosses, `keep` accepts one end.
    """
    low, high = (torch.as_tensor(v, dtype=torch.float64).cpu() for v in (lower, upper))
    if not (cell > 0 and bool((high > low).all())):
        raise ValueError(f"a lattice needs cell > 0 and lower < upper, got {cell}, {low.tolist()}, {high.tolist()}")
    cubes = ((high - low) / cell - 1e-6).ceil().long() + 1
    origin = (low + high) / 2 - cubes * cell / 2

    def positions(index: Tensor) -> Tensor:
        return (origin + (index[:, :3] + index[:, 3:] / 2) * cell).float()

    kept = np.zeros((*(cubes + 1).tolist(), 2), np.bool_)
    flat = kept.reshape(-1)
    for first in range(0, flat.size, CHUNK_POINTS):
        chunk = np.arange(first, min(first + CHUNK_POINTS, flat.size))
        points = positions(torch.from_numpy(np.stack(np.unravel_index(chunk, kept.shape), -1)))
        flat[chunk] = keep(points).cpu().numpy()

    corners, ends = _templates()
    used, tets_before = _count(kept, corners)
    number = np.cumsum(used.reshape(-1), dtype=np.int32).reshape(used.shape) - 1
    listed = np.stack(np.nonzero(used), -1)
    tets, other, slots = _list_tets(kept, corners, ends, number, tets_before, len(listed))
    edges, tet_edges = _list_edges(other, slots)
    return TetGrid(positions(torch.from_numpy(listed)), *map(torch.from_numpy, (tets, edges, tet_edges)))


def vertex_neighbors(grid: TetGrid) -> Int[Tensor, "vertices 14"]:
    """The other ends of each vertex's edges, padded with -1."""
    return torch.from_numpy(_neighbors_numba(grid.edges.cpu().numpy(), len(grid.vertices))).to(grid.edges.device)


def neighbor_mean(
    values: Float[Tensor, "vertices channels"],
    neighbors: Int[Tensor, "vertices 14"],
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "vertices channels"]:
    """The mean over each vertex and its neighbors. Not differentiable."""
    values = values.detach()
    if resolve("marching_tetrahedra", backend, values.device) != "numba":
        present = (neighbors >= 0)[..., None]
        total = values + (values[neighbors.clamp(min=0).long()] * present).sum(1)
        return total / (1 + present.sum(1))
    mean = _neighbor_mean_numba(values.float().contiguous().numpy(), neighbors.int().contiguous().numpy())
    return torch.from_numpy(mean).to(values.dtype)


@cache
def _templates() -> tuple[np.ndarray, np.ndarray]:
    """The 12 tetrahedra that belong to a cube, as index offsets, and where their edges are filed.

    An edge is filed in one of 7 slots of the end with the lower x, or of the lower end if it is parallel to an axis.
    Returns [12, 4, (x, y, z, kind)] and [12, 6, (owner's place in the tetrahedron, other's place, slot)].
    """
    corners, ends = np.zeros((12, 4, 4), np.int64), np.zeros((12, 6, 3), np.int64)
    around = ((0, 0), (1, 0), (1, 1), (0, 1))
    for axis in range(3):
        for k in range(4):
            tet = corners[4 * axis + k]
            tet[:2, 3] = 1
            tet[1:, axis] = 1
            for place, (u, v) in ((2, around[k]), (3, around[(k + 1) % 4])):
                tet[place, (axis + 1) % 3], tet[place, (axis + 2) % 3] = u, v
            half_cells = 2 * tet[:, :3] + tet[:, 3:]
            for e, (a, b) in enumerate(EDGE_ENDS):
                step = half_cells[b] - half_cells[a]
                if step[np.flatnonzero(step)[0]] < 0:
                    a, b, step = b, a, -step
                along_axis = np.count_nonzero(step) == 1
                slot = np.flatnonzero(step)[0] if along_axis else 3 + 2 * (step[1] > 0) + (step[2] > 0)
                ends[4 * axis + k, e] = a, b, slot
    return corners, ends


@kernel(inline="always")
@no_type_check
def _exists(shape, corners, template, x, y, z):
    """Whether a cube's tetrahedron lies in the lattice, which has no centers at the last index of an axis."""
    c = corners[template, 1]
    return x + c[0] < shape[0] - 1 and y + c[1] < shape[1] - 1 and z + c[2] < shape[2] - 1


@kernel(inline="always")
@no_type_check
def _any_kept(kept, corners, template, x, y, z):
    for place in range(4):
        c = corners[template, place]
        if kept[x + c[0], y + c[1], z + c[2], c[3]]:
            return True
    return False


@kernel(parallel=True)
@no_type_check
def _count(kept, corners):
    """The points that some tetrahedron of the band uses, and the number of its tetrahedra before each slab of cubes."""
    shape = kept.shape
    used = np.zeros(shape, np.bool_)
    before = np.zeros(shape[0], np.int64)
    for x in prange(shape[0] - 1):
        for y in range(shape[1] - 1):
            for z in range(shape[2] - 1):
                for template in range(12):
                    if _exists(shape, corners, template, x, y, z) and _any_kept(kept, corners, template, x, y, z):
                        before[x + 1] += 1
                        for place in range(4):
                            c = corners[template, place]
                            used[x + c[0], y + c[1], z + c[2], c[3]] = True
    return used, np.cumsum(before)


@kernel(parallel=True)
@no_type_check
def _list_tets(kept, corners, ends, number, before, num_vertices):
    """Tetrahedra; the far end of the edge in each of a vertex's 7 slots, or -1; the slots of the tetrahedra's edges."""
    shape = kept.shape
    tets = np.empty((before[-1], 4), np.int32)
    slots = np.empty((before[-1], 6), np.int32)
    other = np.full((num_vertices, 7), np.int32(-1))
    for x in prange(shape[0] - 1):
        t = before[x]
        for y in range(shape[1] - 1):
            for z in range(shape[2] - 1):
                for template in range(12):
                    if _exists(shape, corners, template, x, y, z) and _any_kept(kept, corners, template, x, y, z):
                        for place in range(4):
                            c = corners[template, place]
                            tets[t, place] = number[x + c[0], y + c[1], z + c[2], c[3]]
                        for e in range(6):
                            a, b, slot = ends[template, e]
                            other[tets[t, a], slot] = tets[t, b]
                            slots[t, e] = 7 * tets[t, a] + slot
                        t += 1
    return tets, other, slots


@kernel(parallel=True)
@no_type_check
def _list_edges(other, slots):
    """Edges in the order of their slots, and each tetrahedron's edges by number."""
    number = np.empty(other.size, np.int32)
    count = 0
    for v in range(len(other)):
        for slot in range(7):
            number[7 * v + slot] = count
            count += other[v, slot] >= 0
    edges = np.empty((count, 2), np.int32)
    for v in prange(len(other)):
        for slot in range(7):
            if other[v, slot] >= 0:
                edges[number[7 * v + slot], 0] = v
                edges[number[7 * v + slot], 1] = other[v, slot]
    tet_edges = np.empty(slots.shape, np.int32)
    for t in prange(len(slots)):
        for e in range(6):
            tet_edges[t, e] = number[slots[t, e]]
    return edges, tet_edges


@kernel()
@no_type_check
def _neighbors_numba(edges, num_vertices):
    neighbors = np.full((num_vertices, MOST_NEIGHBORS), np.int32(-1))
    count = np.zeros(num_vertices, np.uint8)
    for e in range(len(edges)):
        a, b = np.uint32(edges[e, 0]), np.uint32(edges[e, 1])
        neighbors[a, count[a]] = b
        neighbors[b, count[b]] = a
        count[a] += 1
        count[b] += 1
    return neighbors


@kernel(parallel=True)
@no_type_check
def _neighbor_mean_numba(values, neighbors):
    out = np.empty_like(values)
    if values.shape[1] == 3:  # of offsets, every step: sums in registers take half the time
        for v in prange(len(values)):
            count = np.float32(1)
            x, y, z = values[v, 0], values[v, 1], values[v, 2]
            for k in range(MOST_NEIGHBORS):
                n = neighbors[v, k]
                if n >= 0:
                    count += np.float32(1)
                    x += values[np.uint32(n), 0]
                    y += values[np.uint32(n), 1]
                    z += values[np.uint32(n), 2]
            out[v, 0], out[v, 1], out[v, 2] = x / count, y / count, z / count
        return out
    for v in prange(len(values)):
        for channel in range(values.shape[1]):
            count = np.float32(1)
            x = values[v, channel]
            for k in range(MOST_NEIGHBORS):
                n = neighbors[v, k]
                if n >= 0:
                    count += np.float32(1)
                    x += values[np.uint32(n), channel]
            out[v, channel] = x / count
    return out
