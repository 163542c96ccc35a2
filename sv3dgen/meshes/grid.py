"""A cube of cells around the origin."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate, max_pool3d


@dataclass(frozen=True)
class Grid:
    """Cells of a cube around the origin."""

    cells: int
    radius: float

    @property
    def spacing(self) -> float:
        return 2 * self.radius / self.cells

    @property
    def lower(self) -> Float[Tensor, " 3"]:
        return torch.full((3,), 0.5 * self.spacing - self.radius)


def resampled(cells: Bool[Tensor, "x y z"], resolution: int) -> Bool[Tensor, "i j k"]:
    """The same cells, as the nearest of a grid of another resolution."""
    return interpolate(cells[None, None].float(), size=(resolution,) * 3)[0, 0] > 0


def emptied_like(
    volume: Float[Tensor, "x y z"], before: Float[Tensor, "i j k"], after: Float[Tensor, "i j k"]
) -> Float[Tensor, "x y z"]:
    """Signed distances that grow where those of a coarser grid have grown, to what they are there now."""
    fine = interpolate(after[None, None], size=volume.shape, mode="trilinear")[0, 0]
    emptied = interpolate((after > before)[None, None].float(), size=volume.shape)[0, 0] > 0
    return torch.where(emptied, torch.maximum(volume, fine), volume)


def dilated(cells: Bool[Tensor, "x y z"]) -> Bool[Tensor, "x y z"]:
    """The cells and all their 26 neighbors."""
    return max_pool3d(cells[None, None].float(), 3, stride=1, padding=1)[0, 0] > 0
