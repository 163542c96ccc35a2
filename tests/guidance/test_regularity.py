# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportOptionalOperand=false
import dataclasses

import pytest
import torch

from guidance.regularity import Regularity
from sv3dgen.errors import InputError
from sv3dgen.interfaces import RenderOutput, ViewBatch
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.views.cameras import look_at_origin

ROOF = Mesh(  # two faces that meet at a right angle, and a third far away
    torch.tensor([[0.0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [5, 5, 5], [6, 5, 5], [5, 6, 5]]),
    torch.tensor([[0, 1, 2], [1, 0, 3], [4, 5, 6]]),
)


def scene() -> tuple[RenderOutput, ViewBatch]:
    ones = torch.ones(1, 1, 2, 2)
    render = RenderOutput(
        rgb=torch.rand(1, 3, 2, 2),
        opacity=0.5 * ones,
        shaded=ones > 0,
        mesh=ROOF,
        buffers={
            "albedo": torch.rand(1, 3, 2, 2),
            "irradiance": ones,
            "depth": ones,
            "normal": torch.zeros(1, 3, 2, 2),
            "inward_facing": 0.25 * ones,
        },
    )
    cameras = look_at_origin(torch.zeros(1), torch.zeros(1), distance=2.0, size_px=2)
    return render, ViewBatch(cameras, None, torch.rand(1, 3, 2, 2), ones)


def test_terms():
    got = Regularity(weights=dict.fromkeys(Regularity.terms, 1.0))(*scene(), 0).losses
    assert got["orientation"].item() == 0.25
    assert got["opaque"].item() == pytest.approx(0.6931, abs=1e-4)
    assert got["mesh_normal"].item() == pytest.approx(1.0)


def test_mesh_normal_moves_the_mesh():
    render, batch = scene()
    vertices = ROOF.vertices.clone().requires_grad_()
    render = dataclasses.replace(render, mesh=Mesh(vertices, ROOF.faces))
    Regularity(weights={"mesh_normal": 1.0})(render, batch, 0).losses["mesh_normal"].backward()
    assert vertices.grad[:4].abs().max() > 0 and vertices.grad[4:].abs().max() == 0


@pytest.mark.parametrize(("term", "missing"), [("orientation", {"buffers": {}}), ("mesh_normal", {"mesh": None})])
def test_a_renderer_that_cannot_serve_a_term_is_named(term, missing):
    render, batch = scene()
    with pytest.raises(InputError, match=f"regularity.weights.{term}: needs"):
        Regularity(weights={term: 1.0})(dataclasses.replace(render, **missing), batch, 0)


def test_off_and_unknown():
    assert not Regularity(weights={"opaque": 0.0})(*scene(), 0).losses
    with pytest.raises(InputError, match="orientation, opaque, mesh_normal"):
        Regularity(weights={"eikonal": 1.0})
