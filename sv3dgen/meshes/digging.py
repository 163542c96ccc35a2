"""Cavities under the basins of a shape, dug column by column as far as held-back pixels speak for it."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import ndimage
from torch import Tensor

from sv3dgen.meshes.grid import Grid
from sv3dgen.views.cameras import Cameras

VOTE_BLUR = 1.5  # cells, over which the votes of neighboring columns are averaged
FEW_VOTES = 0.05  # pixels a column, at which a vote counts half
MOST_VOTE = 0.04  # of a pixel: that a shape leaves it uncovered counts no more than that its color is wrong
ROOF = 0.12  # how wide what stands between two regions may be, to be a roof over what joins them


class Digging:
    """Digs straight down from the top of a shape to a wall's thickness in front of its outside.

    `depth` is how far each cell lies behind the outside (`cavities.wall_depth`), in cells. Between two regions, and at
    their ends, half a wall stays.
    """

    def __init__(
        self,
        volume: Float[Tensor, "x y z"],
        hull: Bool[ndarray, "x y z"],
        depth: Float[ndarray, "x y z"],
        grid: Grid,
        truncation: float | int,
    ):
        self.volume, self.grid, self.truncation = volume, grid, truncation
        self.hull = torch.from_numpy(hull)
        self.depth = torch.from_numpy(depth) * grid.spacing
        self.down = torch.from_numpy(ndimage.distance_transform_edt((volume <= 0).numpy())).float() * grid.spacing

    def dug(self, regions: Sequence[Bool[ndarray, "x z"]], wall: float | int) -> Float[Tensor, "x y z"]:
        """The volume without what lies under the regions, but for walls and floors."""
        inner = torch.full_like(self.volume, -self.truncation)
        behind = self.depth - wall
        for region in regions:
            edge = ndimage.distance_transform_edt(region) - ndimage.distance_transform_edt(~region)
            within = torch.from_numpy(edge).float() * self.grid.spacing - wall / 2
            inner = torch.maximum(inner, torch.minimum(behind, within[:, None]))
        inner = inner.clamp(-self.truncation, self.truncation)
        return torch.where(self.hull, torch.maximum(self.volume, inner), self.volume)

    def undercut(
        self, dug: Float[Tensor, "x y z"], regions: Sequence[Bool[ndarray, "x z"]], wall: float | int
    ) -> Float[Tensor, "x y z"]:
        """The same, spread under what stands between the regions: a roof, as thick as a wall, such as a handle.

        It does not spread farther: what lies next to the regions stays solid.
        """
        inner = (torch.minimum(self.depth, self.down) - wall).clamp(-self.truncation, self.truncation)
        reach = max(1, round(ROOF / 2 / self.grid.spacing))
        columns = np.pad(np.logical_or.reduce(regions), reach)  # closed as if nothing were beyond the grid
        between = ndimage.binary_closing(columns, iterations=reach)[reach:-reach, reach:-reach]
        room = ((inner > 0) | (dug > 0)).numpy() & between[:, None]
        labels, count = ndimage.label(room)
        joined = np.zeros(count + 1, bool)
        joined[np.unique(labels[((dug > 0) & (self.volume <= 0)).numpy()])] = True
        joined[0] = False
        spread = ndimage.binary_dilation(joined[labels], np.ones((3, 3, 3)))
        return torch.where(torch.from_numpy(spread), torch.maximum(dug, inner), dug)

    def voted(
        self,
        regions: Sequence[Bool[ndarray, "x z"]],
        gains: Float[Tensor, "views height width"],
        depth: Float[Tensor, "views height width"],
        cameras: Cameras,
        least: float,
    ) -> list[Bool[ndarray, "x z"]]:
        """The regions without the columns where pixels lose `-least` or more by the digging.

        `gains` (NaN where a pixel does not tell) are of the pixels whose rays meet the undug shape at `depth`. Each
        votes on the column where it does: there the surface is right, or it is not.
        """
        told = gains.isfinite()
        origins, directions = cameras.rays()
        points = origins[told] + depth[told][:, None] * directions[told]
        cells = self.grid.cells
        index = ((points - self.grid.lower) / self.grid.spacing).round().long().clamp(0, cells - 1)
        column = (index[:, 0] * cells + index[:, 2]).numpy()
        votes = np.bincount(column, gains[told].clamp(-MOST_VOTE, MOST_VOTE).numpy(), cells * cells).reshape(
            cells, cells
        )
        count = np.bincount(column, minlength=cells * cells).reshape(cells, cells)
        blurred = [ndimage.gaussian_filter(map_.astype(float), VOTE_BLUR) for map_ in (votes, count)]
        kept = blurred[0] / (blurred[1] + FEW_VOTES) > least
        return [ndimage.binary_fill_holes(ndimage.binary_opening(region & kept)) & region for region in regions]
