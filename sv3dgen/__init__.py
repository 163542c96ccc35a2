"""SV3D in the open: one photo of an object in, a textured, relightable mesh out."""

from pathlib import Path

# `python -m sv3dgen.render` finds commands/render.py: what one runs lies apart from what one imports.
__path__.append(str(Path(__file__).with_name("commands")))
