"""What a stage goes on from: a checkpoint that somebody has changed is one line, and no number leads out of bounds."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from sv3dgen.errors import InputError
from systems.fitting import LastCheckpoint, fit

TRAINER = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "enable_progress_bar": False}


class Line(lightning.LightningModule):
    """Fits four numbers."""

    def __init__(self, fails: bool = False):
        super().__init__()
        self.numbers, self.fails = torch.nn.Parameter(torch.zeros(4)), fails

    def training_step(self, *_: Any) -> torch.Tensor:
        if self.fails:
            raise KeyError("of its own")
        return ((self.numbers - 1) ** 2).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1, fused=True)


def fitted(folder: Path, steps: int, checkpoint: Path | None = None, fails: bool = False) -> Line:
    line = Line(fails)
    last = LastCheckpoint(folder / "last.ckpt", "coarse", every_steps=2)
    trainer = {**TRAINER, "default_root_dir": folder}
    fit(line, steps=steps, trainer=trainer, callbacks=[last], checkpoint=checkpoint)
    return line


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("line")
    fitted(folder, 2)
    return torch.load(folder / "last.ckpt", weights_only=True)


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    # Adam's fused step wrote behind the end of it.
    "exp_avg .* has the shape": lambda all_: all_["optimizer_states"][0]["state"][0].update(exp_avg=torch.zeros(2)),
    "parameter groups": lambda all_: all_["optimizer_states"][0].update(param_groups=[]),
    "'str' object": lambda all_: all_.update(optimizer_states="x"),
    "size mismatch": lambda all_: all_["state_dict"].update(numbers=torch.zeros(5)),
    "Unexpected key": lambda all_: all_["state_dict"].update(more=torch.zeros(5)),
    "Missing key": lambda all_: all_["state_dict"].clear(),
    "state_dict": lambda all_: all_.pop("state_dict"),
    "pytorch-lightning_version": lambda all_: all_.pop("pytorch-lightning_version"),
    "RNG state": lambda all_: all_.update(random_state=torch.zeros(3, dtype=torch.uint8)),
    "keys": lambda all_: all_.update(callbacks="x"),
}


@pytest.mark.parametrize("told", list(CHANGES))
def test_a_changed_checkpoint_is_one_line(told: str, saved: dict[str, Any], tmp_path: Path) -> None:
    changed = copy.deepcopy(saved)
    CHANGES[told](changed)
    torch.save(changed, tmp_path / "changed.ckpt")
    with pytest.raises(InputError, match=rf"changed.ckpt: damaged, or of another run \(.*{told}.*\); expected it as"):
        fitted(tmp_path, 4, tmp_path / "changed.ckpt")


def test_a_whole_one_is_gone_on_with_and_what_fails_later_is_no_fault_of_it(
    saved: dict[str, Any], tmp_path: Path
) -> None:
    torch.save(saved, tmp_path / "whole.ckpt")
    assert torch.equal(fitted(tmp_path, 4, tmp_path / "whole.ckpt").numbers, fitted(tmp_path, 4).numbers)
    with pytest.raises(KeyError, match="of its own"):
        fitted(tmp_path, 4, tmp_path / "whole.ckpt", fails=True)
