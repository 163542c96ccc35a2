"""A sweep's runs as the paper's table: `python -m sv3dgen.table SWEEP_FOLDER --meshes FOLDER --views FOLDER`.

Every finished run is scored once and its scores kept in its folder. Rows are the settings in which the runs differ, but
for object and seed: means over objects, spreads over seeds. Next to them stand the numbers of the paper.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sv3dgen.atomic import atomic_write
from sv3dgen.cli.command import OneLineParser, exit_status, within
from sv3dgen.errors import InputError
from sv3dgen.tables.rows import (
    PAPER_TABLES,
    Row,
    Scored,
    beside_paper,
    comma_separated,
    latex,
    markdown,
    paper_table,
    rows,
    twins_marked,
    uneven,
)
from sv3dgen.tables.runs import AblationRun, find_runs, varying
from sv3dgen.tables.scores import COLUMNS, Truth, scores_of_run

if TYPE_CHECKING:
    from sv3dgen.tables.wandb import Home


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 where some run has a score, 2 for something the user has to fix."""

    def command() -> int:
        options = _parser().parse_args(arguments)
        for folder, what in ((options.meshes, "NAME.glb"), (options.views, "NAME/transforms.json")):
            if folder is not None and not folder.is_dir():
                raise InputError(f"{folder}: no such folder, expected one with {what} for the name of each object")
        runs = find_runs(options.runs)
        place = _home(runs) if options.wandb else None
        made = table(
            runs, Truth(options.meshes, options.views, options.protocol, options.lpips, options.clip, options.size_px)
        )
        notes = "".join(f"{note}\n" for note in made.notes)
        text = made.text(options.format)
        if options.format == "csv":
            print(notes, file=sys.stderr, end="")
        if options.out is None:
            print(text, end="")
        else:
            with atomic_write(options.out) as temporary:
                temporary.write_text(text, encoding="utf-8")
        if place is not None:
            from sv3dgen.tables.wandb import send

            print(send(made.text("csv"), notes, place), file=sys.stderr)
        return 0

    return exit_status(command, "sv3dgen.table")


class Table(NamedTuple):
    """Rows of scores, ours and the paper's, and what is to be said next to them."""

    rows: list[Row]
    keys: list[str]  # settings in which the rows differ
    notes: list[str]

    def text(self, style: str) -> str:
        """As markdown or latex, with the notes, or as csv, which has no place for them."""
        if style == "csv":
            return comma_separated(self.rows, self.keys, COLUMNS)
        return (markdown if style == "markdown" else latex)(self.rows, self.keys, COLUMNS, self.notes)


def table(runs: Sequence[AblationRun], truth: Truth) -> Table:
    """The table of these runs. InputError where no run has a score."""
    experiments = {run.value("experiment") for run in runs if run.config}
    keys = varying(runs)
    paper = paper_table(experiments.pop() if len(experiments) == 1 else "", keys)
    keys += [] if paper is None else [key for key in paper["keys"] if key not in keys]
    scored: list[Scored] = []
    notes: list[str] = []
    for run in runs:
        scores, problems = ({}, [run.problem]) if run.problem is not None else scores_of_run(run, truth)
        where = str(run.folder)
        notes += [text if text.startswith(where) else f"{where}: {text}" for text in problems]
        if run.config:
            settings = {key: run.value(key) for key in keys}
            scored.append(Scored(settings, run.name, run.seed, scores, run.mesh_digest()))
    if not any(run.scores for run in scored):
        raise InputError(f"none of {len(runs)} runs has a score: {notes[0]}")
    ours, twins = twins_marked(rows(scored, keys, COLUMNS, f"ours, {truth.protocol}"))
    notes = [*_legend(truth, beside=paper is not None), *twins, *uneven(ours), *notes]
    return Table(beside_paper(ours, paper), keys, notes)


def _home(runs: Sequence[AblationRun]) -> "Home":
    """Where the runs have gone to on Weights & Biases: asked before minutes are spent on scores."""
    from sv3dgen.tables.wandb import home  # imports wandb, which only this asks for

    return home(runs)


def _legend(truth: Truth, *, beside: bool) -> list[str]:
    legend = [
        "ours: mean over objects ± standard deviation over seeds; CD and IoU by protocol "
        f"{truth.protocol} (python -m sv3dgen.evaluate), color over white against true views, or where there are "
        "none against the true mesh on a dynamic orbit"
    ]
    if beside:
        published = json.loads(PAPER_TABLES.read_text(encoding="utf-8"))
        legend.append(f"paper: {published['source']}; {published['protocol']}")
        legend.append("other objects, views and metric code: compare the differences between rows, not the numbers")
    return legend


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m sv3dgen.table", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", help="a sweep's folder, or folders of runs")
    parser.add_argument("--meshes", type=Path, help="folder of true meshes, NAME.glb for each object")
    parser.add_argument(
        "--views", type=Path, help="folder of true posed views, NAME/transforms.json; default: the runs' own test views"
    )
    parser.add_argument("--protocol", choices=("sv3d-2024", "surface"), default="sv3d-2024", help="of CD and IoU")
    parser.add_argument(
        "--lpips",
        nargs="?",
        const="alex",
        help="LPIPS too: on alex, vgg (slow, fetched once), or FILE of vgg's weights",
    )
    parser.add_argument("--clip", help="CLIP-S with this model: a folder, or a name in the hub's cache")
    parser.add_argument(
        "--size-px", type=within(16, 4096), default=256, help="of pictures drawn where there are no true views"
    )
    parser.add_argument("--format", choices=("markdown", "csv", "latex"), default="markdown", help="of what is written")
    parser.add_argument(
        "--wandb", action="store_true", help="to Weights & Biases too, next to the runs of logger=wandb"
    )
    parser.add_argument("--out", type=Path, help="file to write to instead of the console")
    return parser


if __name__ == "__main__":
    sys.exit(main())
