"""Seconds of a whole run by part, and what plain torch would have needed for the kernels' share of it."""

import runpy
import sys
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from sv3dgen.bench.instruments import KERNELS, OTHER_PARTS, instrumented
from sv3dgen.bench.machine import describe
from sv3dgen.bench.profiler import times
from sv3dgen.bench.replay import slowdown
from sv3dgen.devices import find_device
from sv3dgen.errors import InputError
from sv3dgen.kernels.matrix_speed import wait_for

LAUNCH = Path(__file__).parents[2] / "launch.py"
LISTED = tuple(dict.fromkeys(("views", "hull", *KERNELS, *OTHER_PARTS)))
CALLS_KEPT = 4  # of each kernel function, for the replay


def measure(views: Path, settings: Sequence[str] = (), device: str = "auto") -> dict[str, Any]:
    """Run `launch.py system=sv3d_dmtet views=VIEWS device=DEVICE SETTINGS...` here, then replay some of its calls in
    plain torch. Each part waits for what it started on a GPU, which makes the run slower than without this.

    Raises InputError where the run does not get to its end.
    """
    where = find_device(device)

    def clock() -> float:
        wait_for(where)
        return perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        command = ["system=sv3d_dmtet", f"views={views.resolve()}", f"hydra.run.dir={folder}/run"]
        command += [f"device={where}", *settings]
        with instrumented(CALLS_KEPT, clock) as recorders:
            start = perf_counter()
            _launch(command)
            total = perf_counter() - start
        booked = times()
        if not (Path(folder) / "run" / "mesh").is_dir():
            raise InputError(f"views={views}: the run wrote no mesh, expected it to reach its end")
    parts = []
    for name in LISTED:
        seconds = booked[name].seconds if name in booked else 0.0
        factor = slowdown(recorders.get(name, []))
        calls = sum(recorder.seen for recorder in recorders.get(name, [])) or None
        torch_seconds = None if factor is None else factor * seconds
        parts.append(
            {"part": name, "seconds": seconds, "calls": calls, "torch_seconds": torch_seconds, "ratio": factor}
        )
    recording = booked["recording"].seconds if "recording" in booked else 0.0
    total -= recording
    parts.append({"part": "the rest", "seconds": total - sum(row["seconds"] for row in parts)})
    return {
        "machine": describe(),
        "device": str(where),
        "seconds": total,
        "recording_seconds": recording,
        "parts": parts,
    }


def _launch(arguments: list[str]) -> None:
    with _command_line([str(LAUNCH), *arguments]):
        try:
            runpy.run_path(str(LAUNCH), run_name="__main__")
        except SystemExit as stop:
            if stop.code:
                raise InputError("launch.py stopped with the message above; fix that first") from stop


@contextmanager
def _command_line(arguments: list[str]):
    before = sys.argv
    sys.argv = arguments
    try:
        yield
    finally:
        sys.argv = before


def print_table(report: dict[str, Any]) -> None:
    """The report for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{report['seconds']:.1f} s on {report['device']}, import and export included", caption=report["machine"]
    )
    for heading in ("part", "seconds", "share", "calls", "plain torch, s", "times slower"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for row in report["parts"]:
        slower, torch_seconds = row.get("ratio"), row.get("torch_seconds")
        table.add_row(
            row["part"],
            f"{row['seconds']:.2f}",
            f"{row['seconds'] / report['seconds']:.0%}",
            "" if row.get("calls") is None else str(row["calls"]),
            "" if torch_seconds is None else f"{torch_seconds:.1f}",
            "" if slower is None else f"{slower:.1f}",
        )
    Console().print(table)
