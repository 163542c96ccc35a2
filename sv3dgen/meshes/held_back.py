"""How well a surface carries the views' colors to a view that is held back: the judge between two shapes."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.views.cameras import Cameras, distance_to, project

SOURCES = 6  # views, nearest in direction, that a held-back view's colors are carried over from
UNCOVERED = 0.3  # error of a pixel of the object that a shape leaves uncovered
IN_SIGHT = 0.02  # how far behind a view's own depth a point may be, to be in sight there; in sizes of the object


@torch.no_grad()
def mesh_depth(mesh: Mesh, cameras: Cameras) -> Float[Tensor, "views height width"]:
    """Distance to the mesh along each pixel's ray; infinite past it."""
    fragments = rasterize(clip_positions(cameras, mesh.vertices), mesh.faces.int(), cameras.height_px, cameras.width_px)
    corners = mesh.vertices[mesh.faces]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    origins, directions = cameras.rays()
    depth = torch.full(fragments.depth.shape, torch.inf)
    there = fragments.face_index >= 0
    face = fragments.face_index[there].long()
    reach = ((corners[face, 0] - origins[there]) * normals[face]).sum(-1) / (directions[there] * normals[face]).sum(-1)
    depth[there] = reach
    return depth.where(depth.isfinite(), torch.inf)


@torch.no_grad()
def held_back_errors(
    depth: Float[Tensor, "views height width"],
    cameras: Cameras,
    rgb: Float[Tensor, "views 3 height width"],
    asked: Tensor,
) -> Float[Tensor, "views height width"]:
    """Mean absolute error of each pixel's color, carried over from other views that have its point in sight.

    `asked` [views height width] says which pixels matter; NaN for others, and for those that no other view sees.
    """
    errors = torch.full(depth.shape, torch.nan)
    origins, directions = cameras.rays()
    near = (cameras.forward @ cameras.forward.t()).fill_diagonal_(-2).topk(min(SOURCES, len(cameras) - 1)).indices
    for view in range(len(cameras)):
        row, col = (asked[view] & depth[view].isfinite()).nonzero().unbind(1)
        if len(row) == 0:
            continue
        points = origins[view, row, col] + depth[view, row, col, None] * directions[view, row, col]
        total, count = torch.zeros(len(row), 3), torch.zeros(len(row), 1)
        for other in near[view].tolist():
            places, z = project(cameras[other : other + 1], points)
            c, r = places[0].unbind(-1)
            inside = (z[0] > 0) & (c >= 0.5) & (r >= 0.5) & (c < cameras.width_px - 0.5) & (r < cameras.height_px - 0.5)
            at = (r.clamp(0, cameras.height_px - 1).long(), c.clamp(0, cameras.width_px - 1).long())
            behind = distance_to(points, cameras.positions[other]) - depth[other][at]
            sees = (inside & (behind < IN_SIGHT) & depth[other][at].isfinite())[:, None].float()
            grid = torch.stack([c / cameras.width_px, r / cameras.height_px], -1) * 2 - 1
            color = grid_sample(rgb[other : other + 1], grid[None, None], align_corners=False)[0, :, 0].t()
            total += sees * color
            count += sees
        told = count[:, 0] > 0
        error = (total / count.clamp_min(1) - rgb[view][:, row, col].t()).abs().mean(-1)
        errors[view, row[told], col[told]] = error[told]
    return errors


def held_back_gains(
    before: Float[Tensor, "views height width"],
    after: Float[Tensor, "views height width"],
    cameras: Cameras,
    rgb: Float[Tensor, "views 3 height width"],
    masks: Tensor,
    *,
    apart: float,
) -> Float[Tensor, "views height width"]:
    """By how much one shape's errors are less than another's, where they are `apart`; NaN where that is not known.

    A pixel of the masks that the second shape leaves uncovered is wrong by `UNCOVERED`.
    """
    asked = masks & before.isfinite() & ((after - before).abs() > apart)
    uncovered = asked & ~after.isfinite()
    errors = held_back_errors(after, cameras, rgb, asked).masked_fill(uncovered, UNCOVERED)
    return held_back_errors(before, cameras, rgb, asked) - errors
