"""The video UNet against the official numbers, diffusers' own UNet, closed forms and what must not change a result."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from sv3d_case import randomize
from torch import Tensor, nn

from sv3dgen.errors import InputError
from sv3dgen.sv3d.config import UNetConfig, sv3d_p, sv3d_u
from sv3dgen.sv3d.network.unet import VideoUNet

FRAMES = 3
TINY = UNetConfig(
    channels=32,
    channel_mult=(1, 2),
    res_blocks=1,
    attention_factors=(1,),
    head_channels=16,
    context_dim=24,
    vector_dims=(16, 8, 8),
)


@pytest.fixture(scope="module")
def unet() -> VideoUNet:
    return tiny_unet(TINY)


def tiny_unet(config: UNetConfig) -> VideoUNet:
    unet = VideoUNet(config)
    randomize(unet, seed=0)
    return unet


def inputs(clips: int, config: UNetConfig = TINY, size: tuple[int, int] = (6, 4), seed: int = 1) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    views = clips * FRAMES
    return {
        "latents": torch.randn(views, config.in_channels, *size, generator=generator),
        "c_noise": torch.randn(clips, generator=generator),
        "context": torch.randn(clips, 1, config.context_dim, generator=generator),
        "vector": torch.randn(views, sum(config.vector_dims), generator=generator),
        "frames": FRAMES,
    }


def cosine_embedding(values: np.ndarray, width: int) -> np.ndarray:
    """[cos | sin] of the values times 10000^(-i / half)."""
    angles = values[:, None] * 10000.0 ** (-np.arange(width // 2) / (width // 2))
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


def mix_factors(unet: VideoUNet) -> list[Tensor]:
    return [parameter for name, parameter in unet.named_parameters() if name.endswith("mix_factor")]


# The official numbers


@pytest.mark.parametrize(("config", "count"), [(sv3d_p(), 1_525_278_442), (sv3d_u(), 1_523_967_722)], ids=["p", "u"])
def test_full_size_has_the_official_number_of_parameters_under_diffusers_names(config: Any, count: int) -> None:
    with torch.device("meta"):
        unet = VideoUNet(config.unet)
        theirs = UNetSpatioTemporalConditionModel(projection_class_embeddings_input_dim=sum(config.unet.vector_dims))
    assert sum(parameter.numel() for parameter in unet.parameters()) == count
    assert shapes(unet) == shapes(theirs)


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def test_group_norms_have_the_official_epsilons(unet: VideoUNet) -> None:
    norms = {name: module for name, module in unet.named_modules() if isinstance(module, nn.GroupNorm)}
    of_transformers = {name for name in norms if "attentions" in name}
    assert of_transformers and {norms[name].eps for name in of_transformers} == {1e-6}
    assert {norms[name].eps for name in norms.keys() - of_transformers} == {1e-5}
    assert {norm.num_groups for norm in norms.values()} == {32}


def test_number_of_groups_may_be_chosen() -> None:
    unet = VideoUNet(replace(TINY, norm_groups=8))
    assert {module.num_groups for module in unet.modules() if isinstance(module, nn.GroupNorm)} == {8}
    with pytest.raises(InputError, match="norm_groups=7: expected a number that divides 32"):
        VideoUNet(replace(TINY, norm_groups=7))


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"channel_mult": (1, 2, 1, 2), "attention_factors": (4, 2)}, (8, 24)),  # 1 x 3 latents at the lowest level
        ({"channel_mult": (2, 1, 3), "attention_factors": (1, 4), "res_blocks": 2}, (4, 4)),
        ({"channel_mult": (1,), "attention_factors": (), "transformer_depth": 2}, (5, 3)),
    ],
)
@torch.no_grad()
def test_other_sizes(changes: dict[str, Any], size: tuple[int, int]) -> None:
    config = replace(TINY, **changes)
    unet = tiny_unet(config)
    levels: Any = zip(unet.down_blocks, reversed(unet.up_blocks), strict=True)
    for level, (down, up) in enumerate(levels):
        assert hasattr(down, "attentions") == hasattr(up, "attentions") == (2**level in config.attention_factors)
        assert [len(down.resnets), len(up.resnets)] == [config.res_blocks, config.res_blocks + 1]
    transformers = [module for module in unet.modules() if isinstance(module, TransformerSpatioTemporalModel)]
    assert all(len(module.transformer_blocks) == config.transformer_depth for module in transformers)
    given = inputs(2, config, size)
    v = unet(**given)
    assert v.shape == (2 * FRAMES, config.out_channels, *size) and v.isfinite().all()


def test_latents_that_cannot_be_halved_are_refused(unet: VideoUNet) -> None:
    with pytest.raises(InputError, match="latents: 5x4 in size, expected both to be multiples of 2"):
        unet(**inputs(1, size=(5, 4)))


# Numbers that need no file


@torch.no_grad()
def test_equals_diffusers_where_all_frames_have_one_vector(unet: VideoUNet) -> None:
    config, ids = TINY, torch.tensor([[0.3, 1.2], [2.0, 0.1]])
    theirs = UNetSpatioTemporalConditionModel(
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        block_out_channels=(32, 64),
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=sum(config.vector_dims),
        layers_per_block=config.res_blocks,
        cross_attention_dim=config.context_dim,
        num_attention_heads=(2, 4),
    ).eval()
    theirs.load_state_dict(unet.state_dict())
    for name, module in theirs.named_modules():
        if isinstance(module, nn.GroupNorm) and "attentions" not in name:
            module.eps = 1e-5
    vector = torch.from_numpy(cosine_embedding(ids.flatten().numpy(), 16)).float().reshape(2, 32)
    given = inputs(2) | {"vector": vector.repeat_interleave(FRAMES, dim=0)}
    for clip in range(2):  # theirs takes one noise level for all clips
        sample = given["latents"].unflatten(0, (2, FRAMES))[[clip]]
        expected = theirs(sample, given["c_noise"][clip], given["context"][[clip]], ids[[clip]]).sample[0]
        torch.testing.assert_close(unet(**given)[clip * FRAMES :][:FRAMES], expected, rtol=0, atol=2e-5)


@torch.no_grad()
def test_embedding_is_the_closed_form(unet: VideoUNet) -> None:
    given = inputs(2)
    parameters = {name: value.double().numpy() for name, value in unet.named_parameters()}

    def perceptron(name: str, values: np.ndarray) -> np.ndarray:
        hidden = values @ parameters[f"{name}.linear_1.weight"].T + parameters[f"{name}.linear_1.bias"]
        hidden = hidden / (1 + np.exp(-hidden))
        return hidden @ parameters[f"{name}.linear_2.weight"].T + parameters[f"{name}.linear_2.bias"]

    time = perceptron("time_embedding", cosine_embedding(given["c_noise"].double().numpy(), TINY.channels))
    expected = np.repeat(time, FRAMES, axis=0) + perceptron("add_embedding", given["vector"].double().numpy())
    embedding = unet._embed(given["c_noise"], given["vector"], FRAMES)
    np.testing.assert_allclose(embedding.numpy(), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_transformers_know_the_index_of_a_frame(unet: VideoUNet) -> None:
    seen = []
    transformer = unet.mid_block.attentions[0]
    assert isinstance(transformer, TransformerSpatioTemporalModel)
    handle = transformer.time_pos_embed.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    unet(**inputs(2))
    handle.remove()
    expected = np.tile(cosine_embedding(np.arange(FRAMES), 64), (2, 1))
    np.testing.assert_allclose(seen[0].numpy(), expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_clips_are_independent(unet: VideoUNet) -> None:
    given = inputs(2)
    both = unet(**given)
    for clip in range(2):
        views, clips = slice(clip * FRAMES, (clip + 1) * FRAMES), slice(clip, clip + 1)
        alone = unet(
            given["latents"][views],
            given["c_noise"][clips],
            given["context"][clips],
            given["vector"][views],
            frames=FRAMES,
        )
        torch.testing.assert_close(both[views], alone, rtol=0, atol=1e-5)


@torch.no_grad()
def test_mix_factor_says_whether_frames_are_mixed() -> None:
    unet, given = tiny_unet(TINY), inputs(1)
    changed = given | {"latents": given["latents"].clone()}
    changed["latents"][0] += 1
    for factor, mixes in ((100.0, False), (-100.0, True)):  # alpha, the share of what is not mixed, is its sigmoid
        for parameter in mix_factors(unet):
            parameter.fill_(factor)
        difference = (unet(**given) - unet(**changed)).abs().amax(dim=(1, 2, 3))
        assert difference[0] > 0.01
        assert (difference[1:] > 0.001).all() if mixes else (difference[1:] == 0).all()


def test_frames_have_their_own_vectors(unet: VideoUNet) -> None:
    given = inputs(1) | {"vector": inputs(1)["vector"].requires_grad_()}
    unet(**given).square().sum().backward()
    gradient = given["vector"].grad
    assert gradient is not None and (gradient.abs().amax(dim=1) > 1e-4).all()
    assert not torch.allclose(gradient[0], gradient[1], rtol=0.1)


def test_checkpointing_changes_no_gradient() -> None:
    unet, given = tiny_unet(TINY), inputs(2)
    calls = []
    unet.mid_block.resnets[0].register_forward_pre_hook(lambda *_: calls.append(1))
    gradients = []
    for checkpointing in (False, True):
        unet.checkpointing = checkpointing
        unet.zero_grad()
        calls.clear()
        unet(**given).square().mean().backward()
        assert len(calls) == 1 + checkpointing  # a second time on the way back
        gradients.append({name: parameter.grad for name, parameter in unet.named_parameters()})
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, rtol=0, atol=0, msg=name)


def test_attention_to_the_picture_is_the_same_with_and_without_gradients(unet: VideoUNet) -> None:
    given = inputs(2)
    with torch.no_grad():
        short = unet(**given)
    torch.testing.assert_close(short, unet(**given).detach(), rtol=0, atol=1e-5)


@torch.no_grad()
def test_half_precision_answers_in_the_precision_of_the_latents() -> None:
    unet, given = tiny_unet(TINY), inputs(2)
    exact = unet(**given)
    with torch.autocast("cpu", torch.bfloat16):
        automatic = unet(**given)
    half = unet.bfloat16()(**given)
    for v in (automatic, half):
        assert v.dtype == torch.float32
        assert (v - exact).abs().mean() < 0.03 * exact.abs().mean()
