"""Scores of runs to rows of a table, next to the paper's; pure functions, no files but the paper's numbers."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

PAPER_TABLES = Path(__file__).with_name("paper_tables.json")
DIGITS = 3  # the paper's


@dataclass(frozen=True)
class Scored:
    """A run's scores, by column; settings as text."""

    settings: Mapping[str, str]
    name: str  # of the object
    seed: str
    scores: Mapping[str, float]
    mesh: str = ""  # what tells its mesh from others


@dataclass(frozen=True)
class Cell:
    """A mean over objects, and how far it spreads over seeds where there are several."""

    mean: float
    spread: float | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    settings: Mapping[str, str]
    source: str
    cells: Mapping[str, Cell]
    counted: int = 0  # runs with a score
    runs: int = 0
    objects: frozenset[str] = field(default_factory=frozenset)  # with a score
    meshes: frozenset[tuple[str, str, str]] = field(default_factory=frozenset)  # object, seed, mesh; of runs with one


def cell(values: Mapping[tuple[str, str], float]) -> Cell | None:
    """Of the scores by (object, seed): the mean over objects, each the mean over its seeds; and the sample standard
    deviation, over seeds, of the mean over those objects that have a score at every seed. What is no finite number
    does not count; None where nothing does.
    """
    finite = {key: value for key, value in values.items() if math.isfinite(value)}
    if not finite:
        return None
    names, seeds = {name for name, _ in finite}, {seed for _, seed in finite}
    mean = fmean(fmean(value for (name, _), value in finite.items() if name == own) for own in names)
    whole = [name for name in names if all((name, seed) in finite for seed in seeds)]
    if len(seeds) < 2 or not whole:
        return Cell(mean)
    return Cell(mean, stdev([fmean(finite[name, seed] for name in whole) for seed in sorted(seeds)]))


def rows(runs: Sequence[Scored], keys: Sequence[str], columns: Sequence[str], source: str) -> list[Row]:
    """One row for each combination of the settings `keys`, in the order they first come."""
    groups: dict[tuple[str, ...], list[Scored]] = {}
    for run in runs:
        groups.setdefault(tuple(run.settings[key] for key in keys), []).append(run)
    made = []
    for values, members in groups.items():
        cells = {column: cell(_by_object_and_seed(members, column)) for column in columns}
        scored = [run for run in members if any(math.isfinite(score) for score in run.scores.values())]
        made.append(
            Row(
                dict(zip(keys, values, strict=True)),
                source,
                {column: found for column, found in cells.items() if found is not None},
                len(scored),
                len(members),
                frozenset(run.name for run in scored),
                frozenset((run.name, run.seed, run.mesh) for run in members if run.mesh),
            )
        )
    return made


