"""Pictures for a run's page: views and, from the same cameras, the mesh as written; its texture in fitted light."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.color import over_white
from sv3dgen.export.lighting import lighting
from sv3dgen.meshes.files import read_mesh
from sv3dgen.metrics.image import psnr
from sv3dgen.renderers.textured import render_textured
from sv3dgen.report.kept_pictures import FOLDER, LIST, Compared, Pictures
from sv3dgen.report.lit_texture import lit_texture
from sv3dgen.views.posed_views import PosedViews

MOST_VIEWS = 12
SIZE_PX = 512  # of a picture's longer side
LIT_PX = 1024


@torch.no_grad()
def write_pictures(folder: Path, views: PosedViews, light: dict, worst: int | None = None) -> Pictures:
    """Compare the run's `mesh/mesh.glb`, under `light`, with its views, and write `comparison/` into the run's folder.

    Shown are up to `MOST_VIEWS` views, evenly picked, photos among made views and the worst one always: the view at
    position `worst`, by default the one of the lowest PSNR here.
    """
    mesh = read_mesh(folder / "mesh" / "mesh.glb")
    small = views.resized(SIZE_PX)
    drawn = render_textured(mesh, small.cameras, supersample=2, **lighting(mesh, light))
    decibels = psnr(over_white(drawn[:, :3], drawn[:, 3:]), over_white(small.rgba[:, :3], small.rgba[:, 3:]))
    overlap = mask_iou(drawn[:, 3], small.rgba[:, 3])
    worst = int(decibels.argmin()) if worst is None else worst
    compared = []
    for index in shown_views(views.generated, worst):
        files = {what: f"{index:03d}_{what}.webp" for what in ("view", "mesh")}
        for what, rgba in (("view", small.rgba[index]), ("mesh", drawn[index])):
            save_webp(folder / FOLDER / files[what], rgba)
        compared.append(
            Compared(
                name=small.names[index],
                elevation_deg=round(float(views.elevation_deg[index]), 1),
                azimuth_deg=round(float(views.azimuth_deg[index]) % 360, 1),
                made=views.generated[index],
                psnr_db=round(min(float(decibels[index]), 99.0), 2),
                mask_iou=round(float(overlap[index]), 4),
                worst=index == worst and len(views) > 1,
                index=index,
                **files,
            )
        )
    texture = lit_texture(mesh, light)
    if texture is not None:
        save_webp(folder / FOLDER / "lit.webp", texture, LIT_PX)
    pictures = Pictures(tuple(compared), None if texture is None else "lit.webp")
    with atomic_write(folder / FOLDER / LIST) as temporary:
        temporary.write_text(json.dumps(asdict(pictures), indent=2) + "\n", encoding="utf-8")
    return pictures


def shown_views(made: tuple[bool, ...], worst: int, most: int = MOST_VIEWS) -> list[int]:
    """Positions of the views to show: evenly picked, together with the worst and, among made ones, the photos."""
    count = len(made)
    photos = [index for index, one in enumerate(made) if not one] if any(made) else []
    always = list(dict.fromkeys([*photos[: most // 2], worst]))
    rest = max(1, most - len(always))
    even = [index * count // rest for index in range(rest)] if count > most else range(count)
    return sorted({*always, *even})


def mask_iou(
    first: Float[Tensor, "views height width"], second: Float[Tensor, "views height width"]
) -> Float[Tensor, " views"]:
    """Intersection over union of two masks, at opacity 1/2; 1 where both are empty."""
    one, other = first > 0.5, second > 0.5
    union = (one | other).sum((1, 2))
    return torch.where(union == 0, 1.0, (one & other).sum((1, 2)) / union.clamp(min=1))


def save_webp(path: Path, picture: Float[Tensor, "channels height width"], longest_px: int = SIZE_PX) -> None:
    """sRGB in [0, 1], with or without straight alpha, as a small WebP file."""
    pixels = (picture.clamp(0, 1) * 255).round().byte().movedim(0, 2).contiguous().numpy()
    image = Image.fromarray(pixels)
    image.thumbnail((longest_px, longest_px))
    with atomic_write(path) as temporary:
        image.save(temporary, quality=85, alpha_quality=90)
