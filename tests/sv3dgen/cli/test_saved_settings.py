"""A run's folder from a stranger: its settings choose among ours and set plain values, and call nothing."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from checkout import ROOT
from omegaconf import OmegaConf

from sv3dgen.cli.allowed_targets import check_targets, named_targets, search_folders
from sv3dgen.cli.command_line import checked_arguments
from sv3dgen.cli.overrides import quoted
from sv3dgen.cli.resume import resumed_sweep
from sv3dgen.cli.saved_settings import distrust, refuse_links_out, trusted
from sv3dgen.errors import InputError


@pytest.mark.parametrize(
    "text",
    [
        "views=toy",
        "views=/data/a photo's/views",
        r"views=a\${b}",
        "seed=0,1,2",
        "nvs=sv3d_u,sv3d_p",
        "geometry@coarse.geometry=hash_grid",
        "~fine.weight",
        "+fine.weight={0: 0.5, 100: null}",
        "+guidance@fine=my_prior",
        "export.faces=1000",
        "hydra/launcher=joblib",
        "+hydra/cells=joblib",
        "hydra.launcher.n_jobs=2",
        "material=glob(*)",
        "seed=range(0,3)",
    ],
)
def test_choices_and_plain_values_are_taken(text: str) -> None:
    assert distrust(quoted(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "+hydra.callbacks.x={_target_: torch.hub.load, repo_or_dir: evil}",
        "+trainer.x={_target_: numpy.load, file: evil.npy, allow_pickle: true}",
        "coarse._target_=os.system",
        "+coarse.geometry={a: [{_target_: os.system}]}",
        "coarse.geometry=1,{_target_: os.system}",
        "hydra.searchpath=[evil]",
        "hydra.launcher.setup=[rm]",
        "hydra/launcher=evil",
        "geometry@hydra.callbacks.x=dmtet",
        "+hydra/callbacks@x=y",
        "+guidance@coarse._target_=regularity",
        "+guidance@_global_=regularity",
        "seed=${oc.env:HOME}",
        "views=${oc.env:HOME}",
        "+x={a: '${oc.create:b}'}",
        "share=/home/somebody",
        "share=../elsewhere",
        "logger.save_dir=..",
        "+trainer.default_root_dir='~'",
        r"coarse.unseen='C:\x'",
    ],
)
def test_all_else_is_not(text: str) -> None:
    assert distrust(text) is not None
    with pytest.raises(InputError, match="not taken from a folder"):
        trusted(Path("overrides.yaml"), [text], ["resume=RUN"])
    assert trusted(Path("overrides.yaml"), [text], ["resume=RUN", text]) == [text]  # then it is the user's


def untrusted(folder: Path, *settings: str) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(settings)))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    return folder


class Mark:
    """A pickle that leaves a mark where it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("exploit", ["callback", "trainer"])
