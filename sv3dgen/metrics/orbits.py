"""How alike a generated orbit and the true one are, frame by frame, and how front and back of it compare."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.metrics.image import psnr, ssim
from sv3dgen.metrics.lpips import Lpips

FRONT_DEG, BACK_DEG = 60.0, 120.0  # nearer to the conditioning view's azimuth is the front, farther the back
MOST_PSNR = 60.0  # of equal frames, whose true one, infinity, no mean could hold


@dataclass(frozen=True)
class OrbitScores:
    """Scores of every frame but the last, which is the conditioning view itself. Over white, whole frames."""

    psnr: Float[Tensor, "orbits frames"]  # dB, at most MOST_PSNR
    ssim: Float[Tensor, "orbits frames"]
    lpips: Float[Tensor, "orbits frames"] | None
    from_front_deg: Float[Tensor, "orbits frames"]  # distance in azimuth from the conditioning view, 0 to 180

    def summary(self) -> dict[str, float | int | None]:
        """Means over all frames, and of the PSNR over those near the front and near the back."""
        return {
            "orbits": len(self.psnr),
            "psnr": float(self.psnr.mean()),
            "ssim": float(self.ssim.mean()),
            "lpips": None if self.lpips is None else float(self.lpips.mean()),
            "psnr_front": float(self.psnr[self.from_front_deg < FRONT_DEG].mean()),
            "psnr_back": float(self.psnr[self.from_front_deg > BACK_DEG].mean()),
        }


def score_orbits(
    drawn: Float[Tensor, "orbits frames 3 height width"],
    truth: Float[Tensor, "orbits frames 3 height width"],
    azimuth_deg: Float[Tensor, "orbits frames"],
    *,
    lpips: Lpips | None = None,
) -> OrbitScores:
    """Scores of orbits whose last frame is the conditioning view; sRGB in [0, 1]."""
    first, second = drawn[:, :-1].flatten(0, 1), truth[:, :-1].flatten(0, 1)
    shape = drawn.shape[0], drawn.shape[1] - 1
    from_front = (azimuth_deg[:, :-1] - azimuth_deg[:, -1:] + 180) % 360 - 180
    distance = None
    if lpips is not None:
        with torch.no_grad():
            pairs = zip(first.split(8), second.split(8), strict=True)
            distance = torch.cat([lpips(one, other) for one, other in pairs]).view(shape)
    return OrbitScores(
        psnr=psnr(first, second).clamp(max=MOST_PSNR).view(shape),
        ssim=ssim(first, second).view(shape),
        lpips=distance,
        from_front_deg=from_front.abs(),
    )
