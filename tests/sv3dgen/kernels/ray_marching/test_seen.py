"""What light still comes from: front to back in numba, against all samples at once."""

import pytest
import torch

from sv3dgen.kernels.ray_marching.march import march, prune
from sv3dgen.kernels.ray_marching.seen import march_seen

BOX = torch.tensor([[-0.6, -0.4, -0.3], [0.5, 0.5, 0.4]])


class Ball:
    """A ball of some density in thin fog, that counts the points it is asked for."""

    def __init__(self, density: float, fog: float = 0.1):
        self.density, self.fog, self.asked = density, fog, 0

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        self.asked += len(points)
        return torch.where(points.square().sum(1) < 0.3**2, self.density, self.fog)


def rays(number: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    origins = torch.randn(number, 3, generator=generator)
    aim = (torch.rand(number, 3, generator=generator) - 0.5) * 0.8 - origins
    aim[::5, 1:] = 0
    return origins, torch.nn.functional.normalize(aim, dim=-1), torch.rand(number, generator=generator)


def seen(ball: Ball, backend: str, occupied: torch.Tensor, number: int = 400, **limits: float):
    origins, directions, jitter = rays(number)
    where = origins, directions, occupied, BOX
    return march_seen(ball, *where, step_size=0.004, jitter=jitter, backend=backend, **limits)


@pytest.mark.parametrize("density", [0.0, 3.0, 40.0, 1e4])
@pytest.mark.parametrize("min_transmittance, min_alpha", [(1e-3, 0.0), (0.5, 1e-3), (1e-3, 5e-3)])
def test_the_same_samples_as_of_all_at_once(density, min_transmittance, min_alpha):
    occupied = torch.rand((20, 17, 24), generator=torch.Generator().manual_seed(1)) < 0.7
    limits = {"min_transmittance": min_transmittance, "min_alpha": min_alpha}
    (expected, expected_density), (ours, our_density) = (
        seen(Ball(density), backend, occupied, **limits) for backend in ("torch", "numba")
    )
    for name in ("ray_index", "t", "delta", "offsets"):
        assert torch.equal(getattr(ours, name), getattr(expected, name)), name
    assert torch.equal(our_density, expected_density)


def test_what_lies_behind_a_surface_is_not_asked_for():
    occupied = torch.ones(16, 16, 16, dtype=torch.bool)
    origins, directions, jitter = rays(400)
    all_of_them = march(origins, directions, occupied, BOX, step_size=0.004, jitter=jitter)
    ball = Ball(100.0, fog=0.0)
    samples, density = seen(ball, "numba", occupied, min_alpha=0.0)
    points = origins[all_of_them.ray_index] + all_of_them.t[:, None] * directions[all_of_them.ray_index]
    whole = Ball(100.0, fog=0.0)(points)
    kept = prune(whole, all_of_them.delta, all_of_them.offsets, min_alpha=0.0)
    assert 0 < len(samples.t) == int(kept.sum()) < ball.asked < 0.8 * len(all_of_them.t)
    assert torch.equal(samples.t, all_of_them.t[kept]) and torch.equal(density, whole[kept])


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_no_rays_and_nothing_there(backend):
    empty = torch.zeros(4, 4, 4, dtype=torch.bool)
    for occupied, number in ((empty, 30), (~empty, 0)):
        samples, density = seen(Ball(1.0), backend, occupied, number)
        assert samples.offsets.tolist() == [0] * (number + 1) and len(samples.t) == len(density) == 0


def test_step_size_must_be_positive():
    with pytest.raises(ValueError, match="step_size"):
        march_seen(Ball(1.0), *rays(3)[:2], torch.ones(2, 2, 2).bool(), BOX, step_size=0.0, jitter=torch.zeros(3))
