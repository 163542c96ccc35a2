"""What was dropped on the page, checked by its content and copied to a name of ours."""

import json
import os
import posixpath
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath

from PIL import Image

from sv3dgen.app.run_queue import plain_name
from sv3dgen.app.zipped import unzipped
from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError
from sv3dgen.views.image import open_image
from sv3dgen.views.picture_formats import SUFFIXES
from sv3dgen.views.precheck import check_video

MOST_FILE_BYTES = 512 * 2**20
MOST_FOLDER_BYTES = 2**30
MOST_FILES = 400
_MOST_CAMERAS_BYTES = 2**24  # of transforms.json
_MOST_FRAMES = 25 * MOST_FILES
_MOST_FOLDERS = 32  # one in another
_MOST_NAME_BYTES, _MOST_PATH_BYTES = 240, 1024  # file systems take 255 a name
_PICTURES = (*SUFFIXES, ".heic", ".heif")
# By PIL's names; what it does not open itself, and `open_image` does, is HEIC.
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp", "AVIF": ".avif", "TIFF": ".tif"}
_SUFFIXES |= {"BMP": ".bmp", "JPEG2000": ".jp2", "PPM": ".ppm"}
MOST_TOLD = 5  # names in one sentence
_NO_PHOTOS = ("mask", "depth", "normal")  # how folders of other pictures begin


def own_folder(inputs: Path) -> Path:
    """A new folder for what one run is given."""
    folder = inputs / secrets.token_hex(8)
    folder.mkdir(parents=True)
    return folder


@contextmanager
def _filled_folder(inputs: Path) -> Iterator[Path]:
    """One that is gone again where it can't be filled."""
    folder = own_folder(inputs)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def keep_photo(cutout: Image.Image, name: str, inputs: Path) -> Path:
    """The cut-out photo as a run reads it."""
    with _filled_folder(inputs) as folder:
        path = folder / f"{plain_name(name)}.png"
        cutout.save(path)
    return path


def keep_film(uploaded: Path, inputs: Path) -> Path:
    """A copy of a film. Raises InputError for what is none."""
    _check_bytes(uploaded, uploaded.stat().st_size, MOST_FILE_BYTES)
    try:
        check_video(uploaded)
    except InputError as error:
        raise InputError(str(error).replace(str(uploaded), uploaded.name)) from None
    with _filled_folder(inputs) as folder:
        path = folder / f"{plain_name(uploaded.name)}{_suffix(uploaded)}"
        shutil.copyfile(uploaded, path)
    return path


def keep_folder(uploaded: Sequence[Path], inputs: Path) -> tuple[Path, str]:
    """A copy of a folder's pictures and of its transforms.json. A browser's upload has the files' names alone, so that
    they lie side by side, and cameras find them by name.

    Next to it a sentence about what was left out, empty where nothing was. A picture is what is called one, for the run
    to check, or has the content of one; the cameras are the file that ends in .json. Hidden files are neither.

    Raises InputError for too many or too large files, for two of one name, and where there are no pictures.
    """
    if len(uploaded) > MOST_FILES:
        raise InputError(f"{len(uploaded)} files; expected at most {MOST_FILES}")
    _check_bytes(Path("the folder"), sum(path.stat().st_size for path in uploaded), MOST_FOLDER_BYTES)
    given: dict[PurePosixPath, Path] = {}
    left_out = []
    for path in uploaded:
        name = PurePosixPath(path.name)
        counts = _suffix(name) == ".json" or _picture_name(name, path) is not None
        if name.name.startswith(".") or (name in given and not counts):
            left_out.append(path.name)
        elif name in given:
            raise InputError(
                f"two files are called {name}, and a browser does not say which folder each lies in; expected "
                "different names, or the folder packed as a .zip"
            )
        else:
            given[name] = path
    return _kept(given, left_out, inputs, None)


def keep_zip(uploaded: Path, inputs: Path) -> tuple[Path, str]:
    """As of a folder, out of a .zip of one: folders in it are kept, so that names may be the same in two of them."""
    _check_bytes(uploaded, uploaded.stat().st_size, MOST_FILE_BYTES)
    inputs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=inputs, prefix=".zip-") as folder:
        given = unzipped(uploaded, Path(folder), most_files=MOST_FILES, most_bytes=MOST_FOLDER_BYTES)
        return _kept(given, [], inputs, uploaded.name)


def _kept(given: dict[PurePosixPath, Path], hidden: list[str], inputs: Path, called: str | None) -> tuple[Path, str]:
    """The pictures among files by their paths, and the cameras, in a new folder, called like the first of them if no
    name is given."""
    cameras = _cameras(given)
    named = {path: name for path, file in given.items() if path != cameras and (name := _picture_name(path, file))}
    if not named:
        raise InputError(
            "the folder holds no pictures; expected PNG, JPEG, JPEG 2000, WebP, AVIF, TIFF, BMP, PPM, TGA or HEIC"
        )
    if cameras is None:
        named = _of_one_folder(named)
    places = {path: _place(path.parent) / name for path, name in named.items()}
    lowered = [str(place).casefold() for place in places.values()]
    if twice := [place for place in places.values() if lowered.count(str(place).casefold()) > 1]:
        raise InputError(f"two pictures are called {twice[0]}; expected different names")
    above = [place.parent.parts for place in (*places.values(), *([] if cameras is None else [_place(cameras)]))]
    shared = next(
        (depth for depth, parts in enumerate(zip(*above, strict=False)) if len(set(parts)) > 1), min(map(len, above))
    )
    text = None if cameras is None else _with_places(cameras, given[cameras], places, shared)
    targets = {path: PurePosixPath(*place.parts[shared:]) for path, place in places.items()}
    _check_places([*targets.values(), *([] if text is None else [PurePosixPath("transforms.json")])])
    with _filled_folder(inputs) as own:
        folder = own / plain_name(called or next(iter(places.values())).name)
        for path, target in targets.items():
            copy = folder / target
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(given[path], copy)
        if text is not None:
            (folder / "transforms.json").write_text(text, encoding="utf-8")
    return folder, _told_left_out([*(str(path) for path in given if path not in named and path != cameras), *hidden])


