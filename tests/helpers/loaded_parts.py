"""What checkpoints of the tiny model should fill its parts with, and what is said of one that can't."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from tiny_checkpoint import TINY
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.keys import (
    UNET_PREFIX,
    key_table,
)
from sv3dgen.sv3d.checkpoint.load import Parts, load_parts

CONV_IN = f"{UNET_PREFIX}input_blocks.0.0.weight"
Values = dict[str, Tensor]


def refusal(file: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_parts(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def expected(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What parameters should hold, by part and name, with each kind of change written out."""
    found = {}
    for entry in key_table(TINY).values():
        value = values[entry.key]
        if entry.turn == "split":
            third = len(value) // 3
            for index, name in enumerate(entry.names):
                found[f"{entry.part}.{name}"] = value[index * third : (index + 1) * third]
        elif entry.names:
            value = value[..., 0, 0] if entry.turn == "squeeze" else value
            found[f"{entry.part}.{entry.names[0]}"] = value.t() if entry.turn == "transpose" else value
    return found


def parameters(parts: Parts) -> dict[str, Tensor]:
    found = {}
    for part, module in zip(parts._fields, parts, strict=True):
        found |= {f"{part}.{name}": parameter for name, parameter in module.named_parameters()}
    return found


def assert_equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name
