"""Objects made of seeds: the same each time, closed where they should be, in the unit box, and not alike."""

import numpy as np
import pytest
import torch

from sv3dgen.meshes.mesh import face_normals
from sv3dgen.procedural.assembly import Assembly, mirrored, moved
from sv3dgen.procedural.objects import FAMILIES, procedural_object
from sv3dgen.procedural.painting import build_mesh
from sv3dgen.procedural.patterns import checks, plain, value_noise
from sv3dgen.procedural.sections import box, extrude, loft, polar_outline
from sv3dgen.procedural.surfaces import ball, revolve, split_at_corners, superellipsoid, torus, tube
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.orbits import orbit_by_name

RED, WHITE = np.array([0.9, 0.1, 0.1]), np.ones(3)


def painted(surface, pattern=None, decals=()):
    made = Assembly([(surface, pattern or plain(RED))], list(decals))
    return build_mesh(made, np.random.default_rng(2))


def volume(mesh) -> float:
    """Enclosed by a closed surface whose faces are counter-clockwise from outside (divergence theorem)."""
    a = mesh.vertices[mesh.faces[:, 0]].double()
    return float((a * face_normals(mesh.mesh).double()).sum() / 6)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_every_family_gives_sound_meshes(family):
    for seed in (1, 2):
        mesh = procedural_object(seed, family)
        low, high = mesh.vertices.min(0).values, mesh.vertices.max(0).values
        torch.testing.assert_close(low, -high, atol=1e-5, rtol=0)
        assert float((high - low).max()) == pytest.approx(1.0, abs=1e-5)
        assert 12 <= len(mesh.faces) < 30_000
        assert mesh.uv is not None and mesh.uv.isfinite().all() and mesh.uv.min() > 0 and mesh.uv.max() < 1
        assert all(texture.min() >= 0 and texture.max() <= 1 for texture in mesh.textures)
        assert mesh.face_texture is not None and int(mesh.face_texture.max()) < len(mesh.textures)
        assert volume(mesh) > 0


def test_seed_decides_alone():
    first = procedural_object(7)
    np.random.default_rng(0).random(5)
    np.random.seed(3)
    torch.manual_seed(3)
    again, other = procedural_object(7), procedural_object(8)
    assert torch.equal(first.vertices, again.vertices) and torch.equal(first.faces, again.faces)
    assert all(torch.equal(a, b) for a, b in zip(first.textures, again.textures, strict=True))
    assert first.vertices.shape != other.vertices.shape or not torch.equal(first.vertices, other.vertices)


def test_objects_differ_in_picture_and_front_from_back():
    cameras = orbit_by_name("static", elevation_deg=10.0, frames=2).cameras(2.0, size_px=24)
    views = torch.stack([render_textured(procedural_object(seed), cameras, 2) for seed in range(100, 130)])
    flat = (views[:, :, :3] * views[:, :, 3:]).flatten(2)
    between = (flat[:, None, 1] - flat[None, :, 1]).abs().mean(-1)
    assert float(between[~torch.eye(len(flat), dtype=torch.bool)].min()) > 0.01
    assert float((flat[:, 0] - flat[:, 1].unflatten(-1, (3, 24, 24)).flip(-1).flatten(1)).abs().mean()) > 0.03


@pytest.mark.parametrize(
    "surface, expected",
    [
        (ball(0.5), np.pi / 6),
        (superellipsoid((0.5, 0.3, 0.2)), 4 / 3 * np.pi * 0.03),
        (box(0.4, 0.5, 0.6), 0.12),
        (box(1.0, 1.0, 1.0, 0.3, 0.0), 1 - (4 - np.pi) * 0.09),
        (torus(0.5, 0.1), 2 * np.pi**2 * 0.5 * 0.01),
        (revolve([(0, 0), (0.5, 0), (0.5, 1), (0, 1)]), np.pi / 4),
        (
            extrude(polar_outline(lambda a: 0.5 + 0 * a), 0.4, 0.0, polar_outline(lambda a: 0.2 + 0 * a)),
            0.21 * np.pi * 0.4,
        ),
        (loft([(-0.5, 0, 0.3, 0.2, 1.0), (0.5, 0, 0.3, 0.2, 1.0)]), np.pi * 0.06),
        (tube(np.linspace([0, 0, 0], [0, 0.3, 1], 9), 0.1, round_ends=False), np.pi * 0.01 * np.hypot(1, 0.3)),
        (tube(np.linspace([0, 0, 0], [1, 0, 0], 5), 0.1), np.pi * 0.01 + 4 / 3 * np.pi * 0.001),
    ],
)
def test_surfaces_enclose_their_volumes(surface, expected):
    for placed in (surface, mirrored(moved(surface, (0.3, 0.1, -0.2)))):
        assert volume(painted(placed)) == pytest.approx(expected, rel=0.05)


def test_corners_split_and_bends_do_not():
    square = np.array([[0, 0], [1, 0], [1, 0], [1, 1], [0, 1.0]])
    assert [len(piece) for piece in split_at_corners(square)] == [2, 2, 2]
    angle = np.linspace(0, 3, 20)
    assert len(split_at_corners(np.stack([np.cos(angle), np.sin(angle)], -1))) == 1


def test_pictures_stick_upright_to_their_side_only():
    picture = np.ones((8, 8, 4)) * [0, 0, 1, 1]
    picture[:4, :, :3] = [0, 1, 0]  # the upper half green
    made = Assembly([(box(1.0, 1.0, 1.0), plain(RED))])
    made.stick(picture, (0, 0, 0.5), (0.8, 0.8))
    mesh = build_mesh(made, np.random.default_rng(2))
    cameras = orbit_by_name("static", elevation_deg=0.0, frames=2).cameras(3.0, size_px=32)
    back, front = render_textured(mesh, cameras, 2)
    strongest = front[:3].argmax(0)
    assert strongest[13, 16] == 1 and strongest[18, 16] == 2 and strongest[16, 6] == 0
    assert (back[:3, 8:24, 10:22].argmax(0) == 0).all()


def test_solid_patterns_follow_positions():
    mesh = painted(box(1.0, 1.0, 1.0), checks(0.5, RED, WHITE))
    cameras = orbit_by_name("static", elevation_deg=0.0, frames=4).cameras(3.0, size_px=32)
    image = render_textured(mesh, cameras, 2)[-1]
    # Cells of 0.5 centered on the origin: the middle of the front is another color than its corners' cells.
    assert abs(float(image[1, 16, 16] - image[1, 16, 9])) > 0.5
    values = value_noise(np.random.default_rng(0).random((2000, 3)), 5.0, np.random.default_rng(1), 3)
    assert 0 <= values.min() < 0.3 and 0.7 < values.max() <= 1
