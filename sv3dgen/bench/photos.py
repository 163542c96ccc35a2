"""One photo to mesh for a folder of objects, next to the same pipeline on true views, against the ground truth."""

import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sv3dgen.atomic import atomic_write
from sv3dgen.bench.machine import describe
from sv3dgen.bench.objects import CHECKOUT, Cost, find_meshes, run_process
from sv3dgen.data.orbit_rendering import lit
from sv3dgen.errors import InputError
from sv3dgen.materials.studio_light import creased_normals, random_light
from sv3dgen.meshes.files import fit_unit_box, read_mesh
from sv3dgen.metrics.evaluation import evaluate
from sv3dgen.renderers.textured import appearance, fitting_distance, render_batches
from sv3dgen.runs.run_folder import CARD
from sv3dgen.seeding import generator
from sv3dgen.views.orbits import SineOrbit
from sv3dgen.views.posed_views import views_of_orbit, write_views

ELEVATION_DEG, AMPLITUDE_DEG, FRAMES, FOV_DEG = 10.0, 30.0, 21, 33.8  # SV3D's reference orbit
PHOTO_PX, SUPERSAMPLE = 320, 3
SOURCES = ("photo", "true views")

EXPLANATION = """\
Each object is put into the unit box, lit by one studio light, and drawn from 10 degrees above its front: that picture,
cut out, is the photo of `python launch.py image=PHOTO{settings}`, in a process of its own. Next to it stands the same
command on the true views of the same orbit, {size_px} px as the model's. Scored is the exported mesh, scaled and
moved into the unit box by its own bounding box, as the truth is: un-squared Chamfer of 100 k samples and IoU of 64^3
cells."""


def measure(
    meshes: Path, *, size_px: int, only: Sequence[str] = (), settings: Sequence[str] = (), keep: Path | None = None
) -> dict[str, Any]:
    """Run and score every mesh twice; a run that fails is noted. `keep` is a folder for pictures and runs."""
    paths = find_meshes(meshes, only)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        top = (keep or Path(temporary)).resolve()
        for path in paths:
            photo, views = draw(path, top / path.stem, size_px)
            row: dict[str, Any] = {"object": path.stem}
            for source, given in zip(SOURCES, (f"image={photo}", f"views={views}"), strict=True):
                run = top / path.stem / source.replace(" ", "_")
                try:
                    row[source] = _run_and_score(given, path, run, settings)
                except InputError as error:
                    row[source] = {"error": str(error)}
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    return {"machine": describe(), "size_px": size_px, "settings": list(settings), "objects": rows}


def draw(path: Path, folder: Path, size_px: int) -> tuple[Path, Path]:
    """Photo and true views of a mesh, under the same light."""
    mesh = fit_unit_box(read_mesh(path))
    look = lit(appearance(mesh), random_light(generator(0, path.stem)), creased_normals(mesh))
    orbit = SineOrbit(amplitude_deg=AMPLITUDE_DEG)(ELEVATION_DEG, FRAMES, torch.Generator())
    distance = fitting_distance(mesh.vertices, orbit.cameras(1.0, FOV_DEG))
    cameras = orbit.cameras(distance, FOV_DEG, size_px)
    rgba = torch.cat([(batch * 255).round().byte() for batch in render_batches(mesh, cameras, look, SUPERSAMPLE)])
    views = views_of_orbit(rgba, orbit, cameras)
    write_views(views, folder / "true")
    front = orbit.cameras(distance, FOV_DEG, PHOTO_PX)[-1:]
    (picture,) = render_batches(mesh, front, look, SUPERSAMPLE)
    with atomic_write(folder / "photo.png") as temporary:
        Image.fromarray((picture[0] * 255).round().byte().permute(1, 2, 0).numpy()).save(temporary)
    return folder / "photo.png", folder / "true"


def _run_and_score(given: str, truth: Path, run: Path, settings: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, str(CHECKOUT / "launch.py"), given, f"hydra.run.dir={run}", *settings]
    cost: Cost = run_process(command, run.parent / f"{run.name}.log")
    scores = evaluate(run / "mesh" / "mesh.glb", truth, align="unit_box")
    stages = json.loads((run / CARD).read_text(encoding="utf-8"))["stages"]
    return {
        "chamfer": scores["chamfer"],
        "iou_64": scores["iou_64"],
        "views_s": stages["views"]["seconds"],
        "seconds": cost.seconds,
        "memory_gb": cost.memory_gb,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a table, with medians, and the machine it was measured on."""
    columns = (("chamfer", "Chamfer", ".4f"), ("iou_64", "IoU", ".3f"), ("seconds", "s", ".0f"))
    heads = [f"{heading}, {source}" for source in SOURCES for _, heading, _ in columns]
    lines = [
        "| object | " + " | ".join([*heads, "views, s", "memory, GB"]) + " |",
        "|---|" + "---:|" * (len(heads) + 2),
    ]
    rows = [*report["objects"], {"object": "**median**"} | {source: _median(report, source) for source in SOURCES}]
    for row in rows:
        cells = [_cell(row[source], key, spec) for source in SOURCES for key, _, spec in columns]
        cells += [_cell(row["photo"], "views_s", ".0f"), _cell(row["photo"], "memory_gb", ".2f")]
        lines.append(f"| {row['object']} | " + " | ".join(cells) + " |")
    settings = "".join(f" {setting}" for setting in report["settings"])
    text = EXPLANATION.format(settings=settings, size_px=report["size_px"])
    return "\n".join([f"Measured on: {report['machine']}.", "", text, "", *lines])


def _median(report: Mapping[str, Any], source: str) -> dict[str, float]:
    scored = [row[source] for row in report["objects"] if "error" not in row[source]]
    return {key: statistics.median(score[key] for score in scored) for key in (scored[0] if scored else {})}


def _cell(scores: Mapping[str, Any], key: str, spec: str) -> str:
    return format(scores[key], spec) if key in scores else "failed" if "error" in scores else ""
