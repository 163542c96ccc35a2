"""How many threads compute, and how they wait: settled before OpenMP and numba start, never over a user's own wish.

Threads that spin while they wait take the cores of whoever else computes on the machine, and of each other. Threads
that sleep at once are woken some sixty times a step, for longer than most of a step's loops take. So on a machine that
has nothing else to do they spin for a moment first, which makes a stage a fifth faster, and otherwise they sleep.
"""

import os
from collections.abc import MutableMapping
from math import ceil
from pathlib import Path
from time import sleep

from sv3dgen.parallel.cores import usable_cores

# What OpenMP (torch, numba) and OpenBLAS (numpy) read when they are loaded.
WAITING = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
MOMENT = {"GOMP_SPINCOUNT": "3000"}  # turns of libgomp's loop, some tens of microseconds
SETTLED = "SV3DGEN_THREADS"  # in an environment: how its threads wait was chosen here, not by the user
# Of numba's layers those that end with the program: with TBB, which it prefers where the system has it, finished
# runs have spun in `tbb::finalize` for minutes.
LAYERS = {"NUMBA_THREADING_LAYER_PRIORITY": "omp workqueue tbb"}
COUNTS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
RUNNING = Path("/proc/loadavg")  # "0.20 0.18 0.12 1/80 11206": the fourth has how many threads run, this one too
LOOKS, LOOK_S = 6, 0.003
QUOTAS = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))


def settle_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep, soon or at once, on a layer that ends with the program; and have no more threads than
    cores where a container's quota allows fewer than there are.

    Has an effect only before torch and numba are imported. What the environment says already stays, but for what a
    parent process has chosen here: whether the machine is idle is looked at anew.
    """
    if SETTLED in environment:
        for name in MOMENT:
            environment.pop(name, None)
    elif not (WAITING | MOMENT).keys() & environment.keys():
        environment[SETTLED] = "1"
    if SETTLED in environment and is_idle():
        environment.update(MOMENT)
    for name, value in (WAITING | LAYERS).items():
        environment.setdefault(name, value)
    cores, quota = usable_cores(), quota_cores()
    if quota is not None and quota < cores:  # of which the libraries, unlike of the affinity, know nothing
        for name in COUNTS:
            environment.setdefault(name, str(max(1, ceil(quota))))


def is_idle(file: Path = RUNNING) -> bool:
    """Whether hardly anything else computes on the machine, by a few looks; False where that can't be told."""
    others = 0
    for _ in range(LOOKS):
        sleep(LOOK_S)
        try:
            others += int(file.read_text().split()[3].partition("/")[0]) - 1
        except (OSError, ValueError, IndexError):
            return False
    return others < LOOKS / 2


def quota_cores(files: tuple[Path, Path] = QUOTAS) -> float | None:
    """Cores' worth of time that a control group (a container's) may take; None where nothing limits it."""
    second, first = files
    try:
        quota, period = second.read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = first.read_text().strip(), first.with_name("cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None  # "max", or -1: no limit
    return int(quota) / int(period)


def waiting() -> str:
    """How threads wait, in words for the doctor."""
    policy = os.environ.get("OMP_WAIT_POLICY", "the library's own way")
    if policy.lower() != "passive":
        return f"waiting threads: {policy}"
    turns = os.environ.get("GOMP_SPINCOUNT", "0")
    return "waiting threads sleep" if turns == "0" else f"waiting threads sleep after {turns} turns"
