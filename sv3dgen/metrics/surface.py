"""How far one surface is from another: Chamfer distance, F-score, normal consistency, all on random surface samples.

Distances are plain (not squared), in the units of the meshes. Between two independent samplings of one and the same
surface they are not zero but about half the sample spacing: .002 to .003 for 100 k samples on an object of side 1.
"""

from dataclasses import dataclass
from math import inf

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial import KDTree
from torch import Tensor

from sv3dgen.meshes.mesh import Mesh, face_normals

FAR = 0.02  # beyond this a ground-truth sample counts as missed: a defect one can see


@dataclass(frozen=True)
class SurfaceSamples:
    """Points on a surface with the unit normals of their triangles, in float64."""

    points: Float[Tensor, "samples 3"]
    normals: Float[Tensor, "samples 3"]


@dataclass(frozen=True)
class SurfaceScores:
    """Prediction against ground truth. Shares are in [0, 1]."""

    chamfer: float
    far_share: float  # of the ground truth, farther than FAR from the prediction
    f_score_1: float  # F-score at a distance of 1 % of the unit
    f_score_2: float
    normal_consistency: float  # mean |cosine| between the normals of nearest samples


def sample_surface(mesh: Mesh, num_samples: int, generator: torch.Generator) -> SurfaceSamples:
    """Points distributed uniformly over the area of a mesh. Raises ValueError where the mesh has none."""
    mesh = Mesh(mesh.vertices.double(), mesh.faces)
    doubled = face_normals(mesh)
    cumulative = doubled.norm(dim=1).cumsum(0)
    if len(cumulative) == 0 or not cumulative[-1] > 0:
        raise ValueError(f"a mesh of {len(mesh.faces)} faces without any area has no surface to sample")
    draws = torch.rand(num_samples, 3, generator=generator, dtype=torch.float64)
    face = torch.searchsorted(cumulative, draws[:, 0] * cumulative[-1], right=True).clamp(max=len(cumulative) - 1)
    # The square root turns a uniform draw into one that is uniform over the triangle's area.
    along, across = draws[:, 1].sqrt(), draws[:, 2]
    barycentric = torch.stack([1 - along, along * (1 - across), along * across], dim=1)
    points = (mesh.vertices[mesh.faces[face]] * barycentric[..., None]).sum(1)
    return SurfaceSamples(points, torch.nn.functional.normalize(doubled[face], dim=1))


def surface_scores(
    prediction: Mesh, truth: Mesh, generator: torch.Generator, num_samples: int = 100_000
) -> SurfaceScores:
    """Compare two meshes in the frame they are given in.

    Whether a ground-truth sample is farther than FAR is decided, where it is close, with ten times as many samples of
    the prediction, whose spacing of about .001 moves that limit by less than .0001.
    """
    predicted, true = (sample_surface(mesh, num_samples, generator) for mesh in (prediction, truth))
    to_truth, nearest_true = _nearest(predicted.points, true.points)
    to_prediction, nearest_predicted = _nearest(true.points, predicted.points)
    far = to_prediction > FAR
    # Beyond 1.5 FAR, no spacing of the samples can be to blame (and queries from afar into a dense tree take long).
    unsure = far & (to_prediction < 1.5 * FAR)
    dense = sample_surface(prediction, 10 * num_samples, generator).points
    far[unsure] = _nearest(true.points[torch.from_numpy(unsure)], dense, within=FAR)[0] > FAR
    agreement = (
        _mean_abs_cosine(predicted.normals, true.normals[torch.from_numpy(nearest_true)]),
        _mean_abs_cosine(true.normals, predicted.normals[torch.from_numpy(nearest_predicted)]),
    )
    return SurfaceScores(
        chamfer=float(0.5 * (to_truth.mean() + to_prediction.mean())),
        far_share=float(far.mean()),
        f_score_1=f_score(to_truth, to_prediction, 0.01),
        f_score_2=f_score(to_truth, to_prediction, 0.02),
        normal_consistency=0.5 * sum(agreement),
    )


def chamfer_distance(first: Float[Tensor, "first 3"], second: Float[Tensor, "second 3"]) -> float:
    """0.5 (mean_p min_q |p - q| + mean_q min_p |q - p|) of two point sets (paper, section 4)."""
    there, back = _nearest(first, second)[0], _nearest(second, first)[0]
    return float(0.5 * (there.mean() + back.mean()))


def f_score(to_truth: ndarray, to_prediction: ndarray, distance: float) -> float:
    """Harmonic mean of precision and recall at a distance, from each side's distances to the other."""
    precision, recall = float((to_truth <= distance).mean()), float((to_prediction <= distance).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def unit_box(mesh: Mesh) -> Mesh:
    """Move and scale uniformly, so that the bounding box is centered on the origin and its longest side is 1.

    Vertices that no face uses do not count. Raises ValueError for a mesh without extent.
    """
    used = mesh.vertices[mesh.faces.reshape(-1)]
    if len(used) == 0:
        raise ValueError("a mesh without faces has no bounding box")
    low, high = used.amin(0), used.amax(0)
    longest = (high - low).max()
    if not longest > 0:
        raise ValueError("a mesh without extent cannot be scaled to a unit box")
    return Mesh((mesh.vertices - 0.5 * (low + high)) / longest, mesh.faces)


def _nearest(queries: Tensor, targets: Tensor, within: float = inf) -> tuple[ndarray, ndarray]:
    """Distance and index of the nearest target of each query; an infinite distance where none is `within` reach."""
    distance, index = KDTree(targets.numpy()).query(queries.numpy(), distance_upper_bound=within, workers=-1)
    return np.asarray(distance), np.asarray(index)


def _mean_abs_cosine(first: Tensor, second: Tensor) -> float:
    return float((first * second).sum(1).abs().mean())
