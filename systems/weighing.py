"""What both stages do alike: their checks, their randomness, and how they weigh what their guidances say."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sv3dgen.interfaces import Guidance, RenderOutput, ViewBatch
from sv3dgen.schedules import ever_nonzero, value_at

MOST_STEPS = 1 << 20


def check_steps(steps: int, seed: int) -> None:
    """Raise ValueError for numbers that can't start a stage."""
    if not 1 <= steps < MOST_STEPS:
        raise ValueError(f"steps={steps}: expected 1 to {MOST_STEPS - 1}")
    if not 0 <= seed < 1 << 32:
        raise ValueError(f"seed={seed}: expected 0 to {(1 << 32) - 1}")


def step_seed(seed: int, step: int) -> int:
    """The seed of everything random inside a step. It follows from the run's seed: a resumed run repeats it exactly."""
    # torch's CPU generator reads 32 bits of its seed; mixing keeps neighbouring seeds and steps apart in all of them.
    return (seed * 0x9E3779B1 + step * 0x85EBCA77 + 0x27220A95) % (1 << 32)


def switched_on(guidance: Mapping[str, Guidance | Mapping]) -> nn.ModuleDict:
    """The guidances that are there; `guidance/NAME=none` leaves an empty entry."""
    parts = {name: part for name, part in guidance.items() if isinstance(part, Guidance)}
    if not any(ever_nonzero(weight) for part in parts.values() for weight in part.weights.values()):
        raise ValueError("guidance: expected at least one term with a weight, all are switched off")
    return nn.ModuleDict(parts)


def weighed_losses(
    guidance: nn.ModuleDict, render: RenderOutput, batch: ViewBatch, step: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of all guidances' losses, and the unweighted losses by `guidance/term`."""
    named: dict[str, Tensor] = {}
    total = torch.zeros(())
    for name, part in guidance.items():
        assert isinstance(part, Guidance)
        for term, loss in part(render, batch, step).losses.items():
            named[f"{name}/{term}"] = loss
            total = total + value_at(part.weights[term], step) * loss
    return total, named
