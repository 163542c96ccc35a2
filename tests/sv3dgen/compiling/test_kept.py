"""Compiled kernels are kept by what they say: where they lie, and what is written above them, does not matter."""

import importlib.util
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from checkout import ROOT
from filelock import FileLock

from sv3dgen.compiling import kept
from sv3dgen.compiling.digest import digest

SOURCE = """
from sv3dgen.compiling.kernel import kernel
STEP = 3

@kernel()
def inner(x):
    return x * STEP

@kernel()
def outer(x):
    return inner(x) + 1
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a source of the same second and size is taken for it
    return tmp_path / "cache"


def loaded(folder: Path, source: str = SOURCE) -> ModuleType:
    """The source as a module of one name, wherever it lies."""
    folder.mkdir(exist_ok=True)
    file = folder / "a_kernel.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location("a_kernel", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["a_kernel"] = module  # where numba looks for a kept function's names
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def forgotten():
    yield
    sys.modules.pop("a_kernel", None)


def compilations(module: ModuleType) -> int:
    return sum(module.outer.stats.cache_misses.values())


def test_a_moved_or_edited_file_compiles_nothing_anew(tmp_path, cache):
    first = loaded(tmp_path / "here")
    assert first.outer(2) == 7 and compilations(first) == 1
    assert len(list(cache.glob("*.nbc"))) == 2
    again = loaded(tmp_path / "there", '"""Says more."""\n\n' + SOURCE.replace("@kernel()", "# Told.\n@kernel()"))
    assert again.outer(2) == 7 and compilations(again) == 0


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [("STEP = 3", "STEP = 5", 11), ("x * STEP", "x - STEP", 0), ("+ 1", "+ 2", 8)],
    ids=["a constant", "a kernel that it calls", "its own code"],
)
def test_what_a_kernel_depends_on_makes_another_one(before, after, value, tmp_path):
    assert loaded(tmp_path).outer(2) == 7
    changed = loaded(tmp_path, SOURCE.replace(before, after))
    assert changed.outer(2) == value and compilations(changed) == 1


def test_options_and_arrays_make_another_one(tmp_path):
    plain, fast = loaded(tmp_path).outer, loaded(tmp_path, SOURCE.replace("kernel()", "kernel(fastmath=True)")).outer
    assert digest(plain) != digest(fast)
    table = SOURCE.replace("STEP = 3", "import numpy as np\nSTEP = np.arange(3)").replace("x * STEP", "STEP[x]")
    arrays = [loaded(tmp_path, table), loaded(tmp_path, table.replace("arange(3)", "arange(4)"))]
    assert digest(arrays[0].outer) != digest(arrays[1].outer)


def test_one_process_waits_for_what_another_compiles(tmp_path, cache):
    loaded(tmp_path).outer(2)
    (file,) = cache.glob("a_kernel.outer.*.nbc")
    hidden = file.rename(tmp_path / "hidden")
    other = FileLock(file.with_suffix(".lock"), thread_local=False)
    other.acquire()

    def done() -> None:
        time.sleep(0.1)
        hidden.rename(file)
        other.release()

    threading.Thread(target=done).start()
    waiting = loaded(tmp_path)
    assert waiting.outer(2) == 7 and compilations(waiting) == 0


def test_one_that_never_ends_is_not_waited_for(tmp_path, cache, monkeypatch):
    loaded(tmp_path).outer(2)
    (file,) = cache.glob("a_kernel.outer.*.nbc")
    file.unlink()
    monkeypatch.setattr(kept, "LONGEST_WAIT_S", 0.05)
    with FileLock(file.with_suffix(".lock")):
        alone = loaded(tmp_path)
        assert alone.outer(2) == 7 and compilations(alone) == 1


def test_a_broken_file_and_a_folder_that_cannot_be_written_to(tmp_path, cache, monkeypatch):
    loaded(tmp_path).outer(2)
    for file in cache.glob("*.nbc"):
        file.write_bytes(b"half")
    assert loaded(tmp_path).outer(2) == 7
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert loaded(tmp_path).outer(2) == 7


def test_what_nobody_uses_is_dropped(tmp_path, cache):
    loaded(tmp_path).outer(2)
    (old,) = cache.glob("a_kernel.outer.*.nbc")
    os.utime(old, (0, 0))
    loaded(tmp_path, SOURCE.replace("+ 1", "+ 2")).outer(2)
    assert not old.exists() and len(list(cache.glob("a_kernel.outer.*.nbc"))) == 1


def test_only_prange_makes_threads(tmp_path):
    module = loaded(
        tmp_path,
        "import numpy as np\nfrom numba import prange\nfrom sv3dgen.compiling.kernel import kernel\n\n"
        "@kernel(parallel=True)\ndef outer(x):\n    out = np.zeros(len(x))\n"
        "    for i in prange(len(x)):\n        out[i] = 2 * x[i]\n    return out\n",
    )
    np.testing.assert_array_equal(module.outer(np.arange(3.0)), [0, 2, 4])
    options = module.outer.targetoptions["parallel"]
    assert options.prange and not (options.numpy or options.setitem or options.reduction)


GRADIENT = """
import hashlib
import torch
from sv3dgen.kernels.hash_grid import _network_numba

generator = torch.Generator().manual_seed(0)
encoded, hidden, bias, out, grad = (
    torch.randn(*shape, generator=generator) for shape in ((14, 300), (64, 14), (64,), (4, 64), (300, 4))
)
found = _network_numba.evaluate_backward(encoded, (hidden, bias), out, grad, 14)
bits = b"".join(tensor.contiguous().numpy().tobytes() for tensor in found)
print(sum(_network_numba._backward_kernel.stats.cache_misses.values()), hashlib.sha256(bits).hexdigest())
"""


@pytest.mark.thorough
def test_a_kernel_computes_the_same_bits_just_compiled_and_read_again(tmp_path):
    """What a kernel calls is compiled into it: no second version of it may lie in the process that compiles."""
    told = [run([sys.executable, "-c", GRADIENT], tmp_path).split() for _ in range(2)]
    assert [misses for misses, _ in told] == ["1", "0"]
    assert told[0][1] == told[1][1]


def run(command: list[str], folder: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
