"""Other people's GPU code that can stand behind an operation's call: how to get it, and under which licence.

None is needed and none is picked by `auto`: `kernels.OPERATION=NAME` asks for one, and only then is it imported. This
module imports nothing of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """A package for Nvidia's GPUs."""

    module: str  # its name for import, and as a backend
    operation: str  # of `backend.IMPLEMENTATIONS`
    how: str  # a command line
    licence: str


ACCELERATORS = {
    accelerator.module: accelerator
    for accelerator in (
        Accelerator("nerfacc", "ray_marching", 'pip install -e ".[accel]"', "MIT"),
        Accelerator(
            "tinycudann",
            "hash_grid",
            "pip install --no-build-isolation git+https://github.com/NVlabs/tiny-cuda-nn#subdirectory=bindings/torch",
            "BSD-3-Clause",
        ),
        Accelerator(
            "nvdiffrast",
            "rasterizer",
            "pip install --no-build-isolation git+https://github.com/NVlabs/nvdiffrast",
            "Nvidia Source Code License (1-Way Commercial): non-commercial use only",
        ),
    )
}


def torch_is_for_amd() -> bool:
    """Whether torch is built for AMD's GPUs (ROCm), which it calls cuda as well: no accelerator runs on one."""
    import torch  # seconds, where nobody has yet

    return torch.version.hip is not None


def used_licences(kernels: Mapping[str, str]) -> dict[str, str]:
    """The licences of the accelerators among the backends that a configuration names for its operations."""
    used = {operation: ACCELERATORS[name] for operation, name in kernels.items() if name in ACCELERATORS}
    return {f"kernels.{operation}={found.module}": found.licence for operation, found in used.items()}
