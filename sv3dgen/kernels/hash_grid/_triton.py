"""The Triton version of the hash encoding: the three sweeps of `_autograd`.

A program takes BLOCK points through one level (gather, scatter) or through all of them (contract). The corners of a
point's cell are numbered by bits 0, 1, 2 for x, y, z. `scatter` adds atomically, in the order in which the hardware
gets to it, so the last bits of the table's gradient differ from run to run.
"""

from functools import cache
from typing import no_type_check  # a run-time type checker's wrapper around a kernel cannot be compiled

import torch
import triton
import triton.language as tl
from torch import Tensor

from sv3dgen.kernels.hash_grid.encode import HashGridSpec, level_rows
from sv3dgen.kernels.triton_launch import blocks, launch

BLOCK = 128
ROW = tl.constexpr(7)  # values of `level_rows` for a level


def gather(points: Tensor, direction: Tensor | None, table: Tensor, spec: HashGridSpec, active: int) -> Tensor:
    """The encoding, or its derivative along `direction`; in the table's dtype, computed in float32."""
    encoded = table.new_empty(len(points), spec.channels)
    encoded[:, active * spec.features_per_level :] = 0
    _launch(_gather_kernel, active, points, direction, spec, table.detach().contiguous(), encoded)
    return encoded


def scatter(points: Tensor, direction: Tensor | None, grad: Tensor, spec: HashGridSpec, active: int) -> Tensor:
    """The gradient in the table, float32, of `gather` with the same direction."""
    table = torch.zeros(spec.entries, spec.features_per_level, device=grad.device)
    _launch(_scatter_kernel, active, points, direction, spec, grad.detach().contiguous(), table)
    return table


def contract(
    points: Tensor, direction: Tensor | None, table: Tensor, grad: Tensor, spec: HashGridSpec, active: int
) -> Tensor:
    """The gradient in the points of `gather` with the same direction."""
    contracted = torch.empty_like(points, memory_format=torch.contiguous_format)
    held = table.detach().contiguous(), grad.detach().contiguous()
    _launch(_contract_kernel, 1, points, direction, spec, *held, active, contracted)
    return contracted


def _launch(kernel, parts: int, points: Tensor, direction: Tensor | None, spec: HashGridSpec, *arguments) -> None:
    points = points.detach().contiguous()
    along = points if direction is None else direction.detach().contiguous()
    launch(
        kernel,
        (blocks(len(points), BLOCK), parts),
        points,
        along,
        _layout(spec, points.device),
        *arguments,
        len(points),
        spec.channels,
        FEATURES=spec.features_per_level,
        ALONG=direction is not None,
        BLOCK=BLOCK,
    )


@cache
def _layout(spec: HashGridSpec, device: torch.device) -> Tensor:
    return torch.tensor(level_rows(spec), dtype=torch.int64, device=device)


@triton.jit
@no_type_check
def _level(row):
    """Resolution, steps to the next vertex in y and z, mask (0 if dense), first entry and first channel of a level."""
    step_y, step_z = tl.load(row + 1).to(tl.uint32), tl.load(row + 2).to(tl.uint32)
    mask = tl.load(row + 3).to(tl.uint32)
    return tl.load(row).to(tl.float32), step_y, step_z, mask, tl.load(row + 4), tl.load(row + 6)


@triton.jit
@no_type_check
def _coordinates(vectors, i, here):
    """Three coordinates of points or directions, in float32."""
    x = tl.load(vectors + 3 * i, mask=here, other=0.0).to(tl.float32)
    y = tl.load(vectors + 3 * i + 1, mask=here, other=0.0).to(tl.float32)
    z = tl.load(vectors + 3 * i + 2, mask=here, other=0.0).to(tl.float32)
    return x, y, z


@triton.jit
@no_type_check
def _inside(x):
    """The slope of the clamp that moves points into the cube."""
    return tl.where((x >= 0) & (x <= 1), 1.0, 0.0)


@triton.jit
@no_type_check
def _locate(x, resolution):
    """Cell and place in the cell, along one axis. Written so that NaN becomes zero, which keeps it inside the table."""
    position = tl.where(x > 0, tl.where(x < 1, x, 1.0), 0.0) * resolution
    cell = tl.minimum(position.to(tl.int32), resolution.to(tl.int32) - 1)
    return cell, position - cell.to(tl.float32)


@triton.jit
@no_type_check
def _entry(cell_x, cell_y, cell_z, step_y, step_z, mask, offset, k: tl.constexpr):
    """The table's entry for corner k. 32 bits at each step: overflow is part of the hash."""
    a = (cell_x + (k & 1)).to(tl.uint32)
    b = (cell_y + (k >> 1 & 1)).to(tl.uint32) * step_y
    c = (cell_z + (k >> 2)).to(tl.uint32) * step_z
    return tl.where(mask == 0, a + b + c, (a ^ b ^ c) & mask).to(tl.int64) + offset


@triton.jit
@no_type_check
def _weight(x, y, z, dx, dy, dz, k: tl.constexpr, ALONG: tl.constexpr):
    """Weight of corner k in the value at (x, y, z) of the cell, or in its change along (dx, dy, dz)."""
    at_x = x if k & 1 else 1 - x
    at_y = y if k & 2 else 1 - y
    at_z = z if k & 4 else 1 - z
    if ALONG:
        along_x = dx if k & 1 else -dx
        along_y = dy if k & 2 else -dy
        along_z = dz if k & 4 else -dz
        weight = along_x * at_y * at_z + at_x * along_y * at_z + at_x * at_y * along_z
    else:
        weight = at_x * at_y * at_z
    return weight


