"""Whole runs on a GPU, real (--device cuda) or pretended: files, resuming, and where everything is."""

import json
from collections.abc import Iterator

import pytest
import torch
from lightning.pytorch.accelerators.cpu import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from omegaconf import DictConfig
from stage_case import pretended

from sv3dgen.devices import find_device
from sv3dgen.meshes.files import read_mesh
from systems import fitting, run, stage_keys
from systems.run import Run
from tests.systems.test_run import small


class PretendAccelerator(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        """Nothing: it is there."""


pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")


@pytest.fixture
def device(request, monkeypatch) -> Iterator[str]:
    """What to say for `device=`."""
    real = str(request.config.getoption("--device"))
    if real != "cpu":
        yield real
        return
    known = {"pretend": torch.device("pretend", 0)}
    for module in (run, stage_keys):
        monkeypatch.setattr(module, "find_device", lambda name: known.get(name) or find_device(name))

    def place(_: object) -> dict[str, object]:  # a strategy of its own for each Trainer: it keeps the Trainer's plugins
        strategy = SingleDeviceStrategy(device=known["pretend"], accelerator=PretendAccelerator())
        return {"strategy": strategy, "accelerator": "auto"}

    monkeypatch.setattr(fitting, "place", place)
    with pretended(monkeypatch):
        yield "pretend"


def on(device: str, config: DictConfig) -> DictConfig:
    config.device = device
    return config


def test_a_run_ends_in_a_mesh_that_looks_like_its_views(views_folder, device, tmp_path):
    made = Run(on(device, small(views_folder, "material=sg", "pictures_every_steps=30")), tmp_path)
    made.execute()
    assert made.coarse is not None and made.fine is not None
    for stage in (made.coarse, made.fine):
        kept = [*stage.parameters(), *stage.buffers(), stage.views.images]
        assert {tensor.device.type for tensor in kept} == {made.device.type}
    card = json.loads((tmp_path / "run.json").read_text())
    assert card["machine"]["device"] == str(made.device)
    assert card["metrics"]["watertight"] is True and card["metrics"]["psnr_train"] > 12
    assert len(list((tmp_path / "coarse" / "pictures").glob("*.png"))) == 2
    low, high = (end(read_mesh(tmp_path / "mesh" / "mesh.glb").vertices, 0) for end in (torch.amin, torch.amax))
    assert torch.allclose(high, torch.tensor([0.4, 0.4, 0.3]), atol=0.1)
    assert torch.allclose(low, torch.tensor([-0.4, -0.32, -0.3]), atol=0.17)


@pytest.mark.thorough
@pytest.mark.parametrize(("stage", "killed_at"), [("coarse", 25), ("fine", 15)])
def test_a_killed_run_goes_on(stage, killed_at, views_folder, device, tmp_path, monkeypatch):
    started = Run(on(device, small(views_folder, "checkpoint_every_steps=5")), tmp_path)
    module = getattr(started, stage)
    step = module.training_step

    def killed(*args):
        if module.global_step == killed_at:
            raise MemoryError("killed")
        return step(*args)

    monkeypatch.setattr(module, "training_step", killed)
    with pytest.raises(MemoryError):
        started.execute()
    Run(on(device, small(views_folder, "checkpoint_every_steps=5", f"resume={tmp_path}")), tmp_path).execute()
    assert (tmp_path / "mesh" / "mesh.glb").is_file()


def test_a_coarse_stage_is_shared_from_a_gpu(views_folder, device, tmp_path, monkeypatch):
    share = tmp_path / "share"
    monkeypatch.setattr(run, "export_mesh", lambda *_, **__: None)
    few = ("coarse.steps=6", "fine.steps=2", "coarse.hull_resolution=32", "coarse.mesh_resolution=24")
    runs = [Run(on(device, small(views_folder, *few)), tmp_path / name, share) for name in ("a", "b")]
    for each in runs:
        each.execute()
    assert "coarse" in json.loads((tmp_path / "b" / "run.json").read_text())["shared"]
    assert runs[1].coarse is not None and next(runs[1].coarse.geometry.parameters()).device == runs[1].device
