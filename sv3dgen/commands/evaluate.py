"""Score a mesh against its ground truth: `python -m sv3dgen.evaluate --pred a.glb --gt b.glb --protocol surface`.

With `--orbit dynamic` both meshes are also drawn on one orbit and the pictures compared, over white, as the paper does;
with `--views FOLDER` the prediction is drawn from that folder's cameras and compared with its pictures.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sv3dgen.cli.command import SEED, OneLineParser, exit_status, within
from sv3dgen.metrics.evaluation import Report, evaluate

MEANINGS = {
    "faces": "triangles of the prediction",
    "closed": "every edge in exactly two faces, after merging vertices by position",
    "box_scale": "longest side of the prediction over that of the truth, as given",
    "box_shift": "distance of the two box centers, in longest sides of the truth",
    "chamfer": "mean distance of 100 k surface samples to the other surface, not squared, both ways",
    "far_share": "share of the true surface farther than .02 from the prediction",
    "f_score_1": "harmonic mean of precision and recall at .01",
    "f_score_2": "harmonic mean of precision and recall at .02",
    "normal_consistency": "mean |cosine| between the normals of nearest samples",
    "iou_64": "intersection over union of cells, 64^3 of them in the unit box",
    "chamfer_vertices": "mean distance between the files' vertices, not squared, both ways",
    "iou_32": "intersection over union of 64^3 points over [-1, 1]^3, 32^3 of them in the box",
    "views": "pictures compared",
    "shading": "what color the prediction was drawn in",
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
    """Exit status: 0, or 2 for something the user has to fix."""

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
    parser.add_argument("--pred", type=Path, required=True, help="predicted mesh; docs/inputs.md has the formats")
    parser.add_argument("--gt", type=Path, required=True, help="ground-truth mesh")
    parser.add_argument(
        "--protocol", choices=("surface", "sv3d-2024"), default="surface", help="how distances are taken"
    )
    parser.add_argument("--align", choices=("unit_box", "none"), default="unit_box", help="frame of protocol surface")
    parser.add_argument(
        "--yaw-deg", type=within(-360.0, 360.0), default=0.0, help="turn of the prediction about +Y, protocol sv3d-2024"
    )
    parser.add_argument("--views", type=Path, help="folder of posed views to compare the color with")
    parser.add_argument("--split", choices=("test", "train", "all"), default="test", help="which of these views")
    parser.add_argument("--light", type=Path, help="light.json to shade with; found next to the mesh if not given")
    parser.add_argument(
        "--lpips",
        default="alex",
        help="network of LPIPS: alex, vgg (slow, fetched once), or FILE of vgg's weights",
    )
    parser.add_argument("--clip", help="CLIP-S with this model: a folder, or a name in the hub's cache")
    parser.add_argument(
        "--orbit",
        help="draw both meshes on this orbit and compare: dynamic (the paper's tables), dynamic_released, static, "
        "sine30 or sine50",
    )
    parser.add_argument("--elevation-deg", type=within(-89.0, 89.0), default=10.0, help="of the orbit's front view")
    parser.add_argument("--size-px", type=within(16, 4096), default=576, help="side of the orbit's square pictures")
    parser.add_argument("--seed", type=SEED, default=0, help="of the surface samples and of a dynamic orbit")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
