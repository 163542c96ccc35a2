"""Pictures and cameras out of a folder of posed views, brought to one size, without distortion, with +Y up."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from sv3dgen.cutout.noisy_key import noisy_key
from sv3dgen.errors import InputError
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.color_profile import TOLD
from sv3dgen.views.image import MaskedImage
from sv3dgen.views.normalize import offset_to_remove
from sv3dgen.views.resampling import downscale_rgba
from sv3dgen.views.transforms_json import Transforms
from sv3dgen.views.undistort import undistorted
from sv3dgen.views.view_files import ViewFiles

log = logging.getLogger(__name__)

Pictures = UInt8[Tensor, "views 4 height width"]
SmallPictures = tuple[UInt8[Tensor, "4 _ _"] | None, ...]

_Z_UP_TO_Y_UP = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)


def pictures_and_cameras(
    files: ViewFiles, max_size_px: int | None
) -> tuple[Pictures, SmallPictures, Cameras, Float[Tensor, "4 4"]]:
    """RGBA pictures of one size, the smaller ones as they are (`PosedViews.small`), their cameras, and the way from the
    file's world to theirs. Logs what was fixed or guessed."""
    transforms, frames = files.transforms, files.transforms.frames
    for note in transforms.notes:
        log.info(note)
    for warning in transforms.warnings:
        log.warning(warning)
    width, height = scaled_size(_frame_size(transforms, files.sizes), max_size_px)
    images, small, lenses, maskless, shadows = [], [], [], [], 0
    colors: Counter[str] = Counter()
    for index, frame in enumerate(frames):
        picture = files.take(index)
        colors.update(filter(None, [picture.image.info.get(TOLD)]))
        if frame.missing_mask is not None and (frame.mask_is_named or picture.background is not None):
            maskless.append(frame.missing_mask)
        lens = frame.lens.of_size(*picture.image.size)
        (pixels, shadow), zoom = pixels_of(picture), 1.0
        shadows += shadow
        if lens.distortion is not None:
            try:
                pixels, zoom = undistorted(pixels, lens.at_size(*picture.image.size), lens.distortion)
            except InputError as error:
                raise InputError(f"{frame.image}: {error}") from None
        images.append(resized(pixels, width, height))
        own = scaled_size(picture.image.size, max_size_px)
        small.append(resized(pixels, *own) if is_smaller(own, (width, height)) else None)
        fl_x, fl_y, cx, cy = lens.at_size(width, height)
        lenses.append((fl_x * zoom, fl_y * zoom, cx, cy))
    if maskless:
        log.warning(
            "%s: %d of %d masks are missing, the first is %s; those pictures' own alpha or background is used",
            *(transforms.path, len(maskless), len(frames), maskless[0]),
        )
    for told, count in colors.items():
        log.info("%s: in %d of %d pictures, %s", transforms.path, count, len(frames), told)
    warn_of_shadows(transforms.path, shadows, len(frames))
    intrinsics = torch.tensor(lenses, dtype=torch.float64)
    poses, to_world = _placed_poses(transforms)
    cameras = Cameras(poses.float(), intrinsics[:, :2].float(), intrinsics[:, 2:].float(), width, height)
    return torch.stack(images), tuple(small), cameras, to_world


def is_smaller(size: tuple[int, int], frame: tuple[int, int]) -> bool:
    """Whether a picture of this width and height is a frame with fewer pixels: `PosedViews.small` keeps such ones.

    One of another aspect has no pixels that squares of the frame's could stand for.
    """
    # One pixel of rounding is what scaling a picture down leaves.
    return size[0] < frame[0] and abs(size[0] * frame[1] - size[1] * frame[0]) <= max(frame)


def scaled_size(size: tuple[int, int], max_size_px: int | None) -> tuple[int, int]:
    """Width and height, scaled down so that the longer side is at most this."""
    if max_size_px is None or max(size) <= max_size_px:
        return size
    scale = max_size_px / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def pixels_of(picture: MaskedImage) -> tuple[UInt8[Tensor, "4 height width"], bool]:
    """RGBA, and whether a shadow around the object makes its outline doubtful; keyed with care where that is noisy."""
    pixels, shadow = np.array(picture.image), False
    if picture.background is not None:
        found = noisy_key(pixels[..., :3], picture.background)
        if found is not None:
            pixels, shadow = found.rgba, found.shadow
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), shadow


def warn_of_shadows(path: Path, shadows: int, count: int) -> None:
    """One line where the background is darker around the object."""
    if shadows:
        log.warning(
            "%s: in %d of %d pictures the object fades into the background; what looks like a shadow is left out; cut "
            "the object out (RGBA, or mask_path) if that is wrong",
            *(path, shadows, count),
        )


def resized(pixels: UInt8[Tensor, "4 height width"], new_width: int, new_height: int) -> UInt8[Tensor, "4 _ _"]:
    """By area where it gets smaller; else bicubic. Sides may be scaled differently: cameras have two focal lengths."""
    height, width = pixels.shape[1:]
    if (width, height) == (new_width, new_height):
        return pixels
    if new_width <= width and new_height <= height:
        return downscale_rgba(pixels, new_height, new_width)
    image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())  # PIL weighs colors by alpha, too
    scaled = np.array(image.resize((new_width, new_height), Image.Resampling.BICUBIC))
    return torch.from_numpy(scaled).permute(2, 0, 1).contiguous()


def _placed_poses(transforms: Transforms) -> tuple[Float[Tensor, "views 4 4"], Float[Tensor, "4 4"]]:
    """The poses in float64 with +Y up and near enough to the origin for float32, and the way there."""
    poses = torch.tensor([frame.camera_to_world for frame in transforms.frames], dtype=torch.float64)
    to_world = torch.eye(4, dtype=torch.float64)
    if transforms.source_to_world is not None:
        to_world = torch.tensor(transforms.source_to_world, dtype=torch.float64)
    # All splits share one world: the training views say where it is.
    placing = transforms.training if len(transforms.training) > 1 else transforms.frames
    offset = offset_to_remove(torch.tensor([frame.camera_to_world for frame in placing], dtype=torch.float64))
    if offset is not None:
        log.info("%s: far from the origin; its cameras are moved by (%.7g, %.7g, %.7g)", transforms.path, *-offset)
        nearer = torch.eye(4, dtype=torch.float64)
        nearer[:3, 3] = -offset
        poses, to_world = nearer @ poses, nearer @ to_world
    if transforms.up_axis == "z":
        log.info("%s: the world has +Z up; turned to +Y up, its -Y side to the front", transforms.path)
        poses, to_world = _Z_UP_TO_Y_UP @ poses, _Z_UP_TO_Y_UP @ to_world
    return poses, to_world


def _frame_size(transforms: Transforms, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Width and height that most pictures have, of equally common ones the larger; the others are scaled to it.

    Where a model made some, those of the largest: the few photos among them are not to lose what they show.
    """
    if any(frame.generated for frame in transforms.frames):
        return max(sizes, key=lambda size: (max(size), min(size)))
    counts = Counter(sizes)
    common = max(counts, key=lambda size: (counts[size], size[0] * size[1]))
    if len(counts) > 1:
        log.info(
            "%s: pictures of %d sizes; %d are scaled to the %dx%d of the others, and their cameras with them",
            *(transforms.path, len(counts), len(sizes) - counts[common], *common),
        )
    return common
