"""Where generated views disagree about a shape that was fitted to them all."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.color import over_white
from sv3dgen.export.doubtful_surface import doubts, least_doubt
from sv3dgen.interfaces import Surface, ViewBatch
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.views.certainty import usual_pixel
from sv3dgen.views.posed_views import PosedViews
from systems.stage import Stage

SIZE_PX = 96  # of the comparison: it is to find regions


@torch.no_grad()
def doubt_of_views(
    shape: Stage, mesh: Mesh, views: PosedViews, *, keep_unseen: bool = False
) -> Float[Tensor, " vertices"] | None:
    """How far the generated views disagree at each vertex of the stage's surface, by what is left of their errors
    once each is corrected, and at least as far as their few pixels leave the shape open; None where none is generated,
    or the stage draws no surface. With `keep_unseen` what no view sees is in none: a model has had a say in it."""
    made = [index for index, one in enumerate(views.generated) if one and views.trust[index]]
    if not made or not isinstance(shape.geometry, Surface):
        return None
    shape.eval()
    picked = torch.tensor(made)
    shown = views[picked].resized(SIZE_PX).to(shape.device)
    batch = ViewBatch(shown.cameras, None, shown.rgba[:, :3], shown.rgba[:, 3:], picked.to(shape.device))
    corrected = shape.corrections.applied(batch)
    render = shape.renderer(shape.geometry, shape.material, corrected.cameras)
    rgb = render.rgb if corrected.gain is None else render.rgb * corrected.gain
    error = over_white(rgb, render.opacity) - over_white(batch.rgb, batch.alpha)
    plain = replace(corrected.cameras, warp=None).to("cpu")
    least = least_doubt(usual_pixel(views[picked]))
    return doubts(mesh, plain, error.square().mean(1).cpu(), least=least, keep_unseen=keep_unseen)
