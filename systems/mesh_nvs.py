"""Views drawn of a known mesh in place of a model's: the upper bound of the 3D stages (paper, table 5: GT renders)."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.known_mesh import KnownMesh
from sv3dgen.orbits import SV3D_FRAMES, Orbit, OrbitRecipe
from sv3dgen.sv3d.memory import MemoryPlan
from sv3dgen.views import PosedViews
from systems.sv3d_nvs import recipe_or_reference


class MeshNvs:
    """In the place of `Sv3dNvs`. The mesh's front is taken for what the photo or the last of the given views shows."""

    def __init__(self, *, mesh: str | None, size_px: int = 256, device: str = "cpu", memory: MemoryPlan | None = None):
        """`device` and `memory` are settings of every model, which drawing has no use for."""
        if mesh is None:
            raise InputError("nvs=mesh: expected nvs.mesh=FILE, the object's mesh")
        if not 16 <= size_px <= 2048:
            raise InputError(f"nvs.size_px={size_px}: expected 16 to 2048")
        self.file, self.size_px = Path(mesh), size_px
        self._model: KnownMesh | None = None

    @property
    def model(self) -> KnownMesh:
        """Reads the file at the first call; InputError where it is no mesh."""
        if self._model is None:
            self._model = KnownMesh(self.file, frames=SV3D_FRAMES, size_px=self.size_px)
        return self._model

    def check(self) -> None:
        """Raise InputError where the file is no mesh, for who asks for the model only after minutes."""
        _ = self.model

    def orbit(self, recipe: OrbitRecipe | None, elevation_deg: float, seed: int) -> Orbit:
        """The orbit of a recipe; without one, the paper's reference."""
        return recipe_or_reference(recipe, self.model.abilities, elevation_deg, seed)

    def views(self, image: Float[Tensor, "3 height width"], orbit: Orbit, *, seed: int) -> PosedViews:
        """The orbit's views of the mesh."""
        return self.model.views(image, orbit, seed=seed)
