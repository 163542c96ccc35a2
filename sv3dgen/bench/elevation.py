"""How far off an estimated elevation is, on true silhouettes of known objects, next to a fixed one."""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from sv3dgen.bench.machine import describe
from sv3dgen.bench.objects import find_meshes
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.files import read_mesh
from sv3dgen.nvs.elevation import FIXED_DEG, elevation_of_orbit
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.orbits import orbit_by_name

ELEVATIONS_DEG = (-5.0, 5.0, 15.0, 25.0)
_SIZE_PX = 288
_GENERATED_PX = 576  # in which shifts are told


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """What is wrong with the silhouettes, as half widths of uniform distributions; shifts in px of 576."""

    orbit_scale: float = 0.0  # common to all frames, as recentering leaves it
    orbit_shift_px: float = 0.0
    frame_scale: float = 0.0  # of every frame by itself, as generated frames disagree
    frame_shift_px: float = 0.0

    def __call__(self, cameras: Cameras, generator: torch.Generator) -> Cameras:
        """Cameras that take the silhouettes so."""

        def uniform(*shape: int) -> torch.Tensor:
            return 2 * torch.rand(shape, generator=generator) - 1

        views, px = len(cameras), cameras.width_px / _GENERATED_PX
        scale = (1 + self.orbit_scale * uniform(1, 1)) * (1 + self.frame_scale * uniform(views, 1))
        shift = self.orbit_shift_px * uniform(1, 2) + self.frame_shift_px * uniform(views, 2)
        return replace(cameras, focal_px=cameras.focal_px * scale, center_px=cameras.center_px + shift * px)


_RECENTERED = Degradation(orbit_scale=0.1, orbit_shift_px=20.0)
DEGRADATIONS = {
    "none": Degradation(),
    "recentered, each frame shifted by up to 2 px": replace(_RECENTERED, frame_shift_px=2.0),
    "recentered, each by up to 8 px, scaled by up to 2 %": replace(_RECENTERED, frame_shift_px=8.0, frame_scale=0.02),
}


def measure(
    meshes: Path, *, only: Sequence[str] = (), elevations_deg: Sequence[float | int] = ELEVATIONS_DEG
) -> dict[str, Any]:
    """Errors over every mesh below a folder, every elevation and degradation. Raises InputError where there is none."""
    found = find_meshes(meshes, only, pattern="**/*")
    generator = torch.Generator().manual_seed(0)
    rows = []
    for path in found:
        mesh = read_mesh(path)
        for elevation_deg in elevations_deg:
            cameras = orbit_by_name("static", elevation_deg=float(elevation_deg)).cameras(size_px=_SIZE_PX)
            for name, degradation in DEGRADATIONS.items():
                clip = clip_positions(degradation(cameras, generator), mesh.vertices)
                masks = rasterize(clip, mesh.faces, _SIZE_PX, _SIZE_PX).face_index >= 0
                start = perf_counter()
                estimate = elevation_of_orbit(masks)
                row = {"object": path.stem, "elevation_deg": elevation_deg, "degradation": name}
                row |= {"estimate_deg": estimate.elevation_deg, "sure": estimate.sure, "fall": estimate.fall}
                rows.append(row | {"agreement": estimate.agreement, "seconds": perf_counter() - start})
        print(f"{path.stem} done", file=sys.stderr, flush=True)
    return {"machine": describe(), "objects": len(found), "rows": rows, "summary": summarize(rows)}


def summarize(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each degradation: errors of the estimate (what isn't sure counts as the fixed elevation) and of the fixed."""
    summary = []
    for name in dict.fromkeys(row["degradation"] for row in rows):
        chosen = [row for row in rows if row["degradation"] == name]
        errors = [abs(row["estimate_deg"] - row["elevation_deg"]) for row in chosen]
        summary.append(
            {
                "degradation": name,
                "orbits": len(chosen),
                "mean_error_deg": statistics.fmean(errors),
                "median_error_deg": statistics.median(errors),
                "largest_error_deg": max(errors),
                "fixed_mean_error_deg": statistics.fmean(abs(FIXED_DEG - row["elevation_deg"]) for row in chosen),
                "closer": statistics.fmean(
                    error < abs(FIXED_DEG - row["elevation_deg"]) for error, row in zip(errors, chosen, strict=True)
                ),
                "unsure": sum(not row["sure"] for row in chosen),
                "seconds": statistics.median(row["seconds"] for row in chosen),
            }
        )
    return summary


def markdown(report: dict[str, Any]) -> str:
    """The summary as a table."""
    lines = [
        f"{report['objects']} objects, measured on: {report['machine']}",
        "",
        f"| silhouettes | orbits | mean error, deg | median | largest | mean error of {FIXED_DEG:g} | closer than "
        f"{FIXED_DEG:g} | unsure | s |",
        "|---|" + "---:|" * 8,
    ]
    lines += [
        f"| {row['degradation']} | {row['orbits']} | {row['mean_error_deg']:.2f} | {row['median_error_deg']:.2f} "
        f"| {row['largest_error_deg']:.1f} | {row['fixed_mean_error_deg']:.2f} | {row['closer']:.0%} "
        f"| {row['unsure']} | {row['seconds']:.1f} |"
        for row in report["summary"]
    ]
    return "\n".join(lines)
