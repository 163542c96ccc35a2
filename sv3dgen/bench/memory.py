"""Memory of each part of SV3D at full size, with random weights: what is counted against what a real call takes."""

import ctypes
import gc
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sv3dgen.bench.machine import describe
from sv3dgen.errors import InputError
from sv3dgen.runs.stage_timer import StageTimer
from sv3dgen.sv3d.checkpoint.load import build_parts
from sv3dgen.sv3d.config import SV3DConfig, sv3d_p
from sv3dgen.sv3d.footprint import STAGES, USABLE, Work, activation_bytes, placed, plan_peak, stage_call, weight_bytes
from sv3dgen.sv3d.memory import PLANS, PRECISIONS, MemoryPlan

_SPREAD = 0.02  # of random weights: large enough that nothing underflows, small enough that nothing overflows
_WARM_UP_PX = 64
_M_MMAP_THRESHOLD = -3  # of mallopt: smallest block in bytes that is not kept for later when it is freed
_EVERY_FULL: tuple[tuple[Work, int], ...] = (
    (Work(stage="image encoder", count=1), 576),
    (Work(stage="VAE encoder", count=1), 576),
    *((Work(stage="VAE decoder", count=count), 576) for count in (1, 2, 4, 7)),
    *((Work(stage="UNet", count=halves, weights="float16", autocast="float16"), 576) for halves in (1, 2)),
    *((Work(stage="UNet", count=halves, autocast="float16"), 576) for halves in (1, 2)),
)
# What a processor with bfloat16 gets through in a few minutes.
_ON_CPU: tuple[tuple[Work, int], ...] = (
    (Work(stage="image encoder", count=1), 576),
    (Work(stage="VAE encoder", count=1), 576),
    (Work(stage="VAE decoder", count=1), 576),
    *((Work(stage="VAE decoder", count=count, weights="bfloat16"), 576) for count in (1, 2, 4, 7)),
    *((Work(stage="UNet", count=1, weights="bfloat16"), size) for size in (256, 384, 576)),
    (Work(stage="UNet", count=2, weights="bfloat16"), 256),
    (Work(stage="UNet", count=1, weights="bfloat16", autocast="bfloat16"), 256),
    (Work(stage="UNet", count=1, autocast="bfloat16"), 256),
)


def measure(device: str = "cpu", only: Sequence[str] = (), *, run: bool = True) -> dict[str, Any]:
    """Calls of every part next to their computed numbers, and each plan's computed peak; `run` nothing for these alone.

    `only` words in the names of stages. On a CPU a call's memory is the growth of the process, on a GPU what torch's
    allocator gave out. Raises InputError for a device that is not there.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {device}: no such GPU here, expected one, or cpu")
    config = sv3d_p()
    cases = _ON_CPU if torch.device(device).type == "cpu" else _EVERY_FULL
    chosen = [(work, size) for work, size in cases if not only or any(word in work.stage.lower() for word in only)]
    return {
        "machine": describe() if torch.device(device).type == "cpu" else torch.cuda.get_device_name(device),
        "weights": {
            part: {name: weight_bytes(config, part, name) for name in PRECISIONS}
            for part in ("unet", "image_encoder", "vae")
        },
        "calls": [_told(measure_call(config, work, size, device)) for work, size in chosen] if run else [],
        "plans": [plan_row(config, name, plan) for name, plan in PLANS.items()],
    }


def measure_call(config: SV3DConfig, work: Work, size_px: int, device: str) -> dict[str, Any]:
    """Bytes that one call takes above the weights and inputs: counted on fake tensors, and of a real call."""
    part = placed(getattr(build_parts(config), STAGES[work.stage]), PRECISIONS[work.weights], device, _random)
    with torch.no_grad(), MemoryPlan(autocast=work.autocast).computing(torch.device(device)):
        stage_call(part, config, work, device, _WARM_UP_PX)[0]()  # what libraries set up once is not the call's
        call, _ = stage_call(part, config, work, device, size_px)
        start = time.perf_counter()
        taken = _gpu_growth(call, device) if torch.device(device).type == "cuda" else _growth(call)
        seconds = time.perf_counter() - start
    del part, call
    gc.collect()
    counted = activation_bytes(config, work, size_px)
    return {
        "stage": work.stage,
        "work": _in_words(work),
        "size_px": size_px,
        "counted_bytes": counted,
        "measured_bytes": taken,
        "seconds": seconds,
    }


def plan_row(config: SV3DConfig, name: str, plan: MemoryPlan) -> dict[str, Any]:
    """A plan's computed peak in every stage, and what its name allows."""
    stages = plan_peak(config, plan)
    limit = USABLE * float(name.removesuffix("gb")) * 1e9 if name.endswith("gb") else None
    return {"plan": name, "stages": stages, "peak_bytes": max(stages.values()), "usable_bytes": limit}


