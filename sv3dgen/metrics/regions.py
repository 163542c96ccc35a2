"""How a mesh looks where reference views have seen the object, and where none has."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sv3dgen.color import over_white
from sv3dgen.kernels.rasterizer.interpolate import barycentrics, interpolate
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.mesh import Mesh, face_normals
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.renderers.textured import render_textured
from sv3dgen.renderers.unseen import UnseenMask
from sv3dgen.views.cameras import Cameras, look_at_origin
from sv3dgen.views.orbits import SV3D_DISTANCE

ELEVATIONS_DEG = (-50.0, -20.0, 20.0, 50.0)
AZIMUTHS = 8
SEEN, UNSEEN = 0.01, 0.5  # of the paper's soft mask: below is seen, above is unseen


@dataclass(frozen=True)
class RegionScores:
    """PSNR in dB over white, over all pixels of a region at once, and its share of the true object's pixels."""

    psnr_seen: float
    psnr_unseen: float
    share_seen: float
    share_unseen: float


def region_scores(
    prediction: TexturedMesh, truth: TexturedMesh, references: Cameras, *, size_px: int = 256
) -> RegionScores:
    """Both unlit, in one world, from 32 sides; regions are of the true surface, hidden parts count as unseen."""
    elevations = torch.tensor(ELEVATIONS_DEG).repeat_interleave(AZIMUTHS)
    azimuths = (torch.arange(AZIMUTHS) * 360 / AZIMUTHS).repeat(len(ELEVATIONS_DEG))
    cameras = look_at_origin(elevations, azimuths, distance=SV3D_DISTANCE, size_px=size_px)
    unseen = unseen_of(truth.mesh, cameras, references)
    rgba = (render_textured(mesh, cameras) for mesh in (prediction, truth))
    drawn, true = (over_white(one[:, :3], one[:, 3:]) for one in rgba)
    error = (drawn - true).square().mean(1)
    seen_where, unseen_where = (unseen >= 0) & (unseen < SEEN), unseen > UNSEEN
    covered = (unseen >= 0).sum()
    return RegionScores(
        _psnr(error[seen_where]),
        _psnr(error[unseen_where]),
        float(seen_where.sum() / covered),
        float(unseen_where.sum() / covered),
    )


def unseen_of(mesh: Mesh, cameras: Cameras, references: Cameras) -> Tensor:
    """The paper's soft mask of what each pixel shows, with occlusion; [views, height, width], -1 next to the object."""
    clip = clip_positions(cameras, mesh.vertices)
    index = rasterize(clip, mesh.faces, cameras.height_px, cameras.width_px).face_index
    view, row, col = (index >= 0).nonzero(as_tuple=True)
    face = index[view, row, col].long()
    corners = barycentrics(clip, mesh.faces, face, view, row, col, cameras.height_px, cameras.width_px)
    points = interpolate(mesh.vertices, mesh.faces, face, corners)
    normals = torch.nn.functional.normalize(face_normals(mesh), dim=1)[face]
    unseen = torch.full(index.shape, -1.0)
    unseen[view, row, col] = UnseenMask(occlusion=True, depth_px=512)(points, normals, references, mesh)
    return unseen


def _psnr(squared_errors: Tensor) -> float:
    """NaN where a region is empty."""
    return float(-10 * squared_errors.mean().log10())
