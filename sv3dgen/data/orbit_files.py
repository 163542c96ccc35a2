"""How rendered training orbits lie on disk.

FOLDER/NAME/KIND_K.npy    uint8 [84, height, width, 4], RGBA with straight alpha, in the order of the path
FOLDER/NAME/KIND_K.json   the cameras of those 84 views and where the object comes from; written after the pictures
FOLDER/rendering.json     how all of them were rendered
FOLDER/dataset.json       the list of all complete orbits; written last, and made anew from the others at any time
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from sv3dgen.atomic import atomic_write
from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError

VERSION = 1
SAMPLES = 84  # views of a rendered loop; every fourth makes an orbit of 21 (SV3D, appendix B)
INDEX = "dataset.json"
RENDERING = "rendering.json"
_HELD = "supersample", "distance", "sine_share", "untextured"  # the rest an orbit's own json tells

Split = Literal["train", "test"]


@dataclass(frozen=True, kw_only=True)
class OrbitRecord:
    """One rendered loop around one object."""

    name: str  # the object's folder
    kind: str  # static or dynamic
    number: int  # among the loops of this kind around this object
    split: Split
    distance: float | int  # of the cameras from the origin
    fov_deg: float | int
    size_px: int
    source: str
    licence: str

    def stem(self, folder: Path) -> Path:
        """The path that the orbit's files share, without a suffix."""
        return folder / self.name / f"{self.kind}_{self.number}"

    @property
    def num_bytes(self) -> int:
        """Of the pictures alone, without the header of the file."""
        return SAMPLES * self.size_px**2 * 4


@dataclass(frozen=True)
class Angles:
    """From where the views look; 84 numbers each."""

    elevation_deg: list[float]
    azimuth_deg: list[float]


def write_orbit(folder: Path, record: OrbitRecord, angles: Angles, rgba: UInt8[np.ndarray, "views height width 4"]):
    """The pictures, then the json that says that they are complete."""
    stem = record.stem(folder)
    with atomic_write(stem.with_suffix(".npy")) as path:
        np.save(path, np.ascontiguousarray(rgba))
    with atomic_write(stem.with_suffix(".json")) as path:
        path.write_text(json.dumps(asdict(record) | {"samples": SAMPLES} | asdict(angles)))


def read_orbit(path: Path) -> tuple[OrbitRecord, Angles]:
    """What an orbit's json says; InputError for another file, or one that is damaged."""
    try:
        content = parse_json(path.read_text())
        record = _record(content)
        angles = Angles(list(map(float, content["elevation_deg"])), list(map(float, content["azimuth_deg"])))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not an orbit's json; delete it and render again") from error
    if len(angles.elevation_deg) != SAMPLES or len(angles.azimuth_deg) != SAMPLES:
        raise InputError(f"{path}: {len(angles.azimuth_deg)} views, expected {SAMPLES}; delete it and render again")
    return record, angles


def complete_orbits(folder: Path) -> Iterator[OrbitRecord]:
    """Every orbit whose json is there and whose pictures have the size it asks for, in order of names."""
    for path in sorted(folder.glob("*/*.json")):
        record = read_orbit(path)[0]
        pictures = path.with_suffix(".npy")
        if record.stem(folder).with_suffix(".json") == path and _is_whole(pictures, record):
            yield record


def hold_settings(folder: Path, settings: Mapping[str, Any], *, fresh: bool) -> None:
    """Note how a folder's orbits are rendered; InputError where those that are there were rendered in another way.

    `fresh`: none is there. Nothing is known of orbits without a note, which take what is given.
    """
    path, wanted = folder / RENDERING, {name: settings[name] for name in _HELD}
    if path.is_file() and not fresh:
        try:
            held = dict(parse_json(path.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{path}: expected {', '.join(_HELD)}; delete it if the orbits are rendered alike"
            ) from error
        for name, value in wanted.items():
            if held.get(name, value) != value:  # a note may be older than a setting that is noted
                told = [_in_words(held[name]), _in_words(value)]
                option = f"--{name.replace('_', '-')}"
                raise InputError(f"{folder}: holds orbits of {option} {told[0]}, not {told[1]}; take another --out")
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def _in_words(value: float | int | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "auto" if value is None else f"{value:g}"


def write_index(folder: Path) -> list[OrbitRecord]:
    """Make dataset.json of what is complete; InputError if that is nothing, or of several sizes."""
    records = list(complete_orbits(folder))
    if not records:
        raise InputError(f"{folder}: no complete orbit in it")
    sizes = sorted({record.size_px for record in records})
    if len(sizes) > 1:
        raise InputError(f"{folder}: holds orbits of {' and '.join(map(str, sizes))} px, expected one size in a folder")
    content = {"version": VERSION, "size_px": sizes[0], "samples": SAMPLES, "orbits": [asdict(r) for r in records]}
    with atomic_write(folder / INDEX) as path:
        path.write_text(json.dumps(content, indent=1) + "\n")
    return records


def read_index(folder: Path) -> list[OrbitRecord]:
    """The orbits that dataset.json lists, each of which is there in full; else InputError in one line."""
    folder = Path(folder)
    check_rendered(folder)
    path = folder / INDEX
    try:
        content = parse_json(path.read_text())
        version, records = content["version"], [_record(entry) for entry in content["orbits"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: not a list of orbits; render_dataset --out {folder} --index makes it anew"
        ) from error
    if version != VERSION:
        raise InputError(f"{path}: version {version}, expected {VERSION}; render the orbits again")
    for record in records:
        if not _is_whole(record.stem(folder).with_suffix(".npy"), record):
            missing = record.stem(folder).with_suffix(".npy")
            raise InputError(f"{missing}: missing or incomplete; give the sv3dgen.render_dataset command again")
    return records


def check_rendered(folder: Path) -> None:
    """Raise InputError unless a folder's rendering has come to its end; what is in it is not looked at."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected orbits made by python -m sv3dgen.render_dataset")
    if not (folder / INDEX).is_file():
        started = sum(1 for _ in folder.glob("*/*.npy"))
        if not started:
            raise InputError(f"{folder}: no orbits in it, expected {INDEX}, made by python -m sv3dgen.render_dataset")
        raise InputError(
            f"{folder}: rendering stopped after {started} orbits; give the sv3dgen.render_dataset command again to go "
            f"on, or python -m sv3dgen.render_dataset --out {folder} --index to take what is there"
        )


def _record(content: Mapping[str, Any]) -> OrbitRecord:
    return OrbitRecord(**{field.name: content[field.name] for field in fields(OrbitRecord)})


def _is_whole(pictures: Path, record: OrbitRecord) -> bool:
    try:
        return pictures.stat().st_size > record.num_bytes
    except OSError:
        return False
