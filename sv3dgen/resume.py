"""`resume=FOLDER`: the settings that a run was started with, and which of them may change when it goes on."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from sv3dgen.errors import InputError
from sv3dgen.overrides import parse
from sv3dgen.run_folder import holds_made_views

CHECKPOINT = "checkpoints/last.ckpt"  # in a run's folder
# How long it goes on, what is written and where it is told; all else would make the checkpoint another run's.
_FREE = re.compile(
    r"resume|(coarse|fine|train)\.steps|(export|logger|kernels|validation)([./].+)?|batches\.(workers|prefetch)"
    r"|device|check_poses|\w+_every_steps"
)
_FOLDERS = re.compile(r"hydra\.(run|sweep|output_subdir)(\..+)?")


@dataclass(frozen=True)
class ResumedRun:
    """A run to go on with: its folder, the settings saved there, and those given beside `resume=`."""

    folder: Path
    saved: list[str]
    given: list[str]

    @property
    def settings(self) -> list[str]:
        """The saved settings that are not given anew, the given ones, and the way back into the folder."""
        folder = str(self.folder).replace("\\", "\\\\").replace('"', '\\"')
        return [*_without(self.saved, self.given), *self.given, f'hydra.run.dir="{folder}"']

    def check_unchanged(self, composed: Callable[[list[str]], DictConfig]) -> None:
        """Raise InputError for a setting given that makes another config of the saved ones than they were."""
        before = None
        for text in self.given:
            override = parse(text)
            key = override.key_or_group
            if _FOLDERS.fullmatch(key):
                raise InputError(f"{text}: a resumed run stays in its folder; expected resume={self.folder} alone")
            if override.is_hydra_override() or (override.package is None and _FREE.fullmatch(key)):
                continue
            before = before or _plain(composed(self.saved))
            if _plain(composed([*_without(self.saved, [text]), text])) != before:
                raise InputError(
                    f"{text}: differs from the settings of the run; beside resume= expected only coarse.steps, "
                    "fine.steps, train.steps, export.*, logger.*, kernels.*, validation.*, device, check_poses or "
                    "*_every_steps"
                )


def resumed_run(settings: list[str], *, sweeping: bool) -> ResumedRun | None:
    """The run that `resume=FOLDER` names, if any; InputError where that is none to go on with."""
    found = [override for override in map(parse, settings) if override.key_or_group == "resume"]
    if not found or found[-1].is_delete():
        return None
    if sweeping or found[-1].is_sweep_override():
        raise InputError(f"{found[-1].input_line}: goes on with one run; expected one folder, and no -m")
    if found[-1].value() is None:
        return None
    folder = Path(str(found[-1].value()))
    saved = folder / ".hydra" / "overrides.yaml"
    if not saved.is_file():
        raise InputError(f"resume={folder}: expected the folder of an earlier run, with .hydra/overrides.yaml in it")
    if not can_go_on(folder):
        raise InputError(f"resume={folder}: expected the folder of a run that came to its first {CHECKPOINT}")
    texts = yaml.safe_load(saved.read_text(encoding="utf-8"))
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{saved}: expected a list of settings, as it was written when the run started")
    return ResumedRun(folder, texts, settings)


def can_go_on(folder: Path) -> bool:
    """Whether a run left anything that it need not do again: a checkpoint, or a model's views."""
    return (folder / CHECKPOINT).is_file() or holds_made_views(folder)


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
