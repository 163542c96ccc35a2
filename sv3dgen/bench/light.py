"""Whether albedo and light come apart: objects drawn under a known light, meshed with each material."""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sv3dgen.bench.machine import describe, told
from sv3dgen.bench.objects import find_meshes, launch
from sv3dgen.color import linear_to_srgb, over_white, srgb_to_linear
from sv3dgen.errors import InputError
from sv3dgen.export.lighting import lighting
from sv3dgen.materials.from_light import material_from_light
from sv3dgen.meshes.files import fit_unit_box, read_mesh
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.metrics.surface import sample_surface
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.cameras import look_at_origin
from sv3dgen.views.orbits import SV3D_DISTANCE, SV3D_FRAMES, SineOrbit
from sv3dgen.views.posed_views import PosedViews, views_of_orbit, write_views

SIZE_PX, SUPERSAMPLE, SAMPLES = 320, 3, 20_000
# A key light from the upper right, a weaker fill from the left, and a sky; irradiance over pi between .27 and 1.05.
LIGHT: dict[str, Any] = {
    "type": "sg",
    "form": "product",
    "tone_map": "none",
    "lobes": [
        {"axis": [0.60, 0.64, 0.48], "sharpness": 4.0, "amplitude": 2.4},
        {"axis": [-0.80, 0.00, 0.60], "sharpness": 2.0, "amplitude": 0.5},
        {"axis": [0.00, 1.00, 0.00], "sharpness": 0.3, "amplitude": 0.45},
    ],
}
CASES = (("unlit", "constant"), ("lit", "constant"), ("lit", "sg"), ("lit", "sg_fork"))

EXPLANATION = """\
21 views of a sine-30 orbit, {size_px} px, drawn unlit or under three known spherical Gaussians without shadows;
`python launch.py views=VIEWS material=MATERIAL{settings}`. Irradiance: mean absolute difference from the true one
at points of the true surface, over its mean, after one factor. Albedo: PSNR over white of the exported mesh unlit,
from 24 sides, after one factor in linear light; the first row is the upper bound, whose views have no light in them."""


def measure(
    meshes: Path, *, only: Sequence[str] = (), settings: Sequence[str] = (), keep: Path | None = None
) -> dict[str, Any]:
    """Run every mesh in every case; a run that fails is noted."""
    paths = find_meshes(meshes, only)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for path in paths:
            folder, mesh = (keep or Path(temporary)).resolve() / path.stem, fit_unit_box(read_mesh(path))
            for views, material in CASES:
                write_views(_views(mesh, views == "lit"), folder / views)
                run = folder / f"{views}_{material}"
                row: dict[str, Any] = {"object": path.stem, "views": views, "material": material}
                try:
                    given = [f"views={folder / views}", f"material={material}", f"hydra.run.dir={run}", *settings]
                    launch(given, folder / f"{run.name}.log")
                    light = json.loads((run / "light.json").read_text(encoding="utf-8"))
                    row["albedo_psnr"] = albedo_psnr(read_mesh(run / "mesh" / "mesh.glb"), mesh)
                    row["irradiance_error"] = irradiance_error(light, mesh) if views == "lit" else None
                except InputError as error:
                    row["error"] = str(error)
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
    return {"machine": describe(), "settings": list(settings), "rows": rows}


@torch.no_grad()
def irradiance_error(light: Mapping[str, Any], mesh: TexturedMesh, truth: Mapping[str, Any] = LIGHT) -> float:
    """Mean absolute difference of two lights' irradiance on a surface, over the true mean, after the best factor."""
    normals = sample_surface(mesh.mesh, SAMPLES, torch.Generator().manual_seed(0)).normals.float()
    found, true = (_irradiance(dict(one), normals) for one in (light, truth))
    found = found * (found * true).sum() / found.square().sum()
    return float((found - true).abs().mean() / true.mean())


@torch.no_grad()
def albedo_psnr(prediction: TexturedMesh, truth: TexturedMesh) -> float:
    """PSNR in dB over white of two meshes drawn unlit, after the best factor in linear light on what both cover."""
    elevations = torch.tensor([-20.0, 10.0, 40.0]).repeat_interleave(8)
    cameras = look_at_origin(elevations, (torch.arange(8) * 45.0).repeat(3), distance=SV3D_DISTANCE, size_px=256)
    drawn, true = (render_textured(mesh, cameras) for mesh in (prediction, truth))
    both = (torch.minimum(drawn[:, 3], true[:, 3]) > 0.99)[:, None].expand(-1, 3, -1, -1)
    linear, wanted = srgb_to_linear(drawn[:, :3]), srgb_to_linear(true[:, :3])
    factor = (linear * wanted)[both].sum() / linear.square()[both].sum()
    scaled = linear_to_srgb((factor * linear).clamp(0, 1))
    error = over_white(scaled, drawn[:, 3:]) - over_white(true[:, :3], true[:, 3:])
    return float(-10 * error.square().mean().log10())


def _irradiance(light: dict[str, Any], normals: Tensor) -> Tensor:
    material = material_from_light(light)
    return material(torch.zeros(len(normals), material.feature_dim), normals).irradiance[:, 0]


def _views(mesh: TexturedMesh, lit: bool) -> PosedViews:
    orbit = SineOrbit(amplitude_deg=30.0)(10.0, SV3D_FRAMES, torch.Generator())
    cameras = orbit.cameras(size_px=SIZE_PX)
    rgba = render_textured(mesh, cameras, SUPERSAMPLE, **(lighting(mesh, LIGHT) if lit else {}))
    return views_of_orbit((rgba * 255).round().byte(), orbit, cameras)


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a table, with the machine it was measured on."""
    lines = ["| object | views | material | irradiance off by | albedo, dB |", "|---|---|---|---:|---:|"]
    for row in report["rows"]:
        if "error" in row:
            cells = [row["error"], ""]
        else:
            off = row["irradiance_error"]
            cells = ["-" if off is None else f"{off:.1%}", f"{row['albedo_psnr']:.2f}"]
        lines.append(f"| {row['object']} | {row['views']} | {row['material']} | " + " | ".join(cells) + " |")
    return told(report, EXPLANATION, lines, size_px=SIZE_PX)
