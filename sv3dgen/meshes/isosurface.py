"""A surface out of samples on a grid."""

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.meshes.marching_cubes import zero_level
from sv3dgen.meshes.mesh import Mesh


def marching_cubes(values: Float[Tensor, "x y z"], lower: Float[Tensor, " 3"], spacing: float) -> Mesh:
    """The zero level of samples at `lower + spacing (i, j, k)`, negative inside; closed if the border is positive."""
    vertices, faces = zero_level(values.cpu().double().numpy())
    return Mesh(torch.from_numpy(vertices).float() * spacing + lower, torch.from_numpy(faces))
