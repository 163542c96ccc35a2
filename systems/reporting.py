"""Every so often, what a stage's losses are, and what it draws beside what it should."""

from pathlib import Path
from typing import Any

import lightning
import torch

from sv3dgen.interfaces import ViewBatch
from sv3dgen.picture_log import log_guidance, log_pictures

PICTURE_PX = 128
PICTURE_VIEWS = 4


class Losses(lightning.Callback):
    """The module's last losses, unweighted, to the loggers as `stage/guidance/term`, every `every_steps` steps."""

    def __init__(self, stage: str, every_steps: int):
        self.stage, self.every_steps = stage, every_steps

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        if trainer.loggers and trainer.global_step % self.every_steps == 0:
            numbers = {f"{self.stage}/{name}": loss.item() for name, loss in module.last.losses.items()}
            for logger in trainer.loggers:
                logger.log_metrics(numbers, trainer.global_step)

    def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
        for logger in trainer.loggers:
            logger.save()


class Pictures(lightning.Callback):
    """Contact sheets of a few views, every `every_steps` steps and at the end, and what guidances keep; 0: none.

    The module gives its parts and `views`.
    """

    def __init__(self, folder: Path, every_steps: int):
        self.folder, self.every_steps = folder, every_steps

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        if self.every_steps and trainer.global_step % self.every_steps == 0:
            self.draw(trainer, module)
        if self.every_steps and module.last.pictures:  # a guidance says itself when it has any
            log_guidance(module.last.pictures, trainer.global_step, stage_folder=self.folder, loggers=trainer.loggers)

    def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
        if self.every_steps and trainer.global_step % self.every_steps:
            self.draw(trainer, module)

    @torch.no_grad()
    def draw(self, trainer: lightning.Trainer, module: Any) -> None:
        frames = module.views.resized(PICTURE_PX)
        frames = frames[:: max(1, len(frames) // PICTURE_VIEWS)][:PICTURE_VIEWS]
        batch = ViewBatch(frames.cameras, None, frames.rgba[:, :3], frames.rgba[:, 3:])
        module.eval()
        render = module.renderer(module.geometry, module.material, frames.cameras)
        module.train()
        log_pictures(render, batch, step=trainer.global_step, stage_folder=self.folder, loggers=trainer.loggers)
