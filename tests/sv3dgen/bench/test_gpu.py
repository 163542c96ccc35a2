"""A visit to a GPU: parts in turn, each in a process of its own, and a report that is there at every moment."""

import json
import sys
from pathlib import Path

import pytest
import torch
from checkout import ROOT

from sv3dgen.bench import __main__ as command
from sv3dgen.bench import gpu
from sv3dgen.bench.gpu import TOY, Part, Sizes, gpu_parts, visit

ENDLESS = (
    "import time\nprint('works', flush=True)\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('ends')"
)


def part(name: str, script: str, limit_s: float | None = 20.0, **more) -> Part:
    return Part(name, f"tells of {name}", (sys.executable, "-c", script), limit_s, **more)


def test_what_fails_or_hangs_takes_nothing_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "RESERVE_S", 0.1)
    parts = [
        part("good", "print('a row')"),
        part("bad", "raise SystemExit(3)"),
        part("hangs", ENDLESS.replace("KeyboardInterrupt", "ValueError"), 1.5),
        part("trains", ENDLESS, 1.5, ends_by_signal=True, result=lambda out: "its result"),
    ]
    rows = visit(parts, tmp_path, 1.0)
    assert [row["state"] for row in rows] == [
        "done",
        "failed, exit status 3",
        "stopped at its limit of 2 s",
        "done, asked to finish",
    ]
    assert [row["shown"] for row in rows] == ["a row", "", "works", "its result"]
    assert (tmp_path / "trains.log").read_text().split() == ["works", "ends"]
    text = (tmp_path / "report.md").read_text()
    assert "| bad: tells of bad |" in text and "| failed, exit status 3 |" in text and "a row" in text


def test_the_report_grows_and_the_time_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "RESERVE_S", 0.0)
    look = f"import json; print(len(json.load(open({str(tmp_path / 'report.json')!r}))))"
    rows = visit([part("first", ""), part("second", look), part("rest", ENDLESS, None)], tmp_path, 3 / 60)
    assert rows[1]["shown"] == "1" and rows[2]["state"].startswith("stopped at its limit")
    rows = visit([part("first", "")], tmp_path, 0.0)
    assert rows[0]["state"] == "left out: no time" == json.loads((tmp_path / "report.json").read_text())[0]["state"]


def test_time_is_left_for_what_comes_after(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "RESERVE_S", 60.0)
    rows = visit([part("trains", ENDLESS, None), part("scores", "print('scored')")], tmp_path, 0.9)
    assert [row["state"] for row in rows] == ["left out: no time", "done"]


@pytest.mark.parametrize("sizes", [Sizes(), TOY], ids=["whole", "toy"])
def test_every_command_is_one_that_there_is(sizes, tmp_path):
    parts = gpu_parts(tmp_path, ROOT / "examples" / "tugboat", "cuda", None, sizes)
    assert len({part.name for part in parts}) == len(parts)
    for each in parts:
        if each.command[1] == "-m" and each.command[2].startswith("sv3dgen"):
            name = each.command[2].split(".")[1]
            assert (ROOT / "sv3dgen" / "commands" / f"{name}.py").is_file() or name == "bench"
    for test in sizes.tests:
        assert (ROOT / test).exists()


def test_a_gpu_that_is_not_there_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(["gpu", "--out", str(tmp_path / "out")]) == 2
    assert "cuda" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.thorough
def test_all_of_it_at_toy_sizes(tmp_path: Path):
    assert command.main(["gpu", "--toy", "--minutes", "30", "--out", str(tmp_path)]) == 0
    states = {row["part"]: row["state"] for row in json.loads((tmp_path / "report.json").read_text())}
    assert {name for name, state in states.items() if state != "done"} <= {"memory"}  # which a busy machine stops
