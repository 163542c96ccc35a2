"""What each frame of an orbit is conditioned on: the picture, its latents, and the numbers of the frame's pose.

Polar angle and azimuth are SV3D's: polar is 90 degrees minus the elevation of the target view (absolute), azimuth is
counted from the conditioning view, which is the last frame. Both are radians and enter a sinusoid as they are.
"""

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.sv3d.config import UNetConfig
from sv3dgen.views.orbits import Orbit

_MAX_PERIOD = 10_000.0


@dataclass(frozen=True)
class Condition:
    """The condition of a batch of clips; a clip is one orbit of one picture."""

    context: Float[Tensor, "clips 1 context_dim"]  # the picture's embedding by the image encoder
    image_latents: Float[Tensor, "clips channels height width"]  # mean of the VAE's encoder, unscaled
    vector: Float[Tensor, "clips frames vector_dim"]  # conditioning noise, polar angle and azimuth, embedded

    @property
    def frames(self) -> int:
        """Frames in each clip."""
        return self.vector.shape[1]

    def unconditional(self) -> "Condition":
        """The half without the picture that guidance starts from: poses and noise level are kept."""
        return Condition(torch.zeros_like(self.context), torch.zeros_like(self.image_latents), self.vector)

    def __getitem__(self, clips: slice) -> "Condition":
        return Condition(self.context[clips], self.image_latents[clips], self.vector[clips])


def joined(conditions: list[Condition]) -> Condition:
    """The clips of several batches as one batch; all have the same number of frames."""
    return Condition(
        torch.cat([condition.context for condition in conditions]),
        torch.cat([condition.image_latents for condition in conditions]),
        torch.cat([condition.vector for condition in conditions]),
    )


def sinusoid(values: Float[Tensor, " values"], dim: int) -> Float[Tensor, "values dim"]:
    """[cos | sin] of each value at `dim / 2` frequencies from 1 down to 1 / 10000, float32; `dim` is even."""
    half = dim // 2
    steps = torch.arange(half, dtype=torch.float32, device=values.device)
    phases = values.float()[:, None] * torch.exp(-log(_MAX_PERIOD) * steps / half)
    return torch.cat([phases.cos(), phases.sin()], dim=-1)


def polars_and_azimuths(orbit: Orbit) -> tuple[Float[Tensor, " frames"], Float[Tensor, " frames"]]:
    """Polar angle in [0, pi] and azimuth relative to the last frame in [0, 2 pi) of every frame: radians, float64."""
    polar_deg = 90 - orbit.elevation_deg.double()
    azimuth_deg = orbit.azimuth_deg.double()
    relative_deg = (azimuth_deg - azimuth_deg[-1]) % 360
    # The remainder of a tiny negative number rounds to 360, which the sinusoid does not take for 0.
    relative_deg = torch.where(relative_deg < 360, relative_deg, 0.0)
    return torch.deg2rad(polar_deg), torch.deg2rad(relative_deg)


def frame_vector(config: UNetConfig, orbit: Orbit, cond_aug: float | int) -> Float[Tensor, "frames vector_dim"]:
    """The numbers that condition each frame, each embedded, side by side: [cond_aug | polar | azimuth].

    `cond_aug` is the standard deviation of the noise on the conditioning picture. A model without poses gets nothing
    else. float32, on the CPU.
    """
    numbers = [torch.full((len(orbit),), float(cond_aug), dtype=torch.float64)]
    if config.takes_poses:
        numbers += polars_and_azimuths(orbit)
    embedded = [sinusoid(number, dim) for number, dim in zip(numbers, config.vector_dims, strict=True)]
    return torch.cat(embedded, dim=-1)
