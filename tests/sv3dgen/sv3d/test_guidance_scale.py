"""Guidance scales against the numbers that were released, and against their symmetries."""

import pytest
import torch

from sv3dgen.errors import InputError
from sv3dgen.sv3d.config import SamplerConfig
from sv3dgen.sv3d.guidance_scale import linear_scale, scale_by_name, triangular_scale


def test_released_triangle():
    scale = triangular_scale(21)
    assert scale.dtype == torch.float32
    assert scale[:11].tolist() == pytest.approx([1 + 0.15 * frame for frame in range(11)], rel=1e-6)
    assert scale[0] == scale[-1] == 1 and scale[10] == 2.5


@pytest.mark.parametrize("frames", [2, 3, 8, 14, 21])
def test_triangle_is_the_same_both_ways_round(frames):
    scale = triangular_scale(frames, lowest=1.5, highest=3.0)
    torch.testing.assert_close(scale, scale.flip(0))
    assert (scale[: (frames + 1) // 2].diff() > 0).all()
    assert scale.min() == 1.5 and scale.max() <= 3


def test_shorter_period_repeats():
    scale = triangular_scale(21, period=0.5)
    torch.testing.assert_close(scale[:11], scale[10:])
    assert scale[5] == 2.5 and scale[10] == pytest.approx(1)


def test_linear_grows_evenly():
    scale = linear_scale(5, lowest=1.0, highest=3.0)
    assert scale.tolist() == [1.0, 1.5, 2.0, 2.5, 3.0]


def test_by_name():
    config = SamplerConfig(guidance_min=1.2, guidance_max=2.2)
    assert torch.equal(scale_by_name("triangular", config, 9), triangular_scale(9, lowest=1.2, highest=2.2))
    assert torch.equal(scale_by_name("linear", config, 9), linear_scale(9, lowest=1.2, highest=2.2))


def test_unknown_name_is_refused():
    name: str = "square"
    with pytest.raises((InputError, TypeError), match=r"square|type"):
        scale_by_name(name, SamplerConfig(), 9)
