"""What a stage costs in time and memory."""

import sys
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any


@dataclass(frozen=True)
class StageCost:
    """What a stage took. `peak_memory_bytes` is the resident memory of the process, libraries included."""

    seconds: float
    peak_memory_bytes: int
    peak_gpu_memory_bytes: int = 0
    finished: bool = True


class StageTimer:
    """`with StageTimer() as timer: ...; timer.cost`: seconds and peak memory of the block, also where it fails.

    Timers may nest. Linux can forget its high-water mark of resident memory at the start of a block; elsewhere, or
    where that is forbidden, the peak is the one of the process up to the end of the block. One thread at a time.
    """

    _open: list["StageTimer"] = []

    def __init__(self) -> None:
        self._peak = 0
        self.cost: StageCost | None = None

    def __enter__(self) -> "StageTimer":
        self._note_peak()
        StageTimer._open.append(self)
        self._start = perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        seconds = perf_counter() - self._start
        self._note_peak()
        StageTimer._open.remove(self)
        self.cost = StageCost(seconds, self._peak, _peak_gpu_memory_bytes(), finished=kind is None)

    @staticmethod
    def _note_peak() -> None:
        """Give the peak since the last note to every open timer, and start a new one."""
        peak = peak_memory_bytes()
        for timer in StageTimer._open:
            timer._peak = max(timer._peak, peak)
        _reset_peak()


def peak_memory_bytes() -> int:
    """Largest resident memory of the process so far, on Linux since the last reset; 0 where nothing tells."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _reset_peak() -> None:
    if sys.platform == "linux":
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            pass  # some containers forbid it: the peak is then the process's
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def _peak_gpu_memory_bytes() -> int:
    cuda = _cuda()
    return 0 if cuda is None else cuda.max_memory_allocated()


def _cuda() -> Any:
    """torch.cuda where the run uses it. Torch is never imported from here: without it there is no GPU in use."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
