"""Sweeps as a person runs them: a failed run does not end the others, and a sweep goes on where it stopped."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bare_config import bare_settings
from checkout import ROOT

from sv3dgen.cli.command_line import checked_arguments
from sv3dgen.errors import InputError
from sv3dgen.runs import sweeps

RUN = """
import atexit, sys
from pathlib import Path
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from sv3dgen.runs import sweeps
from sv3dgen.errors import InputError
from sv3dgen.runs.run_folder import RunCard

atexit.register(lambda: "torch" in sys.modules and Path("torch.txt").touch())

def run(config):
    folder = Path(HydraConfig.get().runtime.output_dir)
    card = RunCard.begin(folder, config=OmegaConf.to_container(config, resolve=False), seed=config.seed)
    (sweeps.sweep_folder() / "at.txt").touch()
    with open("told.txt", "a") as told:
        resumed = "" if config.resume is None else f" resumes {Path(config.resume).name}"
        told.write(f"{folder.name} {config.mishap} {config.seed}{resumed}\\n")
    if Path("fixed").exists():
        pass
    elif config.mishap == "input":
        raise InputError("toy: all views\\nare transparent")
    elif config.mishap == "bug":
        raise KeyError("a bug")
    elif config.mishap == "stop":
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "last.ckpt").touch()
        return
    card.finish()
"""


IN_A_PROCESS = 'run_in_subprocess("launch.work", config, ROOT)'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """launch.py next to a config without parts, and a system that does as it is told, in the sweep's own process."""
    source = (ROOT / "launch.py").read_text(encoding="utf-8")
    assert source.count(IN_A_PROCESS) == 1
    return made_in(tmp_path_factory.mktemp("launch"), source.replace(IN_A_PROCESS, "work(config)"))


