"""A surface that was moved after its field was fitted: where its points came from, and values between its vertices."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor

from sv3dgen.meshes.mesh import Mesh

Points = Float[Tensor, "points 3"]


def way_back(moved: Mesh, original: Mesh) -> Callable[[Points], Points]:
    """The function that takes points of the moved surface to where they came from, by the move of the nearest vertex.

    A field says little a few hundredths off the surface that it was fitted with. All on the CPU.
    """
    if moved is original:
        return lambda points: points
    tree, moves = KDTree(moved.vertices.numpy()), moved.vertices - original.vertices

    def back(points: Points) -> Points:
        _, nearest = tree.query(points.numpy())
        return points - moves[torch.from_numpy(nearest)]

    return back


def between(mesh: Mesh, values: Float[Tensor, "vertices channels"]) -> Callable[[Points], Float[Tensor, "points _"]]:
    """The function that gives values of a mesh's vertices at points on it: of the three nearest, nearer ones more."""
    tree = KDTree(mesh.vertices.numpy())

    def at(points: Points) -> Float[Tensor, "points _"]:
        distance, nearest = tree.query(points.numpy(), k=3)
        weight = torch.from_numpy(1 / (distance + 1e-6)).to(values)
        return (weight[..., None] * values[torch.from_numpy(nearest)]).sum(1) / weight.sum(1, keepdim=True)

    return at
