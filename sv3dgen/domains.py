"""What numbers a setting may have: small types for constructors' annotations, read by `config_check` off the source.

`Annotated[int, Between(1, 32)]` says in one place what the check refuses, what its message says is expected, and what
`python -m sv3dgen.settings` prints. Upper bounds are where memory, time or sense end, not taste. Neither NaN nor
infinity is a number here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from sv3dgen.schedules import SHARE


@dataclass(frozen=True)
class Between:
    """From `low` to `high`, both included."""

    low: float | int
    high: float | int

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high  # which NaN is not

    def __str__(self) -> str:
        return f"{plain(self.low)} to {plain(self.high)}"


@dataclass(frozen=True)
class Fields:
    """A mapping whose keys and values are the fields of the dataclass `name`, which stands in the same file."""

    name: str


@dataclass(frozen=True)
class Pairs:
    """A schedule: a list of [when, value], where *when* is a step or a share of the stage, and `value` a type."""

    value: Any


def is_when(value: object) -> bool:
    """Whether a value names a moment of a stage: a step from 0 to 1048575, or a share such as "25%"."""
    if isinstance(value, str):
        share = SHARE.fullmatch(value)
        return share is not None and float(share[1]) <= 100
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1048575


def plain(number: float | int) -> str:
    """A bound as a person writes it."""
    return f"{number:g}" if isinstance(number, float) or abs(number) < 100_000 else f"{number}"


def is_number(value: object) -> bool:
    """Whether a value is a number that can be calculated with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


Seed = Annotated[int, Between(0, 4294967295)]
Steps = Annotated[int, Between(1, 1048575)]  # of a stage
Interval = Annotated[int, Between(1, 1048575)]  # in steps
IntervalOrNever = Annotated[int, Between(0, 1048575)]  # in steps; 0 for never
Count = Annotated[int, Between(1, 10000)]
Cells = Annotated[int, Between(8, 512)]  # of a grid, on a side
Pixels = Annotated[int, Between(16, 4096)]  # of a picture, on a side
Share = Annotated[float | int, Between(0.0, 1.0)]
Angle = Annotated[float | int, Between(0.0, 89.0)]  # in degrees
Radius = Annotated[float | int, Between(0.1, 10.0)]  # in sizes of the object
Magnitude = Annotated[float | int, Between(0.0, 1000000.0)]
LearningRate = Annotated[float | int, Between(0.0, 10.0)]
LearningRates = LearningRate | Annotated[list, Pairs(LearningRate)]
Weight = Magnitude | Annotated[list, Pairs(Magnitude)]  # of a loss
Weights = Mapping[str, Weight]
Shares = Share | Annotated[list, Pairs(Share)]
