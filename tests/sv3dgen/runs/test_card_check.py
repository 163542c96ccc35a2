"""Cards that a disk or somebody else has changed: each is refused by the entry, or makes a page."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sv3dgen.errors import InputError
from sv3dgen.report.page import rewrite_report
from sv3dgen.runs.card_check import damaged_entry
from sv3dgen.runs.run_folder import RunCard, read_card

NASTY = [None, -1, float("inf"), 10**400, True, "<script>", "\ud800", [[[]]], {"a": {"b": []}}]


def whole(folder: Path) -> dict[str, Any]:
    """A card with every entry that a run may write."""
    begun = RunCard.begin(folder, config={}, seed=0)
    with begun.stage("coarse"):
        pass
    begun.add_metrics(psnr_train=31.5, faces=1280, watertight=True, unseen_share=0.1, seconds_bake=0.5)
    views = [{"name": "0.png", "mask_iou": 0.9, "psnr": 30.0, "missing": 0.1}]
    return begun.card | {
        "backends": dict(list(begun.card["backends"].items())[:1]),
        "command": ["python", "launch.py"],
        "versions": {"torch": "2"},
        "notes": {"openings": "one"},
        "openings": [{"hollow": False}],
        "warnings": ["one"],
        "resumed": [{"at": "2026-11-29T17:02:06+00:00"}],
        "stopped": {"stage": "fine", "step": 2, "of": 6},
        "fit": {"mask_iou": 0.9, "psnr": 30.0, "worst_view": "0.png", "per_view": views},
    }


def places(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if above:
        yield above
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield from places(tree[key], (*above, key))


def changed(card: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    card = copy.deepcopy(card)
    inner: Any = card
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return card


def test_a_card_of_a_run_is_whole(tmp_path: Path) -> None:
    assert damaged_entry(whole(tmp_path)) is None and damaged_entry({}) is None


def test_each_value_of_a_card_may_be_damaged(tmp_path: Path) -> None:
    card, refused, pages = whole(tmp_path), 0, 0
    for place in places(card):
        for value in NASTY:
            (tmp_path / "run.json").write_text(json.dumps(changed(card, place, value)))
            try:
                assert rewrite_report(tmp_path) is not None
                pages += 1
            except InputError as error:
                assert str(error) == f"{tmp_path}/run.json: {place[0]} is damaged; expected the JSON that a run writes"
                refused += 1
    assert refused > 100 and pages > 100


def test_an_older_card_of_views_by_name_is_read(tmp_path: Path) -> None:
    """And half a letter in what is only shown is refused, in a key too."""
    card = whole(tmp_path)
    assert damaged_entry(card | {"fit": {"per_view": {"0.png": {"psnr": 30.0}}}}) is None
    assert damaged_entry(card | {"command": "python launch.py"}) is None
    assert damaged_entry(card | {"command": 3}) == "command"
    assert damaged_entry(card | {"more": [{"\udcff": 1}]}) == "more"


def test_a_card_without_end_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(InputError, match=r"run.json: 1024 MB, expected the JSON that a run writes"):
        read_card(tmp_path)
