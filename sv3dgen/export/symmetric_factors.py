"""Sparse symmetric systems over a mesh's vertices, factorized once and solved many times."""

import scipy.sparse
from scipy.sparse.linalg import SuperLU, splu


def symmetric_factors(matrix: scipy.sparse.sparray) -> SuperLU:
    """Factors of a symmetric matrix whose real part is positive definite.

    It needs no pivots, and an order of its own symmetric pattern leaves 2.6 times fewer numbers than SuperLU's default
    does (a lattice's surface of 57 thousand vertices): half the time, to factorize and to solve.
    """
    return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
