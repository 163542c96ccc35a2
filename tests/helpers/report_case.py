"""The folder of a small run, as its page finds it, without the run."""

from pathlib import Path
from typing import Any

import torch
import trimesh
import yaml

from sv3dgen.export.exporter import Exporter
from sv3dgen.meshes.topology import from_numpy
from sv3dgen.report.pictures import write_pictures
from sv3dgen.runs.run_folder import RunCard
from sv3dgen.views.posed_views import PosedViews

CONSTANT = {"type": "constant"}
FROM_ABOVE = {  # one lobe: bright on top, dark below
    "type": "sg",
    "form": "product",
    "tone_map": "none",
    "lobes": [{"axis": [0.0, 1.0, 0.0], "sharpness": 2.0, "amplitude": 1.5}],
}


def pattern(points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    return 0.5 + 0.4 * torch.stack([(5 * points[:, 0]).sin(), (4 * points[:, 1]).cos(), normals[:, 2]], dim=1)


def small_run(
    folder: Path,
    views: PosedViews | None = None,
    *,
    light: dict[str, Any] = CONSTANT,
    settings: tuple[str, ...] = ("views=toy",),
    name: str = "toy",
    mode: str = "RUN",
    subdivisions: int = 3,
    texture_px: int = 64,
) -> RunCard:
    """A ball with a texture, its card, two stages' numbers and Hydra's files; `views` are compared with it."""
    (folder / ".hydra").mkdir(parents=True)
    hydra = {"mode": mode, "overrides": {"task": list(settings), "hydra": [f"hydra.mode={mode}"]}}
    hydra["runtime"] = {"choices": {"preset": "cpu", "hydra/launcher": "basic"}}
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": hydra}), encoding="utf-8")
    config = {"name": name, "system": {"stages": ["coarse", "fine"]}}
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    card = RunCard.begin(folder, config={"name": name}, seed=3)
    for stage in ("coarse", "fine"):
        with card.stage(stage):
            pass
    card.add_metrics(psnr_train=31.5, faces=1280, watertight=True)
    (folder / "logs").mkdir()
    rows = ["coarse/reference_views/rgb,coarse/smoothness/bilateral_depth,fine/reference_views/rgb,step"]
    rows += [f"{0.1 / step},{0.01 * step},,{50 * step}" for step in range(1, 5)]
    rows += [f",,{0.01 / step},{50 * step}" for step in range(1, 4)]
    (folder / "logs" / "metrics.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    made = trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.4)
    ball = from_numpy(made.vertices, made.faces)
    exporter = Exporter(faces=len(ball.faces), texture_px=texture_px, turntable_frames=2, turntable_px=32)
    exporter.export(ball, pattern, folder, light)
    if views is not None:
        write_pictures(folder, views, light)
    return card
