"""What both stages do alike: their checks, their randomness, and how they weigh what their guidances say."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor, nn

from sv3dgen.data.view_corrections import ViewCorrections
from sv3dgen.errors import InputError
from sv3dgen.interfaces import Geometry, Guidance, Material, Reference, RenderOutput, ViewBatch
from sv3dgen.schedules import changes, ever_nonzero, value_at
from sv3dgen.seeding import seed_of
from sv3dgen.views.cameras import Cameras

MOST_STEPS = 1 << 20


@runtime_checkable
class Draw(Protocol):
    """Draws the stage's shape: the given pixels as training wants them, or, with `whole`, all of the frames."""

    def __call__(
        self, cameras: Cameras, pixels: Int[Tensor, "images height width 2"] | None, *, whole: bool = False
    ) -> RenderOutput: ...


@dataclass(frozen=True)
class Weighted:
    """What a step's guidances say together. Names are `guidance/term`."""

    loss: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)  # unweighted
    pictures: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)  # what those that are schedules are at


def check_steps(steps: int, seed: int) -> None:
    """Raise ValueError for numbers that can't start a stage."""
    if not 1 <= steps < MOST_STEPS:
        raise ValueError(f"steps={steps}: expected 1 to {MOST_STEPS - 1}")
    if not 0 <= seed < 1 << 32:
        raise ValueError(f"seed={seed}: expected 0 to {(1 << 32) - 1}")


def check_kind(key: str, part: object, expected: type, partner: object) -> None:
    """Raise InputError where `part` does not have the interface that its place asks for.

    It names `partner` as well, the part that has to work with it.
    """
    if not isinstance(part, expected):
        found, other = type(part).__name__, type(partner).__name__
        raise InputError(f"{key}: {found} is not a {expected.__name__}, which {other} and this stage need")


def check_features(stage: str, geometry: Geometry, material: Material) -> None:
    """Raise InputError, naming both parts, where a material reads another number of features than there are."""
    given = getattr(geometry, "feature_dim", "an unknown number of")
    if given != material.feature_dim:
        raise InputError(
            f"{stage}.geometry: {type(geometry).__name__} gives {given} features at a point, "
            f"{type(material).__name__} reads {material.feature_dim}; expected the same feature_dim"
        )


def step_seed(seed: int, step: int) -> int:
    """The seed of everything random inside a step. It follows from the run's seed: a resumed run repeats it exactly."""
    return seed_of(seed, "step", step)


def switched_on(guidance: Mapping[str, Guidance | Mapping]) -> nn.ModuleDict:
    """The guidances that are there; `guidance/NAME=none` leaves an empty entry."""
    parts = nn.ModuleDict({name: part for name, part in guidance.items() if isinstance(part, Guidance)})
    _check_weights(parts)
    return parts


def start_guidance(guidance: nn.ModuleDict, reference: Reference) -> None:
    """Tell every guidance what it works on; one that finds nothing to work with gives up its weights."""
    for part in guidance.values():
        assert isinstance(part, Guidance)
        part.start_from(reference)
    _check_weights(guidance)


def _check_weights(guidance: nn.ModuleDict) -> None:
    parts = [part for part in guidance.values() if isinstance(part, Guidance)]
    if not any(ever_nonzero(weight) for part in parts for weight in part.weights.values()):
        raise InputError("guidance: expected at least one term with a weight, all are switched off")


def buffers_needed(guidance: nn.ModuleDict) -> tuple[str, ...]:
    """What the renderer has to draw next to color and opacity, for guidances with a weight."""
    needed: set[str] = set()
    for part in guidance.values():
        assert isinstance(part, Guidance)
        if any(ever_nonzero(weight) for weight in part.weights.values()):
            needed.update(part.needs)
    return tuple(sorted(needed))


def corrected_losses(
    guidance: nn.ModuleDict, draw: Draw, batch: ViewBatch, step: int, corrections: ViewCorrections
) -> Weighted:
    """As `weighted_losses`, of the batch as the corrections of its views have it, and what these cost."""
    said = weighted_losses(guidance, draw, corrections.applied(batch), step)
    if corrections.count == 0:
        return said
    prior = corrections.prior()
    losses = {**said.losses, "corrections/prior": prior}
    return replace(said, loss=said.loss + corrections.prior_weight * prior, losses=losses)


def weighted_losses(guidance: nn.ModuleDict, draw: Draw, batch: ViewBatch, step: int) -> Weighted:
    """What all guidances say of the batch's render, or of a render by cameras of their own, and the weighted sum."""
    render = draw(batch.cameras, batch.pixels)
    if batch.gain is not None:
        render = replace(render, rgb=render.rgb * batch.gain)
    device = render.opacity.device
    total = torch.zeros((), device=device)
    losses, pictures, weights = {}, {}, {}
    for name, part in guidance.items():
        assert isinstance(part, Guidance)
        cameras = part.cameras(step)
        said = part(render if cameras is None else draw(cameras.to(device), None, whole=True), batch, step)
        for term, loss in said.losses.items():
            losses[f"{name}/{term}"] = loss
            total = total + value_at(part.weights[term], step) * loss
        pictures |= {f"{name}/{what}": picture for what, picture in said.pictures.items()}
        schedules = {term: weight for term, weight in part.weights.items() if changes(weight)}
        weights |= {f"{name}/{term}": value_at(schedule, step) for term, schedule in schedules.items()}
    return Weighted(total, losses, pictures, weights)
