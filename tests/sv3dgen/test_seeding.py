"""Streams of random numbers follow from a seed and words alone."""

import torch

from sv3dgen.seeding import generator, seed_draws, seed_of


def test_a_stream_repeats_whatever_was_drawn_before():
    first = torch.rand(4, generator=generator(3, "batch", 7))
    torch.rand(100)
    assert torch.equal(first, torch.rand(4, generator=generator(3, "batch", 7)))


def test_seeds_words_and_their_order_keep_streams_apart():
    names = [(0, "a", 1), (1, "a", 0), (0, "a", 0), (0, 1, "a"), (0, "b", 1), (0, "a"), (0,)]
    draws = {tuple(torch.rand(4, generator=generator(*name)).tolist()) for name in names}
    assert len(draws) == len(names)


def test_neighboring_steps_are_uncorrelated():
    draws = torch.stack([torch.randn(2000, generator=generator(0, "step", step)) for step in range(20)])
    correlation = torch.corrcoef(draws) - torch.eye(20)
    assert correlation.abs().max() < 5 / 2000**0.5


def test_the_numbers_are_the_same_on_every_machine():
    assert seed_of(0, "batch", 1) == 626413509660971761


def test_draws_without_a_generator_are_seeded_as_torch_does():
    torch.manual_seed(5)
    expected = torch.rand(4)
    seed_draws(5, torch.device("cpu"))
    assert torch.equal(torch.rand(4), expected)
