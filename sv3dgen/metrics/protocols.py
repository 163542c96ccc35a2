"""Named ways to compare a predicted mesh with its ground truth. Numbers of different protocols don't compare."""

import math
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.topology import is_closed
from sv3dgen.metrics.surface import chamfer_distance, surface_scores, unit_box
from sv3dgen.metrics.volume import cell_centers, occupancy, occupancy_iou

Align = Literal["none", "unit_box"]

NOTICEABLE = 0.005  # how far two bounding boxes may differ, in the unit of the truth's, before both frames are reported


@dataclass(frozen=True)
class Fit:
    """How the prediction's bounding box lies in the frame it came in, against that of the truth."""

    scale: float  # longest side over longest side
    shift: float  # of the center, in longest sides of the truth

    @property
    def noticeable(self) -> bool:
        return abs(self.scale - 1) > NOTICEABLE or self.shift > NOTICEABLE


def surface_protocol(
    prediction: Mesh, truth: Mesh, *, align: Align = "unit_box", seed: int = 0, num_samples: int = 100_000
) -> dict[str, float | int | bool]:
    """Un-squared Chamfer distance and its kin on surface samples, and occupancy IoU in cells of 1/64 of the unit box.

    `unit_box` scales and centers each mesh by its own bounding box; `none` moves both as the truth needs it. Where the
    two differ noticeably, the scores of the other frame are there too, with the suffix `_as_given` or `_unit_box`.
    """
    fit = box_fit(prediction, truth)
    report: dict[str, float | int | bool] = {"faces": len(prediction.faces), "closed": is_closed(prediction)}
    report |= {"box_scale": fit.scale, "box_shift": fit.shift}
    report |= _surface_and_volume(*aligned(prediction, truth, align), seed, num_samples)
    if fit.noticeable:
        other: Align = "none" if align == "unit_box" else "unit_box"
        suffix = "_as_given" if align == "unit_box" else "_unit_box"
        scores = _surface_and_volume(*aligned(prediction, truth, other), seed, num_samples)
        report |= {f"{name}{suffix}": value for name, value in scores.items()}
    return report


def sv3d_2024_protocol(prediction: Mesh, truth: Mesh, *, yaw_deg: float = 0.0) -> dict[str, float | int | bool]:
    """What the authors' code measures: both meshes in the unit box, the prediction turned.

    Chamfer between the vertices as they stand in the files (so it depends on how finely a mesh is cut), and the IoU of
    64^3 lattice points over [-1, 1]^3, of which an object meets 32^3. Their frame is z-up, ours y-up: `yaw_deg` turns
    the prediction about +Y, and is 0 where it faces the way the truth does.
    """
    prediction, truth = sv3d_2024_frame(prediction, truth, yaw_deg=yaw_deg)
    ticks = torch.arange(64, dtype=torch.float64) / 32 - 1  # theirs start on the border, not half a cell inside
    return {
        "faces": len(prediction.faces),
        "closed": is_closed(prediction),
        "chamfer_vertices": chamfer_distance(prediction.vertices, truth.vertices),
        "iou_32": occupancy_iou(occupancy(prediction, ticks), occupancy(truth, ticks)),
    }


def sv3d_2024_frame(prediction: Mesh, truth: Mesh, *, yaw_deg: float = 0.0) -> tuple[Mesh, Mesh]:
    """Each in the unit box of its own, the prediction turned before."""
    return unit_box(_turned(prediction, yaw_deg)), unit_box(truth)


def box_fit(prediction: Mesh, truth: Mesh) -> Fit:
    """Scale and shift of the prediction's bounding box against the truth's, in units of the truth's longest side."""
    (low, high), (true_low, true_high) = _box(prediction), _box(truth)
    longest = (true_high - true_low).max()
    shift = 0.5 * ((low + high) - (true_low + true_high)) / longest
    return Fit(float((high - low).max() / longest), float(shift.norm()))


def aligned(prediction: Mesh, truth: Mesh, align: Align) -> tuple[Mesh, Mesh]:
    """Each in the unit box of its own, or both moved and scaled as the truth needs it."""
    if align == "unit_box":
        return unit_box(prediction), unit_box(truth)
    low, high = _box(truth)
    longest = (high - low).max()
    moved = (Mesh((mesh.vertices - 0.5 * (low + high)) / longest, mesh.faces) for mesh in (prediction, truth))
    return next(moved), next(moved)


def _surface_and_volume(prediction: Mesh, truth: Mesh, seed: int, num_samples: int) -> dict[str, float]:
    scores = surface_scores(prediction, truth, torch.Generator().manual_seed(seed), num_samples)
    ticks = _cells_around(prediction, truth)
    return asdict(scores) | {"iou_64": occupancy_iou(occupancy(prediction, ticks), occupancy(truth, ticks))}


def _cells_around(*meshes: Mesh) -> Float[Tensor, " resolution"]:
    """The 64 cells along the unit box, and as many more of their size as the meshes reach beyond it.

    At most 192 in all: where a mesh is so far off, the cells get larger.
    """
    reach = max(float(corner.abs().max()) for mesh in meshes for corner in _box(mesh))
    half_side = max(math.ceil(64 * reach - 0.01), 32) / 64  # a hundredth of a cell is rounding
    return cell_centers(min(round(128 * half_side), 192), half_side)


def _box(mesh: Mesh) -> tuple[Float[Tensor, " 3"], Float[Tensor, " 3"]]:
    used = mesh.vertices[mesh.faces.reshape(-1)]
    return used.amin(0), used.amax(0)


def about_y(yaw_deg: float) -> Float[Tensor, "3 3"]:
    """The rotation about +Y that brings what faced +Z to azimuth `yaw_deg`."""
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    return torch.tensor([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])


def _turned(mesh: Mesh, yaw_deg: float) -> Mesh:
    return Mesh(mesh.vertices @ about_y(yaw_deg).to(mesh.vertices).T, mesh.faces)
