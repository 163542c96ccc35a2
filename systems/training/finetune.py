"""Training of SV3D itself (SV3D, section 3 and appendix C): orbits of rendered objects in, a denoising network out."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import torch
from einops import rearrange
from jaxtyping import Float
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor

from sv3dgen.data.latent_cache import LatentCache, fingerprint
from sv3dgen.data.orbit_dataset import OrbitBatch
from sv3dgen.domains import Between, Count, IntervalOrNever, LearningRate, Magnitude, Seed, Share, Steps
from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.model_config import config_from_fields
from sv3dgen.sv3d.checkpoint.save import save_official
from sv3dgen.sv3d.conditioning import Condition, frame_vector
from sv3dgen.sv3d.memory import MemoryPlan
from sv3dgen.sv3d.model import SV3D
from sv3dgen.sv3d.training.attention import prepare_for_training
from sv3dgen.sv3d.training.draws import Draws, DropRates, draw, frame_weights
from sv3dgen.sv3d.training.ema import Ema
from sv3dgen.sv3d.training.lora import add_adapters
from sv3dgen.sv3d.training.loss import frame_losses
from sv3dgen.sv3d.training.muon import Muon
from sv3dgen.sv3d.training.sharding import shard, whole
from sv3dgen.sv3d.training.start_weights import load_vae, starting_parts
from sv3dgen.views.orbits import Orbit
from systems.training.batches import TrainingBatch
from systems.training.training_module import TrainingModule

Trained = Literal["unet", "image_encoder"]

_MOST_UNSEEN_NOISE = 1e-3  # of the conditioning picture, that cached latents may go without


class Sv3dFinetune(TrainingModule):
    """The EDM denoising loss on the latents of orbits, with the weights that make it an error in v.

    One noise level for each clip, ln sigma ~ N(p_mean, p_std^2). The autoencoder is frozen. `model` holds the sizes
    (`conf/model`), `weights` those to start from, as `starting_parts` reads them; `vae_weights` takes the autoencoder
    from another checkpoint. Latents come from the dataset's cache, else from the frozen autoencoder; both are the mean
    of its encoder. Paper values are in `conf/curriculum`, with what was chosen where it is silent.
    """

    def __init__(
        self,
        *,
        model: Mapping[str, Any],
        steps: Steps,
        weights: str | None = None,
        vae_weights: str | None = None,
        trains: Sequence[Trained] = ("unet",),
        lora_rank: Annotated[int, Between(1, 4096)] | None = None,
        lora_scale: Magnitude = 1.0,
        optimizer: Literal["adamw", "muon"] = "adamw",
        learning_rate: LearningRate = 3e-5,
        warmup_steps: IntervalOrNever = 1000,
        learning_rate_end: Literal["constant", "cosine"] = "constant",
        weight_decay: Annotated[float | int, Between(0.0, 10.0)] = 0.01,
        p_mean: Annotated[float | int, Between(-20.0, 20.0)] = 1.0,
        p_std: Annotated[float | int, Between(0.0, 20.0)] = 1.6,
        even_noise: bool = False,
        front_weight: Share = 0.5,
        drop_both: Share = 0.1,
        drop_context: Share = 0.05,
        drop_image: Share = 0.05,
        cond_aug: Annotated[float | int, Between(0.0, 10.0)] | None = None,
        ema_decay: Share = 0.9999,
        checkpointing: bool = False,
        channels_last: bool = False,
        encode_chunk: Count = 7,
        seed: Seed = 0,
    ):
        super().__init__(steps=steps, seed=seed, learning_rate=learning_rate, warmup_steps=warmup_steps)
        if not 0 <= front_weight <= 1:
            raise ValueError(f"front_weight={front_weight}: expected 0 to 1")
        if not trains or set(trains) - set(get_args(Trained)):
            raise ValueError(f"trains={list(trains)}: expected some of {', '.join(get_args(Trained))}")
        config = config_from_fields(model, "model")
        if cond_aug is not None:
            config = replace(config, cond_aug=float(cond_aug))
        generator = torch.Generator().manual_seed(seed)
        parts, config, self.camera_branch = starting_parts(weights, config, generator)
        if vae_weights is not None:
            vae, scale_factor = load_vae(vae_weights, config)
            parts, config = parts._replace(vae=vae), replace(config, vae=replace(config.vae, scale_factor=scale_factor))
        self.config = config
        self.unet, self.vae, self.image_encoder = parts
        self.optimizer, self.learning_rate_end = optimizer, learning_rate_end
        self.weight_decay, self.p_mean, self.p_std, self.front_weight = weight_decay, p_mean, p_std, front_weight
        self.rates = DropRates(both=drop_both, context=drop_context, image=drop_image)
        self.encode_chunk, self.trains, self.even_noise = encode_chunk, tuple(trains), even_noise
        self.unet.checkpointing = checkpointing
        if channels_last:
            for layer in self.unet.modules():
                if isinstance(layer, torch.nn.Conv2d):
                    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        self._choose_trained(trains, lora_rank, lora_scale, generator)
        self.ema = Ema(self.trained_parameters(), ema_decay)
        self._sharded = False
        self.train()  # though nothing in it tells training from using it; Lightning warns where it is not

    def _choose_trained(
        self, trains: Sequence[Trained], lora_rank: int | None, lora_scale: float | int, generator: torch.Generator
    ) -> None:
        """Thaw what is trained. Adapters stand for the UNet, but its camera branch, which is small, learns itself."""
        for part in trains:
            getattr(self, part).requires_grad_(True)
        prepare_for_training(self.unet)
        if lora_rank is not None and "unet" in trains:
            add_adapters(self.unet, lora_rank, generator, scale=lora_scale)
            self.unet.add_embedding.requires_grad_(True)

    def check_cache(self, folder: Path, cache: LatentCache) -> None:
        """Raise InputError where a dataset's latents or embeddings are not what this model's encoders make."""
        cache.check(
            folder,
            encoder_sha256=fingerprint(*self.vae.encoding_modules),
            scale_factor=self.config.vae.scale_factor,
            image_encoder_sha256=None if "image_encoder" in self.trains else fingerprint(self.image_encoder),
        )

    @contextmanager
    def averaged(self) -> Iterator[SV3D]:
        """The model with the averaged weights, to be used at once; afterwards training may go on."""
        trained = [parameter for _, parameter in self.trained_parameters()]
        plan = MemoryPlan(autocast="bfloat16" if self._in_bfloat16() else None, clips_together=4, encode_chunk=4)
        with self.ema.applied():
            try:
                yield SV3D(*self.parts, self.config, device=self.device, memory=plan)
            finally:
                self.train()
                for parameter in trained:
                    parameter.requires_grad_(True)

    def save_weights(self, path: Path) -> None:
        """Write the averaged weights as an official file in half precision, and their sizes next to it."""
        with self.ema.applied():
            save_official(self.parts, self.config, path, write=self.global_rank == 0)

    def _in_bfloat16(self) -> bool:
        return self._trainer is not None and str(self.trainer.precision).startswith("bf16")

    def configure_model(self) -> None:
        """Shard what is trained, where the trainer has been told to (trainer=sharded)."""
        if isinstance(self.trainer.strategy, ModelParallelStrategy) and not self._sharded:
            self._sharded = True
            shard((self.unet, self.image_encoder), self.device_mesh["data_parallel"])  # type: ignore[index]
            self.ema = Ema(self.trained_parameters(), self.ema.decay)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = [parameter for _, parameter in self.trained_parameters()]
        if self.optimizer == "muon":
            if self._sharded:
                raise InputError("train.optimizer=muon: not for weights in shards; expected adamw")
            return Muon(self.trained_parameters(), lr=self.learning_rate_at(0), weight_decay=self.weight_decay)
        fused = self.trainer.precision != "16-mixed"  # whose gradients have to be unscaled before they are clipped
        return torch.optim.AdamW(parameters, lr=self.learning_rate_at(0), weight_decay=self.weight_decay, fused=fused)

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, then constant, or a cosine down to 0 at the last step."""
        rate = self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_steps))
        if self.learning_rate_end == "cosine" and step > self.warmup_steps:
            done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
            rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return rate

    def losses(self, batch: TrainingBatch, step: int) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        per_frame = self.frame_losses(batch)
        azimuth_deg = batch.orbits.azimuth_deg.to(per_frame.device)
        loss = (frame_weights(azimuth_deg, self.front_weight) * per_frame).mean()
        from_front = (azimuth_deg - azimuth_deg[:, -1:] + 180) % 360 - 180
        return loss, {
            "loss": loss,
            "front": per_frame.detach()[from_front.abs() < 60].mean(),
            "back": per_frame.detach()[from_front.abs() > 120].mean(),
        }

    def frame_losses(self, batch: TrainingBatch) -> Float[Tensor, "clips frames"]:
        """The error in v of every frame, mean over channels and pixels."""
        latents, image_latents, draws = self._latents(batch)
        condition = draws.dropped(self._condition(batch.orbits, image_latents))
        return frame_losses(self.unet, latents, draws.noise, draws.sigma, condition)

    def _latents(self, batch: TrainingBatch) -> tuple[Tensor, Tensor, Draws]:
        """Scaled latents of all frames, unscaled ones of the conditioning picture, and the draws."""
        orbits, size = batch.orbits, self.config.size_px
        height = size // self.config.vae.downsampling
        shape = (orbits.frames.shape[1], self.config.vae.latent_channels, height, height)
        draws = draw(
            self.seed,
            batch.positions,
            shape,
            size,
            rates=self.rates,
            p_mean=self.p_mean,
            p_std=self.p_std,
            even_noise=self.even_noise,
        ).to(self.device)
        if orbits.latents is not None:
            if self.config.cond_aug > _MOST_UNSEEN_NOISE:
                raise InputError(
                    f"cond_aug={self.config.cond_aug}: cached latents are without noise, expected at most "
                    f"{_MOST_UNSEEN_NOISE}, or data without a cache"
                )
            latents = orbits.latents.float()
            return latents * self.config.vae.scale_factor, latents[:, -1], draws
        if orbits.frames.shape[-1] != size:
            raise InputError(f"data: frames of {orbits.frames.shape[-1]} px, expected {size} by the model's size_px")
        pictures = orbits.frames.float() / 127.5 - 1
        noisy = pictures[:, -1] + self.config.cond_aug * draws.picture_noise
        latents = self._encode(rearrange(pictures, "clips frames c h w -> (clips frames) c h w"))
        latents = rearrange(latents, "(clips frames) c h w -> clips frames c h w", clips=len(pictures))
        return latents * self.config.vae.scale_factor, self._encode(noisy), draws

    @torch.no_grad()
    def _encode(self, pictures: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images channels _ _"]:
        """Mean latents, in full precision as official."""
        with torch.autocast(pictures.device.type, enabled=False):
            return torch.cat([self.vae.encode(chunk) for chunk in pictures.split(self.encode_chunk)])

    def _condition(self, orbits: OrbitBatch, image_latents: Tensor) -> Condition:
        """The condition of every clip, nothing dropped yet."""
        if orbits.embeddings is not None and "image_encoder" not in self.trains:
            context = orbits.embeddings
        else:
            with torch.set_grad_enabled("image_encoder" in self.trains):
                context = self.image_encoder(orbits.frames[:, -1].float() / 127.5 - 1)
        vectors = [
            frame_vector(self.config.unet, Orbit(elevation_deg, azimuth_deg), self.config.cond_aug)
            for elevation_deg, azimuth_deg in zip(orbits.elevation_deg.cpu(), orbits.azimuth_deg.cpu(), strict=True)
        ]
        return Condition(context[:, None], image_latents, torch.stack(vectors).to(self.device))

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | int | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm over all gradients; stop before ones that are not finite spoil the weights."""
        trained = [parameter for _, parameter in self.trained_parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
        total = self.last.losses["gradient_norm"] = whole(norm)
        scaled = self.trainer.precision == "16-mixed"  # whose scaler skips such steps itself
        if not scaled and not total.isfinite():
            raise InputError(f"step {self.global_step}: the gradient's norm is {total.item()}, the loss was finite")
        if gradient_clip_val:
            torch.nn.utils.clip_grads_with_norm_(trained, gradient_clip_val, norm)

    def optimizer_step(self, *arguments: Any, **settings: Any) -> None:
        super().optimizer_step(*arguments, **settings)
        self.ema.update()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["ema"] = self.ema.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.ema.load_state_dict(checkpoint["ema"])
