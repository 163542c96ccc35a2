"""The image encoder and its resizing against the official numbers, transformers' own model and slow references."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sv3d_case import SV3DCase, randomize, read_case
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from sv3dgen.sv3d.config import ImageEncoderConfig
from sv3dgen.sv3d.network.antialiased_resize import antialiased_resize
from sv3dgen.sv3d.network.image_encoder import ImageEncoder

TINY = ImageEncoderConfig(width=24, layers=2, head_width=8, mlp_ratio=2.5, patch_px=8, size_px=32, embed_dim=12)


def tiny_encoder() -> ImageEncoder:
    encoder = ImageEncoder(TINY)
    randomize(encoder, seed=0)
    return encoder


def images(height: int, width: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height)) * 2 - 1


# The official numbers


@pytest.fixture(scope="module")
def case(shared: Path) -> SV3DCase:
    return read_case(shared)


@pytest.fixture(scope="module")
def official(case: SV3DCase) -> ImageEncoder:
    return case.parts.image_encoder


def square_picture(shared: Path) -> torch.Tensor:
    """A preprocessed photo of 576 px, so one that is blurred before it is reduced."""
    with Image.open(shared / "parity" / "dev" / "preprocess" / "square_none_out.png") as picture:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255 * 2 - 1


@torch.no_grad()
def test_official_preprocessing(case: SV3DCase, official: ImageEncoder, shared: Path) -> None:
    small = official.preprocess(case.io["in.image"])[..., ::8, ::8]
    torch.testing.assert_close(small, case.io["clip.preprocessed_sub8"], rtol=0, atol=2e-6)
    large = official.preprocess(square_picture(shared))[..., ::8, ::8]
    torch.testing.assert_close(large, case.io["clip576.preprocessed_sub8"], rtol=0, atol=2e-6)


@torch.no_grad()
def test_official_embeddings(case: SV3DCase, official: ImageEncoder, shared: Path) -> None:
    torch.testing.assert_close(official(case.io["in.image"])[:, None], case.io["cond.crossattn"], rtol=0, atol=1e-5)
    torch.testing.assert_close(official(square_picture(shared)), case.io["clip576.embed"], rtol=0, atol=1e-5)


# Sizes and names


def test_full_size_has_the_official_number_of_parameters_under_transformers_names() -> None:
    with torch.device("meta"):
        encoder = ImageEncoder(ImageEncoderConfig())
        theirs = transformers_encoder(ImageEncoderConfig())
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 632_076_800
    assert shapes(encoder) == shapes(theirs)
    assert encoder.vision_model.config._attn_implementation == "sdpa"


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def transformers_encoder(config: ImageEncoderConfig) -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=config.width,
            intermediate_size=int(config.width * config.mlp_ratio),
            num_hidden_layers=config.layers,
            num_attention_heads=config.width // config.head_width,
            image_size=config.size_px,
            patch_size=config.patch_px,
            projection_dim=config.embed_dim,
            hidden_act="gelu",
        )
    ).eval()


@torch.no_grad()
def test_built_without_memory_it_runs_once_it_has_weights() -> None:
    encoder = tiny_encoder()
    with torch.device("meta"):
        later = ImageEncoder(TINY)
    later.load_state_dict(encoder.state_dict(), assign=True)
    assert not any(tensor.is_meta for tensor in [*later.parameters(), *later.buffers()])
    torch.testing.assert_close(later.eval()(images(40, 40)), encoder(images(40, 40)), rtol=0, atol=0)


# Numbers that need no file


@torch.no_grad()
def test_equals_transformers() -> None:
    encoder, theirs = tiny_encoder(), transformers_encoder(TINY)
    theirs.load_state_dict(encoder.state_dict())
    pixels = encoder.preprocess(images(40, 56))
    torch.testing.assert_close(encoder(images(40, 56)), theirs(pixels).image_embeds, rtol=0, atol=1e-6)


@torch.no_grad()
def test_preprocessing_normalizes_by_channel() -> None:
    color = torch.tensor([-1.0, 0.0, 0.5])
    pixels = tiny_encoder().preprocess(color[None, :, None, None].expand(1, 3, 50, 70))
    expected = ((color + 1) / 2 - torch.tensor(TINY.mean)) / torch.tensor(TINY.std)
    torch.testing.assert_close(pixels, expected[None, :, None, None].expand(1, 3, 32, 32), rtol=0, atol=1e-5)


@torch.no_grad()
def test_answers_in_the_precision_of_the_input_and_resizes_in_full() -> None:
    encoder = tiny_encoder()
    exact = encoder(images(40, 40))
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder.preprocess(images(100, 100)).dtype == torch.float32
        automatic = encoder(images(40, 40))
    half = encoder.bfloat16()(images(40, 40))
    for embedding in (automatic, half):
        assert embedding.dtype == torch.float32
        assert (embedding - exact).abs().mean() < 0.05 * exact.abs().mean()


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (57, 40, (22, 15)),  # some 2.6 px in one: 3 taps
        (90, 61, (12, 32)),  # 7.5 and 1.9 in one: 13 taps down, 3 across
        (12, 80, (20, 20)),  # enlarged down, reduced across
        (9, 7, (20, 23)),  # enlarged: no blur at all
        (16, 16, (16, 16)),
    ],
)
def test_resize_is_a_blur_and_a_bicubic_interpolation(height: int, width: int, size: tuple[int, int]) -> None:
    picture = images(height, width)
    down, across = (slow_resize(old, new) for old, new in zip((height, width), size, strict=True))
    expected = np.einsum("yh,nchw,xw->ncyx", down, picture.double().numpy(), across)
    np.testing.assert_allclose(
        antialiased_resize(picture, size).numpy(), expected, rtol=0, atol=5e-6
    )  # positions are float32


def slow_resize(old: int, new: int) -> np.ndarray:
    """[new, old]: the weight of each old pixel in each new one, along one axis."""
    blur = np.zeros((old, old))
    sigma = max((old / new - 1) / 2, 0.001)
    taps = int(max(4 * sigma, 3))
    radius = (taps + 1 - taps % 2) // 2
    offsets = np.arange(-radius, radius + 1)
    gauss = np.exp(-((offsets / sigma) ** 2) / 2)
    for pixel in range(old):
        for offset, weight in zip(offsets, gauss / gauss.sum(), strict=True):
            mirrored = abs(pixel + offset)
            blur[pixel, mirrored if mirrored < old else 2 * (old - 1) - mirrored] += weight
    cubic = np.zeros((new, old))
    for pixel in range(new):
        position = pixel * (old - 1) / (new - 1)  # the corners stay where they are
        first = int(np.floor(position)) - 1
        for neighbor in range(first, first + 4):
            cubic[pixel, min(max(neighbor, 0), old - 1)] += keys_kernel(abs(position - neighbor))
    return cubic @ blur


def keys_kernel(distance: float, a: float = -0.75) -> float:
    """The cubic convolution kernel of Keys (1981)."""
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * (distance**3 - 5 * distance**2 + 8 * distance - 4) if distance < 2 else 0.0
