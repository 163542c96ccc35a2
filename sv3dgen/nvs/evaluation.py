"""How well a model walks orbits of objects it was not trained on, against two baselines that do not look at poses.

Baselines: the picture itself in every frame, and the mean of the training images. For dynamic orbits there are two
controls that are drawn with other cameras than the true orbit's and should score worse where the model follows
cameras: the same cameras in another order, and the picture's own elevation throughout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.data.orbit_dataset import OrbitDataset, OrbitSample
from sv3dgen.errors import InputError
from sv3dgen.metrics.lpips import NAMES, Lpips, Net
from sv3dgen.metrics.orbits import OrbitScores, score_orbits
from sv3dgen.sv3d.model import SV3D
from sv3dgen.sv3d.sampler import OnStep
from sv3dgen.views.orbits import Orbit

MODEL, COPY, MEAN = "model", "copy of the picture", "mean training image"
SHUFFLED, LEVEL = "cameras shuffled", "cameras level"
_MEAN_OF_ORBITS = 200


@dataclass(frozen=True)
class Evaluation:
    """Scores by method, and what the model drew."""

    scores: Mapping[str, OrbitScores]
    drawn: Float[Tensor, "orbits frames 3 height width"]
    truth: Float[Tensor, "orbits frames 3 height width"]
    names: tuple[str, ...] = field(default=())
    lpips_net: Net | None = None  # that LPIPS was computed on; numbers of different ones do not compare


def evaluate_orbits(
    model: SV3D,
    samples: Sequence[OrbitSample],
    mean_image: Float[Tensor, "3 height width"],
    *,
    steps: int | None = None,
    seed: int = 0,
    controls: bool = False,
    lpips: Lpips | None = None,
    on_step: OnStep | None = None,
) -> Evaluation:
    """Sample every orbit from its last frame and score it; `controls` for dynamic orbits."""
    truth = torch.stack([sample.frames for sample in samples]).float() / 255
    azimuth_deg = torch.stack([sample.azimuth_deg for sample in samples])
    orbits = [Orbit(sample.elevation_deg, sample.azimuth_deg) for sample in samples]
    drawn = sampled_frames(model, truth[:, -1], orbits, steps=steps, seed=seed, on_step=on_step)
    pictures = {MODEL: drawn, COPY: truth[:, -1:].expand_as(truth), MEAN: mean_image.expand_as(truth)}
    if controls:
        for name, other in ((SHUFFLED, shuffled), (LEVEL, level)):
            paths = [other(orbit, seed + index) for index, orbit in enumerate(orbits)]
            pictures[name] = sampled_frames(model, truth[:, -1], paths, steps=steps, seed=seed)
    scores = {name: score_orbits(frames, truth, azimuth_deg, lpips=lpips) for name, frames in pictures.items()}
    net = None if lpips is None else lpips.net
    return Evaluation(scores, drawn, truth, tuple(sample.name for sample in samples), net)


def sampled_frames(
    model: SV3D,
    pictures: Float[Tensor, "orbits 3 height width"],
    orbits: Sequence[Orbit],
    *,
    steps: int | None,
    seed: int,
    on_step: OnStep | None = None,
) -> Float[Tensor, "orbits frames 3 height width"]:
    """What the model makes of pictures in [0, 1], the last frame too; orbit k's noise has seed `seed + k`."""
    for orbit in orbits:
        model.check_orbit(orbit)
    if pictures.shape[-1] != model.config.size_px:
        raise InputError(f"frames of {pictures.shape[-1]} px, expected {model.config.size_px} as the model has them")
    noises = [model.draw_noise(seed + index, len(orbit)) for index, orbit in enumerate(orbits)]
    condition = model.condition(2 * pictures - 1, orbits, torch.stack([noise for noise, _ in noises]))
    latents = model.sample(condition, torch.stack([noise for _, noise in noises]), steps=steps, on_step=on_step)
    return ((model.decode(latents) + 1) / 2).clamp(0, 1)


def shuffled(orbit: Orbit, seed: int) -> Orbit:
    """The same cameras in another order; the conditioning view stays last."""
    order = torch.randperm(len(orbit) - 1, generator=torch.Generator().manual_seed(seed))
    order = torch.cat([order, torch.tensor([len(orbit) - 1])])
    return Orbit(orbit.elevation_deg[order], orbit.azimuth_deg[order])


def level(orbit: Orbit, seed: int) -> Orbit:
    """The same azimuths, all seen from the conditioning view's elevation."""
    return Orbit(orbit.elevation_deg[-1:].expand(len(orbit)).clone(), orbit.azimuth_deg)


def mean_of_images(dataset: OrbitDataset) -> Float[Tensor, "3 height width"]:
    """The mean of the frames of up to 200 orbits, evenly picked, in [0, 1]."""
    count = min(len(dataset), _MEAN_OF_ORBITS)
    picked = [index * len(dataset) // count for index in range(count)]
    return torch.stack([dataset[index].frames.float().mean(0) for index in picked]).mean(0) / 255


def report(evaluations: Mapping[str, Evaluation]) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """Means by kind of orbit and method, as plain values, and the model's PSNR of each frame's place in the orbit."""
    numbers: dict[str, dict[str, dict]] = {}
    for kind, evaluation in evaluations.items():
        numbers[kind] = {name: scores.summary() for name, scores in evaluation.scores.items()}
        frames = evaluation.scores[MODEL].psnr.mean(0).tolist()
        numbers[kind]["psnr of each frame"] = {str(index): value for index, value in enumerate(frames)}
    return numbers


def markdown(evaluations: Mapping[str, Evaluation]) -> str:
    """The means as a table."""
    nets = dict.fromkeys(evaluation.lpips_net for evaluation in evaluations.values())
    on = ", ".join(NAMES[net].partition(",")[0] for net in nets if net is not None)
    lines = [
        f"| orbits | method | PSNR | SSIM | LPIPS{f' ({on})' if on else ''} | PSNR front | PSNR back |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, evaluation in evaluations.items():
        for name, scores in evaluation.scores.items():
            row = scores.summary()
            cells = [f"{row[key]:.2f}" for key in ("psnr_front", "psnr_back")]
            lpips = "-" if row["lpips"] is None else f"{row['lpips']:.3f}"
            start = f"| {row['orbits']} {kind} | {name} | {row['psnr']:.2f} | {row['ssim']:.3f} | {lpips} | "
            lines.append(start + " | ".join(cells) + " |")
    return "\n".join(lines)
