"""What is compiled ahead of need: the kernels of the stages to come, at their types, by processes that share them."""

import os
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest

from sv3dgen.compiling import ahead
from sv3dgen.compiling.in_a_run import KERNELS, STAGES, modules_of

HULL = "sv3dgen.views.visual_hull"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_types_are_written_as_numba_writes_them():
    assert ahead.signature("f4[2] i8") == "(float32[:, ::1], int64,)"
    assert ahead.signature("b1[1A]") == "(boolean[:],)"


@pytest.fixture
def toy(tmp_path, monkeypatch) -> str:
    """A module with two kernels, listed as a run's."""
    source = "from sv3dgen.compiling.kernel import kernel\n"
    source += "@kernel()\ndef more(x):\n    return x[0] + 1\n@kernel()\ndef less(x):\n    return x - 1\n"
    (tmp_path / "toy_kernels.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(KERNELS, "toy_kernels", {"more": "f4[1]", "less": "i8"})
    yield "toy_kernels"
    sys.modules.pop("toy_kernels", None)


def test_kernels_are_compiled_once_and_the_next_run_asks_for_none(toy, cache):
    ahead.compile_all([toy], 1)
    assert {file.name.split(".")[1] for file in cache.glob("*.nbc")} == {"more", "less"}
    module = import_module(toy)
    assert module.more.signatures and module.less.signatures
    assert ahead.start([toy], 2) is None


def test_a_call_finds_what_was_compiled_ahead(toy, cache):
    ahead.compile_all([toy], 1)
    compiled = sorted(cache.glob("*.nbc"))
    sys.modules.pop(toy)
    module = import_module(toy)
    assert module.more(np.ones(3, dtype=np.float32)) == 2 and module.less(5) == 4
    assert sorted(cache.glob("*.nbc")) == compiled


@pytest.mark.thorough
def test_processes_share_the_work(cache):
    process = ahead.start([HULL], 2)
    assert process is not None and process.wait(60) == 0
    assert {file.name.split(".")[3] for file in cache.glob("*.nbc")} == set(KERNELS[HULL])
    assert ahead.start([HULL], 2) is None


def test_a_changed_file_or_processor_asks_again(monkeypatch, toy, tmp_path):
    started = []

    class Process(subprocess.Popen):
        def __init__(self, command: list[str], **settings: object) -> None:
            started.append(command)

        def terminate(self) -> None: ...

        def __del__(self) -> None: ...

    monkeypatch.setattr(subprocess, "Popen", Process)
    ahead.done_file([toy]).touch()
    assert ahead.start([toy], 2) is None
    (tmp_path / "toy_kernels.py").write_text("# another")
    ahead.start([toy], 2)
    ahead.done_file([toy]).touch()
    monkeypatch.setattr(ahead, "_processor", lambda: "another one")
    ahead.start([toy], 2)
    ahead.done_file([toy]).touch()
    os.utime(ahead.done_file([toy]), (0, 0))  # the kernels may have been dropped
    ahead.start([toy], 2)
    assert [command[-2:] for command in started] == 3 * [["2", toy]]
    assert ahead.start([toy], 1) is None  # one core compiles as fast where it comes to it


def test_a_run_compiles_only_what_its_stages_call():
    everything = modules_of(["coarse", "fine"], False, set())
    assert everything == list(KERNELS) and {module for stage in STAGES.values() for module in stage} == set(KERNELS)
    assert not any("rasterizer" in module for module in modules_of(["coarse"], False, set()))
    left = modules_of(["coarse", "fine"], False, {"hash_grid", "normal_consistency"})
    assert set(everything) - set(left) == {
        "sv3dgen.kernels.hash_grid._numba",
        "sv3dgen.kernels.hash_grid._network_numba",
        "sv3dgen.kernels._normal_consistency_numba",
    }
    on_gpu = modules_of(["coarse", "fine"], True, set())
    assert "sv3dgen.export.packing" in on_gpu and "sv3dgen.kernels.plane_sweep._numba" in on_gpu
    assert "sv3dgen.kernels.hash_grid._numba" not in on_gpu
    assert modules_of(["train"], False, set()) == []
    assert ahead.sees_gpu("cuda") and not ahead.sees_gpu("cpu")
