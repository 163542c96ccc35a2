"""Orbits against the paper's statements and the statistics published for the released recipe."""

import json

import pytest
import torch
from checkout import ROOT, SHARED
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sv3dgen.errors import InputError
from sv3dgen.views.orbits import (
    RECIPES,
    elevations_and_azimuths,
    orbit_by_name,
    recipe_by_name,
    released_elevations,
    wrapped_deg,
)

ORBITS = SHARED / "orbits"


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("frames", [21, 8])
def test_azimuths_grow_and_end_in_the_conditioning_view(name, frames):
    orbit = orbit_by_name(name, elevation_deg=12.5, frames=frames, seed=3)
    assert len(orbit) == frames
    assert orbit.azimuth_deg[-1] == 0 and orbit.elevation_deg[-1].item() == pytest.approx(12.5, abs=1e-12)
    assert (orbit.azimuth_deg[:-1].diff() > 0).all() and orbit.azimuth_deg[0] > 0 and orbit.azimuth_deg.max() < 360
    assert orbit.elevation_deg.abs().max() < 90


@pytest.mark.parametrize("name", RECIPES)
def test_configuration_and_names_mean_the_same(name):
    assert instantiate(OmegaConf.load(ROOT / "conf" / "orbit" / f"{name}.yaml")) == RECIPES[name]


def test_cameras_look_from_the_orbit_s_angles():
    orbit = orbit_by_name("dynamic", elevation_deg=5.0, seed=1)
    cameras = orbit.cameras(distance=2.0, size_px=64)
    elevation, azimuth = elevations_and_azimuths(cameras)
    assert wrapped_deg(azimuth - orbit.azimuth_deg).abs().max() < 1e-4
    torch.testing.assert_close(elevation, orbit.elevation_deg, atol=1e-4, rtol=0)
    torch.testing.assert_close(cameras.positions.norm(dim=-1), torch.full((21,), 2.0))
    torch.testing.assert_close(orbit.mirrored().mirrored().azimuth_deg, orbit.azimuth_deg, atol=1e-9, rtol=0)


def test_static_orbit_is_even():
    orbit = orbit_by_name("static", elevation_deg=-5.0)
    expected = torch.linspace(0, 360, 22, dtype=torch.float64)[1:]
    expected[-1] = 0
    assert torch.equal(orbit.azimuth_deg, expected) and (orbit.elevation_deg == -5).all()


@pytest.mark.parametrize("folder", sorted(ORBITS.glob("*/")) or [None], ids=lambda p: p.name if p else "none")
def test_sine_orbit_is_the_one_of_the_rendered_views(folder):
    if folder is None:
        pytest.skip("../shared/orbits is not here")
    frames = [f for f in json.loads((folder / "transforms.json").read_text())["frames"] if f["split"] == "train"]
    orbit = orbit_by_name("sine30", elevation_deg=frames[-1]["elevation_deg"])
    for key in ("elevation_deg", "azimuth_deg"):
        published = torch.tensor([frame[key] for frame in frames], dtype=torch.float64)
        torch.testing.assert_close(getattr(orbit, key), published, atol=1e-9, rtol=0)


def test_sine_orbit_refuses_elevations_beyond_its_amplitude():
    with pytest.raises(InputError, match=r"elevation_deg=35.*30 degrees"):
        orbit_by_name("sine30", elevation_deg=35.0)
    assert orbit_by_name("sine50", elevation_deg=35.0).elevation_deg.max() <= 50


@pytest.mark.parametrize("name", ["dynamic", "dynamic_released"])
def test_dynamic_orbits_follow_the_seed(name):
    orbits = [orbit_by_name(name, elevation_deg=10.0, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(orbits[0].elevation_deg, orbits[1].elevation_deg)
    assert torch.equal(orbits[0].azimuth_deg, orbits[1].azimuth_deg)
    assert not torch.equal(orbits[0].elevation_deg, orbits[2].elevation_deg)


def test_dynamic_orbit_s_numbers():
    recipe, source = RECIPES["dynamic"], generator()
    even = RECIPES["static"](0.0, 21, source).azimuth_deg
    orbits = [recipe(10.0, 21, source) for _ in range(300)]
    noise = torch.stack([wrapped_deg(orbit.azimuth_deg - even) for orbit in orbits])
    step = 360 / 21
    assert noise.abs().max() <= 0.25 * step and noise[:, -1].abs().max() == 0
    assert noise[:, :-1].std() == pytest.approx(0.25 * step / 3**0.5, rel=0.05)
    elevation = torch.stack([orbit.elevation_deg for orbit in orbits])
    assert elevation.abs().max() <= 89
    # Five sinusoids with E[a^2] = 36.75 around the path's own mean; box filter of 5 in 84 samples, by frequency.
    frequency = torch.arange(1, 6) * torch.pi / 84
    kept = torch.sin(5 * frequency) / (5 * torch.sin(frequency))
    expected = (36.75 / 2 * kept.square().sum()).sqrt().item()
    assert elevation.std(dim=1, correction=0).square().mean().sqrt().item() == pytest.approx(expected, rel=0.05)


def test_dynamic_orbit_stays_below_its_limit_but_keeps_the_conditioning_view():
    orbits = [RECIPES["dynamic"](85.0, 21, generator(seed)) for seed in range(50)]
    assert max(orbit.elevation_deg.max().item() for orbit in orbits) == 89
    assert all(orbit.elevation_deg[-1] == 85 for orbit in orbits)


def test_released_recipe_has_the_published_statistics():
    source = generator()
    paths = torch.stack([released_elevations(10.0, 84, source) for _ in range(600)])
    peak = paths.abs().amax(dim=1)
    accepted = peak < 90
    assert accepted.double().mean().item() == pytest.approx(0.74, abs=0.05)
    assert peak[accepted].mean().item() == pytest.approx(63, abs=2)
    assert paths[accepted].std(dim=1).mean().item() == pytest.approx(29, abs=1.5)
    assert (paths[:, 0] == 10).all()


def test_released_azimuths_miss_between_nothing_and_two_steps():
    orbits = [RECIPES["dynamic_released"](10.0, 21, generator(seed)) for seed in range(100)]
    # The first taken sample is the fourth step of 84 with mean 360 / 84 degrees.
    first = torch.stack([orbit.azimuth_deg[0] for orbit in orbits])
    assert first.mean().item() == pytest.approx(4 * 360 / 84, rel=0.1)


@pytest.mark.parametrize("elevation", [90.0, -120.0, float("nan")])
@pytest.mark.parametrize("name", RECIPES)
def test_impossible_elevations_are_refused(name, elevation):
    with pytest.raises(InputError, match="elevation_deg"):
        orbit_by_name(name, elevation_deg=elevation)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match="orbit=spiral.*static.*sine50"):
        recipe_by_name("spiral")
