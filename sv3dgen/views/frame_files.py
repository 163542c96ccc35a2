"""Where the files are that a `transforms.json` names, on whatever machine it was written. Standard library only."""

import os
import unicodedata
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from sv3dgen.views.picture_formats import SUFFIXES

_PICTURE_FOLDERS = ("images", "image", "rgb")
_MASK_FOLDERS = ("masks", "mask")


class FrameFiles:
    """Finds pictures and masks next to a json file, and remembers what was found elsewhere than it says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.elsewhere: list[tuple[str, Path]] = []  # as named, and where it was
        self._taken: dict[Path, str] = {}

    def picture(self, file_path: str) -> Path:
        """The picture that is meant; where there is none, the path that says so when it is opened."""
        stated = self._stated(file_path)
        found = stated or self._found(file_path, _PICTURE_FOLDERS)
        # Two names may end alike: then neither's picture can be told from its end.
        if found is None or (stated is None and self._taken.get(found, file_path) != file_path):
            return self.folder / file_path
        if stated is None:
            self.elsewhere.append((file_path, found))
        self._taken[found] = file_path
        return found

    def mask(self, picture: Path, mask_path: str | None) -> tuple[Path | None, str | None]:
        """The file that cuts the object out, if there is one; else the name of the one that was expected.

        Where the json names none: the file of the picture's stem (or name and .png, or stem and _mask) in a folder
        `masks` next to the json, the picture, or the picture's folder.
        """
        if mask_path is not None:
            stated = self._stated(mask_path)
            found = stated or self._found(mask_path, _MASK_FOLDERS)
            if found is not None and stated is None:
                self.elsewhere.append((mask_path, found))
            return found, None if found else mask_path
        folders = [base / name for base in self._mask_bases(picture) for name in _MASK_FOLDERS]
        for folder in folders:
            for name in (picture.stem, f"{picture.name}.png", f"{picture.stem}_mask"):
                found = _in_folder(folder, name)
                if found is not None and found != picture:
                    return found, None
        beside = next((folder for folder in folders if _listing(folder)), None)
        return None, None if beside is None else f"{beside.name}/{picture.stem}.png"

    def _mask_bases(self, picture: Path) -> list[Path]:
        above = [] if picture.parent == self.folder else [picture.parent.parent]
        return list(dict.fromkeys([self.folder, picture.parent, *above]))

    def _stated(self, file_path: str) -> Path | None:
        # Suffixes are left out in NeRF-synthetic files.
        candidates = [file_path, *(file_path + suffix for suffix in SUFFIXES), file_path.replace("\\", "/")]
        candidates += [unquote(file_path.removeprefix("file://"))]  # as an address: my%20images
        # os.path rather than Path: it answers False, not an exception, for names that no file can have.
        return next((self.folder / name for name in candidates if os.path.exists(self.folder / name)), None)

    def _found(self, file_path: str, folders: tuple[str, ...]) -> Path | None:
        """By as much of the end of the path as there is here: `C:\\a\\images\\1.JPG` as images/1.jpg, else as 1.jpg."""
        parts = [part for part in file_path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        for start in range(len(parts)):
            folder = self.folder
            for part in parts[start:-1]:
                folder = folder / _listing(folder).get(_key(part), part)
            found = _in_folder(folder, parts[-1])
            if found is not None:
                return found
        in_folders = (_in_folder(self.folder / folder, parts[-1]) for folder in folders if parts)
        return next((found for found in in_folders if found is not None), None)


def _in_folder(folder: Path, name: str) -> Path | None:
    """A picture of this name, whatever its capitals; else one of this stem with another suffix."""
    listing = _listing(folder)
    stem = name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name
    for candidate in (name, *(stem + suffix for suffix in SUFFIXES)):
        if candidate.lower().endswith(SUFFIXES) and _key(candidate) in listing:
            return folder / listing[_key(candidate)]
    return None


def _listing(folder: Path) -> dict[str, str]:
    """The names in a folder by their `_key`; empty where there is no such folder."""
    try:
        return _listed(str(folder), os.stat(folder).st_mtime_ns)
    except (OSError, ValueError):
        return {}


@lru_cache(maxsize=64)
def _listed(folder: str, modified_ns: int) -> dict[str, str]:
    return {_key(name): name for name in sorted(os.listdir(folder), reverse=True)}


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
