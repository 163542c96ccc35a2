"""The choice of implementation: by device, by configuration, by the caller; and what is said when it cannot be had."""

import subprocess
import sys

import pytest
import torch

from sv3dgen.kernels.backend import IMPLEMENTATIONS, available, resolve, set_backend


@pytest.fixture(autouse=True)
def no_overrides():
    yield
    for operation in IMPLEMENTATIONS:
        set_backend(operation, "auto")


@pytest.mark.parametrize(
    "device, backend", [("cpu", "numba"), ("cuda", "torch"), ("cuda:1", "torch"), ("mps", "torch")]
)
def test_auto_goes_by_device(device, backend):
    assert resolve("hash_grid", "auto", device) == backend
    assert resolve("hash_grid", "auto", torch.device(device)) == backend


def test_configuration_decides_auto_and_the_caller_decides_over_it():
    set_backend("hash_grid", "torch")
    assert resolve("hash_grid", "auto", "cpu") == "torch"
    assert resolve("hash_grid", "numba", "cpu") == "numba"
    assert resolve("ray_marching", "auto", "cpu") == "numba"
    set_backend("hash_grid", "auto")
    assert resolve("hash_grid", "auto", "cpu") == "numba"


def test_what_cannot_be_had_is_named():
    with pytest.raises(ValueError, match="hash_grid=triton: not implemented, available: auto, torch, numba"):
        resolve("hash_grid", "triton", "cuda")
    with pytest.raises(ValueError, match="ray_marching=triton"):
        set_backend("ray_marching", "triton")
    with pytest.raises(ValueError, match="CPU tensors only, these are on cuda"):
        resolve("hash_grid", "numba", "cuda:0")
    with pytest.raises(ValueError, match="kernels.hash_gird: no such operation, expected one of hash_grid"):
        set_backend("hash_gird", "torch")


def test_available_tells_every_operation_and_why():
    set_backend("rasterizer", "torch")
    rows = {row.operation: row for row in available()}
    assert set(rows) == set(IMPLEMENTATIONS)
    assert rows["hash_grid"].backend == "numba" and "CPU" in rows["hash_grid"].why
    assert rows["rasterizer"].backend == "torch" and "configuration" in rows["rasterizer"].why
    assert {row.backend for row in available("cuda")} == {"torch"}


def test_import_is_light():
    code = "import sys, sv3dgen.kernels.backend; print([m for m in ('torch', 'numba', 'numpy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
