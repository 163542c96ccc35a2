"""Accelerators for tests: the installed package on a GPU, or a stand-in on the CPU.

The stand-ins (`*_stand_in.py`) are slow torch versions of the parts of each package's interface that are called, after
its documentation: order, offsets, signs, dtypes, and what it refuses. With them the conversions of our adapters are
tested where the packages cannot run; whether the packages do what they document is for the tests on a GPU.
"""

import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch

from sv3dgen.kernels import backend
from sv3dgen.kernels.accelerators import ACCELERATORS
from sv3dgen.kernels.hash_grid import encode as hash_grid
from sv3dgen.kernels.ray_marching import march as ray_marching

PLACES = ["stand-in", "installed"]


def provide(
    name: str, place: str, stand_ins: dict[str, ModuleType], patch: pytest.MonkeyPatch
) -> Iterator[torch.device]:
    """The device to test an accelerator on; skips where the installed one is asked for and cannot run."""
    if place == "installed":
        if find_spec(name) is None:
            pytest.skip(f"needs {name}: {ACCELERATORS[name].how}")
        if not torch.cuda.is_available():
            pytest.skip(f"needs an Nvidia GPU for {name}")
        yield torch.device("cuda")
        return
    forget(name)
    for module, stand_in in stand_ins.items():
        stand_in.__spec__ = ModuleSpec(module, None)
        patch.setitem(sys.modules, module, stand_in)
    patch.setattr(backend, "_obstacle", lambda *_: None)
    yield torch.device("cpu")
    forget(name)


def forget(name: str) -> None:
    """Make the adapters of an accelerator, and what was found out about it, be loaded again."""
    for module in [module for module in sys.modules if module.endswith(f"_{name}")]:
        if module.startswith("sv3dgen.kernels."):
            del sys.modules[module]
    for found in (hash_grid._sweeps, ray_marching._compiled, backend._explicit, backend._automatic):
        found.cache_clear()


def module_of(name: str, **contents: object) -> ModuleType:
    """A module with some contents."""
    module = ModuleType(name)
    vars(module).update(contents)
    return module
