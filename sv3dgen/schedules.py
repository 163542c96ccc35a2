"""Numbers that change over a stage: a constant, or piecewise linear between knots.

In yaml: `lpips: 500`, or `lpips: [[0, 0], [50%, 150]]` for 0 to 150 over the first half of the stage and constant after
it. A knot lies at a share of the stage's length, or at a step (`[300, 150]`). A list replaces the one before it. Parts
know steps only: `in_steps` turns shares into steps where a stage is built, since only the stage knows its length.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sv3dgen.errors import InputError

When = int | str  # a step, or a share of the stage such as "37.5%"
Knot = list[int | float | str]  # [when, value]
Schedule = float | int | list[Knot]

SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?%")


def value_at(schedule: Schedule, step: int) -> float:
    """The schedule's value at a step; linear between knots, constant before the first and after the last.

    Of two knots at one step the later one holds. Raises InputError where the schedule isn't one in steps.
    """
    knots = _knots(schedule, "a schedule")
    after = bisect_right([knot[0] for knot in knots], step)
    if after == 0:
        return knots[0][1]
    if after == len(knots):
        return knots[-1][1]
    (start, low), (end, high) = knots[after - 1], knots[after]
    return low + (high - low) * (step - start) / (end - start)


def values_of(schedule: Schedule) -> list[float]:
    """The values at the schedule's knots, in order; of a constant itself."""
    return [value for _, value in _knots(schedule, "a schedule")]


def ever_nonzero(schedule: Schedule) -> bool:
    """Whether the schedule leaves zero at any step."""
    return any(values_of(schedule))


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


def from_when_on(pairs: Sequence[Sequence[Any]], name: str) -> dict[int, Any]:
    """What holds from which step on, of [step, what] pairs, in order. Of two at one step the later one holds.

    Raises InputError where nothing holds at step 0.
    """
    starts = {}
    for when, what in sorted(pairs, key=lambda pair: step_of(pair[0], 0)):
        if not isinstance(when, int):
            raise InputError(f"{name}: {when} is a share of a stage; expected steps here (schedules.in_steps)")
        starts[when] = what
    if 0 not in starts:
        raise InputError(f"{name}: needs an entry for step 0, got steps {list(starts)}")
    return starts


def changes(schedule: Any) -> bool:
    """Whether a weight is a schedule with knots rather than a number."""
    return isinstance(schedule, Sequence) and not isinstance(schedule, str)


def step_of(when: When, steps: int) -> int:
    """The step that `when` names in a stage of `steps` steps: a share is rounded to the nearest."""
    if isinstance(when, int):
        return when
    share = SHARE.fullmatch(when)
    if share is None:
        raise InputError(f"{when!r}: expected a step, or a share of the stage such as 25%")
    return round(float(share[1]) / 100 * steps)


def in_steps(setting: Any, steps: int) -> Any:
    """A setting, or a tree of settings, with the shares of its schedules as steps of a stage of `steps` steps."""
    if isinstance(setting, Mapping):
        return {key: in_steps(value, steps) for key, value in setting.items()}
    if is_schedule(setting):
        return [[step_of(when, steps), in_steps(value, steps)] for when, value in setting]
    if changes(setting):
        return [in_steps(value, steps) for value in setting]
    return setting


def is_schedule(setting: Any) -> bool:
    """Whether a setting is a list of [when, value] pairs."""
    return changes(setting) and len(setting) > 0 and all(map(_is_knot, setting))


def _is_knot(pair: Any) -> bool:
    if not changes(pair) or len(pair) != 2:
        return False
    when = pair[0]
    return isinstance(when, int) and not isinstance(when, bool) or isinstance(when, str) and when.endswith("%")


def schedules_in(settings: Any, path: str = "") -> Iterator[tuple[str, list]]:
    """(dotted key, knots) of every schedule in a tree of plain settings."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            yield from schedules_in(value, f"{path}.{key}".lstrip("."))
    elif is_schedule(settings):
        yield path, settings


def check_reach(stage: str, settings: Mapping[str, Any]) -> list[str]:
    """What to tell about the schedules of a stage's plain settings: knots that lie beyond its end.

    Raises InputError for a share that isn't one, and for a loss whose weight stays zero from the first step to the last
    although its schedule means to raise it.
    """
    steps, told = settings["steps"], []
    if not isinstance(steps, int) or steps < 1:
        return []  # which the stage refuses
    for key, schedule in schedules_in(settings, stage):
        knots = [[_step_named(key, when, steps), value] for when, value in schedule]
        if ".weights." in key and all(isinstance(value, int | float) for _, value in knots):
            if ever_nonzero(knots) and not any(value_at(knots, step) for step in range(steps)):
                raise InputError(
                    f"{key}={shown(schedule)}: stays zero in all {steps} steps of the stage; expected one that starts "
                    f"before step {steps}, such as a share of the stage ([[50%, 0], [100%, 1]])"
                )
        beyond = [when for [step, _], [when, _] in zip(knots, schedule, strict=True) if step > steps]
        if beyond:
            told.append(f"{key}: step {beyond[0]} lies beyond the stage's end at {steps}, and is never reached")
    return told


def shown(schedule: Sequence[Sequence[Any]]) -> str:
    """A schedule as it is typed on the command line."""
    return f"[{', '.join(f'[{when}, {value}]' for when, value in schedule)}]"


def _step_named(key: str, when: Any, steps: int) -> int:
    try:
        return step_of(when, steps)
    except InputError as error:
        raise InputError(f"{key}: {error}") from error


def _knots(schedule: Any, name: str) -> list[tuple[int, float]]:
    """The (step, value) pairs in order; a constant is one pair."""
    if changes(schedule):
        if not schedule:
            raise InputError(f"{name}: expected at least one [step, value] pair, got none")
        for pair in schedule:
            if not changes(pair) or len(pair) != 2:
                raise InputError(f"{name}: expected pairs [step, value], got {pair!r}")
            step = pair[0]
            if isinstance(step, str) and SHARE.fullmatch(step):
                raise InputError(f"{name}: {step} is a share of a stage; expected steps here (schedules.in_steps)")
            if not isinstance(step, int) or isinstance(step, bool) or step < 0:
                raise InputError(f"{name}: expected whole steps from 0 up, or shares such as 25%, got {step!r}")
        knots = sorted(((step, value) for step, value in schedule), key=lambda knot: knot[0])
    else:
        knots = [(0, schedule)]
    for _, value in knots:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise InputError(f"{name}: expected a finite number or [[step, value], ...], got {value!r}")
    return [(step, float(value)) for step, value in knots]
