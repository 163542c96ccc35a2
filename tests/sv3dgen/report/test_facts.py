"""What a run's card and folder say, in words."""

import pytest
from report_case import small_run

from sv3dgen.report import facts
from sv3dgen.report.kept_pictures import Compared


@pytest.mark.parametrize(
    ("seconds", "words"), [(9.96, "10.0 s"), (59.9, "59.9 s"), (271, "4 min 31 s"), (7530, "2 h 05 min")]
)
def test_durations_are_read_at_a_glance(seconds, words):
    assert facts.duration(seconds) == words


def test_memory_has_one_unit():
    assert facts.gib(3 * 2**30) == "3.00 GiB" and facts.gib(0) == "" and facts.gib(None) == ""


def test_cells_of_a_sweep_have_titles_of_their_own(tmp_path):
    titles = set()
    for number in ("0", "1"):
        folder = tmp_path / "now" / number
        card = small_run(folder, settings=("views=toy", f"seed={number}"), mode="MULTIRUN").card
        who = facts.identity(folder, card)
        titles.add(who.title)
        assert who.command == f"python launch.py views=toy seed={number}"
    assert titles == {"toy, run 0 of now", "toy, run 1 of now"}


def test_the_command_is_quoted_and_keeps_where_parts_come_from(tmp_path):
    card = small_run(tmp_path / "now", settings=("image=my photo.png", "prompt=$(rm)")).card
    hydra = tmp_path / "now" / ".hydra" / "hydra.yaml"
    hydra.write_text(hydra.read_text().replace("hydra.mode=RUN", "hydra.searchpath=[parts]"))
    command = facts.identity(tmp_path / "now", card).command
    assert command == "python launch.py 'image=my photo.png' 'prompt=$(rm)' 'hydra.searchpath=[parts]'"
    assert facts.identity(tmp_path / "now", {**card, "command": ["launch.py", "a b"]}).command == "launch.py 'a b'"


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", ""])
def test_a_folder_without_settings_has_its_names(tmp_path, content):
    folder = tmp_path / "cup" / "now"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(content)
    assert facts.identity(folder, {}).title == "cup, now"


def test_what_the_card_says_beyond_what_is_known_is_shown_too(tmp_path):
    card = {"seed": 3, "unseen_share": 0.125, "shape": {"solid": True, "walls": "thin"}, "lists": [1, 2], "metrics": {}}
    rows = facts.decided_rows(tmp_path, card)
    assert rows == [("seed", "3"), ("unseen share", "0.125"), ("shape: solid", "yes"), ("shape: walls", "thin")]


def test_numbers_of_the_fit_are_rows_but_not_those_of_each_view():
    fit = {"worst_view": "007.png", "mask_iou": {"mean": 0.97, "worst": 0.9}, "views": [{"psnr": 3}]}
    assert facts.fit_rows({"fit": fit}) == [
        ("worst view", "007.png"),
        ("mask iou: mean", "0.97"),
        ("mask iou: worst", "0.9"),
    ]
    assert facts.fit_rows({}) == []


def test_numbers_of_a_view_are_the_runs_where_it_has_them():
    """Frames of a film, and files of folders apart, may have one name: the place tells them apart."""
    view = Compared("orbit.mp4[3]", 0.0, 0.0, False, 30.123, 0.98765, "a", "b", index=1)
    fit = {"per_view": [{"name": view.name, "psnr": db, "mask_iou": 0.97, "missing": 0.0} for db in (20.0, 31.25)]}
    assert facts.numbers_of_view({"fit": fit}, view) == "PSNR 31.2 dB, mask IoU 0.970"
    for none in ({}, {"fit": {"per_view": {view.name: {"psnr": 1.0, "mask_iou": 1.0}}}}):  # the latter of earlier runs
        assert facts.numbers_of_view(none, view) == "PSNR 30.1 dB, mask IoU 0.988 at this size"


def test_results_are_told_in_words_and_units():
    card = {"metrics": {"psnr_train": 31.52, "unseen_share": 0.125, "seconds_bake": 2.0, "of_ours": True}}
    assert facts.result_rows(card) == [
        ("PSNR of the mesh on its views", "31.52 dB"),
        ("surface that no view saw", "12.5 %"),
        ("of ours", "yes"),
    ]
    assert facts.part_rows(card) == [("bake", "2.0 s")]


def test_a_warning_that_a_note_says_is_said_once():
    card = {"notes": {"nvs": "a demonstration"}, "warnings": ["nvs: a demonstration", "the mesh is not closed"]}
    assert facts.told(card) == [("nvs", "a demonstration"), ("", "the mesh is not closed")]
