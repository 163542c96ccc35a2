"""Settings that a run would take and do nothing with: better refused than left to be believed in."""

import re
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from sv3dgen.cli.overrides import parse
from sv3dgen.errors import InputError

DISTILLATION = "guidance/sds"
MEMORY = "memory"


def check_memory_is_used(command: Sequence[str], config: DictConfig) -> None:
    """Raise InputError where the command itself asks for a plan of memory, and the view model has none."""
    asked = [text for text in command if parse(text).key_or_group == MEMORY]
    nvs = config.get("nvs")
    if not asked or nvs is None or "memory" in nvs:
        return
    model = OmegaConf.select(config, "hydra.runtime.choices.nvs")
    raise InputError(f"{asked[-1]}: of SV3D, and nvs={model} has no such setting; expected nvs=sv3d_p or another SV3D")


def check_distillation_is_used(command: Sequence[str], config: DictConfig) -> None:
    """Raise InputError where the command itself asks for score distillation of a run without the fine stage.

    An experiment may ask for it: `experiment=all system=sv3d_nerf` is its first stage alone.
    """
    stages = OmegaConf.select(config, "system.stages")
    asked = [text for text in command if parse(text).key_or_group == DISTILLATION]
    if stages is None or "fine" in stages or not asked or str(parse(asked[-1]).value()) == "none":
        return
    system = OmegaConf.select(config, "hydra.runtime.choices.system")
    raise InputError(f"{asked[-1]}: of the fine stage, which system={system} has not; expected system=sv3d_dmtet")


def check_added_is_read(config: DictConfig, defaults: DictConfig) -> None:
    """Raise InputError for a key at the root that a setting has added, and that nothing in the config refers to.

    `defaults` is the config before settings change values; neither holds Hydra's own part.
    """
    added = [str(key) for key in config if key not in defaults]
    if added:
        text = OmegaConf.to_yaml(config, resolve=False)
        for key in added:
            if not re.search(rf"\$\{{[^}}]*\b{re.escape(key)}\b", text):
                raise InputError(f"+{key}: nothing reads it; python launch.py --help lists all keys")
