"""Parts that the views need: without them, something that silhouettes show would not be there."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sv3dgen.views.cameras import Cameras, project
from sv3dgen.views.posed_views import PosedViews
from sv3dgen.views.visual_hull import drawn

FEWEST_VIEWS = 2  # that have to need a part: one alone may be wrong at an outline
FEWEST_POINTS = 2  # of a part, that have to lie on what is uncovered in such a view


def needed_parts(
    points: Float[Tensor, "points 3"],
    part: Int[Tensor, " points"],
    count: int,
    uncovered: Bool[Tensor, "views height width"],
    cameras: Cameras,
) -> Bool[Tensor, " parts"]:
    """Which of `count` parts have points where at least two views show something that the rest does not cover."""
    views = np.zeros(count, np.int64)
    for view in range(len(cameras)):
        places, z = project(cameras[view : view + 1], points)
        col, row = places[0].floor().long().unbind(-1)
        inside = (z[0] > 0) & (col >= 0) & (row >= 0) & (col < cameras.width_px) & (row < cameras.height_px)
        hit = torch.zeros_like(inside)
        hit[inside] = uncovered[view, row[inside], col[inside]]
        views += np.bincount(part[hit].cpu().numpy(), minlength=count) >= FEWEST_POINTS
    return torch.from_numpy(views >= FEWEST_VIEWS)


def needed_cells(
    labels: Int[np.ndarray, "x y z"], kept: Bool[np.ndarray, " parts"], views: PosedViews, radius: float, size_px: int
) -> Bool[np.ndarray, " parts"]:
    """Which loose sets of cells the views can't do without, at `size_px`: their silhouettes would have holes.

    `labels` number the sets of a grid over |x| <= `radius`, 0 where there is none; `kept` says which stay anyway. Views
    without any trust are not asked.
    """
    trusted = torch.tensor([index for index, trust in enumerate(views.trust) if trust > 0])
    small = views[trusted].resized(size_px).to("cpu")
    cells = torch.from_numpy(labels)
    centers = cells.nonzero()
    points = ((centers + 0.5) * (2 * radius / len(cells)) - radius).float()
    part = cells[centers.unbind(1)]
    staying = torch.from_numpy(kept)[part]
    uncovered = small.masks & ~drawn(points[staying], small.cameras)
    return needed_parts(points[~staying], part[~staying], len(kept), uncovered, small.cameras).numpy()
