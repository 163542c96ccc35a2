"""Whole training runs: by two processes, by the command, and what they refuse."""

import csv
import json
import os
import re
import subprocess
import sys

import lightning
import pytest
import torch
from checkout import ROOT
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from lightning.pytorch.loggers import CSVLogger
from training_case import MICRO, DiscBatches, Discs, batches, fit, module

from launch import user_message
from sv3dgen.cli.command_line import register_resolvers
from sv3dgen.cli.config_check import check_components
from sv3dgen.errors import InputError
from sv3dgen.sv3d import SV3D, MemoryPlan
from systems.training.callbacks import Throughput
from systems.training.finetune import Sv3dFinetune
from systems.training.run import TrainingRun, placed, saved_step

pytestmark = [
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before"),
    pytest.mark.filterwarnings("ignore:.*train_dataloader' does not have many workers"),
]


def two_processes(folder, *ways):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'helpers'}", "OMP_NUM_THREADS": "1"}
    script = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "helpers" / "training_case.py"), str(folder), *ways]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def trained_by_two(request, tmp_path_factory):
    """The folders of what two processes did, each way in one of its own."""
    folder = tmp_path_factory.mktemp("two")
    two_processes(folder, "ddp", "spoilt")  # in this order: the second is not whole afterwards
    if request.config.getoption("--thorough"):
        two_processes(folder, "sharded")
    return folder


def test_a_loss_that_is_not_finite_stops_all_processes_and_tells_the_objects(trained_by_two):
    folder = trained_by_two / "spoilt"
    first, second = ((folder / f"{rank}.txt").read_text() for rank in (0, 1))
    assert first == "step 1: the loss of another process is not finite, which names its batch's objects"
    assert second.startswith("step 1: the loss is nan; the batch's objects: disc_")
    assert not (folder / "last.ckpt").exists()


@pytest.mark.parametrize("way", ["ddp", pytest.param("sharded", marks=pytest.mark.thorough)])
def test_two_processes_do_what_one_does_with_twice_the_batch(trained_by_two, way):
    folder = trained_by_two / way
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["weights"] == second["weights"]
    finetune = module(steps=3)
    losses = fit(finetune, batches(batch=2))
    both = [(one + other) / 2 for one, other in zip(first["losses"], second["losses"], strict=True)]
    assert both == pytest.approx(losses, rel=1e-4)
    for name, parameter in finetune.trained_parameters():
        assert first["weights"][name] == pytest.approx(parameter.detach().double().sum().item(), abs=1e-2), name
    resumed = module(steps=4)  # by one process, from what two have saved
    fit(resumed, batches(batch=2), first_step=3, checkpoint=folder / "last.ckpt")
    assert resumed.ema.updates == 4
    model = SV3D.from_pretrained(folder, memory=MemoryPlan())
    with finetune.averaged() as averaged:
        torch.testing.assert_close(model.unet.conv_in.weight, averaged.unet.conv_in.weight, rtol=1e-2, atol=1e-3)


def test_adapters_alone_are_trained_and_merged_when_written(tmp_path):
    finetune = module(steps=3, trains=["unet"], lora_rank=2)
    trained = dict(finetune.trained_parameters())
    assert all("parametrizations" in name or "add_embedding" in name for name in trained)
    fit(finetune, batches())
    finetune.save_weights(tmp_path / "model.safetensors")
    model = SV3D.from_pretrained(tmp_path, memory=MemoryPlan())
    with finetune.averaged() as averaged:
        name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
        mine, saved = (part.unet.get_submodule(name).weight for part in (averaged, model))
        torch.testing.assert_close(mine, saved, rtol=1e-2, atol=1e-3)
    assert all(parameter.requires_grad for parameter in trained.values())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"trains": []}, "trains"),
        ({"front_weight": 2.0}, "front_weight"),
        ({"steps": 0}, "steps=0"),
        ({"lora_rank": 0, "trains": ["unet"]}, "lora_rank"),
        ({"weights": "no/such.safetensors"}, "no/such.safetensors"),
        ({"model": MICRO | {"color": 3}}, "model: color: no such key"),
    ],
)
def test_numbers_that_cannot_be_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        module(**settings)


def composed(*overrides):
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", ["system=sv3d_finetune", *overrides])


@pytest.mark.parametrize("curriculum", sorted(path.stem for path in (ROOT / "conf" / "curriculum").glob("*.yaml")))
def test_curriculum_composes(curriculum):
    config = composed(f"curriculum={curriculum}", "data=orbits")
    check_components(config, ROOT)
    takes_poses = len(config.model.unet.vector_dims) == 3
    assert takes_poses == (curriculum != "sv3d_u")


