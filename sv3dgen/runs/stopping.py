"""Signals that end a run: what they raise, and the exit status that tells a scheduler of it.

SIGTERM is what `kill`, containers and Slurm send; SIGUSR1 and SIGUSR2 are what Slurm (`--signal`) and submitit send
before they take a machine away. A run that gets one writes its checkpoint where it is training, and ends with status
128 + the signal's number, as a shell would say it; put in the queue again, it goes on from there.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

ENDING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)  # Windows has the first alone


class Stopped(BaseException):
    """The run was told to end by the signal `number`. No Exception: nothing but the program's end is to catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status."""
        return 128 + self.number


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None], signals: tuple[int, ...] = ENDING) -> Iterator[None]:
    """Have signals call `handler` as long as the block runs. Outside the main thread, which alone gets any: nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


def raise_stopped(number: int, frame: FrameType | None = None) -> None:
    """A handler that ends the run where it is."""
    raise Stopped(number)


@contextmanager
def undisguised() -> Iterator[None]:
    """Raise a stop as itself where it has become the cause of another exception.

    Numba's dispatcher makes a SystemError of what a signal's handler raises within it. Callers take that for a mistake
    of theirs: a damaged checkpoint, a broken mesh, a failed cell of a sweep.
    """
    try:
        yield
    except Exception as error:
        cause = error.__cause__
        while cause is not None and not isinstance(cause, Stopped | KeyboardInterrupt):
            cause = cause.__cause__
        if cause is None:
            raise
        raise cause from None


@contextmanager
def left_at_once(way: Callable[[], str]) -> Iterator[None]:
    """Have an interrupt, and what a scheduler sends, end the program where it is, with the line that `way` makes.

    For where nothing is to be finished: an exception within imports, or within Hydra, comes out as another one.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # a second flush within one
                stream.flush()
        with suppress(OSError):
            os.write(2, f"sv3dgen: {way()}\n".encode(errors="replace"))
        os._exit(128 + number)

    with handled(leave, (signal.SIGINT, *ENDING)):
        yield


def was_requeued() -> bool:
    """Whether Slurm has started this job before: it was taken off its machine, and put in the queue again."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")


def end_with(parent: int) -> None:
    """Have this process told to end (SIGTERM) when its parent, the process `parent`, is gone. On Linux only."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it was gone before that
        raise Stopped(signal.SIGTERM)


def told_of_stop(stopped: Mapping[str, Any]) -> str:
    """`in fine, at step 20 of 60`: of a card's `stopped`."""
    at = f", at step {stopped.get('step')} of {stopped['of']}" if stopped.get("of") else ""
    return f"in {stopped['stage']}{at}" if stopped.get("stage") else "before its first stage"
