"""A sweep on one page: SWEEP/report.html, the table of its runs and their meshes, whose cameras move together."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sv3dgen.errors import InputError, one_line
from sv3dgen.report import facts
from sv3dgen.report.kept_pictures import read_pictures
from sv3dgen.report.page import NAME, Mesh, mesh_of, write_page
from sv3dgen.runs.run_folder import read_card
from sv3dgen.runs.sweeps import failure

log = logging.getLogger(__name__)

MOST_MESH_BYTES = 40_000_000  # of the page; the runs' own pages have those beyond
PLAIN_GLB_BYTES = 300_000  # a larger GLB has its texture compressed: there are many


@dataclass(frozen=True)
class Cell:
    """A run of the sweep, in a row of the table."""

    folder: Path
    place: str  # of its folder in the sweep's
    who: facts.Identity
    card: Mapping[str, Any]
    state: str
    failure: str | None
    numbers: tuple[str, ...]  # of `COLUMNS`

    @property
    def link(self) -> str | None:
        """Where its page is, from the sweep's; None where it has none."""
        return f"./{quote(self.place)}/{NAME}" if (self.folder / NAME).is_file() else None

    @property
    def settings(self) -> dict[str, str]:
        """What the command line gave, by key."""
        return {key: value for key, _, value in (text.partition("=") for text in self.who.settings)}


COLUMNS = ("PSNR, dB", "faces", "time", "peak memory")


def write_sweep_report(folder: Path) -> Path | None:
    """Write the page of a sweep's folder; None where there is no run in it."""
    cells = [cell for path in runs_of(folder) if (cell := read_cell(path, folder)) is not None]
    if not cells:
        return None
    meshes, left_out = _meshes(cells)
    objects = list(dict.fromkeys(cell.who.object for cell in cells))
    return write_page(
        folder / NAME,
        "sweep.html.j2",
        title=f"{', '.join(objects[:3])}{' …' if len(objects) > 3 else ''}, sweep {folder.resolve().name}",
        objects=objects,
        sweep=folder.resolve().name,
        cells=cells,
        keys=differing([cell.settings for cell in cells]),
        columns=COLUMNS,
        meshes=meshes,
        left_out=left_out,
        lit=any(mesh.lit for _, mesh in meshes),
    )


def runs_of(folder: Path) -> list[Path]:
    """The runs' folders below a sweep's, in the order of their numbers."""
    found = [path.parent for path in folder.glob("**/.hydra") if path.parent != folder]
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else part for part in _parts(path, folder)])


def _parts(path: Path, folder: Path) -> list[str]:
    return re.split(r"(\d+)", str(path.relative_to(folder)))


def read_cell(path: Path, sweep: Path) -> Cell | None:
    """A run of a sweep as it lies there; None where it has neither begun nor failed."""
    card, damaged = None, False
    try:
        card, why = read_card(path), failure(path)
        read_pictures(path)
    except (InputError, OSError, ValueError) as error:
        why, damaged = one_line(str(error)), True
    if card is None and why is None:
        return None
    card = card or {}
    state = "damaged" if damaged else "failed" if why is not None else facts.state(card)[0]
    metrics = card.get("metrics", {})
    numbers = (
        f"{metrics['psnr_train']:.2f}" if isinstance(metrics.get("psnr_train"), int | float) else "",
        facts.spoken(metrics["faces"]) if "faces" in metrics else "",
        facts.duration(facts.total_seconds(card)) if card.get("stages") else "",
        facts.gib(facts.peak_bytes(card)),
    )
    return Cell(path, path.relative_to(sweep).as_posix(), facts.identity(path, card), card, state, why, numbers)


def differing(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys that not all runs have with the same value."""
    keys = dict.fromkeys(key for one in settings for key in one)
    return [key for key in keys if len({one.get(key) for one in settings}) > 1]


def _meshes(cells: Sequence[Cell]) -> tuple[list[tuple[Cell, Mesh]], list[Cell]]:
    """Those that the page has room for, and the runs whose meshes it has none for."""
    shown, left_out, size = [], [], 0
    for cell in cells:
        mesh = _mesh(cell)
        if mesh is None:
            continue
        more = len(mesh.glb) + len(mesh.lit or "")
        if size + more <= MOST_MESH_BYTES or not shown:
            shown.append((cell, mesh))
            size += more
        else:
            left_out.append(cell)
    return shown, left_out


def _mesh(cell: Cell) -> Mesh | None:
    """A run's mesh; None where there is none, or it can't be read: one run's damage leaves the others their page."""
    try:
        return mesh_of(cell.folder, read_pictures(cell.folder), f"run {cell.place}", PLAIN_GLB_BYTES)
    except (InputError, OSError, ValueError, KeyError) as error:
        log.warning("%s: left out of the sweep's page: %s", cell.folder, one_line(str(error)))
        return None
