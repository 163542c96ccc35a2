"""What was dropped on the page, checked by its content and copied to a name of ours."""

import json
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from sv3dgen.app.run_queue import plain_name
from sv3dgen.errors import InputError
from sv3dgen.views.precheck import check_video

MOST_FILE_BYTES = 512 * 2**20
MOST_FOLDER_BYTES = 2**30
MOST_FILES = 400
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".heic", ".heif")


def own_folder(inputs: Path) -> Path:
    """A new folder for what one run is given."""
    folder = inputs / secrets.token_hex(8)
    folder.mkdir(parents=True)
    return folder


def keep_photo(cutout: Image.Image, name: str, inputs: Path) -> Path:
    """The cut-out photo as a run reads it."""
    path = own_folder(inputs) / f"{plain_name(name)}.png"
    cutout.save(path)
    return path


def keep_film(uploaded: Path, inputs: Path) -> Path:
    """A copy of a film. Raises InputError for what is none."""
    _check_bytes(uploaded, uploaded.stat().st_size, MOST_FILE_BYTES)
    try:
        check_video(uploaded)
    except InputError as error:
        raise InputError(str(error).replace(str(uploaded), uploaded.name)) from None
    path = own_folder(inputs) / f"{plain_name(uploaded.name)}{_suffix(uploaded)}"
    shutil.copyfile(uploaded, path)
    return path


def keep_folder(uploaded: Sequence[Path], inputs: Path) -> Path:
    """A copy of a folder's pictures and of its transforms.json, side by side, whatever folders they were in.

    Raises InputError for too many or too large files, for two of one name, and where there are no pictures.
    """
    if len(uploaded) > MOST_FILES:
        raise InputError(f"{len(uploaded)} files; expected at most {MOST_FILES}")
    _check_bytes(Path("the folder"), sum(path.stat().st_size for path in uploaded), MOST_FOLDER_BYTES)
    pictures = [path for path in uploaded if _suffix(path) in _PICTURES]
    cameras = [path for path in uploaded if _suffix(path) == ".json"]
    if not pictures:
        raise InputError("the folder holds no pictures; expected PNG, JPEG, WebP, AVIF, TIFF, BMP or HEIC")
    if len(cameras) > 1:
        raise InputError(f"the folder holds {len(cameras)} json files; expected one transforms.json, or none")
    names = [_safe(path.name) for path in pictures]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"two pictures are called {min(twice)}; expected different names, as in one folder")
    folder = own_folder(inputs) / plain_name(_common_name(uploaded))
    folder.mkdir()
    for path, name in zip(pictures, names, strict=True):
        shutil.copyfile(path, folder / name)
    if cameras:
        (folder / "transforms.json").write_text(json.dumps(_side_by_side(cameras[0])), encoding="utf-8")
    return folder


def _side_by_side(path: Path) -> Any:
    """transforms.json whose pictures lie next to it. What else may be wrong with it, the run says."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for frame in found["frames"]:
            for key in ("file_path", "mask_path", "normal_path"):
                if isinstance(frame.get(key), str):
                    frame[key] = _safe(frame[key].replace("\\", "/").rsplit("/", 1)[-1])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name}: expected the JSON of posed views, with frames ({error})") from error
    return found


def _common_name(uploaded: Sequence[Path]) -> str:
    return next((path.stem for path in uploaded if _suffix(path) in _PICTURES), "views")


def _safe(name: str) -> str:
    """A picture's name without what hurts in a path; the same for the same name, so that cameras find it."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "_"


def _suffix(path: Path) -> str:
    return suffix if re.fullmatch(r"\.\w{1,5}", suffix := path.suffix.lower()) else ""


def _check_bytes(path: Path, size: int, most: int) -> None:
    if size > most:
        raise InputError(f"{path.name}: {size / 2**20:.0f} MB; expected at most {most / 2**20:.0f} MB")
