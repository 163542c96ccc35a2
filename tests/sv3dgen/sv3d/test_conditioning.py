"""What conditions a frame, against its definition written out with loops."""

from math import cos, pi, radians, sin

import pytest
import torch

from sv3dgen.sv3d.conditioning import Condition, frame_vector, joined, polars_and_azimuths, sinusoid
from sv3dgen.sv3d.config import sv3d_p, sv3d_u
from sv3dgen.views.orbits import Orbit, orbit_by_name


def orbit_of(elevations, azimuths):
    return Orbit(torch.tensor(elevations, dtype=torch.float64), torch.tensor(azimuths, dtype=torch.float64))


def test_sinusoid_is_cosines_then_sines():
    made = sinusoid(torch.tensor([0.0, 1.5, 6.2], dtype=torch.float64), 8)
    assert made.dtype == torch.float32
    for row, angle in zip(made, [0.0, 1.5, 6.2], strict=True):
        frequencies = [10_000 ** (-index / 4) for index in range(4)]
        expected = [cos(angle * f) for f in frequencies] + [sin(angle * f) for f in frequencies]
        assert row.tolist() == pytest.approx(expected, abs=1e-6)


def test_polar_is_absolute_and_azimuth_is_relative_to_the_last_frame():
    polars, azimuths = polars_and_azimuths(orbit_of([-20.0, 0.0, 35.0], [10.0, 200.0, 350.0]))
    assert polars.dtype == azimuths.dtype == torch.float64
    assert polars.tolist() == pytest.approx([radians(110), radians(90), radians(55)], abs=1e-15)
    assert azimuths.tolist() == pytest.approx([radians(20), radians(210), 0.0], abs=1e-15)


def test_last_azimuth_is_exactly_zero_and_none_reaches_a_full_turn():
    barely_before = orbit_of([0.0, 0.0], [0.0, 1e-20])
    assert polars_and_azimuths(barely_before)[1].tolist() == [0.0, 0.0]
    for seed in range(20):
        azimuths = polars_and_azimuths(orbit_by_name("dynamic", elevation_deg=5.0, seed=seed))[1]
        assert azimuths[-1] == 0 and azimuths.min() >= 0 and azimuths.max() < 2 * pi


def test_vector_is_noise_polar_azimuth_per_frame():
    orbit = orbit_by_name("sine30", elevation_deg=10.0)
    vector = frame_vector(sv3d_p().unet, orbit, 1e-5)
    polars, azimuths = polars_and_azimuths(orbit)
    assert vector.shape == (21, 1280)
    assert torch.equal(vector[:, 256:768], sinusoid(polars, 512))
    assert torch.equal(vector[:, 768:], sinusoid(azimuths, 512))
    assert vector[:, :128].min() > 1 - 1e-6 and vector[:, 128:256].abs().max() < 2e-5


def test_model_without_poses_gets_the_noise_level_alone():
    orbit = orbit_by_name("sine30", elevation_deg=10.0)
    assert torch.equal(frame_vector(sv3d_u().unet, orbit, 0.02), frame_vector(sv3d_p().unet, orbit, 0.02)[:, :256])


def test_unconditional_half_keeps_the_vector_alone():
    condition = Condition(torch.ones(2, 1, 4), torch.ones(2, 4, 3, 3), torch.ones(2, 5, 6))
    without = condition.unconditional()
    assert not without.context.any() and not without.image_latents.any()
    assert torch.equal(without.vector, condition.vector) and condition.frames == 5
    both = joined([without, condition])
    assert torch.equal(both[2:].context, condition.context) and torch.equal(both[:2].context, without.context)
