"""A checkpoint of the tiny model, written once a module."""

from pathlib import Path

import pytest
from loaded_parts import Values
from tiny_checkpoint import tensors, write_checkpoint


@pytest.fixture(scope="module")
def values() -> Values:
    return tensors()


@pytest.fixture(scope="module")
def checkpoint(values: Values, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    return write_checkpoint(tmp_path_factory.mktemp("tiny"), values)
