"""Neighboring surface should be alike: depth, normals and albedo (paper, section 4.1; authors' code next to it)."""

from typing import Literal

from sv3dgen.domains import Share, Weights
from sv3dgen.errors import InputError
from sv3dgen.interfaces import Guidance, GuidanceOutput, RenderOutput, ViewBatch
from sv3dgen.losses import (
    bilateral_smoothness,
    difference_edges,
    mse,
    object_mask,
    outside_range,
    smoothness,
    sobel_edges,
)
from sv3dgen.schedules import active_terms, checked_weights, ever_nonzero

_BUFFER = {
    "depth": "depth",
    "normal": "normal",
    "bilateral_depth": "depth",
    "bilateral_normal": "normal",
    "albedo": "albedo",
    "albedo_range": "albedo",
}  # and of the term `albedo` the albedo nearby, which costs a renderer a second look at the field


class Smoothness(Guidance):
    """Smoothness of the rendered surface where render and target both show the object.

    Terms `depth` (L_depth) and `normal` (squared neighbor differences), `bilateral_depth` and `bilateral_normal`
    (L_bilateral), `albedo` (L_albedo, against the albedo a small step aside), `albedo_range` (a hinge on
    [albedo_low, albedo_high]). `edges` of the target that the bilateral terms respect: "sobel" (the paper) or forward
    "difference" (the authors' code).
    """

    terms: tuple[str, ...] = ("depth", "normal", "bilateral_depth", "bilateral_normal", "albedo", "albedo_range")

    def __init__(
        self,
        *,
        weights: Weights,
        edges: Literal["sobel", "difference"] = "sobel",
        albedo_low: Share = 0.15,
        albedo_high: Share = 0.95,
    ) -> None:
        super().__init__()
        self.weights = checked_weights(weights, self.terms)
        wanted = [term for term, weight in self.weights.items() if ever_nonzero(weight)]
        self.needs = tuple({_BUFFER[term] for term in wanted} | ({"albedo_nearby"} if "albedo" in wanted else set()))
        self.edges = edges
        self.albedo_low = albedo_low
        self.albedo_high = albedo_high

    def forward(self, render: RenderOutput, batch: ViewBatch, step: int) -> GuidanceOutput:
        wanted = active_terms(self.weights, step)
        mask = object_mask(render.shaded, render.opacity, batch.alpha)
        losses = {}
        if "depth" in wanted:
            losses["depth"] = smoothness(render.buffer("depth"), mask)
        if "normal" in wanted:
            losses["normal"] = smoothness(render.buffer("normal"), mask)
        if "bilateral_depth" in wanted or "bilateral_normal" in wanted:
            edges = (sobel_edges if self.edges == "sobel" else difference_edges)(
                batch.rgb * batch.alpha + 1 - batch.alpha
            )
            for name in ("depth", "normal"):
                if f"bilateral_{name}" in wanted:
                    losses[f"bilateral_{name}"] = bilateral_smoothness(render.buffer(name), edges, mask)
        if "albedo" in wanted:
            if "albedo_nearby" not in render.buffers:
                raise InputError("smoothness.weights.albedo: needs a renderer with albedo_jitter > 0")
            losses["albedo"] = mse(render.buffer("albedo"), render.buffer("albedo_nearby"), mask)
        if "albedo_range" in wanted:
            losses["albedo_range"] = outside_range(render.buffer("albedo"), self.albedo_low, self.albedo_high, mask)
        return GuidanceOutput(losses)
