"""How runs end on signals, Ctrl+C among them: with which status, what they say, and what they leave to go on with."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import lightning
import pytest
from checkout import ROOT
from small_run import GRID, SIZES

from sv3dgen.runs.result import read_result, told_to_programs
from sv3dgen.runs.run_folder import read_card
from sv3dgen.runs.stopping import Stopped, undisguised
from systems.fitting import Interrupt, read_checkpoint
from systems.run import Run
from tests.systems.test_run import small

pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
SMALL = (
    *SIZES,
    *GRID,
    "preset=draft",
    "logger=none",
    "checkpoint_every_steps=10",
    "coarse.steps=40",
    "coarse.geometry.levels_open=[[0,4],[15,6]]",
    "coarse.data.milestones=[[0,{size_px:48,layout:patches,patches:64}]]",
    "fine.steps=20",
    "fine.geometry.resolutions=[[0,20],[10,28]]",
)
DEADLINE_S = 300  # of a second or two of work, on a machine with much else to do


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `launch.py`; what still runs after the test is killed, cells of a sweep with it."""
    started = []

    def start(folder: Path, *settings: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "launch.py"), *settings],
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.is_file():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


FURTHER = pytest.mark.thorough


@pytest.mark.parametrize(
    ("name", "status"),
    [("SIGTERM", 143), pytest.param("SIGUSR1", 138, marks=FURTHER), pytest.param("SIGUSR2", 140, marks=FURTHER)],
)
def test_a_schedulers_signal_leaves_a_checkpoint_and_its_status(name, status, start, views_folder, tmp_path):
    """Started again by Slurm, the same command in the same folder goes on from there."""
    command = (f"views={views_folder}", *SMALL, "system=sv3d_nerf", "coarse.steps=200", "hydra.run.dir=run")
    run = start(tmp_path, *command)
    wait_for(tmp_path / "run" / "checkpoints" / "last.ckpt", run)
    run.send_signal(getattr(signal, name))
    _, told = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == status, told
    assert "sv3dgen: stopped in coarse, at step " in told and "of 200; to go on: python launch.py resume=" in told
    card = read_card(tmp_path / "run") or {}
    saved = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert card["stopped"]["step"] == saved["global_step"] and "finished" not in card
    again = start(tmp_path, *command, SLURM_RESTART_COUNT="1")
    _, told = again.communicate(timeout=DEADLINE_S)
    assert again.returncode == 0, told
    card = read_card(tmp_path / "run") or {}
    assert "finished" in card and card["resumed"][0]["stopped"]["stage"] == "coarse"


def test_a_run_that_is_ended_early_says_where_and_is_not_finished(start, views_folder, tmp_path):
    run = start(tmp_path, f"views={views_folder}", *SMALL, "coarse.steps=4000", "hydra.run.dir=run")
    wait_for(tmp_path / "run" / "checkpoints" / "last.ckpt", run)
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 130 and "stopped in coarse, at step" in told, told
    card = read_card(tmp_path / "run") or {}
    assert (tmp_path / "run" / "mesh" / "mesh.glb").is_file() and "finished" not in card
    assert card["stages"]["coarse"]["finished"] is False and card["stopped"]["of"] == 4000
    assert "stopped early" in (tmp_path / "run" / "report.html").read_text()


def test_ctrl_c_twice_ends_a_sweep_and_its_cells_die_with_it(start, views_folder, tmp_path):
    command = ("-m", f"views={views_folder}", *SMALL, "coarse.steps=100000", "seed=0,1", "hydra.sweep.dir=sweep")
    sweep = start(tmp_path, *command)
    wait_for(tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt", sweep)
    cell = next(int(pid) for pid in children(sweep.pid))
    for _ in range(2):  # as a terminal does: to all of them
        for process in (sweep.pid, cell):
            os.kill(process, signal.SIGINT)
        time.sleep(0.3)
    _, told = sweep.communicate(timeout=DEADLINE_S)
    assert sweep.returncode == 130 and "to go on: python launch.py -m resume=" in told, told
    assert not (tmp_path / "sweep" / "1").exists() and not (tmp_path / "sweep" / "0" / "error.txt").exists()
    again = start(tmp_path, "-m", "resume=sweep")
    wait_for_change(tmp_path / "sweep" / "0" / "run.json", again)
    cell = next(int(pid) for pid in children(again.pid))
    again.kill()
    again.communicate()
    until = time.monotonic() + 30
    while Path(f"/proc/{cell}").exists() and "Z" not in Path(f"/proc/{cell}/stat").read_text().split()[2]:
        assert time.monotonic() < until
        time.sleep(0.1)


def wait_for_change(path: Path, process: subprocess.Popen[str]) -> None:
    before = path.stat().st_mtime_ns
    while path.stat().st_mtime_ns == before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def test_a_signal_between_stages_ends_the_run_there():
    with pytest.raises(Stopped) as stop, Interrupt().listening():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    assert stop.value.status == 143


@pytest.mark.parametrize(("at", "stage"), [("systems.run.given_views", "views"), ("systems.run.export_mesh", "export")])
def test_ctrl_c_where_no_stage_listens_is_booked(at, stage, views_folder, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(at, interrupted)
    run = Run(small(views_folder, "system=sv3d_nerf", "coarse.steps=12"), tmp_path)
    with pytest.raises(KeyboardInterrupt), told_to_programs(tmp_path):
        run.execute()
    assert read_result(tmp_path).message == f"stopped in {stage}"


@pytest.mark.parametrize("stop", [Stopped(signal.SIGINT), KeyboardInterrupt()])
def test_a_stop_within_a_kernels_call_is_booked_as_one(stop, views_folder, tmp_path, monkeypatch):
    """Numba's dispatcher makes a SystemError of what a signal's handler raises."""
    run = Run(small(views_folder, "system=sv3d_nerf", "coarse.steps=12"), tmp_path)
    step = run.coarse.training_step

    def stopping(*args):
        if run.coarse.global_step == 5:
            raise SystemError("returned a result with an exception set") from stop
        return step(*args)

    monkeypatch.setattr(run.coarse, "training_step", stopping)
    with pytest.raises(type(stop)), told_to_programs(tmp_path):
        run.execute()
    assert read_result(tmp_path).message.startswith("stopped in coarse")


def test_other_exceptions_stay_what_they_are():
    with pytest.raises(OSError, match="full") as failure, undisguised():
        raise OSError("full") from ValueError("5")
    assert isinstance(failure.value.__cause__, ValueError)


def test_a_second_ctrl_c_whose_exception_is_lost_ends_the_run_at_the_next_step():
    interrupt = Interrupt()
    with interrupt.listening():
        os.kill(os.getpid(), signal.SIGINT)
        with suppress(Stopped):  # as Python does within a finalizer
            os.kill(os.getpid(), signal.SIGINT)
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    for ends in (interrupt.on_train_batch_start, interrupt.on_train_end):  # the next step, or there is none
        with pytest.raises(Stopped):
            ends(trainer, lightning.LightningModule())
