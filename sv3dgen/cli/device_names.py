"""Devices as the command line names them, checked without importing torch where there is nothing to ask it."""

import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sv3dgen.errors import InputError

# What a driver for GPUs leaves in the system: Nvidia's, also of small boards, AMD's, and Windows' for Linux inside it.
_DRIVERS = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/kfd", "/dev/dxg")


def checked_device(name: str) -> str:
    """`cpu`, or the device that the name stands for; InputError where it is none, or not here."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise InputError(f"device={name}: expected auto, cpu, cuda, cuda:1 (and so on) or mps")
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return "cpu"
    from sv3dgen.devices import find_device  # imports torch: seconds

    return str(find_device(name))


def on_gpu(name: str) -> bool:
    """Whether a device of this name is a CUDA GPU (torch's name for AMD's, too) that is here."""
    try:
        return checked_device(name).startswith("cuda")
    except InputError:  # which is told later, with all else that is checked
        return False


@cache
def may_have_gpu() -> bool:
    """Whether it is worth asking torch for a CUDA GPU."""
    if find_spec("torch") is None:
        return False
    return sys.platform == "win32" or any(Path(driver).exists() for driver in _DRIVERS)
