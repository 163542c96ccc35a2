"""The model that makes views of one photo, as a run chooses it: which weights, on which device, how it samples."""

import logging
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.devices import find_device
from sv3dgen.errors import InputError
from sv3dgen.nvs_interfaces import NVSAbilities
from sv3dgen.orbits import Orbit, OrbitRecipe, SineOrbit, StaticOrbit
from sv3dgen.progress import StageLine
from sv3dgen.sv3d.checkpoint_contents import read_contents
from sv3dgen.sv3d.config import SV3DConfig
from sv3dgen.sv3d.guidance_scale import GuidanceShape
from sv3dgen.sv3d.memory import MemoryPlan
from sv3dgen.sv3d.model import SV3D
from sv3dgen.sv3d.weights import Variant, find_weights, is_on_hub, weights_at_hand
from sv3dgen.views import PosedViews

log = logging.getLogger(__name__)

REFERENCE_AMPLITUDE_DEG = 30.0  # of the orbit that suits the 3D stages best (SV3D, table 8)
SLOW_ON_CPU = 500_000_000  # parameters of a UNet from which on a step on a CPU takes minutes


class Sv3dNvs:
    """SV3D with the settings of a run. The weights are read when views are first asked for."""

    def __init__(
        self,
        *,
        weights: str | None,
        variant: Literal["auto", "sv3d_p", "sv3d_u"] = "auto",
        device: str = "auto",
        memory: MemoryPlan | None = None,
        steps: int | None = None,
        guidance: GuidanceShape = "triangular",
        keep_picture: bool = True,
    ):
        """Without weights it is SV3D_p where that is at hand, else SV3D-tiny.

        `variant` auto takes what the weights are, SV3D_p where both lie together; `steps` None is the model's own.
        `memory` None is the fast plan of the device. `keep_picture` puts the photo itself in the last frame's place.
        """
        if weights is None and variant != "auto":
            raise InputError(f"nvs={variant}: expected its weights: a file, a folder, or stabilityai/sv3d")
        if steps is not None and steps < 1:
            raise InputError(f"nvs.steps={steps}: expected at least 1")
        self.device, self.memory = find_device(device), memory
        self.weights = weights_at_hand(self.device.type == "cuda") if weights is None else weights
        self.variant, self.steps = variant, steps
        self.guidance: GuidanceShape = guidance
        self.keep_picture = keep_picture
        self._model: SV3D | None = None

    @property
    def wanted(self) -> Variant:
        """Which weights to take where those of both variants are there."""
        return "sv3d_u" if self.variant == "sv3d_u" else "sv3d_p"

    @property
    def model(self) -> SV3D:
        """The model, loaded at the first call; InputError, naming file and key, where the weights are no good."""
        if self._model is None:
            model = SV3D.from_pretrained(self.weights, variant=self.wanted, device=self.device, memory=self.memory)
            self._check_variant(model.config)
            parameters = sum(parameter.numel() for parameter in model.unet.parameters())
            if self.device.type == "cpu" and parameters > SLOW_ON_CPU:
                steps = self.steps or model.config.sampler.steps
                log.warning("SV3D at full size on a CPU: each of its %d steps takes minutes", steps)
            self._model = model
        return self._model

    def check(self) -> None:
        """Raise InputError for weights that are not there or of no SV3D, for who asks for the model only after minutes.

        Reads names and shapes alone; what is on the hub, or in its cache, is left for later.
        """
        if not is_on_hub(self.weights):
            self._check_variant(read_contents(find_weights(self.weights, self.wanted)).config)

    def _check_variant(self, config: SV3DConfig) -> None:
        if self.variant != "auto" and config.unet.takes_poses != (self.variant == "sv3d_p"):
            raise InputError(f"nvs={self.variant}: weights={self.weights} is not one; expected nvs=auto")

    def orbit(self, recipe: OrbitRecipe | None, elevation_deg: float, seed: int) -> Orbit:
        """The orbit of a recipe; without one, the paper's reference."""
        return recipe_or_reference(recipe, self.model.abilities, elevation_deg, seed)

    def views(self, image: Float[Tensor, "3 height width"], orbit: Orbit, *, seed: int) -> PosedViews:
        """The orbit's views of a recentred picture on white, told step by step. Raises InputError as `SV3D` does."""
        model, line = self.model, StageLine("views")
        line.start(0, self.steps or model.config.sampler.steps)
        try:
            return model(
                image,
                orbit,
                seed=seed,
                steps=self.steps,
                guidance=self.guidance,
                keep_picture=self.keep_picture,
                on_step=lambda done, steps: line.advance(),
            )
        finally:
            line.close()


def recipe_or_reference(recipe: OrbitRecipe | None, abilities: NVSAbilities, elevation_deg: float, seed: int) -> Orbit:
    """The orbit of a recipe; without one, the paper's reference: sine-30 for a model that takes poses, else static.

    A photo from beyond 30 degrees has no sine-30 orbit through it, and gets a static one too.
    """
    if recipe is None:
        sine = abilities.takes_poses and abs(elevation_deg) <= REFERENCE_AMPLITUDE_DEG
        recipe = SineOrbit(amplitude_deg=REFERENCE_AMPLITUDE_DEG) if sine else StaticOrbit()
        log.info("orbit: %s", "sine30" if sine else "static")
    return recipe(elevation_deg, abilities.frames, torch.Generator().manual_seed(seed))
