"""One training run from composed config to weights, in the run's folder."""

import logging
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from sv3dgen.atomic import remove_leftovers
from sv3dgen.devices import find_device
from sv3dgen.errors import InputError
from sv3dgen.report.page import write_report
from sv3dgen.runs.csv_log import keep_numbers
from sv3dgen.runs.progress import ProgressLine
from sv3dgen.runs.provenance import provenance
from sv3dgen.runs.run_folder import RunCard
from sv3dgen.runs.stopping import Stopped, undisguised
from systems.fitting import Interrupt, Restored, WrittenInPlace, read_checkpoint
from systems.reporting import Losses, notified_loggers
from systems.training.batches import TimedLoader, TrainingBatch, TrainingBatches
from systems.training.callbacks import Throughput, TrainingCheckpoint, Weights
from systems.training.finetune import Sv3dFinetune
from systems.training.validation import OrbitValidation

log = logging.getLogger(__name__)

STAGE = "train"


def train(config: DictConfig) -> None:
    """Train `config.train` on `config.batches`. Raises InputError for what only the user can fix."""
    started = TrainingRun(config, Path(HydraConfig.get().runtime.output_dir))
    with notified_loggers(started.trainer.loggers if rank_zero_only.rank == 0 else [], config):
        started.execute()


class TrainingRun:
    """A module, its data, and what watches over it; every process of a distributed run has one."""

    def __init__(self, config: DictConfig, folder: Path):
        self.config, self.folder = config, folder
        self.batches: TrainingBatches = instantiate(config.batches, _convert_="all")
        cache = self.batches.dataset("train").cache  # a folder that is no good is refused before weights are read
        self.validation: OrbitValidation | None = instantiate(config.validation, _convert_="all")
        if self.validation is not None:
            self.validation.use(self.batches, folder)
        self.module: lightning.LightningModule = instantiate(config.train, _convert_="all")
        if cache is not None and isinstance(self.module, Sv3dFinetune):
            self.module.check_cache(self.batches.folder, cache)
        self.checkpoint, self.weights = folder / "checkpoints" / "last.ckpt", folder / "weights" / "model.safetensors"
        self.throughput, self.interrupt = Throughput(), Interrupt("finishing with the weights there are")
        settings: dict[str, Any] = instantiate(config.trainer, _target_="builtins.dict", _convert_="all")
        settings |= placed(settings, config.device)
        settings["plugins"] = [*(settings.get("plugins") or ()), WrittenInPlace()]
        if isinstance(settings.get("strategy"), str) and settings["strategy"].startswith("fsdp"):
            raise InputError(f"trainer.strategy={settings['strategy']}: expected trainer=sharded, FSDP's second form")
        # A run that was stopped before its first checkpoint starts again.
        self.resumed = config.resume is not None and self.checkpoint.is_file()
        self.restored = Restored(self.checkpoint if self.resumed else None)
        if config.resume is not None and rank_zero_only.rank == 0:
            remove_leftovers(folder)
            step = saved_step(self.checkpoint) if self.resumed else 0
            keep_numbers(settings.get("logger"), stages=[STAGE], stage=STAGE, step=step)
        try:
            self.trainer = lightning.Trainer(
                **settings,
                max_steps=config.train.steps,
                callbacks=[self.restored, *self._callbacks(settings)],
                use_distributed_sampler=False,
            )
        except (MisconfigurationException, ValueError) as error:
            raise InputError(f"trainer: {error}") from error
        if rank_zero_only.rank == 0:
            log.info("training on: %s", self._place())

    def execute(self) -> None:
        """All steps, or those up to an interruption; then the weights are there."""
        resumed = self.resumed
        orbits = Orbits(self.batches, saved_step(self.checkpoint) if resumed else 0)
        # The row of orbits has no end at which to save.
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
        warnings.filterwarnings("ignore", ".*returned a view tensor")  # of sharded blocks: nothing is added in place
        warnings.filterwarnings("ignore", ".*does not have many workers")  # one is as fast as the training wants it
        card = self._card() if self.trainer.is_global_zero else None  # the first process's affair
        heard = nullcontext() if card is None else card.hearing_warnings()
        checkpoint = self.checkpoint if resumed else None
        try:
            stage = nullcontext() if card is None else card.stage(STAGE)
            with undisguised(), heard, stage, self.interrupt.listening(), self.restored.told():
                self.trainer.fit(self.module, datamodule=orbits, ckpt_path=checkpoint, weights_only=True)
        except Stopped:
            if card is not None:
                card.stop(*(self.interrupt.where or (STAGE, 0, 0)))
            raise
        if card is not None:
            trained = sum(parameter.numel() for parameter in self.module.parameters() if parameter.requires_grad)
            log.info(f"weights: {self.weights}")
            card.add_metrics(steps=self.trainer.global_step, trained_parameters=trained, **self.throughput.numbers())
            if not self.interrupt.requested or self.trainer.global_step == self.config.train.steps:
                write_report(self.folder, card.as_finished())
                card.finish()
            else:
                card.stop(*(self.interrupt.where or (STAGE, self.trainer.global_step, self.config.train.steps)))
                write_report(self.folder, card.card)

    def _callbacks(self, trainer: dict[str, Any]) -> list[lightning.Callback]:
        config, batches_a_step = self.config, trainer.get("accumulate_grad_batches", 1)
        line = ProgressLine(STAGE, total_steps=config.train.steps * batches_a_step, note=lambda: str(self.throughput))
        checkpoint = TrainingCheckpoint(self.checkpoint, STAGE, config.checkpoint_every_steps)
        callbacks = [
            self.throughput,
            *([line] if rank_zero_only.rank == 0 else []),
            Losses(STAGE, config.losses_every_steps),
            Weights(self.weights, config.weights_every_steps),
            checkpoint,
        ]
        if self.validation is not None:
            callbacks.append(self.validation)
        return [*callbacks, self.interrupt.of(STAGE, checkpoint.save)]

    def _place(self) -> str:
        device, count = self.trainer.strategy.root_device, self.trainer.world_size
        return f"{device.type} x {count}" if count > 1 else str(device)

    def _card(self) -> RunCard:
        plain = OmegaConf.to_container(self.config, resolve=False)
        assert isinstance(plain, dict)
        config = {str(key): value for key, value in plain.items()}
        device = str(self.trainer.strategy.root_device)
        return RunCard.begin(
            self.folder, config=config, seed=self.config.seed, device=device, provenance=provenance(config)
        )


