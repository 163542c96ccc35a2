"""Who of the views gets how much of what is drawn: photos a share of their own, all in proportion to their trust."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.views.posed_views import PosedViews


def weight_of_views(
    views: PosedViews, photo_share: float, size: Float[Tensor, " views"] | None = None
) -> Float[Tensor, " views"]:
    """Probability that something drawn is of each view: its trust times its `size` (1), made to sum to one.

    Photos together get `photo_share` where there are generated views too, unless they have more of it already. Raises
    InputError where no view is trusted.
    """
    mass = torch.tensor(views.trust, dtype=torch.float64)
    if size is not None:
        mass = mass * size.double()
    generated = torch.tensor(views.generated)
    of_photos, of_generated = mass[~generated].sum(), mass[generated].sum()
    if not of_photos + of_generated > 0:
        raise InputError("transforms.json: `trust` is 0 in every view, expected more than 0 in some")
    weight = mass / mass.sum()
    if of_photos > 0 and of_generated > 0:
        share = torch.clamp(of_photos / mass.sum(), min=photo_share)
        weight = torch.where(generated, (1 - share) * mass / of_generated, share * mass / of_photos)
    return weight


def views_drawn(
    weight: Float[Tensor, " views"], count: int, generator: torch.Generator, *, again: bool = False
) -> Int[Tensor, " picked"]:
    """`count` different views, a view as often as its weight says but at most once; all that have one if those are few.

    `again` lets a view be drawn several times.
    """
    if again:
        return torch.multinomial(weight, count, replacement=True, generator=generator)
    if int((weight > 0).sum()) <= count:
        return weight.nonzero()[:, 0]
    chance = count * weight / weight.sum()
    while bool((chance > 1 + 1e-9).any()):  # what one view can't take goes to the others
        sure = chance >= 1
        rest = torch.where(sure, 0.0, weight)
        chance = torch.where(sure, 1.0, (count - sure.sum()) * rest / rest.sum())
    # Systematic sampling: marks a distance of one apart, over the views in random order.
    order = torch.randperm(len(weight), generator=generator)
    marks = torch.arange(count) + torch.rand((), generator=generator, dtype=torch.float64)
    ends = chance[order].cumsum(0)
    return order[torch.searchsorted(ends, marks, right=True).clamp(max=len(weight) - 1)]
