"""The run card and the stage timers."""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from sv3dgen.errors import InputError
from sv3dgen.runs.run_folder import RunCard, config_hash, discard_unused, is_new, read_card
from sv3dgen.runs.stage_timer import StageTimer, peak_memory_bytes

MIB = 2**20
STAGES = """
import json
import numpy as np
from sv3dgen.runs.stage_timer import StageTimer

def touch(mib):
    np.ones(mib * 2**20, dtype=np.uint8)  # resident for a moment

with StageTimer() as before:
    touch(300)
with StageTimer() as outer:
    with StageTimer() as small:
        touch(20)
    with StageTimer() as large:
        touch(150)
    with StageTimer() as after:
        touch(20)
costs = [timer.cost.peak_memory_bytes for timer in (before, small, large, after, outer)]
print(json.dumps([*costs, len(StageTimer._open)]))
"""


def read(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_seconds_and_failure() -> None:
    with pytest.raises(KeyError), StageTimer() as timer:
        time.sleep(0.05)
        raise KeyError
    assert timer.cost is not None
    assert 0.05 <= timer.cost.seconds < 1.0
    assert not timer.cost.finished


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget its high-water mark")
def test_peak_memory_is_the_stages_own() -> None:
    """In a process of its own: in one that has run many tests, memory that was freed is given back at any moment."""
    told = subprocess.run([sys.executable, "-c", STAGES], capture_output=True, text=True, check=True, timeout=60)
    before, small, large, after, outer, still_open = json.loads(told.stdout)
    if before == outer:
        pytest.skip("this container forbids resetting the high-water mark")
    assert before - large > 100 * MIB
    assert large - small > 100 * MIB
    assert large - after > 100 * MIB
    assert outer == large
    assert still_open == 0


def test_card_tells_what_the_run_was(tmp_path: Path) -> None:
    card = RunCard.begin(tmp_path, config={"seed": 3, "views": "toy"}, seed=3)
    with card.stage("coarse"):
        assert read(tmp_path)["stages"] == {}  # a run killed here has its card all the same
    card.add_metrics(psnr_train=33.25, faces=4000)
    card.add_licence("views", "CC0")
    told = read(tmp_path)
    assert told["seed"] == 3
    assert told["versions"]["python"].startswith("3.")
    assert told["machine"]["device"] == "cpu" and told["machine"]["cores"] >= 1
    assert told["machine"]["cpu"]
    assert set(told["backends"]["rasterizer"]) == {"backend", "why"}
    assert told["stages"]["coarse"]["finished"] is True
    assert told["stages"]["coarse"]["peak_memory_bytes"] > MIB
    assert told["metrics"] == {"psnr_train": 33.25, "faces": 4000}
    assert told["licences"] == {"views": "CC0"}
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_card_names_a_gpu_that_nothing_is_on_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the GPU {device}")
    RunCard.begin(tmp_path, config={}, seed=0, device="cuda:1")
    assert read(tmp_path)["machine"]["device_name"] == "the GPU cuda:1"
    RunCard.begin(tmp_path, config={}, seed=0, device="cpu")
    assert read(tmp_path)["machine"]["device_name"] == read(tmp_path)["machine"]["cpu"]


def test_a_failed_stage_is_on_the_card(tmp_path: Path) -> None:
    card = RunCard.begin(tmp_path, config={}, seed=0)
    with pytest.raises(MemoryError), card.stage("fine"):
        raise MemoryError
    assert read(tmp_path)["stages"]["fine"]["finished"] is False


def test_a_resumed_run_goes_on_with_its_card(tmp_path: Path) -> None:
    first = RunCard.begin(tmp_path, config={"seed": 0}, seed=0)
    with pytest.raises(KeyboardInterrupt), first.stage("coarse"):
        time.sleep(0.05)
        raise KeyboardInterrupt
    first.add_metrics(psnr=30.0)
    second = RunCard.begin(tmp_path, config={"seed": 0}, seed=0)
    assert second.card["metrics"] == {"psnr": 30.0}
    with second.stage("coarse"):
        time.sleep(0.05)
    with second.stage("fine"):
        pass
    assert second.stages["coarse"].seconds >= 0.1
    assert second.stages["coarse"].finished
    assert list(second.stages) == ["coarse", "fine"]
    assert read(tmp_path)["started"] == first.card["started"]


def test_config_hash_is_of_the_content() -> None:
    """Neither the order of keys, nor the run's name, nor where it resumes, nor its folder belong to it."""
    one = {"seed": 0, "parts": {"a": 1, "b": [1, 2]}, "resume": None}
    same = {"resume": "somewhere", "parts": {"b": [1, 2], "a": 1}, "seed": 0}
    assert config_hash(one) == config_hash(same)
    assert config_hash(one) == config_hash({**one, "name": "mine", "hydra": {"run": {"dir": "there"}}})
    assert config_hash(one) != config_hash({**one, "seed": 1})


def test_equal_settings_hash_alike_in_any_folder() -> None:
    logger = {"save_dir": "${hydra:runtime.output_dir}"}
    configs = [OmegaConf.create({"seed": seed, "name": name, "logger": logger}) for seed, name in ((0, "a"), (0, "b"))]
    plain = [OmegaConf.to_container(config, resolve=False) for config in configs]
    assert config_hash(plain[0]) == config_hash(plain[1])


def as_hydra_opens(folder: Path) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").touch()
    (folder / "run.log").touch()
    return folder


@pytest.mark.parametrize("views_are", ["refused", "written", "not looked at"])
def test_unused_folder_goes_with_its_empty_parents(tmp_path: Path, views_are: str) -> None:
    folder = as_hydra_opens(tmp_path / "kept" / "outputs" / "toy" / "now")
    card = RunCard.begin(folder, config={}, seed=0)
    if views_are == "refused":
        with pytest.raises(InputError), card.stage("views"):
            raise InputError("a pose that can't be")
    if views_are == "written":
        with card.stage("views"):
            (folder / "views").mkdir()
    discard_unused(folder, tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_other_runs_and_folders_above_stay(tmp_path: Path) -> None:
    first, second = (as_hydra_opens(tmp_path / "outputs" / "toy" / name) for name in ("a", "b"))
    discard_unused(first, tmp_path)
    assert not first.exists() and second.is_dir()
    elsewhere = as_hydra_opens(tmp_path / "elsewhere" / "mine")
    discard_unused(elsewhere, tmp_path / "outputs")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_used_folder_stays(tmp_path: Path) -> None:
    folder = as_hydra_opens(tmp_path / "run")
    with pytest.raises(MemoryError), RunCard.begin(folder, config={}, seed=0).stage("coarse"):
        raise MemoryError
    discard_unused(folder, tmp_path)
    assert (folder / "run.json").exists() and (folder / "run.log").exists()


@pytest.mark.parametrize("users", ["views", "notes.txt", ".hydra/notes.txt", "run.json"])
def test_a_folder_with_other_things_in_it_is_not_new(tmp_path: Path, users: str) -> None:
    folder = as_hydra_opens(tmp_path / "run")
    assert is_new(folder)
    (folder / users).touch()
    assert not is_new(folder)


def test_peak_memory_is_of_this_process() -> None:
    assert 10 * MIB < peak_memory_bytes() < 2**40


def test_a_card_is_finished_until_the_run_goes_on(tmp_path: Path) -> None:
    assert read_card(tmp_path) is None
    card = RunCard.begin(tmp_path, config={"steps": 1, "share": "a", "resume": None}, seed=0)
    card.add_shared("coarse", Path("shared/coarse-0"))
    assert "finished" not in read(tmp_path)
    card.finish()
    assert read_card(tmp_path) == read(tmp_path) and read(tmp_path)["finished"]
    RunCard.begin(tmp_path, config={"steps": 1, "share": "b", "resume": "x"}, seed=0)
    again = read(tmp_path)
    assert "finished" not in again and again["shared"] == {"coarse": "shared/coarse-0"}
    assert again["config_sha256"] == card.card["config_sha256"]


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_damaged_card_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match="run.json: expected the JSON that a run writes"):
        read_card(tmp_path)


def test_what_an_earlier_export_warned_of_does_not_stay(tmp_path: Path) -> None:
    """What the stages before it warned of does."""
    log = logging.getLogger("sv3dgen.export")
    for attempt in range(2):
        card = RunCard.begin(tmp_path, config={}, seed=0)
        with card.hearing_warnings():
            if attempt == 0:
                with card.stage("coarse"):
                    log.warning("nearly white")
            with card.stage("export"):
                log.warning("the mesh is not closed" if attempt == 0 else "nearly white")
                card.add_fit({}, "view 3 shows background" if attempt == 0 else None)
        told = ["nearly white", "the mesh is not closed", "view 3 shows background"]
        assert read(tmp_path)["warnings"] == (told if attempt == 0 else told[:1])
