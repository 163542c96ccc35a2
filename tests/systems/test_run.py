"""Whole runs on a small toy: what they leave, that they repeat, resume, and finish when interrupted."""

import csv
import json
import os
import shutil
import signal
from importlib import import_module
from pathlib import Path

import pytest
import torch
import trimesh
from checkout import ROOT
from hydra import compose, initialize_config_dir
from numba.core import sigutils
from omegaconf import DictConfig
from small_run import GRID, SIZES
from sphere_on_box import BOX_CENTER, BOX_HALF, SPHERE_CENTER, hit_of_box, hit_of_sphere

from sv3dgen.cli.command_line import register_resolvers
from sv3dgen.compiling.ahead import signature
from sv3dgen.compiling.in_a_run import KERNELS
from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh
from sv3dgen.normals.files import write_normals
from sv3dgen.runs.run_folder import can_go_on, read_card
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.posed_views import read_views
from systems.run import Run
from systems.sv3d_nerf import Sv3dNerf

CONF = ROOT / "conf"
SMALL = (
    *SIZES,
    *GRID,
    "logger=none",
    "checkpoint_every_steps=10",
    "coarse.steps=40",
    "coarse.geometry.levels_open=[[0,4],[30,6]]",
    "coarse.learning_rate=0.01",
    "coarse.guidance.regularity.weights.opaque=0",
    "coarse.guidance.smoothness.weights.bilateral_depth=0",
    "coarse.renderer.warmup_steps=16",
    "fine.steps=20",
)

# Lightning says so of every dataset without a length; a step's batch follows from its number alone.
pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")


def small(views: Path, *overrides: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[f"views={views}", *SMALL, *overrides])
    config.fine.geometry.resolutions = [[0, 20], [10, 28]]
    config.coarse.data.milestones = [[0, {"size_px": 48, "layout": "patches", "patches": 128}]]
    config.fine.data.milestones = [[0, {"size_px": 48, "layout": "frames", "views": 4, "crop_margin_px": 4}]]
    return config


