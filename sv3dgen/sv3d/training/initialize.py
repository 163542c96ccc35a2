"""Random weights to train a model from nothing, laid out so that training starts sanely.

Layers begin as torch's own do (Kaiming uniform: a uniform weight of at most 1 / sqrt(fan in), norms as the identity).
The outputs that generative-models sets to zero are zero: the second convolution of every residual block of the UNet,
the output of every transformer, and the last convolution. So each block begins as the identity, and v as 0. What mixes
space and time begins at its usual 0.5, the image encoder's tokens normal with deviation 1 / sqrt(width) as in OpenCLIP.
"""

import math
from collections.abc import Iterator

import torch
from diffusers.models.resnet import AlphaBlender, SpatioTemporalResBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn
from transformers.models.clip.modeling_clip import CLIPVisionEmbeddings

from sv3dgen.sv3d.checkpoint.load import Parts, build_parts, fill
from sv3dgen.sv3d.config import SV3DConfig
from sv3dgen.sv3d.network.unet import VideoUNet

_MIX_FACTOR = 0.5  # before the sigmoid


def fresh_parts(config: SV3DConfig, generator: torch.Generator) -> Parts:
    """The modules of a model of these sizes with random weights, float32, on the CPU, frozen."""
    parts = build_parts(config)
    for part in parts:
        for name, parameter in list(part.named_parameters()):
            fill(part, name, torch.empty_like(parameter, device="cpu"))
        initialize(part, generator)
        part.eval()
    return parts


@torch.no_grad()
def initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Give every parameter of a part of a model, or of a piece of one, the value that training starts from.

    Draws from `generator` alone. Raises TypeError for a parameter of a layer that isn't known.
    """
    done: set[int] = set()
    for layer in module.modules():
        own = list(layer.parameters(recurse=False))
        if own:
            _initialize_layer(layer, generator)
            done.update(map(id, own))
    missing = [name for name, parameter in module.named_parameters() if id(parameter) not in done]
    assert not missing, missing
    for layer in _silent_layers(module):
        for parameter in layer.parameters():
            parameter.zero_()


def _initialize_layer(layer: nn.Module, generator: torch.Generator) -> None:
    """The layer's own parameters, without those of layers inside it."""
    match layer:
        case nn.Linear() | nn.Conv2d() | nn.Conv3d():
            bound = 1 / math.sqrt(layer.weight[0].numel())
            layer.weight.uniform_(-bound, bound, generator=generator)
            if layer.bias is not None:
                layer.bias.uniform_(-bound, bound, generator=generator)
        case nn.GroupNorm() | nn.LayerNorm():
            layer.weight.fill_(1.0)
            layer.bias.zero_()
        case nn.Embedding():
            _normal(layer.weight, generator)
        case CLIPVisionEmbeddings():
            _normal(layer.class_embedding, generator)
        case AlphaBlender():
            layer.get_parameter("mix_factor").fill_(_MIX_FACTOR)
        case _:
            raise TypeError(f"{type(layer).__name__}: no initial value is known for its parameters")


def _normal(weights: Tensor, generator: torch.Generator) -> None:
    """Vectors of about unit length."""
    weights.normal_(std=weights.shape[-1] ** -0.5, generator=generator)


def _silent_layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers whose output starts as zero."""
    for layer in module.modules():
        match layer:
            case SpatioTemporalResBlock():
                yield from (layer.spatial_res_block.conv2, layer.temporal_res_block.conv2)
            case TransformerSpatioTemporalModel():
                yield layer.proj_out
            case VideoUNet():
                yield layer.conv_out
