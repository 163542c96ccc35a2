"""From an assembly to a textured mesh: every grid gets a texture with as many texels as its size asks for."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.procedural.assembly import Assembly, Decal
from sv3dgen.procedural.patterns import Pattern, Points, value_noise
from sv3dgen.procedural.surfaces import Grid

TEXELS_PER_UNIT = 110.0  # a unit covers about 60 px of a 64 px frame
MOST_TEXELS = 224
FACING = 0.25  # cosine to a picture's direction below which a surface does not show it

Axis = Float[np.ndarray, " knots"]


@dataclass(frozen=True)
class Sheet:
    """How a grid lies on its texture: where the texels are in space, and the texture coordinates of the vertices."""

    points: Points  # row by row, the first row at the lower edge of the texture
    normals: Points
    uv: Float[np.ndarray, "vertices 2"]
    tall: int
    wide: int


def build_mesh(assembly: Assembly, rng: np.random.Generator) -> TexturedMesh:
    """The assembly painted, as a mesh whose vertices are shared within each grid only."""
    grids, patterns = [], []
    for surface, pattern in assembly.parts:
        grids += surface
        patterns += [pattern] * len(surface)
    sheets = [_flat_sheet(grid) or _bent_sheet(grid) for grid in grids]
    textures = _paint(sheets, patterns, assembly.decals, rng)
    vertices = np.concatenate([grid.reshape(-1, 3) for grid in grids]) @ assembly.pose.T
    uv = np.concatenate([sheet.uv for sheet in sheets])
    faces, face_texture, first = [], [], 0
    for number, grid in enumerate(grids):
        found = _triangles(grid) + first
        faces.append(found)
        face_texture.append(np.full(len(found), number))
        first += grid.shape[0] * grid.shape[1]
    corners = torch.from_numpy(np.concatenate(faces))
    return TexturedMesh(
        vertices=torch.from_numpy(vertices.astype(np.float32)),
        faces=corners,
        uv=torch.from_numpy(uv.astype(np.float32)),
        uv_faces=corners,
        textures=tuple(torch.from_numpy(texture) for texture in textures),
        face_texture=torch.from_numpy(np.concatenate(face_texture)),
    )


def _flat_sheet(grid: Grid) -> Sheet | None:
    """A texture that lies in the grid's plane, whatever its outline; None where the grid is not flat."""
    center = grid.reshape(-1, 3).mean(0)
    diagonals = np.cross(grid[1:, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, 1:])
    normal = diagonals.sum((0, 1))
    length = float(np.sqrt(normal @ normal))
    offset = (grid - center).reshape(-1, 3)
    if length < 1e-12 or np.abs(offset @ normal).max() > 1e-6 * length:
        return None
    normal /= length
    right = np.cross(np.eye(3)[np.abs(normal).argmin()], normal)
    right /= np.sqrt(right @ right)
    flat = offset @ np.stack([right, np.cross(normal, right)], -1)
    low, high = flat.min(0), flat.max(0)
    extent = np.maximum(high - low, 1e-6)
    wide, tall = _texels(extent[0]), _texels(extent[1])
    across = np.linspace(low[0], high[0], wide)[None, :, None] * right
    up = np.linspace(low[1], high[1], tall)[:, None, None] * np.cross(normal, right)
    points = (center + across + up).reshape(-1, 3)
    return Sheet(
        points, np.broadcast_to(normal, points.shape), _on_texels((flat - low) / extent, tall, wide), tall, wide
    )


def _bent_sheet(grid: Grid) -> Sheet:
    """A texture stretched along the rows and columns, in step with their lengths."""
    rows, columns = _along(grid, 0), _along(grid, 1)
    tall, wide = _texels(rows[-1]), _texels(columns[-1])
    low_row, row_share = _cells(rows, tall)
    low_column, column_share = _cells(columns, wide)
    across = grid[:, low_column] * (1 - column_share)[:, None] + grid[:, low_column + 1] * column_share[:, None]
    share = row_share[:, None, None]
    points = across[low_row] * (1 - share) + across[low_row + 1] * share
    normals = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    normals /= np.maximum(np.sqrt((normals * normals).sum(-1, keepdims=True)), 1e-12)
    knots = np.stack(np.broadcast_arrays(columns / columns[-1], (rows / rows[-1])[:, None]), -1).reshape(-1, 2)
    return Sheet(points.reshape(-1, 3), normals.reshape(-1, 3), _on_texels(knots, tall, wide), tall, wide)


