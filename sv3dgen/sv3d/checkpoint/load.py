"""Reading the weights of a model: three modules, filled from the mapped file tensor by tensor, with no pickle anywhere.

A checkpoint of 9.4 GB is never in memory twice: the modules are built without memory, every tensor of the file is
mapped by itself, and what has been converted to another dtype or device is unmapped as soon as the next one is there.
Weights that keep their dtype stay mapped: they are shared with the disk cache, and the system may drop and reread them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.contents import Contents, read_contents
from sv3dgen.sv3d.checkpoint.keys import Entry, Part
from sv3dgen.sv3d.checkpoint.stored_values import finite_tensors, is_finite
from sv3dgen.sv3d.config import SV3DConfig
from sv3dgen.sv3d.network.image_encoder import ImageEncoder
from sv3dgen.sv3d.network.unet import VideoUNet
from sv3dgen.sv3d.network.vae import ImageVAE


class Parts(NamedTuple):
    """The modules of a model."""

    unet: VideoUNet
    vae: ImageVAE
    image_encoder: ImageEncoder


def load_parts(
    path: Path,
    config: SV3DConfig | None = None,
    *,
    dtypes: Mapping[Part, torch.dtype] | None = None,
    device: torch.device | str = "cpu",
) -> Parts:
    """The modules of a checkpoint (an official file or a diffusers folder), frozen and in evaluation mode.

    Sizes are those of `config`, else what `read_contents` finds. Each part is in its dtype of `dtypes`, float32 where
    none is given, whatever the file's dtype. Raises InputError, naming file and key, where the checkpoint is no good,
    holds a NaN or an infinity, or a value that the dtype asked for can't hold.
    """
    return filled_parts(read_contents(path, config), dtypes=dtypes, device=device)


def filled_parts(
    contents: Contents,
    *,
    dtypes: Mapping[Part, torch.dtype] | None = None,
    device: torch.device | str = "cpu",
) -> Parts:
    """The same of contents that are known already."""
    parts = build_parts(contents.config)
    for entry, tensor in finite_tensors(contents):
        module = getattr(parts, entry.part)
        dtype = (dtypes or {}).get(entry.part, torch.float32)
        converted = _turned(entry, tensor).to(device=device, dtype=dtype)
        if torch.finfo(dtype).max < torch.finfo(tensor.dtype).max and not is_finite(converted):
            raise InputError(f"{contents.stored[entry.key].file}: {entry.key} has values too large for {dtype}")
        pieces = converted.chunk(len(entry.names)) if entry.turn == "split" else (converted,)
        for name, piece in zip(entry.names, pieces, strict=True):
            fill(module, name, piece)
    for module in parts:
        module.to(device).eval()  # buffers; the parameters are there
    return parts


def build_parts(config: SV3DConfig) -> Parts:
    """The modules without memory, on the meta device."""
    with torch.device("meta"):
        return Parts(VideoUNet(config.unet), ImageVAE(config.vae), ImageEncoder(config.image_encoder))


def _turned(entry: Entry, tensor: Tensor) -> Tensor:
    if entry.turn == "squeeze":
        return tensor[:, :, 0, 0]
    return tensor.T.contiguous() if entry.turn == "transpose" else tensor


def fill(module: nn.Module, name: str, values: Tensor) -> None:
    """Put values, which are frozen, in the place of a parameter; one on the meta device has none yet."""
    owner, _, leaf = name.rpartition(".")
    place = module.get_submodule(owner)
    empty = place.get_parameter(leaf)
    assert empty.shape == values.shape, name
    setattr(place, leaf, nn.Parameter(values, requires_grad=False))
