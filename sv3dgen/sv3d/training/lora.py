"""Low-rank adapters (Hu et al. 2021): training a few numbers next to the attention's weights instead of them.

An adapted weight is W + scale * up @ down, with W frozen, and reads as that sum: what copies `layer.weight`, such as
`save_official`, gets plain weights of the plain shapes.
"""

import math
from typing import cast

import torch
from diffusers.models.attention_processor import Attention
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """A matrix plus a trained one of low rank, which starts as zero."""

    def __init__(self, outputs: int, inputs: int, rank: int, scale: float, generator: torch.Generator):
        super().__init__()
        self.scale = scale
        bound = 1 / math.sqrt(inputs)
        self.down = nn.Parameter(torch.empty(rank, inputs).uniform_(-bound, bound, generator=generator))
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs inputs"]:
        """The adapted matrix."""
        return weight + self.scale * self.up @ self.down


def add_adapters(
    module: nn.Module, rank: int, generator: torch.Generator, *, scale: float | int = 1.0
) -> list[nn.Parameter]:
    """Adapt every attention inside, freeze all else; returns what there is to train.

    Adapted are the queries, keys, values and outputs of self-attention, and the values and outputs of cross-attention:
    with its single key, queries and keys have no effect. Raises ValueError for a rank below 1.
    """
    if rank < 1:
        raise ValueError(f"lora_rank={rank}: expected at least 1")
    module.requires_grad_(False)
    adapters: list[nn.Parameter] = []
    for name, attention in list(module.named_modules()):
        if not isinstance(attention, Attention):
            continue
        layers = [attention.to_v, cast(nn.ModuleList, attention.to_out)[0]]
        if not name.endswith("attn2"):
            layers += [attention.to_q, attention.to_k]
        for layer in layers:
            assert isinstance(layer, nn.Linear)
            low_rank = LowRank(layer.out_features, layer.in_features, rank, float(scale), generator)
            parametrize.register_parametrization(layer, "weight", low_rank)
            adapters += low_rank.parameters()
    return adapters
