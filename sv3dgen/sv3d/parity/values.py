"""Our numbers for the tensors of a parity case, group by group, under the names that the case gives them.

A case's own README tells what each name means. A group takes what it needs from the case's inputs; where one of them
is missing the group ends (MissingTensor), and what it would have given is not compared.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sv3dgen.documents.json_text import parse_json
from sv3dgen.photo.recenter import recentered
from sv3dgen.sv3d.conditioning import Condition, frame_vector, joined, polars_and_azimuths
from sv3dgen.sv3d.config import SV3DConfig
from sv3dgen.sv3d.denoiser import denoise_guided, denoise_halves, predict_v, scalings
from sv3dgen.sv3d.guidance_scale import scale_by_name, triangular_scale
from sv3dgen.sv3d.model import SV3D
from sv3dgen.sv3d.network.unet import VideoUNet
from sv3dgen.sv3d.parity.taps import tapped
from sv3dgen.sv3d.sampler import euler, sigma_schedule, starting_latents
from sv3dgen.sv3d.training.loss import frame_losses, sigmas_from_normal, v_weight
from sv3dgen.views.orbits import Orbit, StaticOrbit, _sinusoids, _smooth

Values = Iterator[tuple[str, Tensor]]


class MissingTensor(Exception):
    """A case has no tensor of that name."""


class Tensors(dict[str, Tensor]):
    """Tensors by name."""

    def __missing__(self, name: str) -> Tensor:
        raise MissingTensor(name)


@dataclass(frozen=True)
class Case:
    """What a folder holds: sizes, weights, and all tensors of its io file (inputs and expected outputs)."""

    folder: Path
    model: SV3D  # float32, on the CPU
    tensors: Tensors
    u_weights: Tensors | None  # of the SV3D_u variant's own layers, by official key

    @property
    def config(self) -> SV3DConfig:
        return self.model.config

    @cached_property
    def orbit(self) -> Orbit:
        """The orbit of everything that runs the network."""
        return Orbit(self.tensors["traj.primary.elevations_deg"], self.tensors["traj.primary.azimuths_deg"])

    @cached_property
    def condition(self) -> Condition:
        """The condition of the case's picture on its orbit, with the case's noise."""
        return self.model.condition(self.tensors["in.image"], [self.orbit], self.tensors["in.cond_noise"])

    @cached_property
    def guidance_scale(self) -> Tensor:
        return scale_by_name("triangular", self.config.sampler, self.condition.frames)

    @cached_property
    def trajectory(self) -> tuple[list[Tensor], list[Tensor]]:
        """Latents before every step and at the end, and the guided estimate in every step."""
        sigmas = sigma_schedule(self.config.sampler, self.config.sampler.steps)
        latents, estimates = [starting_latents(self.tensors["in.noise"][None], sigmas)], []

        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            estimates.append(denoise_guided(self.model.unet, noisy, sigma, self.condition, self.guidance_scale))
            return estimates[-1]

        for step in range(len(sigmas) - 1):
            latents.append(euler(denoise, latents[-1], sigmas[step : step + 2]))
        return latents, estimates

    def names(self, pattern: str) -> Iterator[re.Match[str]]:
        """The tensors whose whole name matches, in the order of the file."""
        return (match for name in self.tensors if (match := re.fullmatch(pattern, name)))


def trajectories(case: Case) -> Values:
    """Angles of declared orbits: a list of angles for each frame, or one elevation and even azimuths."""
    for match in case.names(r"(traj\..+)\.elevations?_deg"):
        prefix, elevation_deg = match[1], case.tensors[match[0]]
        if f"{prefix}.azimuths_deg" in case.tensors:
            azimuth_deg = case.tensors[f"{prefix}.azimuths_deg"]
            orbit = Orbit(elevation_deg.expand_as(azimuth_deg), azimuth_deg)
        else:
            views = len(case.tensors[f"{prefix}.azimuths_rad"])
            orbit = StaticOrbit()(float(elevation_deg), views, torch.Generator())
        polars_rad, azimuths_rad = polars_and_azimuths(orbit)
        yield f"{prefix}.polars_rad", polars_rad
        yield f"{prefix}.azimuths_rad", azimuths_rad
        yield f"{prefix}.vector", frame_vector(case.config.unet, orbit, case.config.cond_aug)


def orbits(case: Case) -> Values:
    """The released demo's dynamic orbit, with numpy's random numbers drawn in its order."""
    yield "orbit.smooth.output", _smooth(case.tensors["orbit.smooth.input"])
    init_deg = float(case.tensors["orbit.dynamic.init_elev_deg"])
    draw = np.random.RandomState(int(case.tensors["orbit.dynamic.numpy_seed"]))
    views, samples = len(case.tensors["orbit.dynamic.elev_rad"]), 84
    elevation_deg = torch.full((samples,), 90.0, dtype=torch.float64)
    while elevation_deg.abs().max() >= 90:
        terms = [(draw.randint(1, 5), draw.uniform(0.5, 10), draw.choice([0, np.pi])) for _ in range(samples)]
        periods, amplitudes_deg, phases_rad = torch.tensor(terms, dtype=torch.float64).T
        elevation_deg = init_deg + _smooth(_sinusoids(periods, amplitudes_deg, phases_rad, samples))
        steps = torch.from_numpy(draw.uniform(0, 2, samples - 1))
        total_deg = 360 - 360 / samples * draw.uniform(0, 2)
    azimuth_deg = torch.cat([steps.new_zeros(1), steps.cumsum(0) / steps.sum() * total_deg])
    step = samples // case.config.frames
    taken = torch.arange(0, samples, step) if len(range(0, samples, step)) == views else _evenly_taken(samples, views)
    yield "orbit.dynamic.elev_rad", torch.deg2rad(elevation_deg[taken].roll(-1))
    yield "orbit.dynamic.azim_rad", torch.deg2rad(azimuth_deg[taken].roll(-1))


def schedules(case: Case) -> Values:
    """Noise levels, and guidance scales whose settings are part of their names."""
    for match in case.names(r"sched\.(sigmas|c_noise)_(\d+)"):
        sigmas = sigma_schedule(case.config.sampler, int(match[2]))
        yield match[0], sigmas if match[1] == "sigmas" else scalings(sigmas[:-1]).noise
    settings = case.config.sampler
    for match in case.names(r"guider\.scale_(\d+)((?:_[a-z]+[\d.]+)*)"):
        own = {key: float(value) for key, value in re.findall(r"([a-z]+)([\d.]+)", match[2])}
        yield (
            match[0],
            triangular_scale(
                int(match[1]),
                lowest=own.get("min", settings.guidance_min),
                highest=own.get("max", settings.guidance_max),
                period=own.get("period", settings.guidance_period),
            ),
        )
    factors = scalings(case.tensors["den.sigmas"])
    yield "den.scalings", torch.stack([factors.skip, factors.out, factors.input, factors.noise], dim=-1)


def conditions(case: Case) -> Values:
    """What the picture and the orbit become before they enter the network."""
    yield "cond.crossattn", case.condition.context
    yield "cond.concat", case.condition.image_latents
    yield "cond.vector", case.condition.vector[0]
    image = case.tensors["in.image"]
    yield "clip.preprocessed_sub8", case.model.image_encoder.preprocess(image)[:, :, ::8, ::8]
    noisy = image + case.config.cond_aug * case.tensors["in.cond_noise"]
    yield "ae.cond_moments", case.model.vae.moments(noisy)


def large_picture(case: Case) -> Values:
    """The image encoder where its resize has to blur."""
    path = case.folder / "preprocess" / "square_none_out.png"
    if path.is_file():
        with Image.open(path) as picture:
            levels = torch.from_numpy(np.array(picture.convert("RGB")))
        image = levels.permute(2, 0, 1)[None].float() / 255 * 2 - 1
        yield "clip576.preprocessed_sub8", case.model.image_encoder.preprocess(image)[:, :, ::8, ::8]
        yield "clip576.embed", case.model.image_encoder(image)


def autoencoder(case: Case) -> Values:
    """Pictures to latents and back."""
    clip = case.tensors["ae.clip"]
    yield "ae.moments", case.model.vae.moments(clip)
    mode = case.model.vae.encode(clip)
    yield "ae.mode", mode
    yield "ae.decoded", case.model.vae.decode(case.config.vae.scale_factor * mode)


def denoisers(case: Case) -> Values:
    """Single calls of the network, raw and as estimates, without and with the picture, and guided."""
    condition, network = case.condition, case.model.unet
    halves = joined([condition.unconditional(), condition])
    for index, level in enumerate(case.tensors["den.sigmas"]):
        latents, sigma = case.tensors[f"den.x.{index}"][None], level[None]
        with tapped(network) as taps:
            unconditional, conditional = predict_v(network, latents.repeat(2, 1, 1, 1, 1), sigma.repeat(2), halves)
        if index == 0:
            yield from taps(image=condition.frames + min(3, condition.frames - 1), frames=condition.frames)
        yield f"den.net_uncond.{index}", unconditional
        yield f"den.net_cond.{index}", conditional
        unconditional, conditional = denoise_halves(network, latents, sigma, condition)
        yield f"den.denoised_uncond.{index}", unconditional[0]
        yield f"den.denoised_cond.{index}", conditional[0]
        yield f"den.guided.{index}", denoise_guided(network, latents, sigma, condition, case.guidance_scale)[0]


def sampling(case: Case) -> Values:
    """Every step of the sampler, from the case's noise."""
    latents, estimates = case.trajectory
    for index, values in enumerate(latents):
        yield f"samp.x.{index}", values[0]
    for index, values in enumerate(estimates):
        yield f"samp.denoised.{index}", values[0]


