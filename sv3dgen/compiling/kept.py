"""The compiled versions of a kernel on disk, by what the kernel says and not by where it lies.

What two processes need at one time, one compiles; the other waits for it.
"""

import hashlib
import logging
import os
import pickle
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from filelock import FileLock, Timeout
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature

from sv3dgen.atomic import atomic_write
from sv3dgen.compiling.digest import digest
from sv3dgen.compiling.folder import KEPT_DAYS, cache_folder

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 600.0  # for another process that compiles the same, on a machine with much else to do
DAY_S = 86400.0


class KeptKernels(_Cache):
    """The compiled versions of one kernel: a file for each, and no list of them that two processes could spoil."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._name = f"{dispatcher.py_func.__module__}.{dispatcher.py_func.__qualname__}"
        self._lock: FileLock | None = None
        self._enabled = True

    @property
    def cache_path(self) -> str:
        return str(cache_folder())

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        for file in cache_folder().glob(f"{self._name}.*.nbc"):
            file.unlink(missing_ok=True)

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """The compiled version; None where this process is to compile it."""
        self._let_go()  # of an earlier version, which could not be compiled
        target_context.refresh()
        if not self._enabled:
            return None
        file = self._file(sig, target_context.codegen())
        found = _read(file, target_context)
        if found is None and self._waited(file):
            found = _read(file, target_context)
        if found is not None:
            self._let_go()
        return found

    def save_overload(self, sig: Any, data: CompileResult) -> None:
        """Keep what was just compiled, and let go of those who wait for it."""
        try:
            if self._enabled and not data.library.has_dynamic_globals and not data.lifted:
                file = self._file(sig, data.codegen)
                with atomic_write(file) as temporary:
                    temporary.write_bytes(dumps(data._reduce()))
                self._drop_unused()
        except OSError as error:
            log.debug("%s is compiled for this run alone: %s", self._name, error)
        finally:
            self._let_go()

    def _file(self, sig: Any, codegen: Any) -> Path:
        types, _ = normalize_signature(sig)  # a call gives types, what compiles ahead of it the same in words
        told = (digest(self._dispatcher), str(types), codegen.magic_tuple(), numba.__version__, sys.version_info[:2])
        return cache_folder() / f"{self._name}.{hashlib.sha256(repr(told).encode()).hexdigest()[:20]}.nbc"

    def _waited(self, file: Path) -> bool:
        """Take the lock under which this version is compiled; whether another process had it meanwhile."""
        lock = FileLock(file.with_suffix(".lock"), thread_local=False)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
            waited = file.exists()  # it was written between the first look and now
        except Timeout:
            try:
                lock.acquire(timeout=LONGEST_WAIT_S, poll_interval=0.02)
            except Timeout:
                return False
            waited = True
        except (OSError, NotImplementedError):  # nothing can be written there, or locked
            return False
        self._lock = lock
        return waited

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.release()  # its file stays: another process may be waiting for it
            self._lock = None

    def _drop_unused(self) -> None:
        oldest = time.time() - KEPT_DAYS * DAY_S
        for file in cache_folder().glob(f"{self._name}.*"):  # locks too
            if file.stat().st_mtime < oldest:
                file.unlink(missing_ok=True)


def _read(file: Path, target_context: Any) -> CompileResult | None:
    try:
        data = file.read_bytes()
    except OSError:
        return None
    try:
        found = CompileResult._rebuild(target_context, *pickle.loads(data))
    except Exception as error:  # of a disk that lost power, say: it is compiled again
        log.debug("%s is of no use: %s", file, error)
        return None
    with suppress(OSError):
        if file.stat().st_mtime < time.time() - DAY_S:
            os.utime(file)  # it is in use
    return found
