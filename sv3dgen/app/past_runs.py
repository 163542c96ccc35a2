"""Runs that lie in a folder: which there are, the files of theirs that the page may show, and all of one as a zip."""

import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

from sv3dgen.runs.result import FILES
from sv3dgen.runs.run_folder import CARD, RESULT

MOST_SHOWN = 200
PREVIEW = "preview.webp"
REPORT = "report.html"
_KEY = re.compile(r"(?!\.)[\w.+-]+/(?!\.)[\w.+-]+")  # NAME/TIME, as runs call their folders
_LEFT_OUT = ("checkpoints/", ".hydra/")  # of the zip: what only a resumed run needs


def find_runs(folder: Path) -> list[str]:
    """The keys of the runs in a folder, NAME/TIME, newest first."""
    cards = [card for card in folder.glob(f"*/*/{CARD}") if _KEY.fullmatch(_key(card.parent))]
    return [_key(card.parent) for card in sorted(cards, key=_changed, reverse=True)[:MOST_SHOWN]]


def run_folder(folder: Path, key: str) -> Path | None:
    """The folder of a run, None where the key names none: it may come from anybody."""
    if not _KEY.fullmatch(key):
        return None
    found = folder / key
    # os.path rather than Path: it answers False, not an exception, for names that no folder can have.
    return found if os.path.isdir(found) and found.resolve().is_relative_to(folder.resolve()) else None


def run_file(folder: Path, key: str, name: str) -> Path | None:
    """A file of a run that a page may ask for: a mesh, or another that runs are known to leave; else None."""
    run = run_folder(folder, key)
    known = {*FILES.values(), RESULT, PREVIEW, ".hydra/config.yaml"}
    if run is None or not (name in known or re.fullmatch(r"mesh/\w[\w.-]*", name)):
        return None
    return run / name if lies_in(run, run / name) else None


def files_to_take(run: Path) -> Iterator[str]:
    """What a zip of a run holds: all but what only a resumed run needs. Links that lead out are left out."""
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if lies_in(run, path) and not name.startswith(_LEFT_OUT) and name != PREVIEW:
            yield name


def zipped(run: Path) -> Path:
    """A temporary zip of a run, whose caller removes it; in it a folder with the run's name."""
    with NamedTemporaryFile(prefix="sv3dgen-", suffix=".zip", delete=False) as target:
        path = Path(target.name)
        try:
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for name in files_to_take(run):
                    archive.write(run / name, f"{run.parent.name}/{name}")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return path


def lies_in(folder: Path, path: Path) -> bool:
    """Whether a file is there, and no link leads it out of a folder: such a folder may come from anybody."""
    return os.path.isfile(path) and path.resolve().is_relative_to(folder.resolve())


def _key(run: Path) -> str:
    return f"{run.parent.name}/{run.name}"


def _changed(card: Path) -> float:
    return card.stat().st_mtime
