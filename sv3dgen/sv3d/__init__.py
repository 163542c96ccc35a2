"""SV3D (arXiv 2403.12008): one picture and an orbit in, the views of the orbit out.

from sv3dgen.sv3d import SV3D
views = SV3D.from_pretrained("sv3d_p.safetensors")(image, orbit)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sv3dgen.sv3d.memory import MemoryPlan as MemoryPlan
    from sv3dgen.sv3d.model import SV3D as SV3D

__all__ = ["SV3D", "MemoryPlan"]


def __getattr__(name: str) -> object:
    """Import the model when it is asked for: its sizes alone, in `config`, should not cost what diffusers costs."""
    if name == "SV3D":
        from sv3dgen.sv3d.model import SV3D

        return SV3D
    if name == "MemoryPlan":
        from sv3dgen.sv3d.memory import MemoryPlan

        return MemoryPlan
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
