import pytest
import torch
import trimesh

from sv3dgen.export.clean import clean
from sv3dgen.meshes.held_back import mesh_depth
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.topology import from_numpy
from sv3dgen.views.cameras import look_at_origin


def box_and_crumb() -> tuple[Mesh, Mesh]:
    """A box, and the box with a small cube that floats next to it."""
    box = trimesh.creation.box((0.5, 0.5, 0.5))
    crumb = trimesh.creation.box((0.06, 0.06, 0.06)).apply_translation((0.35, 0.0, 0.0))
    both = trimesh.util.concatenate([box, crumb])
    return from_numpy(box.vertices, box.faces), from_numpy(both.vertices, both.faces)


@pytest.mark.parametrize("shown", [True, False])
def test_a_loose_part_stays_where_the_silhouettes_show_it(shown):
    alone, both = box_and_crumb()
    cameras = look_at_origin(torch.zeros(4), torch.tensor([0.0, 30.0, 180.0, 210.0]), distance=2.0, size_px=96)
    masks = mesh_depth(both if shown else alone, cameras).isfinite()
    assert len(clean(both, 0.2, (cameras, masks)).faces) == (24 if shown else 12)
    assert len(clean(both, 0.2).faces) == 12
    assert len(clean(both, 0.05).faces) == 24
