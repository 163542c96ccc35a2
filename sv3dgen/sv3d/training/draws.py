"""What is random in a training step: one noise level and the noise of each clip, and which conditions it goes without.

The draws of a clip follow from the run's seed and the clip's place in the run alone, not from the batch or the process
that it falls into.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sv3dgen.seeding import generator
from sv3dgen.sv3d.conditioning import Condition
from sv3dgen.sv3d.training.loss import sigmas_from_normal

_GOLDEN_RATIO, _SILVER_RATIO = (5**0.5 - 1) / 2, 2**0.5 - 1  # whose multiples, modulo 1, lie evenly
_LEAST = 1e-6  # quantile of a noise level


@dataclass(frozen=True, kw_only=True)
class DropRates:
    """How often a clip is trained without a part of its condition, so that guidance has a half without the picture.

    Its poses always stay. SV3D does not say how often; these are the rates of InstructPix2Pix (Brooks et al. 2023,
    section 3.2.1), which has two conditions too, with the case that SV3D's guidance needs twice as often.
    """

    both: float | int = 0.1
    context: float | int = 0.05  # the image encoder's embedding alone
    image: float | int = 0.05  # the latents of the picture alone

    def __post_init__(self) -> None:
        rates = (self.both, self.context, self.image)
        if min(rates) < 0 or sum(rates) > 1:
            raise ValueError(f"drop rates of {rates}: expected none below 0 and 1 at most in all")


@dataclass(frozen=True)
class Draws:
    """The draws of a batch of clips."""

    sigma: Float[Tensor, " clips"]
    noise: Float[Tensor, "clips frames channels height width"]
    keep_context: Bool[Tensor, " clips"]
    keep_image: Bool[Tensor, " clips"]
    picture_noise: Float[Tensor, "clips 3 size size"]  # of the conditioning picture, before cond_aug

    def to(self, device: torch.device) -> "Draws":
        return Draws(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def dropped(self, condition: Condition) -> Condition:
        """The condition without what these clips go without."""
        context = condition.context * self.keep_context[:, None, None]
        return Condition(context, condition.image_latents * self.keep_image[:, None, None, None], condition.vector)


def draw(
    seed: int,
    positions: Int[Tensor, " clips"],
    shape: tuple[int, int, int, int],
    size_px: int,
    *,
    rates: DropRates,
    p_mean: float | int,
    p_std: float | int,
    even_noise: bool = False,
) -> Draws:
    """The draws of clips whose latents have `shape` [frames, channels, height, width]; on the CPU, float32.

    `even_noise` spreads the noise levels of neighboring clips evenly over their distribution, which takes their chance
    out of a small batch's gradient (as Kingma et al. 2021 do; here by an additive recurrence of positions).
    """
    numbers, noises, picture_noises = [], [], []
    for position in positions.tolist():
        stream = generator(seed, "clip", position)
        numbers.append((torch.randn((), generator=stream), torch.rand((), generator=stream)))
        noises.append(torch.randn(shape, generator=stream))
        picture_noises.append(torch.randn((3, size_px, size_px), generator=stream))
    normal, uniform = (torch.stack(column) for column in zip(*numbers, strict=True))
    if even_noise:
        places = (positions.cpu().double() * _GOLDEN_RATIO + seed * _SILVER_RATIO) % 1
        normal = torch.special.ndtri(places.clamp(_LEAST, 1 - _LEAST)).float()
    lone_context = (uniform >= rates.both) & (uniform < rates.both + rates.context)
    lone_image = (uniform >= rates.both + rates.context) & (uniform < rates.both + rates.context + rates.image)
    return Draws(
        sigma=sigmas_from_normal(normal, mean=p_mean, std=p_std),
        noise=torch.stack(noises),
        keep_context=(uniform >= rates.both) & ~lone_context,
        keep_image=(uniform >= rates.both) & ~lone_image,
        picture_noise=torch.stack(picture_noises),
    )


def frame_weights(
    azimuth_deg: Float[Tensor, "clips frames"], front_weight: float | int
) -> Float[Tensor, "clips frames"]:
    """Weights of the frames' losses: `front_weight` at the conditioning view's azimuth, 1 at the opposite one.

    In between w = front_weight + (1 - front_weight) (1 - cos d) / 2, d the azimuth from the last frame; then scaled to
    a mean of 1 over each clip, so that the loss keeps its size. SV3D lowers the weights near the front view so that
    the back views count as much (appendix C) and does not say how: the curve is our choice, smooth and without
    further numbers.
    """
    from_front = torch.deg2rad(azimuth_deg - azimuth_deg[:, -1:])
    weights = front_weight + (1 - front_weight) * (1 - from_front.cos()) / 2
    return (weights / weights.mean(dim=1, keepdim=True)).float()
