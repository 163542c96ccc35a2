"""Group normalization with a gradient of its own against torch's."""

import pytest
import torch
from torch import nn

from sv3dgen.sv3d.training.norm import fast_norms

SHAPES = [((2, 8, 5, 3), True), ((2, 8, 5, 3), False), ((3, 8, 7), False), ((2, 8, 3, 4, 2), False)]


@pytest.mark.parametrize(("shape", "channels_last"), SHAPES)
def test_values_and_gradients_are_torchs(shape, channels_last):
    generator = torch.Generator().manual_seed(0)
    plain, fast = nn.GroupNorm(4, 8, eps=1e-3).double(), nn.GroupNorm(4, 8, eps=1e-3).double()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.normal_(generator=generator)
    fast.load_state_dict(plain.state_dict())
    fast_norms(fast)
    x = torch.randn(shape, generator=generator, dtype=torch.float64) * 2 + 1
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    gradient = torch.randn(shape, generator=generator, dtype=torch.float64)
    results = []
    for layer in (plain, fast):
        given = x.clone().requires_grad_()
        y = layer(given)
        y.backward(gradient)
        results.append([y, given.grad, layer.weight.grad, layer.bias.grad])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)  # sums are in float32


def test_other_layouts_and_no_gradient():
    layer = nn.GroupNorm(2, 4)
    fast_norms(layer)
    x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)).transpose(1, 2)  # not contiguous
    expected = nn.functional.group_norm(x, 2, layer.weight, layer.bias, layer.eps)
    torch.testing.assert_close(layer(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)
    assert sorted(name for name, _ in layer.named_parameters()) == ["bias", "weight"]
