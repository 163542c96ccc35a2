"""How much longer a run takes while as many other processes compute as there are cores; a fair share would be twice."""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sv3dgen.bench.machine import describe
from sv3dgen.bench.objects import launch
from sv3dgen.parallel.cores import usable_cores
from sv3dgen.runs.threads import waiting

AT_MOST = 2.2  # times as long: what is aimed at
FEW_STEPS = ("coarse.steps=12", "fine.steps=8")  # of the first run, which is not measured: it compiles
# Products of matrices that fit into a core's cache, on one thread: it takes a core, and little of the memory's speed.
COMPUTE = """
import os
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
import numpy
matrix = numpy.full((128, 128), 1 / 128, numpy.float32)
print(flush=True)
while True:
    matrix = matrix @ matrix * 128
    matrix /= matrix.sum() / 128
"""


def measure(views: Path, settings: Sequence[str] = (), *, rounds: int = 3, processes: int | None = None) -> dict:
    """Seconds of `launch.py views=VIEWS device=cpu SETTINGS...`, alone and with `processes` others (default: as many
    as there are cores), in turns. Raises InputError where a run does not get to its end.
    """
    with tempfile.TemporaryDirectory() as folder:

        def run(more: Sequence[str] = ()) -> float:
            given = ["system=sv3d_dmtet", f"views={views.resolve()}", "device=cpu", f"hydra.run.dir={folder}/run"]
            return launch([*given, *settings, *more], Path(folder) / "run.log").seconds

        run(FEW_STEPS)
        return compare(run, rounds, usable_cores() if processes is None else processes)


def compare(run: Callable[[], float], rounds: int, processes: int) -> dict[str, Any]:
    """The seconds that `run` gives, alone and among others, round by round, and the median of their ratios."""
    table = []
    for _ in range(rounds):
        alone = run()
        with others(processes):
            among = run()
        table.append({"alone_s": alone, "busy_s": among, "ratio": among / alone})
    return {
        "machine": describe(),
        "waiting": waiting(),
        "processes": processes,
        "rounds": table,
        "ratio": statistics.median(row["ratio"] for row in table),
        "at_most": AT_MOST,
    }


@contextmanager
def others(count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that compute, a core's worth each, from the start of the block to its end."""
    started: list[subprocess.Popen[str]] = []
    try:
        for _ in range(count):
            started.append(subprocess.Popen([sys.executable, "-c", COMPUTE], stdout=subprocess.PIPE, text=True))
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()  # it has begun
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def markdown(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"Measured on: {report['machine']}; {report['waiting']}; {report['processes']} other processes.",
        "",
        "| round | alone, s | busy, s | ratio |",
        "|---:|---:|---:|---:|",
    ]
    for number, row in enumerate(report["rounds"], 1):
        lines.append(f"| {number} | {row['alone_s']:.1f} | {row['busy_s']:.1f} | {row['ratio']:.2f} |")
    lines += ["", f"Median ratio {report['ratio']:.2f}, aimed at: at most {report['at_most']:.1f}."]
    return "\n".join(lines)
