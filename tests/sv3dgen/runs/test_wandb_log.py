"""Weights & Biases offline, as a person runs it: a small sweep, and what is found in the files it leaves."""

import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import wandb
from checkout import ROOT
from omegaconf import OmegaConf
from small_run import GRID, SIZES
from wandb_store import Kept

from sv3dgen.errors import InputError
from sv3dgen.runs.picture_log import log_sheet
from sv3dgen.runs.wandb_log import WandbLog
from sv3dgen.views.video import write_video
from systems.reporting import notified_loggers

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f00112233a"
TINY = (
    *SIZES,
    *GRID,
    "logger=wandb",
    "logger.offline=true",
    "pictures_every_steps=10",
    "losses_every_steps=5",
    "coarse.steps=20",
    "coarse.learning_rate=[[0, 0.01], [20, 0.002]]",
    "coarse.data.milestones=[[0, {size_px:48,layout:patches,patches:64}]]",
    "coarse.guidance.regularity.weights.opaque=[[0, 0], [20, 10]]",
    "fine.steps=5",
    "fine.geometry.resolutions=[[0, 16]]",
    "fine.data.milestones=[[0, {size_px:48,layout:frames,views:2}]]",
)


@pytest.fixture(scope="module")
def sweep(views_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep over two seeds, and what it printed."""
    here = tmp_path_factory.mktemp("sweep")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    launch = [sys.executable, str(ROOT / "launch.py"), "-m", f"views={views_folder}"]
    result = subprocess.run(
        [*launch, "seed=0,1", "hydra.sweep.dir=my_sweep", *TINY],
        cwd=here,
        env=environment | {"WANDB_API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return here / "my_sweep", result.stdout + result.stderr


@pytest.fixture(scope="module")
def runs(sweep: tuple[Path, str]) -> list[Kept]:
    files = [next((sweep[0] / job / "wandb").glob("offline-run-*/run-*.wandb")) for job in ("0", "1")]
    return [Kept(file) for file in files]


def test_the_runs_of_a_sweep_share_its_group(runs):
    assert [run.group for run in runs] == ["my_sweep", "my_sweep"]
    assert [run.name for run in runs] == ["toy-0", "toy-1"]
    assert runs[0].id != runs[1].id
    assert [run.exit_code for run in runs] == [0, 0]


def test_the_settings_are_there_resolved(runs, views_folder):
    for seed, run in enumerate(runs):
        assert run.config["seed"] == seed and run.config["coarse"]["seed"] == seed  # the latter refers to the former
        assert run.config["views"] == str(views_folder)
        assert run.config["coarse"]["learning_rate"] == [[0, 0.01], [20, 0.002]]
        assert "${" not in json.dumps(run.config)


def test_numbers_and_schedules_come_with_their_steps(runs):
    for run in runs:
        rows = [row for row in run.history if "coarse/reference_views/rgb" in row]
        assert [row["trainer/global_step"] for row in rows] == [5, 10, 15, 20]
        assert all(row["coarse/reference_views/rgb"] > 0 for row in rows)
        # At the step that made the loss, the one before the count: linear from 0 to 10, and from 0.01 to 0.002.
        assert run.series("coarse/weight/regularity/opaque") == pytest.approx([2.0, 4.5, 7.0, 9.5])
        expected = [0.01 - 0.008 * step / 20 for step in (4, 9, 14, 19)]
        assert run.series("coarse/learning_rate") == pytest.approx(expected)
        assert len(run.series("fine/learning_rate")) == len(run.series("fine/learning_rate1")) == 1
        assert "coarse/weight/reference_views/rgb" not in rows[0]  # a constant: it is in the settings


def test_pictures_turntable_and_mesh_are_there_as_files(sweep, runs):
    for job, run in enumerate(runs):
        folder = sweep[0] / str(job)
        files = next((folder / "wandb").glob("offline-run-*/files"))
        for key, kind, original in (
            ("turntable", "video-file", "turntable.mp4"),
            ("views", "video-file", "views/orbit.mp4"),
            ("mesh", "object3D-file", "mesh/mesh.glb"),
        ):
            (entry,) = run.series(key)
            assert entry["_type"] == kind
            kept = (files / entry["path"]).read_bytes()
            assert kept == (folder / original).read_bytes()
            assert hashlib.sha256(kept).hexdigest() == entry["sha256"]
        sheets = [row for row in run.history if "coarse/pictures" in row]
        assert [row["trainer/global_step"] for row in sheets] == [10, 20]
        for row in sheets:
            (name,) = row["coarse/pictures"]["filenames"]
            assert (files / name).read_bytes()[:4] == b"\x89PNG"


def test_a_sheet_and_its_film_are_there_as_files(tmp_path):
    logger = WandbLog(folder=str(tmp_path), project="p", name="n", offline=True)
    logger.begin({})
    write_video(tmp_path / "film.mp4", torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8))
    log_sheet([logger], "validation/static", torch.rand(3, 8, 12), 7, film=tmp_path / "film.mp4")
    logger.end()
    wandb.teardown()  # waits for the process that writes the files
    (kept,) = (tmp_path / "wandb").glob("offline-run-*")
    (row,) = (row for row in Kept(next(kept.glob("run-*.wandb"))).history if "validation/static" in row)
    assert row["trainer/global_step"] == 7
    (sheet,) = row["validation/static"]["filenames"]
    assert (row["validation/static"]["width"], row["validation/static"]["height"]) == (12, 8)
    assert (kept / "files" / sheet).read_bytes()[:4] == b"\x89PNG"


def test_the_summary_is_the_run_s_card(sweep, runs):
    for job, run in enumerate(runs):
        card = json.loads((sweep[0] / str(job) / "run.json").read_text())
        assert run.summary["run/metrics/psnr_train"] == card["metrics"]["psnr_train"]
        assert run.summary["run/stages/coarse/seconds"] == card["stages"]["coarse"]["seconds"]
        assert run.summary["run/config_sha256"] == card["config_sha256"]
        assert run.summary["run/machine/cores"] == card["machine"]["cores"]


def test_the_key_is_in_no_file_and_on_no_console(sweep):
    folder, printed = sweep
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
    assert KEY not in printed
    assert "wandb: offline; to send it: wandb sync" in printed


def test_without_a_key_it_is_refused_in_one_line(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked the network"))
    logger = WandbLog(folder=str(tmp_path / "run"), project="sv3dgen", name="toy")
    with pytest.raises(InputError, match="logger=wandb: no key; expected WANDB_API_KEY"):
        logger.begin({})
    assert not (tmp_path / "run").exists()


def test_a_run_that_resumes_goes_on_under_its_id(tmp_path):
    first = WandbLog(folder=str(tmp_path), project="sv3dgen", name="toy", offline=True)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "run_id.txt").write_text(str(first.version))
    again = WandbLog(folder=str(tmp_path), project="sv3dgen", name="toy", offline=True)
    assert again.version == first.version and len(str(first.version)) == 8


def test_only_loggers_that_want_it_are_told_and_of_failures_too(caplog):
    told: list[object] = []

    class Listening:
        def begin(self, config: object) -> None:
            told.append(config)

        def end(self, *, failed: bool = False) -> None:
            told.append(failed)

    config = OmegaConf.create({"a": 1, "b": "${a}"})
    with notified_loggers([logging.getLogger(), Listening()], config):
        pass
    with pytest.raises(InputError), notified_loggers(Listening(), config):
        raise InputError("no surface")
    assert told == [{"a": 1, "b": 1}, False, {"a": 1, "b": 1}, True]
    with notified_loggers(True, OmegaConf.create({"a": "${nowhere}"})):  # nobody listens: nothing need be resolved
        pass
