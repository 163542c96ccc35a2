"""A mesh file drawn for the live view, and the looks of a render."""

import torch
from painted_box import FRONT, RIGHT, painted_box

from sv3dgen.materials.constant import Constant
from sv3dgen.viewer.mesh_drawing import MeshDrawing
from sv3dgen.viewer.pictures import BACKGROUND, LOOKS, four_sides, picture_of
from sv3dgen.views.cameras import look_at_origin


def test_a_box_is_drawn_in_all_looks():
    draw = MeshDrawing(painted_box(), Constant().light())
    render = draw(look_at_origin(torch.tensor([0.0]), torch.tensor([90.0]), distance=2.0, size_px=48))
    middle = {look: picture_of(render, look)[0, :, 24, 24] for look in LOOKS}
    assert torch.allclose(middle["color"], torch.tensor(RIGHT), atol=0.02)
    assert torch.allclose(middle["albedo"], torch.tensor(RIGHT), atol=0.02)
    assert torch.allclose(middle["normal"], torch.tensor([1.0, 0.5, 0.5]), atol=0.06)
    assert middle["opacity"].tolist() == [1, 1, 1]
    assert torch.allclose(picture_of(render, "color")[0, :, 0, 0], torch.tensor(BACKGROUND))
    depth = render.buffer("depth")[0, 0]
    assert depth[0, 0] == 0 and abs(float(depth[24, 24]) - 1.75) < 0.01


def test_four_sides_stand_side_by_side():
    sheet = four_sides(MeshDrawing(painted_box()), distance=2.5, fov_deg=33.8, size_px=32)
    assert sheet.shape == (3, 64, 128)
    assert torch.allclose(sheet[:, 16, 16], torch.tensor(FRONT), atol=0.02)
    assert torch.allclose(sheet[:, 16, 48], torch.tensor(RIGHT), atol=0.02)
