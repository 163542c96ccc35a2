"""What a run has learned of its views: a table of their corrections, and a sheet of views before and after."""

import csv
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.color import over_white
from sv3dgen.data.view_corrections import TABLE
from sv3dgen.interfaces import RenderOutput, ViewBatch
from systems.sv3d_dmtet import Sv3dDmtet
from systems.sv3d_nerf import Sv3dNerf

TABLE_FILE, SHEET_FILE = "corrections.csv", "corrections.png"
SHEET_PX, SHEET_VIEWS = 160, 6


@torch.no_grad()
def write_corrections(folder: Path, stage: Sv3dNerf | Sv3dDmtet) -> None:
    """Write RUN/corrections.csv, a row per view, and RUN/corrections.png.

    The sheet shows the views that are off most: the view; the shape as its camera has it; as the corrected one has it;
    and how far both renders are from the view, black where they are not.
    """
    corrections, views = stage.corrections, stage.views
    rows = corrections.table()
    with atomic_write(folder / TABLE_FILE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ("view", *TABLE))
        table.writeheader()
        for name, row in zip(views.names, rows, strict=True):
            table.writerow({"view": name, **{key: f"{value:.5f}" for key, value in row.items()}})
    frames = views.resized(SHEET_PX)
    moved = [abs(row["shift_x"]) + abs(row["shift_y"]) + row["bend"] for row in rows]
    picked = torch.tensor(sorted(range(len(rows)), key=lambda index: -moved[index])[:SHEET_VIEWS])
    shown = frames[picked]
    batch = ViewBatch(shown.cameras, None, shown.rgba[:, :3], shown.rgba[:, 3:], picked.to(frames.images.device))
    corrected = corrections.applied(batch)
    stage.eval()
    target = over_white(batch.rgb, batch.alpha)
    before = _drawn(stage.renderer(stage.geometry, stage.material, batch.cameras))
    render = stage.renderer(stage.geometry, stage.material, corrected.cameras)
    after = _drawn(render, corrected.gain)
    error = [(picture - target).abs().clamp(0, 1) for picture in (before, after)]
    sheet = torch.cat([torch.cat(list(row), 2) for row in (target, before, after, *error)], 1)
    pixels = (sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
    with atomic_write(folder / SHEET_FILE) as temporary:
        Image.fromarray(pixels).save(temporary)


def _drawn(render: RenderOutput, gain: Tensor | None = None) -> Tensor:
    return over_white(render.rgb if gain is None else render.rgb * gain, render.opacity)