@pytest.fixture(scope="module")
def project_of_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a process for each cell, as it is."""
    return made_in(tmp_path_factory.mktemp("launch"), (ROOT / "launch.py").read_text(encoding="utf-8"))


def made_in(root: Path, launcher: str) -> Path:
    (root / "launch.py").write_text(launcher, encoding="utf-8")
    (root / "sv3dgen").symlink_to(ROOT / "sv3dgen")
    for path, text in {"systems/__init__.py": "", "systems/run.py": RUN}.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    settings = bare_settings()
    config = settings | {"defaults": ["_self_", {"experiment": None}], "mishap": "none", "kind": "a"}
    (root / "conf" / "experiment").mkdir(parents=True)
    (root / "conf" / "config.yaml").write_text(yaml.safe_dump(config))
    experiment = {"hydra": {"sweeper": {"params": {"mishap": "none,input", "kind": "b,c"}}}}
    (root / "conf" / "experiment" / "two.yaml").write_text("# @package _global_\n" + yaml.safe_dump(experiment))
    return root


@pytest.fixture
def here(tmp_path: Path, views_folder: Path) -> Path:
    shutil.copytree(views_folder, tmp_path / "toy")
    return tmp_path


def launch(root: Path, here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "launch.py"), "-m", *arguments],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=120,
    )


def told(here: Path) -> list[str]:
    """What the runs said that began since this was last asked."""
    path = here / "told.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    return result.stderr.splitlines()[-1]


def test_a_failed_run_leaves_its_reason_and_the_others_run(project_of_processes: Path, here: Path) -> None:
    project = project_of_processes
    result = launch(project, here, "views=toy", "mishap=input,none,bug", "hydra.sweep.dir=my sweep")
    assert result.returncode == 1, result.stderr
    assert told(here) == ["0 input 0", "1 none 0", "2 bug 0"]
    assert last_line(result) == (
        "sv3dgen: failed: my sweep/0 (toy: all views are transparent); my sweep/2 (KeyError('a bug')); "
        "to try again: python launch.py -m 'resume=my sweep'"
    )
    folder = here / "my sweep"
    assert sweeps.failure(folder / "0") == "toy: all views are transparent"
    assert sweeps.failure(folder / "1") is None and "finished" in json.loads((folder / "1" / "run.json").read_text())
    assert "Traceback" in (folder / "2" / "error.txt").read_text()  # a bug is told with where it is
    assert "Traceback" not in (folder / "0" / "error.txt").read_text()

    (here / "fixed").touch()
    again = launch(project, here, "resume=my sweep")
    assert again.returncode == 0, again.stderr
    assert told(here) == ["0 input 0", "2 bug 0"]
    assert not list(folder.rglob("error.txt"))
    assert launch(project, here, "resume=my sweep").returncode == 0  # again and again
    assert told(here) == []


def test_without_a_folder_of_its_own_a_sweep_has_one_too(project: Path, here: Path) -> None:
    assert launch(project, here, "views=toy", "mishap=none,input", "seed=0,1").returncode == 1
    (folder,) = (here / "multirun").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "0",
        "1",
        "2",
        "3",
        "at.txt",
        "multirun.yaml",
        "report.html",
    ]
    assert not (here / "torch.txt").exists()  # which takes seconds to import, and no page needs
    nested = launch(project, here, "views=toy", "seed=0,1", "hydra.sweep.dir=s", "hydra.sweep.subdir='by seed/${seed}'")
    assert nested.returncode == 0, nested.stderr
    assert sorted(path.name for path in (here / "s").iterdir()) == ["at.txt", "by seed", "multirun.yaml", "report.html"]


def test_an_interrupted_sweep_goes_on_where_it_stopped(project: Path, here: Path) -> None:
    result = launch(project, here, "views=toy", "mishap=none,stop", "seed=0,1", "hydra.sweep.dir=s")
    assert result.returncode == 130
    assert told(here) == ["0 none 0", "1 none 1", "2 stop 0"]
    assert last_line(result) == f"sv3dgen: stopped; to go on: python launch.py -m resume={here / 's'}"
    (here / "fixed").touch()
    assert launch(project, here, "resume=s").returncode == 0
    assert told(here) == ["2 stop 0 resumes 2", "3 stop 1"]  # on from the checkpoint, and from nothing


def test_an_experiments_cells_are_what_runs(project: Path, here: Path) -> None:
    result = launch(project, here, "views=toy", "experiment=two", "kind=c", "seed=3,4", "hydra.sweep.dir=s")
    assert result.returncode == 1
    assert told(here) == ["0 none 3", "1 none 4", "2 input 3", "3 input 4"]
    overrides = yaml.safe_load((here / "s" / "3" / ".hydra" / "overrides.yaml").read_text())
    assert {"mishap=input", "kind=c", "seed=4", "experiment=two"} <= set(overrides)
    assert launch(project, here, "resume=s").returncode == 1
    assert told(here) == ["2 input 3", "3 input 4"]


def test_a_run_of_other_settings_is_not_taken_for_the_sweeps(project: Path, here: Path) -> None:
    launch(project, here, "views=toy", "seed=0,1", "hydra.sweep.dir=s")
    told(here)
    card = here / "s" / "0" / "run.json"
    card.write_text(card.read_text().replace('"config_sha256": "', '"config_sha256": "0'))
    result = launch(project, here, "resume=s")
    assert result.returncode == 1 and "s/0: made with other settings than the sweep has now" in result.stderr
    assert told(here) == []


def test_a_sweep_that_is_refused_says_so_in_one_line(project: Path, here: Path) -> None:
    result = launch(project, here, "views=toy", "seed=0,x")
    assert (result.returncode, result.stderr) == (2, "sv3dgen: seed=x: expected int, such as 0\n"), result.stderr
    assert told(here) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["views=toy", "seed=0,x"], "seed=x: expected int"),
        (["resume=toy"], "resume=toy: expected the folder of an earlier sweep, with multirun.yaml in it"),
        (
            ["resume=s", "seed=3"],
            "seed=3: a resumed sweep keeps its settings; next to resume= expected only hydra/laun",
        ),
        (["resume=s,toy"], "resume=s,toy: goes on with one run or sweep; expected one folder"),
        (["resume=t"], "multirun.yaml: expected a list of settings"),
        (["resume=u"], "multirun.yaml: expected YAML"),
    ],
)
def test_what_is_wrong_before_the_first_run_refuses_the_sweep(
    project: Path, here: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "s": "hydra: {overrides: {hydra: [hydra.mode=MULTIRUN], task: [views=toy, 'seed=0,1']}}",
        "t": "hydra: {overrides: {task: 3}}",
        "u": "a: [",
    }.items():
        (here / name).mkdir()
        (here / name / "multirun.yaml").write_text(text)
    monkeypatch.chdir(here)
    with pytest.raises(InputError) as refusal:
        checked_arguments(["-m", *arguments], project)
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
