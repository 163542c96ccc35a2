"""A surface drawn by rasterization: antialiased silhouettes, and one shading per visible pixel."""

from collections.abc import Collection, Mapping
from typing import Annotated

import torch
from einops import rearrange
from jaxtyping import Int
from torch import Tensor

from sv3dgen.domains import Between, Share
from sv3dgen.interfaces import Geometry, Material, Renderer, RenderOutput, Surface
from sv3dgen.kernels.rasterizer.antialias import antialiased_coverage
from sv3dgen.kernels.rasterizer.interpolate import barycentrics, interpolate
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.mesh import Mesh, vertex_normals
from sv3dgen.views.cameras import Cameras

BUFFERS = ("albedo", "irradiance", "depth", "normal")


class MeshRasterizer(Renderer):
    """Mesh renderer with gradients to vertices: through the silhouettes, and through where a pixel's ray hits a face.

    While training only a random `shade_fraction` of the covered pixels is shaded (`RenderOutput.shaded` says which):
    opacity needs the whole frame, color does not. `albedo_jitter` is the step of the albedo smoothness term in world
    units.
    """

    def __init__(
        self, *, shade_fraction: Annotated[float | int, Between(0.001, 1.0)] = 1.0, albedo_jitter: Share = 0.0
    ):
        super().__init__()
        self.shade_fraction, self.albedo_jitter = shade_fraction, albedo_jitter
        self.drawn = BUFFERS
        self.draws_nearby = albedo_jitter > 0

    def draw_only(self, buffers: Collection[str]) -> None:
        self.drawn = tuple(name for name in BUFFERS if name in buffers)
        self.draws_nearby = self.albedo_jitter > 0 and "albedo_nearby" in buffers

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
        opacity = antialiased_coverage(fragments, clip, mesh.faces, mesh.edges)[:, None]

        where = self._shaded_pixels(fragments.face_index, pixels)
        face = fragments.face_index[where]
        corners = barycentrics(clip, mesh.faces, face, *where, cameras.height_px, cameras.width_px)
        wanted = self.drawn if self.training else BUFFERS
        points, normals = self._points_and_normals(mesh, face, corners, material.needs_normals or "normal" in wanted)
        shading = material(geometry.features(points), normals)
        values = {"rgb": shading.rgb, "shaded": torch.ones_like(points[:, :1])}
        for name in wanted:
            if name == "depth":
                values[name] = (points - cameras.positions[where[0]]).norm(dim=-1, keepdim=True)
            else:
                values[name] = normals if name == "normal" else getattr(shading, name)
        if self.draws_nearby and self.training:
            moved = points + self.albedo_jitter * torch.randn_like(points)
            values["albedo_nearby"] = material(geometry.features(moved), normals).albedo

        images = images_of(values, where, fragments.face_index.shape)
        if "irradiance" in images and not shading.irradiance.requires_grad:
            images["irradiance"] = images["irradiance"].detach()  # as it was, before it lay in one tensor with colors
        images["opacity"] = opacity
        if pixels is not None:
            image = torch.arange(len(cameras), device=pixels.device)[:, None, None]
            images = {
                name: rearrange(frame[image, :, pixels[..., 0], pixels[..., 1]], "n h w c -> n c h w")
                for name, frame in images.items()
            }
        rgb, shaded, opacity = (images.pop(name) for name in ("rgb", "shaded", "opacity"))
        return RenderOutput(rgb, opacity, shaded > 0, images, mesh)

    @staticmethod
    def _points_and_normals(mesh: Mesh, face: Tensor, corners: Tensor, with_normals: bool) -> tuple[Tensor, Tensor]:
        if not with_normals:
            points = interpolate(mesh.vertices, mesh.faces, face, corners)
            return points, torch.zeros_like(points)
        attributes = torch.cat([mesh.vertices, vertex_normals(mesh)], dim=1)
        points, normals = interpolate(attributes, mesh.faces, face, corners).split(3, dim=1)
        return points, torch.nn.functional.normalize(normals, dim=-1)

    def _shaded_pixels(self, face_index: Tensor, pixels: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """(view, row, col) of the pixels to shade: covered, asked for, and while training a random part of those."""
        covered = face_index >= 0
        if pixels is not None:
            asked = torch.zeros_like(covered)
            image = torch.arange(len(pixels), device=pixels.device)[:, None, None]
            asked[image, pixels[..., 0], pixels[..., 1]] = True
            covered &= asked
        view, row, col = covered.nonzero(as_tuple=True)
        if self.training and self.shade_fraction < 1:
            picked = (torch.rand(len(view), device=view.device) < self.shade_fraction).nonzero()[:, 0]
            view, row, col = view[picked], row[picked], col[picked]
        return view, row, col


def images_of(
    values: Mapping[str, Tensor], where: tuple[Tensor, Tensor, Tensor], shape: tuple[int, ...]
) -> dict[str, Tensor]:
    """Values [pixels, channels] at (view, row, col) as images [views, channels, height, width], zero elsewhere."""
    views, height, width = shape
    index = (where[0] * height + where[1]) * width + where[2]
    channels = [value.shape[1] for value in values.values()]
    # Channels first: an image is then a slice, and neither it nor its gradient is ever copied to another layout.
    columns = torch.cat(list(values.values()), dim=1).T
    frame = columns.new_zeros(sum(channels), views * height * width).index_copy(1, index, columns)
    parts = frame.view(-1, views, height, width).split(channels)
    return {name: part.transpose(0, 1) for name, part in zip(values, parts, strict=True)}
