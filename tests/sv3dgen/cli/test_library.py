"""The main job as a call: a run in a process of its own."""

import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
from checkout import ROOT
from small_run import GRID, SIZES

from sv3dgen.cli import library
from sv3dgen.cli.library import RunError, photo_to_mesh, views_to_mesh
from sv3dgen.errors import InputError

# As launch.py, in a quarter of a second: what the setting `do=` says.
STAND_IN = """
import signal, sys, time
from pathlib import Path
from sv3dgen.runs.progress_file import ProgressFile
from sv3dgen.runs.result import told_to_programs
from sv3dgen.runs.run_folder import RunCard
from sv3dgen.runs.stopping import handled, raise_stopped
given = dict(text.split("=", 1) for text in sys.argv[1:])
folder = Path(given["hydra.run.dir"].strip('"'))
if given.get("do") == "refuse":
    sys.exit(print("sv3dgen: views=x: expected others", file=sys.stderr) or 2)
with handled(raise_stopped), told_to_programs(folder):
    if given.get("do") == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    card = RunCard.begin(folder, config={}, seed=0)
    with card.stage("views"):
        pass
    told = []
    signal.signal(signal.SIGINT, lambda *_: told.append("finish"))
    line = ProgressFile("coarse")
    for step in range(1000 if given.get("do") in ("last", "deaf") else 3):
        if told:
            break
        line.tell(step, 3, now=True)
        time.sleep(0.3)
    if given.get("do") == "break":
        raise RuntimeError("out of ideas")
    card.add_metrics(**{key.replace(".", "_"): text for key, text in given.items()})
    card.finish()
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    script = tmp_path / "launch.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(library, "LAUNCH", script)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_a_call_tells_its_progress_and_returns_the_result(stand_in, tmp_path):
    seen = []
    photo = tmp_path / 'my "best" ${photo}.png'
    result = photo_to_mesh(photo, folder=tmp_path / "run", settings=["seed=3"], on_progress=seen.append)
    assert result.exit == "finished" and result.folder == tmp_path / "run"
    assert seen and all((one.stage, one.of) == ("coarse", 3) for one in seen)
    assert [one.step for one in seen] == sorted(one.step for one in seen)
    escaped = str(photo).replace('"', '\\"').replace("${", "\\${")
    assert result.metrics["image"] == f'"{escaped}"' and result.metrics["seed"] == "3"


def test_a_cancelled_run_says_stopped(stand_in, tmp_path):
    cancel = Event()
    result = views_to_mesh(
        tmp_path, folder=tmp_path / "run", settings=["do=last"], cancel=cancel, on_progress=lambda one: cancel.set()
    )
    assert result.exit == "stopped"


def test_a_run_can_be_told_to_finish_with_what_there_is(stand_in, tmp_path):
    finish = Event()
    settings = {"settings": ["do=last"], "finish": finish, "on_progress": lambda one: finish.set()}
    assert views_to_mesh(tmp_path, folder=tmp_path / "run", **settings).exit == "finished"


def test_a_cancelled_run_that_had_to_be_killed_says_where(stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr(library, "PATIENCE_S", 0.2)
    cancel = Event()
    settings = {"settings": ["do=deaf"], "cancel": cancel, "on_progress": lambda one: cancel.set()}
    result = views_to_mesh(tmp_path, folder=tmp_path / "run", **settings)
    assert result.exit == "stopped" and "card" in result.paths
    assert result.message is not None and result.message.startswith("killed in coarse, at step")


@pytest.mark.parametrize(
    ("given", "settings", "name"),
    [("x y.png", [], "x_y"), ("scan.v2", [], "scan.v2"), ("a/..", [], "a_folder"), ("x.png", ["name=mug"], "mug")],
)
def test_its_own_folder_is_the_command_lines(given, settings, name, tmp_path, monkeypatch):
    home = tmp_path / "a_folder"
    (home / "scan.v2").mkdir(parents=True)
    (home / "a").mkdir()
    monkeypatch.chdir(home)
    assert library._own_folder(Path(given), settings).parent == Path("outputs") / name


def test_mistakes_and_failures_are_raised(stand_in, tmp_path):
    with pytest.raises(InputError, match="^views=x: expected others$"):
        views_to_mesh(tmp_path, folder=tmp_path / "a", settings=["do=refuse"])
    with pytest.raises(RunError, match="out of ideas"):
        views_to_mesh(tmp_path, folder=tmp_path / "b", settings=["do=break"])
    with pytest.raises(InputError, match="holds the result of another run"):
        views_to_mesh(tmp_path, folder=tmp_path / "b")


def test_an_error_of_the_callers_ends_the_run(stand_in, tmp_path):
    def objects(progress):
        raise LookupError("enough")

    with pytest.raises(LookupError):
        views_to_mesh(tmp_path, folder=tmp_path / "run", settings=["do=last"], on_progress=objects)
    assert '"exit": "stopped"' in (tmp_path / "run" / "result.json").read_text()


def test_a_real_run(views_folder, tmp_path):
    settings = ["preset=draft", "coarse.steps=2", "fine.steps=1", "fine.geometry.resolutions=[[0,20]]", *SIZES, *GRID]
    result = views_to_mesh(views_folder, folder=tmp_path / "run", settings=[*settings, "device=cpu"])
    assert result.exit == "finished" and {"glb", "report", "card"} <= set(result.paths)
    assert all(path.is_file() for path in result.paths.values())


def test_importing_the_package_stays_cheap():
    code = "import sys, sv3dgen; print(any(name in sys.modules for name in ('yaml', 'hydra', 'numpy', 'torch')));"
    code += "from sv3dgen import photo_to_mesh; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_package_has_no_other_names():
    import sv3dgen

    with pytest.raises(AttributeError, match="no attribute 'video_to_mesh'"):
        _ = sv3dgen.video_to_mesh  # pyright: ignore[reportAttributeAccessIssue]
