"""The progress line on a small Lightning run, its cost, and the last words."""

import io
import time
from pathlib import Path

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import sv3dgen.runs.progress
from sv3dgen.runs.progress import ProgressLine, StageLine, status, summary
from sv3dgen.runs.stage_timer import StageCost


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Line(lightning.LightningModule):
    """Fits one number; may stop in the middle."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(1))
        self.interrupt_at = interrupt_at

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if self.global_step == self.interrupt_at:
            raise RuntimeError("stopped")
        return (self.slope - batch[0]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def ones() -> DataLoader:
    return DataLoader(TensorDataset(torch.ones(1000)))


def fit(module: lightning.LightningModule, callback: ProgressLine, steps: int = 60, **arguments: object) -> None:
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, ones(), **arguments)  # type: ignore[arg-type]


pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'train_dataloader' does not have many workers",
    "ignore:You're resuming from a checkpoint that ended before the epoch ended",
)


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sv3dgen.runs.progress, "PLAIN_REFRESH_S", 0.0)
    stream = io.StringIO()
    fit(Line(), ProgressLine("coarse", stream=stream))
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("coarse   1/60 steps, ") and "loss 1, " in lines[0] and lines[0].endswith("it/s")
    assert " s left, " in lines[30]
    assert [line.split("/")[0] for line in lines[:3]] == ["coarse   1", "coarse   2", "coarse   3"]
    assert lines[-1].startswith("coarse   60/60 steps, ") and "left" not in lines[-1]
    assert "\x1b" not in stream.getvalue()


def test_a_resumed_stage_counts_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sv3dgen.runs.progress, "PLAIN_REFRESH_S", 0.0)
    first = lightning.Trainer(
        max_steps=20, accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False
    )
    first.fit(Line(), ones())
    first.save_checkpoint(tmp_path / "last.ckpt")
    stream = io.StringIO()
    fit(Line(), ProgressLine("coarse", stream=stream), ckpt_path=tmp_path / "last.ckpt")
    assert stream.getvalue().startswith("coarse   21/60 steps, ")


def test_a_short_stage_says_one_line() -> None:
    stream = io.StringIO()
    fit(Line(), ProgressLine("fine", stream=stream), steps=3)
    assert stream.getvalue().count("\n") == 1


def test_live_line_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    fit(Line(), ProgressLine("coarse", stream=stream))
    assert "60/60" in stream.getvalue() and "it/s" in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[?25h")  # the cursor is back


def test_an_interrupted_stage_gives_the_terminal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with pytest.raises(RuntimeError, match="stopped"):
        fit(Line(interrupt_at=20), ProgressLine("coarse", stream=stream))
    assert "20/60" in stream.getvalue() and stream.getvalue().endswith("\x1b[?25h")


def test_costs_less_than_a_tenth_of_a_millisecond_a_step() -> None:
    callback = ProgressLine("coarse", stream=io.StringIO())
    fit(Line(), callback, steps=2)
    loss = {"loss": torch.ones(())}
    trainer, module = lightning.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu"), Line()
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for step in range(200):
            callback.on_train_batch_end(trainer, module, loss, None, step)
        best = min(best, (time.perf_counter() - started) / 200)
    assert best < 1e-4


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((10, 100, 2.0, 5.0, 0.5), "18 s left, loss 0.5, 5.0 it/s"),
        ((60, 100, 2.0, 4.0, None), "10 s left, 4.0 it/s"),
        ((100, 100, 20.0, 5.0, 0.25), "20 s, loss 0.25, 5.0 it/s"),
        ((10, 0, 2.0, 5.0, None), "5.0 it/s"),  # open end
        ((0, 100, 0.0, 0.0, None), "0.0 it/s"),
    ],
)
def test_status(arguments: tuple, text: str) -> None:
    assert status(*arguments) == text


def test_summary_names_the_mesh_and_the_cost_of_each_stage() -> None:
    stages = {"coarse": StageCost(12.34, 3 * 2**29), "export": StageCost(5.0, 2**30, 2**31, finished=False)}
    assert summary("mesh", Path("outputs/toy/mesh/mesh.glb"), stages).splitlines() == [
        "mesh: outputs/toy/mesh/mesh.glb",
        "  coarse     12.3 s   1.50 GiB",
        "  export      5.0 s   1.00 GiB   2.00 GiB GPU  (stopped early)",
        "  total      17.3 s",
    ]


def test_the_last_line_has_the_last_steps_loss() -> None:
    stream = io.StringIO()
    line = StageLine("coarse", stream=stream)
    line.start(0, 3)
    for loss in (3.0, 2.0, 1.0):
        line.advance(lambda loss=loss: loss)
    line.close()
    assert "3/3 steps" in stream.getvalue() and "loss 1," in stream.getvalue().splitlines()[-1]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_an_end_that_comes_sooner_is_shown(stream):
    shown = stream()
    line = StageLine("coarse", stream=shown)
    line.start(0, 40)
    for _ in range(20):
        line.advance()
    line.ends_at(21)
    line.advance()
    line.close()
    assert "21/21" in shown.getvalue()
