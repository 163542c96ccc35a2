"""The parity case in ../shared: a tiny SV3D in the official layout, and what the official code computes with it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sv3dgen.sv3d.checkpoint.load import Parts, load_parts


@dataclass(frozen=True)
class SV3DCase:
    """The filled modules, and inputs and outputs by their names in the case's README."""

    parts: Parts
    io: dict[str, Tensor]


def read_case(shared: Path) -> SV3DCase:
    """The case with everything in float32."""
    folder = shared / "parity" / "dev"
    return SV3DCase(load_parts(folder / "model.safetensors"), load_file(folder / "io.safetensors"))


def randomize(module: nn.Module, seed: int) -> None:
    """Give a module weights of a size that keeps activations near 1, norms and mixing factors random too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.5
            parameter.normal_(std=spread, generator=generator)
    module.eval()
