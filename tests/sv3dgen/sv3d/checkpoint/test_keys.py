"""The key table against the official key lists, and against the parameters of diffusers' and transformers' modules."""

import json
from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from sv3dgen.sv3d.checkpoint.keys import LABEL_EMBEDDING, key_table
from sv3dgen.sv3d.checkpoint.load import build_parts
from sv3dgen.sv3d.config import ImageEncoderConfig, SV3DConfig, UNetConfig, VAEConfig, sv3d_p, sv3d_u

ODD = SV3DConfig(
    unet=UNetConfig(
        channels=32,
        channel_mult=(1, 3, 2),
        res_blocks=1,
        attention_factors=(2,),
        head_channels=8,
        transformer_depth=2,
        context_dim=48,
        vector_dims=(256, 64, 32),
    ),
    vae=VAEConfig(channels=32, channel_mult=(1, 2, 2), res_blocks=3, latent_channels=3),
    image_encoder=ImageEncoderConfig(
        width=48, layers=3, head_width=12, mlp_ratio=2.5, patch_px=32, size_px=96, embed_dim=48
    ),
)

# The first level need not be as wide as the first convolution, which diffusers' own classes cannot be told.
WIDE_START = replace(
    ODD,
    unet=replace(ODD.unet, channel_mult=(2, 4), attention_factors=(1,)),
    vae=replace(ODD.vae, channel_mult=(3, 1, 2)),
)


@pytest.mark.parametrize(("name", "config"), [("sv3d_p", sv3d_p()), ("sv3d_u", sv3d_u())])
def test_table_is_the_official_key_list(shared: Path, name: str, config: SV3DConfig) -> None:
    official = json.loads((shared / "parity" / f"{name}.keys.json").read_text())
    table = key_table(config)
    assert len(table) == len(official) == 2212 and set(table) == set(official)
    for key, entry in table.items():
        assert entry.shape is None or list(entry.shape) == official[key]
    counts = Counter(entry.part for entry in table.values())
    assert counts["unet"] == 1428 and counts["unused"] == 6 + 138 + 2


@pytest.mark.parametrize("config", [sv3d_p(), sv3d_u(), ODD], ids=["p", "u", "odd"])
def test_every_parameter_is_filled_once_in_its_own_shape(config: SV3DConfig) -> None:
    entries = sorted(key_table(config).values(), key=lambda entry: entry.part)
    for part, group in groupby(entries, key=lambda entry: entry.part):
        filled = [(name, entry.target_shape) for entry in group for name in entry.names]
        assert part != "unused" or not filled
        assert len(filled) == len(dict(filled))
        if part != "unused":
            assert dict(filled) == shapes(_reference(part, config))


@pytest.mark.parametrize("config", [sv3d_p(), ODD, WIDE_START], ids=["p", "odd", "wide start"])
def test_our_modules_have_exactly_the_tables_parameters(config: SV3DConfig) -> None:
    parts = build_parts(config)
    wanted = {part: {} for part in parts._fields}
    for entry in key_table(config).values():
        for name in entry.names:
            wanted[entry.part][name] = entry.target_shape
    for part, module in zip(parts._fields, parts, strict=True):
        assert shapes(module) == wanted[part]


def test_official_parameter_count() -> None:
    sizes = [torch.Size(e.shape).numel() for e in key_table(sv3d_p()).values() if e.part == "unet" and e.shape]
    assert sum(sizes) == 1_525_278_442


def test_only_the_vector_tells_the_variants_apart() -> None:
    p, u = key_table(sv3d_p()), key_table(sv3d_u())
    assert {key for key in p if p[key] != u[key]} == {LABEL_EMBEDDING}
    assert p[LABEL_EMBEDDING].shape == (1280, 1280) and u[LABEL_EMBEDDING].shape == (1280, 256)


def test_other_sizes_change_the_keys() -> None:
    deeper = replace(ODD, unet=replace(ODD.unet, transformer_depth=3))
    new = set(key_table(deeper)) - set(key_table(ODD))
    assert new and all("transformer_blocks.2." in key or "time_stack.2." in key for key in new)


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}


def _reference(part: str, config: SV3DConfig) -> nn.Module:
    with torch.device("meta"):
        return {"unet": _unet, "vae": _vae, "image_encoder": _image_encoder}[part](config)


def _unet(config: SV3DConfig) -> nn.Module:
    c = config.unet
    has = [2**level in c.attention_factors for level in range(len(c.channel_mult))]
    down = tuple("CrossAttnDownBlockSpatioTemporal" if a else "DownBlockSpatioTemporal" for a in has)
    up = tuple("CrossAttnUpBlockSpatioTemporal" if a else "UpBlockSpatioTemporal" for a in reversed(has))
    widths = tuple(mult * c.channels for mult in c.channel_mult)
    return UNetSpatioTemporalConditionModel(
        in_channels=c.in_channels,
        out_channels=c.out_channels,
        block_out_channels=widths,
        down_block_types=down,
        up_block_types=up,
        layers_per_block=c.res_blocks,
        transformer_layers_per_block=c.transformer_depth,
        num_attention_heads=tuple(width // c.head_channels for width in widths),
        cross_attention_dim=c.context_dim,
        projection_class_embeddings_input_dim=sum(c.vector_dims),
    )


def _vae(config: SV3DConfig) -> nn.Module:
    c = config.vae
    levels = len(c.channel_mult)
    settings: dict[str, Any] = {
        "block_out_channels": tuple(mult * c.channels for mult in c.channel_mult),
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "layers_per_block": c.res_blocks,
        "latent_channels": c.latent_channels,
        "use_post_quant_conv": False,
    }
    return AutoencoderKL(**settings)


def _image_encoder(config: SV3DConfig) -> nn.Module:
    c = config.image_encoder
    settings: dict[str, Any] = {
        "hidden_size": c.width,
        "intermediate_size": int(c.width * c.mlp_ratio),
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.width // c.head_width,
        "patch_size": c.patch_px,
        "image_size": c.size_px,
        "projection_dim": c.embed_dim,
    }
    return CLIPVisionModelWithProjection(CLIPVisionConfig(**settings))
