"""What the tests of glTF files share."""

import pytest
from gltf_case import GltfCase


@pytest.fixture
def case():
    return GltfCase()
