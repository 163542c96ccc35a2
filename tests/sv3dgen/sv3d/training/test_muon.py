"""The optimizer that makes updates orthogonal."""

import copy

import pytest
import torch
from torch import nn

from sv3dgen.sv3d.training.muon import Muon, is_matrix, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (6, 40), (40, 6), (1, 5)])
def test_singular_values_become_nearly_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.linalg.svdvals(orthogonal(matrix[None])[0])
    assert (0.6 < values).all() and (values < 1.25).all()
    found = u.T @ orthogonal(matrix[None])[0] @ v.T  # the same directions
    assert (found - torch.diag(torch.diag(found))).abs().max() < 0.05


def test_update_has_adams_size_and_kernels_count_as_matrices():
    layer = nn.Conv2d(16, 32, 3, bias=False)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0)) * 1e-4
    Muon(layer.named_parameters(), lr=0.1).step()
    rms = (layer.weight.detach() - before).square().mean().sqrt()
    assert rms == pytest.approx(0.1 * 0.2, rel=0.2)


def test_others_go_as_adamw():
    torch.manual_seed(0)
    layer = nn.LayerNorm(7)
    other = copy.deepcopy(layer)
    ours = Muon(layer.named_parameters(), lr=0.03, weight_decay=0.1)
    theirs = torch.optim.AdamW(other.parameters(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for _ in range(4):
        for one, two in zip(layer.parameters(), other.parameters(), strict=True):
            one.grad = torch.randn(one.shape)
            two.grad = one.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(list(layer.parameters()), list(other.parameters()))


def test_which_parameters_are_matrices():
    weight, vector = torch.zeros(4, 3, 3, 3), torch.zeros(4)
    assert is_matrix("unet.down_blocks.0.conv1.weight", weight)
    assert not is_matrix("unet.conv_in.weight", weight) and not is_matrix("unet.time_embedding.linear_1.weight", weight)
    assert not is_matrix("unet.norm.weight", vector)


def test_state_goes_on_where_it_stopped():
    torch.manual_seed(0)
    layer = nn.Linear(5, 3)
    gradients = [[torch.randn_like(p) for p in layer.parameters()] for _ in range(4)]

    def train(model, muon, some):
        for gradient in some:
            for parameter, value in zip(model.parameters(), gradient, strict=True):
                parameter.grad = value.clone()
            muon.step()

    whole = copy.deepcopy(layer)
    train(whole, Muon(whole.named_parameters(), lr=0.1), gradients)
    first = Muon(layer.named_parameters(), lr=0.1)
    train(layer, first, gradients[:2])
    second = Muon(layer.named_parameters(), lr=0.1)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(layer, second, gradients[2:])
    torch.testing.assert_close(list(layer.parameters()), list(whole.parameters()), rtol=0, atol=0)
