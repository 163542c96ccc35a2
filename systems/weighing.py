"""What both stages do with their guidances: call them, and weigh their losses by schedule."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sv3dgen.interfaces import Guidance, RenderOutput, ViewBatch
from sv3dgen.schedules import value_at


def weighed_losses(
    guidance: Mapping[str, Guidance], render: RenderOutput, batch: ViewBatch, step: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of all guidances' losses, and the unweighted losses by `guidance/term`."""
    named: dict[str, Tensor] = {}
    total = torch.zeros(())
    for name, part in guidance.items():
        for term, loss in part(render, batch, step).losses.items():
            named[f"{name}/{term}"] = loss
            total = total + value_at(part.weights[term], step) * loss
    return total, named
