"""The command line of launch.py, checked in full before Hydra makes a folder and before anything heavy is imported."""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sv3dgen.cli.allowed_targets import check_targets
from sv3dgen.cli.annotations import shown
from sv3dgen.cli.class_sources import class_number
from sv3dgen.cli.config_check import check_components, check_plain_values, check_schemas
from sv3dgen.cli.device_names import checked_device, on_gpu
from sv3dgen.cli.experiment_cells import cells_of_experiment, refuse_given_views, refuse_without_sweep
from sv3dgen.cli.input_check import check_folder, check_inputs, check_not_overwritten, run_folder
from sv3dgen.cli.known_keys import check_key, check_option, chooses, groups_in, search_path
from sv3dgen.cli.launchers import with_cells
from sv3dgen.cli.overrides import (
    check_is_setting,
    commands,
    first_line,
    parse,
    quoted,
    with_guidance_placed,
)
from sv3dgen.cli.resume import resumed_run, resumed_sweep
from sv3dgen.cli.unused_settings import check_added_is_read, check_distillation_is_used, check_memory_is_used
from sv3dgen.errors import InputError
from sv3dgen.kernels.accelerators import ACCELERATORS
from sv3dgen.kernels.backend import IMPLEMENTATIONS, ON_HOST, resolve, runs_on
from sv3dgen.runs.run_lock import check_free
from sv3dgen.schedules import check_reach
from sv3dgen.sv3d.checkpoint.model_config import config_from_fields
from sv3dgen.views.precheck import precheck_left_normals

ROOT = Path(__file__).resolve().parents[2]
INPUT_KEYS = ("views", "image", "weights", "data", "nvs.variant", "matting", "foreground_ratio", "elevation_deg")
GPU_PRESET = "preset=gpu"


@dataclass(frozen=True)
class CheckedCommand:
    """The command line to hand to Hydra, and the config of its run; None where there is not just one."""

    arguments: list[str]
    run: DictConfig | None = None


def checked_arguments(arguments: list[str], root: Path) -> list[str]:
    """As `checked_command`, the arguments alone."""
    return checked_command(arguments, root).arguments


def checked_command(arguments: list[str], root: Path) -> CheckedCommand:
    """The command line as it can be run; raises InputError, in one line, where it can't lead to a run.

    `root` holds `conf/` and the packages. Of a sweep, every value of every key is checked. `resume=FOLDER` is replaced
    by the settings that FOLDER was started with, followed by the ones given now.
    """
    if int(os.environ.get("LOCAL_RANK", 0)) > 0:
        # A further process of a distributed run is given what the first one has checked.
        return CheckedCommand(arguments)
    parser = get_args_parser()
    parser.error = _refuse_flag  # type: ignore[method-assign]  (argparse would print its usage on several lines)
    flags = parser.parse_intermixed_args(arguments)  # Hydra alone wants its flags before the settings
    asked = [flag for flag in ("run", "multirun", "cfg", "info") if getattr(flags, flag)]
    if len(asked) > 1 and not (flags.help or flags.hydra_help):
        given = " and ".join(f"--{flag}" for flag in asked)
        raise InputError(f"{given}: expected one of them; --cfg and --info tell of one run, with one value a key")
    if flags.hydra_help or flags.shell_completion or flags.config_name or flags.config_path or flags.config_dir:
        return CheckedCommand(arguments)  # Hydra's own affairs, or somebody else's config
    for text in flags.overrides:
        check_is_setting(text)
    settings = [quoted(text) for text in flags.overrides]
    flags.multirun = flags.multirun or "hydra.mode=MULTIRUN" in settings
    others = [text for text in arguments if text not in flags.overrides]
    resumed = resumed_sweep(settings) if flags.multirun else resumed_run(settings)
    settings = settings if resumed is None else resumed.settings
    only_asks = flags.help or flags.cfg or flags.info
    settings = with_guidance_placed(with_cells(settings, root / "conf"))
    if resumed is None:
        settings = _with_preset(settings)
    register_resolvers()
    seen, run = set(), None
    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        cells = cells_of_experiment(settings, _compose)
        if not (flags.multirun or only_asks):
            refuse_without_sweep(settings, cells)
        whole = [*cells, *settings] if flags.multirun else settings
        swept = {override.key_or_group for override in map(parse, whole) if override.is_sweep_override()}
        for command in commands(whole, sweeping=flags.multirun):
            config = _compose_checked(command, root)
            run = None if flags.multirun or only_asks else config
            _check_choices(config)
            _check_schedules(config)
            _check_name(config.get("name"))
            if resumed is None:
                refuse_given_views(config)
                if "system" not in swept:
                    check_distillation_is_used(command, config)
                if "nvs" not in swept:
                    check_memory_is_used(command, config)
            if resumed is not None:
                resumed.check_unchanged(lambda saved: _without_hydra(_compose(saved)))
            given = tuple(str(OmegaConf.select(config, key)) for key in INPUT_KEYS)
            if not only_asks and given not in seen:
                seen.add(given)
                files = check_inputs(config, sweeps_nvs="nvs" in swept, sweeping=flags.multirun)
                folder = run_folder(config, sweeping=flags.multirun)
                check_folder(folder)
                check_free(folder)
                if config.get("share") is not None:
                    check_folder(Path(str(config.share)))
                if config.get("image") is not None and resumed is None:
                    precheck_left_normals(folder, sweeping=flags.multirun)
                if files is not None:
                    check_not_overwritten(files, Path(config.views), folder, sweeping=flags.multirun)
    return CheckedCommand(others + settings, run)


