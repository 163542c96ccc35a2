"""The picture autoencoder against the official numbers and diffusers' own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from sv3d_case import SV3DCase, randomize, read_case
from torch import nn

from sv3dgen.sv3d.config import VAEConfig
from sv3dgen.sv3d.network.vae import ImageVAE

TINY = VAEConfig(channels=32, channel_mult=(1, 2, 1), res_blocks=1)


def tiny_vae(config: VAEConfig) -> ImageVAE:
    vae = ImageVAE(config)
    randomize(vae, seed=0)
    return vae


def images(count: int, height: int = 16, width: int = 24) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


# The official numbers


@pytest.fixture(scope="module")
def case(shared: Path) -> SV3DCase:
    return read_case(shared)


@pytest.fixture(scope="module")
def official(case: SV3DCase) -> ImageVAE:
    return case.parts.vae


@torch.no_grad()
def test_official_latents(case: SV3DCase, official: ImageVAE) -> None:
    clip = case.io["ae.clip"]
    torch.testing.assert_close(official.moments(clip), case.io["ae.moments"], rtol=0, atol=2e-5)
    torch.testing.assert_close(official.encode(clip), case.io["ae.mode"], rtol=0, atol=2e-5)


@torch.no_grad()
def test_official_conditioning_latents(case: SV3DCase, official: ImageVAE) -> None:
    noised = case.io["in.image"] + case.io["in.cond_aug"] * case.io["in.cond_noise"]
    torch.testing.assert_close(official.moments(noised), case.io["ae.cond_moments"], rtol=0, atol=2e-5)
    torch.testing.assert_close(official.encode(noised), case.io["cond.concat"], rtol=0, atol=2e-5)


@torch.no_grad()
def test_official_decoded_pictures(case: SV3DCase, official: ImageVAE) -> None:
    decoded = official.decode(official.config.scale_factor * case.io["ae.mode"])
    torch.testing.assert_close(decoded, case.io["ae.decoded"], rtol=0, atol=2e-5)
    frames = official.decode(case.io["samp.x.5"][case.io["pipe.decoded_idx"]])
    torch.testing.assert_close(frames, case.io["pipe.decoded"], rtol=0, atol=2e-5)


# Sizes and names


def test_full_size_has_the_official_number_of_parameters_under_diffusers_names() -> None:
    with torch.device("meta"):
        vae = ImageVAE(VAEConfig())
        theirs = diffusers_vae(VAEConfig())
    assert sum(parameter.numel() for parameter in vae.decoder.parameters()) == 49_490_179
    without_post_quantization = 83_653_863 - 20  # the conditioner's whole autoencoder has one
    assert sum(parameter.numel() for parameter in vae.parameters()) == without_post_quantization
    assert shapes(vae) == shapes(theirs)


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def diffusers_vae(config: VAEConfig) -> Any:
    levels = len(config.channel_mult)
    autoencoder: Any = AutoencoderKL  # says it takes one level
    return autoencoder(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(config.channels * factor for factor in config.channel_mult),
        layers_per_block=config.res_blocks,
        latent_channels=config.latent_channels,
        norm_num_groups=config.norm_groups,
        use_post_quant_conv=False,
    ).eval()


@torch.no_grad()
def test_first_level_may_be_wider_than_the_first_convolution() -> None:
    vae = tiny_vae(replace(TINY, channel_mult=(2, 1, 3), res_blocks=2))
    assert vae.encoder.conv_in.out_channels == 32
    down: Any = vae.encoder.down_blocks
    assert [block.resnets[0].in_channels for block in down] == [32, 64, 32]
    assert [block.resnets[-1].out_channels for block in down] == [64, 32, 96]
    assert vae.decoder.conv_in.out_channels == 96 and vae.decoder.conv_out.in_channels == 64
    up: Any = vae.decoder.up_blocks
    assert [len(block.resnets) for block in up] == [3, 3, 3]
    assert vae.decode(vae.encode(images(1))).shape == (1, 3, 16, 24)


# Numbers that need no file


@pytest.mark.parametrize("norm_groups", [32, 4])
@torch.no_grad()
def test_equals_diffusers(norm_groups: int) -> None:
    config = replace(TINY, norm_groups=norm_groups)
    vae, theirs = tiny_vae(config), diffusers_vae(config)
    theirs.load_state_dict(vae.state_dict())
    posterior = theirs.encode(images(2)).latent_dist
    torch.testing.assert_close(vae.encode(images(2)), posterior.mode(), rtol=0, atol=1e-5)
    torch.testing.assert_close(vae.moments(images(2)), posterior.parameters, rtol=0, atol=1e-5)
    unscaled = posterior.mode()
    decoded = vae.decode(TINY.scale_factor * unscaled)
    torch.testing.assert_close(decoded, theirs.decode(unscaled).sample, rtol=0, atol=1e-4)


@torch.no_grad()
def test_frames_are_decoded_one_by_one() -> None:
    vae, latents = tiny_vae(TINY), torch.randn(3, 4, 4, 5, generator=torch.Generator().manual_seed(2))
    one_by_one = torch.cat([vae.decode(frame[None]) for frame in latents])
    torch.testing.assert_close(vae.decode(latents), one_by_one, rtol=0, atol=1e-5)


@torch.no_grad()
def test_answers_in_the_precision_of_the_input() -> None:
    vae = tiny_vae(TINY)
    exact = vae.encode(images(1))
    half = vae.bfloat16()
    assert half.encode(images(1)).dtype == half.decode(exact).dtype == torch.float32
    assert (half.encode(images(1)) - exact).abs().mean() < 0.03 * exact.abs().mean()
