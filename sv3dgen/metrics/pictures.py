"""Scores of pictures of a predicted object against pictures of the true one, over white."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.color import over_white
from sv3dgen.metrics.clip_similarity import ClipSimilarity, load_clip
from sv3dgen.metrics.image import mse, psnr, ssim
from sv3dgen.metrics.lpips import NAMES, Lpips, load_lpips
from sv3dgen.metrics.orbits import MOST_PSNR

Scores = dict[str, float | int | str | None]


@dataclass(frozen=True)
class Learned:
    """The metrics that need weights: the metric, in words why it cannot be had, or None where nobody asked for it."""

    lpips: Lpips | str | None = None
    clip: ClipSimilarity | str | None = None


def learned_metrics(lpips: str | None, clip: str | None, *, all_at_hand: bool) -> Learned:
    """LPIPS on "alex", whose weights are here, on "vgg", which may fetch them, or on VGG16 of a file; and CLIP's cosine
    by a model, or with `all_at_hand` by one that is on this machine.
    """
    distance = None
    if lpips == "alex":
        distance = load_lpips("alex")
    elif lpips is not None:
        found = load_lpips("vgg", None if lpips == "vgg" else lpips)
        distance = found or "its weights cannot be had, see the log"
    return Learned(distance, load_clip(clip) if clip is not None or all_at_hand else None)


def picture_scores(
    rgb: Float[Tensor, "views 3 height width"],
    alpha: Float[Tensor, "views 1 height width"],
    true_rgb: Float[Tensor, "views 3 height width"],
    true_alpha: Float[Tensor, "views 1 height width"],
    learned: Learned,
) -> Scores:
    """Means over the views; of PSNR, at most MOST_PSNR each, the worst too.

    Every learned metric that was asked for comes with what it was computed with, or with why it is None.
    """
    drawn, target = over_white(rgb, alpha), over_white(true_rgb, true_alpha)
    decibel = psnr(drawn, target).clamp(max=MOST_PSNR)
    scores: Scores = {
        "views": len(drawn),
        "psnr": float(decibel.mean()),
        "psnr_min": float(decibel.min()),
        "ssim": float(ssim(drawn, target).mean()),
        "mse": float(mse(drawn, target).mean()),
        "mask_iou": float(_mask_iou(alpha, true_alpha).mean()),
    }
    if learned.lpips is not None:
        scores |= _learned_scores("lpips", *_lpips_for(learned.lpips, drawn), drawn, target)
    if learned.clip is not None:
        name = learned.clip if isinstance(learned.clip, str) else learned.clip.name
        scores |= _learned_scores("clip_s", learned.clip, name, drawn, target)
    return scores


def _lpips_for(lpips: Lpips | str, pictures: Tensor) -> tuple[Lpips | str, str]:
    if isinstance(lpips, str):
        return lpips, ""
    if min(pictures.shape[-2:]) < lpips.smallest_px:
        return f"pictures are smaller than {lpips.smallest_px} px", ""
    return lpips, NAMES[lpips.net]


def _learned_scores(name: str, metric: Lpips | ClipSimilarity | str, backbone: str, first: Tensor, second: Tensor):
    if isinstance(metric, str):
        return {name: None, f"{name}_backbone": f"none: {metric}"}
    with torch.no_grad():
        pairs = [metric(one[None], other[None]) for one, other in zip(first, second, strict=True)]
    return {name: float(torch.cat(pairs).mean()), f"{name}_backbone": backbone}


def _mask_iou(first: Tensor, second: Tensor) -> Float[Tensor, " images"]:
    """Overlap of two silhouettes per image, partly covered pixels counted in part; 1 where both are empty."""
    both, either = torch.minimum(first, second).sum(dim=(1, 2, 3)), torch.maximum(first, second).sum(dim=(1, 2, 3))
    return torch.where(either > 0, both / either.clamp_min(1e-12), 1.0)
