"""Spread evidence over a picture, up to its edges: the random walker with priors (Grady, CVPR 2005)."""

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import cg

_SMOOTHNESS = 0.5


def random_walker(
    rgb: Float[np.ndarray, "height width 3"],
    prior: Float[np.ndarray, "height width"],
    sureness: Float[np.ndarray, "height width"],
) -> Float[np.ndarray, "height width"]:
    """The minimizer x in [0, 1] of sum_i c_i (x_i - p_i)^2 + sum_ij w_ij (x_i - x_j)^2 over the four neighbors.

    p is the prior, c > 0 its sureness, and w falls with the squared difference of colors (any unit).
    """
    height, width = prior.shape
    steps = [np.square(np.diff(rgb, axis=axis)).sum(-1) for axis in (0, 1)]
    contrast = 2 * max(np.mean([step.mean() for step in steps]), 16.0)
    down, right = (_SMOOTHNESS * np.exp(-step.astype(np.float64) / contrast) + 1e-3 for step in steps)
    down = np.concatenate([down, np.zeros((1, width))]).ravel()
    right = np.concatenate([right, np.zeros((height, 1))], axis=1).ravel()
    degree = down + right
    degree[width:] += down[:-width]
    degree[1:] += right[:-1]
    diagonal = degree + sureness.ravel()
    upper = sparse.diags(-right[:-1], 1) + sparse.diags(-down[:-width], width)
    matrix = (sparse.diags(diagonal) + upper + upper.T).tocsr()
    target = (sureness * prior).ravel()
    start = prior.ravel().astype(np.float64)
    solution, _ = cg(matrix, target, x0=start, rtol=1e-4, maxiter=400, M=sparse.diags(1 / diagonal))
    return solution.reshape(height, width).clip(0, 1).astype(np.float32)
