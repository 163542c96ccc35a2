"""What loggers get: of a stage, every so often, its losses and what it draws; of the run, its settings and its end."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median_low
from typing import Any, Protocol, runtime_checkable

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from sv3dgen.interfaces import ViewBatch
from sv3dgen.runs.picture_log import log_guidance, log_pictures

PICTURE_PX = 192
PICTURE_ENLARGED = 2  # times the usual view's own size is enough
PICTURE_VIEWS = 4


@runtime_checkable
class RunLog(Protocol):
    """A logger that wants to know of the run as a whole."""

    def begin(self, config: Mapping[str, Any]) -> None: ...

    def end(self, *, failed: bool = False) -> None: ...


@contextmanager
def notified_loggers(loggers: object, config: DictConfig) -> Iterator[None]:
    """Tell the loggers that want to know it what the run is, and how the block ends."""
    given = [*loggers] if isinstance(loggers, Iterable) else [loggers]
    listening = [logger for logger in given if isinstance(logger, RunLog)]
    for logger in given:
        if isinstance(logger, RunLog | TensorBoardLogger):
            resolved = OmegaConf.to_container(config, resolve=True)
            assert isinstance(resolved, dict)
            settings = {str(key): value for key, value in resolved.items()}
            logger.begin(settings) if isinstance(logger, RunLog) else logger.log_hyperparams(settings)
    try:
        yield
    except BaseException:
        for logger in listening:
            logger.end(failed=True)
        raise
    for logger in listening:
        logger.end()


class Losses(lightning.Callback):
    """Every `every_steps` steps, to the loggers: the module's last loss as `stage/loss`, its parts, unweighted, as
    `stage/guidance/term`, and what schedules are at, as `stage/weight/guidance/term` and `stage/learning_rate`.
    """

    def __init__(self, stage: str, every_steps: int):
        self.stage, self.every_steps = stage, every_steps

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        if trainer.loggers and trainer.global_step % self.every_steps == 0:
            numbers = {f"{self.stage}/loss": module.last.loss.item()}
            numbers |= {f"{self.stage}/{name}": loss.item() for name, loss in module.last.losses.items()}
            numbers |= {f"{self.stage}/weight/{name}": weight for name, weight in module.last.weights.items()}
            rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
            numbers |= {f"{self.stage}/learning_rate{index or ''}": float(rate) for index, rate in enumerate(rates)}
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
        frames = module.views.resized(min(PICTURE_PX, PICTURE_ENLARGED * median_low(module.views.own_px)))
        frames = frames[:: max(1, len(frames) // PICTURE_VIEWS)][:PICTURE_VIEWS]
        batch = ViewBatch(frames.cameras, None, frames.rgba[:, :3], frames.rgba[:, 3:])
        module.eval()
        render = module.renderer(module.geometry, module.material, frames.cameras)
        module.train()
        log_pictures(render, batch, step=trainer.global_step, stage_folder=self.folder, loggers=trainer.loggers)
