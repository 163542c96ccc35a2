"""The bench of imperfect views: each of its parts is a way in which a run can be started, other than the default."""

import pytest
from stage_case import composed

from sv3dgen.bench.imperfect import PARTS


@pytest.fixture(scope="module")
def default():
    return composed("views=views", "preset=cpu")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_sets_what_the_config_has(part, default):
    changed = composed("views=views", "preset=cpu", *PARTS[part].settings)
    assert (changed == default) == (not PARTS[part].settings)
