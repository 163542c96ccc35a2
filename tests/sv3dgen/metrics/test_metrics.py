import numpy as np
import pytest
import torch
import trimesh
from checkout import SHARED

from sv3dgen.color import over_white
from sv3dgen.meshes.files import read_mesh
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.metrics.image import mse, psnr, ssim
from sv3dgen.metrics.surface import chamfer_distance, sample_surface, surface_scores, unit_box
from sv3dgen.metrics.volume import cell_centers, occupancy, occupancy_iou

DEV_MESHES = SHARED / "meshes" / "dev"


def as_mesh(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(torch.tensor(shape.vertices, dtype=torch.float32), torch.tensor(shape.faces, dtype=torch.int64))


def together(*meshes: Mesh) -> Mesh:
    offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    faces = [mesh.faces + int(offset) for mesh, offset in zip(meshes, offsets, strict=False)]
    return Mesh(torch.cat([mesh.vertices for mesh in meshes]), torch.cat(faces))


def flipped(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces.flip(1))


def sphere(radius: float, subdivisions: int = 4) -> Mesh:
    return as_mesh(trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius))


def box(*extents: float) -> Mesh:
    return as_mesh(trimesh.creation.box(extents=extents))


def radii(resolution: int = 64) -> torch.Tensor:
    axis = cell_centers(resolution)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_samples_are_uniform_over_the_area():
    samples = sample_surface(box(1.0, 1.0, 2.0), 100_000, generator())
    on_caps = (samples.points[:, 2].abs() > 1 - 1e-9).double().mean()
    assert on_caps == pytest.approx(2 / 10, abs=0.005)  # two of ten square units
    assert samples.points.mean(0).abs().max() < 0.01
    caps = samples.points[:, 2].abs() > 1 - 1e-9
    assert torch.allclose(samples.normals[caps][:, 2], samples.points[caps][:, 2].sign())


def test_chamfer_of_two_points_each():
    first = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    second = torch.tensor([[0.0, 0.3, 0.0], [0.0, -0.5, 0.0]])
    expected = 0.5 * ((0.3 + 1.09**0.5) / 2 + (0.3 + 0.5) / 2)
    assert chamfer_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_concentric_spheres_are_the_gap_apart():
    scores = surface_scores(sphere(0.45), sphere(0.5), generator(), num_samples=20_000)
    assert scores.chamfer == pytest.approx(0.05, abs=0.001)
    assert scores.far_share == 1.0
    assert scores.f_score_1 == scores.f_score_2 == 0.0
    assert scores.normal_consistency > 0.99


def test_missing_half_is_the_far_share():
    whole = together(box(0.5, 0.5, 0.5), Mesh(box(0.5, 0.5, 0.5).vertices + 2, box(0.5, 0.5, 0.5).faces))
    scores = surface_scores(box(0.5, 0.5, 0.5), whole, generator(), num_samples=20_000)
    assert scores.far_share == pytest.approx(0.5, abs=0.01)
    assert scores.f_score_2 == pytest.approx(2 * 0.5 / 1.5, abs=0.01)


def test_unit_box_ignores_unused_vertices():
    mesh = box(1.0, 2.0, 4.0)
    mesh = Mesh(torch.cat([mesh.vertices + 3, torch.full((1, 3), 99.0)]), mesh.faces)
    used = unit_box(mesh).vertices[:-1]
    assert torch.allclose(used.amax(0), torch.tensor([0.125, 0.25, 0.5]))
    assert torch.allclose(used.amin(0), torch.tensor([-0.125, -0.25, -0.5]))


def test_meshes_without_surface_are_refused():
    empty = Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64))
    flat = Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]))
    for mesh in (empty, flat):
        with pytest.raises(ValueError, match="area"):
            sample_surface(mesh, 10, generator())
        with pytest.raises(ValueError):
            unit_box(mesh)


def test_box_on_the_grid_is_filled_exactly():
    filled = occupancy(box(0.5, 0.25, 1.0), cell_centers(64))
    expected = torch.zeros(64, 64, 64, dtype=torch.bool)
    expected[16:48, 24:40] = True
    assert torch.equal(filled, expected)


def test_faces_through_the_grid_points_fill_one_side():
    """Every ray here passes exactly through an edge or a face."""
    ticks = torch.arange(8, dtype=torch.float64) / 8 - 0.5
    filled = occupancy(box(0.5, 0.5, 0.5), ticks)
    assert int(filled.sum()) == 4**3


@pytest.mark.parametrize("mesh", [sphere(0.4, 5), flipped(sphere(0.4, 5))], ids=["outward", "inward"])
def test_sphere_fills_its_ball(mesh):
    clear = (radii() - 0.4).abs() > 0.001  # the facets' sagitta
    assert torch.equal(occupancy(mesh, cell_centers(64))[clear], (radii() < 0.4)[clear])