@triton.jit
@no_type_check
def _gather_kernel(
    points,
    direction,
    layout,
    table,
    encoded,
    count,
    channels,
    FEATURES: tl.constexpr,
    ALONG: tl.constexpr,
    BLOCK: tl.constexpr,
):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = i < count
    level = layout + tl.program_id(1) * ROW
    resolution, step_y, step_z, mask, offset, channel = _level(level)
    px, py, pz = _coordinates(points, i, here)
    cell_x, x = _locate(px, resolution)
    cell_y, y = _locate(py, resolution)
    cell_z, z = _locate(pz, resolution)
    dx, dy, dz = x, y, z
    if ALONG:
        dx, dy, dz = _coordinates(direction, i, here)
        dx, dy, dz = dx * _inside(px) * resolution, dy * _inside(py) * resolution, dz * _inside(pz) * resolution
    feature = tl.arange(0, FEATURES)
    total = tl.zeros((BLOCK, FEATURES), tl.float32)
    for k in tl.static_range(8):
        entry = _entry(cell_x, cell_y, cell_z, step_y, step_z, mask, offset, k)
        held = tl.load(table + (entry * FEATURES)[:, None] + feature[None, :], mask=here[:, None], other=0.0)
        total += _weight(x, y, z, dx, dy, dz, k, ALONG)[:, None] * held.to(tl.float32)
    tl.store(encoded + (i * channels + channel)[:, None] + feature[None, :], total, mask=here[:, None])


@triton.jit
@no_type_check
def _scatter_kernel(
    points,
    direction,
    layout,
    grad,
    table,
    count,
    channels,
    FEATURES: tl.constexpr,
    ALONG: tl.constexpr,
    BLOCK: tl.constexpr,
):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = i < count
    level = layout + tl.program_id(1) * ROW
    resolution, step_y, step_z, mask, offset, channel = _level(level)
    px, py, pz = _coordinates(points, i, here)
    cell_x, x = _locate(px, resolution)
    cell_y, y = _locate(py, resolution)
    cell_z, z = _locate(pz, resolution)
    dx, dy, dz = x, y, z
    if ALONG:
        dx, dy, dz = _coordinates(direction, i, here)
        dx, dy, dz = dx * _inside(px) * resolution, dy * _inside(py) * resolution, dz * _inside(pz) * resolution
    feature = tl.arange(0, FEATURES)
    pull = tl.load(grad + (i * channels + channel)[:, None] + feature[None, :], mask=here[:, None], other=0.0)
    pull = pull.to(tl.float32)
    for k in tl.static_range(8):
        entry = _entry(cell_x, cell_y, cell_z, step_y, step_z, mask, offset, k)
        added = _weight(x, y, z, dx, dy, dz, k, ALONG)[:, None] * pull
        where = table + (entry * FEATURES)[:, None] + feature[None, :]
        tl.atomic_add(where, added, mask=here[:, None], sem="relaxed")


@triton.jit
@no_type_check
def _contract_kernel(
    points,
    direction,
    layout,
    table,
    grad,
    active,
    contracted,
    count,
    channels,
    FEATURES: tl.constexpr,
    ALONG: tl.constexpr,
    BLOCK: tl.constexpr,
):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = i < count
    px, py, pz = _coordinates(points, i, here)
    along_x, along_y, along_z = px, py, pz
    if ALONG:
        along_x, along_y, along_z = _coordinates(direction, i, here)
        along_x, along_y, along_z = along_x * _inside(px), along_y * _inside(py), along_z * _inside(pz)
    feature = tl.arange(0, FEATURES)
    total_x = tl.zeros((BLOCK,), tl.float32)
    total_y = tl.zeros((BLOCK,), tl.float32)
    total_z = tl.zeros((BLOCK,), tl.float32)
    for number in range(active):
        level = layout + number * ROW
        resolution, step_y, step_z, mask, offset, channel = _level(level)
        cell_x, x = _locate(px, resolution)
        cell_y, y = _locate(py, resolution)
        cell_z, z = _locate(pz, resolution)
        dx, dy, dz = along_x * resolution, along_y * resolution, along_z * resolution
        pull = tl.load(grad + (i * channels + channel)[:, None] + feature[None, :], mask=here[:, None], other=0.0)
        pull = pull.to(tl.float32)
        for k in tl.static_range(8):
            entry = _entry(cell_x, cell_y, cell_z, step_y, step_z, mask, offset, k)
            held = tl.load(table + (entry * FEATURES)[:, None] + feature[None, :], mask=here[:, None], other=0.0)
            value = tl.sum(held.to(tl.float32) * pull, axis=1) * resolution
            at_x = x if k & 1 else 1 - x
            at_y = y if k & 2 else 1 - y
            at_z = z if k & 4 else 1 - z
            value_x = value if k & 1 else -value
            value_y = value if k & 2 else -value
            value_z = value if k & 4 else -value
            if ALONG:
                # A trilinear function has mixed second derivatives only.
                towards_x = dx if k & 1 else -dx
                towards_y = dy if k & 2 else -dy
                towards_z = dz if k & 4 else -dz
                total_x += value_x * (towards_y * at_z + at_y * towards_z)
                total_y += value_y * (towards_x * at_z + at_x * towards_z)
                total_z += value_z * (towards_x * at_y + at_x * towards_y)
            else:
                total_x += value_x * at_y * at_z
                total_y += value_y * at_x * at_z
                total_z += value_z * at_x * at_y
    tl.store(contracted + 3 * i, total_x * _inside(px), mask=here)
    tl.store(contracted + 3 * i + 1, total_y * _inside(py), mask=here)
    tl.store(contracted + 3 * i + 2, total_z * _inside(pz), mask=here)
