"""A "novel-view model" that knows the object: it draws its mesh. What the 3D stages could reach with perfect views."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from sv3dgen.color import over_white
from sv3dgen.meshes.files import fit_unit_box, read_mesh
from sv3dgen.nvs_interfaces import NVSAbilities, NVSModel, OrbitPrior
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.orbits import Orbit
from sv3dgen.views.posed_views import PosedViews, views_of_orbit

SUPERSAMPLE = 4


class KnownMesh(NVSModel):
    """Views of a mesh file, scaled to the unit box, unlit; its front is the picture, whatever the picture shows."""

    def __init__(self, mesh: Path, *, frames: int, size_px: int) -> None:
        """Raises InputError where the file is no mesh."""
        self.mesh = fit_unit_box(read_mesh(mesh))
        self.abilities = NVSAbilities("mesh", frames, size_px, True, "that of the mesh")

    def rgba(self, orbit: Orbit) -> Float[Tensor, "views 4 height width"]:
        """The orbit's views with opacity, sRGB and opacity in [0, 1]."""
        return render_textured(self.mesh, orbit.cameras(size_px=self.abilities.size_px), SUPERSAMPLE)

    def views(self, image: Float[Tensor, "3 height width"], orbit: Orbit, *, seed: int) -> PosedViews:
        return views_of_orbit(
            (self.rgba(orbit) * 255).round().byte(), orbit, orbit.cameras(size_px=self.abilities.size_px)
        )

    def prior(self, image: Float[Tensor, "3 height width"], *, seed: int) -> OrbitPrior:
        return _Certain(self)


class _Certain(OrbitPrior):
    """Its latents are the pictures, and whatever the noise, it sees the truth through it."""

    def __init__(self, model: KnownMesh) -> None:
        self.model, self.abilities = model, model.abilities

    def sigma(self, level: float) -> float:
        return level

    def encode(self, pictures: Float[Tensor, "frames 3 height width"]) -> Float[Tensor, "frames channels _ _"]:
        return pictures

    def pull_back(
        self, pictures: Float[Tensor, "frames 3 height width"], gradient: Float[Tensor, "frames channels _ _"]
    ) -> Float[Tensor, "frames 3 height width"]:
        return gradient

    def denoise(
        self, noisy: Float[Tensor, "frames channels _ _"], sigma: float, orbit: Orbit, *, guidance_max: float
    ) -> Float[Tensor, "frames channels _ _"]:
        rgba = self.model.rgba(orbit)
        return over_white(rgba[:, :3], rgba[:, 3:]).to(noisy.device)

    def decode(self, latents: Float[Tensor, "frames channels _ _"]) -> Float[Tensor, "frames 3 height width"]:
        return latents
