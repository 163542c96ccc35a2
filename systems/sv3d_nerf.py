"""The coarse stage: a density field fitted to reference views, and the closed mesh it leaves."""

from collections.abc import Mapping
from typing import Annotated, Literal

import mcubes
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.data.view_batches import ViewBatches
from sv3dgen.data.view_corrections import ViewCorrections
from sv3dgen.domains import Between, Cells, LearningRates, Pixels, Seed, Steps
from sv3dgen.interfaces import Field, FieldRenderer, Guidance, Material, Reference
from sv3dgen.meshes.depth_fusion import fuse_depth, largest_component, unseen_hollows
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.schedules import Schedule
from sv3dgen.views.views_hull import hull_of_views
from systems.stage import Stage
from systems.weighting import check_features, check_kind


class Sv3dNerf(Stage):
    """Fits a field with the volume renderer (SV3D, section 4), then meshes the depth its views see.

    `surface()` fuses the median depth of every view into a truncated signed distance at `mesh_resolution` and runs
    marching cubes: thresholding the density itself would be worse than the visual hull, since nothing supervises the
    inside. What no view sees is `solid`, or `open` where it lies under an opening of at least `opening_radius` that
    views do look into: the inside of a cup then ends a wall's thickness (`mesh_truncation`) above its seen outside.
    """

    geometry: Field
    renderer: FieldRenderer

    def __init__(
        self,
        *,
        geometry: Field,
        material: Material,
        renderer: FieldRenderer,
        guidance: Mapping[str, Guidance | Mapping],
        data: ViewBatches,
        steps: Steps,
        corrections: ViewCorrections | None = None,
        learning_rate: LearningRates = 0.01,
        seed: Seed = 0,
        hull_resolution: Cells = 128,
        hull_miss_votes: Annotated[int, Between(0, 100)] | None = None,
        mesh_resolution: Cells = 128,
        mesh_truncation: Annotated[float | int, Between(0.001, 1.0)] = 0.03,
        mesh_depth_px: Pixels = 160,
        unseen: Literal["solid", "open"] = "solid",
        opening_radius: Annotated[float | int, Between(0.001, 1.0)] = 0.04,
    ):
        super().__init__(
            geometry=geometry,
            material=material,
            renderer=renderer,
            guidance=guidance,
            data=data,
            steps=steps,
            corrections=corrections,
            seed=seed,
        )
        check_kind("coarse.geometry", geometry, Field, renderer)
        check_kind("coarse.renderer", renderer, FieldRenderer, geometry)
        check_features("coarse", geometry, material)
        self.learning_rate = learning_rate
        self.hull_resolution, self.hull_miss_votes = hull_resolution, hull_miss_votes
        self.mesh_resolution, self.mesh_truncation, self.mesh_depth_px = mesh_resolution, mesh_truncation, mesh_depth_px
        self.unseen, self.opening_radius = unseen, opening_radius

    def start_from(self, reference: Reference) -> None:
        """Take the views to fit, and fill the first occupancy grid with their visual hull."""
        self._take(reference)
        views = reference.views
        hull = hull_of_views(
            views,
            resolution=self.hull_resolution,
            aabb=torch.tensor([[-self.renderer.radius] * 3, [self.renderer.radius] * 3]),
            miss_votes=self.hull_miss_votes,
            doubted=[a or b for a, b in zip(views.generated, self.corrections.chosen(views), strict=True)],
        )
        self.renderer.start_from(hull.to(self.device))

    @property
    def rates(self) -> tuple[Schedule, ...]:
        return (self.learning_rate,)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self._adam([*self.geometry.parameters(), *self.material.parameters()])

    def _on_step(self, step: int) -> None:
        super()._on_step(step)
        self.renderer.on_step(self.geometry, step)

    @torch.no_grad()
    def surface(self) -> Mesh:
        """The closed mesh of what the views see of the field, largest part only, without bubbles inside; on the CPU."""
        self.renderer.eval()
        cameras = self.views.resized(self.mesh_depth_px).cameras
        depth = self.renderer.depth(self.geometry, cameras)
        cells, radius = self.mesh_resolution, self.renderer.radius
        spacing = 2 * radius / cells
        near = torch.nn.functional.interpolate(self.renderer.hull[None, None].float(), size=(cells,) * 3)[0, 0] > 0
        index = near.nonzero()
        points = (index + 0.5) * spacing - radius
        volume = torch.full((cells,) * 3, self.mesh_truncation, device=near.device)
        seen = torch.ones_like(near)
        volume[near], seen[near] = fuse_depth(points, cameras, depth, truncation=self.mesh_truncation)
        if self.unseen == "open":
            # One cell more, so that a wall seen at a slant, and thinned by it, still holds.
            wall = dilated(seen & (volume <= 0))
            hollow = unseen_hollows((volume > 0) & seen, seen | wall, round(self.opening_radius / spacing))
            volume[hollow] = self.mesh_truncation
        if not (volume < 0).any():  # stopped before there was anything: the hull is what is known then
            volume[near] = -self.mesh_truncation
        volume = torch.where(largest_component(volume < 0) | (volume >= 0), volume, self.mesh_truncation)
        volume = torch.where(largest_component(volume >= 0) | (volume < 0), volume, -self.mesh_truncation)  # no bubbles
        return marching_cubes(volume, torch.full((3,), 0.5 * spacing - radius), spacing)


def dilated(cells: Bool[Tensor, "x y z"]) -> Bool[Tensor, "x y z"]:
    """The cells and all their 26 neighbors."""
    return torch.nn.functional.max_pool3d(cells[None, None].float(), 3, stride=1, padding=1)[0, 0] > 0


def marching_cubes(values: Float[Tensor, "x y z"], lower: Float[Tensor, " 3"], spacing: float) -> Mesh:
    """The zero level of samples at `lower + spacing (i, j, k)`, negative inside; closed if the border is positive."""
    vertices, faces = mcubes.marching_cubes(values.cpu().double().numpy(), 0.0)
    # PyMCubes winds its triangles for values that are positive inside.
    return Mesh(torch.from_numpy(vertices).float() * spacing + lower, torch.from_numpy(faces.astype("int64")).flip(1))
