"""Generated orbits next to the true ones, as a contact sheet and as a film."""

from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.runs.picture_log import tile
from sv3dgen.views.video import write_video

_SHEET_COLUMNS = 7


def write_orbits(
    stem: Path,
    truth: Float[Tensor, "orbits frames 3 height width"],
    drawn: Float[Tensor, "orbits frames 3 height width"],
) -> Float[Tensor, "3 _ _"]:
    """Write `<stem>.png` and `<stem>.mp4`; returns the sheet. Pictures are sRGB in [0, 1].

    The sheet has two rows an orbit, the true one above, of every third frame up to the last, the conditioning view. The
    film has two rows too, and a column an orbit.
    """
    stride = max(1, truth.shape[1] // _SHEET_COLUMNS)
    rows = torch.stack([truth, drawn], dim=1)
    sheet = tile(rows[:, :, stride - 1 :: stride].flatten(0, 1))
    with atomic_write(stem.with_name(f"{stem.name}.png")) as temporary:
        Image.fromarray((sheet * 255).round().byte().permute(1, 2, 0).numpy()).save(temporary)
    film = torch.stack([tile(frame) for frame in rows.permute(2, 1, 0, 3, 4, 5)])
    write_video(stem.with_name(f"{stem.name}.mp4"), (film * 255).round().byte())
    return sheet