def _with_preset(settings: list[str]) -> list[str]:
    """The settings, and the GPU's preset where none is chosen and a GPU is where the run will be.

    Not where a launcher is named: its cells may see other devices than this process.
    """
    given = {override.key_or_group: override for override in map(parse, settings)}
    device = given.get("device")
    if {"preset", "hydra/launcher"} & given.keys() or (device is not None and device.is_sweep_override()):
        return settings
    return [GPU_PRESET, *settings] if on_gpu("auto" if device is None else str(device.value())) else settings


def register_resolvers() -> None:
    """Make two words of conf/ known.

    `${stem:A,B}` is a name for the run's folder, made of the first path that is given. `${features_of:material}` is the
    number of features that the material chosen there reads, so that a field gives as many.
    """
    OmegaConf.register_new_resolver("stem", stem, replace=True)
    OmegaConf.register_new_resolver("features_of", features_of, replace=True)


def features_of(part: str, *, _root_: DictConfig) -> int:
    """`feature_dim` of a part of the config: as its yaml sets it, else as its class does, else 3, which colors take."""
    node = OmegaConf.select(_root_, part)
    given = OmegaConf.select(node, "feature_dim") if isinstance(node, DictConfig) else None
    target = str(OmegaConf.select(node, "_target_")) if isinstance(node, DictConfig) else ""
    return int(given) if given is not None else class_number(target, "feature_dim", ROOT) or 3


def stem(*paths: str | None) -> str:
    """The last part of the first path that is not null, without suffix and without characters that hurt in a path."""
    given = next((str(path) for path in paths if path is not None), "")
    path = Path(given).resolve()
    name = path.stem if path.suffix and not path.is_dir() else path.name
    return re.sub(r"[^\w.-]+", "_", name).strip("_.") or "run" if given else "run"


def _refuse_flag(message: str) -> None:
    raise InputError(f"{message}; expected key=value settings without dashes, see python launch.py --help")


def _compose_checked(settings: list[str], root: Path) -> DictConfig:
    parsed = [parse(text) for text in settings]
    groups = groups_in([root / "conf", *search_path(parsed)])
    chosen = [text for text, override in zip(settings, parsed, strict=True) if chooses(override, groups)]
    for override in parsed:
        check_option(override, groups)
    ours = not any(override.key_or_group == "hydra.searchpath" for override in parsed)
    defaults = _defaults_of(root, tuple(chosen)) if ours else _compose(chosen)
    tree = OmegaConf.to_container(defaults, resolve=False)
    assert isinstance(tree, dict)
    for override in parsed:
        if not (chooses(override, groups) or override.is_add() or override.is_force_add()):
            check_key(override.key_or_group, tree, groups)
    config = _compose(settings) if len(chosen) < len(settings) else defaults
    check_plain_values(_without_hydra(config), _without_hydra(defaults))
    check_added_is_read(_without_hydra(config), _without_hydra(defaults))
    check_schemas(_without_hydra(config), root)
    check_components(_without_hydra(config), root)
    check_targets(config, root, config.hydra.searchpath)
    if OmegaConf.is_dict(config.get("model")):
        config_from_fields(cast(dict, OmegaConf.to_container(config.model, resolve=True)), "model")
    return config


