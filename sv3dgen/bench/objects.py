"""Views to mesh for a folder of objects, each in a fresh process, and every mesh against its ground truth."""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from sv3dgen.atomic import atomic_write
from sv3dgen.bench.machine import describe
from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError
from sv3dgen.meshes.precheck import SUFFIXES
from sv3dgen.metrics.evaluation import evaluate

CHECKOUT = Path(__file__).parents[2]
_CODE = ("launch.py", "conf/**/*.yaml", *(f"{room}/**/*.py" for room in ("geometry", "guidance", "systems", "sv3dgen")))
# Runs a command and writes its largest resident memory to a file. From a process of its own, since a child begins with
# the resident memory of the one that started it, and this one holds torch.
MEASURED = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
"""

# Key of a result, column heading, format.
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("chamfer", "Chamfer", ".4f"),
    ("iou_64", "IoU 64^3", ".3f"),
    ("chamfer_boxed", "Chamfer, boxed", ".4f"),
    ("iou_64_boxed", "IoU, boxed", ".3f"),
    ("far_share", "farther than .02", ".2%"),
    ("f_score_1", "F-score 1 %", ".3f"),
    ("normal_consistency", "normals", ".3f"),
    ("psnr", "PSNR, dB", ".2f"),
    ("ssim", "SSIM", ".3f"),
    ("seconds", "seconds", ".0f"),
    ("memory_gb", "memory, GB", ".2f"),
    ("faces", "faces", ".0f"),
    ("closed", "closed", ""),
)


EXPLANATION = """\
Each row is `python launch.py system=sv3d_dmtet views=OBJECT{settings}` in a process of its own, import and
export included, on the `train` views. Scored is the exported GLB: its surface with `python -m sv3dgen.evaluate
--protocol surface --align none`, as it stands in the world of the views, which is the ground truth's
(un-squared Chamfer of 100 k samples, floor .002 to .003); next to it, boxed, after both were scaled and moved
into the unit box by their own bounding boxes, which turns one outlying bump into a shift of the whole; and its
color, under the light it was exported with, over white on the `test` views, which the run has not seen.
"Farther than .02" is the share of the true surface that far from the mesh."""


@dataclass(frozen=True)
class Cost:
    """What a process took, from outside."""

    seconds: float
    memory_gb: float  # largest resident memory; NaN where the system does not tell


def find_objects(views: Path, meshes: Path, only: Sequence[str] = ()) -> list[tuple[str, Path, Path]]:
    """(name, folder of posed views, ground-truth mesh) of every object that has both."""
    if not views.is_dir():
        raise InputError(f"{views}: no such folder, expected folders of posed views in it")
    truths = {path.stem: path for path in find_meshes(meshes)}
    names = sorted(path.parent.name for path in views.glob("*/transforms.json"))
    chosen = [(name, views / name, truths[name]) for name in names if name in truths and _is_wanted(name, only)]
    if not chosen:
        wish = f" whose name holds one of {', '.join(only)}" if only else ""
        raise InputError(f"{views}: expected folders NAME/ with transforms.json next to {meshes}/NAME.glb{wish}")
    return chosen


def find_meshes(folder: Path, only: Sequence[str] = (), *, pattern: str = "*") -> list[Path]:
    """The meshes of a folder (by `**/*` those below it), or those whose names hold one of the words.

    Of several files of one name, box.glb next to box.obj, the first format of SUFFIXES. InputError where there is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected meshes in it ({', '.join(SUFFIXES)})")
    files = [path for path in folder.glob(pattern) if path.suffix.lower() in SUFFIXES and path.is_file()]
    files.sort(key=lambda path: (path.with_suffix(""), -SUFFIXES.index(path.suffix.lower())))
    found = list({path.with_suffix(""): path for path in files}.values())
    if not found:
        raise InputError(f"{folder}: no meshes in it, expected {', '.join(SUFFIXES)} files")
    wanted = [path for path in found if _is_wanted(path.stem, only)]
    if not wanted:
        raise InputError(f"{folder}: none of its {len(found)} meshes has a name that holds {' or '.join(only)}")
    return wanted


def _is_wanted(name: str, only: Sequence[str]) -> bool:
    return not only or any(word.lower() in name.lower() for word in only)


def measure(
    views: Path, meshes: Path, *, only: Sequence[str] = (), settings: Sequence[str] = (), keep: Path | None = None
) -> dict[str, Any]:
    """Run and score every object; a run that fails is a row without numbers.

    `keep` is a folder for the runs, and for each object's row: one that lies there, of the same settings, views, mesh
    and code, is taken as it is, so that a bench that was stopped goes on where it was.
    """
    objects = find_objects(views, meshes, only)
    rows = []
    code = code_digest() if keep else ""
    with tempfile.TemporaryDirectory() as temporary:
        for name, folder, truth in objects:
            run = (keep or Path(temporary)).resolve() / name
            asked = _asked(folder, truth, run, settings, code) if keep else {}
            row = _kept_row(run, asked) if keep else None
            print(f"{name} ..." if row is None else f"{name}, kept", file=sys.stderr, flush=True)
            if row is None:
                row = {"object": name}
                try:
                    row |= run_and_score(folder, truth, run, settings)
                except InputError as error:
                    row["error"] = str(error)
                if keep and "error" not in row:
                    with atomic_write(_row_file(run)) as file:
                        file.write_text(json.dumps({**asked, "row": row}), encoding="utf-8")
            print("  " + _one_line(row), file=sys.stderr, flush=True)
            rows.append(row)
    return {"machine": describe(), "settings": list(settings), "objects": rows, "summary": summarize(rows)}


