"""SV3D as a prior for score distillation: the same encoder, sampler and guidance as when it makes views."""

import pytest
import torch

from sv3dgen.nvs_interfaces import OrbitPrior
from sv3dgen.sv3d.denoiser import denoise_guided
from sv3dgen.sv3d.guidance_scale import triangular_scale
from sv3dgen.sv3d.memory import MemoryPlan
from sv3dgen.sv3d.model import SV3D
from sv3dgen.views.orbits import orbit_by_name


@pytest.fixture(scope="module")
def model() -> SV3D:
    return SV3D.from_pretrained("sv3d_tiny", memory=MemoryPlan(encode_chunk=2))


def picture(seed: int = 0, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def prior(model) -> OrbitPrior:
    return model.prior(picture()[0], seed=3)


def test_levels_are_those_of_the_sampler(model, prior):
    sampler = model.config.sampler
    assert prior.sigma(0.0) == pytest.approx(sampler.sigma_min) and prior.sigma(1.0) == pytest.approx(sampler.sigma_max)
    middle = (0.5 * (sampler.sigma_min ** (1 / 7) + sampler.sigma_max ** (1 / 7))) ** 7
    assert sampler.rho == 7 and prior.sigma(0.5) == pytest.approx(middle)


def test_latents_are_scaled_and_come_back_as_pictures(model, prior):
    pictures = torch.ones(3, 3, 64, 64)
    pictures[:, 0, 16:48, 16:48] = 0.2
    latents = prior.encode(pictures)
    scale = model.config.vae.scale_factor
    torch.testing.assert_close(latents, scale * model.encode(2 * pictures - 1))
    assert (prior.decode(latents) - pictures).abs().mean() < 0.05


def test_pull_back_is_the_encoders_gradient(model, prior):
    pictures = picture(1, 3)
    gradient = torch.randn(prior.encode(pictures).shape, generator=torch.Generator().manual_seed(2))
    leaf = pictures.clone().requires_grad_()
    (model.config.vae.scale_factor * model.vae.encode(2 * leaf - 1) * gradient).sum().backward()
    with torch.no_grad():  # whatever the caller does
        pulled = prior.pull_back(pictures, gradient)
    torch.testing.assert_close(pulled, leaf.grad)
    assert all(parameter.grad is None for parameter in model.vae.parameters())


def test_denoising_is_the_samplers_with_a_triangle_of_guidance(model, prior):
    orbit = orbit_by_name("dynamic", elevation_deg=10.0, frames=5, seed=1)
    noisy = 3 * torch.randn(5, *prior.encode(picture()).shape[1:], generator=torch.Generator().manual_seed(4))
    noise, _ = model.draw_noise(3, 5)
    condition = model.condition(2 * picture() - 1, [orbit], noise[None])
    with torch.no_grad():
        expected = denoise_guided(
            model.network, noisy[None], torch.tensor([3.0]), condition, triangular_scale(5, highest=2.0)
        )
    got = prior.denoise(noisy, 3.0, orbit, guidance_max=2.0)
    torch.testing.assert_close(got, expected[0])
    assert not torch.allclose(got, prior.denoise(noisy, 3.0, orbit, guidance_max=1.0))
