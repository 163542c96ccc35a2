"""launch.py as a person runs it: one line, status 2, quickly, and nothing left behind."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bare_config import bare_settings
from checkout import ROOT

LIMIT_S = 3.0
RUN = """
import errno
import logging
from hydra.errors import InstantiationException
from sv3dgen.errors import InputError
from pathlib import Path
from hydra.core.hydra_config import HydraConfig

def run(config):
    folder = Path(HydraConfig.get().runtime.output_dir)
    logging.getLogger(__name__).info("working on %s", config.name)
    if config.mishap == "input":
        raise RuntimeError("while reading") from InputError("toy: all views are transparent")
    if config.mishap == "argument":
        raise InstantiationException("Error in call to target") from ValueError("levels=0: expected at least 1")
    if config.mishap == "disk":
        (folder / "last.ckpt").write_text("state")
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "mesh.glb"))
    if config.mishap == "bug":
        raise ValueError("a bug")
    if config.mishap == "saved":
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "last.ckpt").touch()
    if config.mishap in ("stop", "saved"):
        raise KeyboardInterrupt
"""


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """launch.py next to a config without parts and a system that does as it is told."""
    root = tmp_path_factory.mktemp("launch")
    shutil.copy(ROOT / "launch.py", root)
    (root / "sv3dgen").symlink_to(ROOT / "sv3dgen")
    for path, text in {"systems/__init__.py": "", "systems/run.py": RUN}.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    settings = bare_settings()
    config = settings | {"defaults": ["_self_"], "mishap": "none"}
    (root / "conf").mkdir()
    (root / "conf" / "config.yaml").write_text(yaml.safe_dump(config))
    return root


@pytest.fixture
def here(tmp_path: Path, views_folder: Path) -> Path:
    shutil.copytree(views_folder, tmp_path / "toy")
    return tmp_path


def launch(root: Path, here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "launch.py"), *arguments],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
    )


def cpu_s() -> float:
    """Processor seconds of finished child processes: what they would take alone, however busy the machine is."""
    times = os.times()
    return times.children_user + times.children_system


def assert_refused(result: subprocess.CompletedProcess[str], message: str) -> None:
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("sv3dgen: ") and result.stderr.count("\n") == 1, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stdout


def contents(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.iterdir())


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("views=nope", "nope"),
        ("veiws=toy", "did you mean views?"),
        ("seed=abc", "seed=abc: expected int"),
        ("image=photo.png", "photo.png: no such file"),
        ("--seed=3", "without dashes"),
    ],
)
def test_refused_at_once(project: Path, here: Path, argument: str, message: str) -> None:
    started = cpu_s()
    result = launch(project, here, argument)
    assert cpu_s() - started < LIMIT_S
    assert_refused(result, message)
    assert contents(here) == ["toy"]


def test_broken_views_are_refused_at_once(project: Path, here: Path) -> None:
    (here / "toy" / "003.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    started = cpu_s()
    result = launch(project, here, "views=toy")
    assert cpu_s() - started < LIMIT_S
    assert_refused(result, "003.png")
    assert contents(here) == ["toy"]


def test_help_answers_at_once_and_needs_nothing(project: Path, here: Path) -> None:
    started = cpu_s()
    result = launch(project, here, "--help")
    assert cpu_s() - started < LIMIT_S
    assert result.returncode == 0 and "views=FOLDER" in result.stdout
    assert contents(here) == ["toy"]


def test_a_run_has_its_folder_and_a_plain_console(project: Path, here: Path) -> None:
    result = launch(project, here, "views=toy")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "working on toy\n"
    (folder,) = (here / "outputs" / "toy").iterdir()
    assert contents(folder) == [".hydra", "result.json", "run.log"]
    assert "working on toy" in (folder / "run.log").read_text()


@pytest.mark.parametrize("mishap", ["input", "argument"])
def test_a_mistake_found_during_the_run_leaves_nothing_behind(project: Path, here: Path, mishap: str) -> None:
    result = launch(project, here, "views=toy", f"mishap={mishap}")
    assert_refused(result, {"input": "all views are transparent", "argument": "levels=0"}[mishap])
    assert contents(here) == ["toy"]


def test_a_full_disk_keeps_what_was_written(project: Path, here: Path) -> None:
    result = launch(project, here, "views=toy", "mishap=disk", "hydra.run.dir=mine")
    assert_refused(result, "mesh.glb: No space left on device")
    assert contents(here / "mine") == [".hydra", "last.ckpt", "run.log"]


def test_a_bug_shows_its_traceback(project: Path, here: Path) -> None:
    result = launch(project, here, "views=toy", "mishap=bug")
    assert result.returncode == 1 and "ValueError: a bug" in result.stderr


@pytest.mark.parametrize(
    ("mishap", "told"),
    [("saved", "python launch.py 'resume={}'"), ("stop", "to start again: python launch.py 'resume={}'")],
)
def test_an_interrupt_says_how_to_go_on(project: Path, here: Path, mishap: str, told: str) -> None:
    result = launch(project, here, "views=toy", f"mishap={mishap}", "hydra.run.dir='my run'")
    assert result.returncode == 130 and result.stderr.count("\n") == 1
    assert told.format(here / "my run") in result.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    "moment", ["sv3dgen.cli.command_line.checked_command", "hydra._internal.hydra.Hydra.run", "import"]
)
def test_a_signal_before_the_run_s_own_work_is_one_line(project: Path, here: Path, moment: str, name: str) -> None:
    """Also within an import or Hydra, which make another error of an exception."""
    script = (
        "import os, signal, sys, runpy\n"
        "from unittest import mock\n"
        "def mangled(*args, **kwargs):\n"
        "    try:\n"
        f"        os.kill(os.getpid(), signal.{name})\n"
        "        sum(range(10**6))\n"
        "    except BaseException as error:\n"
        "        raise RecursionError from error\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        return mangled() if name == 'systems.run' else None\n"
        f"moment = {moment!r}\n"
        "if moment == 'import':\n"
        "    sys.meta_path.insert(0, Finder())\n"
        "else:\n"
        "    import hydra._internal.hydra, sv3dgen.cli.command_line\n"
        "    mock.patch(moment, mangled).start()\n"
        f"sys.argv[:] = [{str(project / 'launch.py')!r}, 'views=toy', 'name=a b', 'hydra.run.dir=mine']\n"
        f"sys.path.insert(0, {str(project)!r})\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=here, capture_output=True, text=True, timeout=60)
    again = "python launch.py 'resume=" if moment == "import" else "python launch.py views=toy 'name=a b'"
    assert result.returncode == {"SIGINT": 130, "SIGTERM": 143}[name], result.stderr
    assert result.stderr.startswith("sv3dgen: stopped before the ") and result.stderr.count("\n") == 1
    assert f"to start again: {again}".replace("'resume=", "resume=") in result.stderr


def test_a_refusal_leaves_a_folder_of_the_user_s_alone(project: Path, here: Path) -> None:
    shutil.copytree(here / "toy", here / "obj" / "views")
    result = launch(project, here, "views=toy", "mishap=input", "hydra.run.dir=obj")
    assert_refused(result, "all views are transparent")
    assert contents(here / "obj" / "views") == contents(here / "toy")


def test_views_with_wrong_poses_leave_nothing_behind(here: Path) -> None:
    """The whole program: the pose check refuses within the run's first stage."""
    path = here / "toy" / "transforms.json"
    document = json.loads(path.read_text())
    poses = [frame["transform_matrix"] for frame in document["frames"]]
    for index, frame in enumerate(document["frames"]):
        frame["transform_matrix"] = poses[-index]  # the orbit walked the other way round
    path.write_text(json.dumps(document))
    assert_refused(launch(ROOT, here, "views=toy"), "yaw flipped")
    assert contents(here) == ["toy"]
