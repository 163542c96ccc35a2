"""What watches over a training run: its checkpoints, the weights it gives away, and how fast it is."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

import lightning
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sv3dgen.atomic import flush_to_disk
from sv3dgen.errors import InputError
from sv3dgen.kernels.matrix_speed import matrix_flops
from sv3dgen.parallel.cores import usable_cores
from sv3dgen.sv3d.training.sharding import whole
from systems.fitting import LastCheckpoint
from systems.training.batches import TimedLoader

log = logging.getLogger(__name__)

MUCH_WAITING = 0.1  # of a run's time


@runtime_checkable
class Exportable(Protocol):
    """A module that can write what it has learned as a model file. All processes ask it to, the first one writes."""

    def save_weights(self, path: Path) -> None: ...


def check_loss(trainer: lightning.Trainer, loss: Tensor, names: Sequence[str]) -> None:
    """Raise InputError in all processes where the loss of one isn't finite: left alone, the others would wait for it.

    `names` are the objects of this process's batch.
    """
    finite = bool(loss.isfinite())
    if trainer.strategy.reduce_boolean_decision(finite):
        return
    step = trainer.global_step
    if finite:
        raise InputError(f"step {step}: the loss of another process is not finite, which names its batch's objects")
    raise InputError(f"step {step}: the loss is {loss.item()}; the batch's objects: {', '.join(names)}")


class TrainingCheckpoint(LastCheckpoint):
    """Keeps `last.ckpt` of a run on any number of processes, which all have to save together.

    Between two steps of the optimizer there is nothing to go on with, and with weights that are not finite neither: the
    checkpoint before is kept then.
    """

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if at_step(trainer, index, self.every_steps):
            self.save(trainer)

    def save(self, trainer: lightning.Trainer) -> None:
        trained = [parameter for parameter in trainer.lightning_module.parameters() if parameter.requires_grad]
        if not all(whole(parameter.detach()).isfinite().all() for parameter in trained):
            raise InputError(f"step {trainer.global_step}: weights are no longer finite; {self.path} is from before")
        partial = self.path.with_name(f".{self.path.name}.partial")  # of the same name in all processes
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            flush_to_disk(partial)
            os.replace(partial, self.path)


class Weights(lightning.Callback):
    """Writes the model file every `every_steps` steps (0: never) and at the end."""

    def __init__(self, path: Path, every_steps: int):
        self.path, self.every_steps = path, every_steps
        self._written = -1

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if self.every_steps and at_step(trainer, index, self.every_steps):
            self._write(trainer, module)

    def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
        if self._written != trainer.global_step:
            self._write(trainer, module)

    def _write(self, trainer: lightning.Trainer, module: Any) -> None:
        self._written = trainer.global_step
        if isinstance(module, Exportable):
            module.save_weights(self.path)


class Throughput(lightning.Callback):
    """Samples a second, the share of the machine's peak that they are, and how long data were waited for.

    Operations are counted once, over the whole first batch, forwards and backwards; the peak is that of a matrix
    product in bfloat16 or float32, whichever is faster, measured before the first step (`matrix_flops`). Time outside
    the steps, for pictures or checkpoints, is not counted.
    """

    def __init__(self) -> None:
        self.samples = self.batches = self.flops = 0
        self.seconds = 0.0
        self.peak = 0.0
        self._counter: FlopCounterMode | None = None
        self._started = self._waited_before = 0.0
        self._loader: Any = None

    @property
    def waited_s(self) -> float:
        loader = self._loader
        return loader.waited_s - self._waited_before if isinstance(loader, TimedLoader) else 0.0

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        self.peak = max(matrix_flops(module.device, dtype) for dtype in (torch.bfloat16, torch.float32))
        self._loader = trainer.train_dataloader

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Any, index: int) -> None:
        if self.batches == 0:
            self._counter = counter = FlopCounterMode(display=False)
            counter.__enter__()
        self._started = perf_counter()

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        self.batches += 1
        if self._counter is not None:  # this batch was slow: it was counted
            self._counter.__exit__(None, None, None)
            self.flops, self._counter = self._counter.get_total_flops(), None
            self._waited_before = getattr(self._loader, "waited_s", 0.0)
            return
        self.seconds += perf_counter() - self._started
        self.samples += len(batch.positions) * trainer.world_size

    def on_exception(self, trainer: lightning.Trainer, module: Any, exception: BaseException) -> None:
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self._counter = None

    def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
        if trainer.is_global_zero and self.samples:
            log.info(str(self))
            if advice := self.advice():
                log.warning(advice)

    def numbers(self) -> dict[str, float]:
        """What there is to tell, since the second batch."""
        seconds = self.seconds + self.waited_s
        if seconds == 0 or self.peak == 0:
            return {}
        return {
            "samples_per_s": self.samples / seconds,
            "share_of_peak": self.flops * (self.batches - 1) / seconds / self.peak,
            "share_waiting_for_data": self.waited_s / seconds,
            "gflops": self.flops * (self.batches - 1) / seconds / 1e9,
        }

    def advice(self) -> str:
        """What to do about a loader that was waited for too long, in one line; nothing where it was not.

        Latents that are kept do not help: they spare the encoder, and the loader reads them next to the pictures.
        """
        share = self.numbers().get("share_waiting_for_data", 0.0)
        if share <= MUCH_WAITING:
            return ""
        workers, cores = self._loader.num_workers, usable_cores()
        if workers < cores:
            fix = f"batches.workers={min(cores, 2 * max(workers, 1))} reads with more processes than the {workers} now"
        else:
            fix = f"with batches.workers={workers} on {cores} cores, a faster disk under the data set"
        return f"{share:.0%} of the training time went by waiting for data; {fix}"

    def __str__(self) -> str:
        """`8.4 samples/s, 41 % of the peak of 910 GFLOP/s, 0 % waiting for data`."""
        numbers = self.numbers()
        if not numbers:
            return ""
        return (
            f"{numbers['samples_per_s']:.3g} samples/s, {numbers['share_of_peak']:.0%} of the peak of "
            f"{self.peak / 1e9:.0f} GFLOP/s, {numbers['share_waiting_for_data']:.0%} waiting for data"
        )


def at_step(trainer: lightning.Trainer, batch_index: int, every_steps: int) -> bool:
    """Whether the batch that has just ended completed a step of the optimizer, and one whose turn it is."""
    complete = (batch_index + 1) % trainer.accumulate_grad_batches == 0
    return complete and trainer.global_step % every_steps == 0
