"""Reading `transforms.json`: the project's own, nerfstudio's, instant-ngp's, NeRF-synthetic's. Standard library only.

Everything a file can get wrong is told here, before torch is imported. Matrices stay as the file has them:
camera-to-world, OpenGL camera axes; `up_axis` says which world axis points up.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sv3dgen.errors import InputError

Split = Literal["train", "test", "all"]
Matrix = tuple[tuple[float, ...], ...]

_SYNTHETIC_FILES = {"train": "transforms_train.json", "val": "transforms_val.json", "test": "transforms_test.json"}
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")  # tried where `file_path` has none, as in NeRF-synthetic files
_Z_UP_KEYS = ("applied_transform", "ply_file_path", "orientation_override", "aabb_scale")  # nerfstudio, instant-ngp
_PINHOLE_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE")
_DISTORTION_KEYS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_MAX_JSON_BYTES = 64 << 20
_MAX_NAME = 1000
_RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Lens:
    """Pinhole intrinsics in pixels of a `width_px` x `height_px` frame; None there means the image's own size."""

    focal_px: tuple[float, float] | None
    angle_rad: tuple[float, float | None] | None  # horizontal and vertical field of view, where focal_px is None
    center_px: tuple[float, float] | None
    width_px: int | None
    height_px: int | None

    def at_size(self, width_px: int, height_px: int) -> tuple[float, float, float, float]:
        """fl_x, fl_y, cx, cy for an image of this size; the lens' own size must have the same aspect."""
        own_width, own_height = self.width_px or width_px, self.height_px or height_px
        scale_x, scale_y = width_px / own_width, height_px / own_height
        center = self.center_px or (own_width / 2, own_height / 2)
        if self.focal_px is not None:
            focal = self.focal_px
        else:
            assert self.angle_rad is not None
            focal_x = own_width / 2 / math.tan(self.angle_rad[0] / 2)
            angle_y = self.angle_rad[1]
            focal = (focal_x, own_height / 2 / math.tan(angle_y / 2) if angle_y else focal_x)
        return focal[0] * scale_x, focal[1] * scale_y, center[0] * scale_x, center[1] * scale_y


@dataclass(frozen=True)
class Frame:
    """One view as the file tells it."""

    image: Path
    camera_to_world: Matrix
    lens: Lens
    split: str
    elevation_deg: float | None
    azimuth_deg: float | None


@dataclass(frozen=True)
class Transforms:
    """A whole file, restricted to one split."""

    path: Path
    frames: tuple[Frame, ...]
    up_axis: Literal["y", "z"]
    source_to_world: Matrix | None  # written by us, where the views were normalised before


def read_transforms(path: str | Path, split: Split = "train") -> Transforms:
    """Parse a folder's `transforms.json` (or NeRF-synthetic's three files), or the json file itself.

    Frames without `split` count as `train`. Raises InputError naming the file, the frame and what was expected.
    """
    path = Path(path)
    files = _json_files(path, split)
    parsed = [(file, own_split, _load(file)) for file, own_split in files]
    frames = [
        frame
        for file, own_split, document in parsed
        for frame in _frames(file, document, own_split)
        if split in ("all", frame.split)
    ]
    first, _, document = parsed[0]
    if not frames:
        raise InputError(f"{first}: no frame of split {split!r}")
    if len(frames) == 1 and split != "test":
        raise InputError(f"{first}: a single {split} view, expected at least 2 (21 in an SV3D orbit)")
    up_axis = _up_axis(first, document, frames, synthetic=files[0][1] is not None)
    return Transforms(first, tuple(frames), up_axis, _optional_matrix(first, document, "source_to_world"))


