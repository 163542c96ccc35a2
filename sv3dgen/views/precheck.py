"""What can be wrong with given views, found before torch is imported: standard library and PIL only."""

import os
from pathlib import Path

from sv3dgen.errors import InputError
from sv3dgen.views.image import check_file, check_size, open_image
from sv3dgen.views.picture_formats import named_kind
from sv3dgen.views.transforms_json import Split
from sv3dgen.views.view_files import ViewFiles, open_views

# MP4 and its like, Matroska, AVI, Ogg, MPEG (program, elementary, transport), Flash, Windows Media, raw frames.
_VIDEO_STARTS = {
    4: (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"pnot", b"\x47@"),
    0: (
        *(b"\x1aE\xdf\xa3", b"RIFF", b"OggS", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"\x47@", b"FLV\x01"),
        *(b"\x30\x26\xb2\x75", b"YUV4MPEG2"),
    ),
}
_PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM")

# Between launch.py's look at the command line and the run lies Hydra, which hands on nothing but text.
_kept: tuple[Path, Split, ViewFiles] | None = None


def precheck_views(path: str | Path, split: Split = "train") -> ViewFiles | None:
    """Refuse in one line (InputError) views that can't be read: a folder, a transforms.json, or a video.

    Takes a fraction of a second. What needs the pictures and the cameras together is left to `pose_check`. What was
    parsed and decoded of a folder is given back, and kept for `taken_views`.
    """
    global _kept
    _kept, path = None, Path(path)
    if not os.path.exists(path):
        raise InputError(
            f"{path}: no such file or folder; expected a folder of posed views or plain photos, or a video"
        )
    if not holds_cameras(path):
        check_video(path)
        return None
    files = open_views(path, split)
    _kept = (path.absolute(), split, files)
    return files


def taken_views(path: Path, split: Split = "train") -> ViewFiles:
    """The folder or json file as `precheck_views` has just opened it, if it has and the file is the same; else anew."""
    global _kept
    kept, _kept = _kept, None
    if kept is not None and kept[:2] == (path.absolute(), split) and kept[2].is_current():
        return kept[2]
    return open_views(path, split)


def holds_cameras(path: Path) -> bool:
    """Whether this names posed views, not a video."""
    return path.is_dir() or path.suffix == ".json"


def check_video(path: Path) -> None:
    """Refuse what is neither a video nor an animation, by its first bytes."""
    check_file(path)
    if is_picture(path):
        check_animation(path)
    elif not any(_start(path)[offset:].startswith(marks) for offset, marks in _VIDEO_STARTS.items()):
        kind = named_kind(path)
        what = "" if kind is None else f" but {kind}"
        raise InputError(f"{path}: neither a folder with transforms.json nor a video (mp4, webm, avi, gif){what}")


def is_picture(path: Path) -> bool:
    """Whether PIL, not ffmpeg, is to read it: GIF, WebP, PNG and other pictures, animated or not."""
    start = _start(path)
    if start[4:12] in (b"ftypavif", b"ftypavis"):  # of which ffmpeg reads one picture alone
        return True
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
