"""The three kinds of level of SV3D's UNet: down, middle and up, out of diffusers' spatio-temporal blocks.

diffusers has such levels too (`CrossAttnDownBlockSpatioTemporal` and the like) and these carry its parameter names, but
its own normalize with other epsilons than SV3D was trained with and can't leave out the transformers of any one level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import SpatioTemporalResBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from diffusers.models.upsampling import Upsample2D
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sv3dgen.sv3d.config import UNetConfig
from sv3dgen.sv3d.network.single_key_attention import SingleKeyAttention

_RESNET_EPS = 1e-5  # of every group norm in a residual block; the transformers' own is 1e-6


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What every level gets besides its features. Views are the frames of all clips, the clips one after the other."""

    embedding: Float[Tensor, "views time_embed"]  # of noise level and camera
    context: Float[Tensor, "views 1 context"]  # embedding of the conditioning picture
    is_still: Float[Tensor, "clips frames"]  # 1 where a frame belongs to no clip and is not mixed over time
    checkpointing: bool = False  # recompute activations in the backward pass instead of keeping them


class Level(nn.Module):
    """Residual blocks at one resolution, each followed by a transformer where the level has them."""

    def __init__(self, config: UNetConfig, in_channels: Sequence[int], out_channels: int, transformers: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            SpatioTemporalResBlock(width, out_channels, config.time_embed_dim, eps=_RESNET_EPS) for width in in_channels
        )
        if transformers:  # no empty list: diffusers' levels without transformers have no such name
            self.attentions = nn.ModuleList(_transformer(config, out_channels) for _ in range(transformers))

    def resnet(self, index: int, features: Tensor, conditions: Conditions) -> Tensor:
        """The features after a residual block."""
        return _run(self.resnets[index], conditions, features, conditions.embedding, conditions.is_still)

    def attend(self, index: int, features: Tensor, conditions: Conditions) -> Tensor:
        """The features after a transformer; as they are where the level has none."""
        if not hasattr(self, "attentions"):
            return features
        return _run(self.attentions[index], conditions, features, conditions.context, conditions.is_still, False)[0]


class DownLevel(Level):
    """Blocks on the way down, then half the resolution unless it is the last level."""

    def __init__(self, config: UNetConfig, in_channels: int, out_channels: int, *, attends: bool, last: bool) -> None:
        blocks = config.res_blocks
        super().__init__(
            config, [in_channels] + [out_channels] * (blocks - 1), out_channels, transformers=blocks * attends
        )
        if not last:
            self.downsamplers = nn.ModuleList([Downsample2D(out_channels, use_conv=True, padding=1, name="op")])

    def forward(
        self, features: Float[Tensor, "views in height width"], conditions: Conditions
    ) -> list[Float[Tensor, "views out _ _"]]:
        """The features after each block and after the downsampling; the last of them go on, all of them go across."""
        outputs = []
        for index in range(len(self.resnets)):
            features = self.attend(index, self.resnet(index, features, conditions), conditions)
            outputs.append(features)
        if hasattr(self, "downsamplers"):
            outputs.append(self.downsamplers[0](features))
        return outputs


class MiddleLevel(Level):
    """Two residual blocks with a transformer between them."""

    def __init__(self, config: UNetConfig, channels: int) -> None:
        super().__init__(config, [channels, channels], channels, transformers=1)

    def forward(
        self, features: Float[Tensor, "views channels height width"], conditions: Conditions
    ) -> Float[Tensor, "views channels height width"]:
        """The features after the level."""
        features = self.attend(0, self.resnet(0, features, conditions), conditions)
        return self.resnet(1, features, conditions)


class UpLevel(Level):
    """Blocks on the way up, each with features from the way down next to its own, then twice the resolution."""

    def __init__(
        self,
        config: UNetConfig,
        in_channels: int,
        across_channels: Sequence[int],
        out_channels: int,
        *,
        attends: bool,
        last: bool,
    ) -> None:
        own = [in_channels] + [out_channels] * config.res_blocks
        widths = [width + across for width, across in zip(own, across_channels, strict=True)]
        super().__init__(config, widths, out_channels, transformers=len(widths) * attends)
        if not last:
            self.upsamplers = nn.ModuleList([Upsample2D(out_channels, use_conv=True)])

    def forward(
        self, features: Float[Tensor, "views in _ _"], across: list[Tensor], conditions: Conditions
    ) -> Float[Tensor, "views out _ _"]:
        """The features after the level; takes what it needs off the end of `across`."""
        for index in range(len(self.resnets)):
            features = torch.cat([features, across.pop()], dim=1)
            features = self.attend(index, self.resnet(index, features, conditions), conditions)
        return self.upsamplers[0](features) if hasattr(self, "upsamplers") else features


def _transformer(config: UNetConfig, channels: int) -> TransformerSpatioTemporalModel:
    transformer = TransformerSpatioTemporalModel(
        num_attention_heads=channels // config.head_channels,
        attention_head_dim=config.head_channels,
        in_channels=channels,
        num_layers=config.transformer_depth,
        cross_attention_dim=config.context_dim,
    )
    for name, module in transformer.named_modules():
        if name.endswith("attn2"):
            assert isinstance(module, Attention)
            module.set_processor(cast(Any, SingleKeyAttention()))
    return transformer


def _run(module: nn.Module, conditions: Conditions, *inputs: Any) -> Any:
    if conditions.checkpointing and torch.is_grad_enabled():
        return checkpoint(module, *inputs, use_reentrant=False)
    return module(*inputs)
