"""True views made as wrong as a generator's, to measure what the 3D stages make of that.

A view model moves what it shows a little from where the camera says, bends it, colors and blurs it, and all that the
more the farther a view lies from the photo. The numbers are of level 1, and of the view opposite the photo.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv1d, grid_sample, interpolate, normalize, pad

from sv3dgen.seeding import generator
from sv3dgen.views.posed_views import PosedViews

NEAR = 0.3  # of the errors, right next to the photo
SHIFT, ROLL_DEG, SCALE, PERSPECTIVE = 0.012, 0.8, 0.015, 0.02  # standard deviations; lengths in frames
BEND, BENDS = 0.010, 5  # of a net of so many displacements a side, in frames
EXPOSURE, TINT = 0.05, 0.02  # of the factor of all channels, of each
BLUR = 0.6 / 320  # standard deviation of the Gaussian, in frames


def imperfect(views: PosedViews, level: float, *, photo: int = -1, seed: int = 0) -> PosedViews:
    """The views with errors of a level (0: none), said to be generated; the `photo` among them stays exact."""
    photo %= len(views)
    towards = normalize(views.cameras.positions, dim=-1)
    away = (towards @ towards[photo]).clamp(-1, 1).arccos() / torch.pi  # 1 behind the object
    strength = level * (NEAR + (1 - NEAR) * away)
    images = views.images.clone()
    for view in range(len(views)):
        if view != photo:
            draws = generator(seed, "imperfect", view)
            images[view] = _wrong(views.images[view], float(strength[view]), draws)
    return replace(views, images=images, generated=tuple(view != photo for view in range(len(views))))


def _wrong(picture: Tensor, strength: float, draws: torch.Generator) -> Tensor:
    """A [4, height, width] picture of bytes, warped, blurred and tinted; edges keep straight alpha."""
    rgba = picture.float() / 255
    premultiplied = torch.cat([rgba[:3] * rgba[3:], rgba[3:]])[None]
    places = _places(tuple(picture.shape[1:]), strength, draws)
    moved = grid_sample(premultiplied, places[None], padding_mode="zeros", align_corners=False)
    blurred = _blurred(moved, strength * BLUR * picture.shape[-1])[0]
    gain = 1 + strength * (EXPOSURE * torch.randn(1, generator=draws) + TINT * torch.randn(3, generator=draws))
    alpha = blurred[3:].clamp(0, 1)
    rgb = (blurred[:3] / alpha.clamp_min(1e-3) * gain[:, None, None]).clamp(0, 1)
    return (torch.cat([rgb, alpha]) * 255).round().byte()


def _places(size: tuple[int, ...], strength: float, draws: torch.Generator) -> Float[Tensor, "height width 2"]:
    """Where each pixel of a wrong picture lies in the true one, in [-1, 1]: a homography, and smooth bends."""
    height, width = size
    column, row = ((torch.arange(length) + 0.5) / length * 2 - 1 for length in (width, height))
    y, x = torch.meshgrid(row, column, indexing="ij")

    def drawn(*shape: int) -> Tensor:
        return strength * torch.randn(*shape, generator=draws)

    roll, scale = drawn(1) * ROLL_DEG * torch.pi / 180, 1 + SCALE * drawn(1)
    lean, shift = PERSPECTIVE * drawn(2), 2 * SHIFT * drawn(2)  # a frame is 2 wide here
    deep = 1 + (lean[0] * x + lean[1] * y) / 2
    homography = torch.stack([roll.cos() * x - roll.sin() * y, roll.sin() * x + roll.cos() * y], -1)
    net = interpolate(2 * BEND * drawn(1, 2, BENDS, BENDS), size=size, mode="bicubic", align_corners=True)
    return homography / (scale * deep[..., None]) + shift + net[0].permute(1, 2, 0)


def _blurred(pictures: Float[Tensor, "1 channels height width"], sigma_px: float) -> Tensor:
    """A Gaussian blur, rows then columns; the border is repeated."""
    reach = int(4 * sigma_px) + 1
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / max(sigma_px, 1e-3)).square())
    kernel = (weights / weights.sum())[None, None]
    for _ in range(2):
        padded = pad(pictures, (reach, reach, 0, 0), mode="replicate")
        lines = conv1d(padded.reshape(-1, 1, padded.shape[-1]), kernel)
        pictures = lines.reshape(*pictures.shape[:3], -1).transpose(-1, -2)
    return pictures
