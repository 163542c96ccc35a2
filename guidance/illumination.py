"""Light belongs into the light, not into the albedo (paper, section 4: L_illum)."""

from typing import Literal

import torch

from sv3dgen.color import linear_to_srgb
from sv3dgen.domains import Weights
from sv3dgen.interfaces import Guidance, GuidanceOutput, RenderOutput, ViewBatch
from sv3dgen.losses import illumination_absolute, illumination_squared, object_mask
from sv3dgen.schedules import active_terms, checked_weights


class Illumination(Guidance):
    """Term `illumination`: the light at a pixel should be as bright as the largest channel of the target there.

    Compared as displayed: L through the material's `tone_map` and the sRGB curve, which is what a white surface would
    show. `form` "squared" is the paper's, "absolute" the authors' code's. Besides keeping light out of the albedo it is
    the one term that fixes the scale between the two.
    """

    terms: tuple[str, ...] = ("illumination",)

    def __init__(
        self,
        *,
        weights: Weights,
        form: Literal["squared", "absolute"] = "squared",
        tone_map: Literal["none", "log"] = "none",
    ) -> None:
        super().__init__()
        self.weights = checked_weights(weights, self.terms)
        self.needs = ("irradiance",)
        self.form = form
        self.tone_map = tone_map

    def forward(self, render: RenderOutput, batch: ViewBatch, step: int) -> GuidanceOutput:
        if not active_terms(self.weights, step):
            return GuidanceOutput({})
        mask = object_mask(render.shaded, render.opacity, batch.alpha)
        irradiance = render.buffer("irradiance")
        if not irradiance.requires_grad:
            return GuidanceOutput({})  # a constant light has nothing to learn
        reflected = torch.log1p(irradiance) if self.tone_map == "log" else irradiance
        loss = illumination_squared if self.form == "squared" else illumination_absolute
        return GuidanceOutput({"illumination": loss(linear_to_srgb(reflected), batch.rgb, mask)})
