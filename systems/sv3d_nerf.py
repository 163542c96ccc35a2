"""The coarse stage: a density field fitted to reference views, and the closed mesh it leaves."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import avg_pool3d

from sv3dgen.data.view_batches import ViewBatches
from sv3dgen.data.view_corrections import ViewCorrections
from sv3dgen.domains import Between, Cells, LearningRates, Magnitude, Pixels, Seed, Share, Steps
from sv3dgen.interfaces import Field, FieldRenderer, Guidance, Material, Reference
from sv3dgen.meshes.dents import told_of_dents, without_dents
from sv3dgen.meshes.depth_fusion import fuse_depth, largest_component, sizable_components, unseen_hollows
from sv3dgen.meshes.grid import Grid, dilated, emptied_like, resampled
from sv3dgen.meshes.hollowing import FIRST_WALLS, Hollowing, hollowed_by_views, hollowed_from_below
from sv3dgen.meshes.isosurface import marching_cubes
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.openings import Opening, told
from sv3dgen.schedules import Schedule
from sv3dgen.stereo.carving import carved
from sv3dgen.stereo.plane_sweep import PlaneSweepStereo, StereoDepths
from sv3dgen.views.certainty import certain, usual_pixel
from sv3dgen.views.thinness import THIN, thin_share
from sv3dgen.views.uncovered import needed_cells
from sv3dgen.views.views_hull import hull_of_views
from systems.pace import Pace
from systems.solid_shape import SolidShape
from systems.stage import Stage
from systems.weighting import check_features, check_kind

log = logging.getLogger(__name__)

MOST_CELLS = 512  # on a side, of the grid that a surface is taken from: half a gigabyte
LEAST_SHARE = 0.002  # of the visual hull, that a surface encloses: thin shells have some percent


class Sv3dNerf(Stage):
    """Fits a field with the volume renderer (SV3D, section 4), then meshes the depth its views see.

    `surface()` fuses the median depth of every view into a truncated signed distance at `mesh_resolution` and runs
    marching cubes: thresholding the density itself would be worse than the visual hull, since nothing supervises the
    inside. What no view sees is `solid`, or `open` where it lies under an opening of at least `opening_radius` that
    views do look into: the inside of a cup then ends a wall's thickness (`mesh_truncation`) above its seen outside.
    `auto` decides by opening: by held-back pixels (`sv3dgen/meshes/hollowing.py`); where these can't tell, it is open
    under free space that stereo has proven inside the visual hull, else solid.

    Where `thin_from` of the silhouettes is thin (`sv3dgen/views/thinness.py`), grid and depths are `thin_detail` times
    finer. Loose parts stay where silhouettes need them.

    `stereo` tells depths of the views: what lies `carving_margin` in front of them is carved out of the hull, and they
    enter the fusion, with `stereo_weight` times their confidence against 1 of the field's.

    What is solid needs fewer steps. After `solid_after` of them the stage looks at its surface: where nothing is thin,
    hollow or guessed at, it goes through the rest of its schedules faster, and ends at `solid_steps` (both are shares
    of `steps`; None: it never looks). `small_steps` of `steps` will do where a model's views have at most `small_px`
    pixels a side (`pace.py`).
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
        thin_from: Share = 0.01,
        thin_detail: Annotated[int, Between(1, 4)] = 2,
        solid_after: Share | None = None,
        solid_steps: Share = 0.6,
        small_px: Pixels | None = None,
        small_steps: Share = 1.0,
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
            pace=Pace("coarse", steps, small_px, small_steps),
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
        self.openings: list[Opening] = []  # what surface() has decided of each
        self.filled_dents = 0.0  # share of the hull that it has filled
        self.hull_resolution, self.hull_miss_votes = hull_resolution, hull_miss_votes
        self.mesh_resolution, self.mesh_truncation, self.mesh_depth_px = mesh_resolution, mesh_truncation, mesh_depth_px
        self.unseen, self.opening_radius = unseen, opening_radius
        self.thin_from, self.thin_detail = thin_from, thin_detail
        self.solid = SolidShape(steps, solid_after, solid_steps)
        self.detail = 1  # how many times finer the surface's grid and depths are than `mesh_resolution`

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
        thin = thin_share(views)
        if thin >= self.thin_from and self.thin_detail > 1:
            self.detail = max(1, min(self.thin_detail, MOST_CELLS // self.mesh_resolution))
            cells = self.mesh_resolution * self.detail
            told_thin = "silhouettes: %.0f %% is thinner than %g; the surface is taken from %d cells"
            log.info(told_thin, 100 * thin, THIN, cells)
        stereo = None if self.stereo is None else self.stereo.depths(views, hull, aabb)
        if stereo is not None:
            self.whole = hull.to(self.device)
            hull = carved(hull, aabb, stereo, margin=self.carving_margin)
            self.carved, self.depths = hull.to(self.device), stereo.to(self.device)
            taken = 1 - int(hull.sum()) / max(1, int(self.whole.sum()))
            log.info("stereo: free space takes %.1f %% of the visual hull away", 100 * taken)
        self._take(replace(reference, stereo=stereo))
        self.renderer.start_from(hull.to(self.device), usual_pixel(views))

    @property
    def _depth_px(self) -> int:
        return self.mesh_depth_px * self.detail

    @property
    def rates(self) -> tuple[Schedule, ...]:
        return (self.learning_rate,)

    @property
    def last_step(self) -> int:
        return self.solid.last_step if self.solid.found else super().last_step

    def scheduled(self, step: int) -> int:
        return self.solid.scheduled(step) if self.solid.found else super().scheduled(step)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self._adam([*self.geometry.parameters(), *self.material.parameters()])

    def _on_step(self, step: int) -> None:
        if step == self.solid.after and self._is_solid():
            self.solid.found = True
            log.info("coarse: %s", self.solid.told())
        super()._on_step(step)
        self.renderer.on_step(self.geometry, self.scheduled(step), self.scheduled(step - 1) if step else -1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.solid.found:
            checkpoint["solid"] = [opening.card() for opening in self.openings]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.solid.found = "solid" in checkpoint
        self.openings = [Opening(**opening) for opening in checkpoint.get("solid", ())]

    @torch.no_grad()
    def surface(self) -> Mesh:
        """The closed mesh of what the views see of the field, without crumbs and without bubbles inside; on the CPU."""
        volume, near = self._volume()
        if self.filled_dents > 0:
            log.info("%s", told_of_dents(self.filled_dents))
        for opening in self.openings:
            log.info("%s", told(opening))
        if (volume < 0).sum() < LEAST_SHARE * near.sum():  # stopped before there was anything
            log.warning("coarse: the field has no surface yet; the visual hull is taken for it")
            volume[near] = -self.mesh_truncation
        volume = torch.where(sizable_components(volume < 0, self._needed) | (volume >= 0), volume, self.mesh_truncation)
        volume = torch.where(largest_component(volume >= 0) | (volume < 0), volume, -self.mesh_truncation)  # no bubbles
        spacing = 2 * self.renderer.radius / len(volume)
        return marching_cubes(volume, torch.full((3,), 0.5 * spacing - self.renderer.radius), spacing)

    def _volume(self) -> tuple[Tensor, Tensor]:
        """The truncated signed distance to the surface, hollowed where that was decided, and the cells near it."""
        volume, seen, near = self._fused()
        if self.unseen == "open":
            volume[self._unseen_hollows(volume, seen)] = self.mesh_truncation
        elif self.unseen == "auto" and self.whole is not None and not self.solid.found:
            volume, self.openings = self._hollowed(volume, seen)
        return volume, near

    def _fused(self) -> tuple[Tensor, Tensor, Tensor]:
        """The truncated signed distance to the surface that the views see, which cells they see, and those near it."""
        self.renderer.eval()
        cameras = self.views.resized(self._depth_px).cameras
        depth = self.renderer.depth(self.geometry, cameras)
        cells, radius = self.mesh_resolution * self.detail, self.renderer.radius
        hull = self.renderer.hull if self.carved is None else dilated(self.carved)
        near = resampled(hull, cells)
        index = near.nonzero()
        points = (index + 0.5) * (2 * radius / cells) - radius
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
        return volume, seen, near

    @torch.no_grad()
    def _is_solid(self) -> bool:
        """Whether pixels say that every opening is none, and nothing is thin, proven to be empty, or a guess."""
        if self.detail > 1 or self.unseen != "auto" or self.whole is None or self.corrections.count or self.pace.short:
            return False
        volume, seen, _ = self._fused()
        trial, proven = self._trial(volume, seen)
        if self.filled_dents > 0 or bool(((proven > 0) & (trial.volume <= 0)).any()):
            return False
        openings = trial.plainly_solid(self.opening_radius)
        self.openings = openings or []
        return openings is not None

    def _needed(self, labels: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Which loose sets of cells the views can't do without: their silhouettes would have holes."""
        return needed_cells(labels, kept, self.views, float(self.renderer.radius), self._depth_px)

    def _unseen_hollows(self, volume: Tensor, seen: Tensor, solid: Tensor | None = None) -> Tensor:
        """Cells that are empty since nobody sees them under an opening; where `auto`, one that stereo has proven."""
        # One cell more, so that a wall seen at a slant, and thinned by it, still holds.
        wall = dilated(seen & (volume <= 0))
        opening = round(self.opening_radius * len(volume) / (2 * self.renderer.radius))
        proven = self._proven(len(volume)) if self.unseen == "auto" else None
        known = seen | wall if solid is None else seen | wall | solid
        return unseen_hollows((volume > 0) & seen, known, opening, proven)

    def _hollowed(self, volume: Tensor, seen: Tensor) -> tuple[Tensor, list[Opening]]:
        """The volume with the cavities that its views speak for, by pixels or by free space.

        Cavities are wide: they are looked for on a grid of `mesh_resolution`, also where the volume is finer.
        """
        assert self.whole is not None
        if self.detail > 1:
            coarse = avg_pool3d(volume[None, None], self.detail)[0, 0]
            seen = avg_pool3d(seen[None, None].float(), self.detail)[0, 0] > 0.5
            found, openings = self._hollowed_plainly(coarse, seen)
            return emptied_like(volume, coarse, found), openings
        return self._hollowed_plainly(volume, seen)

    def _hollowed_plainly(self, volume: Tensor, seen: Tensor) -> tuple[Tensor, list[Opening]]:
        trial, proven = self._trial(volume, seen)
        found, openings = hollowed_by_views(trial, proven, self.opening_radius)
        found, below = hollowed_from_below(trial, found, self.opening_radius)
        return found.to(volume.device), [*openings, *below]

    def _trial(self, volume: Tensor, seen: Tensor) -> tuple[Hollowing, Tensor]:
        """What cavities are tried on, its dents filled; and its volume where stereo has proven free space."""
        grid = Grid(len(volume), float(self.renderer.radius))
        small = self.views[torch.tensor(certain(self.views)).nonzero()[:, 0]].resized(self.mesh_depth_px).to("cpu")
        assert self.whole is not None
        hull = resampled(self.whole, grid.cells).cpu()
        if self.detail == 1:  # what is thin all over has no plain sides
            filled, self.filled_dents = without_dents(volume.cpu(), hull, small, grid, self.mesh_truncation)
            volume = filled.to(volume.device)
        trial = Hollowing(volume.cpu(), hull, small, grid, self.mesh_truncation)
        shallow = torch.from_numpy(trial.depth * grid.spacing <= FIRST_WALLS[0]).to(volume.device)
        proven = volume.clone()
        proven[self._unseen_hollows(volume, seen, shallow)] = self.mesh_truncation
        return trial, proven.cpu()

    def _proven(self, cells: int) -> Bool[Tensor, "x y z"]:
        """Where stereo has carved the visual hull."""
        assert self.carved is not None and self.whole is not None
        return resampled(self.whole & ~self.carved, cells)
