"""Numbers and matrices out of json files that anybody may have written. Standard library only."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sv3dgen.errors import InputError


def optional_number(where: Path | str, entry: Mapping[str, Any], key: str) -> float | None:
    """A finite number, or None where the key is missing; InputError where it is something else."""
    value = entry.get(key)
    if value is None:
        return None
    if not is_number(value) or not math.isfinite(value):
        raise InputError(f"{where}: `{key}` is {value!r}, expected a finite number")
    return float(value)


def has_shape(rows: object, row_counts: tuple[int, ...], column_counts: tuple[int, ...]) -> bool:
    """Whether it is a list of equally long lists of numbers, of one of these sizes."""
    return (
        isinstance(rows, list)
        and len(rows) in row_counts
        and all(isinstance(row, list) and len(row) in column_counts and all(map(is_number, row)) for row in rows)
        and len({len(row) for row in rows}) == 1
    )


def is_number(value: object) -> bool:
    """Whether it can be a float: neither a boolean nor an integer too long for one."""
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e300)
