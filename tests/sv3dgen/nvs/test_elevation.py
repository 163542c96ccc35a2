"""The elevation of an orbit from silhouettes in closed form, of a model's orbits, and where it can't be told."""

from dataclasses import dataclass, field

import pytest
import torch
from ellipsoids import FIGURE, posed_views, silhouettes

from sv3dgen.bench import elevation as bench
from sv3dgen.errors import InputError
from sv3dgen.nvs.elevation import FIXED_DEG, elevation_of_orbit, estimate_elevation
from sv3dgen.nvs_interfaces import NVSAbilities
from sv3dgen.views.orbits import Orbit, orbit_by_name
from sv3dgen.views.posed_views import PosedViews

SIZE_PX = 80
VASE = (((0.0, -0.1, 0.0), (0.3, 0.35, 0.3)), ((0.0, 0.25, 0.0), (0.15, 0.2, 0.15)))  # of revolution about +Y
PICTURE = torch.ones(3, SIZE_PX, SIZE_PX)


def masks(elevation_deg, parts=FIGURE, frames=21):
    orbit = orbit_by_name("static", elevation_deg=float(elevation_deg), frames=frames)
    return silhouettes(orbit.cameras(size_px=SIZE_PX), parts)


@dataclass
class Ellipsoids:
    """A model that knows its object. One that takes poses obeys half of what it is told, as a real one may."""

    true_deg: float
    takes_poses: bool
    parts: tuple = FIGURE
    calls: list = field(default_factory=list)

    @property
    def abilities(self) -> NVSAbilities:
        return NVSAbilities("ellipsoids", 21, SIZE_PX, self.takes_poses, "none")

    def __call__(self, image, orbit: Orbit, *, seed: int, steps: int) -> PosedViews:
        told = float(orbit.elevation_deg[0])
        self.calls.append((told, steps))
        blend = torch.linspace(0, 1, 21, dtype=torch.float64)  # the nearer to the picture, the more the truth
        seen = self.true_deg + (told - self.true_deg) * (1 - blend) * self.takes_poses
        seen_by = Orbit(seen, orbit.azimuth_deg).cameras(size_px=SIZE_PX)
        return posed_views(orbit.cameras(size_px=SIZE_PX), self.parts, seen_by=seen_by)


@pytest.mark.parametrize("elevation_deg", [-7.0, 3.0, 22.0, 41.0])
def test_known_elevations_are_found(elevation_deg):
    estimate = elevation_of_orbit(masks(elevation_deg))
    assert estimate.sure and abs(estimate.elevation_deg - elevation_deg) <= 2
    assert estimate.agreement > 0.9 and f"{estimate.elevation_deg:g}" in estimate.note


def test_size_and_height_in_the_picture_do_not_matter():
    smaller = tuple(((x, y * 0.7 + 0.12, z), (a, b * 0.7, c)) for (x, y, z), (a, b, c) in FIGURE)
    smaller = tuple(((0.7 * x, y, 0.7 * z), (0.7 * a, b, 0.7 * c)) for (x, y, z), (a, b, c) in smaller)
    assert abs(elevation_of_orbit(masks(20, smaller)).elevation_deg - 20) <= 2


def test_the_axis_may_be_beside_the_middle():
    assert abs(elevation_of_orbit(masks(20).roll(5, dims=2)).elevation_deg - 20) <= 2


@pytest.mark.parametrize("parts", [VASE, (((0.0, 0.0, 0.0), (0.4, 0.4, 0.4)),)], ids=["vase", "sphere"])
def test_bodies_of_revolution_get_the_fixed_elevation(parts):
    estimate = elevation_of_orbit(masks(25, parts))
    assert not estimate.sure and estimate.elevation_deg == FIXED_DEG
    assert "alike from all around" in estimate.note and "\n" not in estimate.note


def test_views_of_different_objects_are_not_believed():
    order = torch.randperm(21, generator=torch.Generator().manual_seed(0))
    bar = (((0.1, 0.1, 0.2), (0.45, 0.05, 0.05)),)
    estimate = elevation_of_orbit(masks(10, bar)[order])
    assert not estimate.sure and estimate.elevation_deg == FIXED_DEG
    empty = masks(10)
    empty[4] = False
    assert "empty" in elevation_of_orbit(empty).note


def test_what_is_no_orbit_is_refused():
    with pytest.raises(InputError, match="at least 3"):
        elevation_of_orbit(masks(10)[:2])
    with pytest.raises(InputError, match="square"):
        elevation_of_orbit(masks(10)[:, :40])


def test_a_model_without_poses_is_asked_once():
    model = Ellipsoids(true_deg=26.0, takes_poses=False)
    assert abs(estimate_elevation(model, PICTURE, steps=7).elevation_deg - 26) <= 2
    assert [steps for _, steps in model.calls] == [7]


@pytest.mark.parametrize("true_deg", [2.0, 18.0])
def test_a_model_with_poses_is_asked_at_candidates(true_deg):
    model = Ellipsoids(true_deg=true_deg, takes_poses=True)
    estimate = estimate_elevation(model, PICTURE)
    assert len(model.calls) == 4 and estimate.sure
    assert abs(estimate.elevation_deg - true_deg) <= 3


def test_errors_are_summed_up_beside_those_of_the_fixed_elevation():
    rows = [
        {"degradation": "none", "elevation_deg": 20.0, "estimate_deg": 18.0, "sure": True, "seconds": 1.0},
        {"degradation": "none", "elevation_deg": 11.0, "estimate_deg": 15.0, "sure": False, "seconds": 3.0},
    ]
    (summary,) = bench.summarize(rows)
    assert summary["mean_error_deg"] == 3 and summary["fixed_mean_error_deg"] == 5.5
    assert summary["closer"] == 0.5 and summary["unsure"] == 1
    assert "| none | 2 | 3.00 |" in bench.markdown({"objects": 2, "machine": "here", "summary": [summary]})
