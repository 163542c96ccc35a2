"""Files that appear whole or not at all."""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}(\.\w+)?|\..+\.partial")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a path next to `path` to write to; rename it to `path` if the block succeeds, remove it if it does not.

    The temporary name keeps the suffix, because writers choose the format by it, and starts with a dot, so that a
    listing of `*.png` does not see it. The parent folder is made where it is missing. Errors of the file system (a full
    disk, say) come through as the `OSError` they are.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name is random rather than made of the process id: two threads may write the same file.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what `atomic_write` had begun in a folder, or below it, when it was killed. Links are not followed."""
    for parent, _, files in os.walk(folder):
        for name in files:
            if _UNFINISHED.fullmatch(name):
                (Path(parent) / name).unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Wait until the file's bytes are on the disk, so that a crash after the rename can't leave an empty file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def stamp(file: Path) -> tuple[str, int, int]:
    """Place, size and time of a file: what changes where its content is replaced."""
    found = file.stat()
    return str(file.resolve()), found.st_size, found.st_mtime_ns
