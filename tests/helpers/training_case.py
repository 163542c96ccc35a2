"""A micro SV3D and orbits of discs to train it on; as a script, runs on several processes, one after another."""

import json
import sys
from dataclasses import replace
from math import cos, radians, sin
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.strategies import ModelParallelStrategy

from sv3dgen.data.orbit_dataset import OrbitDataset, OrbitSample, collate_orbits
from sv3dgen.errors import InputError
from sv3dgen.sv3d.config import SV3DConfig
from sv3dgen.sv3d.training.sharding import whole
from systems.training.batches import TrainingBatch, TrainingBatches
from systems.training.callbacks import TrainingCheckpoint
from systems.training.finetune import Sv3dFinetune
from systems.training.run import Orbits

FRAMES, SIZE_PX, ORBITS = 5, 32, 6
MICRO: dict[str, Any] = {
    "size_px": SIZE_PX,
    "frames": FRAMES,
    "unet": {
        "channels": 32,
        "channel_mult": [1, 2],
        "res_blocks": 1,
        "attention_factors": [1],
        "head_channels": 16,
        "context_dim": 32,
    },
    "vae": {"channels": 32, "channel_mult": [1, 1, 1], "res_blocks": 1, "scale_factor": 1.0},
    "image_encoder": {"width": 32, "layers": 1, "head_width": 16, "patch_px": 56, "embed_dim": 32},
    "sampler": {"steps": 2},
}


class Discs(OrbitDataset):
    """Discs of one color each that go round the middle; in memory."""

    cache = None

    def __init__(self, *, kind: str = "static", count: int = ORBITS):
        self.kind, self.count, self.epoch = kind, count, 0

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> OrbitSample:
        generator = torch.Generator().manual_seed(1000 * self.epoch + index)
        azimuth_deg = torch.arange(1, FRAMES + 1, dtype=torch.float64) * 360 / FRAMES % 360
        elevation_deg = torch.full((FRAMES,), 10.0, dtype=torch.float64)
        if self.kind == "dynamic":
            elevation_deg += 20 * torch.sin(torch.deg2rad(azimuth_deg))
        color = torch.rand(3, 1, 1, generator=generator)
        frames = torch.stack([_disc(azimuth, color) for azimuth in azimuth_deg.tolist()])
        return sample_of((frames * 255).byte(), elevation_deg, azimuth_deg, f"disc_{index}")


def _disc(azimuth_deg: float, color: torch.Tensor) -> torch.Tensor:
    axis = (torch.arange(SIZE_PX) + 0.5) / SIZE_PX - 0.5
    inside = axis[:, None] ** 2 + (axis[None] - 0.2 * sin(radians(azimuth_deg))) ** 2 < 0.04
    return torch.where(inside, color * (0.6 + 0.4 * cos(radians(azimuth_deg))), torch.ones(3, SIZE_PX, SIZE_PX))


def sample_of(frames, elevation_deg, azimuth_deg, name, latents=None):
    return OrbitSample(frames=frames, elevation_deg=elevation_deg, azimuth_deg=azimuth_deg, name=name, latents=latents)


class DiscBatches(TrainingBatches):
    """The discs in place of a folder."""

    def dataset(self, split, kind=None):
        return Discs(kind=kind or self.kinds[0], count=ORBITS if split == "train" else 2)


def batches(**settings) -> DiscBatches:
    defaults: dict[str, Any] = {"folder": ".", "kinds": ["static"], "frames": FRAMES, "workers": 0, "batch": 2}
    return DiscBatches(**defaults | settings)


def batch_of(*indices: int, with_latents=None) -> TrainingBatch:
    samples = [Discs()[index] for index in indices]
    if with_latents is not None:
        samples = [replace(sample, latents=with_latents(sample.frames)) for sample in samples]
    return TrainingBatch(collate_orbits(samples), torch.tensor(indices))


def module(**settings) -> Sv3dFinetune:
    defaults: dict[str, Any] = {
        "model": MICRO,
        "steps": 6,
        "learning_rate": 1e-3,
        "warmup_steps": 2,
        "trains": ["unet", "image_encoder"],
    }
    return Sv3dFinetune(**defaults | settings)


def config() -> SV3DConfig:
    return module().config


class Record(lightning.Callback):
    """The losses of all steps."""

    def __init__(self):
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs: Any, batch, batch_idx):
        self.losses.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)


def fit(finetune, data, *callbacks, first_step=0, checkpoint=None, **trainer) -> list[float]:
    """Train for `finetune.steps` steps in all; the losses."""
    record = Record()
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
    }
    runner = lightning.Trainer(
        **quiet | {"accelerator": "cpu", "max_epochs": -1} | trainer,
        max_steps=finetune.steps,
        callbacks=[record, *callbacks],
        use_distributed_sampler=False,
    )
    runner.fit(finetune, datamodule=Orbits(data, first_step), ckpt_path=checkpoint, weights_only=True)
    return record.losses


def main(folder: Path, way: str) -> None:
    """Two processes, one orbit each; every one writes what it saw and what it ends with."""
    torch.set_num_threads(1)
    finetune = module(steps=3)
    strategy: Any = "ddp"
    if way == "sharded":
        strategy = ModelParallelStrategy(2, 1, save_distributed_checkpoint=False)
    if way == "spoilt":
        _spoil(finetune)
    keeper = TrainingCheckpoint(folder / "last.ckpt", "train", 3)
    try:
        losses = fit(finetune, batches(batch=1), keeper, strategy=strategy, devices=2)
    except InputError as error:
        (folder / f"{finetune.trainer.global_rank}.txt").write_text(str(error))
        return
    weights = {
        name: whole(parameter.detach()).double().sum().item() for name, parameter in finetune.trained_parameters()
    }
    finetune.save_weights(folder / "model.safetensors")
    rank = finetune.trainer.global_rank
    (folder / f"{rank}.json").write_text(json.dumps({"losses": losses, "weights": weights}))


def _spoil(finetune: Sv3dFinetune) -> None:
    """Have the second process lose its way in the second step."""
    frame_losses = finetune.frame_losses

    def spoilt(batch: TrainingBatch) -> torch.Tensor:
        lost = finetune.global_rank == 1 and finetune.global_step == 1
        return frame_losses(batch) * (float("nan") if lost else 1.0)

    finetune.frame_losses = spoilt  # type: ignore[method-assign]


if __name__ == "__main__":
    for way in sys.argv[2:]:
        (Path(sys.argv[1]) / way).mkdir(exist_ok=True)
        main(Path(sys.argv[1]) / way, way)
