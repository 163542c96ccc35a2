"""Score a mesh against its ground truth: `python -m sv3dgen.evaluate --pred a.glb --gt b.glb --protocol surface`.

With `--views FOLDER` the prediction is also drawn from that folder's cameras and its colour compared, over white.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from sv3dgen.command import exit_status
from sv3dgen.errors import InputError

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
    "iou_64": "intersection over union of 64^3 cells",
    "chamfer_vertices": "mean distance between the files' vertices, not squared, both ways",
    "iou_32": "intersection over union of 64^3 points over [-1, 1]^3, 32^3 of them in the box",
    "views": "pictures compared",
    "shading": "what colour the prediction was drawn in",
    "psnr": "dB over white, mean over the views",
    "psnr_min": "dB of the worst view",
    "ssim": "structural similarity over white, mean",
    "mse": "mean squared difference over white",
    "lpips": "VGG, over white, mean",
    "mask_iou": "intersection over union of the silhouettes, mean",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 for something the user has to mend."""
    options = vars(_parser().parse_args(arguments))
    as_json = options.pop("json")

    def command() -> int:
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
    seed: int = 0,
) -> Report:
    """Scores by name, as the command line asks for them. Raises InputError for what only the user can mend.

    `light` None stands for the light.json that belongs to `pred`, if there is one.
    """
    for path in (pred, gt, *(path for path in (views, light) if path is not None)):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    light = light if light is not None else light_beside(pred)
    from sv3dgen.mesh_files import read_mesh  # imports torch, which takes seconds
    from sv3dgen.metrics.protocols import surface_protocol, sv3d_2024_protocol

    prediction, truth = read_mesh(pred), read_mesh(gt)
    report: Report = {"protocol": protocol}
    if protocol == "surface":
        report |= surface_protocol(prediction.mesh, truth.mesh, align=align, seed=seed)
    else:
        report |= sv3d_2024_protocol(prediction.mesh, truth.mesh, yaw_deg=yaw_deg)
    if views is not None:
        from sv3dgen.metrics.appearance import appearance_scores

        report |= appearance_scores(prediction, views, split=split, light=light, lpips=lpips)
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
        base = next((known for known in sorted(MEANINGS, key=len, reverse=True) if name.startswith(known)), "")
        meaning = MEANINGS.get(base, "") + (
            "" if name == base else f" ({name.removeprefix(base + '_').replace('_', ' ')})"
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
    parser = argparse.ArgumentParser(prog="python -m sv3dgen.evaluate", description=(__doc__ or "").partition("\n")[0])
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
    parser.add_argument("--seed", type=int, default=0, help="of the surface samples")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
