"""Mitsuba 3 on this CPU: another project's differentiable renderer, to be measured against (extra `peers`)."""

from importlib.util import find_spec

import torch

from sv3dgen.bench.drjit_grid import HOW
from sv3dgen.errors import InputError

VARIANT = "llvm_ad_rgb"
NEEDED = ("mitsuba", "cholespy")  # the second solves the systems of large steps


def check_mitsuba() -> None:
    """InputError where Mitsuba, what it needs, or LLVM is missing."""
    for name in NEEDED:
        if find_spec(name) is None:
            raise InputError(f"{name} is not installed; {HOW}")
    import drjit

    if not drjit.has_backend(drjit.JitBackend.LLVM):
        raise InputError(f"Dr.Jit finds no LLVM; {HOW}")


def start_mitsuba() -> None:
    """Choose the variant that runs on this CPU with gradients, on as many threads as torch has."""
    check_mitsuba()
    import drjit
    import mitsuba

    mitsuba.set_variant(VARIANT)
    drjit.set_thread_count(torch.get_num_threads())
