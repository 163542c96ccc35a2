"""The seam of novel-view models: what they can do, the views they make, and their opinion of other views.

Pictures are sRGB in [0, 1] on white, `size_px` wide and high. The last view of an orbit is the picture's own.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.views.orbits import Orbit
from sv3dgen.views.posed_views import PosedViews


@dataclass(frozen=True)
class NVSAbilities:
    """What a novel-view model can do, for whoever asks it for an orbit."""

    name: str
    frames: int  # it was trained with
    size_px: int
    takes_poses: bool  # False: only a static orbit, at the elevation of the picture itself
    licence: str  # of the weights, as an SPDX expression or a name and an address
    note: str = ""  # what users of its views have to be told


class OrbitPrior(ABC):
    """A diffusion model conditioned on one picture, as score distillation asks it. Latents have about unit variance.

    sigma is the standard deviation of the noise on them. Tensors are float32, and results are on the device of what was
    given, wherever the model computes.
    """

    abilities: NVSAbilities

    @abstractmethod
    def sigma(self, level: float) -> float:
        """The noise at a level from 0 (hardly any) to 1 (hardly anything else) of the model's own schedule."""

    @abstractmethod
    def encode(self, pictures: Float[Tensor, "frames 3 height width"]) -> Float[Tensor, "frames channels _ _"]:
        """Latents of pictures; without a gradient, which `pull_back` gives."""

    @abstractmethod
    def pull_back(
        self, pictures: Float[Tensor, "frames 3 height width"], gradient: Float[Tensor, "frames channels _ _"]
    ) -> Float[Tensor, "frames 3 height width"]:
        """The gradient for `encode`'s pictures out of one for its latents, a few frames at a time."""

    @abstractmethod
    def denoise(
        self, noisy: Float[Tensor, "frames channels _ _"], sigma: float, orbit: Orbit, *, guidance_max: float
    ) -> Float[Tensor, "frames channels _ _"]:
        """The estimate of the clean latents of an orbit, guided from 1 at the front to `guidance_max` at the back."""

    @abstractmethod
    def decode(self, latents: Float[Tensor, "frames channels _ _"]) -> Float[Tensor, "frames 3 height width"]:
        """Pictures of latents, in [0, 1]."""


class NVSModel(ABC):
    """From one picture and an orbit to the pictures of the orbit."""

    abilities: NVSAbilities

    @abstractmethod
    def views(self, image: Float[Tensor, "3 height width"], orbit: Orbit, *, seed: int) -> PosedViews:
        """The orbit's views of a recentered picture. Raises InputError where the model can't walk this orbit."""

    def prior(self, image: Float[Tensor, "3 height width"], *, seed: int) -> OrbitPrior:
        """The model's denoiser, conditioned on the picture; `seed` is of the noise on that."""
        raise InputError(f"{self.abilities.name}: has no denoiser; score distillation needs a diffusion model")


class ViewMaker(NVSModel):
    """What `nvs=` builds: a model with the settings of a run. Cheap to build; weights are read when first asked for.

    The views it makes follow from the photo, the orbit, the seed, its settings in the config and `cache_key`. The 3D
    stages take them for generated, and in the last one's place the photo itself, at its own resolution.
    """

    keep_picture: bool = True  # False: the last view, too, is what the model makes of the photo
    knows_object: bool = False  # True: the views are to be taken as they come, with what they say of themselves

    def check(self) -> None:
        """Raise InputError for what would fail minutes later, when the model is first asked for."""

    def elevation_deg(self, image: Float[Tensor, "3 height width"], *, seed: int) -> float:
        """The elevation that a recentered picture was taken from. Raises InputError where the model can't tell."""
        raise InputError(f"elevation_deg=auto: {self.abilities.name} can't tell it; expected degrees")

    def cache_key(self) -> Mapping[str, Any]:
        """What else its views depend on, such as the weights: plain values, part of the key of shared stages."""
        return {}
