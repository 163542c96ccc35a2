"""From scores to rows: means, spreads, what does not count, and the paper's numbers next to ours."""

import csv
import io
import json
import math
from statistics import stdev

import pytest

from sv3dgen.tables.rows import (
    PAPER_TABLES,
    Cell,
    Scored,
    beside_paper,
    cell,
    comma_separated,
    latex,
    markdown,
    paper_table,
    rows,
    uneven,
)
from sv3dgen.tables.scores import COLUMNS

SDS = "guidance/sds"


def scored(sds: str, name: str = "mug", seed: str = "0", **scores: float) -> Scored:
    return Scored({SDS: sds}, name, seed, scores)


def test_a_cell_is_the_mean_over_objects_and_its_spread_over_seeds():
    values = {("mug", "0"): 1.0, ("mug", "1"): 3.0, ("bus", "0"): 5.0, ("bus", "1"): 9.0}
    assert cell(values) == Cell(4.5, stdev([3.0, 6.0]))
    assert cell({("mug", "0"): 1.0, ("bus", "0"): 2.0}) == Cell(1.5, None)  # one seed does not spread


def test_what_is_missing_weighs_no_object_more_and_adds_no_spread():
    values = {("mug", "0"): 1.0, ("mug", "1"): 3.0, ("bus", "0"): 50.0}
    assert cell(values) == Cell((2.0 + 50.0) / 2, stdev([1.0, 3.0]))
    assert cell({("mug", "0"): 1.0, ("bus", "1"): 3.0}) == Cell(2.0, None)  # no object at both seeds


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_only_numbers_count(bad):
    assert cell({("mug", "0"): bad}) is None
    assert cell({}) is None
    assert cell({("mug", "0"): bad, ("mug", "1"): 2.0}) == Cell(2.0, None)


def test_rows_are_the_settings_in_their_order_and_say_how_many_runs_count():
    runs = [scored("soft", CD=0.2), scored("none", CD=0.4), scored("soft", "bus", CD=0.4), scored("soft", "cow")]
    soft, none = rows(runs, [SDS], COLUMNS, "ours")
    assert (soft.settings, soft.counted, soft.runs) == ({SDS: "soft"}, 2, 3)
    assert soft.cells["CD"].mean == pytest.approx(0.3) and list(soft.cells) == ["CD"]
    assert none.settings == {SDS: "none"}
    assert uneven([soft, none]) == ["guidance/sds=none: without bus, which other rows have"]
    assert uneven([soft]) == []


def test_no_varying_setting_gives_one_row():
    (row,) = rows([scored("none", CD=1.0), scored("soft", "bus", CD=2.0)], [], COLUMNS, "ours")
    assert row.settings == {} and row.cells["CD"] == Cell(1.5)


def test_the_papers_numbers_stand_after_our_row_of_the_same_settings():
    ours = rows([scored("soft", CD=0.02), scored("masked", CD=0.03)], [SDS], COLUMNS, "ours")
    mixed = beside_paper(ours, paper_table("table9", []))
    sources = [(row.settings[SDS], row.source) for row in mixed]
    assert sources == [
        ("soft", "ours"),
        ("soft", "paper: soft mask"),
        ("masked", "ours"),
        ("none", "paper: photometric"),
        ("naive", "paper: naive SDS"),
        ("hard", "paper: hard mask"),
    ]
    assert mixed[1].cells["PSNR"] == Cell(17.405)


def test_the_papers_table_is_found_by_experiment_or_by_what_varies():
    table8 = paper_table("table8", [SDS])
    assert table8 is not None and table8["keys"] == ["orbit"]
    assert paper_table("None", ["orbit"]) == table8
    assert paper_table("light", ["material"]) is None and paper_table("-", []) is None


def test_the_papers_tables_agree_with_one_another():
    """The full method and its photometric part are in several tables; every row has all columns."""
    tables = json.loads(PAPER_TABLES.read_text())["tables"]
    every = [row for table in tables.values() for row in table["rows"]]
    assert all(set(row["scores"]) == set(COLUMNS) for row in every)
    by_name = {(name, row["name"]): row["scores"] for name, table in tables.items() for row in table["rows"]}
    full = by_name["table7", "SV3D_p, masked SDS"]
    assert by_name["table8", "sine-30"] == by_name["table9", "soft mask"] == full
    assert by_name["table9", "photometric"] == by_name["table7", "SV3D_p"]
    assert (full["PSNR"], full["CD"], full["IoU"]) == (17.405, 0.024, 0.614)


ROWS = beside_paper(
    rows(
        [scored("soft", CD=0.25, PSNR=17.0), scored("soft", seed="1", CD=0.35, PSNR=math.nan)], [SDS], COLUMNS, "ours"
    ),
    {"keys": [SDS], "rows": [{"name": "a & b", "settings": {SDS: "soft"}, "scores": {"CD": 0.024}}]},
)


def test_markdown():
    text = markdown(ROWS, [SDS], ["PSNR", "CD", "CLIP-S"], ["a | note"])
    assert text.splitlines() == [
        "| guidance/sds | numbers | runs | PSNR | CD | CLIP-S |",
        "| --- | --- | --- | --- | --- | --- |",
        "| soft | ours | 2 | 17.000 | 0.300 ± 0.071 | - |",
        "| soft | paper: a & b | - | - | 0.024 | - |",
        "",
        "- a | note",
    ]


def test_latex_escapes_and_counts_its_columns():
    lines = latex(ROWS, [SDS], ["PSNR", "CD"], ["a note"]).splitlines()
    assert lines[:2] == ["% a note", r"\begin{tabular}{llrrr}"]
    assert r"soft & ours & 2 & 17.000 & 0.300 $\pm$ 0.071 \\" in lines
    assert r"soft & paper: a \& b & - & - & 0.024 \\" in lines
    assert all(line.replace(r"\&", "").count("&") == 4 for line in lines if line.endswith(r"\\"))


def test_csv_has_all_digits_and_nothing_for_nothing():
    ours, paper = csv.DictReader(io.StringIO(comma_separated(ROWS, [SDS], ["PSNR", "CD"])))
    assert float(ours["CD"]) == pytest.approx(0.3) and float(ours["CD spread"]) == pytest.approx(0.0707, abs=1e-4)
    assert (ours["PSNR spread"], paper["PSNR"], paper["CD"], paper["runs"]) == ("", "", "0.024", "")
