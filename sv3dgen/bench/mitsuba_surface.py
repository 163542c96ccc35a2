"""A mesh whose vertices and their colors are fitted to posed views by Mitsuba 3: large steps (Nicolet et al. 2021).

The recipe of Mitsuba's tutorial on shape optimization: vertices stepped through a smoothing system, `mi.ad.LargeSteps`,
by Adam with one common scale; gradients of silhouettes by projective sampling (Zhang et al. 2023); a finer mesh on the
way. Ours: it starts from the visual hull instead of a sphere; the surface glows in the colors of its vertices, since
the light of the views is not known; views are drawn over a background that changes with each step, so that their
opacity counts too; and the end of the time goes to the colors of a finer copy, which stays where it is. Imported once
Mitsuba has its variant.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import drjit as dr  # pyright: ignore[reportMissingImports]
import mitsuba as mi  # pyright: ignore[reportMissingImports]
import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import cKDTree

from sv3dgen.bench.mitsuba_rays import cube_around
from sv3dgen.meshes.isosurface import marching_cubes
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.signed_distance import lattice_signed_distance
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.views.posed_views import PosedViews
from sv3dgen.views.visual_hull import hull_bounds, visual_hull

GRAY = 0.5
SEEN = 0.25  # of the usual pull at a vertex: below, its color is a guess
STEADY = 0.98  # of Adam for colors: a vertex that few rays meet takes no larger step than the others
OBJECT, BACKGROUND = "object", "background"


@dataclass(frozen=True)
class Stage:
    """One fineness of the mesh, and what share of the time it gets."""

    cells: int  # of the grid, along the longest side, that the mesh comes from
    share: float
    rate: float  # of the vertices, at its beginning
    last_rate: float  # at its end
    size_px: int  # of the views
    color_rate: float = 0.02
    smoothing: float = 19.0  # LargeSteps' own default
    samples: int = 1  # of a pixel, for gradients


STAGES = (Stage(64, 0.45, 3e-2, 5e-3, 160), Stage(100, 0.35, 1e-2, 5e-4, 160))
COLOR_SHARE, COLOR_RATES, COLOR_SUBDIVISIONS = 0.2, (0.02, 0.002), 1


def fit_surface(views: PosedViews, seconds: float, stages: tuple[Stage, ...] = STAGES) -> tuple[TexturedMesh, int]:
    """The fitted mesh, and the steps that were made."""
    random = np.random.default_rng(0)
    mesh = hull_mesh(views, stages[0].cells)
    colors = np.full((len(mesh.vertices), 3), GRAY, np.float32)
    steps = 0
    for number, stage in enumerate(stages):
        if number:
            finer = remeshed(mesh, stage.cells)
            mesh, colors = finer, colors[cKDTree(mesh.vertices).query(finer.vertices)[1]]
        scene = _scene(mesh, colors, {"type": "prb_projective", "max_depth": 1, "sppi": 0})
        pictures = Pictures(views.resized(stage.size_px))
        for _ in _shape_steps(scene, pictures, stage, stage.share * seconds, random):
            steps += 1
        parameters = mi.traverse(scene)
        mesh = Mesh(torch.from_numpy(_rows(parameters[f"{OBJECT}.vertex_positions"])), mesh.faces)
        colors = _rows(parameters[f"{OBJECT}.vertex_color"])
    mesh, colors = subdivided(mesh, colors, COLOR_SUBDIVISIONS)
    scene = _scene(mesh, colors, {"type": "prb", "max_depth": 1})
    pulls = np.zeros(len(colors), np.float32)
    for pull in _color_steps(scene, Pictures(views), COLOR_SHARE * seconds, random):
        steps += 1
        pulls += pull
    colors = with_unseen(mesh, _rows(mi.traverse(scene)[f"{OBJECT}.vertex_color"]), pulls)
    return TexturedMesh(mesh.vertices, mesh.faces, vertex_colors=torch.from_numpy(colors).clamp(0, 1)), steps


class Pictures:
    """The views as Mitsuba's sensors and tensors."""

    def __init__(self, views: PosedViews) -> None:
        self.sensors = [_sensor(views, index) for index in range(len(views))]
        rgba = views.rgba.movedim(1, 3).contiguous().numpy()
        self.colors = [mi.TensorXf(picture[..., :3] * picture[..., 3:]) for picture in rgba]
        self.holes = [mi.TensorXf(1 - picture[..., 3:]) for picture in rgba]

    def __len__(self) -> int:
        return len(self.sensors)

    def over(self, index: int, background: float) -> "mi.TensorXf":
        """A view over a gray."""
        return self.colors[index] + background * self.holes[index]


