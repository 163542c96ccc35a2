"""Cut away what a texture's alpha hides: leaves, fences and decals become the shape that a viewer shows.

Faces are split into four where the alpha's outline crosses them, down to one texel, so that areas, distances and
silhouettes are those of the visible part.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

_FINEST, _MOST_FACES = 12, 2_000_000
_HALVED = 6  # how often faces are halved where only the vertices' alpha says where the outline is
_SAMPLES = 8192
_CLEAR, _SOLID = 0.1, 0.9


@dataclass(frozen=True)
class CutMesh:
    """Triangles with what is interpolated over them."""

    faces: Int[np.ndarray, "faces 3"]
    values: Float[np.ndarray, "vertices channels"]  # positions, colors, whatever the caller holds
    uv: Float[np.ndarray, "vertices 2"]  # v downwards; the alpha repeats outside [0, 1]
    alpha: Float[np.ndarray, " vertices"]  # multiplied with the texture's


def cut_away(mesh: CutMesh, texture: Float[np.ndarray, "height width"], cutoff: float) -> CutMesh:
    """The part whose alpha is at least `cutoff`; new vertices stand halfway between old ones."""
    table, plain = _counts(texture >= cutoff), bool((mesh.alpha == 1).all())
    most = float(texture.max())
    full = table if plain else _counts(texture >= most)
    faces, values, uv, alpha = mesh.faces, mesh.values, mesh.uv, mesh.alpha
    kept: list[np.ndarray] = []
    for depth in range(_FINEST + 1):
        if not len(faces):
            break
        texels = uv[faces] * np.array(texture.shape[::-1], dtype=np.float64)
        span = texels.max(1) - texels.min(1)
        share = _opaque_share(table, texels.min(1), texels.max(1), texture.shape)
        small = span.max(1) <= 1
        if not plain:  # the vertices' own alpha moves the outline
            solid = _opaque_share(full, texels.min(1), texels.max(1), texture.shape) == 1
            solid &= alpha[faces].min(1) * most >= cutoff
            hidden = (alpha[faces].max(1) * most < cutoff) | (share == 0)
            share = np.where(solid, 1.0, np.where(hidden, 0.0, 0.5))
            small &= depth >= _HALVED
        small |= (depth == _FINEST) | (len(faces) > _MOST_FACES)
        middle = sampled(texture, uv[faces].mean(1)) * alpha[faces].mean(1) >= cutoff
        kept.append(faces[(share == 1) | small & middle & (share > 0)])
        crossed = faces[(share > 0) & (share < 1) & ~small]
        faces, (values, uv, alpha) = _split(crossed, (values, uv, alpha))
    return CutMesh(np.concatenate(kept) if kept else faces, values, uv, alpha)


def translucent_share(mesh: CutMesh, texture: Float[np.ndarray, "height width"]) -> float:
    """Which part of what is not clear is neither solid: alpha between 0.1 and 0.9, over the triangles' area."""
    corners = mesh.values[mesh.faces, :3]
    area = np.sqrt((np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) ** 2).sum(-1))
    if not area.sum() > 0:
        return 0.0
    rng = np.random.default_rng(0)
    face = mesh.faces[rng.choice(len(area), _SAMPLES, p=area / area.sum())]
    weights = rng.dirichlet((1, 1, 1), _SAMPLES)
    alpha = sampled(texture, (weights[..., None] * mesh.uv[face]).sum(1)) * (weights * mesh.alpha[face]).sum(1)
    seen = alpha > _CLEAR
    return float((alpha[seen] < _SOLID).mean()) if seen.any() else 0.0


def sampled(texture: Float[np.ndarray, "height width"], uv: Float[np.ndarray, "points 2"]) -> np.ndarray:
    """Bilinear lookup, repeating."""
    height, width = texture.shape
    x, y = uv[:, 0] * width - 0.5, uv[:, 1] * height - 0.5
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    across, down = x - left, y - top
    columns, rows = (left % width, (left + 1) % width), (top % height, (top + 1) % height)
    upper = texture[rows[0], columns[0]] * (1 - across) + texture[rows[0], columns[1]] * across
    lower = texture[rows[1], columns[0]] * (1 - across) + texture[rows[1], columns[1]] * across
    return upper * (1 - down) + lower * down


def _counts(solid: Bool[np.ndarray, "height width"]) -> np.ndarray:
    """How many solid texels lie above and left of each corner, over two periods each way."""
    twice = np.tile(solid, (2, 2)).astype(np.int64)
    return np.pad(twice.cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _opaque_share(table: np.ndarray, low: np.ndarray, high: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The share of solid texels in boxes of texels that bilinear lookups between the corners may touch."""
    height, width = shape
    first = np.floor(low - 0.5).astype(np.int64)
    last = np.floor(high - 0.5).astype(np.int64) + 2
    size = np.minimum(last - first, (width, height))
    x0, y0 = first[:, 0] % width, first[:, 1] % height
    x1, y1 = x0 + size[:, 0], y0 + size[:, 1]
    inside = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    return inside / (size[:, 0] * size[:, 1])


def _split(faces: np.ndarray, arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Each face as four, through the middles of its edges, and the arrays with the new vertices at their ends."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, where = np.unique(edges, axis=0, return_inverse=True)
    middle = where.reshape(-1, 3) + len(arrays[0])
    a, b, c = faces.T
    ab, bc, ca = middle.T
    quarters = np.stack([[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]).transpose(2, 0, 1).reshape(-1, 3)
    longer = tuple(np.concatenate([array, array[unique].mean(1)]) for array in arrays)
    return quarters, longer
