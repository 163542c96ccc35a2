"""Which target pixels a step looks at: a pure function of the seed and the step, so that resuming needs no state."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sv3dgen.data.view_shares import views_drawn, weight_of_views
from sv3dgen.data.working_frames import WorkingFrames, working_frames
from sv3dgen.devices import sent_to
from sv3dgen.domains import Between, Fields, Pairs, Pixels, Seed, Share
from sv3dgen.interfaces import ViewBatch
from sv3dgen.schedules import from_when_on
from sv3dgen.seeding import generator
from sv3dgen.views.cameras import Cameras, full_frame
from sv3dgen.views.posed_views import PosedViews

Kept = TypeVar("Kept")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How target pixels are drawn from one step on.

    `frames`: `views` whole frames at `size_px`; with `crop_margin_px`, only as much of them as holds the objects of all
    and that margin around, and a view of its own smaller size with at most `footprint_px` pixels a side for each of its
    own (None: as many as come nearest to `size_px`). `strided`: every `stride`-th pixel of whole frames from a random
    offset (docs/method.md). `patches`: `patches` squares of `patch_px` pixels, near the object in any view.
    """

    size_px: Pixels  # longer side of the frames
    layout: Literal["frames", "strided", "patches"]
    views: Annotated[int, Between(1, 1000)] = 6
    crop_margin_px: Annotated[int, Between(0, 4096)] | None = None
    footprint_px: Annotated[int, Between(1, 64)] | None = None
    stride: Annotated[int, Between(1, 64)] = 4
    patches: Annotated[int, Between(1, 1000000)] = 256
    patch_px: Annotated[int, Between(1, 64)] = 2