def twins_marked(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """The rows, and a note for each whose meshes are those of an earlier row: what they differ in had no effect."""
    marked, notes = [], []
    for place, row in enumerate(rows):
        twin = next((other for other in rows[:place] if row.meshes and other.meshes == row.meshes), None)
        if twin is not None:
            notes.append(
                f"{_shown_settings(row)}: its meshes are those of {_shown_settings(twin)}, byte by byte; the setting "
                "had no effect, and the row is no result of its own"
            )
            row = replace(row, source=f"{row.source} (same meshes as {_shown_settings(twin)})")
        marked.append(row)
    return marked, notes


def uneven(rows: Sequence[Row]) -> list[str]:
    """Rows that lack objects which others have: their means don't compare."""
    every = frozenset().union(*(row.objects for row in rows))
    return [
        f"{_shown_settings(row)}: without {', '.join(sorted(every - row.objects))}, which other rows have"
        for row in rows
        if row.objects != every
    ]


def paper_table(experiment: str, keys: Sequence[str]) -> dict[str, Any] | None:
    """The paper's table that an experiment, else the settings which vary, belong to."""
    tables = json.loads(PAPER_TABLES.read_text(encoding="utf-8"))["tables"]
    if experiment in tables:
        return tables[experiment]
    return next((table for table in tables.values() if keys and set(table["keys"]) == set(keys)), None)


def beside_paper(ours: Sequence[Row], table: Mapping[str, Any] | None) -> list[Row]:
    """Each of the paper's rows after the first of ours that has its settings; those we have nothing next to, at the
    end."""
    theirs = [] if table is None else [_paper_row(entry) for entry in table["rows"]]
    mixed: list[Row] = []
    for row in ours:
        mixed.append(row)
        here = [other for other in theirs if other.settings.items() <= row.settings.items()]
        mixed += here
        theirs = [other for other in theirs if other not in here]
    return mixed + theirs


def markdown(rows: Sequence[Row], keys: Sequence[str], columns: Sequence[str], notes: Sequence[str]) -> str:
    head = [*keys, "numbers", "runs", *columns]
    lines = [head, ["---"] * len(head), *_texts(rows, keys, columns, "±")]
    table = "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
    return table + "\n\n" + "".join(f"- {note}\n" for note in notes)


def latex(rows: Sequence[Row], keys: Sequence[str], columns: Sequence[str], notes: Sequence[str]) -> str:
    """A tabular without packages; the notes are comments above it."""
    head = [*keys, "numbers", "runs", *columns]
    comments = "".join(f"% {note}\n" for note in notes)
    lines = [_escaped(head), *(_escaped(line) for line in _texts(rows, keys, columns, "±"))]
    body = [" & ".join(line).replace("±", r"$\pm$") + r" \\" for line in lines]
    alignment = "l" * (len(keys) + 1) + "r" * (len(columns) + 1)
    return comments + "\n".join(
        [
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\hline",
            body[0],
            r"\hline",
            *body[1:],
            r"\hline",
            r"\end{tabular}",
            "",
        ]
    )


def comma_separated(rows: Sequence[Row], keys: Sequence[str], columns: Sequence[str]) -> str:
    """All digits, spreads in columns of their own, nothing where there is no number."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*keys, "numbers", "runs", *(text for name in columns for text in (name, f"{name} spread"))])
    for row in rows:
        numbers: list[Any] = []
        for column in columns:
            found = row.cells.get(column)
            numbers += ["", ""] if found is None else [found.mean, "" if found.spread is None else found.spread]
        writer.writerow([*(row.settings.get(key, "") for key in keys), row.source, row.counted or "", *numbers])
    return stream.getvalue()


def _texts(rows: Sequence[Row], keys: Sequence[str], columns: Sequence[str], sign: str) -> list[list[str]]:
    made = []
    for row in rows:
        runs = "-" if not row.runs else str(row.runs) if row.counted == row.runs else f"{row.counted} of {row.runs}"
        numbers = [_number(row.cells.get(column), sign) for column in columns]
        made.append([*(row.settings.get(key, "-") for key in keys), row.source, runs, *numbers])
    return made


def _number(found: Cell | None, sign: str) -> str:
    if found is None:
        return "-"
    spread = "" if found.spread is None else f" {sign} {found.spread:.{DIGITS}f}"
    return f"{found.mean:.{DIGITS}f}{spread}"


def _by_object_and_seed(runs: Sequence[Scored], column: str) -> dict[tuple[str, str], float]:
    return {(run.name, run.seed): run.scores[column] for run in runs if column in run.scores}


def _paper_row(entry: Mapping[str, Any]) -> Row:
    cells = {column: Cell(value) for column, value in entry["scores"].items()}
    return Row(entry["settings"], f"paper: {entry['name']}", cells)


def _shown_settings(row: Row) -> str:
    return " ".join(f"{key}={value}" for key, value in row.settings.items()) or "the row"


def _escaped(texts: Sequence[str]) -> list[str]:
    table = str.maketrans({character: f"\\{character}" for character in "&%$#_{}"})
    return [text.translate(table) for text in texts]
