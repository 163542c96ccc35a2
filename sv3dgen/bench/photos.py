"""One photo to mesh for a folder of objects, next to the same pipeline on true views, against the ground truth."""

import json
import math
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sv3dgen.atomic import atomic_write
from sv3dgen.bench.machine import describe, told
from sv3dgen.bench.objects import find_meshes, launch
from sv3dgen.data.orbit_rendering import lit
from sv3dgen.errors import InputError
from sv3dgen.materials.studio_light import creased_normals, random_light
from sv3dgen.meshes.files import fit_unit_box, read_mesh
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.metrics.protocols import surface_protocol
from sv3dgen.renderers.textured import appearance, fitting_distance, render_batches
from sv3dgen.runs.run_folder import CARD
from sv3dgen.seeding import generator
from sv3dgen.views.orbits import SineOrbit
from sv3dgen.views.posed_views import views_of_orbit, write_views

AMPLITUDE_DEG, FRAMES, FOV_DEG = 30.0, 21, 33.8  # SV3D's reference orbit
PLACES = {"front": (10.0, 0.0), "aside": (15.0, 35.0)}  # elevation and azimuth of the photo, in degrees
PHOTO_PX, SUPERSAMPLE = 320, 3
SOURCES = ("photo", "true views")

COLUMNS = (("chamfer", "Chamfer", ".4f"), ("iou_64", "IoU", ".3f"), ("seconds", "s", ".0f"))  # of each source
COLUMNS_OF_PHOTO = (
    ("front_psnr", "PSNR from the photo's camera, dB", ".1f"),
    ("front_iou", "mask IoU there", ".3f"),
    ("views_s", "views, s", ".0f"),
    ("memory_gb", "memory, GB", ".2f"),
)

EXPLANATION = """\
Each object is put into the unit box, lit by one studio light, and drawn from its front, 10 degrees up, or from 35
degrees aside, 15 degrees up: that picture, cut out, is the photo of `python launch.py image=PHOTO{settings}`, in a
process of its own. "True views" is the same command on the true views of the same orbit, {size_px} px as the model's.
Scored is the exported mesh, scaled and moved into the unit box by its own bounding box, as the truth is: un-squared
Chamfer of 100 k samples and IoU of 64^3 cells; and GLB against photo from the photo's camera, at the size of the
run's views, over white: PSNR, and IoU of the masks."""


def measure(
    meshes: Path,
    *,
    size_px: int,
    places: Sequence[str] = ("front",),
    sources: Sequence[str] = SOURCES,
    only: Sequence[str] = (),
    settings: Sequence[str] = (),
    keep: Path | None = None,
) -> dict[str, Any]:
    """Run and score every mesh from every place with every source; a run that fails is noted. `keep` is a folder."""
    asked = [(path, place) for path in find_meshes(meshes, only) for place in places]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        top = (keep or Path(temporary)).resolve()
        for path, place in asked:
            folder = top / path.stem / place
            truth = placed(path, place)
            photo, views = draw(truth, path.stem, folder, size_px, PLACES[place][0])
            row: dict[str, Any] = {"object": path.stem, "place": place}
            for source in sources:
                given = f"image={photo}" if source == "photo" else f"views={views}"
                try:
                    row[source] = _run_and_score(given, truth, folder / source.replace(" ", "_"), settings)
                except InputError as error:
                    row[source] = {"error": str(error)}
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    told = {"machine": describe(), "size_px": size_px, "settings": list(settings)}
    return told | {"sources": list(sources), "objects": rows}


def placed(path: Path, place: str) -> TexturedMesh:
    """A mesh in the unit box, turned so that the photo's camera stands at azimuth 0, as it does in the photo's run."""
    mesh, turn = read_mesh(path), math.radians(PLACES[place][1])
    across = torch.tensor([[math.cos(turn), 0, -math.sin(turn)], [0, 1, 0], [math.sin(turn), 0, math.cos(turn)]])
    return fit_unit_box(replace(mesh, vertices=mesh.vertices @ across.to(mesh.vertices).T) if turn else mesh)


def draw(mesh: TexturedMesh, name: str, folder: Path, size_px: int, elevation_deg: float) -> tuple[Path, Path]:
    """Photo and true views of a mesh, under the same light, which follows from the name."""
    look = lit(appearance(mesh), random_light(generator(0, name)), creased_normals(mesh))
    orbit = SineOrbit(amplitude_deg=AMPLITUDE_DEG)(elevation_deg, FRAMES, torch.Generator())
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


def _run_and_score(given: str, truth: TexturedMesh, run: Path, settings: Sequence[str]) -> dict[str, Any]:
    cost = launch([given, f"hydra.run.dir={run}", *settings], run.parent / f"{run.name}.log")
    scores = surface_protocol(read_mesh(run / "mesh" / "mesh.glb").mesh, truth.mesh, align="unit_box", seed=0)
    card = json.loads((run / CARD).read_text(encoding="utf-8"))
    stages, front = card["stages"], card["fit"]["per_view"][-1]
    return {
        "front_psnr": front["psnr"],
        "front_iou": front["mask_iou"],
        "chamfer": scores["chamfer"],
        "iou_64": scores["iou_64"],
        "views_s": stages["views"]["seconds"],
        "seconds": cost.seconds,
        "memory_gb": cost.memory_gb,
    }


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a table, with medians, and the machine it was measured on."""
    sources = report["sources"]
    columns = [(source, *column) for source in sources for column in COLUMNS]
    columns += [("photo", *column) for column in COLUMNS_OF_PHOTO if "photo" in sources]
    heads = [f"{heading}, {source}" for source in sources for _, heading, _ in COLUMNS]
    heads += [heading for _, heading, _ in COLUMNS_OF_PHOTO if "photo" in sources]
    lines = ["| object | photo from | " + " | ".join(heads) + " |", "|---|---|" + "---:|" * len(heads)]
    for place in dict.fromkeys(row["place"] for row in report["objects"]):
        rows = [row for row in report["objects"] if row["place"] == place]
        rows.append({"object": "**median**", "place": place} | {source: _median(rows, source) for source in sources})
        for row in rows:
            cells = " | ".join(_cell(row[source], key, spec) for source, key, _, spec in columns)
            lines.append(f"| {row['object']} | {place} | {cells} |")
    return told(report, EXPLANATION, lines, size_px=report["size_px"])


def _median(rows: Sequence[Mapping[str, Any]], source: str) -> dict[str, float]:
    scored = [row[source] for row in rows if "error" not in row[source]]
    return {key: statistics.median(score[key] for score in scored) for key in (scored[0] if scored else {})}


def _cell(scores: Mapping[str, Any], key: str, spec: str) -> str:
    return format(scores[key], spec) if key in scores else "failed" if "error" in scores else ""
