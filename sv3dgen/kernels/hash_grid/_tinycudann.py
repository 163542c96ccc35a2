"""The hash encoding by tiny-cuda-nn (BSD-3-Clause), which reads the table of `hash_grid` as it is.

Both hash with the same primes, lay entries out x first, and hash a level where its vertices do not fit. What differs:

- Its levels have ceil(base growth^l) vertices along an axis, ours floor(base growth^l) + 1. So each of our levels is a
  grid of one level there, with resolution + 1 vertices for its base: then its spacing and its order are ours.
- It looks half a cell further, at resolution x + 1/2: the points are moved back by half a cell.
- It has no cell for points on the upper faces of the cube: they are kept 2^-22 of its edge inside.
- It rounds a dense level up to a multiple of 8 entries: zeros that no point reads.

A level costs a launch of its own that way, where its own grids take all levels in one. Everything is float32.
"""

from functools import cache

import tinycudann  # pyright: ignore[reportMissingImports]  (an accelerator)
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import pad

from sv3dgen.errors import InputError
from sv3dgen.kernels.hash_grid.encode import HashGridSpec

MARGIN = 2.0**-22  # of the cube's edge: more than what the way to a cell is rounded by in float32
ALIGNMENT = 8  # entries


def encode(points: Tensor, table: Tensor, spec: HashGridSpec, active: int) -> Tensor:
    """The encoding. Its gradient in the points is differentiable again; that in the table is not, and refuses."""
    if len(points) == 0:
        return encode(pad(points, (0, 0, 0, 1)), table, spec, active)[:0]
    unit, entries = points.float().clamp(0, 1), _OnceDifferentiable.apply(table).float()
    encoded = []
    for resolution, size, offset in list(zip(spec.resolutions, spec.sizes, spec.offsets, strict=True))[:active]:
        rows = entries[offset : offset + size]
        if (resolution + 1) ** 3 == size:
            rows = pad(rows, (0, 0, 0, -size % ALIGNMENT))
        grid = _grid(resolution, size, spec.features_per_level, rows.numel(), table.device)
        with torch.cuda.device_of(table):
            found = functional_call(grid, {"params": rows.reshape(-1)}, (_their_place(unit, resolution),))
        encoded.append(found[:, : spec.features_per_level])
    inactive = unit.new_zeros(len(unit), (spec.levels - active) * spec.features_per_level)
    return torch.cat([*encoded, inactive], dim=1).to(table.dtype)


def _their_place(unit: Tensor, resolution: int) -> Tensor:
    """Where tiny-cuda-nn has to look in its grid of resolution + 1 vertices for the cell that we read."""
    place = unit * resolution
    inside = place.detach().clamp(MARGIN * resolution, resolution - MARGIN * resolution)
    return (place + (inside - place.detach()) - 0.5) / resolution  # with the slope of a point that was not moved


@cache
def _grid(resolution: int, size: int, features: int, values: int, device: torch.device) -> torch.nn.Module:
    config = {
        "otype": "Grid",
        "type": "Hash",
        "hash": "CoherentPrime",
        "n_levels": 1,
        "n_features_per_level": features,
        "log2_hashmap_size": (size - 1).bit_length(),
        "base_resolution": resolution + 1,
        "per_level_scale": 1.0,
        "interpolation": "Linear",
    }
    with torch.cuda.device(device) if device.type == "cuda" else torch.no_grad():
        grid = tinycudann.Encoding(3, config, dtype=torch.float32)
    if grid.params.numel() != values:
        raise InputError(
            f"kernels.hash_grid=tinycudann: this version keeps {grid.params.numel()} values for a level of {size} "
            f"entries, expected {values}; expected triton or torch"
        )
    grid.params = torch.nn.Parameter(grid.params.new_empty(0))  # it is given ours at each call
    return grid


class _OnceDifferentiable(torch.autograd.Function):
    """A table whose gradient refuses to be differentiated: tiny-cuda-nn would make zeros of it without a word."""

    @staticmethod
    def forward(ctx, table: Tensor) -> Tensor:
        return table.view_as(table)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient
