"""The photo's own outline for the mesh: a lattice rounds corners, and masks of generated views pull at it too."""

from collections.abc import Callable
from dataclasses import replace

import scipy.sparse
import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.export.symmetric_factors import symmetric_factors
from sv3dgen.kernels.rasterizer.antialias import antialiased_coverage
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.posed_views import PosedViews

STEPS = 80
STEP = 0.025  # in world units, before it is smoothed; falls to a tenth
SPREAD = 20.0  # in edges, squared: how far around an outline the surface follows
BETAS = (0.9, 0.999)  # of Adam


def with_photo_outlines(mesh: Mesh, views: PosedViews) -> Mesh:
    """The mesh with the outlines of those photos that stand among generated views; as it is where there is none.

    All views that were taken say alike what the shape is, and a mesh that fits them needs no moving.
    """
    if not views.photos_among_generated:
        return mesh
    photos = views[torch.tensor(views.photos_among_generated)].to("cpu")
    return with_outlines(mesh, photos.cameras, photos.rgba[:, 3])


def with_outlines(
    mesh: Mesh, cameras: Cameras, alpha: Float[Tensor, "photos height width"], steps: int = STEPS
) -> Mesh:
    """The mesh moved a little, so that the cameras see it cover what `alpha` does. All on the CPU.

    Descends the squared difference of the coverage, in the manner of Nicolet et al. (Large Steps in Inverse Rendering
    of Geometry, 2021): in the coordinates (I + s L) x with the graph's Laplacian L, so that the surface around an
    outline follows, and by Adam with one step size for all vertices. Nothing pulls along a camera's rays: depths stay.
    """
    smoothed = _smoother(mesh)
    points, mean, largest = mesh.vertices, torch.zeros_like(mesh.vertices), 0.0
    for step in range(steps):
        gradient = smoothed(_gradient(replace(mesh, vertices=points), mesh, cameras, alpha))
        mean = BETAS[0] * mean + (1 - BETAS[0]) * gradient
        largest = BETAS[1] * largest + (1 - BETAS[1]) * float(gradient.square().max())
        if largest == 0:
            break
        unit = (largest / (1 - BETAS[1] ** (step + 1))) ** 0.5 * (1 - BETAS[0] ** (step + 1))
        points = points - STEP * (1 - 0.9 * step / steps) / unit * smoothed(mean)
    return replace(mesh, vertices=points)


def _gradient(moved: Mesh, mesh: Mesh, cameras: Cameras, alpha: Tensor) -> Float[Tensor, "vertices 3"]:
    points = moved.vertices.detach().clone().requires_grad_()
    with torch.enable_grad():
        clip = clip_positions(cameras, points)
        drawn = rasterize(clip.detach(), mesh.faces, cameras.height_px, cameras.width_px)
        coverage = antialiased_coverage(drawn, clip, mesh.faces, mesh.edges)  # its edges are found once
        (gradient,) = torch.autograd.grad((coverage - alpha).square().sum(), points)
    return gradient


def _smoother(mesh: Mesh) -> Callable[[Tensor], Float[Tensor, "vertices 3"]]:
    """(I + s L)^-1, as a function of one value or more at each vertex."""
    first, second = mesh.edges.vertices.numpy().T
    count = len(mesh.vertices)
    links = scipy.sparse.coo_array(([1.0] * len(first), (first, second)), shape=(count, count)).tocsr()
    links = links + links.T
    laplace = scipy.sparse.diags_array(links.sum(axis=1)) - links
    factors = symmetric_factors(scipy.sparse.eye_array(count) + SPREAD * laplace)
    return lambda values: torch.from_numpy(factors.solve(values.double().numpy())).to(values)
