"""Encoding and network in one kernel give what one after the other gives."""

import pytest
import torch
from numba import get_num_threads, set_num_threads
from torch import nn

from sv3dgen.kernels.hash_grid.encode import hash_encode, hash_grid_spec
from sv3dgen.kernels.hash_grid.network import hash_network

SPEC = hash_grid_spec(levels=5, base_resolution=4, growth=1.6, log2_table_size=9)


def problem(count: int, outputs: int = 4, width: int = 12):
    generator = torch.Generator().manual_seed(3)
    points = 1.2 * torch.rand(count, 3, generator=generator) - 0.1  # some outside of the cube
    table = torch.randn(SPEC.entries, 2, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = nn.Sequential(nn.Linear(SPEC.channels, width), nn.ReLU(), nn.Linear(width, outputs))
    return points, table, network


@pytest.mark.parametrize("active", [1, 3, 5])
@pytest.mark.parametrize("count", [0, 1, 255, 256, 5000])
def test_numba_equals_the_reference(count, active):
    points, table, network = problem(count)
    with torch.no_grad():
        expected = hash_network(points, table, SPEC, network, active_levels=active, backend="torch")
        found = hash_network(points, table, SPEC, network, active_levels=active, backend="numba")
    assert found.dtype == torch.float32 and not found.requires_grad
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_any_number_of_outputs_and_units():
    for outputs, width in ((1, 1), (7, 33)):
        points, table, network = problem(300, outputs, width)
        with torch.no_grad():
            found = hash_network(points, table, SPEC, network)
            torch.testing.assert_close(found, network(hash_encode(points, table, SPEC)), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("width", "active", "count"), [(12, 5, 300), (16, 3, 5000), (3, 1, 1)])
def test_gradients_equal_the_references(width, active, count):
    points, table, network = problem(count, width=width)
    leaves = [points.requires_grad_(), table.requires_grad_(), *network.parameters()]
    pull = torch.randn(count, 4, generator=torch.Generator().manual_seed(5))
    gradients = {}
    for backend in ("torch", "numba"):
        found = hash_network(points, table, SPEC, network, active_levels=active, backend=backend)
        gradients[backend] = torch.autograd.grad((found * pull).sum(), leaves)
    for expected, found in zip(gradients["torch"], gradients["numba"], strict=True):
        scale = float(expected.abs().max())
        torch.testing.assert_close(found, expected, atol=2e-5 * max(scale, 1.0), rtol=1e-3)


@pytest.mark.parametrize(("features", "outputs"), [(2, 1), (2, 5), (4, 4), (8, 17)])
def test_any_number_of_features_and_outputs_and_a_table_that_no_word_begins_with(features, outputs):
    spec = hash_grid_spec(levels=3, base_resolution=4, growth=1.6, log2_table_size=8, features_per_level=features)
    generator = torch.Generator().manual_seed(6)
    points = torch.rand(700, 3, generator=generator)
    numbers = torch.randn(1 + spec.entries * features, generator=generator)
    table = numbers[1:].view(-1, features).requires_grad_()  # 4 bytes into a word of 8
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = nn.Sequential(nn.Linear(spec.channels, 19), nn.ReLU(), nn.Linear(19, outputs))
    results = []
    for backend in ("torch", "numba"):
        found = hash_network(points, table, spec, network, backend=backend)
        results.append([found.detach(), *torch.autograd.grad(found.square().sum(), [table, *network.parameters()])])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-5 * max(float(expected.abs().max()), 1.0), rtol=1e-3)


def test_twice_where_it_is_asked_for():
    points, table, network = problem(50)
    found = hash_network(points.requires_grad_(), table, SPEC, network, twice=True)
    (slope,) = torch.autograd.grad(found.sum(), points, create_graph=True)
    slope.square().sum().backward()
    assert network[0].weight.grad is not None


def test_results_do_not_depend_on_the_threads():
    points, table, network = problem(9000)
    results = []
    before = get_num_threads()
    for threads in (1, before):
        set_num_threads(threads)
        network.zero_grad()
        hash_network(points, table, SPEC, network).square().sum().backward()
        results.append(network[0].weight.grad.clone())
    assert torch.equal(*results)


def test_what_is_not_a_number_stays_one():
    points, table, network = problem(10)
    table[:] = torch.nan
    with torch.no_grad():
        assert hash_network(points, table, SPEC, network).isnan().all()
