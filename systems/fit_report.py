"""Whether a run has failed: its written mesh against the views, in run.json, as a picture, and as one line."""

from pathlib import Path

import torch
from PIL import Image

from sv3dgen.atomic import atomic_write
from sv3dgen.color import over_white
from sv3dgen.export.fit import Fit, failure, fit_of_glb
from sv3dgen.runs.run_folder import RunCard
from sv3dgen.views.certainty import certain
from sv3dgen.views.posed_views import PosedViews

PICTURE = "worst_view.png"  # in the run's folder: the view that the mesh fits least, and the mesh next to it


def report_fit(folder: Path, views: PosedViews, light: dict, card: RunCard) -> tuple[Fit, str | None]:
    """Book how RUN/mesh/mesh.glb fits the views, and write the picture of the worst; what is wrong, in one line.

    Generated views disagree with one another, so that no mesh fits them all: they count in the numbers, and not for
    the verdict.
    """
    rgba = views.rgba
    fit = fit_of_glb(folder / "mesh" / "mesh.glb", light, views.cameras, rgba[:, :3], rgba[:, 3:], views.trust)
    failed = failure(fit, views.names, certain(views))
    card.add_fit(fit.card(views.names), failed)
    target = over_white(rgba[fit.worst : fit.worst + 1, :3], rgba[fit.worst : fit.worst + 1, 3:])[0]
    pixels = torch.cat([target, fit.worst_picture.to(target)], 2).clamp(0, 1)
    with atomic_write(folder / PICTURE) as temporary:
        Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).contiguous().numpy()).save(temporary)
    return fit, failed
