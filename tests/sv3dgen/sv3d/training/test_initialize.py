"""Weights to start from: random ones that do nothing yet, and those of relatives with another camera branch."""

from dataclasses import replace

import pytest
import torch
from tiny_checkpoint import TINY, TINY_U, tensors, write_checkpoint
from torch import nn

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.keys import ENCODER_PREFIX, LABEL_EMBEDDING
from sv3dgen.sv3d.checkpoint.load import load_parts
from sv3dgen.sv3d.training.initialize import fresh_parts, initialize
from sv3dgen.sv3d.training.start_weights import load_vae, starting_parts

FRAMES = 3


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def predicted(unet, config, seed=0):
    """v for fixed random inputs; the first 256 numbers that condition a frame are the same for every variant."""
    generator = seeded(seed)
    latents = torch.randn(FRAMES, config.unet.in_channels, 8, 8, generator=generator)
    context = torch.randn(1, 1, config.unet.context_dim, generator=generator)
    vector = torch.randn(FRAMES, 1280, generator=generator)[:, : sum(config.unet.vector_dims)]
    with torch.no_grad():
        return unet(latents, torch.zeros(1), context, vector, frames=FRAMES)


def test_an_untrained_model_predicts_nothing():
    parts = fresh_parts(TINY, seeded())
    assert predicted(parts.unet, TINY).abs().max() == 0
    assert not any(parameter.requires_grad for part in parts for parameter in part.parameters())


def test_blocks_begin_as_the_identity():
    unet = fresh_parts(TINY, seeded()).unet
    block = unet.mid_block
    features = torch.randn(FRAMES, 64, 4, 4, generator=seeded())
    embedding = torch.randn(FRAMES, TINY.unet.time_embed_dim, generator=seeded())
    with torch.no_grad():
        after = block.resnets[0](features, embedding, torch.zeros(1, FRAMES))
        attended = block.attentions[0](features, torch.randn(FRAMES, 1, 1024), torch.zeros(1, FRAMES), False)[0]
    torch.testing.assert_close(after, features)
    torch.testing.assert_close(attended, features)


def test_layers_keep_the_size_of_what_goes_through():
    parts = fresh_parts(TINY, seeded())
    embedding = parts.image_encoder(torch.rand(4, 3, 32, 32, generator=seeded()) * 2 - 1)
    assert 0.05 < embedding.std() < 5
    latents = parts.vae.encode(torch.rand(2, 3, 32, 32, generator=seeded()) * 2 - 1)
    assert 0.005 < latents.std() < 5


def test_seed_decides_and_global_randomness_does_not():
    torch.manual_seed(1)
    first = fresh_parts(TINY, seeded(3)).image_encoder.state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = fresh_parts(TINY, seeded(3)).image_encoder.state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = fresh_parts(TINY, seeded(4)).image_encoder.state_dict()
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_linear_layers_begin_as_torchs():
    layer = nn.Linear(400, 300)
    initialize(layer, seeded())
    assert layer.weight.abs().max() <= 1 / 20 and layer.weight.std().item() == pytest.approx(1 / 20 / 3**0.5, rel=0.02)


def test_an_unknown_layer_is_told():
    with pytest.raises(TypeError, match="PReLU"):
        initialize(nn.Sequential(nn.PReLU()), seeded())


def test_weights_of_the_same_kind_are_taken_as_they_are(tmp_path):
    path = write_checkpoint(tmp_path, tensors())
    start = starting_parts(path, TINY, seeded())
    loaded = load_parts(path)
    assert start.camera_branch == "kept"
    assert torch.equal(predicted(start.parts.unet, TINY), predicted(loaded.unet, TINY))


def test_the_scale_factor_beside_the_weights_counts(tmp_path):
    measured = replace(TINY, vae=replace(TINY.vae, scale_factor=0.9))
    path = write_checkpoint(tmp_path, tensors(), measured)
    start = starting_parts(path, TINY, seeded())
    assert start.config.vae.scale_factor == start.parts.vae.config.scale_factor == 0.9
    latents = torch.randn(1, TINY.vae.latent_channels, 4, 4, generator=seeded())
    with torch.no_grad():
        torch.testing.assert_close(start.parts.vae.decode(latents), load_parts(path, measured).vae.decode(latents))


def test_poses_start_without_effect_on_weights_without_poses(tmp_path):
    path = write_checkpoint(tmp_path, tensors(TINY_U), TINY_U)
    start = starting_parts(path, TINY, seeded())
    assert start.camera_branch == "widened"
    expected = predicted(load_parts(path).unet, TINY_U)
    torch.testing.assert_close(predicted(start.parts.unet, TINY), expected)
    assert expected.abs().max() > 0


def svd_tensors():
    """A file as Stable Video Diffusion's: a vector of 768, the conditioner's autoencoder at another place."""
    values = {
        key.replace(ENCODER_PREFIX, "conditioner.embedders.3.encoder."): value
        for key, value in tensors(replace(TINY, unet=replace(TINY.unet, vector_dims=(256, 256, 256)))).items()
    }
    values["first_stage_model.encoder.conv_in.weight"] = torch.zeros(3)
    return values


@pytest.mark.parametrize("config", [TINY, TINY_U], ids=["sv3d_p", "sv3d_u"])
def test_stable_video_diffusion_keeps_all_but_its_camera_branch(tmp_path, config):
    values = svd_tensors()
    path = write_checkpoint(tmp_path, values, None)
    start = starting_parts(path, config, seeded())
    assert start.camera_branch == "new"
    unet = start.parts.unet
    assert unet.add_embedding.linear_1.weight.shape == (128, sum(config.unet.vector_dims))
    assert not torch.equal(unet.add_embedding.linear_2.weight, values[LABEL_EMBEDDING.replace("0.0.w", "0.2.w")])
    assert torch.equal(unet.conv_in.weight, values["model.diffusion_model.input_blocks.0.0.weight"])
    encoder = values["conditioner.embedders.3.encoder.encoder.conv_in.weight"]
    assert torch.equal(start.parts.vae.encoder.conv_in.weight, encoder)
    predicted(unet, config)


def test_a_temporal_decoder_is_refused(tmp_path):
    values = svd_tensors() | {"first_stage_model.decoder.mid.block_1.time_stack.in_layers.0.weight": torch.zeros(3)}
    with pytest.raises(InputError, match="image decoder"):
        starting_parts(write_checkpoint(tmp_path, values, None), TINY, seeded())


def test_weights_with_poses_start_no_model_without(tmp_path):
    with pytest.raises(InputError, match="1280 numbers, from which no SV3D_u can go on"):
        starting_parts(write_checkpoint(tmp_path, tensors()), TINY_U, seeded())


def test_other_sizes_are_refused(tmp_path):
    path = write_checkpoint(tmp_path, tensors())
    with pytest.raises(InputError, match="expected"):
        starting_parts(path, replace(TINY, unet=replace(TINY.unet, head_channels=32, channels=64)), seeded())


def test_the_autoencoder_alone(tmp_path):
    measured = replace(TINY_U, vae=replace(TINY.vae, scale_factor=0.7))
    path = write_checkpoint(tmp_path, tensors(measured), measured)
    vae, scale_factor = load_vae(path, TINY)
    assert scale_factor == 0.7
    assert torch.equal(vae.quant_conv.weight, load_parts(path).vae.quant_conv.weight)
    with pytest.raises(InputError, match="autoencoder"):
        load_vae(path, replace(TINY, vae=replace(TINY.vae, channels=64)))
