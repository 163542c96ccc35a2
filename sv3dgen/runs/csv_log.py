"""The table of numbers of a run that is resumed: Lightning's CSV logger would begin it anew."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger

from sv3dgen.runs.number_rows import number_rows


def keep_numbers(loggers: object, *, stages: Sequence[str], stage: str, step: int) -> None:
    """Have CSV loggers go on with the rows that are there, up to a step of a stage; those after it will come again.

    `stages` are the run's, in order: rows of earlier ones are kept. For loggers that have not logged yet.
    """
    for logger in loggers if isinstance(loggers, Iterable) else [loggers]:
        if not isinstance(logger, CSVLogger):
            continue
        rows = [row for row in _stepped(Path(logger.log_dir) / "metrics.csv") if _is_before(row, stages, stage, step)]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*exists and is not empty")  # it deletes the file, which is read
            experiment = logger.experiment
        for row in rows:
            experiment.log_metrics(row, int(row["step"]))
        logger.save()


def _stepped(file: Path) -> list[dict[str, int | float]]:
    """The rows as they were logged, NaN as well; without those that a kill, or something else, has damaged."""
    return [row for row in number_rows(file, finite=False) if isinstance(row.get("step"), int)]


def _is_before(row: Mapping[str, int | float], stages: Sequence[str], stage: str, step: int) -> bool:
    """Whether a row was logged before the step of the stage; one that names no stage is taken for the stage's."""
    logged = next((name for name in stages if any(f"{name}/" in key for key in row)), stage)
    place, reached = stages.index(logged), stages.index(stage)
    return place < reached or (place == reached and row["step"] <= step)
