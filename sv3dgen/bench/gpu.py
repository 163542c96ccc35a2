"""All that only a GPU can tell, in one short visit: parts in turn, each with a limit, and a page that grows with them.

A part is a command of its own, so that one that fails, hangs or runs out of memory takes nothing with it. What it says
goes to OUT/NAME.log; OUT/report.md is written anew after each part.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from sv3dgen.atomic import atomic_write
from sv3dgen.bench.machine import describe
from sv3dgen.parallel.cores import usable_cores

CHECKOUT = Path(__file__).parents[2]
LAUNCH = str(CHECKOUT / "launch.py")
LINES_SHOWN = 60  # of what a part says, in the report
RESERVE_S = 40.0
TO_FINISH_S = 60.0  # after a signal, for weights to be written
NEVER = 1_000_000  # steps of a training that a signal ends


@dataclass(frozen=True)
class Part:
    """A command, what it is for, and the seconds that it may take."""

    name: str
    about: str
    command: tuple[str, ...]
    limit_s: float | None  # None: all that is left, but for RESERVE_S for each part after it
    ends_by_signal: bool = False  # at its limit it is asked to finish, and that is no failure
    result: Callable[[Path], str] | None = None  # what to show of the folder it wrote to, in place of what it said


def visit(parts: Sequence[Part], out: Path, minutes: float) -> list[dict[str, Any]]:
    """Run the parts in order, within `minutes` together; the rows of the report. What there is no time for is told."""
    end = perf_counter() + 60 * minutes
    rows: list[dict[str, Any]] = []
    out.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts, 1):
        left = end - perf_counter()
        if part.limit_s is None:
            left -= RESERVE_S * (len(parts) - number)
        print(f"{part.name}: {part.about} ...", file=sys.stderr, flush=True)
        if left < 1:
            rows.append({"part": part.name, "about": part.about, "state": "left out: no time", "seconds": 0.0})
        else:
            rows.append(_run(part, left if part.limit_s is None else min(part.limit_s, left), out))
        with atomic_write(out / "report.md") as path:
            path.write_text(markdown(rows), encoding="utf-8")
        with atomic_write(out / "report.json") as path:
            path.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    return rows


def _run(part: Part, limit_s: float, out: Path) -> dict[str, Any]:
    start, log = perf_counter(), out / f"{part.name}.log"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            part.command, stdout=file, stderr=subprocess.STDOUT, cwd=CHECKOUT, start_new_session=os.name != "nt"
        )
        try:
            state = _ending(process.wait(limit_s))
        except subprocess.TimeoutExpired:
            state = f"stopped at its limit of {limit_s:.0f} s"
            if part.ends_by_signal:
                state = _asked_to_finish(process)
        finally:
            _end(process)
    shown = log.read_text(encoding="utf-8", errors="replace").strip()
    if part.result is not None and state in ("done", "done, asked to finish"):
        shown = part.result(out)
    return {
        "part": part.name,
        "about": part.about,
        "state": state,
        "seconds": perf_counter() - start,
        "shown": "\n".join(shown.splitlines()[-LINES_SHOWN:]),
    }


def _ending(status: int) -> str:
    return "done" if status == 0 else f"failed, exit status {status}"


def _asked_to_finish(process: subprocess.Popen[bytes]) -> str:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(TO_FINISH_S)
        return "done, asked to finish"
    except subprocess.TimeoutExpired:
        return "did not finish when asked to"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, and what it has started."""
    if os.name == "nt":
        process.kill()
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


@dataclass(frozen=True)
class Sizes:
    """What the parts are asked for; `TOY` is what a CPU can carry."""

    tests: tuple[str, ...] = ("tests/sv3dgen/kernels", "tests/systems/test_stage_devices.py")
    kernels: tuple[str, ...] = ("--budget-s", "0.5")
    stages: tuple[str, ...] = ("preset=gpu",)
    memory: tuple[str, ...] = ()
    objects: int = 16 * usable_cores()
    held_back: int = 4
    training: tuple[str, ...] = (f"train.steps={NEVER}",)


TOY = Sizes(
    tests=("tests/sv3dgen/kernels/test_normal_consistency.py",),
    kernels=("--budget-s", "0.01", "--only", "normal_consistency"),
    stages=("preset=cpu", "coarse.steps=12", "fine.steps=8", "export.turntable_frames=2"),
    memory=("--computed", "--only", "image"),
    objects=2,
    held_back=1,
    training=("train.steps=2", "batches.batch=1", "validation=null"),
)


def gpu_parts(out: Path, views: Path, device: str, train_minutes: float | None, sizes: Sizes) -> list[Part]:
    """What a GPU is asked for, the most telling first."""
    python, out = sys.executable, out.resolve()
    bench = (python, "-m", "sv3dgen.bench")
    data, trained = out / "data", out / "training"
    orbits = ("--procedural", str(sizes.objects), "--split-test", str(sizes.held_back), "--out", str(data))
    train = ("system=sv3d_finetune", "curriculum=sv3d_tiny", "weights=sv3d_tiny", f"data={data}", f"device={device}")
    stages = ("system=sv3d_dmtet", f"views={views.resolve()}", f"device={device}", *sizes.stages)
    score = (python, "-m", "sv3dgen.evaluate_nvs", "--data", str(data), "--device", device, "--weights")
    return [
        Part("doctor", "what is there", (python, "-m", "sv3dgen.doctor"), 60.0),
        Part(
            "tests",
            "kernels and stages against their references, on the device",
            (python, "-m", "pytest", "-q", "-n", "0", "--device", device, *sizes.tests),
            150.0,
        ),
        Part("kernels", "each against plain torch", (*bench, "kernels", "--device", device, *sizes.kernels), 90.0),
        Part(
            "stages",
            "views of an object to a mesh",
            (python, LAUNCH, *stages, f"hydra.run.dir={out / 'run'}"),
            150.0,
            result=run_table,
        ),
        Part("memory", "SV3D_p's parts, random weights", (*bench, "memory", "--device", device, *sizes.memory), 90.0),
        Part("data", "orbits to train on, by all cores", (python, "-m", "sv3dgen.render_dataset", *orbits), 60.0),
        Part(
            "training",
            "SV3D-tiny, from the weights in the box",
            (python, LAUNCH, *train, *sizes.training, f"hydra.run.dir={trained}"),
            None if train_minutes is None else 60 * train_minutes,
            ends_by_signal=True,
        ),
        Part("before", "SV3D-tiny on held-back orbits, as it comes", (*score, "sv3d_tiny"), 60.0),
        Part("after", "the same after that training", (*score, str(trained / "weights" / "model.safetensors")), 60.0),
    ]


def run_table(out: Path) -> str:
    """Seconds, memory and likeness of the run in OUT/run."""
    card = json.loads((out / "run" / "run.json").read_text(encoding="utf-8"))
    lines = [f"{name}: {json.dumps(stage)}" for name, stage in card.get("stages", {}).items()]
    return "\n".join([*lines, f"metrics: {json.dumps(card.get('metrics', {}))}"])


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The report so far."""
    lines = ["# A visit to a GPU", "", f"Measured on: {describe()}.", "", "| part | seconds | |", "|---|---:|---|"]
    lines += [f"| {row['part']}: {row['about']} | {row['seconds']:.0f} | {row['state']} |" for row in rows]
    for row in rows:
        if row.get("shown"):
            lines += ["", f"## {row['part']}", "", "```", row["shown"], "```"]
    return "\n".join([*lines, ""])
