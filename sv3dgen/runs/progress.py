"""What a person sees: one line per stage while it runs, and at the end where the mesh is and what it took."""

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from io import TextIOBase
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from torch import Tensor

from sv3dgen.runs.progress_file import ProgressFile
from sv3dgen.runs.stage_timer import StageCost

TERMINAL_REFRESH_S = 0.2
PLAIN_REFRESH_S = 5.0
WINDOW = 20  # refreshes that the speed is the mean of


class StageLine:
    """Steps, seconds left, loss and it/s of one stage: a live line in a terminal, a line every 5 s elsewhere.

    The clock is looked at in each step, the loss is read (which waits for a GPU) only when the line is refreshed.
    """

    def __init__(self, stage: str, *, stream: TextIOBase | None = None, note: Callable[[], str] | None = None):
        """`stream` defaults to stdout. `note` is asked for what else there is to say, whenever the line is shown."""
        self.stage, self.note = stage, note
        self.stream = sys.stdout if stream is None else stream
        self.live = self.stream.isatty()
        self._for_programs = ProgressFile(stage)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._started: float | None = None  # until the first step is near, there is nothing to show

    def start(self, step: int, total: int) -> None:
        """Begin after `step` steps; a `total` of 0 is an open end."""
        self._first, self._step, self._total = step, step, total
        self._loss: float | None = None
        self._read_loss: Callable[[], float | None] = lambda: None
        self._started = self._refreshed = perf_counter()
        self._for_programs.tell(step, total, now=True)
        # (time, step) of the last refreshes; without the first step, which may compile kernels for half a minute
        self._marks: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        if self.live:
            self._bar = Progress(
                TextColumn("{task.description:<8}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rest]}"),
                console=Console(file=self.stream),  # type: ignore[arg-type]  (a TextIOBase is an IO[str])
                auto_refresh=False,
            )
            self._task = self._bar.add_task(self.stage, total=total or None, completed=step, rest="")
            self._bar.start()

    def ends_at(self, total: int) -> None:
        """The end is at another step than was said when it began."""
        if total != self._total:
            self._total = total
            if self._bar is not None:
                self._bar.update(self._task, total=total or None)

    def advance(self, read_loss: Callable[[], float | None] = lambda: None) -> None:
        """Count one step; its loss is read where the line is shown, because a GPU has to be waited for then."""
        self._step += 1
        self._read_loss = read_loss
        self._for_programs.tell(self._step, self._total, now=self._step == self._total)
        now = perf_counter()
        if not self._marks:
            self._marks.append((now, self._step))
        if now - self._refreshed >= (TERMINAL_REFRESH_S if self.live else PLAIN_REFRESH_S):
            self._refreshed = now
            self._show(now)
            self._marks.append((now, self._step))

    def close(self) -> None:
        """Show the last state once, and give the terminal back. Safe to call twice."""
        if self._bar is not None:
            self._show(perf_counter())
            self._bar.stop()
            self._bar = None
        elif not self.live:
            self._show(perf_counter())

    def _show(self, now: float) -> None:
        """One line, with the speed since the oldest mark; the last line of a stage has that of the whole stage."""
        if self._started is None:
            return
        elapsed_s, loss = now - self._started, self._read_loss()
        self._loss = self._loss if loss is None else loss
        since, first = self._marks[0] if self._marks and self._step < self._total else (self._started, self._first)
        rate = (self._step - first) / (now - since) if self._step > first else 0.0
        rest = status(self._step, self._total, elapsed_s, rate, self._loss)
        note = "" if self.note is None else self.note()
        rest += f", {note}" if note else ""
        if self._bar is not None:
            self._bar.update(self._task, completed=self._step, rest=rest, refresh=True)
        else:
            of = f"/{self._total}" if self._total else ""
            print(f"{self.stage:<8} {self._step}{of} steps, {rest}", file=self.stream, flush=True)


class ProgressLine(lightning.Callback):
    """The line of a stage that Lightning trains."""

    def __init__(
        self,
        stage: str,
        *,
        total_steps: int | None = None,
        stream: TextIOBase | None = None,
        note: Callable[[], str] | None = None,
    ):
        """`total_steps` defaults to the trainer's max_steps; `stream` and `note` are the line's."""
        self.line, self.total_steps = StageLine(stage, stream=stream, note=note), total_steps

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.line.start(_steps_done(trainer), self.total_steps or max(trainer.max_steps, 0))

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self.total_steps is None:
            self.line.ends_at(max(trainer.max_steps, 0))
        self.line.advance(lambda: _loss(outputs))

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.line.close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self.line.close()


def status(step: int, total: int, elapsed_s: float, rate: float, loss: float | None) -> str:
    """`12 s left, loss 0.0123, 45.6 it/s`, or the seconds it took at the end; `total` 0 is an open end."""
    parts = []
    if step >= total > 0:
        parts.append(f"{elapsed_s:.0f} s")
    elif total and rate > 0:
        parts.append(f"{(total - step) / rate:.0f} s left")
    if loss is not None:
        parts.append(f"loss {loss:.4g}")
    parts.append(f"{rate:.1f} it/s")
    return ", ".join(parts)


def summary(what: str, path: Path, stages: Mapping[str, StageCost], warnings: Sequence[str] = ()) -> str:
    """The last words of a run: where what it made is, how long each stage took, its peak memory; how many warnings."""
    width = max((len(name) for name in stages), default=0)
    lines = [
        f"  {name:<{width}}  {cost.seconds:7.1f} s  {cost.peak_memory_bytes / 2**30:5.2f} GiB"
        + (f"  {cost.peak_gpu_memory_bytes / 2**30:5.2f} GiB GPU" if cost.peak_gpu_memory_bytes else "")
        + ("" if cost.finished else "  (stopped early)")
        for name, cost in stages.items()
    ]
    total = f"  {'total':<{width}}  {sum(cost.seconds for cost in stages.values()):7.1f} s"
    told = f"{len(warnings)} warning{'s' if len(warnings) > 1 else ''}, in the log and in run.json"
    return "\n".join([f"{what}: {path}", *lines, total, *([told] if warnings else [])])


def _loss(outputs: Any) -> float | None:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    return float(loss) if isinstance(loss, Tensor | float | int) else None


def _steps_done(trainer: lightning.Trainer) -> int:
    """Training steps done so far, also by the run that this one resumes; `global_step` counts every optimizer's."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.completed
