"""Views of a known mesh, the score distillation that it makes certain, and where its references have looked."""

import dataclasses

import pytest
import torch
import trimesh

from sv3dgen.color import over_white
from sv3dgen.errors import InputError
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.metrics.regions import region_scores, unseen_of
from sv3dgen.nvs.known_mesh import KnownMesh
from sv3dgen.nvs.mesh import MeshNvs
from sv3dgen.views.orbits import DistillationOrbit, StaticOrbit
from systems.view_sources import recipe_or_reference


def sphere(color: float = 0.5) -> TexturedMesh:
    ball = trimesh.creation.icosphere(4, 0.5)
    vertices = torch.from_numpy(ball.vertices).float()
    return TexturedMesh(vertices, torch.from_numpy(ball.faces).long(), vertex_colors=torch.full_like(vertices, color))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A cube with a texture."""
    path = tmp_path_factory.mktemp("mesh") / "cube.glb"
    cube = trimesh.creation.box((1.0, 0.5, 0.8))
    cube.visual.vertex_colors = (cube.vertices * 200 + 120).astype("uint8")
    cube.export(path)
    return path


def test_views_are_the_meshs_with_the_orbits_cameras(file):
    nvs = MeshNvs(mesh=str(file), size_px=64)
    orbit = recipe_or_reference(None, nvs.abilities, 10.0, seed=0)
    assert len(orbit) == 21 and orbit.elevation_deg.max() == pytest.approx(30, abs=0.5)  # the paper's sine-30
    views = nvs.views(torch.ones(3, 64, 64), orbit, seed=0)
    torch.testing.assert_close(views.cameras.positions, orbit.cameras(size_px=64).positions)
    assert 0.05 < (views.images[:, 3] > 127).float().mean() < 0.7


def test_its_prior_wants_the_truth_whatever_the_noise(file):
    model = KnownMesh(file, frames=21, size_px=32)
    prior = model.prior(torch.ones(3, 32, 32), seed=0)
    orbit = DistillationOrbit()(10.0, 21, torch.Generator().manual_seed(0))
    wanted = prior.decode(prior.denoise(torch.randn(21, 3, 32, 32), 5.0, orbit, guidance_max=3.0))
    rgba = model.rgba(orbit)
    assert torch.equal(wanted, over_white(rgba[:, :3], rgba[:, 3:]))
    pictures = torch.rand(2, 3, 4, 4)
    assert torch.equal(prior.decode(prior.encode(pictures)), pictures)
    assert torch.equal(prior.pull_back(pictures, pictures), pictures)


@pytest.mark.parametrize("settings", [{"mesh": None}, {"mesh": "a.glb", "size_px": 4}])
def test_what_it_lacks_is_told(settings):
    with pytest.raises(InputError, match="nvs"):
        MeshNvs(**settings)


def test_a_missing_mesh_is_told(tmp_path):
    with pytest.raises(InputError, match="missing.glb"):
        _ = MeshNvs(mesh=str(tmp_path / "missing.glb")).model


def test_unseen_parts_of_a_sphere_are_its_caps():
    references = StaticOrbit()(0.0, 24, torch.Generator()).cameras(size_px=64)
    front = StaticOrbit()(0.0, 1, torch.Generator()).cameras(size_px=128)
    unseen = unseen_of(sphere().mesh, front, references)[0]
    middle = unseen[:, 64]  # from the top of the frame down, along a meridian
    inside = middle >= 0
    rows = inside.nonzero()[:, 0]
    assert middle[64] == 0 and middle[rows[0]] > 0.6 and middle[rows[-1]] > 0.6
    assert (middle[rows[0] : 64].diff() <= 1e-4).all()


def test_regions_are_scored_apart():
    references = StaticOrbit()(0.0, 21, torch.Generator()).cameras(size_px=64)
    truth = sphere(0.5)
    caps = truth.vertices[:, 1].abs() > 0.46  # seen at cosines under .25 or so
    colors = torch.full_like(truth.vertices, 0.5)
    colors[caps] = 0.6
    spoilt = dataclasses.replace(truth, vertex_colors=colors)
    scores = region_scores(spoilt, truth, references, size_px=96)
    assert scores.psnr_seen > 40 and 19 < scores.psnr_unseen < 30
    assert 0.5 < scores.share_seen < 0.95 and 0.01 < scores.share_unseen < 0.3
    even = region_scores(sphere(0.6), truth, references, size_px=96)
    assert even.psnr_seen == pytest.approx(20, abs=0.5) and even.psnr_unseen == pytest.approx(20, abs=0.7)
