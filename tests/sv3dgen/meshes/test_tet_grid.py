import pytest
import torch

from sv3dgen.kernels.marching_tetrahedra.march import EDGE_ENDS
from sv3dgen.meshes.tet_grid import bcc_band, bcc_grid, neighbor_mean, vertex_neighbors

LOWER, UPPER, CELL = (-0.5, -0.4, 0.1), (0.5, 0.2, 0.73), 0.125


def volumes(grid):
    corners = grid.vertices.double()[grid.tets.long()]
    return torch.linalg.det(corners[:, 1:] - corners[:, :1]) / 6


def test_tetrahedra_are_congruent_and_positive_and_cover_the_box_once():
    grid = bcc_grid(LOWER, UPPER, CELL)
    torch.testing.assert_close(
        volumes(grid), torch.full((len(grid.tets),), CELL**3 / 12, dtype=torch.float64), rtol=1e-4, atol=0
    )
    # Every point of the box lies in exactly one tetrahedron.
    generator = torch.Generator().manual_seed(0)
    low, high = torch.tensor(LOWER, dtype=torch.float64), torch.tensor(UPPER, dtype=torch.float64)
    points = low + torch.rand(300, 3, generator=generator, dtype=torch.float64) * (high - low)
    corners = grid.vertices.double()[grid.tets.long()]
    inverse = torch.linalg.inv((corners[:, 1:] - corners[:, :1]).transpose(1, 2))
    weights = torch.einsum("tij,ptj->pti", inverse, points[:, None] - corners[None, :, 0])
    inside = (weights >= 0).all(-1) & (weights.sum(-1) <= 1)
    assert (inside.sum(1) == 1).all()


def test_edges_are_listed_once_and_in_the_stated_order():
    grid = bcc_grid(LOWER, UPPER, CELL)
    expected = grid.tets[:, torch.tensor(EDGE_ENDS)].sort(-1).values
    edges = grid.edges.sort(-1).values
    assert torch.equal(edges[grid.tet_edges.long()], expected)
    assert len(edges.unique(dim=0)) == len(edges) == len(expected.reshape(-1, 2).unique(dim=0))
    assert len(grid.tets.unique()) == len(grid.vertices)  # no vertex without a tetrahedron
    lengths = (grid.vertices[grid.edges[:, 0].long()] - grid.vertices[grid.edges[:, 1].long()]).norm(dim=-1)
    assert set((lengths / CELL).mul(1000).round().tolist()) == {1000.0, 866.0}


def test_a_band_is_the_part_of_the_grid_that_touches_kept_vertices():
    def keep(points):
        return ((points - torch.tensor([0.1, 0.0, 0.4])).norm(dim=-1) - 0.25).abs() < 0.07

    whole, band = bcc_grid(LOWER, UPPER, CELL), bcc_band(torch.tensor(LOWER), torch.tensor(UPPER), CELL, keep)
    touched = keep(whole.vertices)[whole.tets.long()].any(1)
    corners = whole.vertices[whole.tets[touched].long()]
    assert 0 < len(band.tets) < len(whole.tets)
    torch.testing.assert_close(band.vertices[band.tets.long()], corners, rtol=0, atol=1e-6)
    expected = band.tets[:, torch.tensor(EDGE_ENDS)].sort(-1).values
    assert torch.equal(band.edges.sort(-1).values[band.tet_edges.long()], expected)
    assert len(band.tets.unique()) == len(band.vertices)


def test_an_empty_band_is_empty():
    grid = bcc_band(LOWER, UPPER, CELL, lambda points: torch.zeros(len(points), dtype=torch.bool))
    assert [len(t) for t in (grid.vertices, grid.tets, grid.edges, grid.tet_edges)] == [0, 0, 0, 0]
    assert vertex_neighbors(grid).shape == (0, 14)


def test_a_narrow_band_of_a_large_box_is_small():
    cell = 1 / 96
    band = bcc_band((-0.5,) * 3, (0.5,) * 3, cell, lambda points: (points.norm(dim=-1) - 0.3).abs() < cell)
    assert len(band.vertices) < 0.1 * 2 * 96**3
    assert (volumes(band) > 0).all()


def test_neighbors_are_the_other_ends_of_the_edges():
    grid = bcc_grid(LOWER, UPPER, CELL)
    neighbors = vertex_neighbors(grid)
    pairs = {(int(a), int(b)) for a, b in grid.edges} | {(int(b), int(a)) for a, b in grid.edges}
    listed = [(v, int(n)) for v, row in enumerate(neighbors) for n in row if n >= 0]
    assert len(listed) == len(pairs) and set(listed) == pairs
    assert (neighbors >= 0).sum(1).max() == 14  # eight nearest and six next in the bulk of the lattice


def test_the_mean_over_neighbors():
    grid = bcc_grid(LOWER, UPPER, CELL)
    neighbors = vertex_neighbors(grid)
    values = torch.rand(len(grid.vertices), 3, generator=torch.Generator().manual_seed(0))
    expected, actual = (neighbor_mean(values, neighbors, backend=b) for b in ("torch", "numba"))
    torch.testing.assert_close(actual, expected)
    vertex = 7
    around = [vertex, *(int(n) for n in neighbors[vertex] if n >= 0)]
    torch.testing.assert_close(actual[vertex], values[around].mean(0))
    # A linear function is its own mean where all fourteen neighbors are there.
    whole = (neighbors >= 0).all(1)
    torch.testing.assert_close(neighbor_mean(grid.vertices, neighbors)[whole], grid.vertices[whole], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("lower", "upper", "cell"), [((0, 0, 0), (1, 1, 0), 0.1), ((0, 0, 0), (1, 1, 1), 0.0)])
def test_impossible_boxes_are_refused(lower, upper, cell):
    with pytest.raises(ValueError, match="cell > 0 and lower < upper"):
        bcc_grid([float(x) for x in lower], [float(x) for x in upper], cell)
