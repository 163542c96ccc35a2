"""Reading `transforms.json`: the project's own, nerfstudio's, instant-ngp's, NeuS2's, NeRF-synthetic's.

Standard library only: everything a file can get wrong is told here, before torch is imported. Matrices stay as the file
has them, but for the nearest rotation and for OpenGL's camera axes: camera-to-world, x right, y up; `up_axis` says
which world axis points up.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError
from sv3dgen.views.colmap_model import capture_of, is_model, model_document, model_in
from sv3dgen.views.frame_files import FrameFiles
from sv3dgen.views.json_values import has_shape, optional_number
from sv3dgen.views.lens import Lens, check_model, read_lens
from sv3dgen.views.other_captures import what_to_do_with
from sv3dgen.views.rigid import Matrix, nearest_rigid, why_not_rigid

Split = Literal["train", "test", "all"]

_SYNTHETIC_FILES = {"train": "transforms_train.json", "val": "transforms_val.json", "test": "transforms_test.json"}
_Z_UP_KEYS = ("applied_transform", "ply_file_path", "orientation_override", "aabb_scale")  # nerfstudio, instant-ngp
_MAX_JSON_BYTES = 64 << 20
_MAX_NAME = 1000
_MOST_POSES = 8  # of one picture that are compared
_SAME_POSE = 1e-5  # by how much numbers of one pose differ that was written twice
_LARGEST_MENDED = 0.05  # of a rotation's entries, that rounding or a scale may be off


@dataclass(frozen=True)
class Frame:
    """One view as the file tells it."""

    image: Path
    camera_to_world: Matrix
    lens: Lens
    split: str
    elevation_deg: float | None
    azimuth_deg: float | None
    mask: Path | None = None  # that becomes the picture's alpha
    missing_mask: str | None = None  # the name of the one that was expected
    mask_is_named: bool = False  # by the file; else it lies next to it, and serves where the picture has no alpha
    generated: bool = False  # made by a model, not taken by a camera
    trust: float = 1.0  # in [0, 1]; 0: not to be fitted


@dataclass(frozen=True)
class Transforms:
    """A whole file, restricted to one split."""

    path: Path
    frames: tuple[Frame, ...]
    up_axis: Literal["y", "z"]
    source_to_world: Matrix | None  # written by us, where the views were normalized before
    training: tuple[Frame, ...] = ()  # of all frames in the same files: they decide where the object is
    notes: tuple[str, ...] = ()  # what was fixed or guessed, a line each
    warnings: tuple[str, ...] = ()  # what a user should look at


def read_transforms(path: str | Path, split: Split = "train") -> Transforms:
    """Parse a folder's `transforms.json` (or NeRF-synthetic's three files), or the json file itself.

    Frames without `split` count as `train`. Raises InputError naming the file, the frame and what was expected.
    """
    path = Path(path)
    files = _json_files(path, split)
    readers = [_Reader(file, own_split) for file, own_split in files]
    every = [frame for reader in readers for frame in reader.frames]
    first = readers[0]
    frames, repeats, doubts = _each_once(first.path, [frame for frame in every if split in ("all", frame.split)])
    if not frames:
        raise InputError(f"{first.path}: no frame of split {split!r}")
    if len(frames) == 1 and split != "test":
        raise InputError(f"{first.path}: a single {split} view, expected at least 2 (21 in an SV3D orbit)")
    return Transforms(
        path=first.path,
        frames=tuple(frames),
        up_axis=_up_axis(first.path, first.document, frames, synthetic=files[0][1] is not None),
        source_to_world=_optional_matrix(first.path, first.document, "source_to_world"),
        training=tuple(_each_once(first.path, [frame for frame in every if frame.split == "train"])[0]),
        notes=(*(note for reader in readers for note in reader.notes()), *repeats),
        warnings=tuple(doubts),
    )


def _each_once(path: Path, frames: Sequence[Frame]) -> tuple[list[Frame], list[str], list[str]]:
    """The frames without those that stand there again, a line on these, and one on each picture of several poses.

    A mask that only the repeat has is taken over.
    """
    kept: list[Frame] = []
    by_picture: dict[Path, list[int]] = {}
    doubtful: dict[str, None] = {}
    for frame in frames:
        places = by_picture.setdefault(frame.image, [])
        same = next((at for at in places if _same_pose(kept[at].camera_to_world, frame.camera_to_world)), None)
        if same is not None:
            kept[same] = _with_better_mask(kept[same], frame)
            continue
        if places:
            doubtful[frame.image.name] = None
        if len(places) < _MOST_POSES:
            places.append(len(kept))
        kept.append(frame)
    left_out = len(frames) - len(kept)
    them = f"{left_out} frames name pictures that others have" if left_out > 1 else "1 frame names a picture of another"
    notes = [f"{path}: {them} with the same pose; left out"]
    told = [
        f"{path}: {name} stands in `frames` twice, with different poses; is one of them wrong?" for name in doubtful
    ]
    return kept, notes if left_out else [], told


def _with_better_mask(first: Frame, repeat: Frame) -> Frame:
    """The first of two frames of one picture and pose, with the repeat's mask where the file names only that."""

    def rank(frame: Frame) -> tuple[bool, bool]:
        return frame.mask is not None, frame.mask_is_named

    if rank(repeat) <= rank(first):
        return first
    named = repeat.mask_is_named
    return replace(first, mask=repeat.mask, missing_mask=repeat.missing_mask, mask_is_named=named)


