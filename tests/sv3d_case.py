"""The parity case in ../shared: a tiny SV3D in the official layout, and what the official code computes with it."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sv3dgen.sv3d.config import SV3DConfig, read_official
from sv3dgen.sv3d.keys import Part, key_table


@dataclass(frozen=True)
class SV3DCase:
    """Sizes, weights by their official keys, and inputs and outputs by their names in the case's README."""

    config: SV3DConfig
    weights: dict[str, Tensor]
    io: dict[str, Tensor]

    def fill(self, module: nn.Module, part: Part) -> nn.Module:
        """The module with the case's weights in it."""
        state = {}
        for entry in key_table(self.config).values():
            if entry.part == part:
                tensor = self.weights[entry.key].float()
                tensor = tensor.T if entry.turn == "transpose" else tensor
                pieces = tensor.chunk(len(entry.names))
                for name, piece in zip(entry.names, pieces, strict=True):
                    state[name] = piece.reshape(entry.target_shape)
        module.load_state_dict(state)
        return module.eval()


def read_case(shared: Path, *overrides: str) -> SV3DCase:
    """The case, its weights replaced by those in further files of its folder."""
    folder = shared / "parity" / "dev"
    weights = {}
    for name in ("model", *overrides):
        weights |= load_file(folder / f"{name}.safetensors")
    config = read_official(json.loads((folder / "config.json").read_text()))
    return SV3DCase(config, weights, load_file(folder / "io.safetensors"))


def randomise(module: nn.Module, seed: int) -> nn.Module:
    """The module with weights of a size that keeps activations near 1, norms and mixing factors random too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.5
            parameter.normal_(std=spread, generator=generator)
    return module.eval()
