"""A tiny SV3D checkpoint in the official layout, with random weights, and any safetensors file byte by byte."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from sv3dgen.sv3d.checkpoint.keys import CLIP_PREFIX, key_table
from sv3dgen.sv3d.config import ImageEncoderConfig, SV3DConfig, UNetConfig, VAEConfig

TINY = SV3DConfig(
    unet=UNetConfig(channels=32, channel_mult=(1, 2), res_blocks=1, attention_factors=(1,), head_channels=16),
    vae=VAEConfig(channels=32, channel_mult=(1, 2), res_blocks=1),
    image_encoder=ImageEncoderConfig(width=32, layers=2, head_width=16, patch_px=56, embed_dim=1024),
)
TINY_U = replace(TINY, unet=replace(TINY.unet, vector_dims=(256,)))
_LEFTOVERS = {"positional_embedding": (4, 8), "text_projection": (8, 8), "token_embedding.weight": (16, 8)}


def tensors(config: SV3DConfig = TINY, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Random values for every key."""
    generator = torch.Generator().manual_seed(0)
    values = {}
    for key, entry in key_table(config).items():
        shape = _LEFTOVERS.get(key.removeprefix(CLIP_PREFIX), (8,)) if entry.shape is None else entry.shape
        values[key] = torch.randn(shape, generator=generator).to(dtype)
    return values


def write_checkpoint(folder: Path, values: Mapping[str, Tensor], config: SV3DConfig | None = TINY) -> Path:
    """An official file and, unless `config` is None, our config.json next to it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(values), folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(asdict(config)))
    return folder / "model.safetensors"


def write_raw(file: Path, header: object, data: bytes = b"", *, length: int | None = None) -> Path:
    """A file of the form of safetensors: a length (the header's own unless told), JSON, and whatever data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    claimed = len(text) if length is None else length
    file.write_bytes(claimed.to_bytes(8, "little") + text + data)
    return file


def described(dtype: str, shape: list[int], first: int, last: int) -> dict[str, object]:
    """A tensor in a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}
