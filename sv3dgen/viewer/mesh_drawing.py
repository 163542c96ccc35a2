"""A mesh file drawn as a render of a run's would be: color under its light, albedo, normals, depth."""

import torch

from sv3dgen.export.lighting import lighting, welded_normals
from sv3dgen.interfaces import RenderOutput
from sv3dgen.kernels.rasterizer.interpolate import barycentrics, interpolate
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.renderers.mesh import images_of
from sv3dgen.renderers.textured import appearance, render_batches
from sv3dgen.views.cameras import Cameras

SUPERSAMPLE = 2


class MeshDrawing:
    """Draws a textured mesh, on the CPU; `light` is a run's light.json, without which color is albedo."""

    def __init__(self, mesh: TexturedMesh, light: dict | None = None) -> None:
        self.mesh = mesh
        self.attributes = torch.cat([mesh.vertices, welded_normals(mesh)], dim=1)
        self.plain = self.lit = appearance(mesh)
        self.log_tone_map = False
        if light is not None:
            shading = lighting(mesh, light)
            self.lit, self.log_tone_map = appearance(mesh, shading["irradiance"]), shading["log_tone_map"]

    @torch.no_grad()
    def __call__(self, cameras: Cameras) -> RenderOutput:
        drawn = torch.cat([*render_batches(self.mesh, cameras, self.lit, SUPERSAMPLE, log_tone_map=self.log_tone_map)])
        albedo = drawn
        if self.lit is not self.plain:
            albedo = torch.cat([*render_batches(self.mesh, cameras, self.plain, SUPERSAMPLE)])
        height, width, faces = cameras.height_px, cameras.width_px, self.mesh.faces
        clip = clip_positions(cameras, self.mesh.vertices)
        face_index = rasterize(clip, faces, height, width).face_index
        view, row, col = (face_index >= 0).nonzero(as_tuple=True)
        face = face_index[view, row, col]
        corners = barycentrics(clip, faces, face, view, row, col, height, width)
        points, normals = interpolate(self.attributes, faces, face, corners).split(3, dim=1)
        buffers = images_of(
            {
                "normal": torch.nn.functional.normalize(normals, dim=-1),
                "depth": (points - cameras.positions[view]).norm(dim=-1, keepdim=True),
            },
            (view, row, col),
            face_index.shape,
        )
        return RenderOutput(
            drawn[:, :3], drawn[:, 3:], (face_index >= 0)[:, None], {**buffers, "albedo": albedo[:, :3]}
        )
