"""SV3D as a library: `SV3D.from_pretrained(weights)(image, orbit)` gives the posed views of an orbit."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from sv3dgen.devices import find_device
from sv3dgen.errors import InputError
from sv3dgen.nvs_interfaces import NVSAbilities, NVSModel, OrbitPrior
from sv3dgen.sv3d.checkpoint import embedded
from sv3dgen.sv3d.checkpoint.contents import Contents, read_contents, variant_of
from sv3dgen.sv3d.checkpoint.load import filled_parts
from sv3dgen.sv3d.checkpoint.weights import Variant, find_weights
from sv3dgen.sv3d.conditioning import Condition, frame_vector
from sv3dgen.sv3d.config import SV3DConfig, sv3d_p, sv3d_u
from sv3dgen.sv3d.denoiser import Network, denoise_guided
from sv3dgen.sv3d.guidance_scale import GuidanceShape, scale_by_name
from sv3dgen.sv3d.memory import MemoryPlan, as_planned, on_device, plan_for
from sv3dgen.sv3d.network.image_encoder import ImageEncoder
from sv3dgen.sv3d.network.unet import VideoUNet
from sv3dgen.sv3d.network.vae import ImageVAE
from sv3dgen.sv3d.picture import Picture, conditioning_picture, posed_views
from sv3dgen.sv3d.sampler import OnStep, draw_noise, euler, sigma_schedule, starting_latents
from sv3dgen.views.orbits import Orbit
from sv3dgen.views.posed_views import PosedViews

log = logging.getLogger(__name__)

OFFICIAL_LICENCE = "Stability AI non-commercial research community licence, https://huggingface.co/stabilityai/sv3d"
_EVEN_TOLERANCE_DEG = 1e-3  # of what counts as a static orbit


class SV3D(NVSModel):
    """A model on a device. Pictures are recentered, on white; the last frame of an orbit is the picture's own view.

    The steps in between (`condition`, `sample`, `decode`) are public, for parity, training and score distillation.
    """

    def __init__(
        self,
        unet: VideoUNet,
        vae: ImageVAE,
        image_encoder: ImageEncoder,
        config: SV3DConfig,
        *,
        device: torch.device | str = "cpu",
        memory: MemoryPlan | None = None,
        licence: str = "unknown",
        note: str = "",
    ) -> None:
        """Takes the parts as they are, in the dtypes of `memory` (default: exact, in float32)."""
        self.config, self.device, self.memory = config, torch.device(device), memory or MemoryPlan()
        self.unet = unet.eval().requires_grad_(False).to(self.memory.unet_dtype)
        self.vae = vae.eval().requires_grad_(False).to(self.memory.vae_dtype)
        self.image_encoder = image_encoder.eval().requires_grad_(False).to(self.memory.image_encoder_dtype)
        self.abilities = NVSAbilities(
            name=variant_of(config),
            frames=config.frames,
            size_px=config.size_px,
            takes_poses=config.unet.takes_poses,
            licence=licence,
            note=note,
        )

    @classmethod
    def from_pretrained(
        cls,
        weights: str | Path,
        *,
        variant: Variant = "sv3d_p",
        device: torch.device | str = "cpu",
        memory: MemoryPlan | None = None,
        config: SV3DConfig | None = None,
    ) -> "SV3D":
        """The model in an official file, a diffusers folder, or a repository of the hub such as stabilityai/sv3d.

        `variant` chooses where both lie together. `memory` defaults to the device's fast plan, in half precision where
        the device computes in it; `MemoryPlan()` is exact. Sizes are those of `config`, else of a config.json next to
        the file, else the released ones. `device` may be auto. Raises InputError, naming file and key, where the
        weights are no good.
        """
        device = find_device(device)
        path, plan = find_weights(weights, variant), memory or plan_for(device)
        contents = read_contents(path, config)
        parts = filled_parts(
            contents,
            dtypes={"unet": plan.unet_dtype, "vae": plan.vae_dtype, "image_encoder": plan.image_encoder_dtype},
            device="cpu" if plan.offload else device,
        )
        log.info("%s: %s, %s, %s on %s", _name(path, contents), path, contents.sizes_from, plan.unet, device)
        licence = _licence(path, contents.config)
        note = embedded.NOTE if path == embedded.WEIGHTS else ""
        return cls(*parts, contents.config, device=device, memory=plan, licence=licence, note=note)

    def __call__(
        self,
        image: Picture,
        orbit: Orbit,
        *,
        seed: int = 0,
        steps: int | None = None,
        guidance: GuidanceShape = "triangular",
        keep_picture: bool = True,
        on_step: OnStep | None = None,
    ) -> PosedViews:
        """The views of one orbit; a seed means the same noise on every device.

        `steps` defaults to the model's own (50). With `keep_picture` the last frame is the picture itself, as in the
        official script, else what the model makes of it. `on_step` is told (steps done, all steps). Raises InputError
        where the model can't walk the orbit or the picture has another size than `abilities.size_px`.
        """
        return self.batch(
            [image], [orbit], seeds=[seed], steps=steps, guidance=guidance, keep_picture=keep_picture, on_step=on_step
        )[0]

    def views(self, image: Float[Tensor, "3 height width"], orbit: Orbit, *, seed: int) -> PosedViews:
        return self(image, orbit, seed=seed)

    def prior(self, image: Float[Tensor, "3 height width"], *, seed: int) -> OrbitPrior:
        from sv3dgen.sv3d.distillation import SV3DPrior  # which needs this class

        return SV3DPrior(self, image, seed=seed)

    def batch(
        self,
        images: Sequence[Picture],
        orbits: Sequence[Orbit],
        *,
        seeds: Sequence[int],
        steps: int | None = None,
        guidance: GuidanceShape = "triangular",
        keep_picture: bool = True,
        on_step: OnStep | None = None,
    ) -> list[PosedViews]:
        """Several orbits, each of its own picture and seed: what each would give alone. All have as many frames."""
        if not 0 < len(images) == len(orbits) == len(seeds):
            raise InputError(
                f"{len(images)} images, {len(orbits)} orbits, {len(seeds)} seeds: expected as many of each"
            )
        for orbit in orbits:
            self.check_orbit(orbit)
        if len({len(orbit) for orbit in orbits}) > 1:
            raise InputError("orbits of different lengths in one batch, expected the same number of frames in each")
        pictures = torch.stack([conditioning_picture(image, self.config.size_px) for image in images])
        noises = [self.draw_noise(seed, len(orbit)) for seed, orbit in zip(seeds, orbits, strict=True)]
        picture_noise, latent_noise = (torch.stack(parts) for parts in zip(*noises, strict=True))
        condition = self.condition(2 * pictures - 1, orbits, picture_noise)
        latents = self.sample(condition, latent_noise, steps=steps, guidance=guidance, on_step=on_step)
        frames = ((self.decode(latents) + 1) / 2).clamp(0, 1)
        if keep_picture:
            frames[:, -1] = pictures
        size_px = self.config.enlarged_px
        return [posed_views(clip, orbit, enlarged_px=size_px) for clip, orbit in zip(frames, orbits, strict=True)]

    @property
    def network(self) -> Network:
        """The UNet in the plan's precision, as the functions of `denoiser.py` take it; frozen, but differentiable."""
        return as_planned(self.unet, self.memory, self.device)

    def check_orbit(self, orbit: Orbit) -> None:
        """Raise InputError if the model can't walk this orbit; warn if it was not trained for its length."""
        if not (orbit.azimuth_deg.isfinite().all() and (orbit.elevation_deg.abs() <= 90).all()):
            raise InputError("orbit: expected finite azimuths and elevations within [-90, 90] degrees")
        if not self.config.unet.takes_poses and not _is_static(orbit):
            raise InputError(
                f"orbit: {self.abilities.name} takes no poses, so it only walks a static orbit: "
                "take orbit=static, or weights of SV3D_p"
            )
        if len(orbit) != self.config.frames:
            log.warning("orbit: %d frames, the model was trained for %d", len(orbit), self.config.frames)

    def draw_noise(
        self, seed: int, frames: int
    ) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "frames channels latent_height latent_width"]]:
        """The unit noise of one clip: on the conditioning picture, and on the latents."""
        size, latent_size = self.config.size_px, self.config.size_px // self.config.vae.downsampling
        channels = self.config.vae.latent_channels
        return draw_noise(seed, (self.config.vae.in_channels, size, size), (frames, channels, latent_size, latent_size))

    @torch.no_grad()
    def condition(
        self,
        pictures: Float[Tensor, "clips 3 height width"],
        orbits: Sequence[Orbit],
        picture_noise: Float[Tensor, "clips 3 height width"],
    ) -> Condition:
        """What clips are conditioned on, from pictures in [-1, 1] and unit noise; on the device, float32."""
        pictures, noise = pictures.to(self.device), picture_noise.to(self.device)
        context, image_latents = self.embed(pictures), self.encode(pictures + self.config.cond_aug * noise)
        vector = torch.stack([frame_vector(self.config.unet, orbit, self.config.cond_aug) for orbit in orbits])
        return Condition(context.float()[:, None], image_latents.float(), vector.to(self.device))

    @torch.no_grad()
    def embed(self, pictures: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images context"]:
        """The image encoder's embedding of pictures in [-1, 1] on the device."""
        with self._in_use(self.image_encoder), self.memory.computing(self.device):
            return torch.cat([self.image_encoder(chunk) for chunk in pictures.split(self.memory.encode_chunk)])

    @torch.no_grad()
    def encode(self, pictures: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images channels _ _"]:
        """Mean latents, unscaled, of pictures in [-1, 1] on the device."""
        with self._in_use(self.vae):
            return torch.cat([self.vae.encode(chunk) for chunk in pictures.split(self.memory.encode_chunk)])

    @torch.no_grad()
    def sample(
        self,
        condition: Condition,
        noise: Float[Tensor, "clips frames channels height width"],
        *,
        steps: int | None = None,
        guidance: GuidanceShape = "triangular",
        on_step: OnStep | None = None,
    ) -> Float[Tensor, "clips frames channels height width"]:
        """Scaled latents from unit noise; `clips_together` clips of the plan at a time."""
        sigmas = sigma_schedule(self.config.sampler, self.config.sampler.steps if steps is None else steps)
        scale = scale_by_name(guidance, self.config.sampler, condition.frames)
        groups = [slice(at, at + self.memory.clips_together) for at in range(0, len(noise), self.memory.clips_together)]
        network, sampled = self.network, []
        with self._in_use(self.unet):
            for index, clips in enumerate(groups):
                start = starting_latents(noise[clips].to(self.device), sigmas)

                def denoise(latents: Tensor, sigma: Tensor, given: Condition = condition[clips]) -> Tensor:
                    return denoise_guided(network, latents, sigma, given, scale, together=self.memory.halves_together)

                sampled.append(euler(denoise, start, sigmas, _over_groups(on_step, index, len(groups))))
        return torch.cat(sampled)

    @torch.no_grad()
    def decode(
        self, latents: Float[Tensor, "clips frames channels height width"]
    ) -> Float[Tensor, "clips frames 3 _ _"]:
        """Frames, mostly in [-1, 1], of scaled latents; on the CPU, float32."""
        chunks = [chunk for clip in latents for chunk in clip.split(self.memory.decode_chunk)]  # never across clips
        with self._in_use(self.vae):
            frames = torch.cat([self.vae.decode(chunk.to(self.device)).float().cpu() for chunk in chunks])
        return rearrange(frames, "(clips frames) c h w -> clips frames c h w", clips=len(latents))

    def _in_use(self, part: torch.nn.Module) -> AbstractContextManager[None]:
        return on_device(part, self.device, stay=not self.memory.offload)


def _name(path: Path, contents: Contents) -> str:
    """What a person calls the model."""
    if path == embedded.WEIGHTS:
        return "SV3D-tiny"
    released = contents.config in (sv3d_p(), sv3d_u())
    return contents.variant if released else f"a model of {contents.variant}'s kind in other sizes"


def _licence(path: Path, config: SV3DConfig) -> str:
    """That of the official weights, told by their names and sizes; what else there is may have any other."""
    if path == embedded.WEIGHTS:
        return embedded.LICENCE
    official = path.name in ("sv3d_p.safetensors", "sv3d_u.safetensors") and config in (sv3d_p(), sv3d_u())
    return OFFICIAL_LICENCE if official else "unknown"


def _is_static(orbit: Orbit) -> bool:
    frames = len(orbit)
    even = torch.arange(1, frames + 1, dtype=torch.float64) * 360 / frames
    off = (orbit.azimuth_deg.double() - orbit.azimuth_deg[-1] - even + 180) % 360 - 180
    level = orbit.elevation_deg - orbit.elevation_deg[-1]
    return bool(off.abs().max() < _EVEN_TOLERANCE_DEG and level.abs().max() < _EVEN_TOLERANCE_DEG)


def _over_groups(on_step: OnStep | None, index: int, groups: int) -> OnStep | None:
    """Count the steps of all groups of clips as one run."""
    if on_step is None:
        return None
    tell: Callable[[int, int], None] = on_step
    return lambda step, steps: tell(index * steps + step, groups * steps)
