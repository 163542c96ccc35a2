"""Written models are read again as what they were."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tiny_checkpoint import TINY, TINY_U, tensors, write_checkpoint

from sv3dgen.errors import InputError
from sv3dgen.sv3d import SV3D, MemoryPlan
from sv3dgen.sv3d.checkpoint.keys import key_table
from sv3dgen.sv3d.checkpoint.load import load_parts
from sv3dgen.sv3d.checkpoint.save import save_official


@pytest.mark.parametrize("config", [TINY, TINY_U], ids=["sv3d_p", "sv3d_u"])
def test_every_tensor_that_is_needed_comes_back(tmp_path, config):
    values = tensors(config)
    parts = load_parts(write_checkpoint(tmp_path / "before", values, config))
    save_official(parts, config, tmp_path / "model.safetensors", dtype=torch.float32)
    written = load_file(tmp_path / "model.safetensors")
    assert written.keys() == {key for key, entry in key_table(config).items() if entry.names}
    assert all(torch.equal(written[key], values[key]) for key in written)


def test_from_pretrained_gives_the_same_output(tmp_path):
    parts = load_parts(write_checkpoint(tmp_path / "before", tensors(dtype=torch.float16)))
    save_official(parts, TINY, tmp_path / "model.safetensors")
    assert {value.dtype for value in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    model = SV3D.from_pretrained(tmp_path, memory=MemoryPlan())
    assert model.config == TINY
    latents, vector = torch.randn(2, 8, 8, 8), torch.randn(2, 1280)
    with torch.no_grad():
        first, again = (
            unet(latents, torch.zeros(1), torch.ones(1, 1, 1024), vector, frames=2) for unet in (parts.unet, model.unet)
        )
        assert torch.equal(first, again)
        images = torch.rand(1, 3, 32, 32)
        assert torch.equal(parts.vae.encode(images), model.vae.encode(images))
        assert torch.equal(parts.image_encoder(images), model.image_encoder(images))


def test_what_is_not_finite_is_refused_and_the_file_before_stays(tmp_path):
    parts = load_parts(write_checkpoint(tmp_path, tensors()))
    before = (tmp_path / "model.safetensors").read_bytes()
    with torch.no_grad():
        parts.unet.conv_in.bias[0] = 1e6
    with pytest.raises(InputError, match="input_blocks.0.0.bias has values that are not finite in torch.float16"):
        save_official(parts, TINY, tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert json.loads((tmp_path / "config.json").read_text())["size_px"] == 576


def test_the_name_must_tell_the_format(tmp_path):
    with pytest.raises(InputError, match="safetensors"):
        save_official(load_parts(write_checkpoint(tmp_path, tensors())), TINY, tmp_path / "model.ckpt")
