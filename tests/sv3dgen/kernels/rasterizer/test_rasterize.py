import pytest
import torch
import trimesh

from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.views.cameras import look_at_origin

BACKENDS = ["torch", "numba"]


def bumpy_sphere(subdivisions):
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.4)
    vertices = torch.tensor(sphere.vertices, dtype=torch.float32)
    return vertices * (1 + 0.2 * torch.sin(15 * vertices[:, :1])), torch.tensor(sphere.faces)


def cameras(views, width_px, height_px):
    elevation, azimuth = torch.linspace(-30, 50, views), torch.linspace(20, 300, views)
    return look_at_origin(elevation, azimuth, distance=2.0, size_px=width_px).resized(width_px, height_px)


def flat(xy_px, size_px, z: float | torch.Tensor = 0.0):
    """Clip positions of points given in pixels of a square frame, without perspective."""
    xy_px = torch.as_tensor(xy_px, dtype=torch.float32)
    ndc = 2 * xy_px / size_px - 1
    z = torch.as_tensor(z, dtype=torch.float32).expand(len(xy_px))
    return torch.stack([ndc[:, 0], -ndc[:, 1], z, torch.ones(len(xy_px))], dim=-1)[None]


@pytest.mark.parametrize(("views", "subdivisions"), [(1, 2), (2, 4), (3, 3), (7, 1)])
def test_numba_equals_the_reference_bit_by_bit(views, subdivisions):
    vertices, faces = bumpy_sphere(subdivisions)
    clip = clip_positions(cameras(views, 90, 70), vertices)
    expected, actual = (rasterize(clip, faces, 70, 90, backend=b) for b in BACKENDS)
    assert (actual.face_index >= 0).float().mean() > 0.1
    assert torch.equal(actual.face_index, expected.face_index)
    assert torch.equal(actual.depth, expected.depth)


@pytest.mark.parametrize("backend", BACKENDS)
def test_hits_are_where_rays_meet_triangles(backend):
    vertices, faces = bumpy_sphere(2)
    views = cameras(2, 40, 30)
    fragments = rasterize(clip_positions(views, vertices), faces, 30, 40, backend=backend)
    origins, directions = (t.double().reshape(-1, 1, 3) for t in views.rays())
    a, b, c = vertices.double()[faces].unbind(1)
    # Signed volumes (directions x edges): the ray passes inside where all three have one sign.
    corners = [p - origins for p in (a, b, c)]
    inside = torch.stack(
        [(torch.linalg.cross(corners[i], corners[j]) * directions).sum(-1) for i, j in ((0, 1), (1, 2), (2, 0))], -1
    )
    hit = (inside > 0).all(-1) | (inside < 0).all(-1)
    normal = torch.linalg.cross(b - a, c - a)
    distance = (corners[0] * normal).sum(-1) / (directions * normal).sum(-1)
    distance, face = torch.where(hit, distance, torch.inf).min(-1)
    face = torch.where(distance.isinf(), -1, face)
    wrong = face != fragments.face_index.reshape(-1)
    assert wrong.float().mean() < 0.002  # centers within a snapping distance of an edge

    point = origins[:, 0] + distance[:, None] * directions[:, 0]
    clip = torch.cat([clip_positions(views, p.float())[i] for i, p in enumerate(point.chunk(2))])
    visible = (face >= 0) & ~wrong
    torch.testing.assert_close(
        fragments.depth.reshape(-1)[visible], (clip[:, 2] / clip[:, 3])[visible], atol=2e-5, rtol=0
    )
    assert (fragments.depth[fragments.face_index < 0] == 1).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_triangles_that_share_edges_cover_every_center_once(backend):
    size = 16
    generator = torch.Generator().manual_seed(0)
    grid = torch.cartesian_prod(torch.arange(-1.0, 19, 2), torch.arange(-1.0, 19, 2))
    # Vertices on pixel centers, so that many centers lie exactly on edges and corners.
    grid = grid + 0.5 + torch.randint(-1, 2, grid.shape, generator=generator) * 0.5
    i = torch.cartesian_prod(torch.arange(9), torch.arange(9)) @ torch.tensor([10, 1])
    faces = torch.cat([torch.stack([i, i + 10, i + 1], -1), torch.stack([i + 1, i + 10, i + 11], -1)])
    flip = torch.rand(len(faces), generator=generator) < 0.5
    faces = torch.where(flip[:, None], faces[:, [1, 0, 2]], faces)
    clip = flat(grid, size)
    count = torch.zeros(size, size)
    for k in range(len(faces)):
        count += rasterize(clip, faces[k : k + 1], size, size, backend=backend).face_index[0] >= 0
    assert (count == 1).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_row_zero_is_on_top_and_the_nearer_face_wins(backend):
    triangle = [[0.0, 0.0], [6.0, 0.0], [0.0, 3.0]]  # the upper left corner of the frame
    clip = torch.cat([flat(triangle, 8, 0.5), flat(triangle, 8, -0.25), flat(triangle, 8, 0.5)], dim=1)
    faces = torch.arange(9).reshape(3, 3)
    fragments = rasterize(clip, faces, 8, 8, backend=backend)
    rows, cols = torch.meshgrid(torch.arange(8) + 0.5, torch.arange(8) + 0.5, indexing="ij")
    covered = cols / 6 + rows / 3 < 1  # the slanted edge is a right edge: centers on it are out
    assert torch.equal(fragments.face_index[0], torch.where(covered, 1, -1).int())
    assert torch.equal(fragments.depth[0], torch.where(covered, -0.25, 1.0))
    equal_depth = rasterize(clip, faces[[0, 2]], 8, 8, backend=backend)
    assert equal_depth.face_index.max() == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_sides_are_drawn(backend):
    vertices, faces = bumpy_sphere(2)
    clip = clip_positions(cameras(1, 48, 48), vertices)
    front = rasterize(clip, faces, 48, 48, backend=backend)
    back = rasterize(clip, faces.flip(1), 48, 48, backend=backend)
    assert torch.equal(front.face_index, back.face_index)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_cannot_be_drawn_is_left_out(backend):
    triangle = flat([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]], 8)
    faces = torch.tensor([[0, 1, 2]])

    def drawn(clip, faces=faces):
        return (rasterize(clip, faces, 8, 8, backend=backend).face_index >= 0).any()

    assert drawn(triangle)
    assert not drawn(triangle, faces[:0])
    assert not drawn(triangle, torch.tensor([[0, 1, 1]]))  # no area
    for component, value in [(2, -1.1), (3, -1.0), (3, 0.0), (0, 1e6), (0, float("nan"))]:
        broken = triangle.clone()
        broken[0, 1, component] = value
        assert not drawn(broken)
    beyond_far = triangle.clone()
    beyond_far[..., 2] = 1.5
    assert not drawn(beyond_far)


def test_float64_positions_give_the_same_picture():
    vertices, faces = bumpy_sphere(2)
    clip = clip_positions(cameras(1, 48, 48), vertices)
    single, double = (rasterize(c, faces.int(), 48, 48) for c in (clip, clip.double()))
    assert torch.equal(single.face_index, double.face_index)
