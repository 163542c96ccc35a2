"""The zero level of a volume as triangles: by PyMCubes, or by scikit-image where that has no wheel (Python 3.13)."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

Triangles = tuple[Float[ndarray, "vertices 3"], Int[ndarray, "faces 3"]]


def zero_level(values: Float[ndarray, "x y z"]) -> Triangles:
    """Vertices in the grid's own coordinates (i, j, k), and faces that face where values are positive.

    Closed if the values on the border are positive.
    """
    return _march()(values)


def by_pymcubes(values: Float[ndarray, "x y z"]) -> Triangles:
    """By PyMCubes (BSD-3-Clause), which winds its triangles for values that are positive inside."""
    import mcubes  # pyright: ignore[reportMissingImports]

    vertices, faces = mcubes.marching_cubes(values.astype(np.float64), 0.0)
    return vertices, faces.astype(np.int64)[:, ::-1].copy()


def by_scikit_image(values: Float[ndarray, "x y z"]) -> Triangles:
    """By scikit-image (BSD-3-Clause), in Lewiner's variant; an empty mesh where there is no zero level."""
    from skimage import measure  # pyright: ignore[reportMissingImports]

    if not values.min() < 0 < values.max():  # which it refuses
        return np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)
    vertices, faces, _, _ = measure.marching_cubes(values.astype(np.float64), 0.0, gradient_direction="descent")
    return vertices.astype(np.float64), faces.astype(np.int64)


def _march() -> Callable[[Float[ndarray, "x y z"]], Triangles]:
    return by_pymcubes if find_spec("mcubes") is not None else by_scikit_image
