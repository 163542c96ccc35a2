"""A sweep's table on Weights & Biases, in the group of its runs. Imported only where it is asked for."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import wandb

from sv3dgen.errors import InputError
from sv3dgen.runs.wandb_log import opened, told_where
from sv3dgen.tables.runs import AblationRun


class Home(NamedTuple):
    """Where a sweep's runs have gone to."""

    project: str
    group: str
    offline: bool
    folder: Path  # of the sweep


def home(runs: Sequence[AblationRun]) -> Home:
    """Where runs have gone to; InputError where they went nowhere, or to several places."""
    found = {_home(run) for run in runs if run.config}
    if len(found) != 1 or None in found:
        raise InputError("--wandb: expected the runs of one sweep with logger=wandb, whose group the table joins")
    (only,) = found
    assert only is not None
    return only


def send(table: str, notes: str, place: Home) -> str:
    """Log the table, comma-separated, with its notes, as a run `table` of its own in the sweep's group; says where."""
    run = opened(
        lambda: wandb.init(
            project=place.project,
            group=place.group,
            name="table",
            job_type="table",
            dir=str(place.folder),
            mode="offline" if place.offline else "online",
            settings=wandb.Settings(silent=True, console="off"),
        ),
        place.folder,
        offline=place.offline,
    )
    head, *lines = csv.reader(io.StringIO(table))
    columns = [_values(texts) for texts in zip(*lines, strict=True)]
    run.log({"table": wandb.Table(columns=head, data=[list(row) for row in zip(*columns, strict=True)])})
    run.notes = notes
    told = told_where(run, offline=place.offline)
    run.finish()
    return told


def _values(texts: Sequence[str]) -> list[Any]:
    """A column's numbers, where all its texts are such; nothing for empty ones. wandb refuses columns of two kinds."""
    try:
        return [float(text) if text else None for text in texts]
    except ValueError:
        return [text or None for text in texts]


def _home(run: AblationRun) -> Home | None:
    logger = run.config.get("logger")
    if not isinstance(logger, dict) or not str(logger.get("_target_")).endswith("WandbLog"):
        return None
    sweep = run.folder.resolve().parent
    return Home(str(logger["project"]), str(logger.get("group") or sweep.name), bool(logger.get("offline")), sweep)
