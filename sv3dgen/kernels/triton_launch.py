"""Starting Triton kernels from tensors."""

from typing import Any

import torch
from torch import Tensor


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """Run `kernel` on the device of its first tensor, once for every index of `grid`; an empty grid runs nothing.

    Triton takes the current device otherwise, which need not be the one that the tensors are on.
    """
    if 0 in grid:
        return
    tensor = next(argument for argument in arguments if isinstance(argument, Tensor))
    with torch.cuda.device_of(tensor):  # does nothing for tensors on the CPU, which Triton's interpreter takes
        kernel[grid](*arguments, **options)


def blocks(count: int, size: int) -> int:
    """How many programs of `size` items each take `count` items."""
    return -(-count // size)


def power_of_two(count: int) -> int:
    """The least power of two that is not below `count`, which is at least 1: the sizes that Triton's blocks have."""
    return 1 << (count - 1).bit_length()
