"""Checkpoints of every kind fill the modules exactly, and broken ones are refused."""

import json
import tempfile
from pathlib import Path

import pytest
import torch
from loaded_parts import Values, assert_equal, expected, parameters, refusal
from tiny_checkpoint import described, write_checkpoint, write_raw

from sv3dgen.sv3d.checkpoint.contents import read_contents
from sv3dgen.sv3d.checkpoint.load import load_parts


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
