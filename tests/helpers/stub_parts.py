"""Small real parts of every kind, as somebody else would write them: test_swapping.py runs them from outside."""

from collections.abc import Mapping

import torch
import trimesh
from torch import Tensor, nn

from sv3dgen.interfaces import (
    Field,
    FieldRenderer,
    FieldSample,
    Geometry,
    Guidance,
    GuidanceOutput,
    Material,
    Renderer,
    RenderOutput,
    Shading,
    Surface,
    SurfaceParameters,
)
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.nvs_interfaces import NVSAbilities, ViewMaker
from sv3dgen.renderers.mesh import MeshRasterizer
from sv3dgen.schedules import Schedule, active_terms, checked_weights
from sv3dgen.views.orbits import Orbit
from sv3dgen.views.posed_views import PosedViews, views_of_orbit


class VoxelGrid(Field):
    """A dense grid of densities and features over |x| <= 0.62, read trilinearly."""

    def __init__(self, *, cells: int = 24, feature_dim: int = 3):
        super().__init__()
        self.feature_dim = feature_dim
        self.values = nn.Parameter(torch.zeros(1, 1 + feature_dim, cells, cells, cells))

    def forward(self, points: Tensor, with_normals: bool = False) -> FieldSample:
        if not with_normals:
            values = self._read(points)
            return FieldSample(values[:, 0].exp(), values[:, 1:], None)
        with torch.enable_grad():
            points = points if points.requires_grad else points.detach().requires_grad_()
            values = self._read(points)
            density = values[:, 0].exp()
            (slope,) = torch.autograd.grad(density.sum(), points, retain_graph=True)
        return FieldSample(density, values[:, 1:], nn.functional.normalize(-slope, dim=-1, eps=1e-6))

    def features(self, points: Tensor) -> Tensor:
        return self._read(points)[:, 1:]

    def _read(self, points: Tensor) -> Tensor:
        places = (points / 0.62)[None, None, None]
        return nn.functional.grid_sample(self.values, places, align_corners=False)[0, :, 0, 0].T


class Icosphere(Surface):
    """A sphere around the object whose vertices move freely."""

    def __init__(self, *, subdivisions: int = 3):
        super().__init__()
        ball = trimesh.creation.icosphere(subdivisions)
        self.register_buffer("ball", torch.tensor(ball.vertices.tolist()))
        self.register_buffer("faces", torch.tensor(ball.faces.tolist()))
        self.offsets = nn.Parameter(torch.zeros(len(ball.vertices), 3))
        self.texture: Geometry | None = None

    @property
    def feature_dim(self) -> int:  # type: ignore[override]
        assert self.texture is not None
        return self.texture.feature_dim

    def start_from(self, mesh: Mesh | None, texture: Geometry) -> None:
        self.texture = texture
        if mesh is not None:
            middle = (mesh.vertices.amin(0) + mesh.vertices.amax(0)) / 2
            half = (mesh.vertices.amax(0) - mesh.vertices.amin(0)) / 2
            self.offsets.data = middle + (half - 1) * self.ball

    def isosurface(self) -> Mesh:
        return Mesh(self.ball + self.offsets, self.faces)

    def trained(self) -> SurfaceParameters:
        assert self.texture is not None
        return SurfaceParameters([self.offsets], list(self.texture.parameters()))

    def features(self, points: Tensor) -> Tensor:
        assert self.texture is not None
        return self.texture.features(points)


class Tinted(Material):
    """Albedo out of three features, times how bright a fourth one is."""

    feature_dim = 4
    needs_normals = False

    def forward(self, features: Tensor, normals: Tensor) -> Shading:
        bright = torch.sigmoid(features[:, 3:])
        albedo = torch.sigmoid(features[:, :3]) * bright
        return Shading(rgb=albedo, albedo=albedo, irradiance=torch.ones_like(bright))

    def light(self) -> dict:
        return {"type": f"{type(self).__module__}.{type(self).__name__}"}

    @classmethod
    def from_light(cls, light: dict) -> "Tinted":
        return cls()


