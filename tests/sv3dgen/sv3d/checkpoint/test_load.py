"""Checkpoints of every kind fill the modules exactly, are never in memory twice, and broken ones are refused."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from tiny_checkpoint import TINY, TINY_U, described, tensors, write_checkpoint, write_raw
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.contents import read_contents, read_key_list
from sv3dgen.sv3d.checkpoint.keys import (
    CLIP_PREFIX,
    DECODER_PREFIX,
    ENCODER_PREFIX,
    LABEL_EMBEDDING,
    UNET_PREFIX,
    key_table,
)
from sv3dgen.sv3d.checkpoint.load import Parts, load_parts
from sv3dgen.sv3d.checkpoint.model_config import read_config_beside
from sv3dgen.sv3d.checkpoint.stored_values import finite_tensors
from sv3dgen.sv3d.config import SV3DConfig, sv3d_p, sv3d_u

CONV_IN = f"{UNET_PREFIX}input_blocks.0.0.weight"
Values = dict[str, Tensor]


@pytest.fixture(scope="module")
def values() -> Values:
    return tensors()


@pytest.fixture(scope="module")
def checkpoint(values: Values, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    return write_checkpoint(tmp_path_factory.mktemp("tiny"), values)


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


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        (torch.float32, torch.float32),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float64, torch.float32),
        (torch.float32, torch.bfloat16),
        (torch.float16, torch.float16),
        (torch.bfloat16, torch.bfloat16),
    ],
)
def test_every_parameter_has_its_values(
    stored: torch.dtype, asked: torch.dtype, values: Values, tmp_path: Path
) -> None:
    values = {key: value.to(stored) for key, value in values.items()}
    parts = load_parts(write_checkpoint(tmp_path, values), dtypes={"unet": asked, "image_encoder": asked})
    dtypes = {"unet": asked, "image_encoder": asked, "vae": torch.float32}
    assert_equal(
        parameters(parts), {key: value.to(dtypes[key.split(".")[0]]) for key, value in expected(values).items()}
    )
    for module in parts:
        assert not module.training
        assert not any(tensor.is_meta for tensor in [*module.parameters(), *module.buffers()])
        assert not any(parameter.requires_grad for parameter in module.parameters())


def test_the_loaded_parts_compute(checkpoint: Path) -> None:
    parts = load_parts(checkpoint)
    with torch.no_grad():
        picture = torch.zeros(1, 3, 32, 32)
        assert parts.vae.decode(parts.vae.encode(picture)).isfinite().all()
        assert parts.image_encoder(picture).shape == (1, 1024)


def test_values_that_lie_at_odd_bytes(values: Values, tmp_path: Path) -> None:
    header, data = {}, b""
    for key, value in values.items():
        first = len(data)
        data += value.numpy().tobytes()
        header[key] = described("F32", list(value.shape), first, len(data))
    text = json.dumps(header).encode()
    text += b" " * ((8 + len(text)) % 2 == 0)
    write_checkpoint(tmp_path, {})
    file = write_raw(tmp_path / "model.safetensors", text, data)
    assert read_contents(file).used[0][1].first_byte % 2 == 1
    assert_equal(parameters(load_parts(file)), expected(values))


def test_writing_to_a_parameter_leaves_the_file_alone(values: Values, tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path, values)
    before = file.read_bytes()
    first = load_parts(file)
    with torch.no_grad():
        for parameter in parameters(first).values():
            parameter.zero_()
    assert file.read_bytes() == before
    file.unlink()
    assert not any(parameter.any() for parameter in parameters(first).values())


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


def test_config_beside_the_file(values: Values, tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path, values)
    beside = tmp_path / "config.json"
    beside.write_text("{broken")
    assert "not JSON" in refusal_of(beside, file)
    beside.write_text(json.dumps({"unet": {"chanels": 32}}))
    assert "unet.chanels: no such key" in refusal_of(beside, file)
    beside.write_text(json.dumps({"unet": {"channels": "many"}}))
    assert "unet.channels: found many, expected a whole number" in refusal_of(beside, file)
    beside.write_text(json.dumps({"official_config": {"model": {}}}))
    assert "no params" in refusal_of(beside, file)
    beside.write_text(json.dumps({"official_config": []}))
    assert "not the official configuration" in refusal_of(beside, file)
    beside.write_text(json.dumps({"model_type": "something else"}))
    assert "by the released sizes" in refusal(file)
    assert_equal(parameters(load_parts(file, TINY)), expected(values))


def test_official_configuration(shared: Path, tmp_path: Path) -> None:
    document = json.loads((shared / "parity" / "dev" / "config.json").read_text())
    unet = document["official_config"]["model"]["params"]["network_config"]["params"]
    noise = document["official_config"]["model"]["params"]["sampler_config"]["params"]["discretization_config"]
    file = tmp_path / "model.safetensors"

    def read() -> SV3DConfig:
        (tmp_path / "config.json").write_text(json.dumps(document))
        found = read_config_beside(file)
        assert found is not None and found[1] == str(tmp_path / "config.json")
        return found[0]

    assert read().sampler.sigma_max == 700 and read().unet.transformer_depth == 1
    del noise["params"]["sigma_max"], unet["transformer_depth"]  # the official defaults
    assert read().sampler.sigma_max == 80 and read().unet.transformer_depth == 1
    unet["transformer_depth"] = [1, 2]
    with pytest.raises(InputError, match="transformer_depth"):
        read()


def refusal_of(named: Path, file: Path) -> str:
    """The refusal of a checkpoint for another file."""
    with pytest.raises(InputError) as caught:
        load_parts(file)
    assert str(named) in str(caught.value)
    return str(caught.value)


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


def test_official_checkpoint(shared: Path) -> None:
    """Its numbers come out of the modules that were filled."""
    from safetensors.torch import load_file

    folder = shared / "parity" / "dev"
    io, parts = load_file(folder / "io.safetensors"), load_parts(folder / "model.safetensors")
    with torch.no_grad():
        assert (parts.vae.moments(io["ae.clip"]) - io["ae.moments"]).abs().max() < 5e-5
        assert (parts.vae.decode(0.18215 * io["ae.mode"]) - io["ae.decoded"]).abs().max() < 5e-5
        assert (parts.image_encoder(io["in.image"]) - io["cond.crossattn"][0]).abs().max() < 2e-5


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("ok_but_partial.safetensors", "missing: model.diffusion_model.time_embed.0.weight"),
        ("corrupt_header.safetensors", "damaged"),
        ("truncated.safetensors", "truncated"),
        ("header_len_overflow.safetensors", "4611686018427387904"),
        ("empty.safetensors", "empty file"),
        ("wrong_shapes.safetensors", "[320, 4, 3, 3], expected [320, 8, 3, 3]"),
        ("unknown_keys.safetensors", "not an SV3D checkpoint"),
        ("nan_weights.safetensors", "missing"),
        ("fp16.safetensors", "missing"),
        ("text.safetensors", "git-lfs pointer"),
        ("pickle_side_effect.ckpt", "never loaded"),
    ],
)
def test_bad_inputs(shared: Path, file: str, says: str) -> None:
    marker = Path(tempfile.gettempdir()) / "PICKLE_WAS_EXECUTED"
    existed = marker.exists()
    assert says in refusal(shared / "bad_inputs" / f"ckpt_{file}")
    assert marker.exists() == existed


def test_every_bad_checkpoint_is_tested(shared: Path) -> None:
    index = json.loads((shared / "bad_inputs" / "index.json").read_text())
    names = {entry["file"] for entry in index if entry["file"].startswith("ckpt_")}
    mark = next(mark for mark in test_bad_inputs.pytestmark if mark.name == "parametrize")
    assert names == {f"ckpt_{file}" for file, _ in mark.args[1]}
