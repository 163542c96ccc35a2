"""Compile the kernels of a run before it comes to them: side by side on all cores, while it imports and reads.

`start` is all that a run does: it asks for nothing where everything is compiled, which a file of its own tells. What
the run comes to first, it waits for (`kept`). The processes end with the run.
"""

import atexit
import hashlib
import logging
import multiprocessing
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sv3dgen.compiling.folder import KEPT_DAYS, cache_folder
from sv3dgen.compiling.in_a_run import KERNELS

log = logging.getLogger(__name__)

TYPES = {
    "f4": "float32",
    "f8": "float64",
    "i8": "int64",
    "i4": "int32",
    "i1": "int8",
    "u8": "uint64",
    "u1": "uint8",
    "b1": "boolean",
}
FEW_KERNELS = 5  # that it is not worth telling of
MOST_PROCESSES = 8  # of 200 MB each
GPUS = ("/dev/nvidia0", "/dev/kfd")


def start(modules: Sequence[str], cores: int) -> subprocess.Popen[bytes] | None:
    """Have the kernels of some modules compiled by other processes, where they are not yet; None where they are."""
    count = sum(len(KERNELS[module]) for module in modules)
    if count == 0 or cores < 2 or is_compiled(modules):
        return None
    if count > FEW_KERNELS:
        folder = cache_folder()
        log.info("compiling %d kernels on %d cores, once on this machine; they are kept in %s", count, cores, folder)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [_root(), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "sv3dgen.compiling.ahead", str(min(cores, MOST_PROCESSES)), *modules]
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)
    except OSError as error:  # no more processes, or no memory: the run compiles for itself
        log.debug("nothing is compiled ahead: %s", error)
        return None
    atexit.register(process.terminate)
    return process


def sees_gpu(device: str) -> bool:
    """Whether a run will compute on a GPU, guessed without torch: a wrong guess costs time alone."""
    return device not in ("auto", "cpu") or (device == "auto" and any(Path(file).exists() for file in GPUS))


def is_compiled(modules: Sequence[str]) -> bool:
    """Whether all kernels of some modules lie in the cache as they are now."""
    return _is_fresh(done_file(modules))


def done_file(modules: Sequence[str]) -> Path:
    """It lies in the cache where the kernels of some modules have all been compiled, as they are now, for this CPU."""
    told = hashlib.sha256(repr((version("numba"), sys.version_info[:2], _processor(), KERNELS)).encode())
    for module in ("sv3dgen.compiling.kept", *modules):  # the first says under which names they are kept
        found = find_spec(module)
        if found is not None and found.origin:
            told.update(Path(found.origin).read_bytes())
    return cache_folder() / f"all-{told.hexdigest()[:20]}.done"


def compile_all(modules: Sequence[str], processes: int) -> None:
    """Compile the kernels of some modules for the types of a run, on some processes that share the work."""
    kernels = [
        (getattr(import_module(name), kernel), types) for name in modules for kernel, types in KERNELS[name].items()
    ]
    if processes > 1 and sys.platform == "linux":  # elsewhere a fork may not use what it has loaded
        context = multiprocessing.get_context("fork")
        place = context.Value("i", 0)
        others = [
            context.Process(target=_compile_next, args=(kernels, place), daemon=True) for _ in range(processes - 1)
        ]
        for other in others:
            other.start()
        _compile_next(kernels, place)
        for other in others:
            other.join()
        if any(other.exitcode for other in others):
            return
    else:
        _compile_next(kernels, multiprocessing.Value("i", 0))
    done = done_file(modules)
    done.parent.mkdir(parents=True, exist_ok=True)
    done.touch()


def _compile_next(kernels: list[tuple[Any, str]], place: Any) -> None:
    """One after another, as long as there is the process that started this one."""
    parent = os.getppid()
    while os.getppid() == parent:
        with place.get_lock():
            number = place.value
            place.value += 1
        if number >= len(kernels):
            return
        kernel, types = kernels[number]
        kernel.compile(signature(types))


def signature(types: str) -> str:
    """`f4[2] i8` as numba writes it: (float32[:, ::1], int64)."""
    written = []
    for kind, axes, strided in re.findall(r"(\w\d)(?:\[(\d)(A?)\])?", types):
        rows = [":"] * (int(axes or 1) - 1) + [":" if strided else "::1"]
        written.append(TYPES[kind] + (f"[{', '.join(rows)}]" if axes else ""))
    return f"({', '.join(written)},)"


def _processor() -> str:
    """What numba compiles for."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return " ".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _is_fresh(file: Path) -> bool:
    try:
        return file.stat().st_mtime > time.time() - KEPT_DAYS * 86400
    except OSError:
        return False


def _root() -> str:
    return str(Path(__file__).resolve().parents[2])


def main() -> None:
    """`python -m sv3dgen.compiling.ahead PROCESSES MODULE...`, alone of its kind: for a second one nothing is left."""
    from filelock import FileLock, Timeout

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that those it has started end too
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with FileLock(cache_folder() / "ahead.lock", timeout=0):
            compile_all(sys.argv[2:], int(sys.argv[1]))
    except (Timeout, OSError):
        pass


if __name__ == "__main__":
    main()
