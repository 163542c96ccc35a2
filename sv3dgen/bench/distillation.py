"""What masked SDS does to seen and unseen parts of known objects, with a model that is never wrong or a real one."""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sv3dgen.bench.machine import describe, told
from sv3dgen.bench.objects import find_meshes, launch
from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh
from sv3dgen.metrics.regions import region_scores
from sv3dgen.nvs.known_mesh import KnownMesh
from sv3dgen.views.orbits import SV3D_FRAMES, StaticOrbit
from sv3dgen.views.posed_views import write_views

ELEVATION_DEG, SIZE_PX = 10.0, 320
MASKS = ("none", "naive", "hard", "soft")
TRUTH = "mesh"

EXPLANATION = """\
21 unlit views of a static orbit at 10 degrees, {size_px} px;
`python launch.py views=VIEWS guidance/sds=MASK nvs={nvs}{settings}`. PSNR over white of the exported mesh, unlit, from
32 sides at elevations of -50, -20, 20 and 50 degrees, over the pixels
of the true surface that those views see well (soft mask under .01, with occlusion) and that they do not (over .5)."""


def measure(
    meshes: Path,
    *,
    nvs: str = TRUTH,
    masks: Sequence[str] = MASKS,
    only: Sequence[str] = (),
    settings: Sequence[str] = (),
    keep: Path | None = None,
) -> dict[str, Any]:
    """Run every mesh with every mask. `nvs` "mesh" is the truth itself, else an option of that group."""
    paths = find_meshes(meshes, only)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for path in paths:
            folder = (keep or Path(temporary)).resolve() / path.stem
            model = KnownMesh(path, frames=SV3D_FRAMES, size_px=SIZE_PX)
            orbit = StaticOrbit()(ELEVATION_DEG, SV3D_FRAMES, torch.Generator())
            views = model.views(torch.zeros(3, 1, 1), orbit, seed=0)
            write_views(views, folder / "views")
            given = [f"views={folder / 'views'}", f"nvs={nvs}", f"share={folder / 'shared'}", *settings]
            given += [f"nvs.mesh={path.resolve()}"] if nvs == TRUTH else []
            for mask in masks:
                run = folder / mask
                chosen = [*given, f"guidance/sds={mask}", f"hydra.run.dir={run}"]
                row: dict[str, Any] = {"object": path.stem, "mask": mask}
                try:
                    row["seconds"] = launch(chosen, folder / f"{mask}.log").seconds
                    row |= asdict(region_scores(read_mesh(run / "mesh" / "mesh.glb"), model.mesh, views.cameras))
                except InputError as error:
                    row["error"] = str(error)
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
    return {"machine": describe(), "nvs": nvs, "settings": list(settings), "rows": rows}


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a table, with the machine it was measured on."""
    lines = [
        "| object | SDS | PSNR seen, dB | PSNR unseen, dB | seen | unseen | s |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in report["rows"]:
        cells = (
            [row["error"], "", "", "", ""]
            if "error" in row
            else [
                f"{row['psnr_seen']:.2f}",
                f"{row['psnr_unseen']:.2f}",
                f"{row['share_seen']:.0%}",
                f"{row['share_unseen']:.0%}",
                f"{row['seconds']:.0f}",
            ]
        )
        lines.append(f"| {row['object']} | {row['mask']} | " + " | ".join(cells) + " |")
    return told(report, EXPLANATION, lines, size_px=SIZE_PX, nvs=report["nvs"])
