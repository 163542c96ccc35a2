"""A triangle mesh with colors: what is read from mesh files, drawn, and exported."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sv3dgen.meshes.mesh import Mesh

DEFAULT_COLOR = 0.8  # the gray of an object that says nothing about its color


@dataclass(frozen=True)
class TexturedMesh:
    """Triangles whose color comes from textures, from the vertices, or from neither. All colors are sRGB in [0, 1].

    A face shows `textures[face_texture]`, times the vertices' tint if there is one; where that is -1 (or None for the
    whole mesh) it shows the vertex colors, and where there are none a plain gray. Texture coordinates are OpenGL's:
    (0, 0) is the lower left corner of the image, v grows upwards, and they repeat outside [0, 1].
    """

    vertices: Float[Tensor, "vertices 3"]
    faces: Int[Tensor, "faces 3"]  # counter-clockwise seen from outside
    uv: Float[Tensor, "uvs 2"] | None = None
    uv_faces: Int[Tensor, "faces 3"] | None = None  # one row of `uv` for each corner
    textures: tuple[Float[Tensor, "3 _ _"], ...] = ()  # each has a height and width of its own
    face_texture: Int[Tensor, " faces"] | None = None
    vertex_colors: Float[Tensor, "vertices 3"] | None = None
    vertex_tint: Float[Tensor, "vertices 3"] | None = None  # linear, multiplied with the linear colors of textures

    @property
    def mesh(self) -> Mesh:
        """The bare triangles."""
        return Mesh(self.vertices, self.faces)


def with_texture(
    mesh: Mesh,
    uv: Float[Tensor, "uvs 2"],
    uv_faces: Int[Tensor, "faces 3"],
    texture: Float[Tensor, "3 height width"],
) -> TexturedMesh:
    """A mesh whose every face shows the same texture."""
    face_texture = torch.zeros(len(mesh.faces), dtype=torch.int64)
    return TexturedMesh(mesh.vertices, mesh.faces, uv, uv_faces, (texture,), face_texture)
