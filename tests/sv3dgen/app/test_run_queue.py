"""The app's queue, with a stand-in for launch.py that does what its settings say."""

import time
from pathlib import Path

import pytest
from checkout import ROOT

from sv3dgen.app import run_queue
from sv3dgen.app.run_queue import MOST_WAITING, Job, RunQueue, plain_name, told_without_places
from sv3dgen.app.status import Status, html_of, status_of
from sv3dgen.cli import library
from sv3dgen.errors import InputError

STAND_IN = """
import signal, sys, time
from pathlib import Path
given = dict(text.split("=", 1) for text in sys.argv[1:])
if "refuse" in given:
    sys.exit(print(f"sv3dgen: views={given['views'].strip(chr(34))}: <b>expected</b> others", file=sys.stderr) or 2)
if "break" in given:
    raise RuntimeError("out of ideas")
from sv3dgen.runs.progress_file import ProgressFile
from sv3dgen.runs.result import told_to_programs
from sv3dgen.runs.run_folder import RunCard
from sv3dgen.runs.stopping import handled, raise_stopped
folder, told = Path(given["hydra.run.dir"].strip('"')), []
signal.signal(signal.SIGINT, lambda *_: told.append("finish"))
with handled(raise_stopped), told_to_programs(folder):
    card = RunCard.begin(folder, config={}, seed=0)
    (folder / "report.html").write_text("a report")
    line = ProgressFile("coarse")
    for step in range(200 if "last" in given else 1):
        line.tell(step, 200, now=True)
        if told:
            break
        time.sleep(0.1)
    card.finish()
"""


@pytest.fixture
def runs(tmp_path, monkeypatch):
    script = tmp_path / "launch.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(library, "LAUNCH", script)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = RunQueue(tmp_path / "runs")
    yield made
    made.close()


def ended(job: Job, seconds: float = 30) -> Job:
    deadline = time.monotonic() + seconds
    while not job.has_ended:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


def shown(runs: RunQueue, job: Job) -> Status:
    status = status_of(runs, job.key)
    assert status is not None
    return status


def test_one_runs_and_the_others_wait(runs, tmp_path):
    first = runs.submit("views", tmp_path / "a", ("last=1",), "a")
    second = runs.submit("views", tmp_path / "b", (), "b")
    assert first.key != second.key and first.folder != second.folder
    while first.progress is None:
        time.sleep(0.05)
    assert second.state == "waiting" and runs.before(second) == 1
    page = html_of(shown(runs, second))
    assert "Waiting: 1 other run first" in page
    bars = shown(runs, first).bars
    assert [bar.at_work for bar in bars] == [False, True, False, False] and bars[0].percent == 100
    runs.stop(first, keep_mesh=True)
    assert ended(first).state == "finished"
    assert ended(second).state == "finished"
    status = shown(runs, first)
    assert status.has_report and "all.zip" in html_of(status)


def test_a_cancelled_run_stops_and_one_that_waits_never_begins(runs, tmp_path):
    first = runs.submit("views", tmp_path, ("last=1",), "a")
    second = runs.submit("views", tmp_path, (), "b")
    runs.stop(second, keep_mesh=True)
    while first.progress is None:
        time.sleep(0.05)
    runs.stop(first, keep_mesh=False)
    assert ended(first).state == "stopped"
    assert second.state == "stopped" and not second.folder.exists()


def test_mistakes_are_told_in_a_sentence_that_names_no_place_and_holds_no_markup(runs, tmp_path):
    refused = ended(runs.submit("views", tmp_path / "toy.mp4", ("refuse=1",), "toy"))
    assert (refused.state, refused.message) == ("failed", "<b>expected</b> others")
    page = html_of(shown(runs, refused))
    assert "&lt;b&gt;expected" in page and str(tmp_path) not in page
    broken = ended(runs.submit("views", tmp_path, ("break=1",), "x"))
    assert broken.state == "failed" and "Traceback" not in html_of(shown(runs, broken))


def test_a_run_that_cannot_be_followed_does_not_hold_up_the_next(runs, tmp_path, monkeypatch, capsys):
    def broken(*_, **__):
        raise ValueError("no such progress")

    monkeypatch.setattr(run_queue, "photo_to_mesh", broken)
    lost = runs.submit("photo", tmp_path, (), "a")
    assert ended(runs.submit("views", tmp_path, (), "b")).state == "finished"
    assert lost.state == "failed" and "terminal" in lost.message
    assert "ValueError: no such progress" in capsys.readouterr().err


def test_who_sees_that_a_run_has_ended_sees_why():
    seen = []

    class Watched(Job):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "state" and self.has_ended:
                seen.append(self.message)

    Watched("a/b", Path("a"), "views", Path("a"), ()).end("failed", "why")
    assert seen == ["why"]


def test_the_queue_is_bounded(runs, tmp_path):
    runs.submit("views", tmp_path, ("last=1",), "a")
    with pytest.raises(InputError, match="waiting already"):
        for _ in range(MOST_WAITING + 2):
            runs.submit("views", tmp_path, (), "a")


def test_a_run_of_another_process_is_found_by_its_folder(runs, tmp_path):
    job = ended(runs.submit("views", tmp_path, (), "a"))
    later = RunQueue(runs.folder)
    assert shown(later, job).state == "finished"
    (job.folder / "result.json").unlink()
    assert shown(later, job).state == "stopped"
    assert status_of(later, "a/none") is None and status_of(later, "../a") is None


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ('"><img src=x onerror=alert(1)>.png', "img_src_x_onerror_alert_1"),
        ("${oc.env:HOME}.png", "oc_env_HOME"),
        ("...", "object"),
        ("日本.png", "object"),
        ("a" * 300, "a" * 40),
    ],
)
def test_a_run_is_named_without_what_hurts(given, name):
    assert plain_name(given) == name


def test_a_refusal_keeps_the_files_names_only():
    job = Job("a/b", Path("/runs/a/b"), "views", Path("/in/x/toy"), ())
    assert told_without_places("views=/in/x/toy/000.png: damaged", job) == "000.png: damaged"
