import dataclasses

import pytest
import torch
import trimesh

from sv3dgen.export.photo_texels import albedo_with_photos, photo_texels
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.views.cameras import look_at_origin
from sv3dgen.views.posed_views import PosedViews

RADIUS = 0.3


def ball(center=(0.0, 0.0, 0.0), radius: float = RADIUS) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(torch.tensor(made.vertices).float() + torch.tensor(center), torch.tensor(made.faces))


@pytest.fixture
def views() -> PosedViews:
    """A photo from the front, red that grows to the right, of a ball; and a generated view from behind."""
    cameras = look_at_origin(torch.zeros(2), torch.tensor([180.0, 0.0]), distance=2.0, size_px=128)
    origins, directions = cameras.rays()
    along = (origins * directions).sum(-1)
    alpha = origins.square().sum(-1) - along.square() < RADIUS**2
    red = torch.linspace(0, 1, 128).expand(2, 128, 128)
    rgba = torch.stack([red, torch.full_like(red, 0.5), torch.zeros_like(red), alpha.float()], 1)
    images = (rgba * 255).round().byte()
    angles = torch.zeros(2), torch.tensor([180.0, 0.0])
    return PosedViews(images, cameras, ("0", "1"), ("train",) * 2, *angles, torch.eye(4), generated=(True, False))


def surface_points(count: int = 2000):
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    return RADIUS * normals, normals


def test_what_the_photo_sees_squarely_takes_its_pixels(views):
    (photo,) = photo_texels(views, ball())
    points, normals = surface_points()
    rgb, weight = photo.colors(points, normals)
    to_camera = torch.nn.functional.normalize(torch.tensor([0.0, 0.0, 2.0]) - points, dim=1)
    facing = (normals * to_camera).sum(1)
    assert (weight[facing > 0.3] > 0.99).all() and not weight[facing < 0.05].any()
    square = facing > 0.75
    # x / w of a point, in pixels, is the column.
    focal = float(views.cameras.focal_px[1, 0])
    column = focal * points[:, 0] / (2 - points[:, 2]) + 64 - 0.5
    torch.testing.assert_close(rgb[square, 0], column[square] / 127, atol=4e-3, rtol=0)
    assert rgb[square, 1].sub(0.5).abs().max() < 4e-3


def test_a_mesh_that_is_a_little_larger_takes_the_nearest_color_inside(views):
    pixel = 2 / float(views.cameras.focal_px[1, 0])
    for pixels, weighs in ((2, True), (8, False)):
        radius = RADIUS + pixels * pixel
        (photo,) = photo_texels(views, ball(radius=radius))
        outermost = torch.tensor([[radius * 0.94, 0.0, radius * 0.342]])
        rgb, weight = photo.colors(outermost, outermost / radius)
        column = float(views.cameras.focal_px[1, 0] * outermost[0, 0] / (2 - outermost[0, 2]) + 64)
        assert not views.rgba[1, 3, 64, int(column)]  # the photo shows its background there
        assert bool(weight > 0) == weighs
        if weighs:
            assert rgb[0, 0] == pytest.approx(float(views.rgba[1, 0, 64][views.rgba[1, 3, 64] > 0].max()), abs=0.01)


def test_what_something_nearer_hides_keeps_the_fields_color(views):
    small = ball((0.0, 0.0, 0.6), 0.08)
    behind = ball()
    both = Mesh(
        torch.cat([behind.vertices, small.vertices]), torch.cat([behind.faces, small.faces + len(behind.vertices)])
    )
    (photo,) = photo_texels(views, both)
    hidden = torch.tensor([[0.0, 0.0, RADIUS], [0.2, 0.0, (RADIUS**2 - 0.2**2) ** 0.5]])
    weight = photo.colors(hidden, hidden / RADIUS)[1]
    assert weight[0] == 0 and weight[1] > 0.8


def test_light_is_divided_out_and_the_field_shows_elsewhere(views):
    photos = photo_texels(views, ball())
    points = torch.tensor([[0.0, 0.0, RADIUS], [0.0, 0.0, -RADIUS]])
    field = torch.full((2, 3), 0.2)
    plain = albedo_with_photos(field, torch.ones(2, 1), photos, points, points / RADIUS)
    torch.testing.assert_close(plain[0], torch.tensor([0.5, 0.5, 0.0]), atol=0.01, rtol=0)
    assert torch.equal(plain[1], field[1])
    bright = albedo_with_photos(field, torch.full((2, 1), 2.0), photos, points, points / RADIUS)
    # Half the light of sRGB 0.5 is sRGB 0.361.
    torch.testing.assert_close(bright[0, 1], torch.tensor(0.361), atol=0.01, rtol=0)


def test_photos_alone_are_left_to_the_field(views):
    assert photo_texels(dataclasses.replace(views, generated=(False, False)), ball()) == []
    assert photo_texels(dataclasses.replace(views, trust=(1.0, 0.0)), ball()) == []
