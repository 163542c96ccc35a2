"""Preconditioning, schedule and Euler steps, where the exact answer is known: data that are Gaussian."""

import pytest
import torch

from sv3dgen.errors import InputError
from sv3dgen.sv3d.conditioning import Condition
from sv3dgen.sv3d.config import SamplerConfig
from sv3dgen.sv3d.denoiser import denoise, denoise_guided, denoise_halves, predict_v, scalings
from sv3dgen.sv3d.sampler import draw_noise, euler, sigma_schedule, starting_latents
from sv3dgen.sv3d.training.loss import frame_losses, sigmas_from_normal, v_weight

FRAMES = 3


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def condition_of(clips=1, seed=1):
    return Condition(normal(clips, 1, 6, seed=seed), normal(clips, 4, 5, 5, seed=seed + 1), normal(clips, FRAMES, 7))


def mixing_network(latents, c_noise, context, vector, *, frames):
    """A network that is no more than a sum in which every input can be told, for each image by itself."""
    clip = torch.arange(len(latents)) // frames
    shift = c_noise[clip] + context[clip, 0].sum(-1) + vector.sum(-1)
    return 0.3 * latents[:, :4] + 0.2 * latents[:, 4:] + 0.1 * shift[:, None, None, None]


def test_scalings_are_those_of_v():
    sigma = torch.tensor([700.0, 3.7, 0.03], dtype=torch.float64)
    factors, clean, noise = scalings(sigma), normal(3).double(), normal(3, seed=1).double()
    noisy = clean + sigma * noise
    v = (noise - sigma * clean) / (1 + sigma**2).sqrt()
    torch.testing.assert_close(factors.out * v + factors.skip * noisy, clean)
    torch.testing.assert_close(factors.input, 1 / (1 + sigma**2).sqrt())
    torch.testing.assert_close(factors.noise.exp() ** 4, sigma)


def test_network_sees_scaled_latents_beside_unscaled_picture():
    latents, sigma, condition = normal(2, FRAMES, 4, 5, 5), torch.tensor([5.0, 0.2]), condition_of(clips=2)
    v = predict_v(mixing_network, latents, sigma, condition)
    for clip in range(2):
        for frame in range(FRAMES):
            scaled = latents[clip, frame] / (sigma[clip] ** 2 + 1).sqrt()
            shift = sigma[clip].log() / 4 + condition.context[clip].sum() + condition.vector[clip, frame].sum()
            expected = 0.3 * scaled + 0.2 * condition.image_latents[clip] + 0.1 * shift
            torch.testing.assert_close(v[clip, frame], expected)


@pytest.mark.parametrize("together", [True, False])
def test_guidance_is_each_frame_s_own(together):
    latents, sigma, condition = normal(2, FRAMES, 4, 5, 5), torch.tensor([5.0, 0.2]), condition_of(clips=2)
    scale = torch.tensor([1.0, 2.5, 0.0])
    guided = denoise_guided(mixing_network, latents, sigma, condition, scale, together=together)
    conditional = denoise(mixing_network, latents, sigma, condition)
    unconditional = denoise(mixing_network, latents, sigma, condition.unconditional())
    torch.testing.assert_close(guided[:, 0], conditional[:, 0])
    torch.testing.assert_close(guided[:, 1], unconditional[:, 1] + 2.5 * (conditional - unconditional)[:, 1])
    torch.testing.assert_close(guided[:, 2], unconditional[:, 2])


def test_halves_together_and_apart_are_the_same():
    latents, sigma, condition = normal(2, FRAMES, 4, 5, 5), torch.tensor([5.0, 0.2]), condition_of(clips=2)
    together = denoise_halves(mixing_network, latents, sigma, condition)
    apart = denoise_halves(mixing_network, latents, sigma, condition, together=False)
    torch.testing.assert_close(together, apart)


def test_schedule_has_the_released_levels():
    sigmas = sigma_schedule(SamplerConfig(), 50)
    assert sigmas.shape == (51,) and sigmas.dtype == torch.float32
    assert sigmas[0] == pytest.approx(700, rel=1e-6) and sigmas[-2] == pytest.approx(0.002, rel=1e-6)
    assert sigmas[-1] == 0 and (sigmas.diff() < 0).all()
    assert sigmas[1:5].tolist() == pytest.approx([620.328, 548.558, 484.027, 426.115], abs=6e-4)
    assert (0.25 * sigmas[0].log()).item() == pytest.approx(1.6378, abs=5e-5)
    assert sigma_schedule(SamplerConfig(), 1).tolist() == pytest.approx([700.0, 0.0])


def test_no_steps_are_refused():
    with pytest.raises(InputError, match="steps=0"):
        sigma_schedule(SamplerConfig(), 0)


