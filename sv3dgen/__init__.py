"""SV3D in the open: one photo of an object in, a textured, relightable mesh out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sv3dgen.cli.library import photo_to_mesh as photo_to_mesh
    from sv3dgen.cli.library import views_to_mesh as views_to_mesh

# `python -m sv3dgen.render` finds commands/render.py: what one runs lies apart from what one imports.
__path__.append(str(Path(__file__).with_name("commands")))


def __getattr__(name: str) -> Any:
    """The calls of `sv3dgen.cli.library`, imported when they are asked for: most imports of this package want none."""
    if name in ("photo_to_mesh", "views_to_mesh"):
        from sv3dgen.cli import library

        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
