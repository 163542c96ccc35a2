"""The edges of a triangle mesh with the faces at both sides."""

from dataclasses import dataclass
from typing import no_type_check  # a run-time checker's wrapper around a kernel could not be compiled

import numpy as np
import torch
from jaxtyping import Int
from numba import njit, prange
from torch import Tensor

from sv3dgen.kernels.backend import Backend, resolve


@dataclass(frozen=True)
class Edges:
    """Edges in the order of their vertices. Where n > 2 faces meet at one edge it is listed ceil(n / 2) times."""

    vertices: Int[Tensor, "edges 2"]  # int64; lower index first
    faces: Int[Tensor, "edges 2"]  # int64; lower index first; the second is -1 at a border


def edge_adjacency(faces: Int[Tensor, "faces 3"], *, backend: Backend = "auto") -> Edges:
    """Pair the faces that share an edge."""
    if resolve("rasterizer", backend, faces.device) != "numba":
        return _edge_adjacency_reference(faces.long())
    vertices, pairs = _edge_adjacency_numba(np.ascontiguousarray(faces.numpy(), dtype=np.int64))
    return Edges(torch.from_numpy(vertices), torch.from_numpy(pairs))


def _edge_adjacency_reference(faces: Tensor) -> Edges:
    """The definition: sort the sides of all faces by their vertices, pair equal neighbors."""
    ends = torch.stack([faces, faces.roll(-1, dims=1)], dim=-1).reshape(-1, 2).sort(dim=-1).values
    face = torch.arange(len(faces), device=faces.device).repeat_interleave(3)
    order = (ends[:, 0] * (ends.max() + 1 if len(ends) else 1) + ends[:, 1]).argsort(stable=True)
    ends, face = ends[order], face[order]
    proper = ends[:, 0] != ends[:, 1]
    same_as_previous = (ends == ends.roll(1, dims=0)).all(-1)
    same_as_previous[:1] = False
    # The rank of a side among those with the same vertices; even ones open a pair, odd ones close it.
    index = torch.arange(len(ends), device=faces.device)
    rank = index - torch.where(same_as_previous, 0, index).cummax(0).values
    opens = (proper & (rank % 2 == 0)).nonzero()[:, 0]
    closes = (opens + 1).clamp(max=max(len(ends) - 1, 0))
    paired = (closes > opens) & same_as_previous[closes]
    return Edges(ends[opens], torch.stack([face[opens], torch.where(paired, face[closes], -1)], dim=-1))


@njit(cache=True, parallel=True)
@no_type_check
def _edge_adjacency_numba(faces):
    """A bucket for each lower vertex, sorted by (higher vertex, face)."""
    num_faces = len(faces)
    num_vertices = faces.max() + 1 if num_faces else 0
    start = np.zeros(num_vertices + 1, np.int64)
    for f in range(num_faces):
        for k in range(3):
            a, b = faces[f, k], faces[f, (k + 1) % 3]
            if a != b:
                start[min(a, b) + 1] += 1
    start = np.cumsum(start)
    fill = start.copy()
    key = np.empty(start[num_vertices], np.int64)
    for f in range(num_faces):
        for k in range(3):
            a, b = faces[f, k], faces[f, (k + 1) % 3]
            if a != b:
                key[fill[min(a, b)]] = max(a, b) * num_faces + f
                fill[min(a, b)] += 1

    edge_start = np.zeros(num_vertices + 1, np.int64)
    for v in prange(num_vertices):
        edge_start[v + 1] = _sort_and_count(key[start[v] : start[v + 1]], num_faces)
    edge_start = np.cumsum(edge_start)
    vertices = np.empty((edge_start[num_vertices], 2), np.int64)
    pairs = np.empty((edge_start[num_vertices], 2), np.int64)
    for v in prange(num_vertices):
        e, i = edge_start[v], start[v]
        while i < start[v + 1]:
            other = key[i] // num_faces
            paired = i + 1 < start[v + 1] and key[i + 1] // num_faces == other
            vertices[e, 0], vertices[e, 1] = v, other
            pairs[e, 0], pairs[e, 1] = key[i] % num_faces, key[i + 1] % num_faces if paired else -1
            e, i = e + 1, i + 2 if paired else i + 1
    return vertices, pairs


@njit(cache=True)
@no_type_check
def _sort_and_count(key, num_faces):
    """Sort a bucket in place and count its edges."""
    if len(key) > 32:
        key.sort()
    for i in range(1, len(key)):
        moved, j = key[i], i
        while j > 0 and key[j - 1] > moved:
            key[j] = key[j - 1]
            j -= 1
        key[j] = moved
    count, i = 0, 0
    while i < len(key):
        i += 2 if i + 1 < len(key) and key[i] // num_faces == key[i + 1] // num_faces else 1
        count += 1
    return count
