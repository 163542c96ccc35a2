"""Contact sheets: what stands where, and that they reach the loggers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image

from sv3dgen.interfaces import RenderOutput, ViewBatch
from sv3dgen.runs.picture_log import GAP_PX, contact_sheet, log_pictures
from sv3dgen.runs.sheet_titles import ROW_PX, TITLE_PX, titled
from sv3dgen.views.cameras import look_at_origin

SIZE = 8


@pytest.fixture
def pictures() -> tuple[RenderOutput, ViewBatch]:
    """Two views; the object covers the left half of the target and the right half of the render."""
    left = torch.zeros(2, 1, SIZE, SIZE)
    left[..., : SIZE // 2] = 1
    right = 1 - left
    color = torch.ones(2, 3, SIZE, SIZE)
    up = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    render = RenderOutput(
        rgb=0.5 * color * right,
        opacity=right.clone().requires_grad_(),
        shaded=right.bool(),
        buffers={
            "albedo": 0.25 * color * right,
            "irradiance": right,
            "depth": right,
            "normal": up * right,
        },
    )
    cameras = look_at_origin(torch.zeros(2), torch.zeros(2), distance=2.0, size_px=SIZE)
    return render, ViewBatch(cameras, None, 0.75 * color, left)


def test_columns(pictures: tuple[RenderOutput, ViewBatch]) -> None:
    sheet = contact_sheet(*pictures)
    step = SIZE + GAP_PX
    assert sheet.shape == (3, 2 * step - GAP_PX, 6 * step - GAP_PX)
    middle_left = [tuple(sheet[:, 1, column * step + 1].tolist()) for column in range(6)]
    middle_right = [tuple(sheet[:, -2, column * step + SIZE - 2].tolist()) for column in range(6)]
    white, black = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    assert middle_left == [(0.75, 0.75, 0.75), white, white, white, black, white]
    assert middle_right == [white, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0.5, 1.0, 0.5), white, black]
    assert (sheet[:, SIZE : SIZE + GAP_PX] == 0).all()


def test_an_outline_has_no_dark_rim(pictures: tuple[RenderOutput, ViewBatch]) -> None:
    """Antialiased opacity covers half of the pixels next to the shaded ones, whose color is zero."""
    render, batch = pictures
    opacity = render.opacity.detach().clone()
    opacity[..., SIZE // 2 - 1] = 0.5
    sheet = contact_sheet(replace(render, opacity=opacity), batch)
    rim = sheet[:, SIZE // 2, torch.arange(1, 4) * (SIZE + GAP_PX) + SIZE // 2 - 1]
    inside = torch.tensor([[0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.5, 1.0, 0.5]]).T
    assert torch.allclose(rim, 0.5 * inside + 0.5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard's, while it is imported
def test_file_and_loggers(pictures: tuple[RenderOutput, ViewBatch], tmp_path: Path) -> None:
    stage = tmp_path / "coarse"
    loggers = [CSVLogger(tmp_path), TensorBoardLogger(tmp_path, name="", version="logs")]
    path = log_pictures(*pictures, step=120, stage_folder=stage, loggers=loggers)
    assert path == stage / "pictures" / "00120.png"
    expected = (contact_sheet(*pictures) * 255).round().byte().permute(1, 2, 0).numpy()
    written = np.asarray(Image.open(path))
    assert np.array_equal(written[TITLE_PX:], expected) and written[:TITLE_PX].min() < 100  # words above
    loggers[1].finalize("success")
    assert any(file.stat().st_size > 100 for file in (tmp_path / "logs").glob("events.*"))


def test_titles_stand_outside_the_pictures() -> None:
    sheet = torch.full((3, 60, 120), 0.5)
    page = titled(sheet, columns=["one", "two"], rows=["a"])
    assert page.shape == (3, 60 + TITLE_PX, 120 + ROW_PX) and torch.equal(page[:, TITLE_PX:, ROW_PX:], sheet)
    for strip in (
        page[:, :TITLE_PX, ROW_PX : ROW_PX + 60],
        page[:, :TITLE_PX, ROW_PX + 60 :],
        page[:, TITLE_PX:, :ROW_PX],
    ):
        assert strip.min() < 0.4 and strip.max() == 1
