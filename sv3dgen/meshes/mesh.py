"""A triangle mesh as tensors, and what follows from it alone."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sv3dgen.kernels.rasterizer.edge_adjacency import Edges, edge_adjacency


@dataclass(frozen=True)
class Mesh:
    """Triangles in world coordinates, counter-clockwise seen from outside."""

    vertices: Float[Tensor, "vertices 3"]
    faces: Int[Tensor, "faces 3"]

    @cached_property
    def edges(self) -> Edges:
        """The edges with the faces at both sides; found once and kept."""
        return edge_adjacency(self.faces)

    def to(self, device: torch.device | str) -> "Mesh":
        return Mesh(self.vertices.to(device), self.faces.to(device))

    def detach(self) -> "Mesh":
        return Mesh(self.vertices.detach(), self.faces)


def face_normals(mesh: Mesh) -> Float[Tensor, "faces 3"]:
    """Cross product of two edges: twice the face's area times its outward unit normal. Differentiable."""
    # Not `vertices[faces]`: the gradient of fancy indexing is a slow scatter.
    a, b, c = (mesh.vertices.index_select(0, corner) for corner in mesh.faces.unbind(1))
    return torch.linalg.cross(b - a, c - a)


def vertex_normals(mesh: Mesh) -> Float[Tensor, "vertices 3"]:
    """Unit normals at the vertices, the area-weighted mean of the faces around each. Differentiable."""
    weighted = face_normals(mesh).repeat_interleave(3, dim=0)
    total = torch.zeros_like(mesh.vertices).index_add(0, mesh.faces.reshape(-1), weighted)
    return torch.nn.functional.normalize(total, dim=-1)
