"""The render should look like the views: color, mask and LPIPS (paper, section 4.1)."""

import hashlib
import logging
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.devices import sent_to
from sv3dgen.domains import Between, Pixels, Seed, Share, Weights
from sv3dgen.interfaces import Guidance, GuidanceOutput, Reference, RenderOutput, ViewBatch
from sv3dgen.losses import masked_mean, mse
from sv3dgen.schedules import active_terms, checked_weights, ever_nonzero
from sv3dgen.seeding import generator
from sv3dgen.views.certainty import mostly_small
from sv3dgen.views.footprints import averaged

log = logging.getLogger(__name__)

WITHIN_FOOTPRINT = 0.25  # weight of differences inside a pixel of a small view, which does not show any
SOLID = 0.95  # target opacity from which a pixel's color is the object's alone


class ReferenceViews(Guidance):
    """Terms `rgb` (squared), `mask` (squared) and `lpips`. Color terms look only at pixels whose color was rendered.

    `compare` "composite" puts render and target on one background; "inside" compares straight colors where the target
    is solid, and leaves the outline to the mask. `background` "random" is white in every other step on average and one
    random color in the rest, the same for a given seed and step; it serves whatever composites.
    With `robust_scale` the color error e of generated views goes in as e^2 / (1 + e^2 / robust_scale^2) (Geman and
    McClure), so that what they show wrongly stops pulling; it is squared as of photos where that is None. The alpha of
    generated views is a probability: with `mask_doubt` 1 a pixel of one half does not pull at the outline. A small view
    is compared with the render's mean over each of its pixels (`ViewBatch.footprint_px`), inside which the render
    should be plain. AlexNet's weights of LPIPS come with the project; VGG16's are `lpips_file`, or fetched once.
    `lpips_px` cuts squares of at most that size around the object for LPIPS, at places that change with the step.
    Where a photo stands alone and most views are generated ones of at most `lone_photo_px` pixels, its squared color
    error goes in times `lone_photo_color`: a field digs pits, which the photo alone sees into, for what no other view
    shows.
    """

    terms: tuple[str, ...] = ("rgb", "mask", "lpips")

    def __init__(
        self,
        *,
        weights: Weights,
        background: Literal["white", "random"] = "white",
        compare: Literal["composite", "inside"] = "composite",
        lpips_net: Literal["vgg", "alex"] = "vgg",
        lpips_file: str | None = None,
        lpips_px: Pixels | None = None,
        robust_scale: Annotated[float | int, Between(0.001, 10.0)] | None = None,
        mask_doubt: Share = 0.0,
        lone_photo_px: Pixels | None = None,
        lone_photo_color: Share = 1.0,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        self.weights = checked_weights(weights, self.terms)
        self.background = background
        self.compare = compare
        self.lpips_px = lpips_px
        if robust_scale is not None and not robust_scale > 0:
            raise ValueError(f"robust_scale={robust_scale}: expected more than 0, or null")
        self.robust_scale = robust_scale
        if not 0 <= mask_doubt <= 1:
            raise ValueError(f"mask_doubt={mask_doubt}: expected 0 to 1")
        self.mask_doubt = mask_doubt
        if not 0 <= lone_photo_color <= 1:
            raise ValueError(f"lone_photo_color={lone_photo_color}: expected 0 to 1")
        self.lone_photo_px, self.lone_photo_color = lone_photo_px, lone_photo_color
        self._photo_color = 1.0  # of these views
        self.seed = seed
        # An Lpips, or None where nobody asks for it or its weights cannot be had.
        self.lpips: Any = _lpips(lpips_net, lpips_file) if ever_nonzero(self.weights.get("lpips", 0.0)) else None
        self._too_small_told = False

    def start_from(self, reference: Reference) -> None:
        """See whether a photo stands alone among small views; where its color counts less for it, a line says so."""
        views, most_px = reference.views, self.lone_photo_px
        alone = most_px is not None and len(views.photos_among_generated) == 1 and mostly_small(views, most_px)
        self._photo_color = self.lone_photo_color if alone else 1.0
        if self._photo_color < 1:
            told = (
                "reference_views: the photo is alone among views of at most %d px; in this stage its color counts "
                "%g (lone_photo_color), its outline in full"
            )
            log.info(told, most_px, self._photo_color)

    def cache_key(self, reference: Reference) -> str | None:
        """What LPIPS weighs by: a file may be exchanged between two runs, and a network fetched."""
        if self.lpips is None:
            return None
        weights = hashlib.sha256()
        for value in self.lpips.state_dict().values():
            weights.update(value.detach().cpu().contiguous().numpy().tobytes())
        return f"lpips {weights.hexdigest()[:16]}"

    def forward(self, render: RenderOutput, batch: ViewBatch, step: int) -> GuidanceOutput:
        wanted = active_terms(self.weights, step)
        losses = {}
        composited = [name for name in wanted if name == "lpips" or (name == "rgb" and self.compare == "composite")]
        if composited:
            generator = self.generator_at(step)
            drawn, target = self.composited(render, batch, generator)
        if "rgb" in composited:
            losses["rgb"] = self._color(drawn, target, render.shaded, batch)
        elif "rgb" in wanted:
            losses["rgb"] = self._color(render.rgb, batch.rgb, render.shaded & (batch.alpha > SOLID), batch)
        if "mask" in wanted:
            losses["mask"] = self._mask(averaged(render.opacity, batch.footprint_px), batch)
        if "lpips" in wanted and self._big_enough(batch):
            drawn = torch.where(render.shaded, drawn, target)
            losses["lpips"] = self.lpips(*self._cut(drawn, target, batch.alpha, generator)).mean()
        return GuidanceOutput(losses)

    def _color(self, drawn: Tensor, target: Tensor, mask: Tensor, batch: ViewBatch) -> Tensor:
        if batch.generated is None and batch.footprint_px is None:
            return mse(drawn, target, mask)
        mean = averaged(drawn, batch.footprint_px, mask)
        # A mean says nothing of what it is made of: without the second term that would be noise.
        squared = (mean - target).square() + WITHIN_FOOTPRINT * (drawn - mean).square()
        if batch.generated is not None and self._photo_color < 1:
            squared = torch.where(batch.generated[:, None, None, None], squared, self._photo_color * squared)
        if batch.generated is None or self.robust_scale is None:
            return masked_mean(squared, mask)
        forgiving = squared / (1 + squared.mean(1, keepdim=True) / self.robust_scale**2)
        return masked_mean(torch.where(batch.generated[:, None, None, None], forgiving, squared), mask)

    def _mask(self, opacity: Tensor, batch: ViewBatch) -> Tensor:
        if batch.generated is None or not self.mask_doubt:
            return mse(opacity, batch.alpha)
        # A probability p of the object has the variance p (1 - p): most where it says nothing.
        doubt = self.mask_doubt * 4 * batch.alpha * (1 - batch.alpha)
        weight = torch.where(batch.generated[:, None, None, None], 1 - doubt, 1.0)
        return (weight * (opacity - batch.alpha).square()).mean()

    def composited(
        self, render: RenderOutput, batch: ViewBatch, generator: torch.Generator
    ) -> tuple[Float[Tensor, "images 3 height width"], Float[Tensor, "images 3 height width"]]:
        """Render and target over the background that `generator` draws."""
        background = sent_to(batch.rgb.device, _background(self.background, generator))
        return _composite(render.rgb, render.opacity, background), _composite(batch.rgb, batch.alpha, background)

    def generator_at(self, step: int) -> torch.Generator:
        return generator(self.seed, "reference_views", step)

    def _big_enough(self, batch: ViewBatch) -> bool:
        if self.lpips is None:
            return False
        fits = min(batch.rgb.shape[-2:]) >= self.lpips.smallest_px
        if not fits and not self._too_small_told:
            log.warning("LPIPS is left out for images under %d px", self.lpips.smallest_px)
            self._too_small_told = True
        return fits

    def _cut(self, drawn: Tensor, target: Tensor, alpha: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The same square out of both pictures of each view, centered on a random pixel of the object."""
        if self.lpips_px is None or self.lpips_px >= max(drawn.shape[-2:]):
            return drawn, target
        height, width = (min(self.lpips_px, side) for side in drawn.shape[-2:])
        solid, squares = (alpha[:, 0] > 0.5).cpu(), []  # all at once: the host waits for a GPU to tell
        for image in range(len(drawn)):
            inside = solid[image].nonzero()
            draw = torch.rand((), generator=generator).item()
            row, col = inside[int(draw * len(inside))].tolist() if len(inside) else (0, 0)
            top = min(max(row - height // 2, 0), drawn.shape[-2] - height)
            left = min(max(col - width // 2, 0), drawn.shape[-1] - width)
            squares.append((image, slice(None), slice(top, top + height), slice(left, left + width)))
        return torch.stack([drawn[s] for s in squares]), torch.stack([target[s] for s in squares])


def _lpips(net: Literal["vgg", "alex"], file: str | None) -> torch.nn.Module | None:
    # Imported here: who does without LPIPS needs neither its weights nor torchmetrics.
    from sv3dgen.metrics.lpips import load_lpips

    return load_lpips(net, file, fast=True)


def _background(kind: str, generator: torch.Generator) -> Float[Tensor, "3 1 1"]:
    coin, color = torch.rand((), generator=generator).item(), torch.rand(3, 1, 1, generator=generator)
    return color if kind == "random" and coin < 0.5 else torch.ones(3, 1, 1)


def _composite(rgb: Tensor, opacity: Tensor, background: Tensor) -> Tensor:
    return rgb * opacity + background * (1 - opacity)
