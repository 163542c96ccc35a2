"""Surface about which generated views disagree: found by what they show and no surface can, and made smooth.

A shape that has to please views that contradict each other gets wrinkles, as deep as they are wrong.
"""

import math
from dataclasses import replace

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from sv3dgen.export.symmetric_factors import symmetric_factors
from sv3dgen.export.unseen_surface import continued_colors
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.renderers.unseen import in_sight, smoothstep
from sv3dgen.views.cameras import Cameras, project

DEPTH_PX = 256  # of the z-buffer
NEARBY = 0.2  # of the frame: errors are averaged over squares of this size
AGREED, DISPUTED = 0.09, 0.13  # root of the mean squared color error: no doubt up to the first, all from the second on
SHARP, COARSE = 0.005, 0.02  # width of a view's pixel on the object, in world units: no doubt up to the first
WAVE = 0.3  # in world units: waves of this length lose half their height where there is full doubt, shorter ones more
COLOR_WAVE = 0.12  # the same for colors: views of 64 px, which show waves from .04 on, agree about those from .1 on
SLIVER, STEEPEST = 1e-3, 5.0  # of the mean area, the least that counts; the largest cotangent


def doubts(
    mesh: Mesh,
    cameras: Cameras,
    squared_error: Float[Tensor, "views height width"],
    *,
    least: float = 0.0,
    keep_unseen: bool = False,
) -> Float[Tensor, " vertices"]:
    """How far views disagree about the surface at each vertex, in [0, 1]. All on the CPU.

    `squared_error` is how far the mesh is from each view, as that view's camera shows it. What a view sees is at least
    in the doubt `least`. Surface that none of them
    sees takes over the doubt at its border, or with `keep_unseen` is in none.
    """
    px = max(3, 2 * round(0.5 * NEARBY * cameras.width_px) + 1)
    nearby = avg_pool2d(squared_error[:, None], px, 1, px // 2, count_include_pad=False)
    seen = in_sight(mesh.vertices, cameras, mesh, depth_px=DEPTH_PX)
    pixels, _ = project(cameras, mesh.vertices)
    place = 2 * pixels / pixels.new_tensor([cameras.width_px, cameras.height_px]) - 1
    error = grid_sample(nearby, place[:, None], padding_mode="border", align_corners=False)[:, 0, 0]
    count = seen.sum(0)
    mean = (error * seen).sum(0) / count.clamp_min(1)
    doubt = smoothstep(mean.sqrt(), AGREED, DISPUTED).clamp_min(least)
    if keep_unseen or not bool(count.any()):
        return doubt * (count > 0)
    return continued_colors(mesh, count > 0, doubt[:, None].expand(-1, 3))[:, 0]


def least_doubt(pixel: float) -> float:
    """The doubt of all surface that views with pixels of this width on the object tell of, in world units.

    Such views show no short waves: those that a fit has are noise. Pixels of a 64 px view are .018 wide.
    """
    return float(smoothstep(torch.tensor(pixel), SHARP, COARSE))


def faired(mesh: Mesh, doubt: Float[Tensor, " vertices"]) -> Mesh:
    """The mesh as smooth as its vertices are in doubt; where they and what is around them are in none it stays.

    Smooth is what `_smooth` makes of the points, without waves shorter than `WAVE`. The doubt is smoothed alike, and
    says how far each vertex goes there.
    """
    if not bool((doubt > 0).any()):
        return mesh
    points = mesh.vertices.double().numpy()
    smooth = _smooth(mesh, np.concatenate([points, doubt.double().numpy()[:, None]], 1), WAVE)
    points = points + smooth[:, 3:].clip(0, 1) * (smooth[:, :3] - points)
    return replace(mesh, vertices=torch.from_numpy(points).to(mesh.vertices))


def quieter(
    mesh: Mesh, doubt: Float[Tensor, " vertices"], colors: Float[Tensor, "vertices 3"]
) -> Float[Tensor, "vertices 3"]:
    """By how much the colors at the vertices change where those are in doubt: waves shorter than `COLOR_WAVE` go.

    A wrinkle that views disagree about is painted, too, and stays so when the shape is smooth.
    """
    given = colors.double().numpy()
    smooth = _smooth(mesh, given, COLOR_WAVE)
    return doubt[:, None] * torch.from_numpy(smooth - given).to(colors)


def _smooth(mesh: Mesh, values: np.ndarray, wave: float) -> np.ndarray:
    """Values at the vertices without short waves: one of length `wave` loses half its height, a shorter one more.

    They minimize the sum over the vertices of area (|x - x0|^2 + (wave / 2 pi)^4 |H x|^2) with H the cotangent
    Laplacian over the area.

    With areas A and the cotangent matrix L the system is A + s^2 L A^-1 L = (A + isL) A^-1 (A - isL): two solves with
    one factorization, which is as sparse as L and a third of the work.
    """
    laplace, area = _laplacian(mesh)
    factors = symmetric_factors(
        scipy.sparse.diags_array(area.astype(complex)) + 1j * (wave / (2 * math.pi)) ** 2 * laplace
    )
    halfway = area[:, None] * factors.solve((area[:, None] * values).astype(complex))
    return factors.solve(halfway.conj()).real


def _laplacian(mesh: Mesh) -> tuple[scipy.sparse.csr_array, np.ndarray]:
    """The cotangent matrix, without negative weights, and a third of the area around each vertex."""
    points, faces, count = mesh.vertices.double().numpy(), mesh.faces.numpy(), len(mesh.vertices)
    sides = [points[faces[:, (corner + 1) % 3]] - points[faces[:, corner]] for corner in range(3)]
    doubled = np.linalg.norm(np.cross(sides[0], -sides[2]), axis=1)
    doubled = np.maximum(doubled, SLIVER * doubled.mean())
    links, area = scipy.sparse.csr_array((count, count)), np.zeros(count)
    for corner in range(3):
        here, first, second = (faces[:, (corner + step) % 3] for step in range(3))
        cotangent = -(sides[corner] * sides[(corner + 2) % 3]).sum(1) / doubled
        weight = 0.5 * np.clip(cotangent, 0, STEEPEST)
        links += scipy.sparse.coo_array((weight, (first, second)), shape=(count, count)).tocsr()
        area += np.bincount(here, doubled / 6, count)
    links = links + links.T
    area = np.maximum(area, SLIVER * area.mean())
    return (scipy.sparse.diags_array(links.sum(axis=1)) - links).tocsr(), area
