"""Time rival implementations fairly: in one process, taking turns, so that what slows the machine slows them all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import quantiles
from time import perf_counter
from typing import Any

TURN_S = 0.1


@dataclass(frozen=True)
class Timing:
    """Milliseconds a call: the median, and the quartiles around it."""

    median_ms: float
    low_ms: float
    high_ms: float
    runs: int


def take_turns(
    rivals: Mapping[str, Callable[[], Any]], *, budget_s: float = 4.0, least_runs: int = 3, most_runs: int = 200
) -> dict[str, Timing]:
    """Call each once untimed (it may compile), then in turns until the budget is spent or `most_runs` are done.

    The budget holds for each rival, so a slow one runs less often than a fast one, but at least `least_runs` times. A
    turn lasts `TURN_S`: the threads of the one before spin for a while, and would slow a single short call.
    """
    for call in rivals.values():
        call()
    spent: dict[str, list[float]] = {name: [] for name in rivals}
    while waiting := [name for name in rivals if _wants_more(spent[name], budget_s, least_runs, most_runs)]:
        for name in waiting:
            spent[name] += _turn(rivals[name])
    return {name: _summary(seconds) for name, seconds in spent.items()}


def _turn(call: Callable[[], Any]) -> list[float]:
    """Seconds of each call of one turn."""
    seconds: list[float] = []
    while sum(seconds) < TURN_S:
        start = perf_counter()
        call()
        seconds.append(perf_counter() - start)
    return seconds


def _wants_more(seconds: list[float], budget_s: float, least_runs: int, most_runs: int) -> bool:
    return len(seconds) < least_runs or (len(seconds) < most_runs and sum(seconds) < budget_s)


def _summary(seconds: list[float]) -> Timing:
    low, median, high = quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    return Timing(1e3 * median, 1e3 * low, 1e3 * high, len(seconds))
