"""Camera matrices of files: which are a rotation and a translation, and which nearly are. Standard library only."""

import math
from collections.abc import Sequence

Matrix = tuple[tuple[float, ...], ...]

_TOLERANCE = 1e-3


def why_not_rigid(matrix: Sequence[Sequence[float]]) -> str | None:
    """What keeps a 4x4 matrix from being a rotation and a translation, in words; None if nothing does."""
    if not all(math.isfinite(value) for row in matrix for value in row):
        return "has values that are not finite"
    if any(abs(a - b) > _TOLERANCE for a, b in zip(matrix[3], (0, 0, 0, 1), strict=True)):
        return "has a last row other than 0 0 0 1 (is it transposed?)"
    x, y, z = ([matrix[row][column] for row in range(3)] for column in range(3))
    determinant = _dot(_cross(x, y), z)
    lengths = [math.hypot(*axis) for axis in (x, y, z)]
    if determinant < 0:
        return "is left-handed (determinant below 0); negate one of its first three columns"
    if any(abs(length - 1) > _TOLERANCE for length in lengths):
        return f"is scaled (its axes have lengths {lengths[0]:.3g}, {lengths[1]:.3g}, {lengths[2]:.3g}, expected 1)"
    if abs(determinant - 1) > _TOLERANCE:
        return "is sheared (its axes are not at right angles)"
    return None


def nearest_rigid(matrix: Matrix) -> tuple[Matrix, float] | None:
    """The matrix with the nearest rotation in place of its first three columns, and how far off the farthest entry was.

    None where there is no rotation near: values that are not finite, a last row of another kind, a mirror image. The
    rotation is the orthogonal factor of the polar decomposition, by Newton's iteration (Higham, SIAM J. Sci. Stat.
    Comput. 7(4), 1986).
    """
    if not all(math.isfinite(value) for row in matrix for value in row):
        return None
    if any(abs(a - b) > _TOLERANCE for a, b in zip(matrix[3], (0, 0, 0, 1), strict=True)):
        return None
    rows = [list(row[:3]) for row in matrix[:3]]
    for _ in range(20):
        cofactors = [_cross(rows[1], rows[2]), _cross(rows[2], rows[0]), _cross(rows[0], rows[1])]
        determinant = _dot(rows[0], cofactors[0])
        if not 1e-9 < determinant < 1e9:
            return None
        rows = [
            [(value + cofactor / determinant) / 2 for value, cofactor in zip(row, others, strict=True)]
            for row, others in zip(rows, cofactors, strict=True)
        ]
    off = max(abs(rows[row][column] - matrix[row][column]) for row in range(3) for column in range(3))
    return (*(tuple([*rows[row], matrix[row][3]]) for row in range(3)), (0.0, 0.0, 0.0, 1.0)), off


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(p * q for p, q in zip(a, b, strict=True))


def _cross(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
