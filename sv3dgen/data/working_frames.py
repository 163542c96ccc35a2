"""Views at the size that a step draws: the small ones so that squares of pixels cover each pixel of their own."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from sv3dgen.views.cameras import Cameras
from sv3dgen.views.posed_views import PosedViews


@dataclass(frozen=True)
class WorkingFrames:
    """Pictures and cameras of one frame size. Small views lie in its upper left corner, the rest there is empty."""

    cameras: Cameras
    rgba: Float[Tensor, "views 4 height width"]
    sizes: tuple[tuple[int, int], ...]  # height and width of each view's part
    footprint_px: tuple[int, ...]  # pixels a side that show one of the view's own

    @property
    def has_footprints(self) -> bool:
        return any(px > 1 for px in self.footprint_px)


def working_frames(
    views: PosedViews, size_px: int, footprint_px: int | None = None, most_px: int | None = None
) -> WorkingFrames:
    """Views for steps at `size_px`; `views` are `resized` to it.

    A view of less than two thirds of that has `footprint_px` pixels a side for each of its own, by default as many as
    come nearest to `size_px`, and at most `most_px`.
    """
    frames = views.resized(size_px)
    height, width = frames.images.shape[2:]
    footprints = []
    for own, small in zip(frames.own_px, frames.small, strict=True):
        nearest = round(max(height, width) / own) if small is not None else 1
        usual = nearest if most_px is None else min(nearest, most_px)
        footprints.append(usual if footprint_px is None or nearest == 1 else footprint_px)
    if all(footprint == 1 for footprint in footprints):
        sizes = ((height, width),) * len(frames)
        return WorkingFrames(frames.cameras, frames.rgba, sizes, tuple(footprints))
    parts, sizes, focal, center = [], [], frames.cameras.focal_px.clone(), frames.cameras.center_px.clone()
    for index, (large, small, footprint) in enumerate(zip(frames.rgba, frames.small, footprints, strict=True)):
        part = large
        if small is not None and footprint > 1:
            part = (small.float() / 255).repeat_interleave(footprint, 1).repeat_interleave(footprint, 2)
        scale = focal.new_tensor([part.shape[2] / width, part.shape[1] / height])
        focal[index], center[index] = focal[index] * scale, center[index] * scale
        parts.append(part)
        sizes.append((part.shape[1], part.shape[2]))
    frame = max(size[0] for size in sizes), max(size[1] for size in sizes)
    rgba = frames.rgba.new_zeros(len(parts), 4, *frame)
    for picture, part in zip(rgba, parts, strict=True):
        picture[:, : part.shape[1], : part.shape[2]] = part
    cameras = replace(frames.cameras, focal_px=focal, center_px=center, height_px=frame[0], width_px=frame[1])
    return WorkingFrames(cameras, rgba, tuple(sizes), tuple(footprints))
