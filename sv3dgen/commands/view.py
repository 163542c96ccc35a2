"""`python -m sv3dgen.view RUN_OR_MESH`: a run's mesh with its views, or any mesh, on a page of this machine."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.cli.extras import is_installed
from sv3dgen.errors import InputError
from sv3dgen.materials.light_file import read_light
from sv3dgen.meshes.precheck import precheck_mesh
from sv3dgen.viewer.ports import free_port

PAUSE_S = 0.02


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 for something the user has to fix."""
    return exit_status(lambda: _show(_parser().parse_args(arguments)), "sv3dgen.view", stopped="closed")


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m sv3dgen.view", description=__doc__)
    parser.add_argument(
        "shown", type=Path, metavar="RUN_OR_MESH", help="a run's folder, or a mesh: GLB, OBJ, PLY ... (docs/inputs.md)"
    )
    parser.add_argument("--port", type=int, default=8080, help="of 127.0.0.1; 0: one that is free")
    return parser


def _show(options: argparse.Namespace) -> int:
    shown: Path = options.shown
    path = shown / "mesh" / "mesh.glb" if shown.is_dir() else shown
    if shown.is_dir() and not path.is_file():
        raise InputError(f"{shown}: no mesh/mesh.glb, expected a run that has come to its mesh, or a mesh file")
    precheck_mesh(path)
    port = free_port(options.port, "--port")
    if not is_installed("viser"):
        raise InputError('it needs viser: pip install -c constraints.txt -e ".[view]"')
    from sv3dgen.meshes.files import fit_unit_box, read_mesh  # imports torch, which takes seconds
    from sv3dgen.viewer.live_page import LivePage
    from sv3dgen.viewer.mesh_drawing import MeshDrawing
    from sv3dgen.views.posed_views import read_views

    mesh, light, views = read_mesh(path), None, None
    if shown.is_dir():
        light = read_light(shown / "light.json") if (shown / "light.json").is_file() else None
        views = read_views(shown / "views") if (shown / "views" / "transforms.json").is_file() else None
    else:
        mesh = fit_unit_box(mesh)
    page = LivePage(title=shown.resolve().name, port=port, views=views, with_buttons=False)
    page.tell(f"{len(mesh.vertices)} vertices, {len(mesh.faces)} faces")
    draw = MeshDrawing(mesh, light)
    print(f"{page.address} (Ctrl+C closes it)", flush=True)
    try:
        while True:
            page.serve(draw, version=0)
            time.sleep(PAUSE_S)
    finally:
        page.stop()


if __name__ == "__main__":
    sys.exit(main())
