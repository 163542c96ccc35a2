"""How many bytes a second a device's memory moves, to measure against what kernels have to move."""

from time import perf_counter

import torch

from sv3dgen.kernels.matrix_speed import wait_for

CPU_BYTES, GPU_BYTES = 1 << 28, 1 << 30  # far beyond any cache
REPEATS = 6


def copy_speed(device: torch.device | str = "cpu") -> float:
    """Bytes a second, those read and those written both counted, of the fastest of a few copies of a large tensor."""
    device = torch.device(device)
    source = torch.ones(CPU_BYTES if device.type == "cpu" else GPU_BYTES, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    fastest = 0.0
    for _ in range(REPEATS):
        wait_for(device)
        started = perf_counter()
        target.copy_(source)
        wait_for(device)
        fastest = max(fastest, 2 * source.nbytes / (perf_counter() - started))
    return fastest