def _along(grid: Grid, axis: int) -> Axis:
    """Where the rows (columns) lie along the grid: lengths summed up, meant over the columns (rows)."""
    step = np.diff(grid, axis=axis)
    lengths = np.sqrt((step * step).sum(-1)).mean(axis=1 - axis)
    return np.r_[0.0, np.cumsum(np.maximum(lengths, 1e-6))]


def _texels(length: float) -> int:
    return int(min(max(np.ceil(length * TEXELS_PER_UNIT), 2), MOST_TEXELS))


def _on_texels(share: Float[np.ndarray, "vertices 2"], tall: int, wide: int) -> Float[np.ndarray, "vertices 2"]:
    """Texture coordinates from the first texel's center (0) to the last's (1), so that repeating never shows."""
    size = np.array([wide, tall])
    return (0.5 + share * (size - 1)) / size


def _triangles(grid: Grid) -> Int[np.ndarray, "faces 3"]:
    """Two for each cell, less those that a pole makes vanish."""
    rows, columns = grid.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    points = grid.reshape(-1, 3)[faces]
    area = np.linalg.norm(np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]), axis=1)
    return faces[area > 1e-9]


def _paint(sheets: list[Sheet], patterns: list[Pattern], decals: list[Decal], rng: np.random.Generator) -> list:
    """One texture [3, height, width] (row 0 at the top, float32) for each sheet."""
    points = np.concatenate([sheet.points for sheet in sheets])
    normals = np.concatenate([sheet.normals for sheet in sheets])
    ends = np.cumsum([len(sheet.points) for sheet in sheets])
    starts = ends - [len(sheet.points) for sheet in sheets]
    colors = np.empty_like(points)
    groups: dict[int, list[int]] = {}
    for number, pattern in enumerate(patterns):
        groups.setdefault(id(pattern), []).append(number)
    for members in groups.values():
        chosen = np.concatenate([np.arange(starts[number], ends[number]) for number in members])
        colors[chosen] = patterns[members[0]](points[chosen], normals[chosen])
    for decal in decals:
        _stick(decal, points, normals, colors)
    if rng.random() < 0.5:  # wear: no real surface has one color
        colors *= 1 - rng.uniform(0.05, 0.25) * value_noise(points, rng.uniform(4, 14), rng, 2)[:, None]
    colors = np.clip(colors, 0.01, 0.99).astype(np.float32)
    return [
        np.ascontiguousarray(colors[start:end].reshape(sheet.tall, sheet.wide, 3)[::-1].transpose(2, 0, 1))
        for start, end, sheet in zip(starts, ends, sheets, strict=True)
    ]


def _cells(knots: Axis, count: int) -> tuple[np.ndarray, np.ndarray]:
    """In which cell each of `count` even steps lies, and how far in."""
    at = np.linspace(0, knots[-1], count)
    cell = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    return cell, (at - knots[cell]) / (knots[cell + 1] - knots[cell])


def _stick(decal: Decal, points: Points, normals: Points, colors: Points) -> None:
    """Lay a picture over the colors, nearest neighbor (pictures are finer than texels)."""
    offset = points - decal.center
    right = np.cross(decal.up, decal.facing)
    x, y = offset @ right / decal.half_width, offset @ decal.up / decal.half_height
    hit = (np.abs(x) < 0.999) & (np.abs(y) < 0.999) & (normals @ decal.facing > FACING)
    hit = np.flatnonzero(hit & (np.abs(offset @ decal.facing) < decal.reach))
    height, width = decal.picture.shape[:2]
    column = ((x[hit] + 1) * 0.5 * width).astype(np.int64)
    row = ((1 - y[hit]) * 0.5 * height).astype(np.int64)
    ink = decal.picture[row, column]
    colors[hit] += ink[:, 3:] * (ink[:, :3] - colors[hit])
