"""From a field to a texture: which surface point each texel shows, its color there, and color for the texels
between."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from sv3dgen.export.unseen_surface import continued_colors
from sv3dgen.export.unwrap import Unwrap
from sv3dgen.kernels.rasterizer.rasterize import rasterize
from sv3dgen.meshes.mesh import Mesh, vertex_normals

ColorAt = Callable[[Float[Tensor, "points 3"], Float[Tensor, "points 3"]], Float[Tensor, "points 3"]]
CHUNK = 1 << 17  # points asked of the field at once, which bounds the memory


@dataclass(frozen=True)
class Texels:
    """The texels whose centers lie in a face, and where on the surface those centers are."""

    rows: Int[Tensor, " texels"]  # from the top of the texture
    cols: Int[Tensor, " texels"]
    points: Float[Tensor, "texels 3"]
    normals: Float[Tensor, "texels 3"]  # unit, interpolated between the vertices' as in shading
    corners: Int[Tensor, "texels 3"]  # the face's vertices, and the weight of each at the center
    weights: Float[Tensor, "texels 3"]

    def interpolated(self, values: Float[Tensor, "vertices channels"]) -> Float[Tensor, "texels channels"]:
        """Values of the mesh's vertices at the texels."""
        return (self.weights[..., None] * values[self.corners]).sum(1)


def locate_texels(mesh: Mesh, unwrap: Unwrap, size_px: int) -> Texels:
    """Rasterize the unwrapped faces as if the texture were the screen, and interpolate the surface over them."""
    flat = 2 * unwrap.uv - 1
    clip = torch.cat([flat, torch.zeros_like(flat[:, :1]), torch.ones_like(flat[:, :1])], dim=1)
    face_index = rasterize(clip[None], unwrap.uv_faces, size_px, size_px).face_index[0]
    rows, cols = torch.nonzero(face_index >= 0, as_tuple=True)
    face = face_index[rows, cols].long()
    center = torch.stack([(cols + 0.5) / size_px, 1 - (rows + 0.5) / size_px], dim=1)
    weights = flat_weights(unwrap.uv[unwrap.uv_faces[face]], center)
    corners = mesh.faces[face]
    normals = (weights[..., None] * vertex_normals(mesh)[corners]).sum(1)
    points = (weights[..., None] * mesh.vertices[corners]).sum(1)
    return Texels(rows, cols, points, torch.nn.functional.normalize(normals, dim=1), corners, weights)


def flat_weights(corners: Float[Tensor, "points 3 2"], points: Float[Tensor, "points 2"]) -> Float[Tensor, "points 3"]:
    """Barycentric coordinates of points in flat triangles, kept inside the triangle."""
    x, y = (corners - points[:, None]).double().unbind(-1)
    weights = x.roll(-1, 1) * y.roll(-2, 1) - x.roll(-2, 1) * y.roll(-1, 1)
    total = weights.sum(1, keepdim=True)
    weights = torch.where(total == 0, 1 / 3, weights / total).clamp(0, 1)
    return (weights / weights.sum(1, keepdim=True)).float()


def bake(
    mesh: Mesh, unwrap: Unwrap, size_px: int, color_at: ColorAt, seen: Bool[Tensor, " vertices"] | None = None
) -> Float[Tensor, "3 size size"]:
    """The texture that shows `color_at` (sRGB of world points and unit normals) at the center of every texel.

    Where vertices are not `seen` (all are), their colors continue those at the border. Texels outside all faces take
    the color of the nearest texel inside one, so that linear lookups and smaller mip levels near a seam see no foreign
    color.
    """
    texels = locate_texels(mesh, unwrap, size_px)
    colors = _colors(color_at, texels.points, texels.normals)
    if seen is not None and not bool(seen.all()):
        at_vertices = _colors(color_at, mesh.vertices, vertex_normals(mesh))
        quiet = texels.interpolated(continued_colors(mesh, seen, at_vertices))
        colors = colors + texels.interpolated((~seen).float()[:, None]) * (quiet - colors)
    texture = torch.zeros(size_px, size_px, 3)
    inside = torch.zeros(size_px, size_px, dtype=torch.bool)
    texture[texels.rows, texels.cols] = colors
    inside[texels.rows, texels.cols] = True
    return fill_outside(texture, inside).movedim(2, 0).contiguous()


def _colors(color_at: ColorAt, points: Tensor, normals: Tensor) -> Float[Tensor, "points 3"]:
    chunks = zip(points.split(CHUNK), normals.split(CHUNK), strict=True)
    return torch.cat([color_at(*chunk).detach() for chunk in chunks]).clamp(0, 1)


def fill_outside(texture: Float[Tensor, "height width 3"], inside: Tensor) -> Float[Tensor, "height width 3"]:
    """Every pixel outside as its nearest one inside."""
    nearest = distance_transform_edt(~inside.numpy(), return_distances=False, return_indices=True)
    rows, cols = torch.from_numpy(nearest).long()
    return texture[rows, cols]
