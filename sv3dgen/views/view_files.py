"""Posed views as files: each json is parsed once and each picture decoded once, whoever asks first.

Standard library and PIL only, so that what is wrong with them is told before torch is imported.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import ImageChops

from sv3dgen.errors import InputError
from sv3dgen.parallel.cores import usable_cores
from sv3dgen.views.camera_check import check_cameras
from sv3dgen.views.colmap_model import capture_of, is_model
from sv3dgen.views.image import (
    OBJECT_ALPHA,
    MaskedImage,
    border_color,
    has_cutout,
    masked_image,
    open_image,
    read_rgba,
)
from sv3dgen.views.mask_file import read_mask
from sv3dgen.views.transforms_json import Frame, Split, Transforms, read_transforms

# Past this many pixels of one data set, pictures are only opened, not decoded; reading them finds the same faults.
_DECODED_PIXELS = 16_000_000
_Stamp = tuple[int, int]


@dataclass
class ViewFiles:
    """The parsed frames of a split, and the pictures that are decoded already."""

    transforms: Transforms
    sizes: tuple[tuple[int, int], ...]  # width and height of each picture
    decoded: dict[int, tuple[_Stamp, MaskedImage]]  # by the number of the frame
    stamp: _Stamp  # of the json file

    def __len__(self) -> int:
        return len(self.transforms.frames)

    def is_current(self) -> bool:
        """Whether the json file is still the one that was parsed."""
        return self.transforms.path.exists() and _stamp(self.transforms.path) == self.stamp

    def take(self, index: int) -> MaskedImage:
        """A frame's picture with its alpha; handed over, not kept, as large ones fill the memory."""
        frame = self.transforms.frames[index]
        stamp, picture = self.decoded.pop(index, (None, None))
        return picture if picture is not None and stamp == _stamp(frame.image) else _decoded(frame)

    def placing(self) -> "ViewFiles | None":
        """The training views of the same files: they decide where the object is. None where there are fewer than 2."""
        training = self.transforms.training
        try:
            if training:
                return _opened(replace(self.transforms, frames=training)) if len(training) > 1 else None
            return _opened(read_transforms(self.transforms.path.parent, "train"))  # another of NeRF-synthetic's files
        except InputError:
            return None


def open_views(path: Path, split: Split = "train") -> ViewFiles:
    """Parse a folder or json file, look at every picture's size, and decode pictures up to a bound.

    InputError names what is missing, damaged, or does not belong together.
    """
    transforms = read_transforms(path, split)
    check_cameras(transforms.frames)
    files = _opened(transforms)
    width, height = files.sizes[0]
    first = range(min(len(files), max(1, _DECODED_PIXELS // (width * height))))
    with ThreadPoolExecutor(usable_cores()) as pool:  # PIL decodes outside the interpreter lock
        for index, picture in zip(first, pool.map(lambda k: _cut_out(files.transforms, k), first), strict=True):
            files.decoded[index] = _stamp(files.transforms.frames[index].image), picture
    return files


def _opened(transforms: Transforms) -> ViewFiles:
    sizes = []
    for frame in transforms.frames:
        with open_image(frame.image) as image:
            sizes.append(image.size)
        _check_lens_size(frame, image.size)
    _check_sizes(transforms.frames, sizes)
    return ViewFiles(transforms, tuple(sizes), {}, _stamp(transforms.path))


def _cut_out(transforms: Transforms, index: int) -> MaskedImage:
    """A frame's picture with its alpha; of a capture that comes without masks, a refusal says where they belong."""
    frame = transforms.frames[index]
    try:
        return _decoded(frame)
    except InputError as error:
        if not is_model(transforms.path) or frame.mask is not None:
            raise
        place, photos = capture_of(transforms.path) / "masks", frame.image.parent
        raise InputError(
            f"{error}; masks belong in {place}, and python -m sv3dgen.pose {photos} --out FOLDER makes them"
        ) from None


def _decoded(frame: Frame) -> MaskedImage:
    image, where, full = read_rgba(frame.image), frame.image, False
    if frame.mask is not None and (frame.mask_is_named or not has_cutout(image, frame.image)):
        mask, where = read_mask(frame.mask, image.size, frame.image), frame.mask
        full = mask.getextrema()[0] > 255 - OBJECT_ALPHA
        # Where the picture has an alpha of its own, both have to see the object.
        image.putalpha(ImageChops.darker(image.getchannel("A"), mask))
    try:
        return masked_image(image, where)
    except InputError as error:
        if full and border_color(image) is None:
            raise InputError(
                f"{where}: a mask without background (all of it is object), and {frame.image.name} has no plain one"
            ) from None
        if frame.missing_mask is None:
            raise
        raise InputError(f"{error}; its mask {frame.missing_mask} is missing") from None


def _check_sizes(frames: Sequence[Frame], sizes: Sequence[tuple[int, int]]) -> None:
    """Refuse pictures of several sizes where nothing says which of these the intrinsics are for."""
    for frame, size in zip(frames, sizes, strict=True):
        if size != sizes[0] and not frame.lens.fits_any_size:
            raise InputError(
                f"{frame.image}: {size[0]}x{size[1]} pixels, {frames[0].image.name} has {sizes[0][0]}x{sizes[0][1]}; "
                "expected `w` and `h` next to `fl_x`, to tell for which of these it is"
            )


def _check_lens_size(frame: Frame, size: tuple[int, int]) -> None:
    """Refuse an image whose aspect differs from the `w` and `h` that its intrinsics are given for."""
    width, height = frame.lens.width_px or size[0], frame.lens.height_px or size[1]
    # One pixel of rounding is what scaling a data set down leaves.
    if abs(width * size[1] - height * size[0]) > max(width, height):
        raise InputError(
            f"{frame.image}: {size[0]}x{size[1]} pixels, but its camera is given for {width}x{height} (w, h)"
        )


def _stamp(path: Path) -> _Stamp:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size
