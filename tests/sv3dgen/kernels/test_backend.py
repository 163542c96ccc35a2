"""The choice of implementation: by device, by configuration, by the caller; and what is said when it cannot be had."""

import subprocess
import sys

import pytest
import torch

from sv3dgen.kernels import backend
from sv3dgen.kernels.backend import IMPLEMENTATIONS, available, resolve, runs_on, set_backend


@pytest.fixture(autouse=True)
def no_overrides():
    yield
    for operation in IMPLEMENTATIONS:
        set_backend(operation, "auto")


@pytest.fixture
def triton_is(monkeypatch):
    """Make triton present or missing, and its interpreter on or off."""

    def make(present: bool, interpreted: bool = False) -> None:
        monkeypatch.setattr(backend, "find_spec", lambda name: object() if present and name == "triton" else None)
        monkeypatch.setenv("TRITON_INTERPRET", "1" if interpreted else "0")
        monkeypatch.setattr(backend, "_missing_for_triton", lambda: None)
        forget()

    def forget() -> None:
        backend._automatic.cache_clear()
        backend._explicit.cache_clear()

    yield make
    forget()


@pytest.mark.parametrize(
    "device, expected", [("cpu", "numba"), ("cuda", "triton"), ("cuda:1", "triton"), ("mps", "torch"), ("xpu", "torch")]
)
def test_auto_goes_by_device(device, expected, triton_is):
    triton_is(True)
    assert resolve("hash_grid", "auto", device) == expected
    assert resolve("hash_grid", "auto", torch.device(device)) == expected
    triton_is(False)
    assert resolve("hash_grid", "auto", device) == expected.replace("triton", "torch")


def test_configuration_decides_auto_and_the_caller_decides_over_it():
    set_backend("hash_grid", "torch")
    assert resolve("hash_grid", "auto", "cpu") == "torch"
    assert resolve("hash_grid", "numba", "cpu") == "numba"
    assert resolve("ray_marching", "auto", "cpu") == "numba"
    set_backend("hash_grid", "auto")
    assert resolve("hash_grid", "auto", "cpu") == "numba"


def test_what_cannot_be_had_is_named(triton_is):
    triton_is(True)
    with pytest.raises(ValueError, match="normal_consistency=triton: not implemented, available: auto, torch, numba"):
        resolve("normal_consistency", "triton", "cuda")
    with pytest.raises(ValueError, match="normal_consistency=triton"):
        set_backend("normal_consistency", "triton")
    with pytest.raises(ValueError, match="CPU tensors only, these are on cuda; expected triton"):
        resolve("hash_grid", "numba", "cuda:0")
    with pytest.raises(ValueError, match="GPU tensors only, these are on cpu; expected numba"):
        resolve("hash_grid", "triton", "cpu")
    with pytest.raises(ValueError, match="triton does not compile for mps; expected torch"):
        resolve("hash_grid", "triton", "mps")
    triton_is(False)
    with pytest.raises(ValueError, match="triton is not installed; expected torch"):
        resolve("hash_grid", "triton", "cuda")
    with pytest.raises(ValueError, match="kernels.hash_gird: no such operation, expected one of hash_grid"):
        set_backend("hash_gird", "torch")


def test_triton_needs_a_compiler_and_headers_on_a_gpu(triton_is, monkeypatch, tmp_path):
    missing = backend._missing_for_triton
    triton_is(True)
    monkeypatch.setattr(backend, "_missing_for_triton", missing)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(backend.shutil, "which", lambda name: None)
    assert resolve("hash_grid", "auto", "cuda") == "torch"
    with pytest.raises(ValueError, match="C compiler"):
        resolve("hash_grid", "triton", "cuda")
    monkeypatch.setattr(backend.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(backend.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert runs_on("hash_grid", "cuda") == ("torch",)
    with pytest.raises(ValueError, match="Python.h"):
        backend._explicit.cache_clear()
        resolve("hash_grid", "triton", "cuda")
    (tmp_path / "Python.h").touch()
    assert resolve("hash_grid", "triton", "cuda") == "triton"


def test_what_runs_here(triton_is):
    triton_is(True)
    assert runs_on("hash_grid", "cpu") == ("torch", "numba") and runs_on("hash_grid", "cuda:0") == ("torch", "triton")
    triton_is(True, interpreted=True)
    assert runs_on("hash_grid", "cpu") == ("torch", "numba", "triton")
    assert resolve("hash_grid", "auto", "cpu") == "numba" and resolve("hash_grid", "triton", "cpu") == "triton"
    triton_is(False)
    assert runs_on("hash_grid", "cuda") == ("torch",)


def test_a_choice_for_the_gpu_leaves_tensors_on_the_cpu_alone(triton_is):
    """A GPU's run exports on the CPU."""
    triton_is(True)
    set_backend("rasterizer", "triton")
    assert resolve("rasterizer", "auto", "cuda") == "triton"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRITON_INTERPRET", raising=False)
        assert resolve("rasterizer", "auto", "cpu") == "numba"


def test_available_tells_every_operation_and_why(triton_is):
    triton_is(True)
    set_backend("rasterizer", "torch")
    rows = {row.operation: row for row in available()}
    assert set(rows) == set(IMPLEMENTATIONS)
    assert rows["hash_grid"].backend == "numba" and "CPU" in rows["hash_grid"].why
    assert rows["rasterizer"].backend == "torch" and "configuration" in rows["rasterizer"].why
    set_backend("rasterizer", "auto")
    on_gpu = {row.operation: row for row in available("cuda")}
    assert on_gpu["hash_grid"].backend == "triton" and "this GPU" in on_gpu["hash_grid"].why
    assert on_gpu["normal_consistency"].backend == "torch" and "whole-tensor" in on_gpu["normal_consistency"].why
    triton_is(False)
    assert ("hash_grid", "torch", "triton is not installed") in available("cuda")


def test_import_is_light():
    code = "import sys, sv3dgen.kernels.backend; print([m for m in ('torch', 'numba', 'numpy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
