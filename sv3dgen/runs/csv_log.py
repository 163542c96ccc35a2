"""The table of numbers of a run that is resumed: Lightning's CSV logger would begin it anew."""

import csv
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger


def keep_numbers(loggers: object, *, stages: Sequence[str], stage: str, step: int) -> None:
    """Have CSV loggers go on with the rows that are there, up to a step of a stage; those after it will come again.

    `stages` are the run's, in order: rows of earlier ones are kept. For loggers that have not logged yet.
    """
    for logger in loggers if isinstance(loggers, Iterable) else [loggers]:
        if not isinstance(logger, CSVLogger):
            continue
        rows = [row for row in _rows(Path(logger.log_dir) / "metrics.csv") if _is_before(row, stages, stage, step)]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*exists and is not empty")  # it deletes the file, which is read
            experiment = logger.experiment
        for row in rows:
            experiment.log_metrics(row, int(row["step"]))
        logger.save()


def _rows(file: Path) -> list[dict[str, int | float]]:
    """The rows as they were logged; without one that a kill cut off, and none of a file that is not there."""
    if not file.is_file():
        return []
    whole = [line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    return [
        {name: int(text) if text.isdigit() else float(text) for name, text in row.items() if text}
        for row in csv.DictReader(whole)
    ]


def _is_before(row: Mapping[str, int | float], stages: Sequence[str], stage: str, step: int) -> bool:
    """Whether a row was logged before the step of the stage; one that names no stage is taken for the stage's."""
    logged = next((name for name in stages if any(f"{name}/" in key for key in row)), stage)
    place, reached = stages.index(logged), stages.index(stage)
    return place < reached or (place == reached and row["step"] <= step)
