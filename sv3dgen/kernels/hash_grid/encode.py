"""Multi-resolution hash encoding of points (Mueller et al. 2022, "Instant Neural Graphics Primitives", section 3).

Every level is a grid of feature vectors over the unit cube, read by trilinear interpolation. A level whose vertices fit
into its share of the table is stored densely, a finer one shares entries through a spatial hash (equation 4 there).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sv3dgen.kernels.backend import Backend, resolve

PRIMES = (1, 2654435761, 805459861)
FOLLOWED_BY_TORCH = ("torch", "tinycudann")  # whose gradients torch's autograd finds; the others come as sweeps


@dataclass(frozen=True)
class HashGridSpec:
    """Where the levels of a hash grid lie in its table; all tuples have one entry per level."""

    resolutions: tuple[int, ...]  # cells along an axis
    sizes: tuple[int, ...]  # entries
    offsets: tuple[int, ...]  # first entry
    features_per_level: int

    @property
    def levels(self) -> int:
        return len(self.resolutions)

    @property
    def entries(self) -> int:
        return self.offsets[-1] + self.sizes[-1]

    @property
    def channels(self) -> int:
        return self.levels * self.features_per_level


def hash_grid_spec(
    *, levels: int, base_resolution: int, growth: float, log2_table_size: int, features_per_level: int = 2
) -> HashGridSpec:
    """Levels of floor(base_resolution * growth^level) cells (equation 2), each with at most 2^log2_table_size entries.

    Raises ValueError for fewer than one level or cell, shrinking levels, or features_per_level other than 2, 4, 8.
    """
    if levels < 1 or base_resolution < 1 or growth < 1.0:
        raise ValueError(f"expected levels, base_resolution, growth >= 1, got {levels}, {base_resolution}, {growth}")
    if features_per_level not in (2, 4, 8):
        raise ValueError(f"features_per_level: expected 2, 4 or 8, got {features_per_level}")
    if not 1 <= log2_table_size <= 24:
        raise ValueError(f"log2_table_size: expected 1 to 24, got {log2_table_size}")
    # The small excess keeps a level that should be whole (16 * 1.44727^15 = 4096) from being rounded down.
    resolutions = tuple(int(base_resolution * growth**level + 1e-6) for level in range(levels))
    sizes = tuple(min((resolution + 1) ** 3, 2**log2_table_size) for resolution in resolutions)
    offsets = tuple(sum(sizes[:level]) for level in range(levels))
    return HashGridSpec(resolutions, sizes, offsets, features_per_level)


def hash_encode(
    points: Float[Tensor, "points 3"],
    table: Float[Tensor, "entries features"],
    spec: HashGridSpec,
    *,
    active_levels: int | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "points channels"]:
    """Features of points in [0, 1]^3, level by level; points outside are moved to the nearest face of the cube.

    Levels from `active_levels` (at least 1) on are zero. Differentiable in the table and the points, and once more, so
    that a loss on normals, themselves a gradient, works; but not tinycudann's gradient in the table. All but torch
    compute in float32 whatever the dtype. Points must be finite. Raises ValueError for a table of another shape than
    `spec` says, and active_levels out of range.
    """
    active = _check(table, spec, active_levels)
    chosen = resolve("hash_grid", backend, table.device)
    if chosen in FOLLOWED_BY_TORCH:
        return _encoding(chosen)(points, table, spec, active)
    from sv3dgen.kernels.hash_grid._autograd import Encode

    return Encode.apply(table, points, spec, active, _sweeps(chosen))


def hash_encode_gradient(
    points: Float[Tensor, "points 3"],
    table: Float[Tensor, "entries features"],
    weights: Float[Tensor, "points channels"],
    spec: HashGridSpec,
    *,
    active_levels: int | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "points 3"]:
    """Gradient of (hash_encode(points, ...) * weights).sum() in the points; differentiable in all three tensors.

    The cheap way to normals: with weights = d density / d encoding, no gradient in the points has to be asked for, so
    neither pass works out one that nobody uses. Arguments and errors as in `hash_encode`.
    """
    active = _check(table, spec, active_levels)
    chosen = resolve("hash_grid", backend, table.device)
    if chosen in FOLLOWED_BY_TORCH:
        keep_graph = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (points, table, weights))
        with torch.enable_grad():
            points = points if points.requires_grad else points.detach().requires_grad_()
            encoded = _encoding(chosen)(points, table, spec, active)
            return torch.autograd.grad(encoded, points, weights, create_graph=keep_graph)[0]
    from sv3dgen.kernels.hash_grid._autograd import PointGradient

    return PointGradient.apply(table, points, weights, spec, active, _sweeps(chosen))


def level_rows(spec: HashGridSpec) -> list[tuple[int, ...]]:
    """A row per level: resolution, steps to the next vertex in y and z, mask (0 if dense), offset, size, channel."""
    rows = []
    for level, (resolution, size, offset) in enumerate(zip(spec.resolutions, spec.sizes, spec.offsets, strict=True)):
        dense = (resolution + 1) ** 3 <= size
        steps = (resolution + 1, (resolution + 1) ** 2, 0) if dense else (*PRIMES[1:], size - 1)
        rows.append((resolution, *steps, offset, size, level * spec.features_per_level))
    return rows


def _encoding(backend: str) -> Callable[[Tensor, Tensor, HashGridSpec, int], Tensor]:
    """The encoding as a function that torch can differentiate."""
    return _encode_reference if backend == "torch" else _sweeps(backend).encode


@cache
def _sweeps(backend: str) -> ModuleType:
    """The module of a version, loaded only where it is used."""
    return import_module(f"sv3dgen.kernels.hash_grid._{backend}")


def _check(table: Tensor, spec: HashGridSpec, active_levels: int | None) -> int:
    """The number of levels to compute."""
    if table.shape != (spec.entries, spec.features_per_level):
        expected = (spec.entries, spec.features_per_level)
        raise ValueError(f"table: expected shape {expected} for this grid, got {tuple(table.shape)}")
    active = spec.levels if active_levels is None else active_levels
    if not 1 <= active <= spec.levels:
        raise ValueError(f"active_levels: expected 1 to {spec.levels}, got {active}")
    return active


# The definition, in plain torch.


def _encode_reference(points: Tensor, table: Tensor, spec: HashGridSpec, active: int) -> Tensor:
    unit = points.clamp(0, 1)
    encoded = [_encode_level(unit, table, spec, level) for level in range(active)]
    inactive = unit.new_zeros(len(unit), (spec.levels - active) * spec.features_per_level, dtype=table.dtype)
    return torch.cat([*encoded, inactive], dim=-1)


def _encode_level(unit: Tensor, table: Tensor, spec: HashGridSpec, level: int) -> Tensor:
    resolution = spec.resolutions[level]
    position = unit * resolution
    cell = position.detach().floor().clamp(max=resolution - 1)
    fraction = position - cell
    corners = torch.tensor([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)], device=unit.device)
    index = _table_index(cell.long()[:, None] + corners, resolution, spec.sizes[level]) + spec.offsets[level]
    factors = torch.where(corners.bool(), fraction[:, None], 1 - fraction[:, None])
    weights = factors[..., 0] * factors[..., 1] * factors[..., 2]
    return (weights[..., None] * table[index]).sum(dim=1)


def _table_index(vertices: Int[Tensor, "points 8 3"], resolution: int, size: int) -> Int[Tensor, "points 8"]:
    x, y, z = vertices.unbind(-1)
    if (resolution + 1) ** 3 <= size:
        return x + y * (resolution + 1) + z * (resolution + 1) ** 2
    # Only the low bits of the products survive, so 64 bits give what the definition's 32 bits do; size is a power of 2.
    return (x ^ y * PRIMES[1] ^ z * PRIMES[2]) & (size - 1)
