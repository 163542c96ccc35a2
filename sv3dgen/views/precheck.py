"""What can be wrong with given views, found before torch is imported: standard library and PIL only."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sv3dgen.errors import InputError
from sv3dgen.views.image import check_file, check_size, open_image, read_rgba, with_alpha
from sv3dgen.views.transforms_json import Frame, Split, read_transforms

# Past this many pixels of one data set, images are only opened, not decoded; reading them later finds the same faults.
_DECODED_PIXELS = 16_000_000
_VIDEO_STARTS = {4: (b"ftyp", b"moov", b"mdat", b"free"), 0: (b"\x1aE\xdf\xa3", b"RIFF", b"OggS", b"\x00\x00\x01\xba")}
_PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM")


def precheck_views(path: str | Path, split: Split = "train") -> None:
    """Refuse in one line (InputError) views that can't be read: a folder, a transforms.json, or a video.

    Takes a fraction of a second. What needs the pictures and the cameras together is left to `pose_check`.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise InputError(
            f"{path}: no such file or folder; expected posed views (a folder with transforms.json) or a video"
        )
    if path.is_dir() or path.suffix == ".json":
        check_frames(read_transforms(path, split).frames)
    else:
        check_video(path)


def check_frames(frames: tuple[Frame, ...]) -> None:
    """All images are there, of one size, that of the cameras; a bounded number of them decode and show something."""
    sizes = []
    for frame in frames:
        with open_image(frame.image) as image:
            sizes.append(image.size)
        check_same_size(frames[0].image, sizes[0], frame.image, image.size)
        check_lens_size(frame, image.size)
    decoded = frames[: max(1, _DECODED_PIXELS // (sizes[0][0] * sizes[0][1]))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # PIL decodes outside the interpreter lock
        for _ in pool.map(lambda frame: with_alpha(read_rgba(frame.image), frame.image), decoded):
            pass


def check_same_size(first: Path, first_size: tuple[int, int], path: Path, size: tuple[int, int]) -> None:
    """Refuse a frame that differs in size from the first one."""
    if size != first_size:
        raise InputError(
            f"{path}: {size[0]}x{size[1]} pixels, expected {first_size[0]}x{first_size[1]} as in {first.name}"
        )


def check_lens_size(frame: Frame, size: tuple[int, int]) -> None:
    """Refuse an image whose aspect differs from the `w` and `h` that its intrinsics are given for."""
    width, height = frame.lens.width_px or size[0], frame.lens.height_px or size[1]
    # One pixel of rounding is what scaling a data set down leaves.
    if abs(width * size[1] - height * size[0]) > max(width, height):
        raise InputError(
            f"{frame.image}: {size[0]}x{size[1]} pixels, but its camera is given for {width}x{height} (w, h)"
        )


def check_video(path: Path) -> None:
    """Refuse what is neither a video nor an animation, by its first bytes."""
    check_file(path)
    if is_picture(path):
        check_animation(path)
    elif not any(_start(path)[offset:].startswith(marks) for offset, marks in _VIDEO_STARTS.items()):
        raise InputError(f"{path}: neither a folder with transforms.json nor a video (mp4, webm, avi, gif)")


def is_picture(path: Path) -> bool:
    """Whether PIL, not ffmpeg, is to read it: GIF, WebP, PNG and other pictures, animated or not."""
    start = _start(path)
    return start.startswith(_PICTURE_STARTS) or (start.startswith(b"RIFF") and start[8:12] == b"WEBP")


def check_animation(path: Path) -> None:
    """Refuse a still picture where an orbit is expected."""
    with open_image(path) as image:
        check_size(path, image.size)
        frames = getattr(image, "n_frames", 1)
    if frames < 2:
        raise InputError(
            f"{path}: a single picture; expected a folder with transforms.json or a video (use image= for a photo)"
        )


def precheck_left_normals(folder: Path, *, sweeping: bool) -> None:
    """Raise InputError where a run, or one of a sweep's, will make views where normals of others lie.

    They go by the views' numbers, so another object's would be taken for theirs.
    """
    for left in folder.glob("*/views/normals" if sweeping else "views/normals"):
        raise InputError(
            f"{left}: normals of an earlier run's views, which this one makes anew; expected another "
            f"hydra.{'sweep' if sweeping else 'run'}.dir, or views={left.parent} to use them both"
        )


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)
