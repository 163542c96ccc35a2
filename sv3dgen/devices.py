"""Devices by name, and the way there."""

import torch
from torch import Tensor

from sv3dgen.errors import InputError

WITHOUT_FLOAT64 = ("mps",)  # types of devices


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


def sent_to(device: torch.device, tensor: Tensor) -> Tensor:
    """A tensor of the host on the device; the host goes on at once, which `.to` would not let it."""
    if device.type == tensor.device.type or device.type == "mps":
        return tensor.to(device)
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # from other memory the driver copies only once all before it is done
    return tensor.to(device, non_blocking=True)


def has_float64(device: torch.device) -> bool:
    """Whether a device computes in double precision; what needs it goes over the CPU elsewhere."""
    return device.type not in WITHOUT_FLOAT64
