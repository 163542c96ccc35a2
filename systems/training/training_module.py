"""What the trainings of SV3D's parts have in common: a step, a warm-up, what a checkpoint holds."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import lightning
import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.sv3d.checkpoint.load import Parts
from sv3dgen.sv3d.config import SV3DConfig
from sv3dgen.sv3d.network.image_encoder import ImageEncoder
from sv3dgen.sv3d.network.unet import VideoUNet
from sv3dgen.sv3d.network.vae import ImageVAE
from systems.training.batches import TrainingBatch
from systems.training.callbacks import check_loss
from systems.weighting import Weighted, check_steps

LAST_RATE = 0.01  # of the learning rate, at the last step


class TrainingModule(lightning.LightningModule):
    """A model in training, some of whose parameters learn: those that ask for a gradient.

    A checkpoint holds these and the module's own buffers; what is frozen is read or made anew.
    """

    unet: VideoUNet
    vae: ImageVAE
    image_encoder: ImageEncoder
    config: SV3DConfig

    def __init__(self, *, steps: int, seed: int, learning_rate: float | int, warmup_steps: int):
        super().__init__()
        check_steps(steps, seed)
        self.steps, self.seed = steps, seed
        self.learning_rate, self.warmup_steps = learning_rate, warmup_steps
        self.last = Weighted(torch.zeros(()))
        self.strict_loading = False  # frozen weights are not in a run's checkpoints

    @property
    def parts(self) -> Parts:
        """The modules, as they are now."""
        return Parts(self.unet, self.vae, self.image_encoder)

    def trained_parameters(self) -> list[tuple[str, torch.nn.Parameter]]:
        """What the optimizer changes, by name."""
        return [(name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]

    @abstractmethod
    def losses(self, batch: TrainingBatch, step: int) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The loss of a step, and the numbers that are told of it by name."""

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, then a straight line down to a hundredth at the last step."""
        rest = 1 - (1 - LAST_RATE) * min(1.0, step / self.steps)
        return self.learning_rate * rest * min(1.0, (step + 1) / max(1, self.warmup_steps))

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = self.learning_rate_at(self.global_step)
        loss, told = self.losses(batch, self.global_step)
        check_loss(self.trainer, loss, batch.orbits.names)
        self.last = Weighted(loss.detach(), {name: value.detach() for name, value in told.items()})
        return loss

    @abstractmethod
    def save_weights(self, path: Path) -> None:
        """Write the whole model as an official file in half precision, and its sizes next to it."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept = {name for name, _ in self.trained_parameters()} | {name for name, _ in self.named_buffers(recurse=False)}
        checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in kept}
