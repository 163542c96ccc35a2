"""How runs end that do not come to their end: what they say, with which status, and what they leave to go on with."""

import json
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
import torch
from checkout import ROOT
from small_run import GRID, SIZES

from sv3dgen.errors import InputError
from sv3dgen.runs import compile_cache
from sv3dgen.runs.result import read_result, told_to_programs
from sv3dgen.runs.run_folder import RunCard, read_card
from sv3dgen.runs.run_lock import alone_in, check_free
from sv3dgen.runs.stopping import Stopped, undisguised
from systems.fitting import Interrupt, read_checkpoint
from systems.run import Run
from tests.systems.test_run import small

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


@pytest.mark.parametrize("spoilt", ["loss", "gradient", "parameter"])
@pytest.mark.parametrize("stage", ["coarse", "fine"])
def test_numbers_that_are_not_finite_stop_a_stage_at_their_step(stage, spoilt, views_folder, tmp_path, monkeypatch):
    run = Run(small(views_folder, "coarse.steps=16", "fine.steps=16", "checkpoint_every_steps=5"), tmp_path)
    module = getattr(run, stage)
    step = module.training_step

    def spoiling(*args):
        loss = step(*args)
        if module.global_step != 11:
            return loss
        parameter = next(iter(module.geometry.parameters()))
        if spoilt == "parameter":
            parameter.data.view(-1)[0] = torch.nan
        if spoilt == "gradient":  # of a loss that is finite: 0 times the slope of a root at 0
            return loss + 0 * (parameter.view(-1)[0] * 0).sqrt()
        return loss * torch.nan if spoilt == "loss" else loss

    monkeypatch.setattr(module, "training_step", spoiling)
    if spoilt == "loss":
        monkeypatch.setattr(module, "losses_at", lambda step, at=module.losses_at: spoil(at(step), step))
    with pytest.raises(InputError) as refusal:
        run.execute()
    told = {"loss": "the loss", "gradient": "a gradient", "parameter": ""}[spoilt]
    assert str(refusal.value).startswith(f"{stage}: step 1") and f"{told} is not finite" in str(refusal.value)
    assert spoilt == "parameter" or "step 12:" in str(refusal.value) and "reference_views/" in str(refusal.value)
    saved = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert (saved["stage"], saved["global_step"]) == (stage, 10)
    assert all(value.isfinite().all() for value in saved["state_dict"].values() if value.is_floating_point())


def spoil(weighed, step):
    if step != 11:
        return weighed
    return type(weighed)(weighed.loss * torch.nan, {name: loss * torch.nan for name, loss in weighed.losses.items()})


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


def test_one_run_a_folder(tmp_path):
    check_free(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with alone_in(tmp_path), pytest.raises(InputError, match="another run is at work in it"):
        check_free(tmp_path)
    check_free(tmp_path)  # the file that is left says nothing


@pytest.mark.parametrize("content", [b"", b"cut", "a pickle", "another"])
def test_a_damaged_checkpoint_is_told_in_one_line(content, tmp_path):
    path = tmp_path / "last.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"state": print} if content == "a pickle" else {"state": 1}, path)
    with pytest.raises(InputError, match=r"last.ckpt: damaged, or not written by a run"):
        read_checkpoint(path)
    torch.save({"stage": "coarse", "global_step": 3, "state_dict": {"a": torch.zeros(1000)}}, path)
    assert read_checkpoint(path)["global_step"] == 3
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="damaged"):
        read_checkpoint(path)


def test_a_checkpoint_of_a_stage_that_the_run_has_not_is_no_new_start(views_folder, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    torch.save({"stage": "middle", "global_step": 3}, tmp_path / "checkpoints" / "last.ckpt")
    run = Run(small(views_folder, f"resume={tmp_path}"), tmp_path)
    with pytest.raises(InputError, match=r"last.ckpt: of a stage 'middle'; expected one of coarse, fine"):
        run.begin()
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize(
    "damage", ['{"stages": 3}', '{"stages": {"coarse": 1}}', '{"stages": {"a": {"b": 1}}}', "{", "[]"]
)
def test_a_damaged_card_is_told_in_one_line(damage, tmp_path):
    (tmp_path / "run.json").write_text(damage)
    with pytest.raises(InputError, match=r"run\.json"):
        read_card(tmp_path)


def test_checkpoints_do_not_pass_through_the_systems_temporary_folder(views_folder, tmp_path, monkeypatch):
    run = Run(small(views_folder, "system=sv3d_nerf", "coarse.steps=12"), tmp_path / "run")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    left = tmp_path / "run" / "checkpoints" / ".last.0123abcd.ckpt"
    left.touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    fit = Run._fit
    monkeypatch.setattr("systems.run.export_mesh", lambda *_, **__: None)
    monkeypatch.setattr(Run, "_fit", lambda self, *args: fit(self, *args))
    run.execute()
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file() and left.is_file()
    Run(small(views_folder, "system=sv3d_nerf", f"resume={tmp_path / 'run'}"), tmp_path / "run").begin()
    assert not left.exists()


def test_warnings_are_counted_and_kept(tmp_path):
    import logging

    card = RunCard.begin(tmp_path, config={}, seed=0)
    with card.hearing_warnings():
        for _ in range(2):
            logging.getLogger("sv3dgen.export.clean").warning("%d faces dropped", 3)
        logging.getLogger("sv3dgen.views.posed_views").info("no warning")
        logging.getLogger("somebody.else").warning("not ours")
    assert json.loads((tmp_path / "run.json").read_text())["warnings"] == ["3 faces dropped"]


def test_kernels_are_compiled_where_nothing_else_can_be_written_to(tmp_path, monkeypatch):
    for name in compile_cache.VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compile_cache.settle()
    assert not set(compile_cache.VARIABLES) & set(os.environ)  # where they can be written to, they stay
    monkeypatch.setattr(compile_cache, "_writable", lambda folder: False)
    compile_cache.settle()
    folder = Path(os.environ["NUMBA_CACHE_DIR"]).parent
    assert folder.parent == tmp_path and folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o777)  # somebody else may have put code there
    assert compile_cache.private_folder() != folder


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