class EvenSamples(FieldRenderer):
    """Samples at even distances, whatever is empty."""

    def __init__(self, *, samples: int = 24, radius: float = 0.62):
        super().__init__()
        self.samples, self.radius = samples, radius
        self.hull = torch.ones(32, 32, 32, dtype=torch.bool)

    def start_from(self, hull: Tensor, pixel: float = 0.0) -> None:
        self.hull = hull

    def depth(self, geometry: Field, cameras) -> Tensor:
        with torch.no_grad():
            weights, t, _ = self._march(geometry, cameras, None)
        passed = weights.cumsum(-1) > 0.5
        return torch.where(passed.any(-1), t[passed.int().argmax(-1)], torch.inf)

    def forward(self, geometry, material, cameras, pixels=None) -> RenderOutput:
        weights, t, features = self._march(geometry, cameras, pixels)
        opacity = weights.sum(-1, keepdim=True).clamp(max=1)
        shape = features.shape[:-2]
        mean = (weights[..., None] * features).sum(-2).reshape(-1, features.shape[-1])
        shading = material(mean, torch.zeros(len(mean), 3))
        images = [
            value.reshape(*shape, -1).permute(0, 3, 1, 2)
            for value in (shading.rgb, opacity, shading.albedo, shading.irradiance, (weights * t).sum(-1, keepdim=True))
        ]
        rgb, alpha, *further = images
        buffers = dict(zip(("albedo", "irradiance", "depth"), further, strict=True))
        return RenderOutput(rgb, alpha, torch.ones_like(alpha, dtype=torch.bool), buffers)

    def _march(self, geometry: Field, cameras, pixels) -> tuple[Tensor, Tensor, Tensor]:
        origins, directions = cameras.rays(pixels)
        t = torch.linspace(1.2, 2.8, self.samples)
        points = origins[..., None, :] + t[:, None] * directions[..., None, :]
        inside = (points.abs() < self.radius).all(-1)
        sample = geometry(points.reshape(-1, 3))
        thickness = sample.density.reshape(inside.shape) * inside * (t[1] - t[0])
        before = thickness.cumsum(-1) - thickness
        weights = torch.exp(-before) * (1 - torch.exp(-thickness))
        return weights, t, sample.features.reshape(*inside.shape, -1)


class WholeShading(Renderer):
    """The rasterizer, shading every pixel in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MeshRasterizer()

    def draw_only(self, buffers) -> None:
        self.inner.draw_only(buffers)

    def forward(self, geometry, material, cameras, pixels=None) -> RenderOutput:
        return self.inner(geometry, material, cameras, pixels)


class Thin(Guidance):
    """Term `thin`: less opacity."""

    def __init__(self, *, weights: Mapping[str, Schedule]):
        super().__init__()
        self.weights = checked_weights(weights, ("thin",))

    def forward(self, render, batch, step: int) -> GuidanceOutput:
        return GuidanceOutput({"thin": render.opacity.mean()} if active_terms(self.weights, step) else {})


class Balls(ViewMaker):
    """Whatever the photo shows, a red ball."""

    abilities = NVSAbilities("balls", 12, 48, True, "CC0-1.0")

    def __init__(self, *, radius: float = 0.4):
        self.radius = radius

    def views(self, image: Tensor, orbit: Orbit, *, seed: int) -> PosedViews:
        cameras = orbit.cameras(size_px=48)
        origins, directions = cameras.rays()
        nearest = origins - (origins * directions).sum(-1, keepdim=True) * directions
        alpha = (nearest.norm(dim=-1) < self.radius).float()
        rgba = torch.stack([alpha, 0.2 * alpha, 0.1 * alpha, alpha], dim=1)
        return views_of_orbit((rgba * 255).round().byte(), orbit, cameras)
