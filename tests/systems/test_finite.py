import pytest
import torch

from systems.finite import largest_magnitude


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 1])
def test_one_number_that_is_not_finite_shows(wrong, place):
    tensors = [torch.randn(300, 2), torch.randn(5).half()]
    tensors[place][3] = wrong
    assert not torch.isfinite(largest_magnitude(tensors))


def test_the_largest_magnitude_of_all():
    tensors = [torch.tensor([[1.0, -7.0]]), torch.empty(0, 3), torch.tensor([5.0], dtype=torch.bfloat16)]
    assert largest_magnitude(tensors) == 7
    assert largest_magnitude([]) == largest_magnitude([torch.empty(0)]) == 0
