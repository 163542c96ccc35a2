"""Words at the edges of a contact sheet: what its columns and rows are."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

TITLE_PX = 18  # of a strip of titles across
ROW_PX = 110  # of a strip of titles next to the rows
FONT_PX = 12


def titled(
    sheet: Float[Tensor, "3 height width"], columns: Sequence[str] = (), rows: Sequence[str] = ()
) -> Float[Tensor, "3 _ _"]:
    """The sheet on white, each column's name above it and each row's next to it; columns and rows are of one size."""
    height, width = sheet.shape[1:]
    left, top = (ROW_PX if rows else 0), (TITLE_PX if columns else 0)
    page = Image.new("RGB", (left + width, top + height), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(FONT_PX)
    for index, name in enumerate(columns):
        draw.text((left + (index + 0.5) * width / len(columns), top / 2), name, "black", font, anchor="mm")
    for index, name in enumerate(rows):
        draw.text((4, top + (index + 0.5) * height / len(rows)), name, "black", font, anchor="lm")
    words = torch.from_numpy(np.array(page, dtype=np.float32) / 255).movedim(2, 0).contiguous()
    words[:, top:, left:] = sheet
    return words
