"""Which implementation runs an operation: the torch reference, numba on CPUs, triton on GPUs, or an accelerator.

Every operation has one file or folder next to this one. A kernel asks `resolve` with its name, the wish and the
device; `python -m sv3dgen.doctor` and run.json tell the outcome from `available`. This module imports neither torch
nor numba; only who asks for an accelerator on a GPU has torch asked which GPUs it is built for.
"""

import os
import shutil
import sysconfig
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from sv3dgen.errors import InputError
from sv3dgen.kernels.accelerators import ACCELERATORS, torch_is_for_amd

Backend = Literal["auto", "torch", "numba", "triton", "tinycudann", "nerfacc", "nvdiffrast"]

# Operation -> implementations that exist. The references of those without a triton version are a few operations on
# whole tensors, each of which a GPU runs with all it has.
IMPLEMENTATIONS: dict[str, tuple[str, ...]] = {
    "hash_grid": ("torch", "numba", "triton", "tinycudann"),
    "ray_marching": ("torch", "numba", "triton", "nerfacc"),
    "rasterizer": ("torch", "numba", "triton", "nvdiffrast"),
    "marching_tetrahedra": ("torch", "numba", "triton"),
    "normal_consistency": ("torch", "numba"),
    "plane_sweep": ("torch", "numba"),
}

ON_HOST = {"plane_sweep"}  # operations of a stage's start, whose tensors lie on the CPU wherever the run is

_overrides: dict[str, str] = {}


class Availability(NamedTuple):
    """What runs one operation on one device, and why."""

    operation: str
    backend: str
    why: str


def set_backend(operation: str, backend: Backend) -> None:
    """Choose what `auto` means for one operation from now on (config `kernels.OPERATION=BACKEND`); `auto` resets it.

    Raises InputError for an unknown operation, or a backend that the operation does not have.
    """
    if operation not in IMPLEMENTATIONS:
        raise InputError(f"kernels.{operation}: no such operation, expected one of {', '.join(IMPLEMENTATIONS)}")
    if backend == "auto":
        _overrides.pop(operation, None)
        return
    _check_implemented(operation, backend)
    _overrides[operation] = backend


def resolve(operation: str, backend: Backend, device: object) -> str:
    """The implementation to run for tensors on `device` (a torch.device or its name).

    A `backend` other than `auto` is taken as it is; `auto` is the choice made with `set_backend`, else numba for CPU
    tensors, triton for those on an Nvidia or AMD GPU (torch calls both `cuda`), and torch for all others. Raises
    InputError where the choice does not exist or cannot run on the device.
    """
    return _choose(operation, backend, _device_type(device))[0]


def available(device: object = "cpu") -> list[Availability]:
    """What `auto` stands for on this machine, operation by operation, for tensors on `device`."""
    where = {name: "cpu" if name in ON_HOST else _device_type(device) for name in IMPLEMENTATIONS}
    return [Availability(name, *_choose(name, "auto", where[name])) for name in IMPLEMENTATIONS]


def runs_on(operation: str, device: object) -> tuple[str, ...]:
    """The implementations of an operation that this machine can run on tensors on `device`."""
    device_type = _device_type(device)
    return tuple(name for name in IMPLEMENTATIONS[operation] if _obstacle(name, device_type) is None)


def resolve_own(operation: str, device: object) -> str:
    """The implementation of this project that `auto` stands for unless configured: for what an accelerator leaves."""
    return _automatic(operation, _device_type(device))[0]


def _choose(operation: str, backend: str, device_type: str) -> tuple[str, str]:
    if backend != "auto":
        return _explicit(operation, backend, device_type), "asked for by the caller"
    # Parts of a GPU's run compute on the CPU (export), where its choice may have no say.
    if operation in _overrides and _obstacle(_overrides[operation], device_type) is None:
        return _explicit(operation, _overrides[operation], device_type), "chosen in the configuration"
    return _automatic(operation, device_type)


@cache
def _automatic(operation: str, device_type: str) -> tuple[str, str]:
    present = IMPLEMENTATIONS[operation]
    if device_type == "cpu":
        if "numba" not in present:
            return "torch", "there is no numba version"
        return "numba", "compiled for every core of this CPU"
    if device_type != "cuda":
        return "torch", f"the tensors are on {device_type}, which triton does not compile for"
    if "triton" not in present:
        return "torch", "whole-tensor operations, which run on a GPU as they are"
    obstacle = _obstacle("triton", device_type)
    if obstacle is not None:
        return "torch", obstacle
    return "triton", "compiled for this GPU at the first call; tested in Triton's interpreter only so far"


@cache
def _explicit(operation: str, backend: str, device_type: str) -> str:
    _check_implemented(operation, backend)
    obstacle = _obstacle(backend, device_type)
    if obstacle is not None:
        raise InputError(f"kernels.{operation}={backend}: {obstacle}; expected {_automatic(operation, device_type)[0]}")
    return backend


def _obstacle(backend: str, device_type: str) -> str | None:
    """Why an implementation cannot run on tensors of a device here; None if it can."""
    if backend == "numba" and device_type != "cpu":
        return f"numba runs on CPU tensors only, these are on {device_type}"
    if backend == "triton":
        if find_spec("triton") is None:
            return "triton is not installed"
        if device_type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
            return "triton runs on GPU tensors only, these are on cpu"
        if device_type not in ("cpu", "cuda"):
            return f"triton does not compile for {device_type}"
        if device_type == "cuda":
            return _missing_for_triton()
    if backend in ACCELERATORS:
        wanted = ACCELERATORS[backend]
        if device_type == "cuda" and torch_is_for_amd():
            return f"{backend} runs on an Nvidia GPU only, and torch is built for AMD's (ROCm)"
        if find_spec(backend) is None:
            return f"{backend} is not installed; for an Nvidia GPU: {wanted.how}; licence: {wanted.licence}"
        if device_type != "cuda":
            return f"{backend} runs on an Nvidia GPU's tensors only, these are on {device_type}"
    return None


def _missing_for_triton() -> str | None:
    """What Triton lacks: at its first start it builds the module through which kernels reach the driver."""
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "triton needs a C compiler at its first start (gcc, clang or $CC), and there is none"
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        return "triton needs Python's C headers at its first start, and Python.h is not there"
    return None


def _check_implemented(operation: str, backend: str) -> None:
    present = IMPLEMENTATIONS[operation]
    if backend not in present:
        raise InputError(f"kernels.{operation}={backend}: not implemented, available: auto, {', '.join(present)}")


def _device_type(device: object) -> str:
    return str(device).split(":")[0]