def run_config(*overrides):
    config = composed(
        "curriculum=sv3d_p",
        "data=orbits",
        "logger=none",
        "trainer.precision=32",
        "train.steps=4",
        "train.trains=[unet,image_encoder]",
        "batches.kinds=[static]",
        "batches.workers=0",
        "batches.background=white",
        "validation.orbits=2",
        "validation.steps=2",
        "validation.every_steps=2",
        "weights_every_steps=2",
        "checkpoint_every_steps=2",
        *overrides,
    )
    config.batches._target_ = "training_case.DiscBatches"
    config.model = MICRO
    return config


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("trainer.accelerator=gpu", "trainer: "),
        ("trainer.precision=foo", "trainer: .*foo"),
        ("validation.orbits=0", "validation.orbits=0: expected at least 1"),
        ("validation.steps=0", "validation.steps=0"),
        ("validation.every_steps=-1", "validation.every_steps=-1"),
    ],
)
def test_a_trainer_or_a_validation_that_cannot_be_is_refused(tmp_path, setting, told):
    if torch.cuda.is_available() and setting.endswith("gpu"):
        pytest.skip("there is a GPU here, which trains")
    with pytest.raises((InputError, InstantiationException)) as raised:
        TrainingRun(run_config(setting), tmp_path)
    assert re.search(told, user_message(raised.value) or "")


def test_training_is_where_the_device_says(monkeypatch):
    auto, given = {"accelerator": "auto", "devices": 8}, {"accelerator": "gpu", "devices": 8}
    assert placed(auto, "cpu") == {"accelerator": "cpu"}
    assert placed(given, "auto") == {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert placed(auto, "auto") == placed(auto, "cuda") == {"accelerator": "cuda"}  # on as many as are asked for
    assert placed(auto, "cuda:1") == {"accelerator": "cuda", "devices": [1]}
    with pytest.raises(InputError, match="cuda:2: there is no such device"):
        placed(auto, "cuda:2")


def test_run_leaves_weights_that_make_views(tmp_path, capsys):
    run = TrainingRun(run_config("batches.workers=1", "losses_every_steps=2"), tmp_path)
    run.trainer.loggers = [CSVLogger(tmp_path, name="", version="numbers")]
    assert isinstance(run.batches, DiscBatches)
    run.execute()
    with (tmp_path / "numbers" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(float(row["train/gradient_norm"]) > 0 and float(row["train/learning_rate"]) > 0 for row in rows)
    model = SV3D.from_pretrained(tmp_path / "weights", memory=MemoryPlan())
    assert model.config == run.module.config
    assert json.loads((tmp_path / "run.json").read_text())["stages"]["train"]["finished"]
    page = (tmp_path / "report.html").read_text()
    assert "validation on static orbits, step 4" in page and 'class="chip finished"' in page
    scores = json.loads((tmp_path / "validation" / "0000004.json").read_text())["static"]
    assert (
        scores["model"]["orbits"] == 2
        and scores["model"]["loss"] > 0
        and {"copy of the picture", "mean training image"} < scores.keys()
    )
    assert (tmp_path / "validation" / "0000002_static.mp4").is_file()
    assert saved_step(tmp_path / "checkpoints" / "last.ckpt") == 4
    assert "samples/s" in str(run.throughput) and run.throughput.flops > 1e6
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "metrics.csv").write_text("step,train/loss\n4,0.5\n6,0.25\n")
    resumed = run_config("train.steps=5", "losses_every_steps=1", "logger=csv", f"logger.save_dir={tmp_path}")
    resumed.resume = str(tmp_path)
    TrainingRun(resumed, tmp_path).execute()
    with (tmp_path / "logs" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [row["step"] for row in rows] == ["4", "5"] and rows[0]["train/loss"] == "0.5"
    assert saved_step(tmp_path / "checkpoints" / "last.ckpt") == 5


def test_without_held_back_orbits_nothing_is_built_and_validation_null_trains(tmp_path, monkeypatch):
    def dataset(self, split, kind=None):
        if split == "test":
            raise InputError("orbits: none to test with")
        return Discs(kind="static")

    monkeypatch.setattr(DiscBatches, "dataset", dataset)
    monkeypatch.setattr(Sv3dFinetune, "__init__", None)
    with pytest.raises(InputError, match="^orbits: none to test with"):
        TrainingRun(run_config(), tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(DiscBatches, "dataset", dataset)
    run = TrainingRun(run_config("train.steps=1", "validation=null"), tmp_path)
    run.execute()
    assert (tmp_path / "weights" / "model.safetensors").is_file() and not (tmp_path / "validation").exists()


@pytest.mark.parametrize(
    ("waited_s", "workers", "told"),
    [
        (5.0, 0, "50% of the training time went by waiting for data; batches.workers=2 reads with more processes"),
        (5.0, 3, "batches.workers=4 reads with more processes than the 3 now"),
        (5.0, 4, "with batches.workers=4 on 4 cores, a faster disk"),
        (0.5, 0, None),
    ],
)
def test_a_run_that_waits_for_its_data_is_told_what_to_do(waited_s, workers, told, monkeypatch, caplog):
    monkeypatch.setattr("systems.training.callbacks.usable_cores", lambda: 4)
    throughput = Throughput()
    throughput._loader = batches().loader(0)
    throughput._loader.num_workers = workers
    throughput.samples, throughput.batches, throughput.seconds, throughput.peak = 10, 6, 5.0, 1e9
    throughput._loader.waited_s = waited_s
    with caplog.at_level("WARNING"):
        throughput.on_train_end(lightning.Trainer(accelerator="cpu", barebones=True), None)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == (told is not None) and all(told in line and "\n" not in line for line in lines)


def test_nothing_to_train_on():
    with pytest.raises(ValueError, match="data=FOLDER"):
        batches(folder=None)
