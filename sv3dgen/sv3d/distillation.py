"""SV3D's denoiser conditioned on one picture, for score distillation."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.nvs_interfaces import OrbitPrior
from sv3dgen.sv3d.conditioning import frame_vector
from sv3dgen.sv3d.denoiser import denoise_guided
from sv3dgen.sv3d.guidance_scale import triangular_scale
from sv3dgen.sv3d.memory import on_device
from sv3dgen.sv3d.model import SV3D
from sv3dgen.views.orbits import Orbit


class SV3DPrior(OrbitPrior):
    """Scaled latents and the guided estimate of the clean ones, each part on the model's device while it is in use."""

    def __init__(self, model: SV3D, image: Float[Tensor, "3 height width"], *, seed: int) -> None:
        """`image` is recentered, on white, sRGB in [0, 1]; `seed` is of the noise on it (`cond_aug`)."""
        self.model, self.abilities = model, model.abilities
        noise, _ = model.draw_noise(seed, 1)
        front = Orbit(torch.zeros(1), torch.zeros(1))  # the picture alone: each orbit brings its own poses
        self._picture = model.condition(2 * image[None] - 1, [front], noise[None])

    def sigma(self, level: float) -> float:
        sampler = self.model.config.sampler
        low, high = sampler.sigma_min ** (1 / sampler.rho), sampler.sigma_max ** (1 / sampler.rho)
        return (low + level * (high - low)) ** sampler.rho

    @property
    def _scale_factor(self) -> float:
        return self.model.config.vae.scale_factor

    def encode(self, pictures: Float[Tensor, "frames 3 height width"]) -> Float[Tensor, "frames channels _ _"]:
        here = pictures.to(self.model.device, torch.float32)
        return self._scale_factor * self.model.encode(2 * here - 1).float().to(pictures.device)

    def pull_back(
        self, pictures: Float[Tensor, "frames 3 height width"], gradient: Float[Tensor, "frames channels _ _"]
    ) -> Float[Tensor, "frames 3 height width"]:
        # Frame by frame the encoder runs again, now with its intermediate results: those of all frames would not fit.
        model, parts = self.model, []
        chunk = model.memory.encode_chunk
        with on_device(model.vae, model.device, stay=not model.memory.offload), torch.enable_grad():
            for some, pull in zip(pictures.split(chunk), gradient.split(chunk), strict=True):
                leaf = some.detach().to(model.device, torch.float32).requires_grad_()
                latents = self._scale_factor * model.vae.encode(2 * leaf - 1).float()
                parts.append(torch.autograd.grad(latents, leaf, pull.to(latents))[0].to(pictures.device))
        return torch.cat(parts)

    @torch.no_grad()
    def denoise(
        self, noisy: Float[Tensor, "frames channels _ _"], sigma: float, orbit: Orbit, *, guidance_max: float
    ) -> Float[Tensor, "frames channels _ _"]:
        model = self.model
        model.check_orbit(orbit)
        vector = frame_vector(model.config.unet, orbit, model.config.cond_aug)[None].to(model.device)
        scale = triangular_scale(len(orbit), highest=guidance_max, period=model.config.sampler.guidance_period)
        with on_device(model.unet, model.device, stay=not model.memory.offload):
            clean = denoise_guided(
                model.network,
                noisy[None].to(model.device),
                torch.tensor([sigma], device=model.device),
                replace(self._picture, vector=vector),
                scale.to(model.device),
                together=model.memory.halves_together,
            )
        return clean[0].float().to(noisy.device)

    def decode(self, latents: Float[Tensor, "frames channels _ _"]) -> Float[Tensor, "frames 3 height width"]:
        return ((self.model.decode(latents[None])[0] + 1) / 2).clamp(0, 1).to(latents.device)
