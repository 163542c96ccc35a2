"""`resume=FOLDER`: the settings that a run, or a sweep, was started with, and which may change when it goes on."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from sv3dgen.cli.overrides import parse
from sv3dgen.cli.saved_settings import distrust, refuse_links_out, trusted
from sv3dgen.documents.yaml_text import parse_yaml
from sv3dgen.errors import InputError

_MOST_BYTES = 256 << 10  # of a file of settings
SWEEP_SETTINGS = "multirun.yaml"  # in a sweep's, written by Hydra before the first run
# How long training goes on, what is written and where it is told; all else would make the checkpoint another run's. The
# length of a 3D stage belongs to all else: its schedules follow from it.
_FREE = re.compile(
    r"resume|share|viewer|viewer_port|train\.steps|(export|logger|kernels|validation)([./].+)?|batches\.(workers|prefetch)"
    r"|device|check_poses|\w+_every_steps"
)
_FOLDERS = re.compile(r"hydra\.(run|sweep|output_subdir)(\..+)?")
_OF_THE_LAUNCHER = re.compile(r"hydra[./]launcher(\..+)?")  # how many runs at a time, and where


@dataclass(frozen=True)
class ResumedRun:
    """A run to go on with: its folder, the settings saved there, and those given next to `resume=`."""

    folder: Path
    saved: list[str]
    given: list[str]

    @property
    def settings(self) -> list[str]:
        """The saved settings that are not given anew, the given ones, and the way back into the folder."""
        return [*_without(self.saved, self.given), *self.given, f"hydra.run.dir={in_quotes(self.folder)}"]

    def check_unchanged(self, composed: Callable[[list[str]], DictConfig]) -> None:
        """Raise InputError for a setting given that makes another config of the saved ones than they were."""
        before = None
        for text in self.given:
            override = parse(text)
            key = override.key_or_group
            if _FOLDERS.fullmatch(key):
                raise InputError(f"{text}: a resumed run stays in its folder; expected resume={self.folder} alone")
            free = override.package is None and _FREE.fullmatch(key)
            if text in self.saved or override.is_hydra_override() or free:
                continue
            before = before or _plain(composed(self.saved))
            if _plain(composed([*_without(self.saved, [text]), text])) != before:
                raise InputError(
                    f"{text}: differs from the settings of the run; with resume= expected only train.steps, "
                    "export.*, logger.*, kernels.*, validation.*, device, check_poses or *_every_steps"
                )


@dataclass(frozen=True)
class ResumedSweep:
    """A sweep to go on with: its folder, the settings saved there, and the launcher's given next to `resume=`."""

    folder: Path
    saved: list[str]
    given: list[str]

    @property
    def settings(self) -> list[str]:
        """As of a run; each run of the sweep is told by `resume` that there may be something to go on with."""
        return [*_without(self.saved, self.given), *self.given, f"hydra.sweep.dir={in_quotes(self.folder)}"]

    def check_unchanged(self, composed: Callable[[list[str]], DictConfig]) -> None:
        """Raise InputError for a setting given that is not the launcher's."""
        for text in self.given:
            if text in self.saved:
                continue
            if parse(text).key_or_group != "resume" and not _OF_THE_LAUNCHER.fullmatch(parse(text).key_or_group):
                raise InputError(
                    f"{text}: a resumed sweep keeps its settings; next to resume= expected only hydra/launcher and "
                    "hydra.launcher.*"
                )


def resumed_run(settings: list[str]) -> ResumedRun | None:
    """The run that `resume=FOLDER` names, if any; InputError where that is none to go on with."""
    folder = _resumed_folder(settings)
    if folder is None:
        return None
    saved = folder / ".hydra" / "overrides.yaml"
    if not saved.is_file():
        sweep = f"; of a sweep: python launch.py -m resume={folder}" if (folder / SWEEP_SETTINGS).is_file() else ""
        raise InputError(
            f"resume={folder}: expected the folder of an earlier run, with .hydra/overrides.yaml in it{sweep}"
        )
    refuse_links_out(folder)
    return ResumedRun(folder, trusted(saved, _settings_in(saved, _read_yaml(saved)), settings), settings)


def resumed_sweep(settings: list[str]) -> ResumedSweep | None:
    """The sweep that `resume=FOLDER` names, if any; InputError where that is none."""
    folder = _resumed_folder(settings)
    if folder is None:
        return None
    saved = folder / SWEEP_SETTINGS
    if not saved.is_file():
        run = "; of one run: without -m" if (folder / ".hydra").is_dir() else ""
        raise InputError(f"resume={folder}: expected the folder of an earlier sweep, with {SWEEP_SETTINGS} in it{run}")
    tree: Any = _read_yaml(saved)
    for key in ("hydra", "overrides"):
        tree = tree.get(key) if isinstance(tree, dict) else None
    parts = tree if isinstance(tree, dict) else {}
    texts = [*_settings_in(saved, parts.get("hydra")), *_settings_in(saved, parts.get("task"))]
    own = re.compile(r"hydra\.(mode|sweep\.dir)|resume")  # of how it was started; told anew
    texts = [text for text in texts if not own.fullmatch(parse(text).key_or_group)]
    refuse_links_out(folder)
    for left in (folder / ".submitit").rglob("*.pkl"):
        left.unlink()  # what earlier cells handed back; a pickle is code, and the launcher reads those it finds
    return ResumedSweep(folder, trusted(saved, texts, settings), settings)


def _resumed_folder(settings: list[str]) -> Path | None:
    found = [override for override in map(parse, settings) if override.key_or_group == "resume"]
    if not found or found[-1].is_delete():
        return None
    if found[-1].is_sweep_override():
        raise InputError(f"{found[-1].input_line}: goes on with one run or sweep; expected one folder")
    return None if found[-1].value() is None else Path(str(found[-1].value()))


def _read_yaml(path: Path) -> Any:
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path}: {path.stat().st_size >> 10} kB, expected the settings of a run")
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: expected YAML, as it was written when the run started") from error


def _settings_in(path: Path, texts: Any) -> list[str]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{path}: expected a list of settings, as it was written when the run started")
    return texts


def in_quotes(folder: Path) -> str:
    """A path as a value that Hydra reads as it is."""
    escaped = str(folder).replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'


def needed_again(folder: Path) -> list[str]:
    """Settings of a run's folder that `resume=` does not take of it: to be given again, as they are."""
    saved = folder / ".hydra" / "overrides.yaml"
    if not saved.is_file():
        return []
    return [text for text in _settings_in(saved, _read_yaml(saved)) if distrust(text) is not None]


def _without(saved: list[str], given: list[str]) -> list[str]:
    """The saved settings but for those of keys that are given anew."""
    replaced = {_full_key(parse(text)) for text in given}
    return [text for text in saved if _full_key(parse(text)) not in replaced]


def _full_key(override: Override) -> tuple[str, str | None]:
    """Key and package: `guidance/smoothness` at `coarse.guidance.smoothness` is not the one at `fine...`."""
    return override.key_or_group, override.package


def _plain(config: DictConfig) -> dict:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {key: value for key, value in plain.items() if key != "resume"}