@lru_cache(maxsize=32)
def _defaults_of(root: Path, chosen: tuple[str, ...]) -> DictConfig:
    """The config of these choices, in which no value is changed: runs of a sweep have it in common. Not to be written
    to; composing one takes half a second."""
    return _compose(list(chosen))


def _compose(settings: list[str]) -> DictConfig:
    try:
        return compose("config", overrides=settings, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_of_another_system(settings, first_line(error))) from error
    except InputError:
        raise
    except ValueError as error:  # a group that is taken out, with a value that names no option
        taken_out = next((text for text in settings if text.startswith("~")), "")
        raise InputError(f"{taken_out}: expected {taken_out.partition('=')[0]} alone, or the option's name") from error


def _of_another_system(settings: list[str], told: str) -> str:
    """Hydra's words, or better ones where a setting chooses from a group that the system does not have."""
    missing = re.search(r"Could not override '([^'@]+)", told)
    given = [text for text in settings if missing and parse(text).key_or_group == missing[1]]
    systems = [str(parse(text).value()) for text in settings if parse(text).key_or_group == "system"]
    if not given or not systems:
        return told
    return (
        f"{given[-1]}: system={systems[-1]} has no {parse(given[-1]).key_or_group}; expected a setting of that system"
    )


def _check_choices(config: DictConfig) -> None:
    """Raise InputError for a value at the root that no constructor would refuse before torch is there."""
    _check_stages(config)
    trains = "train" in (OmegaConf.select(config, "system.stages") or ())
    device = checked_device(str(config.get("device", "auto")))
    accelerator = OmegaConf.select(config, "trainer.accelerator", default="auto")
    if trains and accelerator != "auto" and config.get("device", "auto") != "auto":
        raise InputError(f"device={config.device} and trainer.accelerator={accelerator}: expected one of them")
    if not trains and accelerator not in ("auto", "cpu"):
        raise InputError(f"trainer.accelerator={accelerator}: of training; the 3D stages run where device says")
    devices = OmegaConf.select(config, "trainer.devices", default=1)
    if trains and ":" in device and devices != 1:
        raise InputError(
            f"device={device} and trainer.devices={shown(devices)}: expected device={device.split(':')[0]}"
        )
    if not trains and devices not in (1, "auto"):
        raise InputError(
            f"trainer.devices={shown(devices)}: of training; the 3D stages run on one device, where device says"
        )
    for operation, backend in config.get("kernels", {}).items():
        where = "cpu" if operation in ON_HOST else device
        if operation in IMPLEMENTATIONS and str(backend) in ACCELERATORS:
            resolve(str(operation), backend, where)  # says how to get it, or what it runs on
        present = ("auto", *(runs_on(str(operation), where) if operation in IMPLEMENTATIONS else ()))
        if backend not in present:
            raise InputError(f"kernels.{operation}={shown(backend)}: expected one of {', '.join(present)}")


def _check_stages(config: DictConfig) -> None:
    """Raise InputError for stages of a system that are none of its blocks."""
    stages = OmegaConf.select(config, "system.stages", default=[])
    known = OmegaConf.is_list(stages) and all(
        name == "train" or OmegaConf.is_dict(config.get(str(name))) for name in stages
    )
    if stages != [] and (not known or len(set(stages)) < len(stages)):
        raise InputError(f"system.stages={shown(stages)}: expected a list of the system's stages, as its yaml has it")


def _check_schedules(config: DictConfig) -> None:
    """Raise InputError for a schedule of a stage that says nothing: a share that is none, a loss that never starts."""
    for stage in OmegaConf.select(config, "system.stages") or ():
        steps = OmegaConf.select(config, f"{stage}.steps")
        if not isinstance(steps, int) or steps < 1:
            continue  # which the stage refuses; training has schedules of its own
        try:
            settings = OmegaConf.to_container(config[stage], resolve=True)
        except OmegaConfBaseException:
            continue  # what only a running Hydra can resolve
        assert isinstance(settings, dict)
        check_reach(stage, {str(key): value for key, value in settings.items()})


def _check_name(name: Any) -> None:
    """Raise InputError for a name that would put the run's folder elsewhere."""
    parts = re.split(r"[/\\]", str(name))
    if str(name).startswith(("/", "~")) or ".." in parts or not "".join(parts).strip(". "):
        raise InputError(f"name={shown(name)}: expected the name of a folder in outputs/")


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