def test_code_of_a_run_folder_is_not_run(exploit: str, views_folder: Path, tmp_path: Path) -> None:
    """Both of them did run: a hub repository's hubconf.py, and a pickle behind numpy.load."""
    mark, evil = tmp_path / "mark", tmp_path / "evil"
    evil.mkdir()
    (evil / "hubconf.py").write_text(f"import os\nos.mkdir({str(mark)!r})\ndef model(): ...\n")
    (evil / "evil.npy").write_bytes(pickle.dumps(Mark(mark)))
    hub = f"{{_target_: torch.hub.load, repo_or_dir: '{evil}', model: model, source: local}}"
    array = f"{{_target_: numpy.load, file: '{evil / 'evil.npy'}', allow_pickle: true}}"
    setting = {"callback": f"+hydra.callbacks.x={hub}", "trainer": f"+trainer.profiler={array}"}[exploit]
    run = untrusted(tmp_path / "run", f"views={views_folder}", setting)
    command = [sys.executable, str(ROOT / "launch.py"), f"resume={run}"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
    assert setting.partition("=")[0] in result.stderr and "not taken from a folder" in result.stderr
    assert not mark.exists()
    with pytest.raises(InputError, match=r"_target_=(torch\.hub|numpy)\.load: expected a class of"):
        checked_arguments([f"views={views_folder}", setting], ROOT)  # as the user's own: not with these either


def test_a_sweeps_folder_is_no_better_than_a_runs(tmp_path: Path) -> None:
    evil = {"hydra": ["hydra.mode=MULTIRUN", "hydra/launcher=joblib"], "task": ["+trainer.x={_target_: numpy.load}"]}
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": {"overrides": evil}}))
    with pytest.raises(InputError, match="trainer.x"):
        resumed_sweep([f"resume={tmp_path}"])
    (tmp_path / ".submitit" / "1").mkdir(parents=True)
    (tmp_path / ".submitit" / "1" / "1_0_result.pkl").write_bytes(pickle.dumps(Mark(tmp_path / "mark")))
    good = {"hydra": evil["hydra"], "task": ["seed=0,1"]}
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": {"overrides": good}}))
    resumed = resumed_sweep([f"resume={tmp_path}"])
    assert resumed is not None and resumed.saved == ["hydra/launcher=joblib", "seed=0,1"]
    assert not list(tmp_path.rglob("*.pkl"))


def test_links_stay_in_their_folder(tmp_path: Path) -> None:
    (tmp_path / "run" / "wandb").mkdir(parents=True)
    (tmp_path / "run" / "wandb" / "latest").symlink_to(tmp_path / "run")
    refuse_links_out(tmp_path / "run")
    (tmp_path / "run" / "mesh").symlink_to(tmp_path)
    with pytest.raises(InputError, match="mesh: a link that leads out"):
        refuse_links_out(tmp_path / "run")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "sv3dgen.atomic.os.replace",  # what a file of ours imports
        "sv3dgen.runs.sweep_cell.run_in_subprocess",  # a function of ours, which calls what its arguments name
        "sv3dgen.kernels.backend",
        "lightning.pytorch.callbacks.LambdaCallback",
        "evil.Part",
    ],
)
def test_only_classes_that_are_meant_to_be_parts_are_built(target: str) -> None:
    config = OmegaConf.create({"part": {"inner": [{"_target_": "${name}"}]}, "name": target})
    with pytest.raises(InputError, match=r"part\.inner\.0\._target_="):
        check_targets(config, ROOT, [])


def test_what_conf_and_extensions_name_is_built(tmp_path: Path) -> None:
    (tmp_path / "geometry").mkdir()
    (tmp_path / "geometry" / "mine.yaml").write_text("# _target_: os.system\n_target_: my_parts.mine.Mine\n")
    targets = (
        "lightning.Trainer",
        "builtins.list",
        "sv3dgen.sv3d.memory.plan_for",
        "sv3dgen.views.posed_views.PosedViews",
    )
    config = OmegaConf.create({"parts": [{"_target_": target} for target in targets]})
    check_targets(config, ROOT, [])
    config.mine = {"_target_": "my_parts.mine.Mine", "again": "${mine}"}
    check_targets(config, ROOT, [str(tmp_path)])
    with pytest.raises(InputError, match="mine._target_=my_parts"):
        check_targets(config, ROOT, [])
    assert named_targets([tmp_path]) == {"my_parts.mine.Mine"}


def test_options_of_a_package_are_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil_package").mkdir()
    (tmp_path / "evil_package" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(search_folders(["pkg://evil_package.conf"])) == [tmp_path / "evil_package" / "conf"]


@pytest.mark.parametrize("name", ["../../x", "..", ".", "/x", "a/../../../x", "~", "''", r"..\x"])
def test_a_name_stays_in_outputs(name: str, views_folder: Path) -> None:
    with pytest.raises(InputError, match="name="):
        checked_arguments([f"views={views_folder}", f"name={name}"], ROOT)


def test_a_reference_in_a_folders_name_is_a_name(views_folder: Path, tmp_path: Path) -> None:
    for name in ("a${oc.env:HOME}", "b ${seed} (1)"):
        (tmp_path / name).symlink_to(views_folder)
        result = subprocess.run(
            [sys.executable, str(ROOT / "launch.py"), f"views={tmp_path / name}", "--cfg", "job", "--resolve"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr
        assert OmegaConf.to_container(OmegaConf.create(result.stdout), resolve=False)["views"].endswith(name)  # type: ignore[index]
        checked_arguments([f"views={tmp_path / name}"], ROOT)


def test_flags_may_stand_among_the_settings(
    views_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra alone takes them in front of all settings, and calls what follows unrecognized."""
    monkeypatch.chdir(tmp_path)
    assert checked_arguments([f"views={views_folder}", "-m", "seed=0,1"], ROOT)[0] == "-m"
