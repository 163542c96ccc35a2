"""Cut a surface into charts that a flat projection lays out without folds.

Faces are labeled by the axis they look along most, smoothed so that the borders are short; every connected group of
one label is a chart, projected along the mean of its normals. Small charts join a neighbor where no face would fold
over. Where the projection of one chart still covers itself (a spiral, say), the hidden part becomes a chart of its own.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sv3dgen.meshes.topology import components, face_neighbors

AXES = np.concatenate([np.eye(3), -np.eye(3)])
SMOOTHING_STEPS = 12  # rounds of averaging normals over neighboring faces before they are labeled
STEEPEST = 0.35  # least cosine between a face and its label's axis when first labeled: a stretch of 3 at most
STEEPEST_JOINED = 0.2  # the same for faces of small charts that join a neighbor
SMALL_FACES = 40  # charts of fewer faces than this try to join a neighbor
JOIN_ROUNDS = 6


@dataclass(frozen=True)
class Surface:
    """What chart making needs to know of a mesh, computed once."""

    normals: Float[ndarray, "faces 3"]  # unit
    areas: Float[ndarray, " faces"]
    neighbors: Int[ndarray, "faces 3"]  # -1 at borders
    edge_px: Float[ndarray, "faces 3"]  # length of each side, in world units


def describe(vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]) -> Surface:
    """Normals, areas, neighbors and side lengths of every face."""
    corners = vertices[faces]
    sides = np.roll(corners, -1, axis=1) - corners
    cross = np.cross(sides[:, 0], sides[:, 1])
    length = np.linalg.norm(cross, axis=1)
    normals = cross / np.maximum(length, 1e-30)[:, None]
    return Surface(normals, 0.5 * length, face_neighbors(faces), np.linalg.norm(sides, axis=2))


def connected(labels: Int[ndarray, " faces"], neighbors: Int[ndarray, "faces 3"]) -> Int[ndarray, " faces"]:
    """The connected group of equal labels that each face belongs to."""
    face, side = np.nonzero(neighbors >= 0)
    other = neighbors[face, side]
    same = (labels[face] == labels[other]) & (face < other)
    return components(len(labels), np.stack([face[same], other[same]], axis=1))[1]


def make_charts(surface: Surface) -> Int[ndarray, " faces"]:
    """The chart of each face, numbered from zero."""
    weighted = surface.normals * surface.areas[:, None]
    inside = surface.neighbors >= 0
    smooth = weighted
    for _ in range(SMOOTHING_STEPS):
        smooth = weighted * 0.2 + smooth + np.where(inside[:, :, None], smooth[surface.neighbors], 0.0).sum(axis=1)
        smooth = smooth / np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-30) * surface.areas[:, None]
    own = surface.normals @ AXES.T
    labels = np.where(own >= STEEPEST, smooth @ AXES.T, -np.inf).argmax(axis=1)
    for _ in range(JOIN_ROUNDS):
        labels, changed = join_small(labels, own, surface)
        if not changed:
            break
    return connected(labels, surface.neighbors)


def join_small(
    labels: Int[ndarray, " faces"], own: Float[ndarray, "faces 6"], surface: Surface
) -> tuple[Int[ndarray, " faces"], bool]:
    """Relabel small charts as the neighboring label of the longest common border, where every face allows it."""
    chart = connected(labels, surface.neighbors)
    count = int(chart.max()) + 1
    size = np.bincount(chart)
    face, side = np.nonzero(surface.neighbors >= 0)
    other = surface.neighbors[face, side]
    # A small chart gives way only to larger ones, so that two small ones don't swap labels for ever.
    border = (size[chart[face]] < SMALL_FACES) & (size[chart[face]] < size[chart[other]])
    face, side, other = face[border], side[border], other[border]
    common = np.zeros((count, len(AXES)))
    np.add.at(common, (chart[face], labels[other]), surface.edge_px[face, side])
    least = np.ones((count, len(AXES)))
    np.minimum.at(least, chart, own)
    common[least < STEEPEST_JOINED] = 0.0
    joins = common.max(axis=1) > 0
    target = np.where(joins[chart], common.argmax(axis=1)[chart], labels)
    return target, bool((target != labels).any())


def project_charts(
    vertices: Float[ndarray, "vertices 3"],
    faces: Int[ndarray, "faces 3"],
    surface: Surface,
    chart: Int[ndarray, " faces"],
) -> tuple[Float[ndarray, "uvs 2"], Int[ndarray, "faces 3"], Float[ndarray, " faces"], Int[ndarray, " uvs"]]:
    """Flatten every chart along its mean normal, turned so that its bounding box is small and taller than wide.

    Returns coordinates in world units (each chart around its own origin), the rows of them that each face uses, the
    height of each face along its chart's axis, and the chart of each row.
    """
    count = int(chart.max()) + 1
    axis = np.stack([np.bincount(chart, surface.normals[:, i] * surface.areas, count) for i in range(3)], axis=1)
    axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-30)
    # A mean that some face turns away from would fold that face; the label's axis, which all faces look along, does
    # not.
    label_axis = AXES[np.abs(axis).argmax(axis=1) + np.where(axis[np.arange(count), np.abs(axis).argmax(1)] < 0, 3, 0)]
    least = np.ones(count)
    np.minimum.at(least, chart, (surface.normals * axis[chart]).sum(axis=1))
    axis = np.where((least > 0.5 * STEEPEST_JOINED)[:, None], axis, label_axis)
    right = np.cross(np.where(np.abs(axis[:, 1:2]) < 0.9, [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]), axis)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    up = np.cross(axis, right)
    key, uv_faces = np.unique(chart[:, None] * len(vertices) + faces, return_inverse=True)
    uv_chart, vertex = key // len(vertices), key % len(vertices)
    flat = np.stack([(vertices[vertex] * frame[uv_chart]).sum(axis=1) for frame in (right, up)], axis=1)
    heights = (vertices[faces].mean(axis=1) * axis[chart]).sum(axis=1)
    return turned_upright(flat, uv_chart, count), uv_faces.reshape(-1, 3), heights, uv_chart


def turned_upright(
    flat: Float[ndarray, "uvs 2"], uv_chart: Int[ndarray, " uvs"], count: int
) -> Float[ndarray, "uvs 2"]:
    """Rotate each chart to the smallest of 16 bounding boxes, the long side up, the lower left corner at the origin."""
    best_area, best = np.full(count, np.inf), np.zeros(count)
    for angle in np.arange(16) * (np.pi / 16):
        low, high = extents(rotated(flat, np.full(len(flat), angle)), uv_chart, count)
        width, height = (high - low).T
        better = (width * height < best_area * 0.999) & (height >= width)
        best_area, best = np.where(better, width * height, best_area), np.where(better, angle, best)
    flat = rotated(flat, best[uv_chart])
    return flat - extents(flat, uv_chart, count)[0][uv_chart]


def rotated(flat: Float[ndarray, "uvs 2"], angle: Float[ndarray, " uvs"]) -> Float[ndarray, "uvs 2"]:
    """Each point rotated by its own angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * flat[:, 0] - sin * flat[:, 1], sin * flat[:, 0] + cos * flat[:, 1]], axis=1)


def extents(
    flat: Float[ndarray, "uvs 2"], uv_chart: Int[ndarray, " uvs"], count: int
) -> tuple[Float[ndarray, "charts 2"], Float[ndarray, "charts 2"]]:
    """Bounding box of each chart."""
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, uv_chart, flat)
    np.maximum.at(high, uv_chart, flat)
    return low, high
