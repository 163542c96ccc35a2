"""One stage under Lightning's Trainer: resumable, interruptible, cheap per step."""

import errno
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch.utils.data import DataLoader, IterableDataset

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError, one_line
from sv3dgen.runs.stopping import Stopped, handled


class Steps(IterableDataset):
    """An endless stream of nothing: a step's batch follows from `global_step`, so that resuming needs no state."""

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 0


class LastCheckpoint(lightning.Callback):
    """Keeps `last.ckpt`, written whole or not at all, with the stage's name in it."""

    def __init__(self, path: Path, stage: str, every_steps: int):
        self.path, self.stage, self.every_steps = path, stage, every_steps

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step % self.every_steps == 0:
            self.save(trainer)

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self.save(trainer)

    def on_save_checkpoint(self, trainer: lightning.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["stage"] = self.stage
        checkpoint["random_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, trainer: lightning.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        torch.set_rng_state(checkpoint["random_state"])

    def save(self, trainer: lightning.Trainer) -> None:
        with atomic_write(self.path) as path:
            trainer.save_checkpoint(path)


class LastStep(lightning.Callback):
    """Ends a stage at its `last_step`, which it may have brought forward while it ran."""

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        self._settle(trainer, module)

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        self._settle(trainer, module)

    @staticmethod
    def _settle(trainer: lightning.Trainer, module: Any) -> None:
        trainer.fit_loop.epoch_loop.max_steps = module.last_step


class Restored(lightning.Callback):
    """Tells what goes wrong while a stage is restored from a checkpoint, which anybody may have written, from what goes
    wrong after it. To stand before all other callbacks."""

    def __init__(self, checkpoint: Path | None):
        self.checkpoint = checkpoint  # None: the stage begins
        self._is_done = False

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Steps of optimizers write into what they keep for a parameter without looking how large it is."""
        for optimizer in trainer.optimizers:
            for parameter, state in optimizer.state.items():
                for name, kept in state.items():
                    if isinstance(kept, torch.Tensor) and kept.numel() != 1 and kept.shape != parameter.shape:
                        found, expected = tuple(kept.shape), tuple(parameter.shape)
                        raise ValueError(f"{name} of an optimizer has the shape {found}, expected {expected}")
        self._is_done = True

    @contextmanager
    def told(self) -> Iterator[None]:
        """InputError for whatever a checkpoint leads to before the first step."""
        try:
            yield
        except (InputError, OSError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # what readers of tensors raise for damaged files is of all kinds
            if self.checkpoint is None or self._is_done:
                raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
            raise InputError(
                f"{self.checkpoint}: damaged, or of another run ({one_line(reason)[:120]}); expected it as the run "
                "wrote it, or removed: then the run starts again"
            ) from error


class WrittenInPlace(TorchCheckpointIO):
    """Checkpoints written straight to their path.

    Lightning's own way is through the system's temporary folder, whose disk may be full where the run's is not.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, path)


class Interrupt(lightning.Callback):
    """Ends a run early on a signal.

    Ctrl+C ends every stage with what it has; a second one quits at once. What a scheduler sends (`ENDING`) has a stage
    write its checkpoint after the step that it is in, and then raises Stopped. It comes after all other callbacks.
    """

    def __init__(self, outcome: str = "finishing with the mesh there is") -> None:
        """`outcome` tells the user what becomes of the run."""
        self.requested, self.outcome = False, outcome
        self.where: tuple[str, int, int] | None = None  # stage, step, of how many, at which a stage was ended
        self._ended_by: int | None = None
        self._quits = False
        self._stage, self._save, self._training = "", None, False

    @property
    def is_asked(self) -> bool:
        """Whether a signal wants an end: of this stage with what it has, or of the run."""
        return self.requested or self._ended_by is not None

    def finish(self) -> None:
        """As the first Ctrl+C: end every stage with what it has."""
        if not self.requested:
            self.requested = True
            print(f"Stopping: {self.outcome}. Press Ctrl+C again to quit at once.", flush=True)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals as long as the block runs."""
        with handled(self._request, (signal.SIGINT,)), handled(self._end):
            yield

    def of(self, stage: str, save: Callable[[lightning.Trainer], None]) -> "Interrupt":
        """Itself, for the stage that begins; `save` writes its checkpoint."""
        self._stage, self._save = stage, save
        return self

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        self._training = True
        self._again = ExitStack()
        self._again.enter_context(handled(self._end))  # Lightning has just put handlers of its own before these

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._quit_if_asked()
        trainer.should_stop = trainer.should_stop or self.requested

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if (index + 1) % trainer.accumulate_grad_batches:
            return
        ended = self._ended_by is not None
        if trainer.world_size > 1:  # the processes save together
            ended = trainer.strategy.reduce_boolean_decision(ended, all=False)
        if ended and self._save is not None:
            self._note(trainer)
            self._save(trainer)
            raise Stopped(self._ended_by or signal.SIGTERM)

    def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
        if self.requested:
            self._note(trainer)
        self._leave()
        self._quit_if_asked()
        if self._ended_by is not None:  # in the last step, whose checkpoint is written
            raise Stopped(self._ended_by)

    def on_exception(self, trainer: lightning.Trainer, module: Any, exception: BaseException) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._training:
            self._training = False
            self._again.close()

    def _quit_if_asked(self) -> None:
        if self._quits:  # its exception was lost: Python ignores a finalizer's, and a preview's failure is only told
            raise Stopped(signal.SIGINT)

    def _note(self, trainer: lightning.Trainer) -> None:
        self.where = self._stage, trainer.global_step, trainer.max_steps

    def _request(self, *_: Any) -> None:
        if self.requested:
            self._quits = True
            raise Stopped(signal.SIGINT)  # no KeyboardInterrupt, of which Lightning makes an exit with status 1
        self.finish()

    def _end(self, number: int, *_: Any) -> None:
        if not self._training:
            raise Stopped(number)
        self._ended_by = number


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a run's checkpoint holds. Raises InputError where it is not there, damaged, or something else."""
    if not path.is_file():
        raise InputError(f"{path}: expected the checkpoint of an unfinished run")
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
        known = isinstance(saved["stage"], str) and isinstance(saved["global_step"], int)
    # torch raises all of these for files that are cut short, or are something else
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError, IndexError, UnpicklingError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        known, saved = False, {}
    if not known:
        raise InputError(
            f"{path}: damaged, or not written by a run; expected it whole, or removed: then the run starts again"
        )
    return saved


def saved_stage(checkpoint: Path) -> tuple[str, int]:
    """Which stage a run's checkpoint belongs to, and how many steps of it were done. InputError if it is not there."""
    saved = read_checkpoint(checkpoint)
    return saved["stage"], saved["global_step"]


def fit(
    module: lightning.LightningModule,
    *,
    steps: int,
    trainer: Mapping[str, Any],
    callbacks: list[lightning.Callback],
    checkpoint: Path | None = None,
) -> None:
    """Run a stage for `steps` steps in all, on the device that it is on, from `checkpoint` where given.

    `trainer` holds Trainer's other arguments.
    """
    device = module.device
    given = {**trainer, **place(device), "plugins": [*(trainer.get("plugins") or ()), WrittenInPlace()]}
    restored = Restored(checkpoint)
    runner = lightning.Trainer(**given, max_steps=steps, callbacks=[restored, *callbacks])
    module.train()  # Lightning leaves parts that an earlier stage put into eval mode as they are
    with restored.told():
        runner.fit(module, DataLoader(Steps(), batch_size=None), ckpt_path=checkpoint, weights_only=True)
    module.to(device)  # from the CPU, where Lightning leaves it


def place(device: torch.device) -> dict[str, Any]:
    """Trainer's arguments for one process on one device."""
    return {"accelerator": device.type, "devices": [device.index or 0] if device.type == "cuda" else 1}
