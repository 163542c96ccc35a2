"""The picture of how far a stage is."""

from types import SimpleNamespace

import lightning
import pytest
import torch
from painted_box import painted_box
from PIL import Image

from sv3dgen.runs.progress_file import PREVIEW
from sv3dgen.viewer.mesh_drawing import MeshDrawing
from systems.preview import SIZE_PX, Preview


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
