"""How strongly each frame of an orbit is guided towards its condition (classifier-free guidance).

The conditioning view is the last frame and, around the loop, next to the first. SVD's scale grows along the frames, so
the end of the loop is guided too much and no longer fits its beginning; SV3D's triangle (section 3) grows to the back
view and falls again.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.sv3d.config import SamplerConfig

GuidanceShape = Literal["triangular", "linear"]


def triangular_scale(
    frames: int, *, lowest: float | int = 1.0, highest: float | int = 2.5, period: float | int = 1.0
) -> Float[Tensor, " frames"]:
    """From `lowest` up to `highest` and down again, as released; `period` is in lengths of the clip.

    With an even number of frames no frame is the peak: the two in the middle stay below `highest`.
    """
    position = torch.linspace(0, 1, frames, dtype=torch.float64) / period
    wave = 2 * (position - torch.floor(position + 0.5)).abs()
    return (lowest + (highest - lowest) * wave).float()


def linear_scale(frames: int, *, lowest: float | int = 1.0, highest: float | int = 2.5) -> Float[Tensor, " frames"]:
    """From `lowest` in the first frame to `highest` in the last, as in SVD; the paper's ablation."""
    return torch.linspace(lowest, highest, frames, dtype=torch.float64).float()


def scale_by_name(name: GuidanceShape, config: SamplerConfig, frames: int) -> Float[Tensor, " frames"]:
    """The scale of every frame with the model's own limits; InputError if there is no guidance of that name."""
    limits = {"lowest": config.guidance_min, "highest": config.guidance_max}
    recipes: dict[str, Callable[[], Float[Tensor, " frames"]]] = {
        "triangular": lambda: triangular_scale(frames, period=config.guidance_period, **limits),
        "linear": lambda: linear_scale(frames, **limits),
    }
    if name not in recipes:
        raise InputError(f"guidance={name}: expected one of {', '.join(recipes)}")
    return recipes[name]()
