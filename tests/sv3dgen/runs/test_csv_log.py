"""A resumed run's table of numbers: the rows up to its checkpoint stay, in the file that the new ones are added to."""

import csv
import math
from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger

from sv3dgen.runs.csv_log import keep_numbers

Rows = list[tuple[int, dict[str, float]]]
LOGGED: Rows = [
    (50, {"coarse/reference_views/rgb": 0.125, "coarse/learning_rate": 1e-05}),
    (100, {"coarse/reference_views/rgb": 1 / 3, "coarse/learning_rate": 0.0}),
    (50, {"fine/reference_views/rgb": 3.0}),
    (100, {"fine/reference_views/rgb": 2.0}),
]


def logger(folder: Path) -> CSVLogger:
    return CSVLogger(folder, name="", version="logs", flush_logs_every_n_steps=1)


def rows(folder: Path) -> Rows:
    with (folder / "logs" / "metrics.csv").open(newline="") as file:
        read = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    return [(int(row.pop("step")), row) for row in read]


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """What a run has logged that was killed, and another file next to it."""
    log = logger(tmp_path)
    for step, numbers in LOGGED:
        log.log_metrics(numbers, step)
    (tmp_path / "logs" / "hparams.yaml").touch()
    assert rows(tmp_path) == LOGGED  # without a word of its end
    return tmp_path


@pytest.mark.parametrize(
    ("stage", "step", "kept"),
    [("coarse", 0, 0), ("coarse", 50, 1), ("coarse", 120, 2), ("fine", 0, 2), ("fine", 50, 3), ("fine", 100, 4)],
)
def test_rows_after_the_checkpoint_are_dropped(killed: Path, stage: str, step: int, kept: int) -> None:
    log = logger(killed)
    keep_numbers([log], stages=["coarse", "fine"], stage=stage, step=step)
    log.log_metrics({"fine/sds/sds": 5.0}, 150)
    log.finalize("success")
    assert rows(killed) == [*LOGGED[:kept], (150, {"fine/sds/sds": 5.0})]


def test_rows_that_name_no_stage_go_by_their_step(tmp_path: Path) -> None:
    log = logger(tmp_path)
    for step in (10, 20, 30):
        log.log_metrics({"validation/static/psnr": float(step)}, step)
    log = logger(tmp_path)
    keep_numbers(log, stages=["train"], stage="train", step=20)
    assert [step for step, _ in rows(tmp_path)] == [10, 20]


def test_a_row_that_was_cut_off_is_left_out(killed: Path) -> None:
    file = killed / "logs" / "metrics.csv"
    file.write_bytes(file.read_bytes() + b"0.5,1.")
    keep_numbers(logger(killed), stages=["coarse", "fine"], stage="fine", step=100)
    assert rows(killed) == LOGGED


def test_where_nothing_was_logged_there_is_nothing_to_keep(tmp_path: Path) -> None:
    log = logger(tmp_path)
    keep_numbers(log, stages=["coarse"], stage="coarse", step=10)
    keep_numbers([], stages=["coarse"], stage="coarse", step=10)
    assert not (tmp_path / "logs" / "metrics.csv").exists()


def test_numbers_that_are_not_finite_stay(tmp_path: Path) -> None:
    log = logger(tmp_path)
    log.log_metrics({"train/loss": math.nan, "train/psnr": 1.0}, 10)
    log.log_metrics({"train/loss": math.inf}, 20)
    before = (tmp_path / "logs" / "metrics.csv").read_text()
    keep_numbers(logger(tmp_path), stages=["train"], stage="train", step=20)
    assert "nan" in before and "inf" in before
    assert (tmp_path / "logs" / "metrics.csv").read_text() == before
