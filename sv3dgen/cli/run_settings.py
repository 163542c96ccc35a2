"""The settings that no constructor takes, as fields with domains: those at the root of the config and in its groups.

`SCHEMAS` says which class describes which node. Nobody makes an object of them: `config_check` reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from sv3dgen.domains import Between, Count, Interval, IntervalOrNever, Seed, Shares, Steps, Weight

SCHEMAS = {
    "": "sv3dgen.cli.run_settings.RunSettings",
    "distillation": "sv3dgen.cli.run_settings.Distillation",
    "trainer": "sv3dgen.cli.run_settings.Trainer",
    "logger": "sv3dgen.cli.run_settings.Logger",
    "model": "sv3dgen.sv3d.config.SV3DConfig",
    "model.unet": "sv3dgen.sv3d.config.UNetConfig",
    "model.vae": "sv3dgen.sv3d.config.VAEConfig",
    "model.image_encoder": "sv3dgen.sv3d.config.ImageEncoderConfig",
    "model.sampler": "sv3dgen.sv3d.config.SamplerConfig",
}


Batches = Annotated[float | int, Between(0.0, 1000000000.0)] | None  # a share, or a number of them
Devices = Annotated[int, Between(1, 1024)] | Sequence[int] | Literal["auto"]


@dataclass
class RunSettings:
    """The numbers at the root of the config."""

    seed: Seed
    checkpoint_every_steps: Interval
    losses_every_steps: Interval
    pictures_every_steps: IntervalOrNever
    weights_every_steps: IntervalOrNever
    viewer: bool
    viewer_port: Annotated[int, Between(0, 65535)]
    foreground_ratio: Annotated[float | int, Between(0.05, 1.0)]
    elevation_deg: Annotated[float | int, Between(-89.9, 89.9)] | Literal["auto"]
    fov_deg: Annotated[float | int, Between(1.0, 150.0)]
    distance: Annotated[float | int, Between(0.61, 99.0)]


@dataclass
class Distillation:
    """The numbers of `distillation`, which configs of guidances refer to."""

    weight: Weight
    noise_low: Shares
    noise_high: Shares
    guidance_max: Annotated[float | int, Between(0.0, 100.0)]
    supersample: Annotated[int, Between(1, 8)]
    pictures_every_steps: IntervalOrNever


@dataclass
class Trainer:
    """The numbers that are set of `lightning.Trainer`, and those that may be added (`+trainer.min_steps=100`)."""

    devices: Devices
    num_nodes: Count
    max_epochs: Annotated[int, Between(-1, 1000000)]
    min_epochs: Annotated[int, Between(0, 1000000)] | None
    min_steps: Annotated[int, Between(0, 1000000000)] | None
    limit_train_batches: Batches
    limit_val_batches: Batches
    limit_test_batches: Batches
    limit_predict_batches: Batches
    overfit_batches: Batches
    val_check_interval: Annotated[float | int, Between(0.000001, 1000000000.0)] | None
    check_val_every_n_epoch: Annotated[int, Between(1, 1000000)] | None
    reload_dataloaders_every_n_epochs: Annotated[int, Between(0, 1000000)]
    log_every_n_steps: Interval
    num_sanity_val_steps: Annotated[int, Between(0, 1000)]
    gradient_clip_val: Annotated[float | int, Between(0.0, 1000000.0)] | None
    accumulate_grad_batches: Count
    fast_dev_run: Steps | bool


@dataclass
class Logger:
    """The number that is set of `lightning.pytorch.loggers.CSVLogger`."""

    flush_logs_every_n_steps: Interval