def _same_pose(one: Matrix, other: Matrix) -> bool:
    pairs = ((a, b) for row, its in zip(one, other, strict=True) for a, b in zip(row, its, strict=True))
    return all(abs(a - b) <= _SAME_POSE * max(1, abs(a)) for a, b in pairs)


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
    model = None if found else model_in(path)
    if model is not None:
        if split not in ("train", "all"):
            raise InputError(f"{path}: a model of COLMAP, which has no split {split}; expected split=train or all")
        return [(model, None)]
    if not found:
        names = sorted(entry.name for entry in path.iterdir())
        listing = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        hint = what_to_do_with(path, names)
        raise InputError(f"{path}: no transforms.json in this folder (it has {listing or 'nothing in it'}){hint}")
    return found


def _load(path: Path) -> dict:
    if not path.is_file():
        raise InputError(f"{path}: a folder, expected a json file")
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise InputError(f"{path}: larger than {_MAX_JSON_BYTES >> 20} MB, expected camera poses only")
    try:
        document = parse_json(path.read_bytes())  # UTF-8 or UTF-16, as the first bytes tell
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid json, line {error.lineno}: {error.msg}") from None
    except (ValueError, OSError):
        raise InputError(f"{path}: not readable as json") from None
    if not isinstance(document, dict) or not isinstance(document.get("frames"), list):
        raise InputError(f"{path}: expected an object with a list `frames`")
    if not document["frames"]:
        raise InputError(f"{path}: `frames` is empty, expected at least 2 views")
    return document


