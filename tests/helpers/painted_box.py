"""A closed box whose sides have a color each, textured as the exporter does it."""

import trimesh
from torch import Tensor

from sv3dgen.export.bake import bake
from sv3dgen.export.unwrap import unwrap_by_projection
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.textured_mesh import TexturedMesh, with_texture
from sv3dgen.meshes.topology import from_numpy

SIZE = (0.5, 1.0, 0.25)  # width, height, depth: the longest side is the height
FRONT, BACK, RIGHT, LEFT, TOP, BOTTOM = (
    (0.9, 0.1, 0.1),
    (0.1, 0.1, 0.9),
    (0.1, 0.9, 0.1),
    (0.9, 0.9, 0.1),
    (0.1, 0.9, 0.9),
    (0.9, 0.1, 0.9),
)


def box() -> Mesh:
    made = trimesh.creation.box(SIZE).subdivide()
    return from_numpy(made.vertices, made.faces)


def side_color(points: Tensor, normals: Tensor) -> Tensor:
    """The color of the side that a point lies on: front is +Z, right is +X, top is +Y."""
    outward = points / (0.5 * points.new_tensor(SIZE))
    axis = outward.abs().argmax(dim=1)
    side = 2 * axis + (outward.gather(1, axis[:, None])[:, 0] < 0)
    return points.new_tensor([RIGHT, LEFT, TOP, BOTTOM, FRONT, BACK])[side]


def painted_box(texture_px: int = 128) -> TexturedMesh:
    mesh = box()
    layout = unwrap_by_projection(mesh, texture_px)
    return with_texture(mesh, layout.uv, layout.uv_faces, bake(mesh, layout, texture_px, side_color))
