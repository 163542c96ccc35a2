"""Views that were read and checked ahead of the run they are for, and what was to be said about them.

A run imports for seconds what it computes with. Read before that, views are refused sooner; the run then takes them
from here, and the log has the lines where it would have had them.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_READERS = logging.getLogger("sv3dgen.views")


@dataclass(frozen=True)
class _Kept:
    asked: tuple[Any, ...]
    stamp: tuple[int, int]
    views: Any  # PosedViews, which this module lies below
    checked: bool
    records: tuple[logging.LogRecord, ...]


_kept: _Kept | None = None
_checked: Any = None  # views that `check_poses` has passed already, as they were taken


class _Holder(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def held_lines(of: logging.Logger = _READERS) -> Iterator[list[logging.LogRecord]]:
    """What reading, or another logger, logs in the block, for later; told at once where it ends in an error."""
    holder, ended_well = _Holder(), False
    of.addHandler(holder)
    of.propagate = False
    try:
        yield holder.records
        ended_well = True
    finally:
        of.removeHandler(holder)
        of.propagate = True
        if not ended_well:
            tell(holder.records)


def asked_for(path: Path, **settings: Any) -> tuple[Any, ...]:
    """What is read, and how: equal for the same."""
    return (path.absolute(), *sorted(settings.items()))


def keep(asked: tuple[Any, ...], views: Any, records: list[logging.LogRecord], *, checked: bool) -> None:
    """Keep views for the next reader that asks for the same."""
    global _kept
    _kept = _Kept(asked, _stamp(asked[0]), views, checked, tuple(records))


def taken(asked: tuple[Any, ...]) -> Any | None:
    """The kept views if they are what is asked for, else None. Their lines go into the log now."""
    global _kept, _checked
    kept, _kept, _checked = _kept, None, None
    if kept is None or kept.asked != asked or kept.stamp != _stamp(asked[0]):
        return None
    tell(kept.records)
    _checked = kept.views if kept.checked else None
    return kept.views


def is_checked(views: Any) -> bool:
    """Whether these are the views that were just taken: their check is not needed twice."""
    global _checked
    known, _checked = _checked, None
    return known is not None and known is views


def tell(records: list[logging.LogRecord] | tuple[logging.LogRecord, ...]) -> None:
    """Have lines that were held go where the log goes now."""
    for record in records:
        logging.getLogger(record.name).handle(record)


def _stamp(path: Path) -> tuple[int, int]:
    """Of the file, or of what a folder's cameras lie in."""
    file = path / "transforms.json" if path.is_dir() and (path / "transforms.json").exists() else path
    state = file.stat()
    return state.st_mtime_ns, state.st_size
