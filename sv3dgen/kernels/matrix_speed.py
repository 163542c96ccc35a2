"""How many operations a second a device can do, to measure all else against."""

from time import perf_counter

import torch

_CPU_SIDES, _GPU_SIDES = (256, 1024, 2048), (4096, 8192)
_REPEATS = 6
_ENOUGH_S = 0.2  # a processor that multiplies bfloat16 one by one takes a minute for a product of the largest


def matrix_flops(device: torch.device | str = "cpu", dtype: torch.dtype = torch.bfloat16) -> float:
    """Operations a second of the fastest of a few products of square matrices, the small ones first, for about 0.2 s.

    A multiplication and an addition count as two operations, as in FlopCounterMode.
    """
    device = torch.device(device)
    fastest, begun = 0.0, perf_counter()
    for side in _CPU_SIDES if device.type == "cpu" else _GPU_SIDES:
        first, second = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))
        for _ in range(_REPEATS):
            wait_for(device)
            started = perf_counter()
            first @ second
            wait_for(device)
            now = perf_counter()
            fastest = max(fastest, 2 * side**3 / (now - started))
            if now - begun > _ENOUGH_S:
                return fastest
    return fastest


def wait_for(device: torch.device) -> None:
    """Let a GPU finish what it was given; on the CPU everything is done when a call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
