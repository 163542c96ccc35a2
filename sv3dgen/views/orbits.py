"""Camera paths around the object: one elevation and azimuth per view, the conditioning view LAST.

Angles are those of `cameras.py`: azimuth 0 sees the front and grows towards +X, elevation grows towards +Y.
Static, dynamic and sine orbits follow SV3D (arXiv 2403.12008, sections 3 and 4.1), `dynamic_released` follows the
recipe of the official demo script. A recipe is called with the elevation of the conditioning view and gives an `Orbit`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import asin, pi
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.domains import Angle, Between
from sv3dgen.errors import InputError
from sv3dgen.views.cameras import SV3D_FOV_DEG, Cameras, look_at_origin

SV3D_FRAMES = 21
SV3D_DISTANCE = 2.0  # of the authors' cameras, for an object whose longest side is 1

_SAMPLES_PER_FRAME = 4  # a training orbit is rendered in 84 frames, of which every 4th is taken (appendix B)
_SMOOTHING_WIDTH = 5  # samples of the circular box filter in the released recipe


@dataclass(frozen=True)
class Orbit:
    """A closed path on a sphere. Azimuths grow within [0, 360) and end at 0, the conditioning view."""

    elevation_deg: Float[Tensor, " views"]
    azimuth_deg: Float[Tensor, " views"]

    def __len__(self) -> int:
        return self.azimuth_deg.shape[0]

    def mirrored(self) -> "Orbit":
        """The same path walked the other way round, for videos whose camera (not the object) turns clockwise."""
        return Orbit(self.elevation_deg, -self.azimuth_deg % 360)

    def at(self, views: tuple[int, ...]) -> "Orbit":
        """Some of its views, by number."""
        return Orbit(self.elevation_deg[list(views)], self.azimuth_deg[list(views)])

    def cameras(self, distance: float = SV3D_DISTANCE, fov_deg: float = SV3D_FOV_DEG, size_px: int = 576) -> Cameras:
        """One camera per view that looks at the origin; square images."""
        return look_at_origin(self.elevation_deg, self.azimuth_deg, distance=distance, fov_deg=fov_deg, size_px=size_px)


class OrbitRecipe(ABC):
    """How to lay an orbit through a conditioning view of known elevation."""

    @abstractmethod
    def __call__(self, elevation_deg: float, frames: int, generator: torch.Generator) -> Orbit:
        """An orbit of `frames` views whose last has azimuth 0 and the given elevation in (-90, 90) degrees.

        Only the dynamic recipes draw from `generator`.
        """


@dataclass(frozen=True, kw_only=True)
class StaticOrbit(OrbitRecipe):
    """Constant elevation, even azimuths (SV3D, section 3)."""

    def __call__(self, elevation_deg: float, frames: int, generator: torch.Generator) -> Orbit:
        elevation_deg = _checked_elevation(elevation_deg)
        return Orbit(torch.full((frames,), elevation_deg, dtype=torch.float64), _even_azimuths(frames))

    def samples(self, elevation_deg: float, frames: int, generator: torch.Generator) -> Orbit:
        """A loop of four times as many views, from azimuth 0 on, of which any start and every fourth is an orbit."""
        return _from_first(self(elevation_deg, _SAMPLES_PER_FRAME * frames, generator))


@dataclass(frozen=True, kw_only=True)
class SineOrbit(OrbitRecipe):
    """Elevation `amplitude sin(azimuth + phase)`, the phase set by the conditioning view (SV3D, section 4.1)."""

    amplitude_deg: Angle

    def __call__(self, elevation_deg: float, frames: int, generator: torch.Generator) -> Orbit:
        if not abs(elevation_deg) <= self.amplitude_deg:
            raise InputError(
                f"elevation_deg={elevation_deg}: a sine orbit of amplitude {self.amplitude_deg:g} passes elevations "
                f"of at most +-{self.amplitude_deg:g} degrees; take a larger amplitude or orbit=static"
            )
        azimuth_deg = _even_azimuths(frames)
        phase_rad = asin(elevation_deg / self.amplitude_deg)
        return Orbit(self.amplitude_deg * torch.sin(torch.deg2rad(azimuth_deg) + phase_rad), azimuth_deg)

    def samples(self, elevation_deg: float, frames: int, generator: torch.Generator) -> Orbit:
        """A loop of four times as many views, from azimuth 0 on, of which any start and every fourth is an orbit."""
        return _from_first(self(elevation_deg, _SAMPLES_PER_FRAME * frames, generator))


@dataclass(frozen=True, kw_only=True)
class DynamicOrbit(OrbitRecipe):
    """A static orbit with noise on the azimuth and a random sum of sinusoids on the elevation (SV3D, section 3).

    From the paper: whole periods 1 to 5, amplitudes in [0.5, 10] degrees, random phases, a simple smoothing kernel,
    the limit of 89 degrees, a path that closes in the conditioning view. Where it gives no number: one sinusoid per
    period count, the released recipe's box filter, and azimuth noise within a quarter of a step to either side.
    """

    max_elevation_deg: Angle = 89.0
    azimuth_noise_steps: Annotated[float | int, Between(0.0, 10.0)] = 0.25  # below 0.5, so that azimuths stay in order

    def __call__(self, elevation_deg: float, frames: int, generator: torch.Generator) -> Orbit:
        path = self._elevations(elevation_deg, frames, generator)
        noise = _uniform(frames, -self.azimuth_noise_steps, self.azimuth_noise_steps, generator) * 360 / frames
        noise[-1] = 0.0
        azimuth_deg = _even_azimuths(frames) + noise
        return Orbit(_every_fourth(path), azimuth_deg)

    def samples(self, elevation_deg: float, frames: int, generator: torch.Generator) -> Orbit:
        """A loop of four times as many views, from azimuth 0 on, of which any start and every fourth is an orbit.

        What training renders (appendix B). Every view's azimuth has noise of its own, as wide as an orbit's.
        """
        path = self._elevations(elevation_deg, frames, generator)
        noise = _uniform(len(path), -self.azimuth_noise_steps, self.azimuth_noise_steps, generator) * 360 / frames
        noise[0] = 0.0
        return Orbit(path, (_even_azimuths(len(path)).roll(1) + noise) % 360)

    def _elevations(self, elevation_deg: float, frames: int, generator: torch.Generator) -> Float[Tensor, " samples"]:
        elevation_deg = _checked_elevation(elevation_deg)
        periods = torch.arange(1, 6, dtype=torch.float64)
        amplitudes_deg = _uniform(5, 0.5, 10.0, generator)
        phases_rad = _uniform(5, 0.0, 2 * pi, generator)
        offsets = _smooth(_sinusoids(periods, amplitudes_deg, phases_rad, _SAMPLES_PER_FRAME * frames))
        path = elevation_deg + offsets - offsets[0]
        path = path.clamp(-self.max_elevation_deg, self.max_elevation_deg)
        path[0] = elevation_deg  # exactly, also where it lies beyond the limit
        return path


@dataclass(frozen=True, kw_only=True)
class ReleasedDynamicOrbit(OrbitRecipe):
    """The dynamic orbit of SV3D's released demo: four times as many samples as views, every fourth is taken.

    Elevation: as many sinusoids as samples, 1 to 4 periods, amplitudes in [0.5, 10] degrees, phase 0 or pi, a circular
    box filter of 5 samples; drawn again until it stays below 90 degrees. Azimuth: cumulated steps of U(0, 2), scaled
    so that the loop lacks one step of U(0, 2) mean steps.
    """

    def __call__(self, elevation_deg: float, frames: int, generator: torch.Generator) -> Orbit:
        elevation_deg = _checked_elevation(elevation_deg)
        samples = _SAMPLES_PER_FRAME * frames
        for _ in range(10_000):
            path = released_elevations(elevation_deg, samples, generator)
            if path.abs().max() < 90:
                break
        else:
            raise InputError(f"elevation_deg={elevation_deg}: no dynamic orbit found that stays below 90 degrees")
        return Orbit(_every_fourth(path), _every_fourth(_released_azimuths(samples, generator)))


@dataclass(frozen=True, kw_only=True)
class DistillationOrbit(OrbitRecipe):
    """The random orbit that the authors' code distills scores on (docs/method.md).

    The released recipe with twice as many samples as views, of which every second is taken, 1 or 2 periods, and
    elevations cut off at `max_elevation_deg`.
    """

    max_elevation_deg: Angle = 45.0

    def __call__(self, elevation_deg: float, frames: int, generator: torch.Generator) -> Orbit:
        elevation_deg = _checked_elevation(elevation_deg)
        samples = 2 * frames
        path = released_elevations(elevation_deg, samples, generator, most_periods=2)
        path = path.clamp(-self.max_elevation_deg, self.max_elevation_deg)
        path[0] = elevation_deg  # exactly, also where it lies beyond the limit
        azimuth_deg = _released_azimuths(samples, generator)
        return Orbit(path[::2].roll(-1), azimuth_deg[::2].roll(-1))


def released_elevations(
    elevation_deg: float, samples: int, generator: torch.Generator, *, most_periods: int = 4
) -> Float[Tensor, " samples"]:
    """One draw of the released recipe's elevation path, before rejection; the first sample is the conditioning view."""
    periods = torch.randint(1, most_periods + 1, (samples,), generator=generator).double()
    amplitudes_deg = _uniform(samples, 0.5, 10.0, generator)
    phases_rad = pi * torch.randint(0, 2, (samples,), generator=generator).double()
    path = elevation_deg + _smooth(_sinusoids(periods, amplitudes_deg, phases_rad, samples))
    path[0] = elevation_deg  # what it is but for rounding: every term is odd around the first sample
    return path


