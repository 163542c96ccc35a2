"""One fit of a peer in a process of its own: `python -m sv3dgen.bench.peer_fit RECIPE VIEWS OUT SECONDS`.

Writes OUT/mesh.glb and OUT/fit.json (seconds of optimization, steps). Each recipe first makes one step of every stage,
before its clock starts: compiled kernels are kept on disk, as ours are.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import torch

from sv3dgen.atomic import atomic_write
from sv3dgen.bench.mitsuba_start import start_mitsuba
from sv3dgen.bench.vertex_color_glb import write_vertex_colors
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.posed_views import PosedViews, read_views

LEVELS = (20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 120.0)  # of extinction, along the cube's side

Fit = Callable[[PosedViews, float], tuple[Callable[[], TexturedMesh], int]]


def field(views: PosedViews, seconds: float) -> tuple[Callable[[], TexturedMesh], int]:
    """A radiance field from nothing."""
    return _field(views, seconds, from_hull=False)


def field_from_hull(views: PosedViews, seconds: float) -> tuple[Callable[[], TexturedMesh], int]:
    """A radiance field within the visual hull."""
    return _field(views, seconds, from_hull=True)


def large_steps(views: PosedViews, seconds: float) -> tuple[Callable[[], TexturedMesh], int]:
    """A mesh from the visual hull, by large steps."""
    from sv3dgen.bench.mitsuba_surface import fit_surface

    mesh, steps = fit_surface(views, seconds)
    return lambda: mesh, steps


RECIPES: dict[str, Fit] = {"field": field, "field_from_hull": field_from_hull, "large_steps": large_steps}


def _field(views: PosedViews, seconds: float, *, from_hull: bool) -> tuple[Callable[[], TexturedMesh], int]:
    from sv3dgen.bench.mitsuba_field import FROM_HULL, STAGES, fit_field, mesh_of_field

    stages = FROM_HULL if from_hull else STAGES
    grid, cube, steps = fit_field(views, seconds, stages, from_hull=from_hull)

    def best() -> TexturedMesh:
        """The surface at the level whose silhouettes are most like those of the views that were fitted."""
        meshes = [mesh_of_field(grid, cube, level) for level in LEVELS]
        return max((mesh for mesh in meshes if len(mesh.faces)), key=lambda mesh: overlap(mesh, views))

    return best, steps


@torch.no_grad()
def overlap(mesh: TexturedMesh, views: PosedViews) -> float:
    """Mean IoU of a mesh's silhouettes with those of the views."""
    drawn, true = render_textured(mesh, views.cameras)[:, 3], views.rgba[:, 3]
    both, either = torch.minimum(drawn, true).sum((1, 2)), torch.maximum(drawn, true).sum((1, 2))
    return float((both / either).mean())


def main(arguments: Sequence[str]) -> None:
    name, folder, out, seconds = arguments
    start_mitsuba()
    views = read_views(folder, split="train")
    fit = RECIPES[name]
    fit(views, 0.0)
    start = perf_counter()
    mesh, steps = fit(views, float(seconds))
    report = {"fit_seconds": perf_counter() - start, "steps": steps}
    write_vertex_colors(Path(out) / "mesh.glb", mesh())
    with atomic_write(Path(out) / "fit.json") as path:
        path.write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
