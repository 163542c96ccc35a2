"""What a glTF file's alpha leaves of a surface: holes are cut out, and what is seen through is refused."""

import numpy as np
import pytest
import torch
from gltf_case import RED, SQUARE_UV, seen
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh


def test_an_alpha_mask_is_cut_out(case, tmp_path):
    picture = np.full((64, 64, 4), 255, dtype=np.uint8)
    y, x = np.mgrid[:64, :64]
    hole = (x - 31.5) ** 2 + (y - 31.5) ** 2 < 16**2
    picture[hole, 3] = 40
    material = case.textured(Image.fromarray(picture), alphaMode="MASK", alphaCutoff=0.4)
    case.square(TEXCOORD_0=SQUARE_UV, material=material)
    path = case.save(tmp_path / "a.glb")
    mesh = read_mesh(path)
    triangles = mesh.vertices[mesh.faces]
    area = 0.5 * torch.linalg.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]).norm(dim=-1)
    assert float(area.sum()) == pytest.approx(1 - hole.mean(), abs=0.01)
    _, opacity = seen(path)
    assert float(opacity[32, 32]) == 0 and float(opacity[24, 24]) == 1


@pytest.mark.parametrize("alpha, refused", [(255, False), (110, True)])
def test_translucent_surfaces_are_refused(case, tmp_path, alpha, refused):
    material = case.textured(Image.new("RGBA", (4, 4), (255, 0, 0, alpha)), alphaMode="BLEND")
    case.square(TEXCOORD_0=SQUARE_UV, material=material)
    path = case.save(tmp_path / "a.glb")
    if refused:
        with pytest.raises(InputError, match="alphaMode BLEND"):
            read_mesh(path)
    else:
        assert len(read_mesh(path).faces) == 2


def test_an_opaque_material_ignores_alpha(case, tmp_path):
    case.square(TEXCOORD_0=SQUARE_UV, material=case.textured(Image.new("RGBA", (4, 4), (255, 0, 0, 0))))
    rgb, opacity = seen(case.save(tmp_path / "a.glb"))
    assert rgb[32, 32].tolist() == pytest.approx(RED) and float(opacity[32, 32]) == 1
