"""Score a mesh against its ground truth: `python -m sv3dgen.evaluate --pred a.glb --gt b.glb --protocol surface`.

With `--orbit dynamic` both meshes are also drawn on one orbit and the pictures compared, over white, as the paper does;
with `--views FOLDER` the prediction is drawn from that folder's cameras and compared with its pictures.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.errors import InputError

if TYPE_CHECKING:
    pass

Protocol = Literal["surface", "sv3d-2024"]
Report = dict[str, Any]  # numbers, truth values and words, by name

MEANINGS = {
    "faces": "triangles of the prediction",
    "closed": "every edge in exactly two faces, after merging vertices by position",
    "box_scale": "longest side of the prediction over that of the truth, as given",
    "box_shift": "distance of the two box centres, in longest sides of the truth",
    "chamfer": "mean distance of 100 k surface samples to the other surface, not squared, both ways",
    "far_share": "share of the true surface farther than .02 from the prediction",
    "f_score_1": "harmonic mean of precision and recall at .01",
    "f_score_2": "harmonic mean of precision and recall at .02",
    "normal_consistency": "mean |cosine| between the normals of nearest samples",
    "iou_64": "intersection over union of cells, 64^3 of them in the unit box",
    "chamfer_vertices": "mean distance between the files' vertices, not squared, both ways",
    "iou_32": "intersection over union of 64^3 points over [-1, 1]^3, 32^3 of them in the box",
    "views": "pictures compared",
    "shading": "what colour the prediction was drawn in",
    "psnr": "dB over white, mean over the views",
    "psnr_min": "dB of the worst view",
    "ssim": "structural similarity over white, mean",
    "mse": "mean squared difference over white",
    "lpips": "distance in a classifier's features, over white, mean",
    "lpips_backbone": "the classifier",
    "clip_s": "cosine of CLIP's image embeddings, over white, mean",
    "clip_s_backbone": "which CLIP; numbers of different ones do not compare",
    "camera_distance": "of the orbit's cameras from the origin, in the protocol's frame",
    "orbit": "on which both meshes were drawn",
    "mask_iou": "intersection over union of the silhouettes, mean",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 for something the user has to mend."""

    def command() -> int:
        options = vars(_parser().parse_args(arguments))
        as_json = options.pop("json")
        report = evaluate(**options)
        if as_json:
            print(json.dumps(report, indent=2))
        else:
            _print_table(report)
        return 0

    return exit_status(command, "sv3dgen.evaluate")


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
    lpips: bool = False,
    clip: str | None = None,
    orbit: str | None = None,
    elevation_deg: float = 10.0,
    size_px: int = 576,
    seed: int = 0,
) -> Report:
    """Scores by name, as the command line asks for them. Raises InputError for what only the user can mend.

    `light` None stands for the light.json that belongs to `pred`, if there is one. `lpips` may fetch its weights; the
    pictures of an `orbit` are scored by every learned metric whose weights are there.
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


def _print_table(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("score", "value", "meaning", title=f"protocol {report['protocol']}", title_justify="left")
    for name, value in report.items():
        if name == "protocol":
            continue
        plain = name.removeprefix("orbit_")
        base = next((known for known in sorted(MEANINGS, key=len, reverse=True) if plain.startswith(known)), "")
        meaning = MEANINGS.get(base, "") + (
            "" if plain == base else f" ({plain.removeprefix(base + '_').replace('_', ' ')})"
        )
        table.add_row(name, shown(value), meaning)
    Console().print(table)


def shown(value: float | int | bool | str | None) -> str:
    """A number with as many digits as it deserves."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"
    return "-" if value is None else str(value)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m sv3dgen.evaluate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pred", type=Path, required=True, help="predicted mesh (GLB, OBJ, PLY)")
    parser.add_argument("--gt", type=Path, required=True, help="ground-truth mesh")
    parser.add_argument("--protocol", choices=("surface", "sv3d-2024"), default="surface")
    parser.add_argument("--align", choices=("unit_box", "none"), default="unit_box", help="frame of protocol surface")
    parser.add_argument(
        "--yaw-deg", type=float, default=0.0, help="turn of the prediction about +Y, protocol sv3d-2024"
    )
    parser.add_argument("--views", type=Path, help="folder of posed views to compare the colour with")
    parser.add_argument("--split", choices=("test", "train", "all"), default="test", help="which of these views")
    parser.add_argument("--light", type=Path, help="light.json to shade with; found beside the mesh if not given")
    parser.add_argument("--lpips", action="store_true", help="LPIPS too (slow on a CPU)")
    parser.add_argument("--clip", help="CLIP-S with this model: a folder, or a name in the hub's cache")
    parser.add_argument(
        "--orbit", help="draw both meshes on this orbit and compare: dynamic (the paper's tables), static, sine30 ..."
    )
    parser.add_argument("--elevation-deg", type=float, default=10.0, help="of the orbit's front view (default: 10)")
    parser.add_argument("--size-px", type=int, default=576, help="of the orbit's pictures (default: 576)")
    parser.add_argument("--seed", type=int, default=0, help="of the surface samples and of a dynamic orbit")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
