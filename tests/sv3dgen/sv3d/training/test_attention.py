"""Attention for training gives what diffusers' own gives, and the gradients that matter."""

import pytest
import torch
from sv3d_case import randomize
from tiny_checkpoint import TINY

from sv3dgen.sv3d.network.unet import VideoUNet
from sv3dgen.sv3d.training.attention import prepare_for_training

WITHOUT_EFFECT = ("attn2.to_q", "attn2.to_k", "norm2")


def unet(*, prepared: bool) -> VideoUNet:
    with torch.random.fork_rng():
        module = VideoUNet(TINY.unet)
    randomize(module, 0)
    if prepared:
        prepare_for_training(module)
    return module


def predicted(module: VideoUNet) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(6, 8, 8, 8, generator=generator)
    context, vector = torch.randn(2, 1, 1024, generator=generator), torch.randn(6, 1280, generator=generator)
    return module(latents, torch.tensor([0.3, -0.2]), context, vector, frames=3)


def test_output_and_gradients_are_the_usual_ones():
    usual, ours = unet(prepared=False), unet(prepared=True)
    expected, got = predicted(usual), predicted(ours)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    expected.square().mean().backward()
    got.square().mean().backward()
    for (name, one), (_, other) in zip(usual.named_parameters(), ours.named_parameters(), strict=True):
        if other.requires_grad:
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-4, msg=name)
        else:
            assert any(part in name for part in WITHOUT_EFFECT)
            assert one.grad is not None and one.grad.abs().max() == pytest.approx(0.0, abs=1e-7), name


def test_only_what_has_no_effect_is_frozen():
    frozen = {name for name, parameter in unet(prepared=True).named_parameters() if not parameter.requires_grad}
    every = {
        name for name, _ in unet(prepared=False).named_parameters() if any(part in name for part in WITHOUT_EFFECT)
    }
    residual = {name for name in every if "res_block" in name}  # their second norms have the same name
    assert frozen == every - residual and frozen


def test_without_gradients_too():
    with torch.no_grad():
        torch.testing.assert_close(
            predicted(unet(prepared=True)), predicted(unet(prepared=False)), rtol=1e-4, atol=1e-4
        )
