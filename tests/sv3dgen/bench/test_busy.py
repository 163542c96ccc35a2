"""A run alone and among others, in turns; the others end with it."""

from pathlib import Path

import pytest

from sv3dgen.bench import __main__ as command
from sv3dgen.bench import busy
from sv3dgen.bench.objects import Cost


def test_others_compute_during_every_second_run_alone(monkeypatch):
    alive, starts = [], []
    real = busy.others

    def watched(count):
        starts.append(real(count))
        return starts[-1]

    monkeypatch.setattr(busy, "others", watched)

    def run() -> float:
        alive.append(len(starts))
        return 10.0 if len(alive) % 2 else 19.0 + len(alive)

    report = busy.compare(run, 2, 1)
    assert alive == [0, 1, 1, 2]  # alone, among others, alone, among others
    assert [row["ratio"] for row in report["rounds"]] == [2.1, 2.3] and report["ratio"] == pytest.approx(2.2)
    text = busy.markdown(report)
    assert "| 2 | 10.0 | 23.0 | 2.30 |" in text and "Median ratio 2.20" in text


def test_others_end_where_the_run_fails():
    with pytest.raises(RuntimeError), busy.others(2) as started:
        assert [process.poll() for process in started] == [None, None]
        raise RuntimeError
    assert all(process.poll() is not None for process in started)


def test_the_first_run_is_short_and_not_measured(monkeypatch, tmp_path, capsys):
    commands = []

    def launch(arguments: list[str], log: Path) -> Cost:
        commands.append(arguments)
        return Cost(5.0, 1.0)

    monkeypatch.setattr(busy, "launch", launch)
    assert command.main(["busy", "--views", str(tmp_path), "--rounds", "1", "--processes", "0", "--set", "seed=1"]) == 0
    assert "| 1 | 5.0 | 5.0 | 1.00 |" in capsys.readouterr().out
    assert [arguments[-1] for arguments in commands] == ["fine.steps=8", "seed=1", "seed=1"]
    assert command.main(["busy", "--views", str(tmp_path / "no")]) == 2
