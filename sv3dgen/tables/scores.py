"""A run's scores against the truth, computed once and kept in the run's folder."""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sv3dgen.atomic import atomic_write
from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError
from sv3dgen.metrics.evaluation import Protocol, evaluate, light_beside
from sv3dgen.tables.runs import MESH, AblationRun
from sv3dgen.views.transforms_json import read_transforms

SCORES = "scores.json"  # in a run's folder
VERSION = 1  # of what is computed; another number makes all kept scores stale

# The paper's columns, and what they are in a report of `evaluate` and in one of `appearance_scores`.
COLUMNS = ("LPIPS", "PSNR", "SSIM", "MSE", "CLIP-S", "CD", "IoU")
_GEOMETRY: dict[str, dict[str, str]] = {
    "sv3d-2024": {"chamfer_vertices": "CD", "iou_32": "IoU"},
    "surface": {"chamfer": "CD", "iou_64": "IoU"},
}
_COLOR = {"lpips": "LPIPS", "psnr": "PSNR", "ssim": "SSIM", "mse": "MSE", "clip_s": "CLIP-S"}


@dataclass(frozen=True)
class Truth:
    """Where true meshes and true views are: FOLDER/NAME.glb, FOLDER/NAME with its transforms.json."""

    meshes: Path | None = None
    views: Path | None = None
    protocol: Protocol = "sv3d-2024"
    lpips: str | None = None  # the network: alex, vgg, or a file of its weights
    clip: str | None = None
    size_px: int = 256  # of pictures drawn of both meshes


def scores_of_run(run: AblationRun, truth: Truth) -> tuple[dict[str, float], list[str]]:
    """Scores by the paper's column, only those that are numbers; and why others are not there."""
    scores: dict[str, float] = {}
    problems = []
    for score in (_geometry, _color):
        try:
            found, lacking = score(run, truth)
            scores |= found
            problems += lacking
        except (InputError, ValueError) as error:
            problems.append(" ".join(str(error).split()))
    if not scores and not problems:
        problems.append("nothing to compare with: expected --meshes, --views, or views with a test split")
    return scores, problems


def _geometry(run: AblationRun, truth: Truth) -> tuple[dict[str, float], list[str]]:
    if truth.meshes is None:
        return {}, []
    mesh, true_mesh = run.folder / MESH, truth.meshes / f"{run.name}.glb"
    if not true_mesh.is_file():
        raise InputError(f"no {true_mesh}")
    # Without true views, both meshes are drawn on the paper's dynamic orbit.
    orbit = "dynamic" if truth.views is None and true_views(run, truth) is None else None
    by = {"protocol": truth.protocol, "truth": _digest(true_mesh), "mesh": _digest(mesh), "orbit": orbit}
    drawing = {"lpips": truth.lpips, "clip": truth.clip, "size_px": truth.size_px} if orbit else {}
    report = _kept(
        run.folder,
        by | drawing,
        lambda: evaluate(mesh, true_mesh, protocol=truth.protocol, orbit=orbit, **drawing),
        truth,
    )
    drawn = {f"orbit_{name}": column for name, column in _COLOR.items()} if orbit else {}
    return _columns(report, _GEOMETRY[truth.protocol] | drawn), lacking(report, truth)


def _color(run: AblationRun, truth: Truth) -> tuple[dict[str, float], list[str]]:
    found = true_views(run, truth)
    if found is None:
        return {}, []
    views, split = found
    pictures = [frame.image for frame in read_transforms(views, split).frames]
    mesh, light = run.folder / MESH, light_beside(run.folder / MESH)
    by = {
        "protocol": "appearance",
        "split": split,
        "lpips": truth.lpips,
        "clip": truth.clip,
        "truth": _digest(*_cameras(views), *pictures),
        "mesh": _digest(mesh, *([] if light is None else [light])),
    }

    def compute() -> dict[str, Any]:
        from sv3dgen.meshes.files import read_mesh  # imports torch, which takes seconds
        from sv3dgen.metrics.appearance import appearance_scores
        from sv3dgen.metrics.pictures import learned_metrics

        learned = learned_metrics(truth.lpips, truth.clip, all_at_hand=False)
        return appearance_scores(read_mesh(mesh), views, learned, split=split, light=light)

    report = _kept(run.folder, by, compute, truth)
    return _columns(report, _COLOR), lacking(report, truth)


def true_views(run: AblationRun, truth: Truth) -> tuple[Path, Literal["test", "all"]] | None:
    """The views to compare color with: those of the truth's folder, their test split where they have one; else the
    test split of the views that the run was given, where these have one. InputError where they should be there.
    """
    if truth.views is not None:
        views = truth.views / run.name
        if not views.is_dir():
            raise InputError(f"no {views}")
        return views, "test" if _has_test_split(views) else "all"
    if run.views is not None and (run.views.is_dir() or run.views.suffix == ".json") and _has_test_split(run.views):
        return run.views, "test"
    return None


def _has_test_split(views: Path) -> bool:
    try:
        return bool(read_transforms(views, "test").frames)
    except InputError:
        return False


def _cameras(views: Path) -> list[Path]:
    return [views] if views.is_file() else sorted(views.glob("transforms*.json"))


def _columns(report: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    found = {column: report.get(name) for name, column in names.items()}
    return {
        column: float(value)
        for column, value in found.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _kept(
    folder: Path, by: Mapping[str, Any], compute: Callable[[], Mapping[str, Any]], truth: Truth
) -> dict[str, Any]:
    """The scores kept under all that they follow from; computed, and kept, where there are none."""
    path = folder / SCORES
    key = hashlib.sha256(json.dumps({"version": VERSION, **by}, sort_keys=True).encode()).hexdigest()[:16]
    try:
        kept = parse_json(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        kept = {}
    if not isinstance(kept, dict) or not all(isinstance(entry, dict) and "scores" in entry for entry in kept.values()):
        kept = {}  # damaged: nothing in it that could not be computed again
    if key in kept and not lacking(kept[key]["scores"], truth):
        return kept[key]["scores"]
    print(f"scoring {folder} ({by['protocol']})", file=sys.stderr, flush=True)
    scores = dict(compute())
    if lacking(scores, truth):  # what is lacking today may be there tomorrow
        return scores
    with atomic_write(path) as temporary:
        told = {**kept, key: {"of": dict(by), "scores": scores}}
        temporary.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return scores


def lacking(report: Mapping[str, Any], truth: Truth) -> list[str]:
    """Why metrics that were asked for are not in a report: their weights can't be had."""
    asked = [
        name for name, wanted in (("lpips", truth.lpips is not None), ("clip_s", truth.clip is not None)) if wanted
    ]
    reasons = {name: report.get(f"{name}_backbone", report.get(f"orbit_{name}_backbone")) for name in asked}
    return [
        f"no {name}: {text.removeprefix('none: ')}"
        for name, text in reasons.items()
        if isinstance(text, str) and text.startswith("none: ")
    ]


def _digest(*files: Path) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()
