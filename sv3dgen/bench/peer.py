"""Mitsuba 3's inverse-rendering recipes next to a run of ours: the same views, the same time, the same scores."""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sv3dgen.bench.machine import describe
from sv3dgen.bench.mitsuba_start import check_mitsuba
from sv3dgen.bench.objects import CHECKOUT, find_meshes, run_process
from sv3dgen.errors import InputError
from sv3dgen.metrics.evaluation import evaluate

OURS = "ours"
WAYS: dict[str, str] = {  # by the names of peer_fit's recipes
    OURS: "sv3dgen",
    "field": "Mitsuba: radiance field from nothing",
    "field_from_hull": "Mitsuba: radiance field in the hull",
    "large_steps": "Mitsuba: large steps from the hull",
}
# Key of a row, column heading, format.
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("chamfer", "Chamfer", ".4f"),
    ("iou_64", "IoU 64^3", ".3f"),
    ("f_score_1", "F-score 1 %", ".3f"),
    ("normal_consistency", "normals", ".3f"),
    ("psnr", "PSNR, dB", ".2f"),
    ("ssim", "SSIM", ".3f"),
    ("mask_iou", "mask IoU", ".3f"),
    ("fit_seconds", "seconds", ".0f"),
    ("seconds", "process, s", ".0f"),
    ("memory_gb", "memory, GB", ".2f"),
    ("faces", "faces", ".0f"),
)
EXPLANATION = """\
`python launch.py system=sv3d_dmtet views=OBJECT{settings}` first, import and export included; then each recipe of
Mitsuba's on the same `train` views, for as long ({budget}). Seconds are those of that budget, which a
recipe's start, one step of each stage to compile, and its mesh's export do not count in; "process" is all of it,
and memory its largest. All scored alike: `python -m sv3dgen.evaluate --align none --views OBJECT --split test`."""


def measure(
    views: Sequence[Path],
    meshes: Path,
    *,
    seconds: float | None = None,
    ways: Sequence[str] = tuple(WAYS),
    settings: Sequence[str] = (),
    keep: Path | None = None,
) -> dict[str, Any]:
    """Every way on every object, ours first; a way that fails is a row without numbers.

    Without `seconds` each recipe has as long as ours took on that object. `keep` is a folder for the runs.
    """
    if seconds is not None and not seconds > 0:
        raise InputError(f"--seconds {seconds:g}: expected more than 0")
    if seconds is None and OURS not in ways:
        raise InputError("--ways: without ours its time is not known; expected --seconds")
    check_mitsuba()
    truths = {path.stem: path for path in find_meshes(meshes)}
    for folder in views:
        if not (folder / "transforms.json").is_file():
            raise InputError(f"--views {folder}: expected a folder of posed views with a transforms.json")
        if folder.name not in truths:
            raise InputError(f"--meshes {meshes}: no mesh named {folder.name}, expected one for each --views")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for folder in views:
            budget = seconds
            for way in (way for way in WAYS if way in ways):
                row: dict[str, Any] = {"object": folder.name, "way": way}
                run = (keep or Path(temporary)).resolve() / folder.name / way
                try:
                    row |= _run_and_score(way, folder.resolve(), truths[folder.name], run, budget, settings)
                except InputError as error:
                    row["error"] = str(error)
                if way == OURS and seconds is None:
                    budget = row.get("seconds")
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
    return {"machine": describe(), "seconds": seconds, "settings": list(settings), "rows": rows}


def _run_and_score(
    way: str, views: Path, truth: Path, run: Path, budget: float | None, settings: Sequence[str]
) -> dict[str, Any]:
    log = run.with_name(f"{run.name}.log")
    if way == OURS:
        command = [sys.executable, str(CHECKOUT / "launch.py"), "system=sv3d_dmtet", f"views={views}"]
        cost = run_process([*command, f"hydra.run.dir={run}", *settings], log)
        mesh, report = run / "mesh" / "mesh.glb", {"fit_seconds": cost.seconds}
    else:
        if budget is None:
            raise InputError("ours failed, so that its time is not known")
        run.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "sv3dgen.bench.peer_fit", way, str(views), str(run), f"{budget:g}"]
        cost = run_process(command, log)
        mesh, report = run / "mesh.glb", json.loads((run / "fit.json").read_text(encoding="utf-8"))
    if not mesh.is_file():
        raise InputError(f"{log}: no mesh was written; see its end")
    scores = evaluate(mesh, truth, align="none", views=views, split="test")
    return {**scores, **report, "seconds": cost.seconds, "memory_gb": cost.memory_gb}


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a table, with the machine it was measured on."""
    lines = ["| object | by | " + " | ".join(heading for _, heading, _ in COLUMNS) + " |"]
    lines.append("|---|---|" + "---:|" * len(COLUMNS))
    for row in report["rows"]:
        cells = [format(row[key], spec) if key in row else "" for key, _, spec in COLUMNS]
        cells = ["failed: " + row["error"], *cells[1:]] if "error" in row else cells
        lines.append(f"| {row['object']} | {WAYS[row['way']]} | " + " | ".join(cells) + " |")
    settings = "".join(f" {setting}" for setting in report["settings"])
    budget = "what ours took" if report["seconds"] is None else f"{report['seconds']:g} s"
    text = EXPLANATION.format(settings=settings, budget=budget)
    return "\n".join([f"Measured on: {report['machine']}.", "", text, "", *lines])