@pytest.fixture(scope="module")
def finished(views_folder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    Run(small(views_folder), folder).execute()
    return folder


def test_a_run_leaves_what_the_readme_promises(finished):
    for name in (
        "mesh/mesh.glb",
        "mesh/mesh.obj",
        "mesh/mesh.mtl",
        "light.json",
        "turntable.mp4",
        "views/transforms.json",
    ):
        assert (finished / name).stat().st_size > 0, name
    card = json.loads((finished / "run.json").read_text())
    assert list(card["stages"]) == ["views", "coarse", "fine", "export"]
    assert card["metrics"]["watertight"] is True and 0 <= card["metrics"]["unseen_share"] < 1
    assert card["finished"] >= card["started"]
    assert card["metrics"]["psnr_train"] > 12  # 60 steps of a toy: better than a gray blob, no more


def test_what_is_compiled_ahead_is_what_a_run_calls(finished):
    for module, kernels in KERNELS.items():
        for name, types in kernels.items():
            dispatcher = getattr(import_module(module), name)
            wanted, _ = sigutils.normalize_signature(signature(types))
            assert not dispatcher.signatures or wanted in dispatcher.signatures, f"{module}.{name}: {types}"


def test_the_mesh_is_where_the_object_is(finished):
    vertices = read_mesh(finished / "mesh" / "mesh.glb").vertices
    low, high = vertices.amin(0), vertices.amax(0)
    # All cameras look down a little, so none sees the underside.
    assert torch.allclose(low, torch.tensor([-0.4, -0.32, -0.3]), atol=0.15)
    assert torch.allclose(high, torch.tensor([0.4, 0.4, 0.3]), atol=0.08)


def test_the_same_seed_gives_the_same_mesh(finished, views_folder, tmp_path):
    Run(small(views_folder), tmp_path).execute()
    assert (tmp_path / "mesh" / "mesh.glb").read_bytes() == (finished / "mesh" / "mesh.glb").read_bytes()


def test_what_another_run_left_is_not_gone_on_with(finished, views_folder, tmp_path):
    """Neither its checkpoint nor its card; the same run's, or one that is gone on with, are kept."""
    folder, last = tmp_path / "run", tmp_path / "run" / "checkpoints" / "last.ckpt"
    shutil.copytree(finished, folder)
    Run(small(views_folder, f"resume={folder}", "coarse.steps=50"), folder).begin()
    assert last.is_file() and "export" in (read_card(folder) or {})["stages"]
    Run(small(views_folder, "coarse.steps=50", "seed=1"), folder).begin()
    assert not can_go_on(folder)
    assert (read_card(folder) or {})["stages"] == {} == (read_card(folder) or {})["metrics"]


@pytest.mark.parametrize("stage, killed_at", [("coarse", 25), ("fine", 2), ("fine", 15)])
def test_a_killed_run_goes_on_to_the_same_mesh(stage, killed_at, finished, views_folder, tmp_path, monkeypatch):
    run = Run(small(views_folder, "checkpoint_every_steps=5"), tmp_path)
    module = getattr(run, stage)
    step = module.training_step

    def killed(*args):
        if module.global_step == killed_at:
            raise MemoryError("killed")
        return step(*args)

    monkeypatch.setattr(module, "training_step", killed)
    with pytest.raises(MemoryError):
        run.execute()
    assert not (tmp_path / "mesh").exists()
    Run(small(views_folder, "checkpoint_every_steps=5", f"resume={tmp_path}"), tmp_path).execute()
    assert (tmp_path / "mesh" / "mesh.glb").read_bytes() == (finished / "mesh" / "mesh.glb").read_bytes()


def test_the_numbers_of_a_killed_run_stay(views_folder, tmp_path, monkeypatch):
    """Of both stages, each step once, though those after the checkpoint were logged twice."""
    monkeypatch.setattr("systems.run.export_mesh", lambda *_, **__: None)
    numbers = ("logger=csv", f"logger.save_dir={tmp_path}", "losses_every_steps=5", "checkpoint_every_steps=10")
    run = Run(small(views_folder, *numbers), tmp_path)
    assert run.fine is not None
    step = run.fine.training_step

    def killed(*args):
        if run.fine.global_step == 17:
            raise MemoryError("killed")
        return step(*args)

    monkeypatch.setattr(run.fine, "training_step", killed)
    with pytest.raises(MemoryError):
        run.execute()
    before = logged(tmp_path)
    assert before == [("coarse", step) for step in range(5, 41, 5)] + [("fine", 5), ("fine", 10), ("fine", 15)]
    resumed = Run(small(views_folder, *numbers, f"resume={tmp_path}"), tmp_path)
    resumed.begin()
    assert logged(tmp_path) == before[:-1]
    resumed.execute()
    assert logged(tmp_path) == [*before, ("fine", 20)]


def logged(folder: Path) -> list[tuple[str, int]]:
    """Stage and step of each row of the table of numbers."""
    with (folder / "logs" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all((row["coarse/loss"] or row["fine/loss"]) for row in rows)
    return [("coarse" if row["coarse/learning_rate"] else "fine", int(row["step"])) for row in rows]


def test_ctrl_c_finishes_with_the_mesh_there_is(views_folder, tmp_path, monkeypatch):
    step = Sv3dNerf.training_step

    def interrupted(self, *args):
        if self.global_step == 30:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *args)

    monkeypatch.setattr(Sv3dNerf, "training_step", interrupted)
    Run(small(views_folder), tmp_path).execute()
    assert (tmp_path / "mesh" / "mesh.glb").is_file()
    card = json.loads((tmp_path / "run.json").read_text())
    assert list(card["stages"]) == ["views", "coarse", "export"]
    assert "finished" not in card  # a sweep that goes on takes it up again


def test_the_field_alone_gives_a_mesh_too(views_folder, tmp_path):
    Run(small(views_folder, "system=sv3d_nerf", "material=sg", "coarse.steps=20"), tmp_path).execute()
    assert (tmp_path / "mesh" / "mesh.glb").is_file()
    assert len(json.loads((tmp_path / "light.json").read_text())["lobes"]) == 24


def test_normals_beside_the_views_are_followed(views_folder, tmp_path):
    """True normals of the toy's sphere and box: they come along, and both stages weigh them."""
    shutil.copytree(views_folder, tmp_path / "toy")
    for index, normals in enumerate(true_normals(read_views(views_folder).cameras)):
        write_normals(tmp_path / "toy" / "normals" / f"{index:03d}.png", normals)
    run = Run(small(tmp_path / "toy", "fine.steps=10"), tmp_path / "run")
    run.execute()
    assert len(list((tmp_path / "run" / "views" / "normals").glob("*.png"))) == 12
    for module in (run.coarse, run.fine):
        assert module is not None
        assert 0 < module.last.losses["normal_prior/normal"].item() < 0.5
    assert (tmp_path / "run" / "mesh" / "mesh.glb").is_file()


def true_normals(cameras: Cameras) -> torch.Tensor:
    """Of what the fixture's views show, in each camera's own frame."""
    origins, directions = cameras.rays()
    hit_sphere, sphere = hit_of_sphere(origins, directions)
    hit_box, box = hit_of_box(origins, directions)
    nearer = hit_sphere & (~hit_box | (sphere < box))
    on_sphere = origins + directions * sphere[..., None] - torch.tensor(SPHERE_CENTER)
    within = (origins + directions * box[..., None] - torch.tensor(BOX_CENTER)) / torch.tensor(BOX_HALF)
    side = torch.nn.functional.one_hot(within.abs().argmax(-1), 3) * within.sign()
    world = torch.where(nearer[..., None], torch.nn.functional.normalize(on_sphere, dim=-1), side)
    world = torch.where((hit_sphere | hit_box)[..., None], world, 0.0)
    return torch.einsum("vji,vhwj->vhwi", cameras.camera_to_world[:, :3, :3], world)


@pytest.mark.parametrize("override, told", [("seed=-1", "seed=-1"), ("fine.steps=0", "steps=0")])
def test_numbers_that_cannot_work_are_refused_before_any_work(override, told, views_folder, tmp_path):
    with pytest.raises(Exception, match=told):
        Run(small(views_folder, override), tmp_path)
    assert not any(tmp_path.iterdir())


def test_score_distillation_in_a_run(views_folder, finished, tmp_path):
    """With a model that wants a small white ball: what no view has seen changes, and pictures of it are kept."""
    ball = trimesh.creation.icosphere(2, 0.2)
    ball.export(tmp_path / "ball.glb")
    model = ("nvs=mesh", f"nvs.mesh={tmp_path / 'ball.glb'}", "nvs.size_px=32")
    when = ("distillation.weight=2.0", "distillation.pictures_every_steps=5", "pictures_every_steps=1000")
    Run(small(views_folder, *model, "guidance/sds=soft", *when), tmp_path / "run").execute()
    pictures = sorted(path.name for path in (tmp_path / "run" / "fine" / "pictures").iterdir())
    assert [name for name in pictures if name.startswith("sds")] == [f"sds_{step:05d}.png" for step in (5, 10, 15, 20)]
    changed = read_mesh(tmp_path / "run" / "mesh" / "mesh.glb").vertices
    before = read_mesh(finished / "mesh" / "mesh.glb").vertices
    assert changed.shape != before.shape or not torch.equal(changed, before)


@pytest.mark.parametrize("nvs", [("nvs=mesh", "nvs.mesh=missing.glb"), ("weights=missing.safetensors",)])
def test_a_model_that_is_not_there_is_told_before_the_first_step(views_folder, tmp_path, nvs):
    with pytest.raises(InputError, match=r"missing\."):
        Run(small(views_folder, *nvs, "guidance/sds=soft"), tmp_path)
    Run(small(views_folder, *nvs), tmp_path)  # nobody asks for it
    assert not any(tmp_path.iterdir())