def _check_places(files: Sequence[PurePosixPath]) -> None:
    """Raise InputError for what no file system takes."""
    taken = {str(file).casefold() for file in files}
    for file in files:
        longest, whole = max(len(os.fsencode(part)) for part in file.parts), len(os.fsencode(str(file)))
        if len(file.parts) > _MOST_FOLDERS or longest > _MOST_NAME_BYTES or whole > _MOST_PATH_BYTES:
            raise InputError(
                f"{file.name[:40]}: expected a name of at most {_MOST_NAME_BYTES} bytes, in at most {_MOST_FOLDERS} "
                f"folders, a path of {_MOST_PATH_BYTES} bytes"
            )
        if both := [folder for folder in file.parents if str(folder).casefold() in taken]:
            raise InputError(f"{both[0]}: a file and a folder; expected different names")


def _cameras(given: Iterable[PurePosixPath]) -> PurePosixPath | None:
    """The file with the cameras: the only .json, or the only one that is called transforms.json."""
    found = [path for path in given if _suffix(path) == ".json"]
    usual = [path for path in found if path.name.lower() == "transforms.json"]
    if len(usual or found) > 1:
        raise InputError(f"the folder holds {len(found)} json files; expected one transforms.json, or none")
    return (usual or found or [None])[0]


def _of_one_folder(named: dict[PurePosixPath, str]) -> dict[PurePosixPath, str]:
    """Pictures without cameras: those of one folder, masks and the like left out."""
    photos = {
        path: name for path, name in named.items() if not path.parent.name.lower().startswith(_NO_PHOTOS)
    } or named
    folders = sorted({str(path.parent) for path in photos})
    if len(folders) > 1:
        told = ", ".join(folders[:MOST_TOLD])
        raise InputError(f"pictures in {len(folders)} folders ({told}); expected those of one, or a transforms.json")
    return photos


def _picture_name(path: PurePosixPath, file: Path) -> str | None:
    """What a picture is to be called; None for what is none."""
    if _suffix(path) in _PICTURES:
        return _safe(path.name)
    try:
        with open_image(file) as image:
            suffix = _SUFFIXES.get(image.format or "", ".heic" if image.format is None else None)
    except InputError:
        return None
    return None if suffix is None else _safe(path.name) + suffix


def _told_left_out(names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return f"Left out, as no pictures of the object: {', '.join(names[:MOST_TOLD])}{more}"


def _with_places(path: PurePosixPath, file: Path, places: dict[PurePosixPath, PurePosixPath], shared: int) -> str:
    """transforms.json that names pictures where they lie now. What else may be wrong with it, the run says.

    A name stands for the file of that path, else for the only one of that name; no path leads out of the folder.
    """
    # Files of synthetic scenes name pictures without their suffixes.
    known = {*places.values(), *(place.with_suffix("") for place in places.values())}
    by_name: dict[str, list[PurePosixPath]] = {}
    for place in known:
        by_name.setdefault(place.name, []).append(place)

    def place_of(named: str) -> str:
        if len(named) > _MOST_PATH_BYTES:
            raise ValueError(f"a path of {len(named)} letters, expected at most {_MOST_PATH_BYTES}")
        parts = [part if part == ".." else _safe(part) for part in re.split(r"[/\\]", named) if part not in ("", ".")]
        inner = [part for part in parts if part != ".."]
        stated = PurePosixPath(posixpath.normpath("/".join([*_place(path.parent).parts, *parts])))
        if stated in known:
            return "/".join(stated.parts[shared:])
        if inner and len(called := by_name.get(inner[-1], [])) == 1:
            return "/".join(called[0].parts[shared:])
        return "/".join(inner) or "_"

    _check_bytes(Path(path.name), file.stat().st_size, _MOST_CAMERAS_BYTES)
    try:
        found = parse_json(file.read_bytes())
        if len(found["frames"]) > _MOST_FRAMES:
            raise ValueError(f"{len(found['frames'])} of them, expected at most {_MOST_FRAMES}")
        for frame in found["frames"]:
            for key in ("file_path", "mask_path", "normal_path"):
                if isinstance(frame.get(key), str):
                    frame[key] = place_of(frame[key])
        return json.dumps(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name}: expected the JSON of posed views, with frames ({error})") from error


def _place(path: PurePosixPath) -> PurePosixPath:
    return PurePosixPath(*map(_safe, path.parts))


def _safe(name: str) -> str:
    """A picture's name without what hurts in a path; the same for the same name, so that cameras find it."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "_"


def _suffix(path: PurePath) -> str:
    return suffix if re.fullmatch(r"\.\w{1,5}", suffix := path.suffix.lower()) else ""


def _check_bytes(path: Path, size: int, most: int) -> None:
    if size > most:
        raise InputError(f"{path.name}: {size / 2**20:.0f} MB; expected at most {most / 2**20:.0f} MB")
