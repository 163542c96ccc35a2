"""Devices by name."""

import torch

from sv3dgen.errors import InputError


def find_device(name: torch.device | str) -> torch.device:
    """The device of a name; `auto` is a CUDA GPU where there is one, else the CPU. InputError if it isn't here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device={name}: expected auto, cpu, cuda or mps") from None
    present = (device.index or 0) < torch.cuda.device_count()
    there = {"cpu": True, "cuda": present, "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False):
        raise InputError(f"device={name}: there is no such device here, see python -m sv3dgen.doctor")
    return device