def _row_file(run: Path) -> Path:
    return run.with_name(f"{run.name}.row.json")


def code_digest() -> str:
    """Of the checkout's Python files and configs, tests apart: numbers of other code are other numbers."""
    found = hashlib.sha256()
    files = {file for pattern in _CODE for file in CHECKOUT.glob(pattern)}
    for file in sorted(files):
        found.update(file.relative_to(CHECKOUT).as_posix().encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


def _asked(views: Path, truth: Path, run: Path, settings: Sequence[str], code: str) -> dict[str, Any]:
    """What a row is known by; the inputs as they are seen from the folder of the runs, which may move with them."""
    places = {name: _seen_from(run.parent, path.resolve()) for name, path in (("views", views), ("mesh", truth))}
    return {"settings": list(settings), **places, "code": code}


def _seen_from(folder: Path, path: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return path.as_posix()


def _kept_row(run: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row of an object of which the same was asked before; what is no such row is told, and measured anew."""
    file = _row_file(run)
    if not file.is_file():
        return None
    try:
        kept = parse_json(file.read_text(encoding="utf-8"))
    except ValueError:
        kept = None
    if not isinstance(kept, dict) or not _is_row(kept.get("row")):
        print(f"{file}: damaged, expected the row of a bench; measured anew", file=sys.stderr, flush=True)
        return None
    others = [name for name, value in asked.items() if kept.get(name) != value]
    if others:
        print(f"{file}: of other {' and '.join(others)}; measured anew", file=sys.stderr, flush=True)
    return None if others else kept["row"]


def _is_row(row: Any) -> bool:
    numbers = (row[key] for key, _, _ in COLUMNS if key in row) if isinstance(row, dict) else ()
    return isinstance(row, dict) and "object" in row and all(isinstance(value, int | float) for value in numbers)


def run_and_score(views: Path, truth: Path, run: Path, settings: Sequence[str]) -> dict[str, Any]:
    """One object: launch.py in a process of its own, then the exported GLB on the surface and on the test views."""
    given = ["system=sv3d_dmtet", f"views={views.resolve()}", f"hydra.run.dir={run}", *settings]
    cost = launch(given, run.parent / f"{run.name}.log")
    mesh = run / "mesh" / "mesh.glb"
    if not mesh.is_file():
        raise InputError(f"{views}: launch.py wrote no mesh; see the end of its output")
    scores = evaluate(mesh, truth, align="none", views=views, split="test")
    boxed = evaluate(mesh, truth, align="unit_box")
    card = run / "run.json"
    stages = json.loads(card.read_text(encoding="utf-8")).get("stages", {}) if card.is_file() else {}
    boxed = {f"{name}_boxed": boxed[name] for name in ("chamfer", "iou_64")}
    return {**scores, **boxed, "seconds": cost.seconds, "memory_gb": cost.memory_gb, "stages": stages}


def launch(settings: Sequence[str], log: Path) -> Cost:
    """`launch.py` with these settings, by `run_process`."""
    return run_process([sys.executable, str(CHECKOUT / "launch.py"), *settings], log)


def run_process(command: Sequence[str], log: Path) -> Cost:
    """Run to the end with its output in a file; InputError with the output's last line where it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    unit = 1 if sys.platform == "darwin" else 1024
    start = perf_counter()
    with tempfile.TemporaryDirectory() as folder, log.open("w", encoding="utf-8") as output:
        peak = Path(folder) / "peak"
        measured = [*command] if os.name == "nt" else [sys.executable, "-c", MEASURED, str(peak), *command]
        status = subprocess.run(measured, stdout=output, stderr=subprocess.STDOUT, cwd=CHECKOUT).returncode
        seconds = perf_counter() - start
        memory_gb = int(peak.read_text()) * unit / 1e9 if peak.exists() else float("nan")
    if status != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise InputError(lines[-1] if lines else f"{command[1]}: exit status {status}")
    return Cost(seconds, memory_gb)


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Median and mean of every numeric column over the objects that have it."""
    summary: dict[str, dict[str, float]] = {"median": {}, "mean": {}}
    for key, _, spec in COLUMNS:
        values = [float(row[key]) for row in rows if key in row]
        if spec and values:
            summary["median"][key] = statistics.median(values)
            summary["mean"][key] = statistics.fmean(values)
    return summary


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a page of documentation, with the machine it was measured on."""
    headings = ["object", *(heading for _, heading, _ in COLUMNS)]
    lines = ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * len(COLUMNS)]
    lines += [_markdown_row(str(row["object"]), row) for row in report["objects"]]
    lines += [_markdown_row(f"**{name}**", values) for name, values in report["summary"].items()]
    failed = [f"- {row['object']}: {row['error']}" for row in report["objects"] if "error" in row]
    settings = " ".join(report["settings"])
    return "\n".join(
        [
            "# Objects, views to mesh",
            "",
            f"Measured on: {report['machine']}.",
            "",
            EXPLANATION.format(settings=f" {settings}" if settings else ""),
            "",
            *lines,
            *(["", "Failed:", *failed] if failed else []),
            "",
        ]
    )


def _markdown_row(name: str, values: Mapping[str, Any]) -> str:
    return "| " + " | ".join([name, *(_cell(values.get(key), spec) for key, _, spec in COLUMNS)]) + " |"


def _cell(value: Any, spec: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else format(value, spec)


def _one_line(row: Mapping[str, Any]) -> str:
    if "error" in row:
        return row["error"]
    return ", ".join(f"{heading} {_cell(row.get(key), spec)}" for key, heading, spec in COLUMNS)
