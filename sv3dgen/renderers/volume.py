"""Rays through a density field: occupancy marching, compositing, and one shading per pixel (deferred)."""

import math
from collections.abc import Collection
from typing import Annotated, Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sv3dgen.devices import has_float64
from sv3dgen.domains import Between, Cells, Interval, IntervalOrNever, Radius, Share
from sv3dgen.interfaces import Field, FieldRenderer, Geometry, Material, RenderOutput
from sv3dgen.kernels.ray_marching.march import RaySamples, accumulate, march, render_weights
from sv3dgen.kernels.ray_marching.seen import march_seen
from sv3dgen.views.cameras import Cameras

LEAST_LIGHT = 1e-3  # a sample that less of its ray's light reaches is not fitted
HALF = 0.5  # of a ray's light has passed the median depth


class Volume(FieldRenderer):
    """Deferred volume renderer with an occupancy grid.

    Features and normals are composited along the ray and shaded once per pixel (docs/method.md). `step_size` is the
    distance between samples in world units, or, while training, `least_step_px` pixels of the views or
    `least_step_cells` of the field's finest cells, if that is more, up to a cell of the occupancy grid. This grid
    starts from a visual hull and drops cells whose opacity over one step falls under `prune_alpha`; a cell outside the
    hull never comes back. `albedo_jitter` is the step, in world units, of `albedo_nearby`.
    """

    occupied: Tensor
    hull: Tensor
    cell_density: Tensor
    aabb: Tensor

    def __init__(
        self,
        *,
        resolution: Cells = 64,
        radius: Radius = 0.62,
        step_size: Annotated[float | int, Between(0.0001, 1.0)] = 0.0055,
        least_step_px: Share = 0.0,
        least_step_cells: Share = 0.0,
        prune_alpha: Share = 0.01,
        update_every: Interval = 16,
        warmup_steps: IntervalOrNever = 256,
        prune_samples: bool = True,
        albedo_jitter: Share = 0.0,
        rays_per_chunk: Annotated[int, Between(1, 100000000)] = 16384,
    ):
        super().__init__()
        self.resolution, self.radius, self.step_size = resolution, radius, step_size
        self.least_step_px, self.least_step_cells = least_step_px, least_step_cells
        self.pixel = 0.0  # width of one of the views', in world units
        self.prune_alpha, self.update_every, self.warmup_steps = prune_alpha, update_every, warmup_steps
        self.prune_samples = prune_samples
        self.warm = False
        self.draws_normals = False  # also where the material needs none
        self.draws_nearby = albedo_jitter > 0
        self.albedo_jitter, self.rays_per_chunk = albedo_jitter, rays_per_chunk
        cells = (resolution,) * 3
        self.register_buffer("hull", torch.ones(cells, dtype=torch.bool))
        self.register_buffer("occupied", torch.ones(cells, dtype=torch.bool))
        self.register_buffer("cell_density", torch.zeros(cells))
        self.register_buffer("aabb", torch.tensor([[-radius] * 3, [radius] * 3]), persistent=False)

    def start_from(self, hull: Bool[Tensor, "x y z"], pixel: float = 0.0) -> None:
        """Fill the occupancy grid with a visual hull of any resolution over the same box."""
        self.pixel = pixel
        coarse = torch.nn.functional.adaptive_max_pool3d(hull[None, None].float(), self.resolution)[0, 0] > 0
        # One cell of slack: the hull is sampled at cell centers.
        self.hull = torch.nn.functional.max_pool3d(coarse[None, None].float(), 3, stride=1, padding=1)[0, 0] > 0
        self.occupied = self.hull.clone()

    def draw_only(self, buffers: Collection[str]) -> None:
        self.draws_normals = "normal" in buffers
        self.draws_nearby = self.albedo_jitter > 0 and "albedo_nearby" in buffers

    @torch.no_grad()
    def on_step(self, geometry: Field, step: int, before: int) -> None:
        """Refresh the occupancy from the field's density at a random point of every cell of the hull."""
        self.warm = step >= self.warmup_steps
        if not self.warm or step // self.update_every == before // self.update_every:
            return
        cells = self.hull.nonzero()
        points = (cells + torch.rand(cells.shape, device=cells.device)) * (
            2 * self.radius / self.resolution
        ) - self.radius
        density = geometry(points).density
        index = cells.unbind(1)
        fading = 0.95 * self.cell_density[index]  # a cell is forgotten slowly, one sample may miss what is in it
        self.cell_density[index] = torch.maximum(fading, density)
        self.occupied = self.hull & (self.cell_density * self.step_size > self.prune_alpha)

    def forward(
        self,
        geometry: Geometry,
        material: Material,
        cameras: Cameras,
        pixels: Int[Tensor, "images height width 2"] | None = None,
    ) -> RenderOutput:
        assert isinstance(geometry, Field), f"the volume renderer needs a field, got {type(geometry).__name__}"
        origins, directions = cameras.rays(pixels)
        images, height, width, _ = directions.shape
        rays = (origins.reshape(-1, 3), directions.reshape(-1, 3))
        with_normals = self._with_normals(material)
        size = len(rays[0]) if self.training else self.rays_per_chunk
        chunks = [
            self._render(geometry, material, o.contiguous(), d.contiguous())
            for o, d in zip(rays[0].split(size), rays[1].split(size), strict=True)
        ]
        learns_light = any(learns for _, learns in chunks)
        columns = chunks[0][0] if len(chunks) == 1 else torch.cat([chunk for chunk, _ in chunks])
        picture = rearrange(columns, "(n h w) c -> n c h w", n=images, h=height, w=width)
        rgb, albedo, irradiance, opacity, depth, normal, nearby, inward = picture.split([3, 3, 1, 1, 1, 3, 3, 1], dim=1)
        buffers = {"albedo": albedo, "irradiance": irradiance if learns_light else irradiance.detach(), "depth": depth}
        if with_normals:
            buffers |= {"normal": normal, "inward_facing": inward}
        if self.draws_nearby:
            buffers["albedo_nearby"] = nearby
        return RenderOutput(rgb, opacity, torch.ones_like(opacity, dtype=torch.bool), buffers)

    def _render(self, geometry: Field, material: Material, origins: Tensor, directions: Tensor) -> tuple[Tensor, bool]:
        """A chunk of rays, outputs side by side: rgb, albedo, irradiance, opacity, depth, normal, nearby, inward; and
        whether the irradiance has a gradient of its own.
        """
        if self.prune_samples:
            # A young field is thin everywhere: what is faint may still become something. A picture shows all of it.
            least = 1e-3 if self.warm and self.training else 0.0
            samples, _ = self._march_seen(geometry, origins, directions, LEAST_LIGHT, least)
        else:
            samples = march(*_plain(origins, directions), **self._grid(geometry, len(origins), origins.device))
        self.num_samples = len(samples.t)
        rays = samples.ray_index
        # By index_select: a warp's gradient comes back this way, and that of brackets is summed in any order on a CPU.
        along = directions.index_select(0, rays)
        points = origins[rays] + samples.t[:, None] * along
        with_normals = self._with_normals(material)
        sample = geometry(points, with_normals=with_normals)
        weights = render_weights(sample.density, samples.delta, samples.offsets)
        columns = [torch.ones_like(samples.t)[:, None], samples.t[:, None], sample.features]
        if sample.normals is not None:
            facing = (sample.normals * along).sum(-1, keepdim=True)
            columns += [sample.normals, facing.clamp(min=0).square()]
        total = accumulate(weights, torch.cat(columns, dim=1), samples.offsets)
        opacity = total[:, :1]
        mean = total[:, 1:] / opacity.clamp(min=1e-4)  # straight values: empty rays stay near zero
        depth, features, rest = mean[:, :1], mean[:, 1 : 1 + material.feature_dim], mean[:, 1 + material.feature_dim :]
        normals = torch.nn.functional.normalize(rest[:, :3], dim=-1) if with_normals else torch.zeros_like(directions)
        shading = material(features, normals)
        inward = total[:, -1:] if with_normals else torch.zeros_like(opacity)
        nearby = self._albedo_nearby(geometry, material, (origins + depth * directions).detach(), normals)
        parts = [shading.rgb, shading.albedo, shading.irradiance, opacity, depth, normals, nearby, inward]
        return torch.cat(parts, dim=1), shading.irradiance.requires_grad

    def _with_normals(self, material: Material) -> bool:
        return material.needs_normals or self.draws_normals or not self.training  # a picture shows them

    def _albedo_nearby(self, geometry: Field, material: Material, points: Tensor, normals: Tensor) -> Tensor:
        if not (self.draws_nearby and self.training):
            return torch.zeros_like(points)
        moved = points + self.albedo_jitter * torch.randn_like(points)
        return material(geometry.features(moved), normals).albedo

    def _march_seen(
        self, geometry: Field, origins: Tensor, directions: Tensor, least_light: float, least_alpha: float
    ) -> tuple[RaySamples, Float[Tensor, " samples"]]:
        """The samples that more than `least_light` reaches and that stop more than `least_alpha`, and their density."""
        limits = {"min_transmittance": least_light, "min_alpha": least_alpha}
        grid = self._grid(geometry, len(origins), origins.device)
        return march_seen(lambda at: geometry(at).density, *_plain(origins, directions), **grid, **limits)

    def sample_spacing(self, geometry: Field) -> float:
        """The distance between samples while training: views or field can't tell what is finer."""
        least = max(self.least_step_px * self.pixel, self.least_step_cells * geometry.finest_cell)
        return max(self.step_size, min(least, 2 * self.radius / self.resolution))  # no cell is stepped over

    def _grid(self, geometry: Field, rays: int, device: torch.device) -> dict[str, Any]:
        """What rays march through; shifted by a random part of a step per ray while training."""
        jitter = torch.rand(rays, device=device) if self.training else torch.full((rays,), 0.5, device=device)
        step_size = self.sample_spacing(geometry) if self.training else self.step_size
        return {"occupied": self.occupied, "aabb": self.aabb, "step_size": step_size, "jitter": jitter}

    @torch.no_grad()
    def depth(self, geometry: Field, cameras: Cameras) -> Float[Tensor, "views height width"]:
        """Where a ray has lost half its light, the median; infinite where it never does."""
        origins, directions = cameras.rays()
        device = directions.device
        depth = torch.full(directions.shape[:-1], torch.inf, device=device)
        flat = depth.view(-1)
        for first in range(0, flat.numel(), self.rays_per_chunk):
            chunk = slice(first, first + self.rays_per_chunk)
            o, d = origins.reshape(-1, 3)[chunk], directions.reshape(-1, 3)[chunk]
            # A hundredth less than half: whoever takes products rounds otherwise.
            samples, density = self._march_seen(geometry, o.contiguous(), d.contiguous(), 0.99 * HALF, 0.0)
            rays = samples.ray_index
            where = device if has_float64(device) else torch.device("cpu")
            optical = torch.cumsum((density * samples.delta).to(where).double(), dim=0)
            before = torch.cat([optical.new_zeros(1), optical])[samples.offsets[:-1].to(where)]
            passed = (optical - before[rays.to(where)] >= -math.log(HALF)).to(device)
            crossing = torch.where(passed, samples.t, torch.inf)
            flat[chunk] = flat[chunk].scatter_reduce(0, rays.long(), crossing, "amin")
        return depth


def _plain(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Rays as they are marched: where samples stand has no gradient, even if the ray has one, of its picture's warp."""
    return origins.detach(), directions.detach()
