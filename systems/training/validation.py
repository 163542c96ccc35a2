"""What a model in training makes of held-back objects, every so often."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import lightning
import torch

from sv3dgen.atomic import atomic_write
from sv3dgen.commands.evaluate_nvs import spread
from sv3dgen.data.orbit_dataset import OrbitSample, collate_orbits
from sv3dgen.domains import Between, Count, IntervalOrNever, Seed
from sv3dgen.metrics.lpips import load_lpips
from sv3dgen.nvs.evaluation import (
    COPY,
    MEAN,
    MODEL,
    SHUFFLED,
    Evaluation,
    evaluate_orbits,
    markdown,
    mean_of_images,
    report,
)
from sv3dgen.nvs.orbit_pictures import write_orbits
from sv3dgen.runs.picture_log import log_sheet
from systems.training.batches import TrainingBatch, TrainingBatches
from systems.training.callbacks import at_step

log = logging.getLogger(__name__)

PICTURED_ORBITS = 8
LOSS_DRAWS = 4  # noise levels and noises for each orbit


class OrbitValidation(lightning.Callback):
    """Samples `orbits` orbits of each kind with the averaged weights every `every_steps` steps (0: only at the end).

    Leaves RUN/validation/STEP.json with all scores, STEP_KIND.png and .mp4, the means in the loggers, and a table.
    `steps` of the sampler are fewer than a user's. Always the same orbits and noise, so that steps compare.
    """

    def __init__(
        self,
        *,
        every_steps: IntervalOrNever = 1000,
        orbits: Count = 8,
        kinds: Sequence[Literal["static", "dynamic"]] | None = None,
        steps: Annotated[int, Between(1, 1000)] = 15,
        lpips: bool = False,
        seed: Seed = 0,
    ):
        """`kinds` defaults to those trained on."""
        for name, number, least in (("every_steps", every_steps, 0), ("orbits", orbits, 1), ("steps", steps, 1)):
            if number < least:
                raise ValueError(f"validation.{name}={number}: expected at least {least}")
        self.every_steps, self.orbits, self.kinds, self.steps, self.seed = every_steps, orbits, kinds, steps, seed
        self.with_lpips = lpips
        self._validated = -1

    def use(self, batches: TrainingBatches, folder: Path) -> None:
        """Take the data, of which the test split is drawn, and the run's folder."""
        self.batches, self.folder = batches, folder / "validation"
        kinds = batches.kinds if self.kinds is None else self.kinds
        self.samples: dict[str, list[OrbitSample]] = {}
        for kind in kinds:
            dataset = batches.dataset("test", kind=kind)
            self.samples[kind] = [dataset[index] for index in spread(len(dataset), self.orbits)]

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        self.mean_image = mean_of_images(self.batches.dataset("train"))
        self.lpips = load_lpips(fast=True) if self.with_lpips else None

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if self.every_steps and at_step(trainer, index, self.every_steps):
            self._validate(trainer, module)

    def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
        if self._validated != trainer.global_step:
            self._validate(trainer, module)

    def _validate(self, trainer: lightning.Trainer, module: Any) -> None:
        """All processes do the same, as sharded weights ask for, and the first one tells."""
        self._validated = trainer.global_step
        with module.averaged() as model:
            evaluations = {
                kind: evaluate_orbits(
                    model,
                    samples,
                    self.mean_image,
                    steps=self.steps,
                    seed=self.seed,
                    controls=kind == "dynamic",
                    lpips=self.lpips,
                )
                for kind, samples in self.samples.items()
            }
            losses = {kind: self._loss(trainer, module, samples) for kind, samples in self.samples.items()}
        if trainer.is_global_zero:
            self._tell(trainer, evaluations, losses)

    @torch.no_grad()
    def _loss(self, trainer: lightning.Trainer, module: Any, samples: list[OrbitSample]) -> float:
        """The training loss of held-back orbits, always with the same noise: a smoother curve than any score's."""
        orbits, losses = collate_orbits(samples), []
        for draw in range(LOSS_DRAWS):
            positions = torch.arange(len(samples)) + draw * len(samples)
            with trainer.precision_plugin.val_step_context():
                losses.append(module.frame_losses(TrainingBatch(orbits, positions).to(module.device)).mean())
        return float(torch.stack(losses).mean())

    def _tell(self, trainer: lightning.Trainer, evaluations: dict[str, Evaluation], losses: dict[str, float]) -> None:
        step, numbers = trainer.global_step, report(evaluations)
        told = ", ".join(f"loss of {kind} orbits {loss:.4g}" for kind, loss in losses.items())
        log.info(f"step {step}, {told}\n{markdown(evaluations)}")
        for kind, loss in losses.items():
            numbers[kind][MODEL]["loss"] = loss
        with atomic_write(self.folder / f"{step:07d}.json") as temporary:
            temporary.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
        for kind, evaluation in evaluations.items():
            some = slice(0, PICTURED_ORBITS)
            stem = self.folder / f"{step:07d}_{kind}"
            sheet = write_orbits(stem, evaluation.truth[some], evaluation.drawn[some])
            scores: dict[str, Any] = {name: value for name, value in numbers[kind][MODEL].items() if value is not None}
            scores |= {f"psnr_of_{name.split()[0]}": numbers[kind][name]["psnr"] for name in (COPY, MEAN)}
            if SHUFFLED in numbers[kind]:
                scores["psnr_of_shuffled"] = numbers[kind][SHUFFLED]["psnr"]
            for logger in trainer.loggers:
                logger.log_metrics({f"validation/{kind}/{name}": value for name, value in scores.items()}, step)
            log_sheet(trainer.loggers, f"validation/{kind}", sheet, step, film=stem.with_name(f"{stem.name}.mp4"))
