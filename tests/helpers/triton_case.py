"""What the tests of Triton kernels, and of accelerators, share."""

import torch

from sv3dgen.kernels.backend import Backend


def rivals(device: torch.device, backend: Backend = "triton") -> list[tuple[Backend, torch.device, torch.dtype]]:
    """The reference, in float64 so that its own rounding is not measured, and `backend` on the device in test."""
    return [("torch", torch.device("cpu"), torch.float64), (backend, device, torch.float32)]
