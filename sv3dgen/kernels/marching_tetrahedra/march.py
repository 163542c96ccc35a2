"""Marching tetrahedra: the zero level of a signed distance on a tetrahedral grid as triangles.

Each edge with a sign change carries one vertex, where linear interpolation of the distance gives zero; a distance of
exactly zero counts as outside. The surface is closed wherever it does not leave the grid, and it is oriented
counter-clockwise as seen from the positive side. Differentiable in the distances and the positions.
"""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import get_num_threads
from torch import Tensor

from sv3dgen.kernels.backend import Backend, resolve
from sv3dgen.kernels.marching_tetrahedra._numba import crossings_backward_numba, crossings_numba, surface_numba

EDGE_ENDS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))  # of a tetrahedron, by its vertices


class Triangles(NamedTuple):
    """A surface as plain tensors; `Mesh(*triangles)` makes a mesh of it."""

    vertices: Float[Tensor, "surface_vertices 3"]
    faces: Int[Tensor, "faces 3"]


def _triangle_table() -> np.ndarray:
    """Triangles as local edges for each pattern of inside vertices (bit i for vertex i), -1 where fewer than two.

    Derived rather than listed: the crossed edges are put in order around the direction from inside to outside.
    """
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float64)
    table = np.full((16, 2, 3), -1, np.int32)
    for pattern in range(1, 15):
        inside = np.array([bool(pattern >> i & 1) for i in range(4)])
        crossed = [e for e, (a, b) in enumerate(EDGE_ENDS) if inside[a] != inside[b]]
        middles = np.array([corners[list(EDGE_ENDS[e])].mean(0) for e in crossed])
        outward = corners[~inside].mean(0) - corners[inside].mean(0)
        relative = middles - middles.mean(0)
        right, up = relative[0], np.cross(outward, relative[0])
        loop = [crossed[i] for i in np.argsort(np.arctan2(relative @ up, relative @ right))]
        table[pattern, 0] = loop[:3]
        if len(loop) == 4:
            table[pattern, 1] = loop[0], loop[2], loop[3]
    return table


TRIANGLES = _triangle_table()


def marching_tets(
    sdf: Float[Tensor, " vertices"],
    positions: Float[Tensor, "vertices 3"],
    tets: Int[Tensor, "tets 4"],
    edges: Int[Tensor, "edges 2"],
    tet_edges: Int[Tensor, "tets 6"],
    *,
    backend: Backend = "auto",
) -> Triangles:
    """The surface where `sdf` changes sign, negative inside; grid as in `meshes.tet_grid.TetGrid`.

    Vertices stand in the order of the edges they lie on, faces (int64) in the order of their tetrahedra. A gradient
    with respect to `sdf` grows as one over the difference of the two distances on an edge.
    """
    chosen = resolve("marching_tetrahedra", backend, sdf.device)
    if chosen == "torch":
        return _marching_tets_reference(sdf, positions, tets.long(), edges.long(), tet_edges.long())
    sdf = sdf.float()
    if chosen == "triton":
        table = _tables(sdf.device)[1]
        faces, ends = _triton().surface((sdf.detach() < 0).to(torch.uint8), tets, edges, tet_edges, table)
        return Triangles(_triton().Crossings.apply(sdf, positions.float(), ends).to(positions.dtype), faces)
    inside = (sdf.detach() < 0).numpy().view(np.uint8)
    faces, ends = surface_numba(inside, *(t.int().contiguous().numpy() for t in (tets, edges, tet_edges)), TRIANGLES)
    vertices = _Crossings.apply(sdf, positions.float(), torch.from_numpy(ends)).to(positions.dtype)
    return Triangles(vertices, torch.from_numpy(faces))


@cache
def _triton() -> ModuleType:
    """The module with the Triton version; triton is loaded only where it is used."""
    return import_module("sv3dgen.kernels.marching_tetrahedra._triton")


def _marching_tets_reference(
    sdf: Tensor, positions: Tensor, tets: Tensor, edges: Tensor, tet_edges: Tensor
) -> Triangles:
    inside = sdf < 0
    crossed = inside[edges[:, 0]] != inside[edges[:, 1]]
    ends = edges[crossed]
    # Not `sdf[ends]`: the gradient of fancy indexing sorts the indices on a GPU.
    (a, b), (p, q) = ([values.index_select(0, end) for end in ends.unbind(-1)] for values in (sdf, positions))
    t = (a / (a - b))[:, None]
    vertices = p * (1 - t) + q * t
    places, table = _tables(tets.device)
    pattern = (inside[tets] * places).sum(-1)
    tet, which = (table[pattern, :, 0] >= 0).nonzero().unbind(-1)
    local = table[pattern[tet], which].long()
    number = crossed.long().cumsum(0) - 1
    return Triangles(vertices, number[tet_edges[tet].gather(1, local)])


@cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """What each vertex of a tetrahedron adds to its pattern, and the triangles; sent to a device once."""
    return torch.tensor([1, 2, 4, 8], device=device), torch.from_numpy(TRIANGLES).to(device)


class _Crossings(torch.autograd.Function):
    @staticmethod
    def forward(ctx, sdf, positions, ends):
        ctx.save_for_backward(sdf, positions, ends)
        return torch.from_numpy(crossings_numba(*(t.detach().contiguous().numpy() for t in (sdf, positions, ends))))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        arrays = (t.detach().contiguous().numpy() for t in (*ctx.saved_tensors, gradient))
        parts = 1 << (get_num_threads() - 1).bit_length()
        to_sdf, to_positions = crossings_backward_numba(*arrays, parts)
        return torch.from_numpy(to_sdf), torch.from_numpy(to_positions), None
