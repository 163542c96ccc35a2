"""Adapters: no effect at first, only they learn, and plain weights in the end."""

import pytest
import torch
from safetensors.torch import load_file
from tiny_checkpoint import TINY, tensors, write_checkpoint

from sv3dgen.sv3d.checkpoint.load import load_parts
from sv3dgen.sv3d.checkpoint.save import save_official
from sv3dgen.sv3d.training.lora import add_adapters


def adapted(folder, rank=2, scale=0.5):
    parts = load_parts(write_checkpoint(folder, tensors()))
    return parts, add_adapters(parts.unet, rank, torch.Generator().manual_seed(0), scale=scale)


def predicted(unet):
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 8, 8, 8, generator=generator)
    context, vector = torch.randn(1, 1, 1024, generator=generator), torch.randn(2, 1280, generator=generator)
    return unet(latents, torch.zeros(1), context, vector, frames=2)


def test_adapters_start_without_effect_and_learn(tmp_path):
    parts, adapters = adapted(tmp_path)
    before = predicted(load_parts(tmp_path / "model.safetensors").unet)
    now = predicted(parts.unet)
    torch.testing.assert_close(now, before, rtol=1e-3, atol=1e-3)  # without gradients, attention is computed otherwise
    now.square().mean().backward()
    trained = [parameter for parameter in parts.unet.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in trained} == {id(parameter) for parameter in adapters}
    assert all(parameter.grad is not None for parameter in trained)
    assert (
        sum(bool(parameter.grad is not None and parameter.grad.any()) for parameter in trained) == len(trained) // 2
    )  # down follows up


def test_adapters_are_of_the_rank_asked_for(tmp_path):
    parts, adapters = adapted(tmp_path, rank=3)
    assert {min(adapter.shape) for adapter in adapters} == {3}
    names = [name for name, _ in parts.unet.named_modules() if name.endswith("parametrizations")]
    assert len(names) == len(adapters) // 2
    assert not any("attn2.to_q" in name or "attn2.to_k" in name for name in names)


def test_plain_weights_of_the_same_values_are_saved(tmp_path):
    parts, adapters = adapted(tmp_path / "before")
    with torch.no_grad():
        for adapter in adapters:
            adapter.normal_(std=0.2, generator=torch.Generator().manual_seed(1))
        learned = predicted(parts.unet)
        save_official(parts, TINY, tmp_path / "saved" / "model.safetensors", dtype=torch.float32)
        torch.testing.assert_close(predicted(load_parts(tmp_path / "saved" / "model.safetensors").unet), learned)
    before = load_file(tmp_path / "before" / "model.safetensors")
    query = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"
    change = load_file(tmp_path / "saved" / "model.safetensors")[query] - before[query]
    assert torch.linalg.matrix_rank(change, rtol=1e-4) == 2


def test_a_rank_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="lora_rank=0"):
        adapted(tmp_path, rank=0)
