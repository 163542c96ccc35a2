"""The command line of launch.py, checked in full before Hydra makes a folder and before anything heavy is imported."""

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sv3dgen.cli.allowed_targets import check_targets
from sv3dgen.cli.config_check import check_components, check_plain_values, check_schemas, class_number, shown
from sv3dgen.cli.device_names import checked_device, on_gpu
from sv3dgen.cli.experiment_cells import cells_of_experiment, refuse_given_views, refuse_without_sweep
from sv3dgen.cli.launchers import with_cells
from sv3dgen.cli.overrides import (
    commands,
    first_line,
    parse,
    quoted,
    with_guidance_placed,
)
from sv3dgen.cli.resume import resumed_run, resumed_sweep
from sv3dgen.cli.unused_settings import check_distillation_is_used
from sv3dgen.errors import InputError
from sv3dgen.kernels.accelerators import ACCELERATORS
from sv3dgen.kernels.backend import IMPLEMENTATIONS, resolve, runs_on
from sv3dgen.runs.run_lock import check_free
from sv3dgen.schedules import check_reach
from sv3dgen.sv3d.checkpoint.contents import read_contents
from sv3dgen.sv3d.checkpoint.weights import check_obtainable, find_weights, is_on_hub
from sv3dgen.views.camera_check import check_cameras
from sv3dgen.views.image import precheck_photo
from sv3dgen.views.precheck import precheck_left_normals, precheck_views
from sv3dgen.views.view_files import ViewFiles

ROOT = Path(__file__).resolve().parents[2]
MATTING = ("auto", "rembg", "classical", "learned")  # the methods of matting.py, which imports too much to ask it
INPUT_KEYS = ("views", "image", "weights", "data", "nvs.variant", "matting", "foreground_ratio", "elevation_deg")
GPU_PRESET = "preset=gpu"
LEAST_FREE_BYTES = 50 * 2**20  # a run's folder holds tens of megabytes


def checked_arguments(arguments: list[str], root: Path) -> list[str]:
    """The command line to hand to Hydra; raises InputError, in one line, where it can't lead to a run.

    `root` holds `conf/` and the packages. Of a sweep, every value of every key is checked. `resume=FOLDER` is replaced
    by the settings that FOLDER was started with, followed by the ones given now.
    """
    if int(os.environ.get("LOCAL_RANK", 0)) > 0:
        return arguments  # a further process of a distributed run is given what the first one has checked
    parser = get_args_parser()
    parser.error = _refuse_flag  # type: ignore[method-assign]  (argparse would print its usage on several lines)
    flags = parser.parse_args(arguments)
    asked = [flag for flag in ("run", "multirun", "cfg", "info") if getattr(flags, flag)]
    if len(asked) > 1 and not (flags.help or flags.hydra_help):
        given = " and ".join(f"--{flag}" for flag in asked)
        raise InputError(f"{given}: expected one of them; --cfg and --info tell of one run, with one value a key")
    if flags.hydra_help or flags.shell_completion or flags.config_name or flags.config_path or flags.config_dir:
        return arguments  # Hydra's own affairs, or somebody else's config
    settings = [quoted(text) for text in flags.overrides]
    others = [text for text in arguments if text not in flags.overrides]
    resumed = resumed_sweep(settings) if flags.multirun else resumed_run(settings)
    settings = settings if resumed is None else resumed.settings
    only_asks = flags.help or flags.cfg or flags.info
    settings = with_guidance_placed(with_cells(settings, root / "conf"))
    if resumed is None:
        settings = _with_preset(settings)
    register_resolvers()
    seen = set()
    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        cells = cells_of_experiment(settings, _compose)
        if not (flags.multirun or only_asks):
            refuse_without_sweep(settings, cells)
        whole = [*cells, *settings] if flags.multirun else settings
        swept = {override.key_or_group for override in map(parse, whole) if override.is_sweep_override()}
        for command in commands(whole, sweeping=flags.multirun):
            config = _compose_checked(command, root)
            _check_choices(config)
            _check_schedules(config)
            _check_name(config.get("name"))
            if resumed is None:
                refuse_given_views(config)
                if "system" not in swept:
                    check_distillation_is_used(command, config)
            if resumed is not None:
                resumed.check_unchanged(lambda saved: _without_hydra(_compose(saved)))
            given = tuple(str(OmegaConf.select(config, key)) for key in INPUT_KEYS)
            if not only_asks and given not in seen:
                seen.add(given)
                files = _check_inputs(config, sweeps_nvs="nvs" in swept)
                folder = _run_folder(config, sweeping=flags.multirun)
                _check_folder(folder)
                check_free(folder)
                if config.get("share") is not None:
                    _check_folder(Path(str(config.share)))
                if config.get("image") is not None and resumed is None:
                    precheck_left_normals(folder, sweeping=flags.multirun)
                if files is not None:
                    _check_not_overwritten(files, Path(config.views), folder, sweeping=flags.multirun)
    return others + settings


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
    groups = _groups([root / "conf", *_search_path(parsed)])
    chosen = [text for text, override in zip(settings, parsed, strict=True) if _chooses(override, groups)]
    for override in parsed:
        _check_option(override, groups)
    defaults = _compose(chosen)
    tree = OmegaConf.to_container(defaults, resolve=False)
    assert isinstance(tree, dict)
    for override in parsed:
        if not (_chooses(override, groups) or override.is_add() or override.is_force_add()):
            _check_key(override.key_or_group, tree, groups)
    config = _compose(settings) if len(chosen) < len(settings) else defaults
    check_plain_values(_without_hydra(config), _without_hydra(defaults))
    check_schemas(_without_hydra(config), root)
    check_components(_without_hydra(config), root)
    check_targets(config, root, config.hydra.searchpath)
    return config