def markdown(report: dict[str, Any]) -> str:
    """Three tables; GB are 10^9 bytes."""
    lines = ["| weights | " + " | ".join(PRECISIONS) + " |", "|---|" + "---:|" * len(PRECISIONS)]
    for part, sizes in report["weights"].items():
        lines.append(f"| {part} | " + " | ".join(_gb(size) for size in sizes.values()) + " |")
    if report["calls"]:
        lines += ["", f"Real calls on: {report['machine']}", ""]
        lines += [
            "| call | px | counted, GB | measured, GB | measured / counted | s |",
            "|---|---:|---:|---:|---:|---:|",
        ]
    for row in report["calls"]:
        lines.append(_call_line(row))
    stages = list(STAGES)
    lines += [
        "",
        "| plan | " + " | ".join(stages) + " | peak, GB | usable, GB |",
        "|---|" + "---:|" * (len(stages) + 2),
    ]
    for row in report["plans"]:
        usable = "" if row["usable_bytes"] is None else _gb(row["usable_bytes"])
        cells = [_gb(row["stages"][stage]) for stage in stages]
        lines.append(f"| {row['plan']} | " + " | ".join(cells) + f" | **{_gb(row['peak_bytes'])}** | {usable} |")
    return "\n".join(lines)


def _call_line(row: dict[str, Any]) -> str:
    ratio = row["measured_bytes"] / row["counted_bytes"]
    return (
        f"| {row['stage']}, {row['work']} | {row['size_px']} | {_gb(row['counted_bytes'])} "
        f"| {_gb(row['measured_bytes'])} | {ratio:.2f} | {row['seconds']:.0f} |"
    )


def _told(row: dict[str, Any]) -> dict[str, Any]:
    print(_call_line(row), file=sys.stderr, flush=True)
    return row


def _in_words(work: Work) -> str:
    unit = {"VAE decoder": "frame", "UNet": "half"}.get(work.stage, "picture")
    many = "halves" if unit == "half" else f"{unit}s"
    count = f"{work.count} {unit if work.count == 1 else many}"
    of_frames = f" of {work.frames} frames" if work.stage == "UNet" else ""
    return f"{count}{of_frames}, {work.weights}" + (f" + autocast {work.autocast}" if work.autocast else "")


def _growth(call: Any) -> int:
    """Growth of the process's resident memory at its peak during a call."""
    _return_freed_memory()
    before = _resident_bytes()
    with StageTimer() as timer:
        result = call()
    assert timer.cost is not None
    del result
    return timer.cost.peak_memory_bytes - before


def _return_freed_memory() -> None:
    """Have the C library give back what is freed, now and at once from here on, so that growth is what is in use."""
    try:
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_M_MMAP_THRESHOLD, 1 << 18)
        library.malloc_trim(0)
    except (OSError, AttributeError):
        return  # another C library; the growth may hold more than is in use


def _gpu_growth(call: Any, device: str) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    result = call()
    torch.cuda.synchronize(device)
    del result
    return torch.cuda.max_memory_allocated(device) - before


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise InputError("/proc/self/status: no VmRSS in it; on a CPU this is measured on Linux")


def _random(values: Tensor) -> Tensor:
    return values.uniform_(-_SPREAD, _SPREAD)


def _gb(size: float | int) -> str:
    return f"{size / 1e9:.2f}"
