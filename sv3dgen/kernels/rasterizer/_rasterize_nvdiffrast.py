"""Rasterization by nvdiffrast (Nvidia Source Code License: non-commercial use only), behind the call of `rasterize`.

Its first row is the bottom one, ours the top one: clip coordinates are handed over with y negated. Its face numbers
start from 1, and its depth is 0 where nothing is seen. It snaps vertices to 1/16 px, where we take 1/4096, so a center
within that of an edge may fall to the other side: 2 or 3 in 100 pixels of an outline then stay without antialiasing. It
clips faces at the near plane, which we drop.
"""

from functools import cache
from typing import Any

import nvdiffrast.torch as dr  # pyright: ignore[reportMissingImports]  (an accelerator)
import torch
from torch import Tensor

MOST_FACES = 1 << 24  # their numbers are kept as float32


def draw(clip: Tensor, faces: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Face index, int32, and depth of every pixel [views, height, width]."""
    if len(faces) == 0:
        empty = clip.new_full((len(clip), height, width), -1, dtype=torch.int32)
        return empty, torch.ones_like(empty, dtype=torch.float32)
    seen, _ = dr.rasterize(_context(clip.device), top_row_first(clip), plain_faces(faces), (height, width))
    face_index = seen[..., 3].int() - 1
    return face_index, torch.where(face_index < 0, 1.0, seen[..., 2])


def top_row_first(clip: Tensor) -> Tensor:
    """Clip coordinates from which nvdiffrast draws the top row first."""
    return (clip.float() * clip.new_tensor([1.0, -1.0, 1.0, 1.0], dtype=torch.float32)).contiguous()


def plain_faces(faces: Tensor) -> Tensor:
    """Faces as nvdiffrast takes them; ValueError where it cannot count them."""
    if len(faces) >= MOST_FACES:
        raise ValueError(f"faces: expected fewer than {MOST_FACES} for nvdiffrast, got {len(faces)}")
    return faces.int().contiguous()


@cache
def _context(device: torch.device) -> Any:
    return dr.RasterizeCudaContext(device=device)
