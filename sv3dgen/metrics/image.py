"""How alike two pictures are. Colors are sRGB in [0, 1]; every score is one number per image pair.

Pictures of objects are compared over a white background, whole frame, as the paper's tables are: the empty background
counts too, so scores of small objects come out higher.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d


def mse(
    first: Float[Tensor, "images 3 height width"], second: Float[Tensor, "images 3 height width"]
) -> Float[Tensor, " images"]:
    """Mean squared difference of sRGB values over all pixels and channels."""
    return (first - second).square().mean(dim=(1, 2, 3))


def psnr(
    first: Float[Tensor, "images 3 height width"], second: Float[Tensor, "images 3 height width"]
) -> Float[Tensor, " images"]:
    """Peak signal-to-noise ratio in dB of each pair; infinite for equal images."""
    return -10 * mse(first, second).log10()


def ssim(
    first: Float[Tensor, "images 3 height width"], second: Float[Tensor, "images 3 height width"]
) -> Float[Tensor, " images"]:
    """Structural similarity (Wang et al. 2004): 11 px Gaussian window of 1.5 px, only where it fits into the image.

    Each color channel by itself, then the mean. Raises ValueError for images smaller than the window.
    """
    if min(first.shape[-2:]) < 11:
        raise ValueError(f"structural similarity needs images of at least 11 x 11 px, got {tuple(first.shape[-2:])}")
    mean_1, mean_2 = _windowed_mean(first), _windowed_mean(second)
    variance_1 = _windowed_mean(first.square()) - mean_1.square()
    variance_2 = _windowed_mean(second.square()) - mean_2.square()
    covariance = _windowed_mean(first * second) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + 0.01**2) / (mean_1.square() + mean_2.square() + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variance_1 + variance_2 + 0.03**2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _windowed_mean(images: Tensor) -> Tensor:
    """Gaussian mean around each pixel whose window lies inside the image, channel by channel."""
    offsets = torch.arange(-5, 6, dtype=images.dtype, device=images.device)
    window = torch.exp(-0.5 * (offsets / 1.5).square())
    window = window / window.sum()
    channels = images.flatten(0, 1)[:, None]
    blurred = conv2d(conv2d(channels, window.view(1, 1, 1, 11)), window.view(1, 1, 11, 1))
    return blurred[:, 0].unflatten(0, images.shape[:2])
