"""Values are read one tensor at a time, and those that no weights have are refused."""

from pathlib import Path

import pytest
import torch
from loaded_parts import CONV_IN, Values, refusal
from tiny_checkpoint import write_checkpoint

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.contents import read_contents
from sv3dgen.sv3d.checkpoint.keys import (
    CLIP_PREFIX,
)
from sv3dgen.sv3d.checkpoint.load import load_parts
from sv3dgen.sv3d.checkpoint.stored_values import finite_tensors


def mappings_of(file: Path) -> int:
    """How many pieces of a file this process has mapped."""
    return sum(str(file) in line for line in Path("/proc/self/maps").read_text().splitlines())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of mappings")
def test_converted_weights_are_not_kept_twice(checkpoint: Path) -> None:
    at_once = [mappings_of(checkpoint) for _ in finite_tensors(read_contents(checkpoint))]
    assert max(at_once) <= 2  # this one, and the one before, which the loop lets go when it has this one
    converted = load_parts(checkpoint, dtypes=dict.fromkeys(("unet", "vae", "image_encoder"), torch.bfloat16))
    assert mappings_of(checkpoint) == 0
    mapped = load_parts(checkpoint)
    assert mappings_of(checkpoint) > 0
    del converted, mapped
    assert mappings_of(checkpoint) == 0


@pytest.mark.parametrize(
    ("value", "dtype", "kind"),
    [
        (torch.nan, torch.float32, "a NaN"),
        (torch.nan, torch.float16, "a NaN"),
        (torch.inf, torch.bfloat16, "an infinity"),
        (-torch.inf, torch.float16, "an infinity"),
    ],
)
def test_not_finite(value: float, dtype: torch.dtype, kind: str, values: Values, tmp_path: Path) -> None:
    broken = {key: tensor.to(dtype, copy=True) for key, tensor in values.items()}
    broken[CONV_IN].view(-1)[77] = value
    said = refusal(write_checkpoint(tmp_path, broken))
    assert CONV_IN in said and kind in said


def test_unused_tensors_may_hold_anything(values: Values, tmp_path: Path) -> None:
    key = f"{CLIP_PREFIX}text_projection"
    load_parts(write_checkpoint(tmp_path, {**values, key: torch.full((3,), torch.nan)}))


def test_values_beyond_the_dtype_asked_for(values: Values, tmp_path: Path) -> None:
    large = values[CONV_IN].clone()
    large[0, 0, 0, 0] = 1e6
    file = write_checkpoint(tmp_path, {**values, CONV_IN: large})
    load_parts(file)
    with pytest.raises(InputError, match=r"too large for torch\.float16") as caught:
        load_parts(file, dtypes={"unet": torch.float16})
    assert CONV_IN in str(caught.value)


def test_whole_numbers_are_no_weights(values: Values, tmp_path: Path) -> None:
    said = refusal(write_checkpoint(tmp_path, {**values, CONV_IN: values[CONV_IN].to(torch.int8)}))
    assert CONV_IN in said and "I8" in said and "F16" in said