def why_not_rigid(matrix: Sequence[Sequence[float]]) -> str | None:
    """What keeps a 4x4 matrix from being a rotation and a translation, in words; None if nothing does."""
    if not all(math.isfinite(value) for row in matrix for value in row):
        return "has values that are not finite"
    if any(abs(a - b) > _RIGID_TOLERANCE for a, b in zip(matrix[3], (0, 0, 0, 1), strict=True)):
        return "has a last row other than 0 0 0 1 (is it transposed?)"
    x, y, z = ([matrix[row][column] for row in range(3)] for column in range(3))
    determinant = sum(a * b for a, b in zip(_cross(x, y), z, strict=True))
    lengths = [math.hypot(*axis) for axis in (x, y, z)]
    if determinant < 0:
        return "is left-handed (determinant below 0); negate one of its first three columns"
    if any(abs(length - 1) > _RIGID_TOLERANCE for length in lengths):
        return f"is scaled (its axes have lengths {lengths[0]:.3g}, {lengths[1]:.3g}, {lengths[2]:.3g}, expected 1)"
    if abs(determinant - 1) > _RIGID_TOLERANCE:
        return "is sheared (its axes are not at right angles)"
    return None


def _json_files(path: Path, split: Split) -> list[tuple[Path, str | None]]:
    """The files to read, each with the split that its name says (None for transforms.json)."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_file():
        synthetic = {name: key for key, name in _SYNTHETIC_FILES.items()}
        return [(path, synthetic.get(path.name))]
    if (path / "transforms.json").exists():
        return [(path / "transforms.json", None)]
    wanted = _SYNTHETIC_FILES if split == "all" else {split: _SYNTHETIC_FILES[split]}
    found: list[tuple[Path, str | None]] = [
        (path / name, key) for key, name in wanted.items() if (path / name).exists()
    ]
    if not found:
        names = sorted(entry.name for entry in path.iterdir())
        listing = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        raise InputError(f"{path}: no transforms.json in this folder (it has {listing or 'nothing in it'})")
    return found


def _load(path: Path) -> dict:
    if not path.is_file():
        raise InputError(f"{path}: a folder, expected a json file")
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise InputError(f"{path}: larger than {_MAX_JSON_BYTES >> 20} MB, expected camera poses only")
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid json, line {error.lineno}: {error.msg}") from None
    except (UnicodeDecodeError, RecursionError, ValueError, OSError):
        raise InputError(f"{path}: not readable as json") from None
    if not isinstance(document, dict) or not isinstance(document.get("frames"), list):
        raise InputError(f"{path}: expected an object with a list `frames`")
    if not document["frames"]:
        raise InputError(f"{path}: `frames` is empty, expected at least 2 views")
    return document


def _frames(path: Path, document: dict, split: str | None) -> list[Frame]:
    _check_pinhole(path, document)
    frames = []
    for index, entry in enumerate(document["frames"]):
        if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str) or not entry["file_path"]:
            raise InputError(f"{path}: frames[{index}] has no `file_path`")
        if len(entry["file_path"]) > _MAX_NAME:
            raise InputError(
                f"{path}: frames[{index}]: `file_path` is longer than {_MAX_NAME} characters, no such file"
            )
        where = f"{path}: frames[{index}] ({entry['file_path']})"
        _check_pinhole(where, entry)
        frames.append(
            Frame(
                image=_image_path(path.parent, entry["file_path"]),
                camera_to_world=_pose(where, entry),
                lens=_lens(where, document, entry),
                split=split or _split_of(where, document, entry),
                elevation_deg=_optional_number(where, entry, "elevation_deg"),
                azimuth_deg=_optional_number(where, entry, "azimuth_deg"),
            )
        )
    return frames


def _split_of(where: str, document: dict, entry: dict) -> str:
    split = entry.get("split")
    if split is None:  # nerfstudio's way
        named = {key: document.get(f"{key}_filenames") for key in ("train", "val", "test")}
        listed = [key for key, names in named.items() if isinstance(names, list) and entry["file_path"] in names]
        return listed[0] if listed else "train"
    if not isinstance(split, str):
        raise InputError(f"{where}: `split` is {split!r}, expected 'train' or 'test'")
    return split


def _image_path(folder: Path, file_path: str) -> Path:
    candidates = [file_path, *(file_path + suffix for suffix in _SUFFIXES), file_path.replace("\\", "/")]
    # os.path rather than Path: it answers False, not an exception, for names that no file can have.
    return next((folder / name for name in candidates if os.path.exists(folder / name)), folder / file_path)


def _pose(where: str, entry: dict) -> Matrix:
    if "transform_matrix" not in entry:
        raise InputError(f"{where} has no `transform_matrix`, expected 4 rows of 4 numbers (camera to world)")
    rows = entry["transform_matrix"]
    if not _has_shape(rows, (3, 4), 4):
        raise InputError(f"{where}: `transform_matrix` is not 4 rows of 4 numbers")
    matrix = tuple(tuple(float(value) for value in row) for row in rows)
    if len(matrix) == 3:
        matrix += ((0.0, 0.0, 0.0, 1.0),)
    problem = why_not_rigid(matrix)
    if problem:
        raise InputError(f"{where}: `transform_matrix` {problem}")
    return matrix


def _lens(where: str, document: dict, entry: dict) -> Lens:
    both = {**document, **{key: entry[key] for key in entry if key in _LENS_KEYS}}
    number = {key: _optional_number(where, both, key) for key in _LENS_KEYS}
    for key in ("fl_x", "fl_y", "w", "h", "camera_angle_x", "camera_angle_y"):
        value = number[key]
        if value is not None and not value > 0:
            raise InputError(f"{where}: `{key}` is {value:g}, expected more than 0")
        if value is not None and "angle" in key and value >= math.pi:
            raise InputError(f"{where}: `{key}` is {value:g}, expected radians below pi (is it in degrees?)")
    if number["fl_x"] is None and number["camera_angle_x"] is None:
        raise InputError(f"{where} has no field of view, expected `camera_angle_x` (radians) or `fl_x` (pixels)")
    fl_x, angle_x = number["fl_x"], number["camera_angle_x"]
    center = None if number["cx"] is None or number["cy"] is None else (number["cx"], number["cy"])
    return Lens(
        focal_px=None if fl_x is None else (fl_x, number["fl_y"] or fl_x),
        angle_rad=None if angle_x is None else (angle_x, number["camera_angle_y"]),
        center_px=center,
        width_px=None if number["w"] is None else round(number["w"]),
        height_px=None if number["h"] is None else round(number["h"]),
    )


_LENS_KEYS = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y")


def _check_pinhole(where: Path | str, entry: dict) -> None:
    model = entry.get("camera_model", "OPENCV")
    if model not in _PINHOLE_MODELS or entry.get("is_fisheye"):
        raise InputError(f"{where}: `camera_model` {model!r} is not a pinhole; undistort the images first")
    for key in _DISTORTION_KEYS:
        if _optional_number(where, entry, key):
            raise InputError(f"{where}: lens distortion `{key}`={entry[key]:g}, expected 0; undistort the images first")


def _up_axis(path: Path, document: dict, frames: list[Frame], synthetic: bool) -> Literal["y", "z"]:
    """The key `up_axis` if there; else by the file's kind; else by where the cameras' own up axes point on average."""
    if "up_axis" in document:
        if document["up_axis"] not in ("y", "z"):
            raise InputError(f"{path}: `up_axis` is {document['up_axis']!r}, expected 'y' or 'z'")
        return document["up_axis"]
    if synthetic or any(key in document for key in _Z_UP_KEYS):
        return "z"
    up_y, up_z = (sum(frame.camera_to_world[row][1] for frame in frames) for row in (1, 2))
    return "z" if up_z > 2 * abs(up_y) else "y"


def _optional_matrix(path: Path, document: dict, key: str) -> Matrix | None:
    rows = document.get(key)
    if rows is None:
        return None
    if not _has_shape(rows, (4,), 4) or not all(math.isfinite(value) for row in rows for value in row):
        raise InputError(f"{path}: `{key}` is not 4 rows of 4 finite numbers")
    return tuple(tuple(float(value) for value in row) for row in rows)


def _optional_number(where: Path | str, entry: dict, key: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if not _is_number(value) or not math.isfinite(value):
        raise InputError(f"{where}: `{key}` is {value!r}, expected a finite number")
    return float(value)


def _has_shape(rows: object, row_counts: tuple[int, ...], columns: int) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) in row_counts
        and all(isinstance(row, list) and len(row) == columns and all(map(_is_number, row)) for row in rows)
    )


def _is_number(value: object) -> bool:
    # The bound is for integers too long for a float.
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e300)


def _cross(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
