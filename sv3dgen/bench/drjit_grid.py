"""Dr.Jit's hash grid on the same points, on its LLVM backend: what another compiler makes of the kernel on this CPU."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.kernels.hash_grid.encode import HashGridSpec

HOW = 'pip install -e ".[peers]", and LLVM\'s library (Debian: libllvm19, or DRJIT_LIBLLVM_PATH=FILE)'


def check_drjit() -> None:
    """InputError where Dr.Jit or LLVM is missing."""
    if find_spec("drjit") is None:
        raise InputError(f"--drjit: drjit is not installed; {HOW}")
    import drjit

    if not drjit.has_backend(drjit.JitBackend.LLVM):
        raise InputError(f"--drjit: Dr.Jit finds no LLVM; {HOW}")


def drjit_grid(points: Tensor, spec: HashGridSpec, gradient: Tensor) -> Callable[[], np.ndarray]:
    """One call that encodes points [n, 3] and gives the gradient of the table for that of the encoding, [n, channels].

    The same levels, features and largest table; where a level is dense, ours and theirs differ by a row of entries.
    """
    import drjit
    from drjit.llvm.ad import Array3f, Float32
    from drjit.nn import HashGridEncoding

    drjit.set_thread_count(torch.get_num_threads())
    coarsest, finest = spec.resolutions[0], spec.resolutions[-1]
    encoding = HashGridEncoding(
        Float32,
        3,
        n_levels=spec.levels,
        n_features_per_level=spec.features_per_level,
        hashmap_size=max(spec.sizes),
        base_resolution=coarsest,
        per_level_scale=(finest / coarsest) ** (1 / (spec.levels - 1)),
    )
    places = Array3f(points.t().contiguous().numpy())
    pulls = [Float32(row.contiguous().numpy()) for row in gradient.t()]

    def call() -> np.ndarray:
        encoding.data = drjit.detach(encoding.data)
        drjit.enable_grad(encoding.data)
        encoded = encoding(places)
        drjit.backward(drjit.sum(sum(value * pull for value, pull in zip(encoded, pulls, strict=True))))
        found = drjit.grad(encoding.data)
        drjit.eval(encoded, found)
        drjit.sync_thread()
        return found.numpy()

    return call
