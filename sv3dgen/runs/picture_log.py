"""Contact sheets: what the model draws next to what it should, as PNG files and to the loggers that take pictures."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.interfaces import RenderOutput, ViewBatch
from sv3dgen.renderers.outlines import spread_to_outline
from sv3dgen.runs.sheet_titles import titled

GAP_PX = 2
COLUMNS = ("target", "render", "albedo", "normal", "mask", "target's mask")
GUIDANCE_IMAGES = 7  # of each row of a guidance's sheet


def contact_sheet(render: RenderOutput, batch: ViewBatch) -> Float[Tensor, "3 height width"]:
    """One row per view, in `COLUMNS`. Colors in [0, 1] on white, a black grid.

    Normals (world frame) are shown as (n + 1) / 2.
    """
    rgb, albedo, normal = (
        spread_to_outline(part, render.shaded)
        for part in (render.rgb, render.buffer("albedo"), render.buffer("normal"))
    )
    columns = [
        on_white(batch.rgb, batch.alpha),
        on_white(rgb, render.opacity),
        on_white(albedo, render.opacity),
        on_white((normal + 1) / 2, render.opacity),
        render.opacity.expand(-1, 3, -1, -1),
        batch.alpha.expand(-1, 3, -1, -1),
    ]
    return tile(torch.stack([column.detach().float().cpu().clamp(0, 1) for column in columns], dim=1))


def on_white(
    color: Float[Tensor, "images 3 height width"], opacity: Float[Tensor, "images 1 height width"]
) -> Float[Tensor, "images 3 height width"]:
    """Straight color over white."""
    return color * opacity + (1 - opacity)


def tile(pictures: Float[Tensor, "rows columns 3 height width"]) -> Float[Tensor, "3 _ _"]:
    """Pictures as one, a black line between them."""
    padded = torch.nn.functional.pad(pictures, (0, GAP_PX, 0, GAP_PX))
    rows, columns, _, height, width = padded.shape
    sheet = padded.permute(2, 0, 3, 1, 4).reshape(3, rows * height, columns * width)
    return sheet[:, :-GAP_PX, :-GAP_PX]


def log_pictures(
    render: RenderOutput, batch: ViewBatch, *, step: int, stage_folder: Path, loggers: Iterable[Logger] = ()
) -> Path:
    """Write the contact sheet to `<stage_folder>/pictures/<step>.png` and hand it to the loggers; returns the file."""
    return _log(titled(contact_sheet(render, batch), COLUMNS), "pictures", step, stage_folder, loggers)


def log_guidance(
    pictures: Mapping[str, Float[Tensor, "images channels height width"]],
    step: int,
    *,
    stage_folder: Path,
    loggers: Iterable[Logger] = (),
) -> None:
    """Write what guidances keep, `guidance/what` by name, as one sheet a guidance: a row for each `what`.

    To `<stage_folder>/pictures/<guidance>_<step>.png`, and to the loggers.
    """
    rows: dict[str, dict[str, Tensor]] = {}
    for name, images in pictures.items():
        shown = images[:: max(1, len(images) // GUIDANCE_IMAGES)][:GUIDANCE_IMAGES]
        guidance, _, what = name.partition("/")
        rows.setdefault(guidance, {})[what] = shown.detach().float().cpu().clamp(0, 1).expand(-1, 3, -1, -1)
    for guidance, sheets in rows.items():
        sheet = titled(tile(torch.stack([*sheets.values()])), rows=[what.replace("_", " ") for what in sheets])
        _log(sheet, guidance, step, stage_folder, loggers)


def _log(
    sheet: Float[Tensor, "3 height width"], what: str, step: int, stage_folder: Path, loggers: Iterable[Logger]
) -> Path:
    pixels = (sheet * 255).round().byte().permute(1, 2, 0).numpy()
    stem = f"{step:05d}" if what == "pictures" else f"{what}_{step:05d}"
    path = stage_folder / "pictures" / f"{stem}.png"
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary)
    log_sheet(loggers, f"{stage_folder.name}/{what}", sheet, step)
    return path


def log_sheet(
    loggers: Iterable[Logger], tag: str, sheet: Float[Tensor, "3 height width"], step: int, film: Path | None = None
) -> None:
    """Give a sheet, sRGB in [0, 1], to the loggers that show pictures, and a film (mp4) to those that show films."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(tag, sheet, step)
        elif isinstance(logger, WandbLogger):
            pixels = (sheet * 255).round().byte().permute(1, 2, 0).numpy()
            logger.log_image(tag, [pixels], step, caption=[f"step {step}"])
            if film is not None:
                logger.log_video(f"{tag}/film", [str(film)], step, caption=[f"step {step}"], format=["mp4"])
