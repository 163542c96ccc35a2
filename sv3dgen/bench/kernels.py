"""Each kernel against its plain-torch reference and what else is installed, and how near each comes to the roofline."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from sv3dgen.bench.copy_speed import copy_speed
from sv3dgen.bench.drjit_grid import check_drjit
from sv3dgen.bench.kernel_case import Case
from sv3dgen.bench.kernel_cases import cases
from sv3dgen.bench.machine import describe
from sv3dgen.bench.timing import Timing, take_turns
from sv3dgen.devices import find_device
from sv3dgen.errors import InputError
from sv3dgen.kernels.accelerators import ACCELERATORS
from sv3dgen.kernels.backend import IMPLEMENTATIONS, Backend, runs_on
from sv3dgen.kernels.matrix_speed import matrix_flops, wait_for

PEERS = ("drjit",)
COMPILED = {"cpu": "numba", "cuda": "triton"}  # what stands against plain torch, by the type of the device


def measure(
    budget_s: float = 4.0, only: Sequence[str] = (), device: str = "auto", peers: Sequence[str] = ()
) -> dict[str, Any]:
    """Time every case whose operation is in `only` (all, if empty) with its tensors on `device`.

    `peers` names other people's code that takes its turns where a case has it: "drjit" on a CPU.

    `ratio` is plain torch's median over the compiled version's. The roofline's time is that of a copy of the case's
    least bytes, or of its operations at the rate of a product of float32 matrices, whichever is longer, at the speeds
    measured here first; `roofline` is its share of each implementation's median: above 1 where caches help.
    """
    if budget_s < 0:
        raise InputError(f"--budget-s {budget_s:g}: expected seconds, 0 or more")
    for name in only:
        if name not in IMPLEMENTATIONS:
            raise InputError(f"--only {name}: no such operation, expected some of {', '.join(IMPLEMENTATIONS)}")
    where = find_device(device)
    if "drjit" in peers:
        if where.type != "cpu":
            raise InputError(f"--drjit: its turns are on the CPU; expected --device cpu, got {where}")
        check_drjit()
    bytes_per_s, operations_per_s = copy_speed(where), matrix_flops(where, torch.float32)
    rows = []
    for case in cases(where):
        if only and case.operation not in only:
            continue
        rivals = _rivals(case, where)
        calls = {name: _bound(case.run, name, where) for name in rivals}
        calls |= {name: case.peers[name]() for name in peers if name in case.peers}
        timings = take_turns(calls, budget_s=budget_s)
        row: dict[str, Any] = {"operation": case.operation, "case": case.title}
        row |= {"bytes": case.num_bytes, "operations": case.num_operations}
        row |= {name: vars(timing) for name, timing in timings.items()}
        copy_ms, compute_ms = 1e3 * case.num_bytes / bytes_per_s, 1e3 * case.num_operations / operations_per_s
        row["roofline_ms"], row["bound"] = max((copy_ms, "memory"), (compute_ms, "arithmetic"))
        row["roofline"] = {name: row["roofline_ms"] / timing.median_ms for name, timing in timings.items()}
        if (compiled := COMPILED.get(where.type)) in timings:
            row["ratio"] = timings["torch"].median_ms / timings[compiled].median_ms
        rows.append(row)
    machine = describe()
    if where.type == "cuda":
        machine += f", {torch.cuda.get_device_name(where)}"
    speeds = {"copy_bytes_per_s": bytes_per_s, "matrix_operations_per_s": operations_per_s}
    return {"machine": machine, "device": str(where), **speeds, "cases": rows}


def print_table(report: dict[str, Any]) -> None:
    """The report for people."""
    from rich.console import Console
    from rich.table import Table

    compiled = COMPILED.get(report["device"].split(":")[0], "compiled")
    others = [name for name in (*ACCELERATORS, *PEERS) if any(name in row for row in report["cases"])]
    caption = f"{report['machine']}. Roofline: MB, the least to move, at the speed of a copy here, "
    caption += f"{report['copy_bytes_per_s'] / 1e9:.1f} GB/s read and written; or Mflop at the rate of float32 "
    caption += f"matrices, {report['matrix_operations_per_s'] / 1e9:.0f} Gflop/s (*); %: its share of the median"
    table = Table(title=f"median (quartiles), ms, on {report['device']}", caption=caption)
    for heading in ("operation", compiled, "plain torch", "times slower", *others, "MB", "Mflop", "roofline"):
        table.add_column(heading, justify="left" if heading == "operation" else "right")
    for row in report["cases"]:
        ratio = f"{row['ratio']:.1f}" if "ratio" in row else ""
        size = f"{row['bytes'] / 1e6:.1f}", f"{row['operations'] / 1e6:.1f}"
        roofline = f"{row['roofline_ms']:.2g}{'' if row['bound'] == 'memory' else ' *'}"
        columns = [_shown(row, compiled), _shown(row, "torch"), ratio, *(_shown(row, name) for name in others)]
        table.add_row(row["case"], *columns, *size, roofline)
    Console().print(table)


def _rivals(case: Case, where: torch.device) -> list[str]:
    """Plain torch, the compiled version and an accelerator, as far as they are here and have code for the case."""
    names = ("torch", COMPILED.get(where.type), *ACCELERATORS)
    return [name for name in names if name in case.implementations and name in runs_on(case.operation, where)]


def _shown(row: dict[str, Any], name: str) -> str:
    if name not in row:
        return ""
    found = Timing(**row[name])
    digits = 2 if found.median_ms < 10 else 0
    spread = f"{found.low_ms:.{digits}f}-{found.high_ms:.{digits}f}"
    share = row["roofline"][name]
    return f"{found.median_ms:.{digits}f} ({spread})\n{share:.{0 if share >= 0.1 else 1}%}"


def _bound(run: Callable[[Backend], Any], backend: Any, device: torch.device) -> Callable[[], Any]:
    def call() -> None:
        run(backend)
        wait_for(device)

    return call
