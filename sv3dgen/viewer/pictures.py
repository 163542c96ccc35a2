"""What a render shows, as pictures for people: one look of it, and the object from four sides."""

from collections.abc import Callable
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from sv3dgen.interfaces import RenderOutput
from sv3dgen.renderers.outlines import spread_to_outline
from sv3dgen.views.cameras import Cameras, look_at_origin

Look = Literal["color", "albedo", "normal", "opacity"]
LOOKS: tuple[Look, ...] = ("color", "albedo", "normal", "opacity")
BACKGROUND = (0.93, 0.93, 0.95)
SIDES = 4
SIDES_ELEVATION_DEG = 15.0


def looks_of(render: RenderOutput) -> tuple[Look, ...]:
    """Those that this render has the pictures for."""
    return tuple(look for look in LOOKS if look in ("color", "opacity", *render.buffers))


def picture_of(render: RenderOutput, look: Look) -> Float[Tensor, "images 3 height width"]:
    """One look of a render, sRGB in [0, 1] before a light background; normals (world frame) as (n + 1) / 2."""
    if look == "opacity":
        return render.opacity.expand(-1, 3, -1, -1).detach().float().cpu()
    color = {
        "color": lambda: render.rgb,
        "albedo": lambda: render.buffer("albedo"),
        "normal": lambda: (render.buffer("normal") + 1) / 2,
    }[look]()
    color = spread_to_outline(color, render.shaded)
    background = color.new_tensor(BACKGROUND)[:, None, None]
    picture = color * render.opacity + background * (1 - render.opacity)
    return picture.detach().float().cpu().clamp(0, 1)


@torch.no_grad()
def four_sides(
    draw: Callable[[Cameras], RenderOutput], *, distance: float, fov_deg: float, size_px: int
) -> Float[Tensor, "3 height width"]:
    """The object from front, right, back and left: its colors, and below them its normals where they are drawn."""
    azimuth_deg = torch.arange(SIDES) * (360.0 / SIDES)
    elevation_deg = torch.full((SIDES,), SIDES_ELEVATION_DEG)
    render = draw(look_at_origin(elevation_deg, azimuth_deg, distance=distance, fov_deg=fov_deg, size_px=size_px))
    rows = torch.stack([picture_of(render, look) for look in looks_of(render) if look in ("color", "normal")])
    return rearrange(rows, "looks sides c h w -> c (looks h) (sides w)")
