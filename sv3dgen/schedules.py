"""Numbers that change with the optimisation step: a constant, or piecewise linear between named steps.

In yaml: `lpips: 500`, or `lpips: {0: 0, 300: 150}` for 0 to 150 over steps 0..300 and constant outside.
"""

from bisect import bisect_right
from collections.abc import Mapping

Schedule = float | Mapping[int, float]


def value_at(schedule: Schedule, step: int) -> float:
    """The schedule's value at a step; linear between knots, constant before the first and after the last."""
    if not isinstance(schedule, Mapping):
        return float(schedule)
    if not schedule:
        raise ValueError("a schedule needs at least one {step: value} knot, got {}")
    knots = sorted((int(knot), float(value)) for knot, value in schedule.items())
    after = bisect_right(knots, (step, float("inf")))
    if after == 0:
        return knots[0][1]
    if after == len(knots):
        return knots[-1][1]
    (start, low), (end, high) = knots[after - 1], knots[after]
    return low + (high - low) * (step - start) / (end - start)
