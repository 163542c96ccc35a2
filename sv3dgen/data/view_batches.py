"""Which target pixels a step looks at: a pure function of the seed and the step, so that resuming needs no state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sv3dgen.devices import sent_to
from sv3dgen.domains import Between, Fields, Pairs, Pixels, Seed
from sv3dgen.interfaces import ViewBatch
from sv3dgen.schedules import from_when_on
from sv3dgen.seeding import generator
from sv3dgen.views.cameras import Cameras, full_frame
from sv3dgen.views.posed_views import PosedViews


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How target pixels are drawn from one step on.

    `frames`: `views` whole frames at `size_px`; with `crop_margin_px`, only as much of them as holds the objects of all
    and that margin around. `strided`: every `stride`-th pixel of such frames from a random offset
    (docs/method.md). `patches`: `patches` squares of `patch_px` pixels, anywhere near the object in any view.
    """

    size_px: Pixels  # longer side of the frames
    layout: Literal["frames", "strided", "patches"]
    views: Annotated[int, Between(1, 1000)] = 6
    crop_margin_px: Annotated[int, Between(0, 4096)] | None = None
    stride: Annotated[int, Between(1, 64)] = 4
    patches: Annotated[int, Between(1, 1000000)] = 256
    patch_px: Annotated[int, Between(1, 64)] = 2


