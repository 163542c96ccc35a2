"""What a run's page shows of it in pictures, as it lies in the run's folder: read without torch."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError

FOLDER = "comparison"  # in a run's
LIST = "comparison.json"


@dataclass(frozen=True)
class Compared:
    """A view and the mesh from its camera: files in the folder `comparison`, and how far they agree at this size."""

    name: str  # the view's file, or its frame in a film; others may have the same
    elevation_deg: float
    azimuth_deg: float
    made: bool  # by a model, and no photo
    psnr_db: float  # over white
    mask_iou: float
    view: str
    mesh: str
    worst: bool = False  # of all views
    index: int | None = None  # of the view among all; earlier runs did not tell


@dataclass(frozen=True)
class Pictures:
    """What `write_pictures` has left in a run's folder."""

    compared: tuple[Compared, ...] = ()
    lit: str | None = None


def read_pictures(folder: Path) -> Pictures:
    """What `write_pictures` wrote into a run's folder; nothing where it has not. InputError where it is damaged."""
    path = folder / FOLDER / LIST
    if not path.is_file():
        return Pictures()
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
        pictures = Pictures(tuple(_compared(one) for one in found["compared"]), found["lit"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected the JSON that a run writes ({error})") from error
    named = [name for one in pictures.compared for name in (one.view, one.mesh)]
    for name in [*named, *([] if pictures.lit is None else [pictures.lit])]:
        if not (isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name) and lies_in(folder, path.with_name(name))):
            raise InputError(f"{path}: names {str(name)!r}, expected a picture in the folder {FOLDER}")
    return pictures


def _compared(found: dict[str, Any]) -> Compared:
    """ValueError where a value is of another kind, TypeError where one is missing or unknown."""
    one = Compared(**found)
    numbers = (one.elevation_deg, one.azimuth_deg, one.psnr_db, one.mask_iou)
    if not all(isinstance(number, float | int) and abs(number) < 1e9 for number in numbers):
        raise ValueError("expected numbers of degrees, decibels and overlap")
    if not (isinstance(one.name, str) and isinstance(one.index, int | None)):
        raise ValueError("expected a name and a position")
    return one


def lies_in(folder: Path, path: Path) -> bool:
    """Whether a file is there, and no link leads it out of a folder: such a folder may come from anybody."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())