def hull_mesh(views: PosedViews, cells: int) -> Mesh:
    """The surface of the visual hull, smoothed over a cell."""
    bounds = hull_bounds(visual_hull(views.masks, views.cameras, resolution=64))
    assert bounds is not None
    cube = cube_around(bounds)
    box = torch.from_numpy(np.stack([cube.lower, cube.lower + cube.side]))
    hull = visual_hull(views.masks, views.cameras, resolution=cells, aabb=box, dilate_px=0).numpy()
    values = 0.5 - ndimage.gaussian_filter(np.pad(hull, 1).astype(np.float32), 0.7)
    cell = cube.side / cells
    return marching_cubes(torch.from_numpy(values), torch.from_numpy(cube.lower - 0.5 * cell).float(), cell)


def remeshed(mesh: Mesh, cells: int) -> Mesh:
    """The same surface by marching cubes of its signed distance, on so many cells along the longest side."""
    low, high = mesh.vertices.min(0).values, mesh.vertices.max(0).values
    cell = float((high - low).max()) / cells
    shape = tuple(int(side) + 5 for side in ((high - low) / cell).ceil())
    lower = low - 2 * cell
    distance = lattice_signed_distance(mesh, lower, cell, (shape[0], shape[1], shape[2]), band=3 * cell)
    return marching_cubes(distance, lower, cell)


def subdivided(mesh: Mesh, colors: np.ndarray, times: int) -> tuple[Mesh, np.ndarray]:
    """Each triangle cut into four, so that the same surface has room for more colors."""
    import trimesh

    vertices, faces = mesh.vertices.numpy(), mesh.faces.numpy()
    for _ in range(times):
        vertices, faces, more = trimesh.remesh.subdivide(vertices, faces, vertex_attributes={"color": colors})
        colors = more["color"]
    return Mesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces)), colors.astype(np.float32)


def with_unseen(mesh: Mesh, colors: np.ndarray, pulls: np.ndarray) -> np.ndarray:
    """Colors, where no view has pulled at a vertex that of the nearest one with which it was otherwise."""
    seen = pulls >= SEEN * np.median(pulls)
    nearest = cKDTree(mesh.vertices[seen]).query(mesh.vertices[~seen])[1]
    filled = colors.copy()
    filled[~seen] = colors[seen][nearest]
    return filled


def _sensor(views: PosedViews, index: int):
    cameras = views.cameras
    pose = cameras.camera_to_world[index].double().numpy() @ np.diag([-1.0, 1, -1, 1])  # Mitsuba: x left, looks along z
    focal, center = cameras.focal_px[index].tolist(), cameras.center_px[index].tolist()
    width, height = cameras.width_px, cameras.height_px
    return mi.load_dict(
        {
            "type": "perspective",
            "fov": math.degrees(2 * math.atan(width / 2 / focal[0])),
            "principal_point_offset_x": center[0] / width - 0.5,
            "principal_point_offset_y": center[1] / height - 0.5,
            "to_world": mi.ScalarTransform4f(pose),
            "film": {
                "type": "hdrfilm",
                "width": width,
                "height": height,
                "rfilter": {"type": "box"},
                "pixel_format": "rgb",
                "sample_border": True,
            },
        }
    )