def test_a_gaussian_target_is_reached_along_its_exact_path():
    """Of data N(m, s^2) the denoiser is known, and so is the flow: x - m shrinks by sqrt(s^2 + sigma^2)."""
    mean, deviation, sigmas = 0.7, 0.5, sigma_schedule(SamplerConfig(), 2000).double()
    start = starting_latents(normal(1, 2, 4, 3, 3).double(), sigmas)

    def exact(latents, sigma):
        share = deviation**2 / (deviation**2 + sigma**2)
        return mean + share[:, None, None, None, None] * (latents - mean)

    reached = euler(exact, start, sigmas)
    shrunk = deviation / (deviation**2 + sigmas[0] ** 2).sqrt()
    torch.testing.assert_close(reached, mean + shrunk * (start - mean), rtol=5e-3, atol=5e-3)


def test_euler_is_first_order():
    errors = []
    for steps in (40, 80, 160):
        sigmas = sigma_schedule(SamplerConfig(sigma_max=10.0), steps).double()
        start = torch.full((1, 1, 1, 1, 1), 5.0, dtype=torch.float64)
        reached = euler(lambda x, sigma: x / (1 + sigma[0] ** 2), start, sigmas)
        errors.append(abs(reached.item() - 5 / (1 + 10.0**2) ** 0.5))
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1) and errors[1] / errors[2] == pytest.approx(2, rel=0.1)


def test_steps_are_those_of_the_textbook_and_the_last_lands_on_the_estimate():
    sigmas, start = torch.tensor([9.0, 4.0, 1.0, 0.0]), normal(1, 2, 4, 3, 3) * 9
    estimates, told = [], []

    def wobbly(latents, sigma):
        estimates.append(torch.sin(latents) * sigma)
        return estimates[-1]

    reached = euler(wobbly, start, sigmas, lambda step, steps: told.append((step, steps)))
    expected = start
    for sigma, following in ((9.0, 4.0), (4.0, 1.0)):
        slope = (expected - torch.sin(expected) * sigma) / sigma
        expected = expected + (following - sigma) * slope
    torch.testing.assert_close(reached, torch.sin(expected))
    assert torch.equal(reached, estimates[-1])
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_start_has_the_variance_of_noisy_data():
    noise = normal(1, 2, 4, 3, 3)
    torch.testing.assert_close(starting_latents(noise, torch.tensor([3.0, 0.0])), noise * 10**0.5)


def test_noise_follows_the_seed_in_the_official_order():
    generator = torch.Generator().manual_seed(23)
    picture, latents = draw_noise(23, (3, 16, 16), (5, 4, 2, 2))
    assert torch.equal(picture, torch.randn(1, 3, 16, 16, generator=generator)[0])
    assert torch.equal(latents, torch.randn(5, 4, 2, 2, generator=generator))
    assert not torch.equal(latents, draw_noise(24, (3, 16, 16), (5, 4, 2, 2))[1])
    torch.rand(7)  # whatever else draws
    assert torch.equal(latents, draw_noise(23, (3, 16, 16), (5, 4, 2, 2))[1])


def test_loss_is_the_weighted_error_of_the_estimate():
    clean, noise = normal(2, FRAMES, 4, 5, 5, seed=3), normal(2, FRAMES, 4, 5, 5, seed=4)
    sigma, condition = torch.tensor([2.0, 0.4]), condition_of(clips=2)
    losses = frame_losses(mixing_network, clean, noise, sigma, condition)
    noisy = clean + sigma[:, None, None, None, None] * noise
    error = denoise(mixing_network, noisy, sigma, condition) - clean
    expected = v_weight(sigma)[:, None] * error.square().flatten(2).mean(-1)
    torch.testing.assert_close(losses, expected)


def test_loss_has_the_gradient_of_finite_differences():
    gain = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    clean, noise = normal(1, FRAMES, 4, 2, 2).double(), normal(1, FRAMES, 4, 2, 2, seed=1).double()
    empty = torch.zeros(1, 4, 2, 2, dtype=torch.float64)
    condition = Condition(torch.zeros(1, 1, 6).double(), empty, torch.zeros(1, FRAMES, 7).double())

    def mean_loss(gain):
        def network(latents, c_noise, context, vector, *, frames):
            return gain * latents[:, :4]

        return frame_losses(network, clean, noise, torch.tensor([2.0], dtype=torch.float64), condition).mean()

    assert torch.autograd.gradcheck(mean_loss, (gain,))


def test_noise_levels_are_log_normal():
    draws = normal(20_000)
    logs = sigmas_from_normal(draws).log()
    assert logs.mean().item() == pytest.approx(0.7, abs=0.05) and logs.std().item() == pytest.approx(1.6, abs=0.05)
    assert v_weight(torch.tensor([1.0, 1e3])).tolist() == pytest.approx([2.0, 1.0], rel=1e-5)
