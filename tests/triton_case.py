"""What the tests of Triton kernels share."""

import torch

from sv3dgen.kernels.backend import Backend


def rivals(device: torch.device) -> list[tuple[Backend, torch.device, torch.dtype]]:
    """The reference, in float64 so that its own rounding is not what is measured, and Triton on the device in test."""
    return [("torch", torch.device("cpu"), torch.float64), ("triton", device, torch.float32)]