class _Reader:
    """The frames of one file, and what had to be fixed or guessed to read them."""

    def __init__(self, path: Path, split: str | None) -> None:
        self.path, self.files = path, FrameFiles(capture_of(path))
        self.document = model_document(path) if is_model(path) else _load(path)
        self.fixed: list[float] = []  # how far off each fixed rotation was
        self.opencv = bool(self.document.get("from_na"))  # NeuS2's files have OpenCV's camera axes
        check_model(path, self.document)
        self.frames = [self._frame(index, entry, split) for index, entry in enumerate(self.document["frames"])]

    def notes(self) -> list[str]:
        notes = []
        if is_model(self.path):
            notes.append(f"{self.path.parent}: a model of COLMAP; cameras of {len(self.frames)} photos, turned upright")
        if self.fixed:
            notes.append(
                f"{self.path}: {len(self.fixed)} of {len(self.frames)} rotations are rounded or scaled, by up to "
                f"{max(self.fixed):.1%}; the nearest rotations are taken"
            )
        if self.files.elsewhere:
            named, found = self.files.elsewhere[0]
            notes.append(
                f"{self.path}: {len(self.files.elsewhere)} files are not where it says; found by the end of their "
                f"paths, {named} as {found}"
            )
        return notes

    def _frame(self, index: int, entry: Any, split: str | None) -> Frame:
        path = self.path
        if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str) or not entry["file_path"]:
            raise InputError(f"{path}: frames[{index}] has no `file_path`")
        where = f"{path}: frames[{index}]"
        mask_path = entry.get("mask_path")
        if mask_path is not None and (not isinstance(mask_path, str) or not mask_path):
            raise InputError(f"{where}: `mask_path` is {mask_path!r}, expected the name of a picture")
        for key, name in (("file_path", entry["file_path"]), ("mask_path", mask_path or "")):
            if len(name) > _MAX_NAME:
                raise InputError(f"{where}: `{key}` is longer than {_MAX_NAME} characters, no such file")
        where = f"{where} ({entry['file_path']})"
        check_model(where, entry)
        image = self.files.picture(entry["file_path"])
        mask, missing_mask = self.files.mask(image, mask_path)
        return Frame(
            image=image,
            camera_to_world=self._pose(where, entry),
            lens=read_lens(where, self.document, entry),
            split=split or _split_of(where, self.document, entry),
            elevation_deg=optional_number(where, entry, "elevation_deg"),
            azimuth_deg=optional_number(where, entry, "azimuth_deg"),
            mask=mask,
            missing_mask=missing_mask,
            mask_is_named=mask_path is not None,
            generated=_is_generated(where, entry),
            trust=_trust(where, entry),
        )

    def _pose(self, where: str, entry: Mapping[str, Any]) -> Matrix:
        if "transform_matrix" not in entry:
            raise InputError(f"{where} has no `transform_matrix`, expected 4 rows of 4 numbers (camera to world)")
        rows = entry["transform_matrix"]
        if not has_shape(rows, (3, 4), (4,)):
            raise InputError(f"{where}: `transform_matrix` is not 4 rows of 4 numbers")
        matrix = tuple(tuple(float(value) for value in row) for row in rows)
        if len(matrix) == 3:
            matrix += ((0.0, 0.0, 0.0, 1.0),)
        problem = why_not_rigid(matrix)
        if problem:
            nearest = nearest_rigid(matrix)
            if nearest is None or nearest[1] > _LARGEST_MENDED:
                raise InputError(f"{where}: `transform_matrix` {problem}")
            matrix, off = nearest
            self.fixed.append(off)
        return tuple((x, -y, -z, w) for x, y, z, w in matrix) if self.opencv else matrix


def _split_of(where: str, document: dict, entry: dict) -> str:
    split = entry.get("split")
    if split is None:  # nerfstudio's way
        named = {key: document.get(f"{key}_filenames") for key in ("train", "val", "test")}
        listed = [key for key, names in named.items() if isinstance(names, list) and entry["file_path"] in names]
        return listed[0] if listed else "train"
    if not isinstance(split, str):
        raise InputError(f"{where}: `split` is {split!r}, expected 'train' or 'test'")
    return split


def _is_generated(where: str, entry: dict) -> bool:
    source = entry.get("source", "photo")
    if source not in ("photo", "generated"):
        raise InputError(f"{where}: `source` is {source!r}, expected 'photo' or 'generated'")
    return source == "generated"


def _trust(where: str, entry: dict) -> float:
    trust = optional_number(where, entry, "trust")
    if trust is not None and not 0 <= trust <= 1:
        raise InputError(f"{where}: `trust` is {trust:g}, expected 0 (not to be fitted) to 1")
    return 1.0 if trust is None else trust


def _up_axis(path: Path, document: dict, frames: Sequence[Frame], synthetic: bool) -> Literal["y", "z"]:
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
    if not has_shape(rows, (4,), (4,)) or not all(math.isfinite(value) for row in rows for value in row):
        raise InputError(f"{path}: `{key}` is not 4 rows of 4 finite numbers")
    return tuple(tuple(float(value) for value in row) for row in rows)
