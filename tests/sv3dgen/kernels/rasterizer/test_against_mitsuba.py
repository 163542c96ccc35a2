"""Gradients of what a camera sees of a mesh, next to those of Mitsuba 3 (extra `peers`), which samples them.

With --thorough: LLVM 15 ends the whole process, LLVM 19 does not.
"""

import math

import numpy as np
import pytest
import torch

from sv3dgen.bench.rasterizer_cases import bumpy_sphere
from sv3dgen.kernels.rasterizer.antialias import antialiased_coverage
from sv3dgen.kernels.rasterizer.edge_adjacency import edge_adjacency
from sv3dgen.kernels.rasterizer.interpolate import barycentrics, interpolate
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.mesh import vertex_normals
from sv3dgen.views.cameras import look_at_origin

pytestmark = pytest.mark.thorough
PX = 128
CAMERA = look_at_origin(torch.tensor([20.0]), torch.tensor([30.0]), distance=2.4, size_px=PX)
BLACK = {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}}


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba", reason="extra peers")
    try:
        mitsuba.set_variant("llvm_ad_rgb")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"Mitsuba finds no LLVM: {error}")
    return mitsuba


@pytest.fixture(scope="module")
def sphere():
    return bumpy_sphere(segments=24)


@pytest.fixture(scope="module")
def weight():
    """What each pixel counts in the loss: smooth, and of no symmetry."""
    knots = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(knots, size=(PX, PX), mode="bilinear")[0, 0]


def sampled_gradient(mi, sphere, weight, name, bsdf, emitter=None, attribute=None, normals=None, **samples):
    """Mitsuba's picture [px, px, 3], and the gradient of its weighted sum in a mesh's parameter [vertices, 3]."""
    import drjit

    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(bsdf)
    if emitter is not None:
        properties["emitter"] = mi.load_dict(emitter)
    counts = len(sphere.vertices), len(sphere.faces)
    mesh = mi.Mesh("mesh", *counts, has_vertex_normals=normals is not None, props=properties)
    if attribute is not None:
        mesh.add_attribute("vertex_color", 3, attribute.flatten().numpy())
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = sphere.vertices.flatten().numpy()
    parameters["faces"] = sphere.faces.int().flatten().numpy()
    if normals is not None:
        parameters["vertex_normals"] = normals.flatten().numpy()
    parameters.update()
    eye = CAMERA.positions[0].tolist()
    film = {"type": "hdrfilm", "width": PX, "height": PX, "rfilter": {"type": "box"}, "pixel_format": "rgb"}
    scene = {
        "type": "scene",
        "mesh": mesh,
        "sensor": {
            "type": "perspective",
            "fov": math.degrees(2 * math.atan(PX / 2 / float(CAMERA.focal_px[0, 0]))),
            "to_world": mi.ScalarTransform4f().look_at(origin=eye, target=[0, 0, 0], up=[0, 1, 0]),
            "film": film | {"sample_border": True},
        },
        "integrator": {"type": "direct_projective", "sppi": 0} | samples,
    }
    if emitter is None:
        scene["lamp"] = {"type": "point", "position": eye, "intensity": {"type": "rgb", "value": 1.0}}
    scene = mi.load_dict(scene)
    parameters = mi.traverse(scene)
    (key,) = [key for key, _ in parameters if key.endswith(name)]
    drjit.enable_grad(parameters[key])
    parameters.update()
    picture = mi.render(scene, parameters, spp=256, seed=0)
    drjit.backward(drjit.sum(picture.array * mi.Float(np.repeat(weight.flatten().numpy(), 3))))
    found = np.array(drjit.grad(parameters[key])).reshape(-1, 3)
    return torch.from_numpy(np.array(picture)), torch.from_numpy(found)


def test_silhouettes_pull_at_vertices_as_sampled_ones_do(mi, sphere, weight):
    """Next to all that pulls, a silhouette smoothed over a pixel differs from the sampled one by a few percent."""
    vertices = sphere.vertices.clone().requires_grad_()
    clip = clip_positions(CAMERA, vertices)
    fragments = rasterize(clip.detach(), sphere.faces, PX, PX)
    opacity = antialiased_coverage(fragments, clip, sphere.faces, edge_adjacency(sphere.faces))[0]
    (ours,) = torch.autograd.grad((weight * opacity).sum(), vertices)
    white = {"type": "area", "radiance": {"type": "rgb", "value": 1.0}}
    picture, theirs = sampled_gradient(mi, sphere, weight, "vertex_positions", BLACK, white, sppc=0, sppp=1024)
    assert (picture[..., 0] - opacity.detach()).abs().mean() < 2e-3
    theirs = theirs / 3  # of three channels
    ways = {"scale": sphere.vertices, "wave": torch.sin(6 * sphere.vertices.roll(1, 1))}
    ways |= {axis: torch.eye(3)[index].expand_as(vertices) for index, axis in enumerate("xyz")}
    for name, way in ways.items():
        off = ((ours - theirs) * way).sum() / (theirs * way).abs().sum()
        assert abs(off) < 0.1, f"{name}: {off:.3f}"


def shaded(sphere):
    """(row, col, face, barycentric coordinates) of the pixels that show the sphere."""
    clip = clip_positions(CAMERA, sphere.vertices)
    face_index = rasterize(clip, sphere.faces, PX, PX).face_index
    view, row, col = (face_index >= 0).nonzero(as_tuple=True)
    face = face_index[view, row, col]
    return row, col, face, barycentrics(clip, sphere.faces, face, view, row, col, PX, PX)


def test_colors_of_vertices_are_mixed_as_in_mitsuba(mi, sphere, weight):
    colors = torch.rand(len(sphere.vertices), 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    row, col, face, corners = shaded(sphere)
    values = interpolate(colors, sphere.faces, face, corners)
    (ours,) = torch.autograd.grad((weight[row, col, None] * values).sum(), colors)
    glow = {"type": "area", "radiance": {"type": "mesh_attribute", "name": "vertex_color"}}
    attribute = colors.detach()
    _, theirs = sampled_gradient(mi, sphere, weight, "vertex_color", BLACK, glow, attribute, sppc=256, sppp=0)
    check_alike(ours, theirs)


def test_normals_shade_as_in_mitsuba(mi, sphere, weight):
    """A lamp at the camera, which casts no shadow that it sees; a pixel on the outline is half of something else."""
    normals = vertex_normals(sphere).requires_grad_()
    row, col, face, corners = shaded(sphere)
    mixed = interpolate(torch.cat([normals, sphere.vertices], dim=1), sphere.faces, face, corners)
    normal, to_lamp = torch.nn.functional.normalize(mixed[:, :3], dim=1), CAMERA.positions[0] - mixed[:, 3:]
    squared = to_lamp.square().sum(1)
    light = (normal * to_lamp).sum(1).clamp(min=0) / squared.sqrt() / squared / math.pi
    (ours,) = torch.autograd.grad((weight[row, col] * light).sum() * 3, normals)
    plain = {"type": "diffuse", "reflectance": {"type": "rgb", "value": 1.0}}
    detached = normals.detach()
    _, theirs = sampled_gradient(mi, sphere, weight, "vertex_normals", plain, normals=detached, sppc=256, sppp=0)
    check_alike(ours, theirs)


def check_alike(ours, theirs):
    """The sums agree to a percent, and each vertex's gradient as far as one sample in the middle of a pixel goes."""
    torch.testing.assert_close(ours.sum(0), theirs.sum(0), rtol=1e-2, atol=1e-2 * float(theirs.abs().sum()) / 3)
    assert torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1] > 0.99