class Orbits(lightning.LightningDataModule):
    """The loader of each process, made once the process knows which one it is."""

    def __init__(self, batches: TrainingBatches, first_step: int):
        super().__init__()
        self.batches, self.first_step = batches, first_step

    def train_dataloader(self) -> TimedLoader:
        trainer = self.trainer
        assert trainer is not None
        first = self.first_step * trainer.accumulate_grad_batches
        return self.batches.loader(first, rank=trainer.global_rank, world=trainer.world_size)

    def transfer_batch_to_device(
        self, batch: TrainingBatch, device: torch.device, dataloader_idx: int
    ) -> TrainingBatch:
        return batch.to(device)


def placed(trainer: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Which of Trainer's arguments follow from `device`, where its accelerator is auto.

    A GPU with a number is that one; without, `trainer.devices` says how many there are to be.
    """
    if trainer.get("accelerator", "auto") != "auto":
        return {}
    found = find_device(device)
    return {"accelerator": found.type, **({"devices": [found.index]} if found.index is not None else {})}


def saved_step(checkpoint: Path) -> int:
    """How many steps a run had done when it saved. Raises InputError where there is nothing to go on with."""
    saved = read_checkpoint(checkpoint)
    if saved.get("stage") != STAGE:
        raise InputError(f"{checkpoint}: of stage {saved.get('stage')}, expected the checkpoint of a training run")
    return saved["global_step"]
