"""A run's `metrics.csv` read: a kill may have cut it off, and anybody may have written it. Standard library only."""

import csv
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

from sv3dgen.errors import InputError

MOST_BYTES = 256 << 20


def number_rows(file: Path, *, finite: bool = True) -> list[dict[str, int | float]]:
    """The rows, each number under its column's name; none where there is no file.

    Left out is what is no number, a row without any, and a last line that has no end; NaN and infinities as well
    where `finite`, as charts want it. InputError for more bytes than a run writes.
    """
    if not file.is_file():
        return []
    if (size := file.stat().st_size) > MOST_BYTES:
        raise InputError(f"{file}: {size >> 20} MB, expected the numbers that a run logs")
    text = file.read_text(encoding="utf-8", errors="replace").replace("\0", "")
    lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    try:
        rows = [dict(_numbers(row, finite)) for row in csv.DictReader(lines)]
    except csv.Error:  # a cell without end
        return []
    return [row for row in rows if row]


def _numbers(row: dict[str | None, str | list[str] | None], finite: bool) -> Iterator[tuple[str, int | float]]:
    for name, text in row.items():
        if name is None or not isinstance(text, str):  # more cells than columns, or fewer
            continue
        try:
            value = int(text) if text.isdecimal() and len(text) < 16 else float(text)
        except ValueError:
            continue
        if isfinite(value) or not finite:
            yield name, value
