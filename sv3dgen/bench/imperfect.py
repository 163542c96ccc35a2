"""Views that disagree to mesh, for known objects, and what each part that forgives is worth."""

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sv3dgen.bench.machine import describe, told
from sv3dgen.bench.objects import find_meshes, launch
from sv3dgen.color import over_white
from sv3dgen.errors import InputError
from sv3dgen.meshes.files import fit_unit_box, read_mesh
from sv3dgen.metrics.evaluation import evaluate
from sv3dgen.metrics.image import psnr
from sv3dgen.nvs.imperfect import imperfect
from sv3dgen.nvs.known_mesh import SUPERSAMPLE
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.cameras import look_at_origin
from sv3dgen.views.orbits import SV3D_FRAMES, SineOrbit
from sv3dgen.views.posed_views import PosedViews, write_views

ELEVATION_DEG, AMPLITUDE_DEG, SIZE_PX = 10.0, 30.0, 320  # SV3D's reference orbit
DISTANCE = 2.4  # from which a mesh that fills the unit box fits into every view
TEST_VIEWS, TEST_ELEVATION_DEG = 12, (-10.0, 20.0, 40.0)  # true ones, never fitted
LEVELS = (0.0, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Part:
    """One way to run: with settings of its own, on views that say which of them are generated or don't."""

    settings: tuple[str, ...] = ()
    sources_told: bool = True


PARTS: dict[str, Part] = {
    "all": Part(),
    "no corrections": Part(("corrections=none",)),
    "no share of the photo's": Part(("coarse.data.photo_share=0.0", "fine.data.photo_share=0.0")),
    "no smoothing of doubts": Part(("export.smooth_doubts=false",)),
    "no photo outline": Part(("export.photo_outline=false",)),
    "no photo texels": Part(("export.photo_texels=false",)),
    "robust loss too": Part(
        ("coarse.guidance.reference_views.robust_scale=0.2", "fine.guidance.reference_views.robust_scale=0.2")
    ),
    "mask doubt too": Part(
        ("coarse.guidance.reference_views.mask_doubt=1.0", "fine.guidance.reference_views.mask_doubt=1.0")
    ),
    "sources not told": Part(sources_told=False),
}
EXPLANATION = """\
{frames} unlit views of {size_px} px on SV3D's reference orbit, all but the front one with the errors
of `nvs=mesh nvs.level=LEVEL`;
`python launch.py views=VIEWS{settings}`. Scored is the exported mesh in the unit box (un-squared Chamfer
of 100 k samples, IoU of 64^3 cells), and its colors over white on {tests} true views
that are never fitted. "all" is the default:
sources told, corrections, a share of the photo's own, its texels; the others differ from it in what they are called."""


def measure(
    meshes: Path,
    *,
    levels: Sequence[float] = LEVELS,
    parts: Sequence[str] = tuple(PARTS),
    only: Sequence[str] = (),
    settings: Sequence[str] = (),
    keep: Path | None = None,
) -> dict[str, Any]:
    """Run every mesh at every level with every part; at level 0 with "all" alone. `keep` is a folder for the runs."""
    paths, rows = find_meshes(meshes, only), []
    with tempfile.TemporaryDirectory() as temporary:
        top = (keep or Path(temporary)).resolve()
        for path in paths:
            true = true_views(path)
            for level in levels:
                folder = top / path.stem / f"level_{level:g}"
                wrong, changed = wrong_views(true, level), slice(0, SV3D_FRAMES - 1)
                decibel = float(psnr(_over_white(wrong[changed]), _over_white(true[changed])).mean()) if level else None
                for name in parts if level else [name for name in parts if name == "all"]:
                    row = {"object": path.stem, "level": level, "part": name, "views_psnr": decibel}
                    try:
                        row |= _run_and_score(path, wrong, PARTS[name], folder, name, settings)
                    except InputError as error:
                        row["error"] = str(error)
                    print(row, file=sys.stderr, flush=True)
                    rows.append(row)
    return {"machine": describe(), "settings": list(settings), "rows": rows, "summary": _summary(rows)}


def true_views(path: Path) -> PosedViews:
    """An object on its orbit, to train on, the front last; and from other places, to test with."""
    orbit = SineOrbit(amplitude_deg=AMPLITUDE_DEG)(ELEVATION_DEG, SV3D_FRAMES, torch.Generator())
    between = (torch.arange(TEST_VIEWS) + 0.5) * 360 / TEST_VIEWS
    azimuth_deg = torch.cat([orbit.azimuth_deg, between])
    elevation_deg = torch.cat([orbit.elevation_deg, torch.tensor(TEST_ELEVATION_DEG).repeat(TEST_VIEWS)[:TEST_VIEWS]])
    cameras = look_at_origin(elevation_deg, azimuth_deg, distance=DISTANCE, size_px=SIZE_PX)
    rgba = render_textured(fit_unit_box(read_mesh(path)), cameras, SUPERSAMPLE)
    splits = ("train",) * SV3D_FRAMES + ("test",) * TEST_VIEWS
    names = tuple(f"{index:03d}.png" for index in range(len(splits)))
    images = (rgba * 255).round().byte()
    return PosedViews(images, cameras, names, splits, elevation_deg, azimuth_deg, torch.eye(4, dtype=torch.float64))


def wrong_views(true: PosedViews, level: float) -> PosedViews:
    """The same with errors in what is trained on."""
    wrong = imperfect(true[:SV3D_FRAMES], level)
    images = torch.cat([wrong.images, true.images[SV3D_FRAMES:]])
    return replace(true, images=images, generated=wrong.generated + (False,) * TEST_VIEWS)


def _run_and_score(
    path: Path, wrong: PosedViews, part: Part, folder: Path, name: str, settings: Sequence[str]
) -> dict[str, Any]:
    views = folder / ("views" if part.sources_told else "views_as_photos")
    if not views.exists():
        generated = wrong.generated if part.sources_told else ()
        write_views(replace(wrong, generated=generated), views)
    run = folder / name.replace(" ", "_").replace("'", "")
    given = [f"views={views}", f"hydra.run.dir={run}"]
    given += [f"share={folder / 'shared'}", *part.settings, *settings]  # three parts differ at export alone
    seconds = launch(given, folder / f"{run.name}.log").seconds
    scores = evaluate(run / "mesh" / "mesh.glb", path, align="unit_box", views=views, split="test")
    return {key: scores[key] for key in ("chamfer", "iou_64", "psnr", "lpips")} | {"seconds": seconds}


def _over_white(views: PosedViews) -> torch.Tensor:
    return over_white(views.rgba[:, :3], views.rgba[:, 3:])


def _summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the objects, by level and part."""
    groups: dict[tuple[float, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if "error" not in row:
            groups.setdefault((row["level"], row["part"]), []).append(row)
    return [
        {"object": "**median**", "level": level, "part": part}
        | {key: statistics.median(row[key] for row in group) for key in _COLUMNS if group[0][key] is not None}
        for (level, part), group in groups.items()
    ]


_COLUMNS = {
    "views_psnr": ("views, dB", ".1f"),
    "chamfer": ("Chamfer", ".4f"),
    "iou_64": ("IoU", ".3f"),
    "psnr": ("PSNR test, dB", ".1f"),
    "lpips": ("LPIPS test", ".3f"),
    "seconds": ("s", ".0f"),
}


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a table, with the machine it was measured on."""
    lines = ["| object | level | with | " + " | ".join(heading for heading, _ in _COLUMNS.values()) + " |"]
    lines += ["|---|---:|---|" + "---:|" * len(_COLUMNS)]
    several = len({row["object"] for row in report["rows"]}) > 1
    for row in [*report["rows"], *(report["summary"] if several else [])]:
        cells = [format(row[key], spec) if row.get(key) is not None else "" for key, (_, spec) in _COLUMNS.items()]
        cells = ["failed: " + row["error"], *cells[1:]] if "error" in row else cells
        lines.append(f"| {row['object']} | {row['level']:g} | {row['part']} | " + " | ".join(cells) + " |")
    return told(report, EXPLANATION, lines, frames=SV3D_FRAMES, size_px=SIZE_PX, tests=TEST_VIEWS)
