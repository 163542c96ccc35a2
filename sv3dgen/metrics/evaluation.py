"""Scores of a mesh against its ground truth: its surface, and its pictures."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from sv3dgen.errors import InputError

Protocol = Literal["surface", "sv3d-2024"]
Report = dict[str, Any]  # numbers, truth values and words, by name


def evaluate(
    pred: Path,
    gt: Path,
    *,
    protocol: Protocol = "surface",
    align: Literal["unit_box", "none"] = "unit_box",
    yaw_deg: float = 0.0,
    views: Path | None = None,
    split: Literal["test", "train", "all"] = "test",
    light: Path | None = None,
    lpips: str | None = "alex",
    clip: str | None = None,
    orbit: str | None = None,
    elevation_deg: float = 10.0,
    size_px: int = 576,
    seed: int = 0,
) -> Report:
    """Scores by name, as the command line asks for them. Raises InputError for what only the user can fix.

    `light` None stands for the light.json that belongs to `pred`, if there is one. `lpips` is "alex", "vgg",
    whose weights it may fetch, or a file with these. The pictures of an `orbit` are scored by CLIP where it is there.
    """
    if not 16 <= size_px <= 4096:
        raise InputError(f"--size-px {size_px}: expected 16 to 4096")
    for path in (pred, gt, *(path for path in (views, light) if path is not None)):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    light = light if light is not None else light_beside(pred)
    from sv3dgen.meshes.files import read_mesh  # imports torch, which takes seconds
    from sv3dgen.metrics.pictures import learned_metrics
    from sv3dgen.metrics.protocols import aligned, surface_protocol, sv3d_2024_frame, sv3d_2024_protocol
    from sv3dgen.views.orbits import orbit_by_name

    path = None if orbit is None else orbit_by_name(orbit, elevation_deg=elevation_deg, seed=seed)
    of_views = None if views is None else learned_metrics(lpips, clip, all_at_hand=False)
    of_orbit = None if orbit is None else learned_metrics(lpips, clip, all_at_hand=True)
    prediction, truth = read_mesh(pred), read_mesh(gt)
    report: Report = {"protocol": protocol}
    if protocol == "surface":
        report |= surface_protocol(prediction.mesh, truth.mesh, align=align, seed=seed)
    else:
        report |= sv3d_2024_protocol(prediction.mesh, truth.mesh, yaw_deg=yaw_deg)
    if views is not None and of_views is not None:
        from sv3dgen.metrics.appearance import appearance_scores

        report |= appearance_scores(prediction, views, of_views, split=split, light=light)
    if path is not None and of_orbit is not None:
        from sv3dgen.metrics.appearance import orbit_scores

        yaw_deg = yaw_deg if protocol == "sv3d-2024" else 0.0
        if protocol == "surface":
            frame = aligned(prediction.mesh, truth.mesh, align)
        else:
            frame = sv3d_2024_frame(prediction.mesh, truth.mesh, yaw_deg=yaw_deg)
        placed, true = (replace(prediction, vertices=frame[0].vertices), replace(truth, vertices=frame[1].vertices))
        scores = orbit_scores(placed, true, path, of_orbit, size_px=size_px, yaw_deg=yaw_deg, light=light)
        report["orbit"] = f"{orbit}, seed {seed}, elevation {elevation_deg:g} degrees, {size_px} px"
        report |= {f"orbit_{name}": value for name, value in scores.items()}
    _refuse_nan(pred, report)
    return report


def light_beside(mesh: Path) -> Path | None:
    """The light.json that belongs to a mesh: in its own folder, or in that of the run it came from."""
    return next(
        (path for path in (mesh.parent / "light.json", mesh.parent.parent / "light.json") if path.is_file()), None
    )


def _refuse_nan(pred: Path, report: Report) -> None:
    for name, value in report.items():
        if isinstance(value, float) and math.isnan(value):
            raise InputError(f"{pred}: {name} is not a number, expected a mesh of which it can be computed")
