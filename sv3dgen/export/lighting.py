"""Light on a baked mesh, as it was during the optimization."""

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.materials.from_light import material_from_light
from sv3dgen.meshes.mesh import Mesh, vertex_normals
from sv3dgen.meshes.textured_mesh import TexturedMesh


@torch.no_grad()
def lighting(mesh: TexturedMesh, light: dict) -> dict:
    """The arguments that make `render_textured` shade as the material of this light.json does."""
    material = material_from_light(light)
    neutral = torch.zeros(len(mesh.vertices), material.feature_dim)
    shading = material(neutral, welded_normals(mesh))
    return {"irradiance": shading.irradiance[:, 0], "log_tone_map": light.get("tone_map") == "log"}


def welded_normals(mesh: TexturedMesh) -> Float[Tensor, "vertices 3"]:
    """Smooth normals that don't break where a file split vertices along texture seams."""
    positions, inverse = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    return vertex_normals(Mesh(positions, inverse[mesh.faces]))[inverse]