class ViewBatches:
    """Batches of posed views, on the device of these. `milestones` are [step, sampling]: what holds from a step on."""

    def __init__(
        self,
        *,
        milestones: Annotated[list, Pairs(Annotated[Mapping[str, int | str | None], Fields("Sampling")])],
        seed: Seed = 0,
    ):
        starts = from_when_on(milestones, "data.milestones")
        self.milestones = {step: Sampling(**sampling) for step, sampling in starts.items()}
        self.seed = seed
        self._views: PosedViews | None = None
        self._frames: dict[int, PosedViews] = {}
        self._near_object: dict[int, Tensor] = {}
        self._boxes: dict[int, Tensor] = {}

    def use(self, views: PosedViews) -> None:
        """Draw from these views from now on."""
        self._views, self._frames, self._near_object, self._boxes = views, {}, {}, {}

    def sampling_at(self, step: int) -> Sampling:
        return self.milestones[max(start for start in self.milestones if start <= step)]

    def at(self, step: int) -> ViewBatch:
        """The batch of a step."""
        sampling = self.sampling_at(step)
        stream = generator(self.seed, "views", step)
        frames = self._at_size(sampling.size_px)
        if sampling.layout == "patches":
            return self._patches(frames, sampling, stream)
        return self._whole_views(frames, sampling, stream)

    def _whole_views(self, frames: PosedViews, sampling: Sampling, generator: torch.Generator) -> ViewBatch:
        count = len(frames.cameras)
        if sampling.views >= count:
            picked = torch.arange(count)
        elif sampling.layout == "strided":  # with replacement, as the authors do
            picked = torch.randint(count, (sampling.views,), generator=generator)
        else:
            picked = torch.randperm(count, generator=generator)[: sampling.views]
        index = sent_to(frames.images.device, picked)
        cameras, rgba = frames.cameras[index], frames.rgba[index]
        if sampling.layout == "frames":
            if sampling.crop_margin_px is not None:
                cameras, rgba = crop(cameras, rgba, self._boxes_at(sampling.size_px)[picked], sampling.crop_margin_px)
            return ViewBatch(cameras, None, rgba[:, :3], rgba[:, 3:], index)
        row, col = torch.randint(sampling.stride, (2,), generator=generator).tolist()
        pixels = full_frame(cameras)[:, row :: sampling.stride, col :: sampling.stride]
        target = rgba[:, :, row :: sampling.stride, col :: sampling.stride]
        return ViewBatch(cameras, pixels, target[:, :3], target[:, 3:], index)

    def _patches(self, frames: PosedViews, sampling: Sampling, generator: torch.Generator) -> ViewBatch:
        corners = self._patch_corners(frames, sampling)
        drawn = torch.randint(len(corners), (sampling.patches,), generator=generator)
        view, row, col = corners[sent_to(corners.device, drawn)].unbind(1)
        offset = torch.arange(sampling.patch_px, device=corners.device)
        rows = row[:, None, None] + offset[None, :, None]
        cols = col[:, None, None] + offset[None, None, :]
        pixels = torch.stack(torch.broadcast_tensors(rows, cols), dim=-1)
        target = frames.rgba[view[:, None, None], :, pixels[..., 0], pixels[..., 1]].permute(0, 3, 1, 2)
        return ViewBatch(frames.cameras[view], pixels, target[:, :3].contiguous(), target[:, 3:].contiguous(), view)

    def _patch_corners(self, frames: PosedViews, sampling: Sampling) -> Int[Tensor, "corners 3"]:
        """(view, row, col) of every patch at or near the object: the rest is empty by the hull."""
        if sampling.size_px not in self._near_object:
            near = near_object(frames.rgba[:, 3], margin_px=max(2, sampling.size_px // 40))
            near = near[:, : 1 - sampling.patch_px or None, : 1 - sampling.patch_px or None]
            self._near_object[sampling.size_px] = near.nonzero()
        return self._near_object[sampling.size_px]

    def _boxes_at(self, size_px: int) -> Int[Tensor, "views 4"]:
        if size_px not in self._boxes:
            # On the host, which decides by them how large a step's frames are.
            self._boxes[size_px] = object_boxes(self._at_size(size_px).rgba[:, 3].cpu())
        return self._boxes[size_px]

    def _at_size(self, size_px: int) -> PosedViews:
        assert self._views is not None, "call use(views) first"
        if size_px not in self._frames:
            self._frames[size_px] = self._views.resized(size_px)
        return self._frames[size_px]


def near_object(alpha: Tensor, margin_px: int) -> Bool[Tensor, "views height width"]:
    """Pixels within `margin_px` of any object pixel."""
    return torch.nn.functional.max_pool2d(alpha[:, None], 2 * margin_px + 1, stride=1, padding=margin_px)[:, 0] > 0


def object_boxes(alpha: Float[Tensor, "views height width"]) -> Int[Tensor, "views 4"]:
    """First row and column, last row and column + 1 of each view's object; the whole frame where there is none."""
    boxes = []
    for view in alpha > 0:
        rows, cols = view.any(1).nonzero()[:, 0], view.any(0).nonzero()[:, 0]
        whole = torch.tensor([0, 0, *view.shape])
        boxes.append(torch.stack([rows[0], cols[0], rows[-1] + 1, cols[-1] + 1]) if len(rows) else whole)
    return torch.stack(boxes)


def crop(
    cameras: Cameras, rgba: Float[Tensor, "views 4 height width"], boxes: Int[Tensor, "views 4"], margin_px: int
) -> tuple[Cameras, Float[Tensor, "views 4 _ _"]]:
    """Frames of one common size around each view's box and margin, and cameras whose image is just that part."""
    size = (boxes[:, 2:] - boxes[:, :2]).amax(0) + 2 * margin_px
    height, width = torch.minimum(size, torch.tensor(rgba.shape[2:])).tolist()
    corner = (boxes[:, :2] + boxes[:, 2:] - torch.tensor([height, width])) // 2
    corner = torch.minimum(corner, torch.tensor(rgba.shape[2:]) - torch.tensor([height, width])).clamp(min=0)
    parts = [
        image[:, top : top + height, left : left + width]
        for image, (top, left) in zip(rgba, corner.tolist(), strict=True)
    ]
    center = cameras.center_px - sent_to(cameras.center_px.device, corner.flip(1))
    return Cameras(cameras.camera_to_world, cameras.focal_px, center, width, height), torch.stack(parts)
