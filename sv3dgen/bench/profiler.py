"""Where the time goes: a process-wide timer of named parts that costs next to nothing while it is off.

`with part("encode"):` (or `@part("encode")`) adds its wall-clock seconds to the part. Parts nest, and the seconds of
a part are its own: what an inner part took is not counted again in the outer one. Work that a GPU does later is not
waited for, unless the clock does. Autograd may run backward passes on another thread: each thread has its own stack.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from dataclasses import dataclass
from time import perf_counter

_enabled = False
_clock: Callable[[], float] = perf_counter
_lock = threading.Lock()
_parts: dict[str, "PartTime"] = {}
_open = threading.local()  # .inner: seconds that inner parts took, one entry per open part of this thread


@dataclass(frozen=True)
class PartTime:
    """Seconds a part spent itself, without the parts inside it, and how often it was entered."""

    seconds: float
    calls: int


class part(ContextDecorator):  # noqa: N801  (reads as a statement: `with part("march"):`)
    """Time a block, or every call of a function, under a name."""

    __slots__ = ("_name", "_starts")

    def __init__(self, name: str) -> None:
        self._name = name
        self._starts: list[float] = []

    def _recreate_cm(self) -> "part":
        return part(self._name)  # a decorated function may recurse or run on several threads: one timer per call

    def __enter__(self) -> "part":
        if _enabled:
            _open.__dict__.setdefault("inner", []).append(0.0)
            self._starts.append(_clock())
        return self

    def __exit__(self, *_: object) -> None:
        if self._starts:
            _book(self._name, _clock() - self._starts.pop())


def _book(name: str, elapsed: float) -> None:
    """Give `elapsed` seconds, less what inner parts took of them, to `name`; to the part around, all of it is inner."""
    stack = _open.inner
    own = elapsed - stack.pop()
    if stack:
        stack[-1] += elapsed
    with _lock:
        before = _parts.get(name, PartTime(0.0, 0))
        _parts[name] = PartTime(before.seconds + own, before.calls + 1)


def times() -> dict[str, PartTime]:
    """What was booked since the last `profiled()` began, longest part first."""
    with _lock:
        return dict(sorted(_parts.items(), key=lambda item: -item[1].seconds))


@contextmanager
def profiled(clock: Callable[[], float] = perf_counter) -> Iterator[None]:
    """Switch the timer on for a block, from zero; `times()` still answers afterwards. No nesting."""
    global _enabled, _clock
    _clock = clock
    with _lock:
        _parts.clear()
    _enabled = True
    try:
        yield
    finally:
        _enabled = False
