"""An exponential moving average of weights while they are trained: what is validated and given away."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sv3dgen.sv3d.training.sharding import sharded_like, whole


class Ema:
    """Averages of parameters, in float32, on the parameters' devices.

    Update n = 1, 2, ... moves the average by 1 - min(decay, n / (9 + n)) of the way to the weights: a run's first
    weights, which are no good, are forgotten as fast as it makes better ones. `decay` 0 keeps no average, but the
    weights themselves.
    """

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], decay: float | int):
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay={decay}: expected at least 0 and less than 1")
        self.decay, self.updates = float(decay), 0
        named = dict(parameters)
        self.names, self.parameters = list(named), list(named.values())
        self.averages = [parameter.detach().float().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now; once after each step of the optimizer."""
        self.updates += 1
        decay = min(self.decay, self.updates / (9 + self.updates))
        self._follow_devices()
        for average, parameter in zip(self.averages, self.parameters, strict=True):
            average.lerp_(parameter.detach().float(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the averages in place of the weights."""
        self._follow_devices()
        weights = [parameter.detach().clone() for parameter in self.parameters]
        self._fill(self.averages)
        try:
            yield
        finally:
            self._fill(weights)

    @torch.no_grad()
    def _fill(self, values: list[Tensor]) -> None:
        """Write into the parameters; in place, because sharded ones must stay where they are."""
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)

    def state_dict(self) -> dict[str, int | dict[str, Tensor]]:
        """Whole averages; of sharded ones, all processes have to ask."""
        averages = {name: whole(average) for name, average in zip(self.names, self.averages, strict=True)}
        return {"updates": self.updates, "averages": averages}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a saved state, of the same parameters."""
        saved = state["averages"]
        assert list(saved) == self.names
        self.updates = state["updates"]
        for name, average in zip(self.names, self.averages, strict=True):
            average.copy_(sharded_like(saved[name].float(), average))

    def _follow_devices(self) -> None:
        self.averages = [
            average.to(parameter.device) for average, parameter in zip(self.averages, self.parameters, strict=True)
        ]
