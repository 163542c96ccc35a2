"""What was dropped on the page, checked by its content and copied to a name of ours."""

import json
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from sv3dgen.app.run_queue import plain_name
from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError
from sv3dgen.views.image import open_image
from sv3dgen.views.precheck import check_video

MOST_FILE_BYTES = 512 * 2**20
MOST_FOLDER_BYTES = 2**30
MOST_FILES = 400
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".heic", ".heif")
# By PIL's names; what it does not open itself, and `open_image` does, is HEIC.
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "AVIF": ".avif", "TIFF": ".tif", "BMP": ".bmp"}
MOST_TOLD = 5  # names in one sentence


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


def keep_folder(uploaded: Sequence[Path], inputs: Path) -> tuple[Path, str]:
    """A copy of a folder's pictures and of its transforms.json, side by side, whatever folders they were in.

    Next to it a sentence about what was left out, empty where nothing was. A picture is what is called one, for the run
    to check, or has the content of one; the cameras are the file that ends in .json. Hidden files are neither.

    Raises InputError for too many or too large files, for two of one name, and where there are no pictures.
    """
    if len(uploaded) > MOST_FILES:
        raise InputError(f"{len(uploaded)} files; expected at most {MOST_FILES}")
    _check_bytes(Path("the folder"), sum(path.stat().st_size for path in uploaded), MOST_FOLDER_BYTES)
    shown = [path for path in uploaded if not path.name.startswith(".")]
    cameras = [path for path in shown if _suffix(path) == ".json"]
    named = {path: name for path in shown if path not in cameras and (name := _picture_name(path)) is not None}
    pictures, names = list(named), list(named.values())
    if not pictures:
        raise InputError("the folder holds no pictures; expected PNG, JPEG, WebP, AVIF, TIFF, BMP or HEIC")
    if len(cameras) > 1:
        raise InputError(f"the folder holds {len(cameras)} json files; expected one transforms.json, or none")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"two pictures are called {min(twice)}; expected different names, as in one folder")
    cameras_text = _side_by_side(cameras[0]) if cameras else None
    folder = own_folder(inputs) / plain_name(pictures[0].name)
    folder.mkdir()
    for path, name in zip(pictures, names, strict=True):
        shutil.copyfile(path, folder / name)
    if cameras_text is not None:
        (folder / "transforms.json").write_text(cameras_text, encoding="utf-8")
    return folder, _told_left_out([path.name for path in uploaded if path not in named and path not in cameras])


def _picture_name(path: Path) -> str | None:
    """What a picture is to be called; None for what is none."""
    if _suffix(path) in _PICTURES:
        return _safe(path.name)
    try:
        with open_image(path) as image:
            suffix = _SUFFIXES.get(image.format or "", ".heic" if image.format is None else None)
    except InputError:
        return None
    return None if suffix is None else _safe(path.name) + suffix


def _told_left_out(names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return f"Left out, since not pictures: {', '.join(names[:MOST_TOLD])}{more}"


def _side_by_side(path: Path) -> str:
    """transforms.json whose pictures lie next to it. What else may be wrong with it, the run says."""
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
        for frame in found["frames"]:
            for key in ("file_path", "mask_path", "normal_path"):
                if isinstance(frame.get(key), str):
                    frame[key] = _safe(frame[key].replace("\\", "/").rsplit("/", 1)[-1])
        return json.dumps(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name}: expected the JSON of posed views, with frames ({error})") from error


def _safe(name: str) -> str:
    """A picture's name without what hurts in a path; the same for the same name, so that cameras find it."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "_"


def _suffix(path: Path) -> str:
    return suffix if re.fullmatch(r"\.\w{1,5}", suffix := path.suffix.lower()) else ""


def _check_bytes(path: Path, size: int, most: int) -> None:
    if size > most:
        raise InputError(f"{path.name}: {size / 2**20:.0f} MB; expected at most {most / 2**20:.0f} MB")
