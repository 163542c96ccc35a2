"""One stage under Lightning's Trainer: resumable, interruptible, cheap per step."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, IterableDataset

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError


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


class Interrupt(lightning.Callback):
    """Ends every stage early once the user has pressed Ctrl+C; a second Ctrl+C quits at once."""

    def __init__(self, outcome: str = "finishing with the mesh there is") -> None:
        """`outcome` tells the user what becomes of the run."""
        self.requested, self.outcome = False, outcome

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT for a wish to finish, as long as the block runs."""
        before = signal.signal(signal.SIGINT, self._request)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.should_stop or self.requested

    def _request(self, *_: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print(f"Stopping: {self.outcome}. Press Ctrl+C again to quit at once.", flush=True)


def saved_stage(checkpoint: Path) -> tuple[str, int]:
    """Which stage a run's checkpoint belongs to, and how many steps of it were done. InputError if it is not there."""
    if not checkpoint.is_file():
        raise InputError(f"{checkpoint}: expected the checkpoint of an unfinished run")
    saved = torch.load(checkpoint, weights_only=True, map_location="cpu")
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
    runner = lightning.Trainer(**{**trainer, **place(device)}, max_steps=steps, callbacks=callbacks)
    module.train()  # Lightning leaves parts that an earlier stage put into eval mode as they are
    runner.fit(module, DataLoader(Steps(), batch_size=None), ckpt_path=checkpoint, weights_only=True)
    module.to(device)  # from the CPU, where Lightning leaves it


def place(device: torch.device) -> dict[str, Any]:
    """Trainer's arguments for one process on one device."""
    return {"accelerator": device.type, "devices": [device.index or 0] if device.type == "cuda" else 1}
