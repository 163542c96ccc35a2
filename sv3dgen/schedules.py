"""Numbers that change with the optimisation step: a constant, or piecewise linear between named steps.

In yaml: `lpips: 500`, or `lpips: {0: 0, 300: 150}` for 0 to 150 over steps 0..300 and constant outside.
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Mapping
from typing import Any

from sv3dgen.errors import InputError

Schedule = float | int | Mapping[int, float | int]


def value_at(schedule: Schedule, step: int) -> float:
    """The schedule's value at a step; linear between knots, constant before the first and after the last.

    Raises InputError where the schedule isn't one.
    """
    knots = _knots(schedule, "a schedule")
    after = bisect_right(knots, (step, math.inf))
    if after == 0:
        return knots[0][1]
    if after == len(knots):
        return knots[-1][1]
    (start, low), (end, high) = knots[after - 1], knots[after]
    return low + (high - low) * (step - start) / (end - start)


def ever_nonzero(schedule: Schedule) -> bool:
    """Whether the schedule leaves zero at any step."""
    return any(value for _, value in _knots(schedule, "a schedule"))


def checked_weights(weights: Mapping[str, Any], terms: Collection[str]) -> dict[str, Schedule]:
    """The weights as a plain dict. Raises InputError for a name not among `terms`, or a value that is no schedule."""
    for name, schedule in weights.items():
        if name not in terms:
            raise InputError(f"weights.{name}: no such term; expected one of {', '.join(terms)}")
        _knots(schedule, f"weights.{name}")
    return dict(weights)


def active_terms(weights: Mapping[str, Schedule], step: int) -> list[str]:
    """Names of the terms whose weight isn't zero at a step, in the order given."""
    return [name for name, schedule in weights.items() if value_at(schedule, step) != 0]


def _knots(schedule: Any, name: str) -> list[tuple[int, float]]:
    """The (step, value) pairs in order; a constant is one pair."""
    if isinstance(schedule, Mapping):
        if not schedule:
            raise InputError(f"{name}: expected at least one {{step: value}} pair, got none")
        for step in schedule:
            if not isinstance(step, int) or isinstance(step, bool) or step < 0:
                raise InputError(f"{name}: expected whole steps from 0 up, got step {step!r}")
        knots = sorted(schedule.items())
    else:
        knots = [(0, schedule)]
    for _, value in knots:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise InputError(f"{name}: expected a finite number or {{step: value}} pairs, got {value!r}")
    return [(step, float(value)) for step, value in knots]