def pipeline(case: Case) -> Values:
    """From picture to frames, the last of them replaced by the picture."""
    decoded = case.model.decode(case.trajectory[0][-1])[0]
    if "pipe.decoded_idx" in case.tensors:
        yield "pipe.decoded", decoded[case.tensors["pipe.decoded_idx"]]
    frames = ((torch.cat([decoded[:-1], case.tensors["in.image"]]) + 1) / 2).clamp(0, 1)
    shown = _evenly_taken(len(frames), len(case.tensors["pipe.frames_u8"]))
    yield "pipe.frames_u8", (frames[shown] * 255).byte().permute(0, 2, 3, 1)


def unposed(case: Case) -> Values:
    """The SV3D_u variant: the same weights but for the embedding of the numbers that condition a frame."""
    if case.u_weights is None:
        return
    config = replace(case.config.unet, vector_dims=case.config.unet.vector_dims[:1])
    network = VideoUNet(config).eval()
    own = {_embedding_name(key): value.float() for key, value in case.u_weights.items()}
    network.load_state_dict({**case.model.unet.state_dict(), **own})
    vector = frame_vector(config, case.orbit, case.config.cond_aug)
    yield "u.vector", vector
    condition = Condition(case.condition.context, case.condition.image_latents, vector[None])
    latents, sigma = case.tensors["den.x.1"][None], case.tensors["den.sigmas"][1:2]
    unconditional, conditional = denoise_halves(network, latents, sigma, condition)
    yield "u.denoised_uncond", unconditional[0]
    yield "u.denoised_cond", conditional[0]