class ViewBatches:
    """Batches of posed views, on the device of these. `milestones` are [step, sampling]: what holds from a step on.

    Where some views are generated, photos get `photo_share` of what is drawn, or their share of the views if that is
    more; within both groups views are drawn in proportion to their trust. A view whose own picture is smaller than the
    sampling's size is drawn so that squares of pixels cover its own (`ViewBatch.footprint_px`); `strided` frames and
    whole ones show it enlarged.
    """

    def __init__(
        self,
        *,
        milestones: Annotated[list, Pairs(Annotated[Mapping[str, int | str | None], Fields("Sampling")])],
        seed: Seed = 0,
        photo_share: Share = 0.25,
    ):
        starts = from_when_on(milestones, "data.milestones")
        self.milestones = {step: Sampling(**sampling) for step, sampling in starts.items()}
        if not 0 <= photo_share <= 1:
            raise ValueError(f"data.photo_share={photo_share}: expected 0 to 1")
        self.seed, self.photo_share = seed, photo_share
        self._views: PosedViews | None = None
        self._kept: dict[Hashable, Any] = {}

    def use(self, views: PosedViews) -> None:
        """Draw from these views from now on."""
        self._views, self._kept = views, {}

    def sampling_at(self, step: int) -> Sampling:
        return self.milestones[max(start for start in self.milestones if start <= step)]

    def at(self, step: int, scheduled: int | None = None) -> ViewBatch:
        """The batch of a step, sampled as `milestones` have it at the step `scheduled` (None: the same)."""
        sampling = self.sampling_at(step if scheduled is None else scheduled)
        stream = generator(self.seed, "views", step)
        if sampling.layout == "patches":
            return self._patches(sampling, stream)
        return self._whole_views(sampling, stream)

    @property
    def _given(self) -> PosedViews:
        assert self._views is not None, "call use(views) first"
        return self._views

    def _whole_views(self, sampling: Sampling, generator: torch.Generator) -> ViewBatch:
        picked = self._picked(sampling, generator)
        index = sent_to(self._given.images.device, picked)
        if sampling.layout == "frames" and sampling.crop_margin_px is not None:
            work = self._cropped_from(sampling)
            boxes = self._boxes_of(sampling)[picked]
            footprints = tuple(work.footprint_px[view] for view in picked.tolist()) if work.has_footprints else None
            whole = [work.rgba[view] for view in picked.tolist()]  # not copied: only their parts are
            cameras, rgba = crop(work.cameras[index], whole, boxes, sampling.crop_margin_px, footprints)
            return self._batch(cameras, None, rgba, index, footprints)
        frames = self._at_size(sampling.size_px)
        cameras, rgba = frames.cameras[index], frames.rgba[index]
        if sampling.layout == "frames":
            return self._batch(cameras, None, rgba, index)
        row, col = torch.randint(sampling.stride, (2,), generator=generator).tolist()
        pixels = full_frame(cameras)[:, row :: sampling.stride, col :: sampling.stride]
        return self._batch(cameras, pixels, rgba[:, :, row :: sampling.stride, col :: sampling.stride], index)

    def _picked(self, sampling: Sampling, generator: torch.Generator) -> Int[Tensor, " picked"]:
        again = sampling.layout == "strided"  # with replacement, as the authors do
        if self._given.weighed:
            weight = weight_of_views(self._given, self.photo_share)
            return views_drawn(weight, sampling.views, generator, again=again and sampling.views < len(weight))
        count = len(self._given)
        if sampling.views >= count:
            return torch.arange(count)
        if again:
            return torch.randint(count, (sampling.views,), generator=generator)
        return torch.randperm(count, generator=generator)[: sampling.views]

    def _patches(self, sampling: Sampling, generator: torch.Generator) -> ViewBatch:
        work = self._working(sampling.size_px, sampling.patch_px)
        corners = self._patch_corners(sampling)
        if self._given.weighed:
            ends = self._corner_ends(sampling)
            marks = torch.rand(sampling.patches, generator=generator, dtype=torch.float64)
            drawn = torch.searchsorted(ends, marks, right=True).clamp(max=len(corners) - 1)
        else:
            drawn = torch.randint(len(corners), (sampling.patches,), generator=generator)
        view, row, col = corners[sent_to(corners.device, drawn)].unbind(1)
        offset = torch.arange(sampling.patch_px, device=corners.device)
        rows = row[:, None, None] + offset[None, :, None]
        cols = col[:, None, None] + offset[None, None, :]
        pixels = torch.stack(torch.broadcast_tensors(rows, cols), dim=-1)
        target = work.rgba[view[:, None, None], :, pixels[..., 0], pixels[..., 1]].permute(0, 3, 1, 2)
        footprints = tuple(work.footprint_px[index] for index in view.tolist()) if work.has_footprints else None
        return self._batch(work.cameras[view], pixels, target, view, footprints)

    def _batch(
        self,
        cameras: Cameras,
        pixels: Tensor | None,
        rgba: Float[Tensor, "images 4 height width"],
        view: Int[Tensor, " images"],
        footprints: tuple[int, ...] | None = None,
    ) -> ViewBatch:
        generated = None
        if any(self._given.generated):
            generated = self._keep("generated", lambda: torch.tensor(self._given.generated, device=view.device))[view]
        return ViewBatch(
            cameras, pixels, rgba[:, :3].contiguous(), rgba[:, 3:].contiguous(), view, generated, footprints
        )

    def _patch_corners(self, sampling: Sampling) -> Int[Tensor, "corners 3"]:
        """(view, row, col) of every patch at or near the object: the rest is empty by the hull."""

        def found() -> Tensor:
            work = self._working(sampling.size_px, sampling.patch_px)
            near = near_object(work.rgba[:, 3], margin_px=max(2, sampling.size_px // 40))
            near = near[:, : 1 - sampling.patch_px or None, : 1 - sampling.patch_px or None]
            if work.has_footprints:
                for view, (height, width), footprint in zip(near, work.sizes, work.footprint_px, strict=True):
                    whole = torch.zeros_like(view)
                    whole[: height + 1 - sampling.patch_px : footprint, : width + 1 - sampling.patch_px : footprint] = 1
                    view &= whole
            return near.nonzero()

        return self._keep(("corners", sampling.size_px, sampling.patch_px), found)

    def _corner_ends(self, sampling: Sampling) -> Float[Tensor, " corners"]:
        """The cumulated probabilities of the patches, on the host."""

        def found() -> Tensor:
            view = self._patch_corners(sampling)[:, 0].cpu()
            count = torch.bincount(view, minlength=len(self._given))
            weight = weight_of_views(self._given, self.photo_share, count.double()) / count.clamp_min(1)
            return weight[view].cumsum(0)

        return self._keep(("ends", sampling.size_px, sampling.patch_px), found)

    def _boxes_of(self, sampling: Sampling) -> Int[Tensor, "views 4"]:
        # On the host, which decides by them how large a step's frames are.
        asked = ("boxes", sampling.size_px, sampling.footprint_px)
        return self._keep(asked, lambda: object_boxes(self._cropped_from(sampling).rgba[:, 3].cpu()))

    def _cropped_from(self, sampling: Sampling) -> WorkingFrames:
        return self._working(sampling.size_px, most_px=sampling.footprint_px)

    def _working(self, size_px: int, footprint_px: int | None = None, most_px: int | None = None) -> WorkingFrames:
        return self._keep(
            ("working", size_px, footprint_px, most_px),
            lambda: working_frames(self._at_size(size_px), size_px, footprint_px, most_px),
        )

    def _at_size(self, size_px: int) -> PosedViews:
        return self._keep(("frames", size_px), lambda: self._given.resized(size_px))

    def _keep(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What `make` makes, made once for these views."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


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
    cameras: Cameras,
    rgba: Sequence[Float[Tensor, "4 height width"]],
    boxes: Int[Tensor, "views 4"],
    margin_px: int,
    footprints: Sequence[int] | None = None,
) -> tuple[Cameras, Float[Tensor, "views 4 _ _"]]:
    """Frames of one common size around each view's box and margin, and cameras whose image is just that part.

    With `footprints` a part begins at a whole multiple of its view's.
    """
    size = (boxes[:, 2:] - boxes[:, :2]).amax(0) + 2 * margin_px
    whole = torch.tensor(rgba[0].shape[1:])
    height, width = torch.minimum(size, whole).tolist()
    corner = (boxes[:, :2] + boxes[:, 2:] - torch.tensor([height, width])) // 2
    corner = torch.minimum(corner, whole - torch.tensor([height, width])).clamp(min=0)
    if footprints is not None:
        each = torch.tensor(footprints)[:, None]
        corner = corner // each * each
    parts = [
        image[:, top : top + height, left : left + width]
        for image, (top, left) in zip(rgba, corner.tolist(), strict=True)
    ]
    center = cameras.center_px - sent_to(cameras.center_px.device, corner.flip(1))
    return replace(cameras, center_px=center, width_px=width, height_px=height), torch.stack(parts)