def _released_azimuths(samples: int, generator: torch.Generator) -> Float[Tensor, " samples"]:
    steps = torch.cumsum(_uniform(samples - 1, 0.0, 2.0, generator), dim=0)
    total_deg = 360 - 360 / samples * _uniform(1, 0.0, 2.0, generator)
    return torch.cat([torch.zeros(1, dtype=torch.float64), steps / steps[-1] * total_deg])


RECIPES: dict[str, OrbitRecipe] = {
    "static": StaticOrbit(),
    "dynamic": DynamicOrbit(),
    "dynamic_released": ReleasedDynamicOrbit(),
    "distillation": DistillationOrbit(),
    "sine30": SineOrbit(amplitude_deg=30.0),
    "sine50": SineOrbit(amplitude_deg=50.0),
}
"""The orbits by name, for commands without a configuration; `conf/orbit/` holds the same (a test compares them)."""


def recipe_by_name(name: str) -> OrbitRecipe:
    """The recipe of an orbit's name; raises InputError with the known names."""
    if name not in RECIPES:
        raise InputError(f"orbit={name}: no such orbit, expected one of {', '.join(RECIPES)}")
    return RECIPES[name]


def orbit_by_name(name: str, *, elevation_deg: float, frames: int = SV3D_FRAMES, seed: int = 0) -> Orbit:
    """An orbit of `frames` views through a conditioning view at `elevation_deg`; `seed` matters to dynamic ones."""
    return recipe_by_name(name)(elevation_deg, frames, torch.Generator().manual_seed(seed))


