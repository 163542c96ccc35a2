"""Parts that the views need: without them, something that silhouettes show would not be there."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sv3dgen.views.cameras import Cameras, project

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
