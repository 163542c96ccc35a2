"""Exact signed distance to a closed mesh on a regular lattice, in a narrow band around the surface."""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from numba import prange
from torch import Tensor

from sv3dgen.compiling.kernel import kernel
from sv3dgen.meshes.mesh import Mesh


def lattice_signed_distance(
    mesh: Mesh, lower: Float[Tensor, " 3"], cell: float, shape: tuple[int, int, int], *, band: float
) -> Float[Tensor, "x y z"]:
    """Distance from the lattice points `lower + cell (i, j, k)` to a closed mesh, negative inside, clamped to +-`band`.

    The sign is the parity of surface crossings below the point along z, so the mesh must be closed. Not differentiable.
    """
    vertices = mesh.vertices.detach().cpu().double().numpy()
    faces = mesh.faces.cpu().numpy()
    # In lattice units, shifted by far less than any feature so that no vertex sits exactly on a lattice line.
    scaled = (vertices - lower.double().numpy()) / cell + np.array([1.3e-7, 2.9e-7, 0.7e-7])
    band_cells = band / cell
    squared = np.full(shape, band_cells * band_cells, dtype=np.float32)
    crossings = np.zeros(shape, dtype=np.int8)
    slabs = max(1, min(16, shape[0] // 4))
    _scan(scaled, faces, band_cells, squared, crossings, slabs)
    distance = np.sqrt(squared) * np.where(np.cumsum(crossings, axis=2, dtype=np.int32) % 2 == 1, -1, 1)
    return torch.from_numpy((distance * cell).astype(np.float32))


@kernel(parallel=True)
@no_type_check
def _scan(vertices, faces, band, squared, crossings, slabs):
    """Every triangle updates the lattice points near it; each slab of x belongs to one thread."""
    width = (squared.shape[0] + slabs - 1) // slabs
    for slab in prange(slabs):
        first, last = slab * width, min((slab + 1) * width, squared.shape[0]) - 1
        for face in range(faces.shape[0]):
            a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
            low_x, high_x = min(a[0], b[0], c[0]), max(a[0], b[0], c[0])
            if high_x + band < first or low_x - band > last:
                continue
            _count_crossings(a, b, c, first, last, crossings)
            _update_distance(a, b, c, band, first, last, squared)


@kernel(inline="always")
@no_type_check
def _count_crossings(a, b, c, first, last, crossings):
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if area == 0.0:
        return
    for x in range(max(first, int(np.ceil(min(a[0], b[0], c[0])))), min(last, int(max(a[0], b[0], c[0]))) + 1):
        low = max(0, int(np.ceil(min(a[1], b[1], c[1]))))
        for y in range(low, min(crossings.shape[1] - 1, int(max(a[1], b[1], c[1]))) + 1):
            u = ((b[0] - x) * (c[1] - y) - (b[1] - y) * (c[0] - x)) / area
            v = ((c[0] - x) * (a[1] - y) - (c[1] - y) * (a[0] - x)) / area
            if u >= 0.0 and v >= 0.0 and u + v <= 1.0:
                above = max(0, int(np.ceil(u * a[2] + v * b[2] + (1.0 - u - v) * c[2])))
                if above < crossings.shape[2]:
                    crossings[x, y, above] ^= 1


@kernel(inline="always")
@no_type_check
def _update_distance(a, b, c, band, first, last, squared):
    low_x, high_x = min(a[0], b[0], c[0]), max(a[0], b[0], c[0])
    low_y, high_y = min(a[1], b[1], c[1]), max(a[1], b[1], c[1])
    low_z, high_z = min(a[2], b[2], c[2]), max(a[2], b[2], c[2])
    for x in range(max(first, int(np.ceil(low_x - band))), min(last, int(high_x + band)) + 1):
        gap_x = max(low_x - x, x - high_x, 0.0) ** 2
        for y in range(max(0, int(np.ceil(low_y - band))), min(int(high_y + band), squared.shape[1] - 1) + 1):
            gap_xy = gap_x + max(low_y - y, y - high_y, 0.0) ** 2
            if gap_xy >= band * band:
                continue
            for z in range(max(0, int(np.ceil(low_z - band))), min(int(high_z + band), squared.shape[2] - 1) + 1):
                # The triangle's box is no farther than the triangle: most are farther than one that was there before.
                if gap_xy + max(low_z - z, z - high_z, 0.0) ** 2 >= squared[x, y, z]:
                    continue
                near = _point_triangle(float(x), float(y), float(z), a, b, c)
                if near < squared[x, y, z]:
                    squared[x, y, z] = near


@kernel()
@no_type_check
def _point_triangle(x, y, z, a, b, c):
    """Squared distance of a point to a triangle: inside its prism the plane's, else the nearest edge's."""
    abx, aby, abz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    acx, acy, acz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    px, py, pz = x - a[0], y - a[1], z - a[2]
    d00, d01, d11 = (
        abx * abx + aby * aby + abz * abz,
        abx * acx + aby * acy + abz * acz,
        acx * acx + acy * acy + acz * acz,
    )
    d20, d21 = px * abx + py * aby + pz * abz, px * acx + py * acy + pz * acz
    determinant = d00 * d11 - d01 * d01
    if determinant > 1e-18:
        v, w = (d11 * d20 - d01 * d21) / determinant, (d00 * d21 - d01 * d20) / determinant
        if v >= 0.0 and w >= 0.0 and v + w <= 1.0:
            dx, dy, dz = px - v * abx - w * acx, py - v * aby - w * acy, pz - v * abz - w * acz
            return dx * dx + dy * dy + dz * dz
    nearest = _point_segment(px, py, pz, abx, aby, abz)
    nearest = min(nearest, _point_segment(px, py, pz, acx, acy, acz))
    return min(nearest, _point_segment(px - abx, py - aby, pz - abz, acx - abx, acy - aby, acz - abz))


@kernel()
@no_type_check
def _point_segment(px, py, pz, dx, dy, dz):
    length = dx * dx + dy * dy + dz * dz
    t = min(1.0, max(0.0, (px * dx + py * dy + pz * dz) / length)) if length > 0.0 else 0.0
    ex, ey, ez = px - t * dx, py - t * dy, pz - t * dz
    return ex * ex + ey * ey + ez * ez
