"""Attention for training: the same numbers, without what costs time and teaches nothing.

On a CPU, torch's fused attention takes ten times longer backwards than the two products and the softmax that it stands
for where sequences are short, as those over 21 frames or over the pixels of small latents are. And attention to the
single token of the picture gives its value whatever query and key are: their weights have no gradient, so they are
frozen here rather than computed with.
"""

from typing import Any, cast

from diffusers.models.attention import BasicTransformerBlock, TemporalBasicTransformerBlock
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sv3dgen.sv3d.network.single_key_attention import value_of_the_key

SHORT = 256  # tokens


class ShortAttention(AttnProcessor2_0):
    """A processor for diffusers' `Attention` over itself: written out for short sequences on a CPU, else fused."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, "batch tokens width"],
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Float[Tensor, "batch tokens width"]:
        """What each token is answered with; diffusers' names of arguments."""
        short = hidden_states.device.type == "cpu" and hidden_states.shape[1] <= SHORT
        if not short or encoder_hidden_states is not None or attention_mask is not None:
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask)
        queries, keys, values = (
            rearrange(
                cast(nn.Linear, layer)(hidden_states),
                "batch tokens (heads dim) -> batch heads tokens dim",
                heads=attn.heads,
            )
            for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
        answers = scores.float().softmax(dim=-1).to(values.dtype) @ values
        return cast(nn.ModuleList, attn.to_out)[0](
            rearrange(answers, "batch heads tokens dim -> batch tokens (heads dim)")
        )


class SingleValueAttention(AttnProcessor2_0):
    """A processor for diffusers' `Attention` where everything attends to one token: the answer is the token's value."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, "batch queries width"],
        encoder_hidden_states: Float[Tensor, "batch 1 context"],
        attention_mask: Tensor | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """The same for each query."""
        return value_of_the_key(attn, hidden_states, encoder_hidden_states)


def prepare_for_training(unet: nn.Module) -> None:
    """Have the transformers of a UNet attend as said above. What has no effect on the output is frozen."""
    for block in unet.modules():
        if not isinstance(block, BasicTransformerBlock | TemporalBasicTransformerBlock):
            continue
        own, across = cast(Attention, block.attn1), cast(Attention, block.attn2)
        own.set_processor(cast(Any, ShortAttention()))
        across.set_processor(cast(Any, SingleValueAttention()))
        for without_effect in (across.to_q, across.to_k, block.norm2):
            cast(nn.Module, without_effect).requires_grad_(False)
