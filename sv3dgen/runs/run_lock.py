"""One run at a time in a folder: a lock that the system takes back when its holder ends, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sv3dgen.errors import InputError

LOCK = ".hydra/lock"  # the file stays: that it is there says nothing, and a stale one needs no one to remove it


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder for the block. Raises InputError where another run holds it."""
    (folder / LOCK).parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: another run is at work in it; expected each run to have its own folder") from None
    try:
        yield
    finally:
        lock.release()


def check_free(folder: Path) -> None:
    """Raise InputError where another run is at work in a folder; nothing is written where none has been."""
    if (folder / LOCK).is_file():
        with alone_in(folder):
            pass
