"""The seam of normal maps: who gives them, and in which frame."""

from abc import ABC, abstractmethod
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from sv3dgen.views.posed_views import PosedViews


class NormalSource(ABC):
    """Gives the normals of pictures, in each picture's own OpenGL camera frame: x right, y up, z towards the viewer.

    `missing` tells, in one line, what to provide where there are none.
    """

    missing: str

    @abstractmethod
    def maps(self, views: PosedViews, folder: Path) -> Float[Tensor, "views height width 3"] | None:
        """Normals of all views at the views' size, unit or zero where unknown; None where there is nothing to take
        them from. `folder` is the run's own of the views. InputError for what is there but of no use."""

    @abstractmethod
    def bring_along(self, views: PosedViews, given: Path, folder: Path) -> None:
        """Copy what lies next to views that a user has `given` into the run's own folder of them, if any."""