def _compose(settings: list[str]) -> DictConfig:
    try:
        return compose("config", overrides=settings, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_of_another_system(settings, first_line(error))) from error


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


def _search_path(parsed: Iterable[Override]) -> list[Path]:
    """Folders of further options, which `hydra.searchpath=[DIR,...]` names. InputError where one is not there."""
    given = [override.value() for override in parsed if override.key_or_group == "hydra.searchpath"]
    folders = []
    for entry in map(str, given[-1] if given and isinstance(given[-1], list) else []):
        scheme, separator, path = entry.rpartition("://")
        if separator and scheme != "file":
            continue  # of a package: Hydra knows
        if not Path(path).is_dir():
            raise InputError(f"hydra.searchpath={entry}: no such folder, expected one with folders like those of conf/")
        folders.append(Path(path))
    return folders


def _groups(places: Iterable[Path]) -> dict[str, list[str]]:
    """Every group as it is written on the command line, `geometry` or `guidance/sds`, and its options."""
    groups: dict[str, list[str]] = {}
    for conf in places:
        for path in sorted(conf.glob("*/**/*.yaml")):
            if path.relative_to(conf).parts[0] == "hydra":
                continue  # those next to Hydra's own options, which Hydra knows
            groups.setdefault(path.parent.relative_to(conf).as_posix(), []).append(path.stem)
    return groups


def _chooses(override: Override, groups: Mapping[str, list[str]]) -> bool:
    """Whether a setting picks an option of a group, or says where there are more, rather than changing a value."""
    key = override.key_or_group
    return key in groups or key.startswith("hydra/") or key == "hydra.searchpath"


def _check_option(override: Override, groups: Mapping[str, list[str]]) -> None:
    group = override.key_or_group
    if override.is_delete() or group not in groups:
        return  # Hydra's own groups: Hydra knows
    value = override.value()
    if value == []:
        raise InputError(f"{group}=[]: expected one of: {', '.join(groups[group])}")
    for choice in value if isinstance(value, list) else [value]:
        if str(choice) not in groups[group]:
            raise InputError(f"{group}={shown(choice)}: no such option, expected one of: {', '.join(groups[group])}")


def _check_key(key: str, tree: Mapping[Any, Any], groups: Iterable[str]) -> None:
    """Raise InputError, with the nearest key, where the composed config has no such key."""
    node: Any = tree
    for part in key.split("."):
        if isinstance(node, str) and "${" in node:
            return  # below a reference: Hydra knows
        if not isinstance(node, dict) or part not in {str(k) for k in node}:
            break
        node = next(value for k, value in node.items() if str(k) == part)
    else:
        return
    known = [name for name in _dotted(tree) if not name.startswith("hydra.")] + sorted(groups)
    by_leaf: dict[str, list[str]] = {}
    for name in known:
        by_leaf.setdefault(name.rpartition(".")[2], []).append(name)
    # The whole path may be nearly right, or its end right and the path to it forgotten.
    near = by_leaf.get(key) or get_close_matches(key, known, 1)
    near = near or [name for leaf in get_close_matches(key, by_leaf, 1) for name in by_leaf[leaf]]
    hint = f"did you mean {' or '.join(near[:3])}?" if near else "python launch.py --help lists all"
    raise InputError(f"{key}: no such key; {hint}")


