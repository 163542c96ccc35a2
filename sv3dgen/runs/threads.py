"""How many threads compute, and how they wait: settled before OpenMP and numba start, never over a user's own wish.

Threads that spin while they wait take the cores of whoever else computes on the machine, and of each other. Threads
that sleep at once are woken dozens of times a step, for longer than most of a step's loops take. So they spin for a
moment and then sleep: a stage is a fifth faster for it, and next to other work no slower.
"""

import os
from collections.abc import MutableMapping
from math import ceil
from pathlib import Path

from sv3dgen.parallel.cores import usable_cores

# What OpenMP (torch, numba) and OpenBLAS (numpy) read when they are loaded.
WAITING = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
MOMENT = "GOMP_SPINCOUNT", "3000"  # turns of libgomp's waiting loop
# Of numba's layers those that end with the program: with TBB, which it prefers where the system has it, finished
# runs have spun in `tbb::finalize` for minutes.
LAYERS = {"NUMBA_THREADING_LAYER_PRIORITY": "omp workqueue tbb"}
COUNTS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
QUOTAS = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))


def settle_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep soon, on a layer that ends with the program; and have no more threads than cores where
    a container's quota allows fewer than there are.

    Has an effect only before torch and numba are imported. What the environment says already stays.
    """
    if "OMP_WAIT_POLICY" not in environment:  # whose own way is not to be changed by half
        environment.setdefault(*MOMENT)
    for name, value in (WAITING | LAYERS).items():
        environment.setdefault(name, value)
    cores, quota = usable_cores(), quota_cores()
    if quota is not None and quota < cores:  # of which the libraries, unlike of the affinity, know nothing
        for name in COUNTS:
            environment.setdefault(name, str(max(1, ceil(quota))))


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
