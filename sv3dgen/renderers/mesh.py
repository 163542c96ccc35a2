"""A surface drawn by rasterisation: antialiased silhouettes, and one shading per visible pixel."""

import torch
from einops import rearrange
from jaxtyping import Int
from torch import Tensor

from sv3dgen.cameras import Cameras
from sv3dgen.interfaces import Geometry, Material, Renderer, RenderOutput, Surface
from sv3dgen.kernels.antialias import antialiased_coverage
from sv3dgen.kernels.edge_adjacency import edge_adjacency
from sv3dgen.kernels.interpolate import barycentrics, interpolate
from sv3dgen.kernels.rasterize import clip_positions, rasterize
from sv3dgen.mesh import vertex_normals


class MeshRasterizer(Renderer):
    """Mesh renderer with gradients to vertices: through the silhouettes, and through where a pixel's ray hits a face.

    While training only a random `shade_fraction` of the covered pixels is shaded (`RenderOutput.shaded` says which):
    opacity needs the whole frame, colour does not. `albedo_jitter` is the step of the albedo smoothness term in world units.
    """

    def __init__(self, *, shade_fraction: float = 1.0, albedo_jitter: float = 0.0):
        super().__init__()
        self.shade_fraction, self.albedo_jitter = shade_fraction, albedo_jitter

    def forward(
        self,
        geometry: Geometry,
        material: Material,
        cameras: Cameras,
        pixels: Int[Tensor, "images height width 2"] | None = None,
    ) -> RenderOutput:
        assert isinstance(geometry, Surface), f"the mesh renderer needs a surface, got {type(geometry).__name__}"
        mesh = geometry.isosurface()
        clip = clip_positions(cameras, mesh.vertices)
        fragments = rasterize(clip.detach(), mesh.faces, cameras.height_px, cameras.width_px)
        coverage = antialiased_coverage(fragments, clip, mesh.faces, edge_adjacency(mesh.faces))

        view, row, col = self._shaded_pixels(fragments.face_index, pixels)
        face = fragments.face_index[view, row, col]
        barycentric = barycentrics(
            clip, mesh.faces, face, view, row, col, cameras.height_px, cameras.width_px
        )
        attributes = torch.cat([mesh.vertices, vertex_normals(mesh)], dim=1)
        points, normals = interpolate(attributes, mesh.faces, face, barycentric).split(3, dim=1)
        normals = torch.nn.functional.normalize(normals, dim=-1)
        shading = material(geometry.features(points), normals)
        depth = (points - cameras.positions[view]).norm(dim=-1, keepdim=True)
        ones = torch.ones_like(depth)
        parts = [shading.rgb, shading.albedo, shading.irradiance, depth, normals, ones]
        if self.albedo_jitter > 0 and self.training:
            moved = points + self.albedo_jitter * torch.randn_like(points)
            parts.append(material(geometry.features(moved), normals).albedo)

        values = torch.cat(parts, dim=1)
        frame = values.new_zeros(*fragments.face_index.shape, values.shape[1]).index_put((view, row, col), values)
        frame = torch.cat([rearrange(frame, "n h w c -> n c h w"), coverage[:, None]], dim=1)
        if pixels is not None:
            image = torch.arange(len(cameras))[:, None, None]
            frame = rearrange(frame[image, :, pixels[..., 0], pixels[..., 1]], "n h w c -> n c h w")
        return RenderOutput(
            rgb=frame[:, 0:3],
            albedo=frame[:, 3:6],
            irradiance=frame[:, 6:7],
            opacity=frame[:, -1:],
            depth=frame[:, 7:8],
            normal=frame[:, 8:11],
            shaded=frame[:, 11:12] > 0,
            albedo_nearby=frame[:, 12:15] if len(parts) > 6 else None,
            mesh=mesh,
        )

    def _shaded_pixels(self, face_index: Tensor, pixels: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """(view, row, col) of the pixels to shade: covered, asked for, and while training a random part of those."""
        covered = face_index >= 0
        if pixels is not None:
            asked = torch.zeros_like(covered)
            asked[torch.arange(len(pixels))[:, None, None], pixels[..., 0], pixels[..., 1]] = True
            covered &= asked
        view, row, col = covered.nonzero(as_tuple=True)
        if self.training and self.shade_fraction < 1:
            picked = torch.rand(len(view)) < self.shade_fraction
            view, row, col = view[picked], row[picked], col[picked]
        return view, row, col