def _dotted(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")


def _check_choices(config: DictConfig) -> None:
    """Raise InputError for a value at the root that no constructor would refuse before torch is there."""
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
        if operation in IMPLEMENTATIONS and str(backend) in ACCELERATORS:
            resolve(str(operation), backend, device)  # says how to get it, or what it runs on
        present = ("auto", *(runs_on(str(operation), device) if operation in IMPLEMENTATIONS else ()))
        if backend not in present:
            raise InputError(f"kernels.{operation}={shown(backend)}: expected one of {', '.join(present)}")


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


def _check_inputs(config: DictConfig, *, sweeps_nvs: bool) -> ViewFiles | None:
    """Raise InputError for an input that can't be used; gives back what was parsed of a folder of views."""
    if "train" in (OmegaConf.select(config, "system.stages") or ()):
        _check_dataset(config.data)
        return None
    if config.views is not None and config.image is not None:
        raise InputError(f"views={config.views} and image={config.image}: expected one of them")
    if config.image is not None:
        _check_photo(config, sweeps_nvs=sweeps_nvs)
    elif OmegaConf.select(config, "system.stages") == []:
        raise InputError("nothing to make views of: expected image=PHOTO")
    elif config.views is not None:
        files = precheck_views(config.views)
        if files is not None and OmegaConf.select(config, "elevation_deg") == "auto":
            raise InputError("elevation_deg=auto: estimated of a photo or a video only; expected degrees")
        if files is not None:
            check_cameras(files.transforms.frames)
        if Path(config.views).is_file() and Path(config.views).suffix != ".json" and config.get("orbit") is None:
            raise InputError(f"{config.views}: a video has no cameras; expected its orbit to be declared: orbit=static")
        return files
    else:
        raise InputError(
            "nothing to work on: expected image=PHOTO, or views=FOLDER (posed views with transforms.json, or a video)"
        )
    return None


def _check_dataset(folder: str | None) -> None:
    """Raise InputError where there are no rendered orbits to train on; what is in them is looked at later."""
    if folder is None:
        raise InputError("nothing to train on: expected data=FOLDER, made by python -m sv3dgen.render_dataset")
    from sv3dgen.data.orbit_files import check_rendered  # imports numpy, for which other runs need not wait

    check_rendered(Path(folder))


def _check_photo(config: DictConfig, *, sweeps_nvs: bool) -> None:
    """Raise InputError for a photo, or for weights on this machine, that can't be used.

    A sweep over models may have one with weights of its own beside those that `weights` is for.
    """
    precheck_photo(config.image)
    if config.matting not in MATTING:
        raise InputError(f"matting={shown(config.matting)}: expected one of {', '.join(MATTING)}")
    if not 0.05 <= config.foreground_ratio <= 1:
        raise InputError(f"foreground_ratio={shown(config.foreground_ratio)}: expected at least 0.05, at most 1")
    if config.elevation_deg != "auto" and not abs(config.elevation_deg) < 90:
        raise InputError(f"elevation_deg={shown(config.elevation_deg)}: expected auto, or more than -90 and below 90")
    variant, weights = OmegaConf.select(config, "nvs.variant"), OmegaConf.select(config, "nvs.weights")
    given = config.weights is not None and weights is not None
    if given and weights != config.weights and not sweeps_nvs:
        raise InputError(f"weights={config.weights}: nvs has {weights} of its own; expected one or the other")
    if weights is None and variant not in ("auto", None):
        raise InputError(
            f"nvs={variant}: no weights; expected weights=FILE ({variant}.safetensors), or weights=stabilityai/sv3d "
            "after accepting the licence at https://huggingface.co/stabilityai/sv3d"
        )
    if weights is None:
        return
    wanted = "sv3d_u" if variant == "sv3d_u" else "sv3d_p"
    if is_on_hub(weights):
        check_obtainable(weights, wanted)
    else:
        read_contents(find_weights(weights, wanted))


def _run_folder(config: DictConfig, *, sweeping: bool) -> Path:
    """The folder of the run, or of the sweep. InputError where it has no name, which would be the current one."""
    key = "sweep" if sweeping else "run"
    name = str(config.hydra[key].dir)
    if not name.strip():
        raise InputError(f"hydra.{key}.dir={name}: expected a folder")
    return Path(name)


def _check_folder(folder: Path) -> None:
    """Raise InputError where a folder of the run's can't be made or the disk is full."""
    if folder.is_symlink() and not folder.exists():
        raise InputError(f"{folder}: a link that leads nowhere, expected a folder for the run")
    parent = folder.absolute()
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise InputError(f"{folder}: expected a folder for the run, but {parent} is a file")
    if not os.access(parent, os.W_OK):
        raise InputError(f"{folder}: expected a folder that can be written to")
    free = shutil.disk_usage(parent).free
    if free < LEAST_FREE_BYTES:
        raise InputError(f"{folder}: {os.strerror(errno.ENOSPC)}, expected at least {LEAST_FREE_BYTES >> 20} MB free")


def _check_not_overwritten(files: ViewFiles, views: Path, folder: Path, *, sweeping: bool) -> None:
    """Raise InputError where the run would write its copy of the views over the pictures that are given."""
    sources = {frame.image.resolve().parent for frame in files.transforms.frames}
    sources.add(views.resolve() if views.is_dir() else views.resolve().parent)
    for source in sources:
        if source.name == "views" and (
            source.parent == folder.resolve() or sweeping and folder.resolve() in source.parents
        ):
            raise InputError(f"hydra.run.dir={folder}: the run would write over the views given in {source}")


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