def _scene(mesh: Mesh, colors: np.ndarray, integrator: dict):
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict({"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}})
    glow = {"type": "area", "radiance": {"type": "mesh_attribute", "name": "vertex_color"}}
    properties["emitter"] = mi.load_dict(glow)
    shape = mi.Mesh(OBJECT, len(mesh.vertices), len(mesh.faces), props=properties)
    shape.add_attribute("vertex_color", 3, np.ascontiguousarray(colors).ravel())
    parameters = mi.traverse(shape)
    parameters["vertex_positions"] = mesh.vertices.float().flatten().numpy()
    parameters["faces"] = mesh.faces.int().flatten().numpy()
    parameters.update()
    sky = {"type": "constant", "radiance": {"type": "rgb", "value": 1.0}}
    return mi.load_dict({"type": "scene", OBJECT: shape, BACKGROUND: sky, "integrator": integrator})


def _shape_steps(scene, pictures: Pictures, stage: Stage, seconds: float, random) -> Iterator[int]:
    parameters = mi.traverse(scene)
    place, paint = f"{OBJECT}.vertex_positions", f"{OBJECT}.vertex_color"
    system = mi.ad.LargeSteps(parameters[place], mi.UInt32(parameters[f"{OBJECT}.faces"]), stage.smoothing)
    shape, color = mi.ad.Adam(lr=stage.rate, uniform=True), mi.ad.Adam(lr=stage.color_rate, beta_2=STEADY)
    shape["latent"], color["paint"] = system.to_differential(parameters[place]), parameters[paint]
    for count, done in _clock(seconds):
        shape.set_learning_rate(stage.rate * (stage.last_rate / stage.rate) ** done)
        parameters[place] = system.from_differential(shape["latent"])
        parameters[paint] = color["paint"]
        _pull(scene, parameters, pictures, stage.samples, count, random)
        shape.step()
        color.step()
        color["paint"] = dr.clip(dr.detach(color["paint"]), 0, 1)
        yield count
    parameters[place] = dr.detach(system.from_differential(shape["latent"]))
    parameters[paint] = color["paint"]
    parameters.update()


def _color_steps(scene, pictures: Pictures, seconds: float, random) -> Iterator[np.ndarray]:
    """Steps of the colors alone; how strongly each has pulled at each vertex."""
    parameters = mi.traverse(scene)
    paint = f"{OBJECT}.vertex_color"
    color = mi.ad.Adam(lr=COLOR_RATES[0], beta_2=STEADY)
    color["paint"] = parameters[paint]
    for count, done in _clock(seconds):
        color.set_learning_rate(COLOR_RATES[0] * (COLOR_RATES[1] / COLOR_RATES[0]) ** done)
        parameters[paint] = color["paint"]
        _pull(scene, parameters, pictures, 4, count, random)
        strength = np.abs(_rows(dr.grad(color["paint"]))).sum(1)
        color.step()
        color["paint"] = dr.clip(dr.detach(color["paint"]), 0, 1)
        yield strength
    parameters[paint] = color["paint"]
    parameters.update()


def _pull(scene, parameters, pictures: Pictures, samples: int, count: int, random) -> None:
    """The gradient of one view's absolute differences, over a gray drawn by lot."""
    index, gray = int(random.integers(len(pictures))), float(random.random())
    parameters[f"{BACKGROUND}.radiance.value"] = mi.Color3f(gray)
    parameters.update()
    picture = mi.render(scene, parameters, sensor=pictures.sensors[index], spp=4, spp_grad=samples, seed=count)
    dr.backward(dr.mean(dr.abs(picture - pictures.over(index, gray)), axis=None))


def _clock(seconds: float) -> Iterator[tuple[int, float]]:
    """Numbers of steps and the share of the time that has gone; one step at least."""
    start, count, done = perf_counter(), 0, 0.0
    while done < 1:
        yield count, done
        dr.sync_thread()
        count += 1
        done = (perf_counter() - start) / max(seconds, 1e-9)


def _rows(values) -> np.ndarray:
    return np.array(values).reshape(-1, 3)
