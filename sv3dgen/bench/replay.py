"""Keep a few of a run's kernel calls, and replay them with another backend.

What plain torch would have needed for a run is too long to wait for. So a random sample of the run's own calls is kept
with its inputs, replayed with both backends, and the ratio of the two applied to the seconds that the run really spent.
"""

import dataclasses
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import Any

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Call:
    """One call as it was: its arguments by name, detached, and whether a backward pass was to follow."""

    arguments: Mapping[str, Any]
    with_gradient: bool


class Recorder:
    """Keeps `keep` calls of one function, each of the run's calls with equal chance (reservoir sampling)."""

    def __init__(
        self, function: Callable[..., Any], *, keep: int = 4, seed: int = 0, clock: Callable[[], float] = perf_counter
    ) -> None:
        self.function, self._clock = function, clock
        self.calls: list[Call] = []
        self.seen = 0
        self._keep = keep
        self._random = random.Random(seed)
        self._signature = inspect.signature(function)

    def look(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Count a call, and perhaps keep it in the place of an earlier one."""
        self.seen += 1
        slot = len(self.calls) if self.seen <= self._keep else self._random.randrange(self.seen)
        if slot >= self._keep:
            return
        bound = self._signature.bind(*args, **kwargs).arguments
        differentiable = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors_in(bound))
        call = Call(_snapshot(bound), differentiable)
        self.calls[slot : slot + 1] = [call]

    def replay(self, backend: str) -> float:
        """Mean seconds of the kept calls, backward pass included where the run had one."""
        return sum(self._replay(call, backend) for call in self.calls) / len(self.calls)

    def _replay(self, call: Call, backend: str) -> float:
        start = self._clock()
        with torch.set_grad_enabled(call.with_gradient):
            result = self.function(**{**call.arguments, "backend": backend})
        outputs = [tensor for tensor in tensors_in(result) if tensor.requires_grad]
        if call.with_gradient and outputs:
            torch.autograd.backward(outputs, [torch.ones_like(tensor) for tensor in outputs])
        elapsed = self._clock() - start
        for tensor in tensors_in(call.arguments):
            tensor.grad = None
        return elapsed


def slowdown(recorders: list[Recorder], backend: str = "torch") -> float | None:
    """How many times as long `backend` takes as the backend that ran, weighed by how often each function was called.

    None where nothing was called. The backend that ran is short, so of it the best of three counts.
    """
    used = [recorder for recorder in recorders if recorder.calls]
    if not used:
        return None
    ran = other = 0.0
    for recorder in used:
        recorder.replay("auto")
        ran += recorder.seen * min(recorder.replay("auto") for _ in range(3))
        other += recorder.seen * recorder.replay(backend)
    return other / ran


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists, dicts and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from tensors_in(getattr(value, field.name))


def _snapshot(value: Any) -> Any:
    """The same with its tensors cut from the graph; those that learn are copied, for the optimizer changes them."""
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_() if value.requires_grad else value.detach()
    if isinstance(value, Mapping):
        return {key: _snapshot(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_snapshot, value))
    if isinstance(value, (tuple, list)):
        return type(value)(map(_snapshot, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: _snapshot(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init
        }
        return dataclasses.replace(value, **changed)
    return value