def losses(case: Case) -> Values:
    """The training loss and its distribution of noise levels."""
    yield "loss.sigma_sampler_out", sigmas_from_normal(case.tensors["loss.sigma_sampler_rand"])
    yield "loss.v_weight", v_weight(case.tensors["den.sigmas"])
    latents, noise = (case.tensors[f"loss.{name}"][None] for name in ("latents", "noise"))
    yield "loss.per_frame", frame_losses(case.model.unet, latents, noise, case.tensors["loss.sigma"], case.condition)[0]


def preprocessing(case: Case) -> Values:
    """Transparent pictures, recentered on white; one name for each of the case's pictures."""
    for entry in preprocessing_cases(case.folder):
        with Image.open(case.folder / "preprocess" / entry["output"]) as expected:
            size_px = expected.width
        with Image.open(case.folder / "preprocess" / entry["input"]) as image:
            made = recentered(image, foreground_ratio=entry["image_frame_ratio"], size_px=size_px)
        yield f"preprocess/{entry['output']}", torch.from_numpy(np.array(made))


def preprocessing_cases(folder: Path) -> list[dict[str, Any]]:
    """The list of pictures in a case; empty where it has none."""
    path = folder / "preprocess" / "cases.json"
    return parse_json(path.read_text(encoding="utf-8")) if path.is_file() else []


GROUPS: tuple[Callable[[Case], Values], ...] = (
    trajectories,
    orbits,
    schedules,
    conditions,
    large_picture,
    autoencoder,
    denoisers,
    sampling,
    pipeline,
    unposed,
    losses,
    preprocessing,
)


def _evenly_taken(frames: int, count: int) -> Tensor:
    """Which frames are shown: every n-th from the first on; where that leaves a choice, every 4th as of 21."""
    fitting = [step for step in range(1, frames + 1) if len(range(0, frames, step)) == count]
    ending = [step for step in fitting if (frames - 1) % step == 0]  # with the last among them
    if not fitting:
        return torch.linspace(0, frames - 1, count).round().long()
    return torch.arange(0, frames, 4 if 4 in fitting else (ending or fitting)[0])


def _embedding_name(key: str) -> str:
    """The parameter of an official key of the embedding: `...label_emb.0.0.weight`, `...label_emb.0.2.bias`."""
    layer, kind = key.split(".")[-2:]
    return f"add_embedding.linear_{1 if layer == '0' else 2}.{kind}"
