"""The field's depth should be what stereo is sure of: a pull out of local minima, while the shape is young."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.domains import Share, Weights
from sv3dgen.interfaces import Guidance, GuidanceOutput, Reference, RenderOutput, ViewBatch
from sv3dgen.schedules import active_terms, checked_weights
from sv3dgen.views.cameras import full_frame


class StereoDepth(Guidance):
    """Term `depth`: |d - d'| of the rendered depth and stereo's, in world units, at most `cap`, times its confidence.

    A mean over the pixels whose confidence is `least` or more, where the render has something to show. Its weight is
    meant to fade to zero: stereo is right to a few pixels, the views to a fraction of one. Without stereo (stereo=none,
    or views that it does not ask) it is off.
    """

    terms: tuple[str, ...] = ("depth",)
    depth: Tensor | None  # [views, height, width]; infinite where nothing is told
    confidence: Tensor | None
    focal_px: Tensor  # of the maps
    center_px: Tensor

    def __init__(self, *, weights: Weights, least: Share = 0.3, cap: Share = 0.1) -> None:
        super().__init__()
        self.weights = checked_weights(weights, self.terms)
        self.needs = ("depth",)
        self.least, self.cap = least, cap
        for name in ("depth", "confidence", "focal_px", "center_px"):
            self.register_buffer(name, None, persistent=False)  # they follow from the views: no checkpoint needs them

    def start_from(self, reference: Reference) -> None:
        stereo = reference.stereo
        if stereo is None:
            self.weights = {}  # without a weight it costs nothing
            return
        self.depth, self.confidence = stereo.depth, stereo.confidence
        self.focal_px, self.center_px = stereo.cameras.focal_px, stereo.cameras.center_px

    def forward(self, render: RenderOutput, batch: ViewBatch, step: int) -> GuidanceOutput:
        if not active_terms(self.weights, step):
            return GuidanceOutput({})
        target, sure = self._told(batch)
        weight = torch.where(sure >= self.least, sure, 0.0) * (render.opacity.detach() > 0.5)
        error = (render.buffer("depth") - torch.where(weight > 0, target, 0.0)).abs().clamp(max=self.cap)
        return GuidanceOutput({"depth": (error * weight).sum() / weight.sum().clamp_min(1)})

    def _told(
        self, batch: ViewBatch
    ) -> tuple[Float[Tensor, "images 1 height width"], Float[Tensor, "images 1 height width"]]:
        """Depth and confidence at the batch's pixels: of the map's pixel that each falls into."""
        assert self.depth is not None and self.confidence is not None and batch.view_index is not None
        view = batch.view_index
        pixels = full_frame(batch.cameras) if batch.pixels is None else batch.pixels
        seen = (pixels.flip(-1) + 0.5 - batch.cameras.center_px[:, None, None]) / batch.cameras.focal_px[:, None, None]
        places = seen * self.focal_px[view][:, None, None] + self.center_px[view][:, None, None]
        col, row = places.floor().long().unbind(-1)
        rows, columns = self.depth.shape[1:]
        inside: Bool[Tensor, "images height width"] = (col >= 0) & (row >= 0) & (col < columns) & (row < rows)
        where = view[:, None, None], row.clamp(0, rows - 1), col.clamp(0, columns - 1)
        return self.depth[where][:, None], (self.confidence[where] * inside)[:, None]
