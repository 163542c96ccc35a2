"""How runs end that do not come to their end: what they say, with which status, and what they leave to go on with."""

import json
import os
from pathlib import Path

import pytest
import torch

from sv3dgen.errors import InputError
from sv3dgen.runs import compile_cache
from sv3dgen.runs.run_folder import RunCard, read_card
from sv3dgen.runs.run_lock import alone_in, check_free
from systems.fitting import read_checkpoint
from systems.run import Run
from tests.systems.test_run import small

pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")


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
