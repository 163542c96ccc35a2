"""A measurement of a kernel: what runs, how large it is, and the least it has to move and to compute."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sv3dgen.kernels.backend import Backend


@dataclass(frozen=True)
class Case:
    """One measurement.

    Of several passes, each reads its inputs once and writes its results once: that is the least they can move. What is
    computed in floating point counts, a multiplication with an addition as two; indices and comparisons don't.
    """

    operation: str  # of `backend.IMPLEMENTATIONS`
    title: str
    run: Callable[[Backend], Any]
    implementations: tuple[str, ...]  # with code of their own for it
    num_bytes: int
    num_operations: int
    peers: Mapping[str, Callable[[], Callable[[], Any]]] = field(
        default_factory=dict
    )  # other people's: name -> its call


@dataclass(frozen=True)
class Sizes:
    """How much a device is given."""

    points: int
    ray_size_px: int  # of the square picture whose rays are marched
    segments: int  # of a bumpy sphere: about twice its square in triangles
    picture_px: int
    views: int
    tet_cells: int  # along the edge of a grid of tetrahedra


CPU = Sizes(points=100_000, ray_size_px=64, segments=202, picture_px=512, views=1, tet_cells=64)  # as in the CPU preset
GPU = Sizes(points=1 << 20, ray_size_px=256, segments=226, picture_px=576, views=6, tet_cells=128)


def sizes_for(device: torch.device) -> Sizes:
    """The sizes that keep a device busy for a while."""
    return CPU if device.type == "cpu" else GPU


def bytes_of(*tensors: Tensor) -> int:
    """What tensors hold together."""
    return sum(tensor.nbytes for tensor in tensors)


def generator() -> torch.Generator:
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(0)


def in_words(count: int) -> str:
    """A count for a title: 101 k, 1.0 M."""
    return f"{count / 1e6:.1f} M" if count >= 1_000_000 else f"{count // 1000} k"
