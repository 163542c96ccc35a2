"""The model that makes views of one photo, as a run chooses it: which weights, on which device, how it samples."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from jaxtyping import Float
from torch import Tensor

from sv3dgen.atomic import stamp
from sv3dgen.devices import find_device
from sv3dgen.domains import Between
from sv3dgen.errors import InputError
from sv3dgen.nvs.elevation import estimate_elevation
from sv3dgen.nvs_interfaces import NVSAbilities, OrbitPrior, ViewMaker
from sv3dgen.runs.progress import StageLine
from sv3dgen.sv3d.checkpoint.contents import read_contents
from sv3dgen.sv3d.checkpoint.weights import Variant, find_weights, is_on_hub, weights_at_hand
from sv3dgen.sv3d.config import SV3DConfig
from sv3dgen.sv3d.guidance_scale import GuidanceShape
from sv3dgen.sv3d.memory import MemoryPlan
from sv3dgen.sv3d.model import SV3D
from sv3dgen.views.orbits import Orbit
from sv3dgen.views.posed_views import PosedViews

log = logging.getLogger(__name__)

SLOW_ON_CPU = 500_000_000  # parameters of a UNet from which on a step on a CPU takes minutes


class Sv3dNvs(ViewMaker):
    """SV3D with the settings of a run. The weights are read when views are first asked for."""

    def __init__(
        self,
        *,
        weights: str | None,
        variant: Literal["auto", "sv3d_p", "sv3d_u"] = "auto",
        device: str = "auto",
        memory: MemoryPlan | None = None,
        steps: Annotated[int, Between(1, 1000)] | None = None,
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
        """Raise InputError for weights that are not there or of no SV3D.

        Reads names and shapes alone; what is on the hub, or in its cache, is left for later.
        """
        if not is_on_hub(self.weights):
            self._check_variant(read_contents(find_weights(self.weights, self.wanted)).config)

    def _check_variant(self, config: SV3DConfig) -> None:
        if self.variant != "auto" and config.unet.takes_poses != (self.variant == "sv3d_p"):
            raise InputError(f"nvs={self.variant}: weights={self.weights} is not one; expected nvs=auto")

    @property
    def abilities(self) -> NVSAbilities:  # type: ignore[override]
        return self.model.abilities

    def elevation_deg(self, image: Float[Tensor, "3 height width"], *, seed: int) -> float:
        return estimate_elevation(self.model, image, seed=seed).elevation_deg

    def cache_key(self) -> Mapping[str, Any]:
        weights: list[Any] = [self.weights]
        if not is_on_hub(self.weights):
            path = Path(find_weights(self.weights, self.wanted))
            weights = [stamp(file) for file in (sorted(path.rglob("*.safetensors")) if path.is_dir() else [path])]
        return {"device": str(self.device), "weights": weights}

    def prior(self, image: Float[Tensor, "3 height width"], *, seed: int) -> OrbitPrior:
        return self.model.prior(image, seed=seed)

    def views(self, image: Float[Tensor, "3 height width"], orbit: Orbit, *, seed: int) -> PosedViews:
        """The orbit's views of a recentered picture on white, told step by step. Raises InputError as `SV3D` does."""
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
