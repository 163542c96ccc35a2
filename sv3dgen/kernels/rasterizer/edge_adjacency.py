"""The edges of a triangle mesh with the faces at both sides."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from sv3dgen.kernels.backend import Backend, resolve
from sv3dgen.kernels.rasterizer._edge_adjacency_numba import edge_adjacency_numba


@dataclass(frozen=True)
class Edges:
    """Edges in the order of their vertices. Where n > 2 faces meet at one edge it is listed ceil(n / 2) times."""

    vertices: Int[Tensor, "edges 2"]  # int64; lower index first
    faces: Int[Tensor, "edges 2"]  # int64; lower index first; the second is -1 at a border


def edge_adjacency(faces: Int[Tensor, "faces 3"], *, backend: Backend = "auto") -> Edges:
    """Pair the faces that share an edge."""
    if resolve("rasterizer", backend, faces.device) != "numba":
        return _edge_adjacency_reference(faces.long())
    vertices, pairs = edge_adjacency_numba(np.ascontiguousarray(faces.numpy(), dtype=np.int64))
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