def wrapped_deg(angle_deg: Float[Tensor, "*angles"]) -> Float[Tensor, "*angles"]:
    """The same angles in [-180, 180)."""
    return (angle_deg + 180) % 360 - 180


def elevations_and_azimuths(cameras: Cameras) -> tuple[Float[Tensor, " views"], Float[Tensor, " views"]]:
    """From which side each camera looks, in degrees; azimuth in [0, 360), float64.

    Taken from the viewing direction, so it also holds for a camera that looks at something next to the origin.
    """
    x, y, z = (-cameras.forward.double()).unbind(-1)
    elevation_deg = torch.rad2deg(torch.atan2(y, torch.hypot(x, z)))
    return elevation_deg, torch.rad2deg(torch.atan2(x, z)) % 360


def _checked_elevation(elevation_deg: float) -> float:
    if not abs(elevation_deg) < 90:
        raise InputError(f"elevation_deg={elevation_deg}: expected degrees between -90 and 90, not including them")
    return float(elevation_deg)


def _even_azimuths(frames: int) -> Float[Tensor, " frames"]:
    return torch.linspace(0, 360, frames + 1, dtype=torch.float64)[1:] % 360


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Float[Tensor, " count"]:
    return low + (high - low) * torch.rand(count, dtype=torch.float64, generator=generator)


def _sinusoids(
    periods: Float[Tensor, " terms"], amplitudes: Float[Tensor, " terms"], phases: Float[Tensor, " terms"], samples: int
) -> Float[Tensor, " samples"]:
    """Sum of sinusoids sampled over one loop, starting at its beginning."""
    angle = 2 * pi * torch.arange(samples, dtype=torch.float64) / samples
    return (amplitudes * torch.sin(periods * angle[:, None] + phases)).sum(-1)


def _smooth(path: Float[Tensor, " samples"]) -> Float[Tensor, " samples"]:
    """Circular box filter."""
    reach = _SMOOTHING_WIDTH // 2
    return torch.stack([path.roll(shift) for shift in range(-reach, reach + 1)]).mean(0)


def _from_first(loop: Orbit) -> Orbit:
    """The conditioning view moved to the front, as training renders it."""
    return Orbit(loop.elevation_deg.roll(1), loop.azimuth_deg.roll(1))


def _every_fourth(path: Float[Tensor, " samples"]) -> Float[Tensor, " views"]:
    """Every fourth sample, the first of them (the conditioning view) moved to the end."""
    return path[::_SAMPLES_PER_FRAME].roll(-1)
