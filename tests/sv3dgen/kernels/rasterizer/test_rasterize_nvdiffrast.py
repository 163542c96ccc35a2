"""nvdiffrast's pictures and interpolation next to ours, and why its antialiasing is not offered."""

import nvdiffrast_stand_in
import pytest
import torch
from accelerator_case import PLACES, provide
from triton_case import rivals

from sv3dgen.kernels.rasterizer import rasterize as ours
from sv3dgen.kernels.rasterizer.antialias import antialiased_coverage
from sv3dgen.kernels.rasterizer.edge_adjacency import edge_adjacency
from sv3dgen.kernels.rasterizer.interpolate import barycentrics, interpolate
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from tests.sv3dgen.kernels.rasterizer.test_rasterize import bumpy_sphere, cameras, flat


@pytest.fixture(params=PLACES)
def device(request, monkeypatch):
    yield from provide("nvdiffrast", request.param, nvdiffrast_stand_in.MODULES, monkeypatch)


def both(clip, faces, height, width, device):
    """Our picture and nvdiffrast's, on the CPU."""
    expected = rasterize(clip, faces, height, width, backend="torch")
    drawn = rasterize(clip.to(device), faces.to(device), height, width, backend="nvdiffrast")
    assert drawn.face_index.dtype == torch.int32 and drawn.face_index.shape == expected.face_index.shape
    return expected, ours.Fragments(drawn.face_index.cpu(), drawn.depth.cpu())


def from_an_edge_px(clip, faces, fragments, view, row, col):
    """Distance in px of a pixel's center from the nearest edge of the face that it shows, as a line."""
    height, width = fragments.face_index.shape[1:]
    corners = clip[view, faces[fragments.face_index[view, row, col].long()]]
    screen = (corners[:, :2] / corners[:, 3:] * torch.tensor([0.5, -0.5]) + 0.5) * torch.tensor([width, height])
    sides = screen.roll(-1, 0) - screen
    to_center = torch.tensor([col + 0.5, row + 0.5]) - screen
    return ((sides[:, 0] * to_center[:, 1] - sides[:, 1] * to_center[:, 0]) / sides.norm(dim=1)).abs().min()


def test_the_same_picture_but_beside_edges(device):
    """The views look from below and above, and the frame is not a square: a turned picture would show."""
    vertices, faces = bumpy_sphere(2)
    clip = clip_positions(cameras(2, 50, 40), vertices)
    expected, actual = both(clip, faces, 40, 50, device)
    differ = expected.face_index != actual.face_index
    covered = (expected.face_index >= 0) | (actual.face_index >= 0)
    assert covered.float().mean() > 0.1 and differ.sum() <= 0.04 * covered.sum()
    for view, row, col in differ.nonzero().tolist():
        shown = [found for found in (expected, actual) if found.face_index[view, row, col] >= 0]
        assert min(from_an_edge_px(clip, faces, found, view, row, col) for found in shown) < 1 / 16
    torch.testing.assert_close(actual.depth[~differ], expected.depth[~differ], atol=2e-6, rtol=0)
    assert (actual.depth[actual.face_index < 0] == 1).all()


def test_faces_in_front_of_the_camera_hide_those_behind_and_nothing_is_nothing(device):
    triangle = [[-8.0, -8.0], [24.0, -8.0], [-8.0, 24.0]]
    clip = torch.cat([flat(triangle, 8, depth) for depth in (0.5, -0.25, -0.75, 0.0)], dim=1)
    faces = torch.arange(12).reshape(4, 3)
    expected, actual = both(clip, faces, 8, 8, device)
    assert torch.equal(actual.face_index, expected.face_index) and torch.equal(actual.depth, expected.depth)
    assert actual.face_index.unique().tolist() == [2]
    expected, actual = both(clip, faces[:0], 8, 6, device)
    assert torch.equal(actual.face_index, expected.face_index) and torch.equal(actual.depth, expected.depth)


def test_more_faces_than_float32_counts_are_refused(device, monkeypatch):
    clip, faces = flat([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]], 8).to(device), torch.tensor([[0, 1, 2]] * 5, device=device)
    rasterize(clip, faces[:1], 8, 8, backend="nvdiffrast")
    from sv3dgen.kernels.rasterizer import _rasterize_nvdiffrast as rasterize_nvdiffrast

    monkeypatch.setattr(rasterize_nvdiffrast, "MOST_FACES", 5)
    with pytest.raises(ValueError, match="faces: expected fewer than 5 for nvdiffrast, got 5"):
        rasterize(clip, faces, 8, 8, backend="nvdiffrast")


