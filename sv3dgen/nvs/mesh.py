"""Views drawn of a known mesh in place of a model's: the upper bound of the 3D stages (paper, table 5: GT renders)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from jaxtyping import Float
from torch import Tensor

from sv3dgen.atomic import stamp
from sv3dgen.domains import Between
from sv3dgen.errors import InputError
from sv3dgen.nvs.imperfect import imperfect
from sv3dgen.nvs.known_mesh import KnownMesh
from sv3dgen.nvs_interfaces import NVSAbilities, OrbitPrior, ViewMaker
from sv3dgen.views.orbits import SV3D_FRAMES, Orbit
from sv3dgen.views.posed_views import PosedViews


class MeshNvs(ViewMaker):
    """Draws a mesh file. Its front is taken for what the photo or the last of the given views shows.

    From a `level` above 0 on, its views are wrong as a generator's are (1: a good one's), all but the last, and say so.
    """

    knows_object = True

    def __init__(
        self,
        *,
        mesh: str | None,
        size_px: Annotated[int, Between(16, 2048)] = 256,
        level: Annotated[float | int, Between(0.0, 10.0)] = 0.0,
    ):
        if mesh is None:
            raise InputError("nvs=mesh: expected nvs.mesh=FILE, the object's mesh")
        if not 16 <= size_px <= 2048:
            raise InputError(f"nvs.size_px={size_px}: expected 16 to 2048")
        if not 0 <= level <= 10:
            raise InputError(f"nvs.level={level}: expected 0 to 10")
        self.file, self.size_px, self.level = Path(mesh), size_px, level
        self._model: KnownMesh | None = None

    @property
    def model(self) -> KnownMesh:
        """Reads the file at the first call; InputError where it is no mesh."""
        if self._model is None:
            self._model = KnownMesh(self.file, frames=SV3D_FRAMES, size_px=self.size_px)
        return self._model

    @property
    def abilities(self) -> NVSAbilities:  # type: ignore[override]
        return self.model.abilities

    def check(self) -> None:
        """Raise InputError where the file is no mesh."""
        _ = self.model

    def cache_key(self) -> Mapping[str, Any]:
        return {"mesh": stamp(self.file)}

    def prior(self, image: Float[Tensor, "3 height width"], *, seed: int) -> OrbitPrior:
        return self.model.prior(image, seed=seed)

    def views(self, image: Float[Tensor, "3 height width"], orbit: Orbit, *, seed: int) -> PosedViews:
        """The orbit's views of the mesh, with the errors that follow from `seed`."""
        views = self.model.views(image, orbit, seed=seed)
        return imperfect(views, float(self.level), seed=seed) if self.level else views
