"""Writing a model as an official single file: what `SV3D.from_pretrained` reads, and by its keys anything else."""

import json
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.keys import Entry, key_table
from sv3dgen.sv3d.checkpoint.load import Parts
from sv3dgen.sv3d.config import SV3DConfig
from sv3dgen.sv3d.training.sharding import whole


def save_official(
    parts: Parts, config: SV3DConfig, path: Path, *, dtype: torch.dtype = torch.float16, write: bool = True
) -> None:
    """Write the weights to `path` (.safetensors) in the official layout, and their sizes to config.json next to it.

    Both appear whole or not at all. Keys that no inference needs (OpenCLIP's text side, the decoder half of the
    conditioner's autoencoder) are not written. Adapters are merged. Of sharded weights all processes have to call this,
    and one has to `write`. Raises InputError for a weight that is not finite,
    or too large for the dtype.
    """
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: expected a name that ends in .safetensors")
    values = official_values(parts, config, dtype)
    if not write:
        return
    with atomic_write(path.with_name("config.json")) as temporary:
        temporary.write_text(json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8")
    with atomic_write(path) as temporary:
        save_file(values, temporary, metadata={"format": "pt"})


@torch.no_grad()
def official_values(parts: Parts, config: SV3DConfig, dtype: torch.dtype) -> dict[str, Tensor]:
    """Every tensor of the official layout that a model of these sizes needs, on the CPU."""
    values = {}
    for key, entry in key_table(config).items():
        if not entry.names:
            continue
        pieces = [whole(attrgetter(name)(getattr(parts, entry.part)).detach()) for name in entry.names]
        value = _turned_back(entry, pieces).to("cpu", dtype).contiguous()
        if not value.isfinite().all():
            raise InputError(f"{key} has values that are not finite in {dtype}, expected trained weights")
        values[key] = value
    return values


def _turned_back(entry: Entry, pieces: list[Tensor]) -> Tensor:
    """Our parameters as the one tensor that the official layout has of them."""
    if entry.turn == "split":
        return torch.cat(pieces)
    (value,) = pieces
    if entry.turn == "squeeze":
        return value[:, :, None, None]
    return value.T if entry.turn == "transpose" else value
