"""The coarse stage: a density field fitted to reference views, and the closed mesh it leaves."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.data.view_batches import ViewBatches
from sv3dgen.data.view_corrections import ViewCorrections
from sv3dgen.domains import Between, Cells, LearningRates, Magnitude, Pixels, Seed, Steps
from sv3dgen.interfaces import Field, FieldRenderer, Guidance, Material, Reference
from sv3dgen.meshes.depth_fusion import fuse_depth, largest_component, sizable_components, unseen_hollows
from sv3dgen.meshes.marching_cubes import zero_level
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.schedules import Schedule
from sv3dgen.stereo.carving import carved
from sv3dgen.stereo.plane_sweep import PlaneSweepStereo, StereoDepths
from sv3dgen.views.views_hull import hull_of_views
from systems.stage import Stage
from systems.weighting import check_features, check_kind

log = logging.getLogger(__name__)

LEAST_SHARE = 0.002  # of the visual hull, that a surface encloses: thin shells have some percent


class Sv3dNerf(Stage):
    """Fits a field with the volume renderer (SV3D, section 4), then meshes the depth its views see.

    `surface()` fuses the median depth of every view into a truncated signed distance at `mesh_resolution` and runs
    marching cubes: thresholding the density itself would be worse than the visual hull, since nothing supervises the
    inside. What no view sees is `solid`, or `open` where it lies under an opening of at least `opening_radius` that
    views do look into: the inside of a cup then ends a wall's thickness (`mesh_truncation`) above its seen outside.
    `auto` decides by opening: open under free space that stereo has proven inside the visual hull, else solid.

    `stereo` tells depths of the views: what lies `carving_margin` in front of them is carved out of the hull, and they
    enter the fusion, with `stereo_weight` times their confidence against 1 of the field's.
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
        stereo: PlaneSweepStereo | Mapping | None = None,
        learning_rate: LearningRates = 0.01,
        seed: Seed = 0,
        hull_resolution: Cells = 128,
        hull_miss_votes: Annotated[int, Between(0, 100)] | None = None,
        carving_margin: Annotated[float | int, Between(0.001, 1.0)] = 0.025,
        stereo_weight: Magnitude = 5.0,
        mesh_resolution: Cells = 128,
        mesh_truncation: Annotated[float | int, Between(0.001, 1.0)] = 0.02,
        mesh_depth_px: Pixels = 160,
        unseen: Literal["auto", "solid", "open"] = "auto",
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
        self.stereo = stereo if isinstance(stereo, PlaneSweepStereo) else None  # stereo=none leaves an empty entry
        self.carving_margin, self.stereo_weight = carving_margin, stereo_weight
        self.depths: StereoDepths | None = None
        self.whole: Tensor | None = None  # the visual hull, and what is left of it when seen free space is taken away
        self.carved: Tensor | None = None
        self.hull_resolution, self.hull_miss_votes = hull_resolution, hull_miss_votes
        self.mesh_resolution, self.mesh_truncation, self.mesh_depth_px = mesh_resolution, mesh_truncation, mesh_depth_px
        self.unseen, self.opening_radius = unseen, opening_radius

    def start_from(self, reference: Reference) -> None:
        """Take the views to fit, and fill the first occupancy grid with their visual hull."""
        views = reference.views
        aabb = torch.tensor([[-self.renderer.radius] * 3, [self.renderer.radius] * 3])
        hull = hull_of_views(
            views,
            resolution=self.hull_resolution,
            aabb=aabb,
            miss_votes=self.hull_miss_votes,
            doubted=[a or b for a, b in zip(views.generated, self.corrections.chosen(views), strict=True)],
        )
        stereo = None if self.stereo is None else self.stereo.depths(views, hull, aabb)
        if stereo is not None:
            self.whole = hull.to(self.device)
            hull = carved(hull, aabb, stereo, margin=self.carving_margin)
            self.carved, self.depths = hull.to(self.device), stereo.to(self.device)
            taken = 1 - int(hull.sum()) / max(1, int(self.whole.sum()))
            log.info("stereo: free space takes %.1f %% of the visual hull away", 100 * taken)
        self._take(replace(reference, stereo=stereo))
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
        """The closed mesh of what the views see of the field, without crumbs and without bubbles inside; on the CPU."""
        self.renderer.eval()
        cameras = self.views.resized(self.mesh_depth_px).cameras
        depth = self.renderer.depth(self.geometry, cameras)
        cells, radius = self.mesh_resolution, self.renderer.radius
        spacing = 2 * radius / cells
        hull = self.renderer.hull if self.carved is None else dilated(self.carved)
        near = torch.nn.functional.interpolate(hull[None, None].float(), size=(cells,) * 3)[0, 0] > 0
        index = near.nonzero()
        points = (index + 0.5) * spacing - radius
        volume = torch.full((cells,) * 3, self.mesh_truncation, device=near.device)
        seen = torch.ones_like(near)
        volume[near], seen[near] = fuse_depth(
            points,
            cameras,
            depth,
            truncation=self.mesh_truncation,
            stereo=self.depths,
            stereo_weight=self.stereo_weight,
        )
        if self.unseen == "open" or (self.unseen == "auto" and self.carved is not None):
            # One cell more, so that a wall seen at a slant, and thinned by it, still holds.
            wall = dilated(seen & (volume <= 0))
            opening = round(self.opening_radius / spacing)
            proven = self._proven(cells) if self.unseen == "auto" else None
            volume[unseen_hollows((volume > 0) & seen, seen | wall, opening, proven)] = self.mesh_truncation
        if (volume < 0).sum() < LEAST_SHARE * near.sum():  # stopped before there was anything
            log.warning("coarse: the field has no surface yet; the visual hull is taken for it")
            volume[near] = -self.mesh_truncation
        volume = torch.where(sizable_components(volume < 0) | (volume >= 0), volume, self.mesh_truncation)
        volume = torch.where(largest_component(volume >= 0) | (volume < 0), volume, -self.mesh_truncation)  # no bubbles
        return marching_cubes(volume, torch.full((3,), 0.5 * spacing - radius), spacing)

    def _proven(self, cells: int) -> Bool[Tensor, "x y z"]:
        """Where stereo has carved the visual hull."""
        assert self.carved is not None and self.whole is not None
        free = (self.whole & ~self.carved)[None, None].float()
        return torch.nn.functional.interpolate(free, size=(cells,) * 3)[0, 0] > 0


def dilated(cells: Bool[Tensor, "x y z"]) -> Bool[Tensor, "x y z"]:
    """The cells and all their 26 neighbors."""
    return torch.nn.functional.max_pool3d(cells[None, None].float(), 3, stride=1, padding=1)[0, 0] > 0


def marching_cubes(values: Float[Tensor, "x y z"], lower: Float[Tensor, " 3"], spacing: float) -> Mesh:
    """The zero level of samples at `lower + spacing (i, j, k)`, negative inside; closed if the border is positive."""
    vertices, faces = zero_level(values.cpu().double().numpy())
    return Mesh(torch.from_numpy(vertices).float() * spacing + lower, torch.from_numpy(faces))
