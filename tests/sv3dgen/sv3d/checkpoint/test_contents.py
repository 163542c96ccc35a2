"""What a checkpoint holds is told; what it lacks, and what is no part of SV3D, is refused by name."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from loaded_parts import CONV_IN, Values, assert_equal, expected, parameters, refusal
from tiny_checkpoint import TINY, TINY_U, tensors, write_checkpoint

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.contents import read_contents, read_key_list
from sv3dgen.sv3d.checkpoint.keys import (
    CLIP_PREFIX,
    DECODER_PREFIX,
    ENCODER_PREFIX,
    LABEL_EMBEDDING,
    key_table,
)
from sv3dgen.sv3d.checkpoint.load import load_parts
from sv3dgen.sv3d.config import sv3d_p, sv3d_u


def test_contents_of_a_file(checkpoint: Path) -> None:
    contents = read_contents(checkpoint)
    assert contents.config == TINY and contents.variant == "SV3D_p" and contents.layout == "official"
    assert contents.sizes_from == str(checkpoint.with_name("config.json"))
    assert contents.facts()["unused_tensors"] == len(contents.unused) > 6
    assert sum(contents.facts()["parameters"].values()) == sum(
        p.numel() for p in parameters(load_parts(checkpoint)).values()
    )
    assert all(key.startswith((CLIP_PREFIX, ENCODER_PREFIX)) for key in contents.unused)


def test_unused_tensors_need_not_be_there(checkpoint: Path, values: Values, tmp_path: Path) -> None:
    table = key_table(TINY)
    pruned = {key: value for key, value in values.items() if table[key].names}
    assert len(pruned) < len(values)
    assert_equal(parameters(load_parts(write_checkpoint(tmp_path, pruned))), expected(values))


def test_missing_tensors_are_counted_and_named(values: Values, tmp_path: Path) -> None:
    some = {key: value for key, value in values.items() if not key.startswith(DECODER_PREFIX)}
    lost = len(values) - len(some)
    said = refusal(write_checkpoint(tmp_path, some))
    assert f"{lost} of the" in said and f"{DECODER_PREFIX}decoder.conv_in.weight" in said and "..." in said
    one = {key: value for key, value in values.items() if key != CONV_IN}
    assert "1 of the" in (said := refusal(write_checkpoint(tmp_path, one))) and CONV_IN in said


def test_unknown_tensors_are_named(values: Values, tmp_path: Path) -> None:
    said = refusal(write_checkpoint(tmp_path, {**values, "model_ema.decay": torch.ones(1)}))
    assert "1 tensors that SV3D doesn't have: model_ema.decay" in said


def test_nothing_known(tmp_path: Path) -> None:
    said = refusal(write_checkpoint(tmp_path, {"foo.bar": torch.ones(2)}, None))
    assert "not an SV3D checkpoint" in said and "foo.bar" in said
    assert "no tensors" in refusal(write_checkpoint(tmp_path, {}, None))


def test_wrong_shape_names_key_and_both_shapes(values: Values, tmp_path: Path) -> None:
    said = refusal(write_checkpoint(tmp_path, {**values, CONV_IN: values[CONV_IN][:, :4].contiguous()}))
    assert CONV_IN in said and "[32, 4, 3, 3]" in said and "[32, 8, 3, 3]" in said and "config.json" in said


def test_variants(tmp_path: Path) -> None:
    of_u = write_checkpoint(tmp_path / "u", tensors(TINY_U), TINY_U)
    assert read_contents(of_u).variant == "SV3D_u"
    (tmp_path / "u" / "config.json").write_text(json.dumps(asdict(TINY)))
    said = refusal(of_u)
    assert "256 numbers" in said and "1280 of SV3D_p" in said


def test_released_sizes_are_told_by_the_width_of_the_vector(tmp_path: Path) -> None:
    for config, variant in ((sv3d_p(), "SV3D_p"), (sv3d_u(), "SV3D_u")):
        listed = {key: list(entry.shape or ()) for key, entry in key_table(config).items()}
        (tmp_path / "keys.json").write_text(json.dumps(listed))
        contents = read_key_list(tmp_path / "keys.json")
        assert contents.config == config and contents.variant == variant
    (tmp_path / "keys.json").write_text(json.dumps({**listed, LABEL_EMBEDDING: [1280, 768]}))
    with pytest.raises(InputError, match="Stable Video Diffusion, not SV3D"):
        read_key_list(tmp_path / "keys.json")
    (tmp_path / "keys.json").write_text(json.dumps({"a": "b"}))
    with pytest.raises(InputError, match="a: expected a shape"):
        read_key_list(tmp_path / "keys.json")
