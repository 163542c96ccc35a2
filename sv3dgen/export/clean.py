"""From an isosurface to one clean, closed surface (docs/method.md: loose parts, holes, bad edges)."""

import logging

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.topology import components, fill_holes, from_numpy, split_crowded
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.uncovered import needed_parts

log = logging.getLogger(__name__)

Silhouettes = tuple[Cameras, Bool[Tensor, "views height width"]]
LOOSE_SHARE = 0.2  # SV3D's exporter drops parts whose diameter is under 20 % of the whole object's


def clean(mesh: Mesh, loose_share: float = LOOSE_SHARE, silhouettes: Silhouettes | None = None) -> Mesh:
    """Merge equal vertices, drop collapsed faces, loose parts and hidden pockets, cut crowded edges and close holes.

    A part is loose when its bounding box has a diagonal under `loose_share` of the largest part's. A pocket is a closed
    part whose faces look inwards: the wall of a cavity that no camera can see. The largest part is always kept, and of
    loose ones those without which the `silhouettes` would have holes.
    """
    vertices = mesh.vertices.detach().cpu().double().numpy()
    faces = mesh.faces.cpu().numpy()
    vertices, faces = merge_equal(vertices, faces)
    faces = without_fins(faces[distinct_corners(faces)])
    if len(faces) == 0:
        return from_numpy(vertices[:0], faces)
    # Closed first, because an open part has no inside to tell a pocket by.
    vertices, faces = fill_holes(*split_crowded(vertices, faces))
    kept = kept_parts(vertices, faces, loose_share)
    loose = kept_parts(vertices, faces, 0.0) & ~kept
    if silhouettes is not None and loose.any():
        kept[loose] = _needed(vertices, faces, kept, loose, silhouettes)
    dropped = int((loose & ~kept).sum())
    if dropped:
        log.warning("%d of %d faces dropped: of loose parts under loose_share=%g", dropped, len(faces), loose_share)
    faces = faces[kept]
    return from_numpy(*without_unused(vertices, faces))


def _needed(
    vertices: np.ndarray, faces: np.ndarray, kept: np.ndarray, loose: np.ndarray, silhouettes: Silhouettes
) -> np.ndarray:
    """Of the loose faces, whether the silhouettes need their part."""
    cameras, masks = silhouettes
    points = torch.from_numpy(vertices).float()
    clip = clip_positions(cameras, points)
    staying = torch.from_numpy(np.ascontiguousarray(faces[kept], np.int32))
    uncovered = masks & (rasterize(clip, staying, cameras.height_px, cameras.width_px).face_index < 0)
    count, part = components(len(vertices), np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]]))
    own = part[faces[loose, 0]]
    # Corners lie on outlines, where a pixel may be either; centers don't.
    asked = torch.cat([points[faces[loose].ravel()], points[faces[loose]].mean(1)])
    numbers = torch.from_numpy(np.concatenate([own.repeat(3), own])).long()
    return needed_parts(asked, numbers, count, uncovered, cameras).numpy()[own]


def merge_equal(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]
) -> tuple[Float[ndarray, "merged 3"], Int[ndarray, "faces 3"]]:
    """One vertex for each position (to 1e-7, the resolution of float32 in the unit box)."""
    _, first, inverse = np.unique(
        np.round(vertices * 1e7).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    return vertices[first], inverse.reshape(-1)[faces]


def distinct_corners(faces: Int[ndarray, "faces 3"]) -> Bool[ndarray, " faces"]:
    """True for faces of three different vertices. Dropping the others keeps a closed mesh closed."""
    a, b, c = faces.T
    return (a != b) & (b != c) & (c != a)


def without_fins(faces: Int[ndarray, "faces 3"]) -> Int[ndarray, "fewer 3"]:
    """Drop pairs of faces that lie back to back on the same three vertices: they enclose nothing."""
    _, group = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    # The parity of the order of the corners tells the two sides of a triangle apart.
    turned = np.roll(faces, -1, axis=1) > faces
    sign = np.where(turned.sum(axis=1) == 2, 1, -1)
    balance = np.bincount(group, sign)
    order = np.lexsort((-sign * np.sign(balance[group]), group))
    rank = np.empty(len(faces), dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(np.bincount(group))])[:-1]
    rank[order] = np.arange(len(faces)) - starts[group[order]]
    return faces[rank < np.abs(balance[group])]


def kept_parts(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"], loose_share: float
) -> Bool[ndarray, " faces"]:
    """True for faces of parts that are large enough and not the wall of a pocket."""
    links = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    count, vertex_part = components(len(vertices), links)
    part = vertex_part[faces[:, 0]]
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    corners = vertices[faces]
    np.minimum.at(low, part, corners.min(axis=1))
    np.maximum.at(high, part, corners.max(axis=1))
    used = np.bincount(part, minlength=count) > 0
    diameter = np.where(used, np.linalg.norm(np.where(used[:, None], high - low, 0.0), axis=1), 0.0)
    signed = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    volume = np.bincount(part, signed, count)
    keep = (diameter >= loose_share * diameter.max(initial=0.0)) & (volume > 0)
    keep[diameter.argmax()] = True
    return keep[part]


def without_unused(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]
) -> tuple[Float[ndarray, "used 3"], Int[ndarray, "faces 3"]]:
    """Drop vertices that no face uses."""
    used, inverse = np.unique(faces, return_inverse=True)
    return vertices[used], inverse.reshape(-1, 3)
