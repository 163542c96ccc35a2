"""`result.json` in a run's folder: what a program that has started the run wants to know, when it has ended.

Keys are added over time and none changes its meaning. `docs/library.md` has them.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sv3dgen.atomic import atomic_write
from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError, one_line
from sv3dgen.runs.run_folder import CARD, RESULT, read_card
from sv3dgen.runs.stopping import Stopped, told_of_stop

Exit = Literal["finished", "stopped", "failed"]
FILES = {  # what a run may leave, by the names that programs know them by
    "glb": "mesh/mesh.glb",
    **{form: f"mesh/mesh.{form}" for form in ("obj", "ply", "stl", "3mf", "usdz")},
    "light": "light.json",
    "turntable": "turntable.mp4",
    "views": "views/transforms.json",
    "orbit": "views/orbit.mp4",
    "weights": "weights/model.safetensors",
    "checkpoint": "checkpoints/last.ckpt",
    "numbers": "logs/metrics.csv",
    "log": "run.log",
    "card": CARD,
    "report": "report.html",
}


@dataclass(frozen=True)
class Result:
    """How a run ended and what it left. `message` says why it stopped or failed, in one line."""

    exit: Exit
    folder: Path
    paths: Mapping[str, Path] = field(default_factory=dict)  # absolute; only what is there
    metrics: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    message: str | None = None
    seconds: float = 0.0


@contextmanager
def told_to_programs(folder: Path) -> Iterator[None]:
    """Write the result of the run that the block is, however it ends; nothing where it ended before it began."""
    before = read_card(folder)
    try:
        yield
    except BaseException as error:
        card = read_card(folder)
        if card is not None and card != before:
            try:
                write_result(folder, card, error)
            except OSError:  # a full disk, of which the error itself may tell
                pass
        raise
    write_result(folder, read_card(folder) or {})


def write_result(folder: Path, card: Mapping[str, Any], error: BaseException | None = None) -> None:
    """Write `result.json` of a run's card and what ended the run, if anything did. Only the first of its processes."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return
    result = result_of(folder.resolve(), card, error)
    text = json.dumps(asdict(result), indent=2, ensure_ascii=False, default=str)  # of paths
    with atomic_write(folder / RESULT) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def result_of(folder: Path, card: Mapping[str, Any], error: BaseException | None = None) -> Result:
    """The result of a run that has ended."""
    way: Exit = "finished" if error is None and "finished" in card else "stopped"
    message = None
    if error is not None and not isinstance(error, Stopped | KeyboardInterrupt):
        way, message = "failed", _reason(error)
    elif way == "stopped":
        message = f"stopped {told_of_stop(card.get('stopped', {}))}"
    return Result(
        exit=way,
        folder=folder,
        paths={name: folder / file for name, file in FILES.items() if (folder / file).is_file()},
        metrics=card.get("metrics", {}),
        warnings=tuple(card.get("warnings", ())),
        message=message,
        seconds=round(float(sum(cost["seconds"] for cost in card.get("stages", {}).values())), 3),
    )


def read_result(folder: Path) -> Result:
    """The result in a run's folder. Raises InputError where there is none, or something else."""
    path = folder / RESULT
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
        paths = {name: Path(file) for name, file in found["paths"].items()}
        return Result(**found | {"folder": Path(found["folder"]), "paths": paths, "warnings": tuple(found["warnings"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: expected the result that a run writes ({error})") from error


def _reason(error: BaseException) -> str:
    """What went wrong, in one line: an InputError says it itself, also from behind another error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return one_line(str(cause))
        cause = cause.__cause__
    return one_line(f"{type(error).__name__}: {error}")
