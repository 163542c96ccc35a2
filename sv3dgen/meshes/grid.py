"""A cube of cells around the origin."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


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
