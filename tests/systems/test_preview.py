"""The picture of how far a stage is."""

from types import SimpleNamespace
from unittest.mock import create_autospec

import lightning
import pytest
import torch
from painted_box import painted_box
from PIL import Image

from sv3dgen.interfaces import RenderOutput
from sv3dgen.runs.progress_file import PREVIEW
from sv3dgen.viewer.mesh_drawing import MeshDrawing
from systems import preview as previews
from systems.preview import SIZE_PX, Preview
from tests.systems.test_stage_devices import coarse

TRAINER = create_autospec(lightning.Trainer, instance=True)


@pytest.fixture
def module(posed_views):
    draw = MeshDrawing(painted_box())
    return SimpleNamespace(
        views=posed_views,
        device=torch.device("cpu"),
        geometry=None,
        material=None,
        renderer=lambda geometry, material, cameras: draw(cameras),
        eval=lambda: None,
        train=lambda: None,
    )


def test_it_is_written_where_it_is_asked_for_and_not_too_often(module, tmp_path, monkeypatch):
    trainer = lightning.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False)
    Preview(tmp_path).on_train_batch_end(trainer, module)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv(PREVIEW, "../preview.webp")  # a name alone counts
    preview, drawn = Preview(tmp_path), []
    preview.on_train_batch_end(trainer, module)
    with Image.open(tmp_path / "preview.webp") as picture:
        assert picture.size == (4 * SIZE_PX, 2 * SIZE_PX)
    monkeypatch.setattr(preview, "draw", lambda *_: drawn.append(1))
    preview.on_train_batch_end(trainer, module)
    assert drawn == []
    preview.on_train_end(trainer, module)
    assert drawn == [1]


def test_a_stage_is_drawn_and_trains_on(posed_views, tmp_path, monkeypatch):
    monkeypatch.setenv(PREVIEW, "preview.webp")
    stage = coarse(posed_views, torch.device("cpu"), "patches")
    Preview(tmp_path).on_train_batch_end(TRAINER, stage)
    with Image.open(tmp_path / "preview.webp") as picture:
        lowest, highest = picture.convert("L").getextrema()
    assert lowest < highest and stage.training


@pytest.mark.parametrize("moment", ["on_train_batch_end", "on_train_end"])
@pytest.mark.parametrize("fails", ["disk", "memory"])
def test_what_fails_in_it_ends_the_pictures_and_not_the_run(fails, moment, module, tmp_path, monkeypatch, caplog):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv(PREVIEW, "preview.webp")
    if fails == "disk":
        monkeypatch.setattr(previews, "atomic_write", full)
    else:
        module.renderer = lambda *_: torch.empty(1 << 60)
    preview = Preview(tmp_path)
    for _ in range(2):
        getattr(preview, moment)(TRAINER, module)
    assert [record.levelname for record in caplog.records] == ["WARNING"] and "preview: off" in caplog.text


def test_a_renderer_without_normals_shows_its_colors(module, tmp_path, monkeypatch):
    def plain(geometry, material, cameras):
        shape = (len(cameras), 1, cameras.height_px, cameras.width_px)
        return RenderOutput(torch.full((shape[0], 3, *shape[2:]), 0.5), torch.ones(shape), torch.ones(shape) > 0)

    monkeypatch.setenv(PREVIEW, "preview.webp")
    module.renderer = plain
    Preview(tmp_path).on_train_batch_end(TRAINER, module)
    with Image.open(tmp_path / "preview.webp") as picture:
        assert picture.size == (4 * SIZE_PX, SIZE_PX)