@pytest.mark.parametrize("channels", [1, 5])
def test_interpolation_has_the_same_values_and_gradients(channels, device):
    vertices, faces = bumpy_sphere(2)
    clip = clip_positions(cameras(2, 50, 40), vertices)
    view, row, col = (rasterize(clip, faces, 40, 50).face_index >= 0).nonzero().unbind(1)
    face = rasterize(clip, faces, 40, 50).face_index[view, row, col]
    attributes = torch.randn(len(vertices), channels, generator=torch.Generator().manual_seed(0))
    pull = torch.randn(len(face), channels, generator=torch.Generator().manual_seed(1))
    results = []
    for backend, where, dtype in rivals(device, "nvdiffrast"):
        leaves = clip.to(where, dtype).requires_grad_(), attributes.to(where, dtype).requires_grad_()
        mesh, hit, v, r, c = (tensor.to(where) for tensor in (faces, face, view, row, col))
        weights = barycentrics(leaves[0], mesh, hit, v, r, c, 40, 50, backend=backend)
        values = interpolate(leaves[1], mesh, hit, weights, backend=backend)
        found = [values, *torch.autograd.grad(values, leaves, pull.to(where, dtype))]
        results.append([tensor.detach().cpu().double() for tensor in found])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, atol=2e-5 * float(expected.abs().max()), rtol=1e-4)


def test_interpolation_of_nothing(device):
    nothing, weights = torch.zeros(0, dtype=torch.int32, device=device), torch.zeros(0, 3, device=device)
    faces = torch.tensor([[0, 1, 2]], device=device)
    found = interpolate(torch.ones(3, 4, device=device), faces, nothing, weights, backend="nvdiffrast")
    assert found.shape == (0, 4)


def growth(vertices, faces, size_px, device, *, by_nvdiffrast):
    """Area on the screen, and its growth as the object does: twice the area, but for perspective, where all is seen."""
    vertices = vertices.to(device).requires_grad_()
    faces = faces.to(device)
    clip = clip_positions(cameras(1, size_px, size_px).to(device), vertices)
    drawn = rasterize(clip, faces, size_px, size_px, backend="nvdiffrast")
    if by_nvdiffrast:
        import nvdiffrast.torch as dr  # pyright: ignore[reportMissingImports]  (the stand-in, or the package)

        from sv3dgen.kernels.rasterizer._rasterize_nvdiffrast import plain_faces, top_row_first

        covered = (drawn.face_index >= 0).float()
        seen = torch.stack([0 * covered, 0 * covered, drawn.depth, (drawn.face_index + 1).float()], dim=-1)
        cover = dr.antialias(covered[..., None], seen, top_row_first(clip), plain_faces(faces))
    else:
        cover = antialiased_coverage(drawn, clip, faces, edge_adjacency(faces), backend="nvdiffrast")
    by_vertices = torch.autograd.grad(cover.sum(), vertices)[0]
    return float(cover.detach().sum()), float((by_vertices * vertices.detach()).sum())


def test_outlines_follow_nvdiffrasts_pictures_with_our_antialiasing_only(device):
    """Of a large cube's outline its own misses the corners alone; of faces of 3 px, seen at a slant, most of it."""
    cube_corners = torch.tensor([[x, y, z] for x in (-0.3, 0.3) for y in (-0.3, 0.3) for z in (-0.3, 0.3)])
    sides = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    cube = torch.tensor([[s[0], s[k], s[k + 1]] for s in sides for k in (1, 2)])
    (area, ours_grows), (other_area, other_grows) = (
        growth(cube_corners, cube, 144, device, by_nvdiffrast=which) for which in (False, True)
    )
    assert other_area == pytest.approx(area, rel=0.01) and other_grows == pytest.approx(ours_grows, rel=0.03)
    vertices, faces = bumpy_sphere(3)
    (area, ours_grows), (other_area, other_grows) = (
        growth(vertices, faces, 48, device, by_nvdiffrast=which) for which in (False, True)
    )
    assert other_area == pytest.approx(area, rel=0.01)
    assert 2 * area < ours_grows < 2.2 * area and other_grows < 0.5 * ours_grows
