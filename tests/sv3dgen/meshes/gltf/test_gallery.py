"""One object written with every feature of glTF that is read: it is drawn as it is without the feature.

How a renderer of others draws the same files: docs/inputs.md, by `tests/helpers/against_three.py`.
"""

from pathlib import Path

import pytest
import torch
from gltf_gallery import write_gallery

from sv3dgen.meshes.files import read_mesh
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.cameras import look_at_origin

CAMERAS = look_at_origin(torch.tensor([20.0]), torch.tensor([25.0]), distance=2.2, fov_deg=40.0, size_px=96)
ALIKE = ("quantized", "second_uv", "webp", "avif", "jpeg", "palette", "strips", "points_too")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {path.stem: path for path in write_gallery(tmp_path_factory.mktemp("gallery"))}


def test_every_file_is_read(gallery: dict[str, Path]) -> None:
    for path in gallery.values():
        mesh = read_mesh(path)
        assert mesh.textures or mesh.vertex_colors is not None, path.stem


def test_features_that_change_nothing_to_be_seen(gallery: dict[str, Path]) -> None:
    plain = render_textured(read_mesh(gallery["unlit"]), CAMERAS, 2)
    for name in ALIKE:
        drawn = render_textured(read_mesh(gallery[name]), CAMERAS, 2)
        assert float((drawn - plain).abs().mean()) < 0.01, name
