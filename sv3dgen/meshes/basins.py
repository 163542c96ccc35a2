"""Basins in the top of a shape: where rain would stand. A field that can't see an inside leaves a sunken lid over it.

Grids are indexed [x, y, z], y points up; maps [x, z].
"""

import heapq

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray
from scipy import ndimage

LEAST_SHARE = 0.01  # of the plan, from which on a basin counts


def tops(solid: Bool[ndarray, "x y z"]) -> Int[ndarray, "x z"]:
    """Level of the highest solid cell of each column; -1 where there is none."""
    levels = np.arange(solid.shape[1])[:, None]
    return np.where(solid, levels, -1).max(1)


def basins(
    solid: Bool[ndarray, "x y z"], plan: Bool[ndarray, "x z"], *, least_cells: int
) -> list[Bool[ndarray, "x z"]]:
    """The columns that drain into each place where water stands `least_cells` deep or more, over a hundredth of `plan`.

    Water runs off at the plan's edge. A rim parts what drains in from what drains out, and a partition two basins.
    """
    height = tops(solid)
    deep = ndimage.binary_opening(_standing_water(height) >= least_cells, iterations=1)
    pools, count = ndimage.label(deep)
    least = LEAST_SHARE * plan.sum()
    seeds = np.where(plan, 0, -1)
    kept = 0
    for pool in range(1, count + 1):
        if (pools == pool).sum() >= least:
            kept += 1
            seeds[pools == pool] = kept
    if kept == 0:
        return []
    drained = _drained(height, seeds)
    return [drained == number for number in range(1, kept + 1)]


def water_share(solid: Bool[ndarray, "x y z"], plan: Bool[ndarray, "x z"], *, least_cells: int) -> float:
    """The share of `plan` over which water stands `least_cells` deep or more."""
    return float((plan & (_standing_water(tops(solid)) >= least_cells)).sum() / max(1, plan.sum()))


def _standing_water(height: Int[ndarray, "x z"]) -> Int[ndarray, "x z"]:
    """How deep water stands in each column, after rain: up to the lowest way out."""
    ground = np.pad(height, 1, constant_values=-1)
    level = np.full_like(ground, ground.max())
    level[0] = level[-1] = level[:, 0] = level[:, -1] = -1
    around = ndimage.generate_binary_structure(2, 1)
    while True:
        lower = np.minimum(level, np.maximum(ground, ndimage.grey_erosion(level, footprint=around, mode="nearest")))
        if (lower == level).all():
            return (level - ground)[1:-1, 1:-1]
        level = lower


def _drained(height: Int[ndarray, "x z"], seeds: Int[ndarray, "x z"]) -> Int[ndarray, "x z"]:
    """The seed that each column drains to: the sea rises, and each column goes to whose water reaches it first."""
    found = seeds.copy()
    rows, cols = np.nonzero(found)
    order = 0
    reached = [(height[row, col], 0, row, col) for row, col in zip(rows.tolist(), cols.tolist(), strict=True)]
    heapq.heapify(reached)
    while reached:
        level, _, row, col = heapq.heappop(reached)
        for r, c in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
            if 0 <= r < len(height) and 0 <= c < height.shape[1] and found[r, c] == 0:
                found[r, c] = found[row, col]
                order += 1
                heapq.heappush(reached, (max(level, height[r, c]), order, r, c))
    return found
