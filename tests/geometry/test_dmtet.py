import pytest
import torch
import trimesh

from geometry import dmtet
from geometry.dmtet import DMTet
from geometry.hash_grid import HashGrid
from sv3dgen.errors import InputError
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.topology import euler_number_of_largest, is_closed


def sphere(radius: float = 0.4) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(torch.tensor(ball.vertices.tolist()), torch.tensor(ball.faces.tolist()))


@pytest.fixture
def surface() -> DMTet:
    torch.manual_seed(0)
    made = DMTet(resolutions=[[0, 24], [10, 32]])
    made.texture = HashGrid(levels=4, growth=1.5, log2_table_size=10)
    made.build(sphere())
    return made


def test_it_starts_as_the_mesh_it_was_built_from(surface):
    mesh = surface.isosurface().detach()
    assert is_closed(mesh)
    assert (mesh.vertices.norm(dim=-1) - 0.4).abs().max() < 0.004  # a fifth of a cell


def test_a_constant_added_to_the_distance_moves_the_surface_by_it(surface):
    with torch.no_grad():
        surface.sdf -= 0.5  # half a cell outwards
    radius = surface.isosurface().vertices.norm(dim=-1)
    torch.testing.assert_close(radius.mean(), torch.tensor(0.4 + 0.5 * surface.cell_size), atol=2e-3, rtol=0)


def test_whatever_the_optimizer_does_the_surface_stays_closed_and_in_its_band(surface):
    with torch.no_grad():
        surface.sdf.uniform_(-5, 5, generator=torch.Generator().manual_seed(0))
        surface.offsets.normal_(std=5, generator=torch.Generator().manual_seed(1))
    mesh = surface.isosurface().detach()
    assert is_closed(mesh)
    reach = (surface.band_cells + 2) * surface.cell_size
    assert (mesh.vertices.norm(dim=-1) - 0.4).abs().max() < reach


def test_gradients_reach_neighbors_and_keep_their_sum(surface):
    """Averaging spreads a gradient over a vertex and its neighbors; in the middle of the band it loses nothing."""
    vertex = (surface.seed_sdf.abs() < 0.5).nonzero()[0, 0]
    surface.sdf[vertex].backward()
    gradient = surface.sdf.grad
    assert gradient is not None and (gradient > 0).sum() > 8
    torch.testing.assert_close(gradient.sum(), torch.tensor(1.0), atol=0.1, rtol=0)


def test_a_state_dict_brings_its_lattice_along(surface):
    surface.build(sphere(0.3), step=10)
    with torch.no_grad():
        surface.sdf += 0.1
    other = DMTet(resolutions=[[0, 24], [10, 32]])
    other.texture = HashGrid(levels=4, growth=1.5, log2_table_size=10)
    other.load_state_dict(surface.state_dict())
    torch.testing.assert_close(other.isosurface().vertices, surface.isosurface().vertices, atol=0, rtol=0)


def test_refining_happens_at_the_named_steps(surface):
    assert [step for step in range(20) if surface.refine(step)] == [10]
    assert int(surface.cells) == 32
    assert not surface.refine(11)
    with pytest.raises(InputError, match="step 0"):
        DMTet(resolutions=[[5, 24]])


def test_refining_waits_for_no_step_of_its_own(surface):
    assert [step for step in range(0, 20, 3) if surface.refine(step)] == [12]  # as a stage that skips some asks


def test_a_lattice_that_loses_a_wire_is_made_finer(surface):
    wire = trimesh.creation.cylinder(radius=0.006, height=0.9, sections=12).subdivide_to_size(0.02)
    surface.build(Mesh(torch.tensor(wire.vertices.tolist()), torch.tensor(wire.faces.tolist())))
    assert int(surface.cells) == 48  # twice 24; 96 would be more than twice the 32 of its last resolution
    assert not surface.refine(10)  # to 32, which it is past
    surface.build(sphere())
    assert int(surface.cells) == 24


def optimized(
    surface: DMTet, mesh: Mesh, pull: torch.Tensor | float, steps: int = 100, rate: float = 0.02
) -> trimesh.Trimesh:
    """What Adam makes of a mesh where each distance is pulled by `pull`, a number or one for each."""
    surface.build(mesh)
    optimizer = torch.optim.Adam([surface.sdf], lr=rate, betas=(0.9, 0.99))
    for step in range(1, steps):
        surface.on_step(step)
        optimizer.zero_grad()
        (surface.sdf * pull).sum().backward()
        optimizer.step()
    surface.on_step(10 * steps)
    found = surface.isosurface().detach()
    return trimesh.Trimesh(found.vertices.numpy(), found.faces.numpy(), process=False)


def test_a_wall_is_not_pierced_by_whatever_pulls_at_it(surface, monkeypatch):
    plate = trimesh.creation.box((0.9, 0.07, 0.9)).subdivide_to_size(0.03)  # not two cells thick
    mesh = Mesh(torch.tensor(plate.vertices.tolist()), torch.tensor(plate.faces.tolist()))
    surface.build(mesh)
    spot = surface.grid.vertices[:, [0, 2]].norm(dim=1) < 0.2
    pull = -(spot.float() + 1e-3)  # outwards: thinner
    for rate in (0.02, 0.05):
        made = optimized(surface, mesh, pull, rate=rate)
        assert made.euler_number == 2 and len(made.split(only_watertight=False)) == 1
        assert made.volume < 0.95 * plate.volume
    surface._settle = lambda: None
    monkeypatch.setattr(dmtet, "LEAST_WALL", -100)
    assert optimized(surface, mesh, pull).euler_number < 2


def test_no_crumbs_appear_next_to_the_surface(surface):
    surface.build(sphere())
    pull = ((surface.seed_sdf - 2.5).abs() < 0.2).float()  # which the surface is two edges from
    made = optimized(surface, sphere(), pull, steps=150)
    assert len(made.split(only_watertight=False)) == 1
    surface._settle = lambda: None
    assert len(optimized(surface, sphere(), pull, steps=150).split(only_watertight=False)) > 1


def test_a_surface_that_is_pulled_goes_on_point_by_point(surface):
    made = optimized(surface, sphere(), 1.0)
    reach = torch.as_tensor(made.vertices).norm(dim=1).mean() - 0.4
    assert reach > 1.5 * surface.cell_size


def test_a_lattice_that_pierces_a_wall_is_made_finer(surface, monkeypatch):
    sheet = trimesh.creation.box((0.9, 0.055, 0.9), trimesh.transformations.rotation_matrix(0.5, (1, 2, 0.5)))
    sheet = sheet.subdivide_to_size(0.02)
    seed = Mesh(torch.tensor(sheet.vertices.tolist()), torch.tensor(sheet.faces.tolist()))
    monkeypatch.setattr(dmtet, "MOST_LOST_VOLUME", 1.0)  # which would tell of so thin a wall as well
    surface.resolutions = {0: 16, 10: 32}
    surface.build(seed)
    assert int(surface.cells) == 32
    assert euler_number_of_largest(surface.isosurface().detach()) == 2
    surface._build(seed, 16)
    assert surface._pierces(seed)
