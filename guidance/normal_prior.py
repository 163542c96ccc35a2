"""The surface should face where a picture's normals say it faces (paper, section 4.1: L_normal)."""

import hashlib
import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.domains import Weights
from sv3dgen.interfaces import Guidance, GuidanceOutput, Reference, RenderOutput, ViewBatch
from sv3dgen.losses import masked_mean, object_mask
from sv3dgen.normals.source import NormalSource
from sv3dgen.schedules import active_terms, checked_weights
from sv3dgen.views.cameras import Cameras, full_frame

log = logging.getLogger(__name__)


class NormalPrior(Guidance):
    """Term `normal`: 1 - n . n', of the rendered and the picture's normal where both show the object and the latter is
    known.

    `source` gives the normals of the views; an empty one (normals=none), or one that finds nothing, switches it off.
    """

    terms: tuple[str, ...] = ("normal",)
    in_world: Tensor | None  # [views, height, width, 3], half precision; zero where unknown
    focal_px: Tensor  # of the views, as are the maps
    center_px: Tensor

    def __init__(self, *, source: NormalSource | Mapping[str, Any], weights: Weights) -> None:
        super().__init__()
        self.weights = checked_weights(weights, self.terms)
        self.needs = ("normal",)
        self.source = source
        for name in ("in_world", "focal_px", "center_px"):
            self.register_buffer(name, None, persistent=False)  # they follow from the views: no checkpoint needs them
        if not isinstance(source, NormalSource):
            self.weights = {}

    def start_from(self, reference: Reference) -> None:
        if not self.weights or not isinstance(self.source, NormalSource):
            return
        views = reference.views
        maps = self.source.maps(views, reference.folder)
        if maps is None:
            _tell(reference.folder, self.source.missing)
            self.weights = {}  # without a weight it costs nothing: the renderer need not draw normals
            return
        self.in_world = to_world(maps, views.cameras).half()
        self.focal_px, self.center_px = views.cameras.focal_px, views.cameras.center_px

    def cache_key(self, reference: Reference) -> str | None:
        """The normals themselves: files may have come or changed, and weights of a predictor too."""
        if not self.weights or not isinstance(self.source, NormalSource):
            return None
        maps = self.source.maps(reference.views, reference.folder)
        return None if maps is None else hashlib.sha256(maps.numpy().tobytes()).hexdigest()

    def forward(self, render: RenderOutput, batch: ViewBatch, step: int) -> GuidanceOutput:
        if not active_terms(self.weights, step):
            return GuidanceOutput({})
        assert self.in_world is not None and batch.view_index is not None, "call start_from(reference) first"
        places = places_in_views(batch, self.focal_px, self.center_px)
        target, known = sampled(self.in_world, batch.view_index, places)
        mask = object_mask(render.shaded, render.opacity, batch.alpha) & known
        cosine = (render.buffer("normal") * target).sum(1, keepdim=True)
        return GuidanceOutput({"normal": masked_mean(1 - cosine, mask)})


def to_world(
    in_camera: Float[Tensor, "views height width 3"], cameras: Cameras
) -> Float[Tensor, "views height width 3"]:
    """Normals of the cameras' own frames (OpenGL), turned into the world's."""
    return torch.einsum("vij,vhwj->vhwi", cameras.camera_to_world[:, :3, :3], in_camera)


def places_in_views(
    batch: ViewBatch, focal_px: Float[Tensor, "views 2"], center_px: Float[Tensor, "views 2"]
) -> Float[Tensor, "images height width 2"]:
    """Where the batch's pixel centers lie in the views' own frames: (x, y) in px, through both lenses.

    Cameras of a batch stand where their views' do; they may be of another size, and show a part only.
    """
    assert batch.view_index is not None
    pixels = full_frame(batch.cameras) if batch.pixels is None else batch.pixels
    seen = (pixels.flip(-1) + 0.5 - batch.cameras.center_px[:, None, None]) / batch.cameras.focal_px[:, None, None]
    return seen * focal_px[batch.view_index][:, None, None] + center_px[batch.view_index][:, None, None]


def sampled(
    maps: Float[Tensor, "views rows cols 3"] | Tensor,
    view_index: Tensor,
    places: Float[Tensor, "images height width 2"],
) -> tuple[Float[Tensor, "images 3 height width"], Bool[Tensor, "images 1 height width"]]:
    """Unit vectors between the map's pixels (bilinear among those that are known), and where there are any.

    Taken at the point, not as a mean over the pixel: a render's normal is that of the ray through the center as well.
    """
    rows, cols = maps.shape[1:3]
    corner = (places - 0.5).floor()
    share = places - 0.5 - corner
    view = view_index[:, None, None]
    total = torch.zeros(*places.shape[:-1], 3, device=maps.device)
    for right in (0, 1):
        for down in (0, 1):
            x, y = (corner[..., 0] + right).long(), (corner[..., 1] + down).long()
            inside = (x >= 0) & (x < cols) & (y >= 0) & (y < rows)
            weight = (share[..., 0] if right else 1 - share[..., 0]) * (share[..., 1] if down else 1 - share[..., 1])
            found = maps[view, y.clamp(0, rows - 1), x.clamp(0, cols - 1)].float()
            total = total + found * (weight * inside)[..., None]
    length = total.norm(dim=-1, keepdim=True)
    unit = total / length.clamp_min(1e-6)
    return unit.permute(0, 3, 1, 2), (length > 0.25).permute(0, 3, 1, 2)


@cache
def _tell(folder: Path, missing: str) -> None:
    """Say so once a run, though both stages ask."""
    log.info("normals of the views: none, the shape is fitted without them (%s)", missing)
