"""Dents in an outside that no pixel speaks for, filled up to the hull of the silhouettes.

On a plain surface colors don't tell where it lies: a field may leave it anywhere inside the silhouettes, as it does
with the underside of a white cup. The likelier shape is then the one that silhouettes alone would carve.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy import ndimage
from torch import Tensor

from sv3dgen.meshes.grid import Grid
from sv3dgen.meshes.held_back import held_back_gains, mesh_depth
from sv3dgen.meshes.isosurface import marching_cubes
from sv3dgen.views.posed_views import PosedViews

STANDS_OFF = 1  # cells, that the hull of silhouettes stands off the surface
LEAST_CELLS = 30  # of a dent
FOOT = 0.03  # how deep many an underside is hollow, as between a foot ring: no deeper, a dent may well be right
DEEPEST = 0.95  # quantile of the depths of a dent's cells
APART = 0.02  # in depth, from which on pixels are asked
FEWEST_PIXELS = 50  # that can tell, of a dent
NOT_WORSE = 1 / 255  # of a color, in the mean over its pixels: with a filled dent of a pattern it is .015 and more
AROUND = 2  # cells around a dent, whose distances it changes


def without_dents(
    volume: Float[Tensor, "x y z"],
    hull: Bool[Tensor, "x y z"],
    views: PosedViews,
    grid: Grid,
    truncation: float | int,
) -> tuple[Float[Tensor, "x y z"], float]:
    """A truncated signed distance without dents that pixels don't speak for; and what share of the hull was filled.

    A dent is empty space inside the hull with solid over it, deeper than a foot ring: what is open to the sky is a
    cavity, which `hollowing` looks after. It is filled where views carry their colors over to one another as well as
    before (docs/method.md, "Hollow or solid"). All on the CPU.
    """
    inside = ndimage.distance_transform_edt(hull.numpy())
    labels = _dents(volume.numpy() > 0, hull.numpy(), inside - (STANDS_OFF + 0.5), FOOT / grid.spacing)
    if not labels.any():
        return volume, 0.0
    behind = torch.from_numpy((STANDS_OFF + 0.5 - inside) * grid.spacing).float().clamp(-truncation, truncation)
    filled = _filled(volume, behind, labels > 0)
    depths = [mesh_depth(marching_cubes(shape, grid.lower, grid.spacing), views.cameras) for shape in (volume, filled)]
    rgb = views.rgba[:, :3].contiguous()
    gains = held_back_gains(depths[0], depths[1], views.cameras, rgb, views.masks, apart=APART)
    view, row, column = gains.isfinite().nonzero().unbind(1)
    origins, directions = views.cameras.rays()
    reach = depths[1][view, row, column] + grid.spacing  # a cell into what fills the dent
    points = origins[view, row, column] + reach[:, None] * directions[view, row, column]
    cells = ((points - grid.lower) / grid.spacing).round().long().clamp(0, grid.cells - 1)
    dent = torch.from_numpy(ndimage.grey_dilation(labels, size=(3, 3, 3)))[cells.unbind(1)]
    count = torch.bincount(dent, minlength=int(labels.max()) + 1)
    gain = torch.bincount(dent, gains[view, row, column].double(), minlength=len(count)) / count.clamp_min(1)
    believed = ((count >= FEWEST_PIXELS) & (gain > -NOT_WORSE)).numpy()
    believed[0] = False
    chosen = believed[labels]
    return _filled(volume, behind, chosen), float(chosen.sum() / max(1, int(hull.sum())))


def told_of_dents(share: float) -> str:
    """One line for the log, run.json and the report."""
    return f"dents are filled, {share:.1%} of the silhouettes' hull, a guess: colors don't tell where the surface is"


def _dents(
    free: Bool[ndarray, "x y z"], hull: Bool[ndarray, "x y z"], depth: Float[ndarray, "x y z"], foot: float
) -> Int[ndarray, "x y z"]:
    """The number of each cell's dent, from 1 on; 0 where there is none. Depths are in cells."""
    solid_over = np.logical_or.accumulate((hull & ~free)[:, ::-1], axis=1)[:, ::-1]
    labels, count = ndimage.label((depth > 0) & free & solid_over, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())
    chosen = [n for n in range(1, count + 1) if sizes[n] >= LEAST_CELLS]
    chosen = [n for n in chosen if np.quantile(depth[labels == n], DEEPEST) > foot]
    return np.where(np.isin(labels, chosen), labels, 0)


def _filled(
    volume: Float[Tensor, "x y z"], behind: Float[Tensor, "x y z"], cells: Bool[ndarray, "x y z"]
) -> Float[Tensor, "x y z"]:
    near = torch.from_numpy(ndimage.binary_dilation(cells, iterations=AROUND))
    return torch.where(near, torch.minimum(volume, behind), volume)
