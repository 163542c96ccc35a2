"""Folders of plain photos, told from posed views before torch is imported. Standard library and PIL only."""

import importlib.util
import re
from pathlib import Path

from sv3dgen.errors import InputError
from sv3dgen.views.colmap_model import model_in
from sv3dgen.views.image import open_image
from sv3dgen.views.picture_formats import SUFFIXES as READ

SUFFIXES = {*READ, ".heic", ".heif"}
FEWEST, MOST = 8, 400
EXTRA = 'pip install -c constraints.txt -e ".[sfm]"'


def is_unposed(path: Path) -> bool:
    """Whether this is a folder with photos and no cameras: no transforms.json, NeRF-synthetic's files, or COLMAP's."""
    if not path.is_dir() or len(photos_in(path)) < 2:
        return False
    if any(re.fullmatch(r"transforms.*\.json", entry.name, re.IGNORECASE) for entry in path.iterdir()):
        return False
    return model_in(path) is None


def photos_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def check_unposed(folder: Path) -> list[Path]:
    """The photos, where they can be posed; InputError in one line where they can't.

    The largest sets are thinned out later; each photo is opened here, not decoded.
    """
    photos = photos_in(folder)
    if len(photos) < FEWEST:
        raise InputError(
            f"{folder}: {len(photos)} photos and no transforms.json; expected at least {FEWEST} photos from all around "
            "to find their cameras, or posed views"
        )
    if len(photos) > MOST:
        raise InputError(f"{folder}: {len(photos)} photos; expected at most {MOST}; 30 to 80 are enough")
    if importlib.util.find_spec("pycolmap") is None:
        raise InputError(f"{folder}: no transforms.json; finding the cameras of plain photos needs pycolmap: {EXTRA}")
    for photo in photos:
        with open_image(photo):
            pass
    return photos
