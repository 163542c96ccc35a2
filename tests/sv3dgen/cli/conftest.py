"""What the tests of the command line share: a small project, a folder to work in, and a run that was killed."""

import shutil
from pathlib import Path

import pytest
import yaml
from small_project import CONFIG, OPTIONS, PART


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "geometry").mkdir()
    (root / "geometry" / "part.py").write_text(PART)
    for name, content in {**OPTIONS, "config": CONFIG}.items():
        path = root / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    return root


@pytest.fixture
def here(tmp_path: Path, views_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with good views in `toy`, what looks like a video, and nothing else."""
    shutil.copytree(views_folder, tmp_path / "toy")
    (tmp_path / "orbit.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(2000))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path) -> Path:
    """The folder of a run that was killed after its first checkpoint."""
    folder = here / "outputs" / "a run"
    (folder / ".hydra").mkdir(parents=True)
    saved = ["views=toy", "seed=3", "geometry@coarse.geometry=dmtet", "system=sv3d_nerf", "resume=elsewhere"]
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(saved))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    return folder
