"""How the written mesh fits the views that it was made from, view by view, and when that is a failure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sv3dgen.color import over_white
from sv3dgen.export.lighting import lighting
from sv3dgen.meshes.files import read_mesh
from sv3dgen.metrics.image import psnr
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.cameras import Cameras

LEAST_IOU = 0.9  # of the outlines of a view; solid objects fitted from true views reach .97 and more
LEAST_PSNR = 24.0  # dB, of a view; theirs are above 30
MOST_MISSING = 0.05  # of a view's object that the mesh may leave uncovered
PARTLY = 0.5  # opacity from which on a pixel counts as object


@dataclass(frozen=True)
class Fit:
    """One number a view. Shares are of the view's object."""

    mask_iou: Float[Tensor, " views"]
    psnr: Float[Tensor, " views"]  # in dB, before white
    missing: Float[Tensor, " views"]  # shown by the view, not covered by the mesh
    extra: Float[Tensor, " views"]  # covered by the mesh, not shown
    worst: int  # the view with the lowest PSNR, of those that count
    worst_picture: Float[Tensor, "3 height width"]  # the mesh as that view's camera has it, over white
    counts: Bool[Tensor, " views"] | None = None  # in the means; all by default

    def mean(self, numbers: Float[Tensor, " views"]) -> float:
        """Of the views that count."""
        return float((numbers if self.counts is None else numbers[self.counts]).mean())

    def card(self, names: Sequence[str]) -> dict[str, Any]:
        """As plain values for run.json: means, the worst view, and every view in order; names need not differ."""
        views = zip(names, self.mask_iou.tolist(), self.psnr.tolist(), self.missing.tolist(), strict=True)
        return {
            "mask_iou": round(self.mean(self.mask_iou), 4),
            "psnr": round(self.mean(self.psnr), 3),
            "worst_view": names[self.worst],
            "per_view": [
                {"name": name, "mask_iou": round(iou, 4), "psnr": round(decibel, 3), "missing": round(gone, 4)}
                for name, iou, decibel, gone in views
            ],
        }


@torch.no_grad()
def fit_of_glb(
    path: str | Path,
    light: dict,
    cameras: Cameras,
    rgb: Float[Tensor, "views 3 height width"],
    alpha: Float[Tensor, "views 1 height width"],
    trust: Sequence[float] | None = None,
) -> Fit:
    """A written GLB read back, lit by `light` and drawn from the views' cameras, against the views.

    Views of `trust` 0 were not fitted: they get their numbers, and count in no mean, nor as the worst.
    """
    mesh = read_mesh(path)
    drawn = render_textured(mesh, cameras, **lighting(mesh, light))
    picture = over_white(drawn[:, :3], drawn[:, 3:])
    decibels = psnr(picture, over_white(rgb, alpha))
    there, shown = drawn[:, 3] >= PARTLY, alpha[:, 0] >= PARTLY

    def count(pixels: Tensor) -> Tensor:
        return pixels.flatten(1).sum(1).float()

    size = count(shown).clamp_min(1)
    counts = None if trust is None or not any(trust) else torch.tensor(trust).to(decibels.device) > 0
    counting = torch.arange(len(decibels)) if counts is None else counts.nonzero()[:, 0]
    worst = int(counting[int(decibels[counting].argmin())])  # decibels may be infinite
    return Fit(
        mask_iou=count(there & shown) / count(there | shown).clamp_min(1),
        psnr=decibels,
        missing=count(shown & ~there) / size,
        extra=count(there & ~shown) / size,
        worst=worst,
        worst_picture=picture[worst],
        counts=counts,
    )


def failure(fit: Fit, names: Sequence[str], asked: Sequence[bool]) -> str | None:
    """One line on what is wrong with the mesh by the views that are `asked`; None where it fits them."""
    chosen = torch.tensor(asked)
    lacking = (fit.missing > MOST_MISSING) & chosen
    beyond = ((fit.extra > MOST_MISSING) | (fit.mask_iou < LEAST_IOU)) & chosen & ~lacking
    wrong = (fit.psnr < LEAST_PSNR) & chosen
    told = []
    if lacking.any():
        most = int(fit.missing.where(lacking, 0.0).argmax())
        told.append(
            f"{_views(lacking)} parts that the mesh lacks, up to {fit.missing[most]:.0%} of the object in {names[most]}"
        )
    if beyond.any():
        most = int(fit.extra.where(beyond, -1.0).argmax())
        told.append(
            f"{_views(beyond)} background where the mesh is, up to {fit.extra[most]:.0%} of the object in {names[most]}"
        )
    if wrong.any():
        least = int(fit.psnr.where(wrong, torch.inf).argmin())
        worst = f"least alike {names[least]} at {fit.psnr[least]:.1f} dB"
        told.append(f"{_views(wrong)} a surface that the mesh does not have, {worst}")
    return "; ".join(told) or None


def _views(which: Tensor) -> str:
    """`views 3 to 9 and 12 show`, by number, from 0."""
    numbers = which.nonzero()[:, 0].tolist()
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [f"{run[0]} to {run[-1]}" if len(run) > 2 else " and ".join(map(str, run)) for run in runs]
    if len(numbers) == 1:
        return f"view {numbers[0]} shows"
    return f"views {', '.join(words)} show"