def test_cavity_is_empty_and_overlap_unites():
    shell = occupancy(together(sphere(0.45, 5), flipped(sphere(0.3, 5))), cell_centers(64))
    clear = ((radii() - 0.45).abs() > 0.001) & ((radii() - 0.3).abs() > 0.001)
    assert torch.equal(shell[clear], ((radii() < 0.45) & (radii() > 0.3))[clear])
    united = occupancy(together(box(0.5, 0.5, 0.5), box(0.25, 0.25, 1.0)), cell_centers(32))
    expected = occupancy(box(0.5, 0.5, 0.5), cell_centers(32)) | occupancy(box(0.25, 0.25, 1.0), cell_centers(32))
    assert torch.equal(united, expected)


def test_occupancy_equals_the_solid_angle_of_a_crumpled_mesh():
    """Reference: winding number as the sum of solid angles (Van Oosterom and Strackee 1983), at random grid offsets."""
    mesh = sphere(0.4, 3)
    mesh = Mesh(mesh.vertices * (1 + 0.4 * torch.rand(len(mesh.vertices), 1, generator=generator())), mesh.faces)
    ticks = cell_centers(12)
    grid = torch.stack(torch.meshgrid(ticks, ticks, ticks, indexing="ij"), dim=-1).reshape(-1, 1, 1, 3)
    a, b, c = (mesh.vertices.double()[mesh.faces] - grid).unbind(2)
    na, nb, nc = a.norm(dim=-1), b.norm(dim=-1), c.norm(dim=-1)
    triple = (a * torch.linalg.cross(b, c)).sum(-1)
    below = na * nb * nc + (a * b).sum(-1) * nc + (b * c).sum(-1) * na + (c * a).sum(-1) * nb
    winding = torch.atan2(triple, below).sum(-1).div(2 * torch.pi).round()
    assert torch.equal(occupancy(mesh, ticks).reshape(-1), winding.reshape(-1) != 0)


def test_a_hole_is_outvoted():
    mesh = sphere(0.4)
    punctured = Mesh(mesh.vertices, mesh.faces[1:])
    agreement = occupancy_iou(occupancy(mesh, cell_centers(64)), occupancy(punctured, cell_centers(64)))
    assert agreement > 0.999


def test_split_vertices_make_no_difference():
    mesh = sphere(0.4)
    soup = Mesh(mesh.vertices[mesh.faces.reshape(-1)], torch.arange(mesh.faces.numel()).reshape(-1, 3))
    assert torch.equal(occupancy(soup, cell_centers(64)), occupancy(mesh, cell_centers(64)))


def test_iou_of_shifted_boxes():
    first = occupancy(box(0.5, 0.5, 0.5), cell_centers(64))
    shifted = Mesh(box(0.5, 0.5, 0.5).vertices + torch.tensor([0.125, 0.0, 0.0]), box(0.5, 0.5, 0.5).faces)
    assert occupancy_iou(first, occupancy(shifted, cell_centers(64))) == pytest.approx(3 / 5)
    assert occupancy_iou(torch.zeros_like(first), torch.zeros_like(first)) == 0.0


def test_psnr_and_mse_of_a_known_error():
    first = torch.zeros(2, 3, 16, 16)
    second = torch.stack([torch.full((3, 16, 16), 0.1), torch.zeros(3, 16, 16)])
    assert torch.allclose(mse(first, second), torch.tensor([0.01, 0.0]))
    assert psnr(first, second)[0].item() == pytest.approx(20.0, abs=1e-4)
    assert psnr(first, second)[1] == torch.inf


def test_white_shows_where_nothing_is():
    assert torch.equal(
        over_white(torch.zeros(1, 3, 2, 2), torch.full((1, 1, 2, 2), 0.25)), torch.full((1, 3, 2, 2), 0.75)
    )


def test_ssim_is_that_of_torchmetrics_where_the_window_fits():
    metric = pytest.importorskip("torchmetrics.functional.image").structural_similarity_index_measure
    first, second = torch.rand(3, 3, 40, 56, generator=generator()), torch.rand(3, 3, 40, 56, generator=generator())
    second = 0.7 * first + 0.3 * second.flip(3)
    _, theirs = metric(first, second, data_range=1.0, reduction="none", return_full_image=True)
    assert torch.allclose(ssim(first, second), theirs[..., 5:-5, 5:-5].mean(dim=(1, 2, 3)), atol=1e-5)
    assert torch.allclose(ssim(first, first), torch.ones(3))


@pytest.mark.skipif(not DEV_MESHES.is_dir(), reason="needs the benchmark meshes in ../shared")
def test_floor_of_a_scan_against_itself():
    mesh = read_mesh(DEV_MESHES / "gso_Schleich_Lion_Action_Figure.glb").mesh
    scores = surface_scores(mesh, mesh, generator())
    assert 0.0015 < scores.chamfer < 0.0035
    assert scores.far_share == 0 and scores.f_score_1 == 1
    volume = occupancy(mesh, cell_centers(64)).double().mean().item()
    assert volume == pytest.approx(0.0423, rel=0.01)
