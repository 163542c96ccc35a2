"""A mesh file to posed views: `python -m sv3dgen.render mesh.glb --orbit sine30 --out FOLDER`.

Writes RGBA pictures, transforms.json and orbit.mp4. The mesh is drawn where it stands, without light unless --light
names a light.json; the last view is the front one (SV3D's conditioning view).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sv3dgen.cli.command import SEED, OneLineParser, exit_status
from sv3dgen.domains import plain
from sv3dgen.errors import InputError
from sv3dgen.materials.light_file import read_light
from sv3dgen.meshes.precheck import precheck_mesh

SUPERSAMPLE = 3
BOX = 0.62  # the project's world: everything lies within this distance of the origin along each axis


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""

    def command() -> int:
        options = _parser().parse_args(arguments)
        _check(options)
        _render(options)
        return 0

    return exit_status(command)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m sv3dgen.render", description="A mesh file to posed views.")
    parser.add_argument(
        "mesh", type=Path, help="GLB, glTF, VRM, OBJ, PLY, STL, OFF or 3MF; +Y up, front +Z: docs/inputs.md"
    )
    parser.add_argument("--orbit", required=True, help="static, dynamic, dynamic_released, sine30 or sine50")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--size-px", type=int, default=576, help="side of the square pictures")
    parser.add_argument("--frames", type=int, default=21, help="number of views")
    parser.add_argument("--elevation-deg", type=float, default=10.0, help="of the front view")
    parser.add_argument("--fov-deg", type=float, default=33.8, help="field of view")
    parser.add_argument(
        "--distance", default="auto", help="of the cameras from the origin; auto: as near as the whole mesh allows"
    )
    parser.add_argument("--seed", type=SEED, default=0, help="of the dynamic orbits")
    parser.add_argument("--light", type=Path, help="a run's light.json; default: the plain colors")
    parser.add_argument("--normalize", action="store_true", help="center the mesh and scale its longest side to 1")
    return parser


def _check(options: argparse.Namespace) -> None:
    """Refuse what is wrong without a look at the mesh."""
    precheck_mesh(options.mesh)
    for name, low, high in (
        ("size-px", 16, 4096),
        ("frames", 2, 1000),
        ("fov-deg", 1, 150),
        ("elevation-deg", -89, 89),
    ):
        value = getattr(options, name.replace("-", "_"))
        if not low <= value <= high:
            raise InputError(f"--{name} {plain(value)}: expected {low} to {high}")
    if options.distance != "auto":
        try:
            options.distance = float(options.distance)
        except ValueError as error:
            raise InputError(f"--distance {options.distance}: expected a number or auto") from error
        if not 0.1 <= options.distance <= 1000:
            raise InputError(f"--distance {options.distance:g}: expected 0.1 to 1000")
    if options.light is not None:
        options.light = read_light(options.light)
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"{options.out}: expected a folder for the views, but it is a file")


def _render(options: argparse.Namespace) -> None:
    import torch

    from sv3dgen.export.lighting import lighting
    from sv3dgen.export.turntable import before_white
    from sv3dgen.meshes.files import fit_unit_box, read_mesh
    from sv3dgen.renderers.textured import appearance, fitting_distance, render_batches
    from sv3dgen.views.orbits import orbit_by_name
    from sv3dgen.views.posed_views import views_of_orbit, write_views
    from sv3dgen.views.video import write_video

    orbit = orbit_by_name(options.orbit, elevation_deg=options.elevation_deg, frames=options.frames, seed=options.seed)
    mesh = read_mesh(options.mesh)
    mesh = fit_unit_box(mesh) if options.normalize else mesh
    reach = float(mesh.vertices[mesh.faces.reshape(-1)].abs().max())
    if reach > BOX:
        print(f"{options.mesh}: reaches {reach:.3g} from the origin, past the {BOX} of the unit box; see --normalize")
    distance = options.distance
    if distance == "auto":
        distance = fitting_distance(mesh.vertices, orbit.cameras(1.0, options.fov_deg))
    cameras = orbit.cameras(distance, options.fov_deg, options.size_px)
    shading = {} if options.light is None else lighting(mesh, options.light)
    look = appearance(mesh, shading.pop("irradiance", None))
    batches = render_batches(mesh, cameras, look, SUPERSAMPLE, **shading)
    rgba = torch.cat([(batch * 255).round().byte() for batch in batches])
    views = views_of_orbit(rgba, orbit, cameras)
    write_video(options.out / "orbit.mp4", before_white(rgba.float() / 255))
    write_views(views, options.out)
    print(f"{len(rgba)} views of {options.size_px} px at distance {distance:.4g} in {options.out}")


if __name__ == "__main__":
    sys.exit(main())
