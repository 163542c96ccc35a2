"""Light for rendered training orbits: a few spherical Gaussians and an even sky, drawn at random.

Irradiance is over pi, so that 1 leaves the colors of a surface as they are. Without shadows.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.materials.spherical_gaussians import fibonacci_axes, irradiance_product
from sv3dgen.meshes.mesh import vertex_normals
from sv3dgen.meshes.textured_mesh import TexturedMesh

UNLIT = 0.15  # share of lights that are even from all sides
SMOOTH_COS = 0.8  # vertices at one place share a normal that lies within 37 degrees of their own


@dataclass(frozen=True)
class StudioLight:
    """Lobes and an even part; `tint` is the color of all of it, the largest component 1."""

    axes: Float[Tensor, "lobes 3"]
    sharpness: Float[Tensor, " lobes"]
    amplitude: Float[Tensor, " lobes"]
    ambient: float
    tint: Float[Tensor, " 3"]

    def irradiance(self, normals: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Over pi, at unit normals, without the tint."""
        return self.ambient + irradiance_product(normals, self.axes, self.sharpness, self.amplitude)


def random_light(generator: torch.Generator) -> StudioLight:
    """A key light, a weaker fill from another side, a sky, and light from everywhere; exposures differ.

    The most brightly lit normal gets 0.9 to 1.3, the darkest about a quarter to all of that.
    """
    azimuth = 2 * math.pi * _uniform(generator, 0, 1)
    key = _direction(azimuth, math.radians(_uniform(generator, 10, 75)))
    side = math.copysign(_uniform(generator, 1.2, 2.6), _uniform(generator, -1, 1))
    fill = _direction(azimuth + side, math.radians(_uniform(generator, -10, 50)))
    axes = torch.tensor([key, fill, (0.0, 1.0, 0.0)])
    sharpness = torch.tensor([math.exp(_uniform(generator, 0.7, 3.5)), math.exp(_uniform(generator, 0.5, 2.0)), 1.0])
    ones = torch.ones(len(axes))
    facing = torch.stack(
        [irradiance_product(a[None], axes, sharpness, o) for a, o in zip(axes, ones.diag(), strict=True)]
    )
    strength = torch.tensor([_uniform(generator, 0.2, 0.8), _uniform(generator, 0, 0.3), _uniform(generator, 0, 0.4)])
    ambient, exposure = _uniform(generator, 0.35, 0.9), _uniform(generator, 0.9, 1.3)
    tint = 1 - 0.12 * torch.rand(3, generator=generator)
    if _uniform(generator, 0, 1) < UNLIT:
        strength, ambient = torch.zeros(3), exposure
    light = StudioLight(axes, sharpness, strength / facing[:, 0], ambient, tint / tint.max())
    scale = exposure / float(light.irradiance(fibonacci_axes(200)).max())
    return StudioLight(axes, sharpness, scale * light.amplitude, scale * ambient, light.tint)


def creased_normals(mesh: TexturedMesh) -> Float[Tensor, "vertices 3"]:
    """Unit normals that run on over seams, where a file or a builder has split vertices, but not over sharp edges."""
    own = vertex_normals(mesh.mesh)
    _, place = torch.unique((mesh.vertices * 1e5).round(), dim=0, return_inverse=True)
    total = torch.zeros(int(place.max()) + 1, 3).index_add(0, place, own)
    shared = torch.nn.functional.normalize(total, dim=-1)[place]
    return torch.where((shared * own).sum(-1, keepdim=True) > SMOOTH_COS, shared, own)


def _direction(azimuth_rad: float, elevation_rad: float) -> tuple[float, float, float]:
    flat = math.cos(elevation_rad)
    return flat * math.sin(azimuth_rad), math.sin(elevation_rad), flat * math.cos(azimuth_rad)


def _uniform(generator: torch.Generator, low: float | int, high: float | int) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))
