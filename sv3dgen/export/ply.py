"""Write PLY files: binary, a color for each vertex."""

from pathlib import Path

import torch
from jaxtyping import UInt8
from numpy import ndarray

from sv3dgen.atomic import atomic_write
from sv3dgen.meshes.textured_mesh import TexturedMesh


def write_ply(path: str | Path, mesh: TexturedMesh) -> None:
    """The mesh in its own frame, with what its texture shows at each vertex: PLY has no textures that readers share."""
    import trimesh  # slow to import

    colored = trimesh.Trimesh(
        mesh.vertices.numpy(), mesh.faces.numpy(), vertex_colors=vertex_colors(mesh), process=False
    )
    with atomic_write(path) as temporary:
        colored.export(temporary, file_type="ply")


def vertex_colors(mesh: TexturedMesh) -> UInt8[ndarray, "vertices 3"]:
    """The texture, sRGB, at one of the places that each vertex has in it."""
    assert mesh.uv is not None and mesh.uv_faces is not None and len(mesh.textures) == 1
    place = torch.zeros(len(mesh.vertices), dtype=torch.long)
    place[mesh.faces.reshape(-1)] = mesh.uv_faces.reshape(-1)
    at = mesh.uv[place] * mesh.uv.new_tensor([2.0, -2.0]) + mesh.uv.new_tensor([-1.0, 1.0])
    texture = mesh.textures[0][None]
    seen = torch.nn.functional.grid_sample(texture, at[None, None], padding_mode="border", align_corners=False)
    return (seen[0, :, 0].T.clamp(0, 1) * 255).round().byte().numpy()
