"""Accelerators: imported only where asked for, refused in one line with how to get them, and named in a run."""

import subprocess
import sys

import pytest
import torch
from checkout import ROOT

from sv3dgen.commands.doctor import EXTRAS
from sv3dgen.errors import InputError
from sv3dgen.kernels import backend
from sv3dgen.kernels.accelerators import ACCELERATORS, used_licences
from sv3dgen.kernels.backend import IMPLEMENTATIONS, available, resolve, resolve_own, runs_on, set_backend
from sv3dgen.runs.run_folder import read_card
from systems.run import Run
from tests.systems.test_run import small


@pytest.fixture
def installed(monkeypatch):
    """Make them all installed, or none."""

    def make(present: bool) -> None:
        found = backend.find_spec
        monkeypatch.setattr(
            backend, "find_spec", lambda name: (object() if present else None) if name in ACCELERATORS else found(name)
        )
        forget()

    def forget() -> None:
        backend._automatic.cache_clear()
        backend._explicit.cache_clear()

    yield make
    forget()


@pytest.mark.parametrize("name", ACCELERATORS)
def test_each_has_its_operation_and_is_never_picked_by_itself(name, installed):
    installed(True)
    operation = ACCELERATORS[name].operation
    assert name in IMPLEMENTATIONS[operation]
    assert resolve(operation, name, "cuda:0") == name and name in runs_on(operation, "cuda")
    assert name not in runs_on(operation, "cpu") and name not in runs_on(operation, "mps")
    for device in ("cpu", "cuda", "mps"):
        assert name not in {row.backend for row in available(device)} and resolve_own(operation, device) != name
    with pytest.raises(InputError, match=f"kernels.{operation}={name}: {name} runs on an Nvidia GPU's tensors only"):
        resolve(operation, name, "cpu")


@pytest.mark.parametrize("name", ACCELERATORS)
def test_what_is_missing_is_said_with_how_to_get_it(name, installed):
    installed(False)
    wanted = ACCELERATORS[name]
    with pytest.raises(InputError) as refusal:
        resolve(wanted.operation, name, "cuda")
    for said in (f"kernels.{wanted.operation}={name}: {name} is not installed", wanted.how, wanted.licence):
        assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_a_torch_for_amd_has_none(name, installed, monkeypatch):
    installed(True)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    operation = ACCELERATORS[name].operation
    assert name not in runs_on(operation, "cuda") and "torch" in runs_on(operation, "cuda")
    with pytest.raises(InputError, match=f"kernels.{operation}={name}: {name} runs on an Nvidia GPU only, and torch"):
        resolve(operation, name, "cuda:0")


def test_what_an_accelerator_leaves_does_not_follow_the_configuration(installed):
    installed(True)
    set_backend("rasterizer", "nvdiffrast")
    try:
        assert resolve("rasterizer", "auto", "cuda") == "nvdiffrast"
        assert resolve_own("rasterizer", "cuda") in ("triton", "torch")
    finally:
        set_backend("rasterizer", "auto")


@pytest.mark.parametrize("name", ACCELERATORS)
def test_the_command_line_refuses_what_cannot_run_here(name, views_folder):
    operation = ACCELERATORS[name].operation
    command = [sys.executable, "launch.py", f"views={views_folder}", f"kernels.{operation}={name}", "device=cpu"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"sv3dgen: kernels.{operation}={name}: {name} ")


def test_none_is_imported_unless_asked_for():
    code = "import gc, sys; gc.disable(); import systems.run;"
    code += "from sv3dgen.kernels.rasterizer import rasterize, interpolate;"
    code += f"print([name for name in {list(ACCELERATORS)} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_licences_are_told_by_the_doctor_and_by_a_run(views_folder, tmp_path):
    for wanted in ACCELERATORS.values():
        (extra,) = (extra for extra in EXTRAS if extra.module == wanted.module)
        assert (extra.how, extra.licence) == (wanted.how, wanted.licence)
    kernels = {"rasterizer": "nvdiffrast", "hash_grid": "auto", "ray_marching": "torch"}
    told = used_licences(kernels)
    (use,) = told
    assert use == "kernels.rasterizer=nvdiffrast" and "non-commercial" in told[use]
    config = small(views_folder)
    config.kernels = kernels
    Run(config, tmp_path).begin()
    assert (read_card(tmp_path) or {})["licences"] == told
