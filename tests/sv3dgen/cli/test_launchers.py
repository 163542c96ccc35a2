"""Sweeps on each of Hydra's launchers, for real where they are installed: what a cell gets, and what it survives."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from bare_config import bare_settings
from checkout import ROOT
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from sv3dgen.cli import launchers
from sv3dgen.cli.command_line import register_resolvers
from sv3dgen.errors import InputError
from sv3dgen.runs.sweep_cell import how_it_ended, run_in_subprocess

PHOTO = ROOT / "examples" / "photos" / "truck.png"
TWO_AT_A_TIME = {
    "basic": [],
    "joblib": ["hydra.launcher.n_jobs=2"],
    "ray": ["hydra.launcher.ray.init.num_cpus=2", "hydra.launcher.ray.remote.num_cpus=1"],
    "submitit_local": ["hydra.launcher.cpus_per_task=1"],
    "submitit_slurm": ["hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=null"],
}
RUN = """
import json, os, signal
from pathlib import Path
from hydra.core.hydra_config import HydraConfig

def run(config):
    if config.mishap == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if config.mishap == "bug":
        raise ValueError("a bug")
    if config.mishap == "memory":
        bytearray(1 << 50)
    told = {key: os.environ.get(key) for key in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAY_USAGE_STATS_ENABLED")}
    folder = Path(HydraConfig.get().runtime.output_dir)
    (folder / "cell.json").write_text(json.dumps(told | {"process": os.getpid(), "mode": HydraConfig.get().mode.name}))
"""
TASKS = """
from sv3dgen.errors import InputError

class Odd(Exception):
    def __init__(self, first, second):
        super().__init__(first)

def fine(config):
    assert config.answer == 42

def refused(config):
    try:
        raise InputError("toy: all views are transparent")
    except InputError as error:
        raise Odd("while", "reading") from error
"""


def needs(launcher: str) -> None:
    if launcher == "basic":
        return
    package = f"hydra_plugins.hydra_{launchers.PLUGINS[launcher]}_launcher"
    if find_spec("hydra_plugins") is None or find_spec(package) is None:
        pytest.skip(f'needs the launcher: pip install -c constraints.txt -e ".[sweeps]" ({package})')
    if launcher == "submitit_slurm":
        if shutil.which("sinfo") is None:
            pytest.skip("needs Slurm: examples/slurm_single_node.sh")
        nodes = subprocess.run(["sinfo", "--noheader", "--format=%t"], capture_output=True, text=True, timeout=30)
        if not {"idle", "mix", "alloc"} & set(nodes.stdout.split()):
            pytest.skip(f"needs a Slurm node that takes jobs, found {nodes.stdout or nodes.stderr}")


def sweep(root: Path, launcher: str, folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    """One thread for each cell: whatever else this machine does goes on."""
    command = [sys.executable, str(root / "launch.py"), "-m", f"hydra/launcher={launcher}", *TWO_AT_A_TIME[launcher]]
    return subprocess.run(
        [*command, f"hydra.sweep.dir={folder}", *settings],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """launch.py next to a config without parts and a system that does as it is told."""
    root = tmp_path_factory.mktemp("launchers")
    shutil.copy(ROOT / "launch.py", root)
    (root / "sv3dgen").symlink_to(ROOT / "sv3dgen")
    (root / "systems").mkdir()
    (root / "systems" / "__init__.py").touch()
    (root / "systems" / "run.py").write_text(RUN)
    settings = bare_settings()
    shutil.copytree(ROOT / "conf" / "hydra", root / "conf" / "hydra")
    (root / "conf" / "config.yaml").write_text(yaml.safe_dump(settings | {"defaults": ["_self_"], "mishap": "none"}))
    return root


@pytest.mark.parametrize("launcher", TWO_AT_A_TIME)
def test_a_killed_cell_does_not_take_the_others_with_it(
    project: Path, views_folder: Path, tmp_path: Path, launcher: str
) -> None:
    needs(launcher)
    result = sweep(project, launcher, tmp_path, f"views={views_folder}", "mishap=none,killed,bug,memory,fine")
    assert result.returncode == 1, result.stderr
    cells = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/cell.json")}
    assert set(cells) == {"0", "4"}, result.stderr
    assert len({cell["process"] for cell in cells.values()}) == 2
    for cell in cells.values():
        assert cell["mode"] == "MULTIRUN" and cell["OMP_NUM_THREADS"] == "1"
        assert launcher == "basic" or cell["NUMBA_NUM_THREADS"] == "1"
        assert launcher != "ray" or cell["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize("launcher", ["joblib", "ray", "submitit_local", "submitit_slurm"])
def test_real_cells_run_side_by_side(tmp_path: Path, launcher: str) -> None:
    needs(launcher)
    result = sweep(ROOT, launcher, tmp_path, "system=sv3d_nvs", f"image={PHOTO}", "nvs.steps=1", "seed=0,1")
    assert result.returncode == 0, result.stderr
    pictures = []
    for cell in ("0", "1"):
        assert (tmp_path / cell / "report.html").is_file()
        pictures.append((tmp_path / cell / "views" / "010.png").read_bytes())
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize("launcher", launchers.PLUGINS)
def test_every_launcher_has_its_file_and_the_command_line_the_last_word(launcher: str) -> None:
    needs(launcher.replace("slurm", "local"))
    settings = launchers.with_cells([f"hydra/launcher={launcher}", *TWO_AT_A_TIME[launcher]], ROOT / "conf")
    assert settings[-1] == f"+hydra/cells={launcher}"
    register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        hydra = compose("config", settings, return_hydra_config=True).hydra
    for setting in TWO_AT_A_TIME[launcher]:
        key, _, value = setting.partition("=")
        assert OmegaConf.select(hydra, key.removeprefix("hydra.")) == yaml.safe_load(value)
    if launcher != "joblib":  # which shares the cores out itself
        assert dict(hydra.job.env_set) == {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def test_a_launcher_that_is_not_installed_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(launchers.PLUGINS, "ray", "nowhere")
    with pytest.raises(InputError, match=r"hydra/launcher=ray: hydra-nowhere-launcher is not installed; .*\[sweeps\]"):
        launchers.with_cells(["seed=0", "hydra/launcher=ray"], ROOT / "conf")
    assert launchers.with_cells(["seed=0", "hydra/launcher=basic"], ROOT / "conf")[2:] == []
    assert launchers.with_cells(["seed=0"], ROOT / "conf") == ["seed=0"]


def test_what_a_cell_raised_comes_back_with_its_causes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cell_tasks.py").write_text(TASKS)
    hydra = {"hydra": {"job_logging": None, "verbose": False}}
    monkeypatch.setattr(HydraConfig.instance(), "cfg", OmegaConf.create(hydra))
    config = OmegaConf.create({"answer": 42})
    run_in_subprocess("cell_tasks.fine", config, tmp_path)
    # An exception that no pickle brings back is told by another; what it came from is what the user can fix.
    with pytest.raises(RuntimeError, match="Odd: while") as caught:
        run_in_subprocess("cell_tasks.refused", config, tmp_path)
    assert isinstance(caught.value.__cause__, InputError) and "transparent" in str(caught.value.__cause__)
    assert "cell_tasks.py" in caught.value.__notes__[0]
    assert how_it_ended(-9).startswith("was killed by SIGKILL") and "status 3" in how_it_ended(3)


def test_what_a_scheduler_sends_reaches_the_cell_first_and_the_launcher_after_it(tmp_path: Path) -> None:
    """submitit's own handler puts the cell in the queue again, and ends the process: the checkpoint has to be there."""
    (tmp_path / "cell_tasks.py").write_text(
        "import os, pathlib, signal, time\n"
        "from sv3dgen.runs.stopping import Stopped\n"
        "def works(config):\n"
        "    try:\n"
        "        os.kill(os.getppid(), signal.SIGUSR2)\n"
        "        time.sleep(60)\n"
        "    except Stopped:\n"
        "        pathlib.Path(config.folder, 'checkpoint').touch()\n"
        "        raise\n"
    )
    code = (
        "import signal, pathlib, sys\n"
        "from hydra.core.hydra_config import HydraConfig\n"
        "from omegaconf import OmegaConf\n"
        "from sv3dgen.runs.sweep_cell import run_in_subprocess\n"
        "from sv3dgen.runs.stopping import Stopped\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "def requeue(*_):\n"
        "    (here / 'requeued').write_text(str((here / 'checkpoint').is_file()))\n"
        "signal.signal(signal.SIGUSR2, requeue)\n"
        "HydraConfig.instance().cfg = OmegaConf.create({'hydra': {'job_logging': None, 'verbose': False}})\n"
        "try:\n"
        "    run_in_subprocess('cell_tasks.works', OmegaConf.create({'folder': str(here)}), here)\n"
        "except Stopped as stop:\n"
        "    sys.exit(stop.status)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 140, done.stderr
    assert (tmp_path / "requeued").read_text() == "True"
