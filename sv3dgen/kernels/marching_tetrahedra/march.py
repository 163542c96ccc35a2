"""Marching tetrahedra: the zero level of a signed distance on a tetrahedral grid as triangles.

Each edge with a sign change carries one vertex, where linear interpolation of the distance gives zero; a distance of
exactly zero counts as outside. The surface is closed wherever it does not leave the grid, and it is oriented
counter-clockwise as seen from the positive side. Differentiable in the distances and the positions.
"""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple, no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import get_num_threads, njit, prange
from torch import Tensor

from sv3dgen.kernels.backend import Backend, resolve

EDGE_ENDS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))  # of a tetrahedron, by its vertices
CHUNK_BITS = 12  # tetrahedra and edges are counted in chunks of 4096, which threads then fill side by side
BLOCK_BITS = 10  # gradients of grid vertices belong to threads in interleaved blocks of 1024


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
    faces, ends = _surface_numba(inside, *(t.int().contiguous().numpy() for t in (tets, edges, tet_edges)), TRIANGLES)
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
        return torch.from_numpy(_crossings_numba(*(t.detach().contiguous().numpy() for t in (sdf, positions, ends))))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        arrays = (t.detach().contiguous().numpy() for t in (*ctx.saved_tensors, gradient))
        parts = 1 << (get_num_threads() - 1).bit_length()
        to_sdf, to_positions = _crossings_backward_numba(*arrays, parts)
        return torch.from_numpy(to_sdf), torch.from_numpy(to_positions), None


@njit(cache=True, parallel=True)
@no_type_check
def _surface_numba(inside, tets, edges, tet_edges, triangles):
    """Faces, and the two grid vertices of the edge under each surface vertex."""
    size = 1 << CHUNK_BITS
    tet_chunks, edge_chunks = len(tets) // size + 1, len(edges) // size + 1
    pattern = np.empty(len(tets), np.uint8)
    crossed = np.zeros(len(edges), np.bool_)
    faces_before = np.zeros(tet_chunks + 1, np.int64)
    for chunk in prange(tet_chunks):
        first, last = chunk * size, min((chunk + 1) * size, len(tets))
        for t in range(first, last):  # unsigned small integers throughout, so that this loop is vectorised
            pattern[t] = (
                inside[np.uint32(tets[t, 0])]
                | inside[np.uint32(tets[t, 1])] << np.uint8(1)
                | inside[np.uint32(tets[t, 2])] << np.uint8(2)
                | inside[np.uint32(tets[t, 3])] << np.uint8(3)
            )
        count = 0
        for t in range(first, last):
            if 0 < pattern[t] < 15:
                for which in range(2):
                    if triangles[pattern[t], which, 0] >= 0:
                        count += 1
                        for k in range(3):  # several threads may mark an edge, all alike
                            crossed[np.uint32(tet_edges[t, triangles[pattern[t], which, k]])] = True
        faces_before[chunk + 1] = count
    faces_before = np.cumsum(faces_before)

    vertices_before = np.zeros(edge_chunks + 1, np.int64)
    for chunk in prange(edge_chunks):
        vertices_before[chunk + 1] = crossed[chunk * size : (chunk + 1) * size].sum()
    vertices_before = np.cumsum(vertices_before)
    number = np.empty(len(edges), np.int32)  # of the surface vertex on an edge; only crossed edges have one
    ends = np.empty((vertices_before[-1], 2), np.int32)
    for chunk in prange(edge_chunks):
        n = vertices_before[chunk]
        for e in range(chunk * size, min((chunk + 1) * size, len(edges))):
            if crossed[e]:
                number[e], ends[n, 0], ends[n, 1] = n, edges[e, 0], edges[e, 1]
                n += 1

    faces = np.empty((faces_before[-1], 3), np.int64)
    for chunk in prange(tet_chunks):
        f = faces_before[chunk]
        for t in range(chunk * size, min((chunk + 1) * size, len(tets))):
            if 0 < pattern[t] < 15:
                for which in range(2):
                    if triangles[pattern[t], which, 0] >= 0:
                        for k in range(3):
                            faces[f, k] = number[np.uint32(tet_edges[t, triangles[pattern[t], which, k]])]
                        f += 1
    return faces, ends


@njit(cache=True, parallel=True)
@no_type_check
def _crossings_numba(sdf, positions, ends):
    vertices = np.empty((len(ends), 3), np.float32)
    for n in prange(len(ends)):
        a, b = ends[n, 0], ends[n, 1]
        t = sdf[a] / (sdf[a] - sdf[b])
        for k in range(3):
            vertices[n, k] = positions[a, k] * (1 - t) + positions[b, k] * t
    return vertices


@njit(cache=True, parallel=True)
@no_type_check
def _crossings_backward_numba(sdf, positions, ends, gradient, parts):
    """Each part owns some blocks of grid vertices and adds in the order of the crossings, whatever the threads."""
    to_sdf, to_positions = np.zeros(sdf.shape, np.float32), np.zeros(positions.shape, np.float32)
    for part in prange(parts):
        for n in range(len(ends)):
            a, b = ends[n, 0], ends[n, 1]
            owns_a = (a >> BLOCK_BITS) & (parts - 1) == part
            owns_b = (b >> BLOCK_BITS) & (parts - 1) == part
            if owns_a or owns_b:
                span = sdf[a] - sdf[b]
                t = sdf[a] / span
                along = np.float32(0)
                for k in range(3):
                    along += gradient[n, k] * (positions[b, k] - positions[a, k])
                    if owns_a:
                        to_positions[a, k] += gradient[n, k] * (1 - t)
                    if owns_b:
                        to_positions[b, k] += gradient[n, k] * t
                if owns_a:
                    to_sdf[a] += along * (1 - t) / span
                if owns_b:
                    to_sdf[b] += along * t / span
    return to_sdf, to_positions
