"""Each kernel beside its plain-torch reference, and how near it comes to what the memory could do."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from sv3dgen.bench.copy_speed import copy_speed
from sv3dgen.bench.kernel_cases import cases
from sv3dgen.bench.machine import describe
from sv3dgen.bench.timing import Timing, take_turns
from sv3dgen.devices import find_device
from sv3dgen.kernels.backend import Backend, runs_on
from sv3dgen.matrix_speed import wait_for

COMPILED = {"cpu": "numba", "cuda": "triton"}  # what stands beside plain torch, by the type of the device


def measure(budget_s: float = 4.0, only: Sequence[str] = (), device: str = "auto") -> dict[str, Any]:
    """Time every case whose operation is in `only` (all, if empty) with its tensors on `device`.

    `ratio` is plain torch's median over the compiled version's. `roofline` is, for each implementation, the share of
    its median that a copy of the case's least bytes would take at the speed measured here; above 1 where caches help.
    """
    where = find_device(device)
    bytes_per_s = copy_speed(where)
    rows = []
    for case in cases(where):
        if only and case.operation not in only:
            continue
        present = runs_on(case.operation, where)
        rivals = [name for name in ("torch", COMPILED.get(where.type)) if name in present]
        timings = take_turns({name: _bound(case.run, name, where) for name in rivals}, budget_s=budget_s)
        row: dict[str, Any] = {"operation": case.operation, "case": case.title, "bytes": case.num_bytes}
        row |= {name: vars(timing) for name, timing in timings.items()}
        least_ms = 1e3 * case.num_bytes / bytes_per_s
        row["roofline"] = {name: least_ms / timing.median_ms for name, timing in timings.items()}
        if len(rivals) == 2:
            row["ratio"] = timings["torch"].median_ms / timings[rivals[1]].median_ms
        rows.append(row)
    machine = describe()
    if where.type == "cuda":
        machine += f", {torch.cuda.get_device_name(where)}"
    return {"machine": machine, "device": str(where), "copy_bytes_per_s": bytes_per_s, "cases": rows}


def print_table(report: dict[str, Any]) -> None:
    """The report for people."""
    from rich.console import Console
    from rich.table import Table

    compiled = COMPILED.get(report["device"].split(":")[0], "compiled")
    copy = f"MB: least bytes to move; of a copy: their share of its {report['copy_bytes_per_s'] / 1e9:.0f} GB/s"
    caption = f"{report['machine']}. {copy}"
    table = Table(title=f"median (quartiles), ms, on {report['device']}", caption=caption)
    for heading in ("operation", compiled, "plain torch", "times slower", "MB", "of a copy"):
        table.add_column(heading, justify="left" if heading == "operation" else "right")
    for row in report["cases"]:
        timings = (_shown(row.get(name)) for name in (compiled, "torch"))
        share = row["roofline"].get(compiled, row["roofline"].get("torch"))
        ratio = f"{row['ratio']:.1f}" if "ratio" in row else ""
        table.add_row(row["case"], *timings, ratio, f"{row['bytes'] / 1e6:.1f}", f"{share:.0%}")
    Console().print(table)


def _shown(timing: dict[str, float] | None) -> str:
    if timing is None:
        return ""
    found = Timing(**timing)  # type: ignore[arg-type]
    digits = 2 if found.median_ms < 10 else 0
    return f"{found.median_ms:.{digits}f} ({found.low_ms:.{digits}f}-{found.high_ms:.{digits}f})"


def _bound(run: Callable[[Backend], Any], backend: Any, device: torch.device) -> Callable[[], Any]:
    def call() -> None:
        run(backend)
        wait_for(device)

    return call
