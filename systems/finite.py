"""Numbers that are no longer finite end a stage at their step, with the checkpoint from before them kept."""

from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from sv3dgen.errors import InputError

GPU_EVERY_STEPS = 20  # how often a GPU is waited for


class Finite(lightning.Callback):
    """Raises InputError, with stage, step and losses, where a loss, a gradient or a parameter is not finite.

    Losses and gradients of every step are looked at where they are; the answer is read at once on a CPU, and every
    `GPU_EVERY_STEPS` steps and before a checkpoint on a GPU, which is not to be waited for in between. What is told is
    the first step that went wrong. It has to come before the callback that writes checkpoints.
    """

    def __init__(self, stage: str, checkpoint: Path, checkpoint_every_steps: int):
        self.stage, self.checkpoint, self.every_steps = stage, checkpoint, checkpoint_every_steps
        self._seen: list[tuple[int, dict[str, Tensor], Tensor]] = []  # step, losses, whether all of it is finite

    def on_before_optimizer_step(self, trainer: lightning.Trainer, module: Any, optimizer: Any) -> None:
        losses = {name: loss.detach() for name, loss in module.last.losses.items()}
        gradients = [parameter.grad for group in optimizer.param_groups for parameter in group["params"]]
        largest = largest_magnitude([gradient for gradient in gradients if gradient is not None])
        finite = torch.isfinite(module.last.loss.detach()) & torch.isfinite(largest)
        self._seen.append((trainer.global_step + 1, losses, finite))
        if finite.device.type == "cpu":
            self._look()  # before the step is taken

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        step = trainer.global_step
        if step % GPU_EVERY_STEPS == 0 or step % self.every_steps == 0:
            self.check(trainer, module)

    def on_train_end(self, trainer: lightning.Trainer, module: Any) -> None:
        self.check(trainer, module)

    def check(self, trainer: lightning.Trainer, module: Any) -> None:
        """Look at what was noted since the last time, and at the parameters as they are."""
        self._look()
        trained = [parameter.detach() for parameter in module.parameters() if parameter.requires_grad]
        if not torch.isfinite(largest_magnitude(trained)):
            self._refuse(trainer.global_step, "a parameter is not finite", {})

    def _look(self) -> None:
        seen, self._seen = self._seen, []
        if not seen or bool(torch.stack([finite for _, _, finite in seen]).all()):
            return
        step, losses, _ = next(entry for entry in seen if not entry[2])
        what = "a gradient" if all(bool(loss.isfinite().all()) for loss in losses.values()) else "the loss"
        self._refuse(step, f"{what} is not finite", losses)

    def _refuse(self, step: int, what: str, losses: dict[str, Tensor]) -> None:
        told = ", ".join(f"{name} {loss.float().mean().item():.4g}" for name, loss in losses.items())
        kept = f"{self.checkpoint} is from before" if self.checkpoint.is_file() else "there is no checkpoint yet"
        raise InputError(
            f"{self.stage}: step {step}: {what}{f' ({told})' if told else ''}; {kept}; expected a lower learning rate "
            "or other weights of the losses"
        )


def largest_magnitude(tensors: list[Tensor]) -> Tensor:
    """The largest absolute value in all of the tensors, NaN where there is one; 0 of none, as of empty ones."""
    filled = [tensor for tensor in tensors if tensor.numel()]
    if not filled:
        return torch.zeros(())
    if any(tensor.device.type != "cpu" for tensor in filled):
        return torch.nn.utils.get_total_norm(filled, norm_type=torch.inf)  # all of them in one launch
    # On a CPU the norm takes several times as long: it is computed number by number.
    return torch.stack([end.abs().double() for tensor in filled for end in torch.aminmax(tensor)]).max()
