"""Muon: momentum whose update of a matrix is made orthogonal (Jordan et al. 2024), for training from nothing.

All directions of a layer move by the same amount, also those that the gradient hardly sees: color, next to the far
larger variance of brightness. torch.optim has it for matrices alone; here kernels of convolutions count as matrices,
and what is no matrix, or touches inputs and outputs, is AdamW's.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

_COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of the quintic iteration; singular values end within about 0.7 and 1.2
_ITERATIONS = 5
_RMS = 0.2  # of an update, as AdamW's are: one learning rate suits both (Liu et al. 2025, section 2.2)
_ADAM_SHARE = 1 / 3  # of the learning rate
_BETAS, _EPS = (0.9, 0.99), 1e-8
_OUTER = ("conv_in.weight", "decoder.conv_out.weight", "unet.conv_out.weight")


class Muon(torch.optim.Optimizer):
    """Takes named parameters; `lr` and `weight_decay` are as AdamW's would be. Not for sharded parameters."""

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        lr: float | int,
        *,
        weight_decay: float | int = 0.0,
        momentum: float | int = 0.95,
    ) -> None:
        matrices, others = [], []
        for name, parameter in parameters:
            (matrices if is_matrix(name, parameter) else others).append(parameter)
        groups = [{"params": params, "matrices": whole} for params, whole in ((matrices, True), (others, False))]
        super().__init__(
            [group for group in groups if group["params"]],
            {"lr": lr, "weight_decay": weight_decay, "momentum": momentum},
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One update; Lightning's closure makes the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            learning = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["matrices"]:
                self._muon(learning, group)
            else:
                for parameter in learning:
                    self._adam(parameter, parameter.grad, group)
        return loss

    def _muon(self, parameters: list[Tensor], group: dict) -> None:
        """Those of one shape together: on a CPU, hundreds of small products take longer than a few large ones."""
        shapes: dict[tuple[int, int], list[Tensor]] = {}
        for parameter in parameters:
            shapes.setdefault((len(parameter), parameter[0].numel()), []).append(parameter)
        for shape, alike in shapes.items():
            ahead = []
            for parameter in alike:
                gradient = parameter.grad
                assert gradient is not None
                mean = self.state[parameter].setdefault("mean", torch.zeros_like(gradient))
                mean.lerp_(gradient, 1 - group["momentum"])
                ahead.append(gradient.lerp(mean, group["momentum"]).flatten(1))  # as Nesterov's
            size = group["lr"] * _RMS * max(shape) ** 0.5
            for parameter, update in zip(alike, orthogonal(torch.stack(ahead)), strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.view_as(parameter), alpha=-size)

    def _adam(self, parameter: Tensor, gradient: Tensor, group: dict) -> None:
        state, rate = self.state[parameter], group["lr"] * _ADAM_SHARE
        if not state:
            state.update(step=0, mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient))
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - _BETAS[0])
        state["square"].lerp_(gradient.square(), 1 - _BETAS[1])
        mean, square = (
            state[name] / (1 - beta ** state["step"]) for name, beta in zip(("mean", "square"), _BETAS, strict=True)
        )
        parameter.mul_(1 - rate * group["weight_decay"])
        parameter.addcdiv_(mean, square.sqrt_().add_(_EPS), value=-rate)


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is one that Muon makes orthogonal: neither a vector, nor an embedding, nor an outer layer."""
    return parameter.dim() >= 2 and "embedding" not in name and not name.endswith(_OUTER)


def orthogonal(matrices: Float[Tensor, "matrices rows columns"]) -> Float[Tensor, "matrices rows columns"]:
    """U V^T of singular value decompositions U S V^T, nearly: by Newton and Schulz's iteration, in bfloat16."""
    first, third, fifth = _COEFFICIENTS
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=third, alpha=fifth), x, beta=first)
    return (x.mT if tall else x).to(matrices.dtype)
