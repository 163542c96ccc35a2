"""Solid or hollow, opening by opening: by colors that views carry over to one another, where these can tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage
from torch import Tensor

from sv3dgen.meshes.basins import basins, water_share
from sv3dgen.meshes.cavities import FLOOR, Cavity, possible_cavities, wall_depth
from sv3dgen.meshes.digging import Digging
from sv3dgen.meshes.grid import Grid
from sv3dgen.meshes.held_back import held_back_errors, held_back_gains, mesh_depth
from sv3dgen.meshes.isosurface import marching_cubes
from sv3dgen.meshes.openings import Opening
from sv3dgen.views.posed_views import PosedViews

FIRST_WALLS = (0.03, 0.04)  # thicknesses that a hollow shape is tried with, the second if the first leaves it open
WALLS = (0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.06)  # which one, once it is hollow
APART = 0.02  # by how much two shapes have to differ in depth where pixels are asked
FEWEST_PIXELS = 200  # that can tell
CLEARLY = 0.8  # of the error of the shape as it is, under which a hollow one is believed
CLEARLY_WORSE = 0.02  # of a color, in the mean of the pixels that tell, from which on free space was none
LEAST_EMPTIED = 0.05  # of a cavity, from which on free space has opened it
REFILLED = 3  # cells around what was emptied, whose distances it has changed
LEAST_GAP = 1 / 255  # between two errors, from which on they differ at all
THINNER = 20.0  # of what the best wall gains, by which one of thickness 1 would be less likely than one of 0
THINNEST_CELLS = 1.5  # of a wall that a grid holds without holes
BASIN_CELLS = 2  # how deep water has to stand in a lid that may be none
# Losses of a column, from which on it is not dug: the worst go first.
SINKING = (0.03, 0.02, 0.012, 0.008, 0.005, 0.003, 0.001)
LEAST_BELOW = 0.25  # of the plan, that basins of an underside take up: a foot ring or a wheel case is no bell
SPREAD = 2.0  # standard errors, over the views, by which a dug shape has to be better
LARGE_PART = 0.5  # of an opening, from which on what pixels don't say of the part they don't say of the whole
NOT_WORSE = 0.95  # of the gain that a shape may lose for being thin all over


@dataclass(frozen=True)
class Judgement:
    """What pixels say of a cavity: the shape that has it if they speak for it, and errors if there are enough."""

    volume: Float[Tensor, "x y z"] | None
    wall: float | None = None
    as_is: float | None = None
    hollow: float | None = None

    columns: Bool[ndarray, "x z"] | None = None  # of the opening, where it is a part of the one asked about
    tried: bool = True  # whether the shapes that it is about are all that the outside allows

    @property
    def speaks_against(self) -> bool:
        as_is, hollow = self.as_is, self.hollow
        return self.tried and as_is is not None and hollow is not None and clearly_less(as_is, hollow)


def clearly_less(error: float, other: float) -> bool:
    return error < CLEARLY * other and other - error > LEAST_GAP


class Hollowing:
    """Tries the cavities that the outside of a shape allows, each with the walls that fit the views best.

    `volume` is a truncated signed distance with what no view sees inside, `hull` that of the silhouettes, all on the
    CPU. A shape is judged by colors: those of a view are carried over to others by way of its surface, and where that
    surface is wrong they arrive at the wrong place. Only pixels that both shapes tell of, and differ in, are compared.
    `upside_down` says that y points down in the grids.
    """

    def __init__(
        self,
        volume: Float[Tensor, "x y z"],
        hull: Bool[Tensor, "x y z"],
        views: PosedViews,
        grid: Grid,
        truncation: float | int,
        *,
        upside_down: bool = False,
    ):
        self.upside_down = upside_down
        self.volume, self.hull, self.grid, self.truncation = volume, hull.numpy(), grid, truncation
        self.views, self.rgb = views, views.rgba[:, :3].contiguous()
        self.depth = wall_depth(self.hull, volume.numpy() > 0)

    def cavities(self, opening_radius: float | int) -> list[Cavity]:
        return possible_cavities(
            self.hull,
            self.depth,
            wall_cells=FIRST_WALLS[0] / self.grid.spacing,
            opening_cells=round(opening_radius / self.grid.spacing),
        )

    def hollowed(self, volume: Float[Tensor, "x y z"], cavity: Cavity, wall: float | int) -> Float[Tensor, "x y z"]:
        """The volume with a cavity of walls that thick; where it is empty already, it stays so."""
        depth = torch.from_numpy(self.depth)
        inner = (depth * self.grid.spacing - wall).clamp(-self.truncation, self.truncation)
        reach = 2 * max(1, round((FIRST_WALLS[0] - min(WALLS)) / self.grid.spacing)) + 3
        grown = ndimage.maximum_filter(cavity.cells, reach)  # axis by axis: thirty times as fast as max_pool3d
        return torch.where(torch.from_numpy(grown & self.hull), torch.maximum(volume, inner), volume)

    def judged(self, volume: Float[Tensor, "x y z"], cavity: Cavity) -> Judgement:
        """What held-back pixels say of that cavity in the volume; if not of the whole, of what lies under basins."""
        before = self._depth(volume)
        whole = self._judged_whole(volume, cavity, before)
        if whole.volume is not None:
            return whole
        return self._judged_basins(volume, cavity, before) or whole

    def _judged_whole(self, volume: Tensor, cavity: Cavity, before: Tensor) -> Judgement:
        def hollow(wall: float) -> Tensor:
            return self.hollowed(volume, cavity, wall)

        errors = self._first_errors(hollow, before)
        if errors is None or not clearly_less(*errors[::-1]):
            return Judgement(None) if errors is None else Judgement(None, None, errors[0], errors[1])
        return self._with_best_wall(hollow, before, errors)

    def _first_errors(self, hollow: Callable[[float], Tensor], before: Tensor) -> list[float] | None:
        """Of the shape as it is and of a hollow one, the first of two that differs clearly; None of too few pixels."""
        errors = None
        for wall in FIRST_WALLS:
            errors = self._compared([before, self._depth(hollow(wall))])
            if errors is None or clearly_less(*errors) or clearly_less(*errors[::-1]):
                break
        return errors

    def plainly_solid(self, opening_radius: float | int) -> list[Opening] | None:
        """The openings that the outside allows where pixels clearly speak against each, and nothing like a basin lies
        in them or below; else None. Far quicker than what decides how a cavity is dug.
        """
        inside, turned = (self.volume <= 0).numpy(), (self.volume.flip(1) <= 0).numpy()
        plan = np.asarray(self.hull.any(1))
        if water_share(turned, plan, least_cells=BASIN_CELLS) >= LEAST_BELOW:
            return None
        hollows = basins(inside, plan, least_cells=BASIN_CELLS)
        openings, before = [], None
        for cavity in self.cavities(opening_radius):
            if any((region & cavity.columns).any() for region in hollows):
                return None
            before = self._depth(self.volume) if before is None else before
            errors = self._first_errors(lambda wall, cavity=cavity: self.hollowed(self.volume, cavity, wall), before)
            if errors is None or not clearly_less(*errors):
                return None
            share = float(cavity.columns.sum() / max(1, int(plan.sum())))
            openings.append(Opening(share, False, "pixels", None, errors[0], errors[1]))
        return openings

    def _judged_basins(self, volume: Tensor, cavity: Cavity, before: Tensor) -> Judgement | None:
        """Dug under the basins of its top, but for columns where pixels lose by it: what is over them is a handle.

        The worst columns stay first. What is behind a handle is dug right or wrong only once the handle is there.
        """
        found = basins((volume <= 0).numpy(), np.asarray(self.hull.any(1)), least_cells=BASIN_CELLS)
        regions = [region for region in found if (region & cavity.columns).any()]
        if not regions:
            return None
        wall = FIRST_WALLS[0]
        digging = Digging(volume, self.hull, self.depth, self.grid, self.truncation)
        best, most = regions, -torch.inf
        for loss in SINKING:
            gains = self._gains(before, self._depth(digging.dug(regions, wall)))
            if int(gains.isfinite().sum()) < FEWEST_PIXELS:
                break
            if (gain := float(gains.nansum())) > most:
                best, most = regions, gain
            regions = digging.voted(regions, gains, before, self.views.cameras, -loss)
            if not any(region.any() for region in regions):
                break
        if most <= 0:
            return None
        deep = self._gains(before, self._depth(digging.undercut(digging.dug(best, wall), best, FLOOR * wall)))
        spreads = float(deep.nansum()) > NOT_WORSE * most

        def dug(wall: float) -> Tensor:
            shape = digging.dug(best, wall)
            return digging.undercut(shape, best, FLOOR * wall) if spreads else shape

        gains = deep if spreads else self._gains(before, self._depth(dug(wall)))
        by_view = gains.nansum((1, 2))
        errors = self._compared([before, self._depth(dug(wall))])
        if errors is None:
            return None
        sure = float(by_view.mean()) > SPREAD * float(by_view.std()) / len(by_view) ** 0.5
        if not sure or not clearly_less(*errors[::-1]):
            large = np.logical_or.reduce(best).sum() > LARGE_PART * cavity.columns.sum()
            return Judgement(None, None, errors[0], errors[1], tried=False) if large else None
        judgement = self._with_best_wall(dug, before, errors)
        return replace(judgement, columns=np.logical_or.reduce(best))

    def _with_best_wall(self, hollow: Callable[[float], Tensor], before: Tensor, errors: list[float]) -> Judgement:
        """The hollow shape with the walls that fit best, a thinner one where that costs little."""
        walls = [wall for wall in WALLS if wall >= THINNEST_CELLS * self.grid.spacing]
        swept = self._compared([before, *(self._depth(hollow(wall)) for wall in walls)])
        if swept is None:
            return Judgement(hollow(FIRST_WALLS[0]), FIRST_WALLS[0], errors[0], errors[1])
        as_is, of_walls = swept[0], swept[1:]
        thinner = THINNER * (as_is - min(of_walls))
        best = min(range(len(walls)), key=lambda k: of_walls[k] + thinner * walls[k])
        return Judgement(hollow(walls[best]), walls[best], as_is, of_walls[best])

    def unfounded(self, emptied: Float[Tensor, "x y z"], solid: Float[Tensor, "x y z"]) -> str | None:
        """Why an emptied shape should rather be the solid one: "pixels" are clearly worse with it, or uncovered by it;
        or "prior", since hardly any pixel would see that it is empty. None where it may stay.
        """
        before, after = self._depth(solid), self._depth(emptied)
        seen = self.views.masks & (before.isfinite() | after.isfinite()) & ~((after - before).abs() <= APART)
        if int(seen.sum()) < FEWEST_PIXELS:
            return "prior"
        gains = self._gains(before, after)
        told = gains.isfinite()
        worse = int(told.sum()) >= FEWEST_PIXELS and float(gains[told].mean()) < -CLEARLY_WORSE
        return "pixels" if worse else None

    def _gains(self, before: Tensor, after: Tensor) -> Tensor:
        return held_back_gains(before, after, self.views.cameras, self.rgb, self.views.masks, apart=APART)

    def _depth(self, volume: Tensor) -> Tensor:
        upright = volume.flip(1) if self.upside_down else volume
        return mesh_depth(marching_cubes(upright, self.grid.lower, self.grid.spacing), self.views.cameras)

    def _compared(self, depths: Sequence[Tensor]) -> list[float] | None:
        """Mean error of each, over pixels where some of them differ from the first, and that all of them tell of."""
        first = depths[0]
        apart = torch.stack([((other - first).abs() > APART) & other.isfinite() for other in depths[1:]]).any(0)
        asked = apart & self.views.masks
        errors = [held_back_errors(depth, self.views.cameras, self.rgb, asked) for depth in depths]
        told = torch.stack(errors).isfinite().all(0)
        if int(told.sum()) < FEWEST_PIXELS:
            return None
        return [float(error[told].mean()) for error in errors]


def hollowed_by_views(
    trial: Hollowing, as_proven: Float[Tensor, "x y z"], opening_radius: float | int
) -> tuple[Float[Tensor, "x y z"], list[Opening]]:
    """A shape with the cavities that the views speak for, and what was decided of each opening.

    `as_proven` is the shape as it stays where pixels can't tell: hollow where stereo has proven free space.
    """
    found, openings = as_proven, []
    plan = max(1, int(trial.hull.any(1).sum()))
    emptied = ((as_proven > 0) & (trial.volume <= 0)).numpy()
    for cavity in trial.cavities(opening_radius):
        share = float(cavity.columns.sum() / plan)
        judgement = trial.judged(found, cavity)
        if judgement.volume is not None:
            found = judgement.volume
            if judgement.columns is not None:
                share = float(judgement.columns.sum() / plan)
            openings.append(Opening(share, True, "pixels", judgement.wall, judgement.as_is, judgement.hollow))
            continue
        proven = (emptied & cavity.cells).sum() > LEAST_EMPTIED * cavity.size
        if proven:
            parts, _ = ndimage.label(emptied)
            below = ndimage.binary_dilation(
                np.isin(parts, np.unique(parts[emptied & cavity.cells])), iterations=REFILLED
            )
            filled = torch.where(torch.from_numpy(below), trial.volume, found)
            if (reason := trial.unfounded(found, filled)) is not None:
                found = filled
                openings.append(Opening(share, False, reason, None, judgement.as_is, judgement.hollow))
                continue
        by = "free space" if proven else "pixels" if judgement.speaks_against else "prior"
        openings.append(Opening(share, bool(proven), by, None, judgement.as_is, judgement.hollow))
    return found, openings


def hollowed_from_below(
    trial: Hollowing, volume: Float[Tensor, "x y z"], opening_radius: float | int
) -> tuple[Float[Tensor, "x y z"], list[Opening]]:
    """The same from below, as a bell is hollow, where basins take up much of the underside.

    Openings that are sure to be none are not listed. What is dug from above already is outside.
    """
    turned, hull = volume.flip(1), torch.from_numpy(trial.hull).flip(1)
    if water_share((turned <= 0).numpy(), np.asarray(trial.hull.any(1)), least_cells=BASIN_CELLS) < LEAST_BELOW:
        return volume, []
    below = Hollowing(turned, hull, trial.views, trial.grid, trial.truncation, upside_down=True)
    found, openings = hollowed_by_views(below, turned, opening_radius)
    told_of = [replace(one, below=True) for one in openings if one.hollow or one.decided_by == "prior"]
    return found.flip(1), told_of
