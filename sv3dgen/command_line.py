"""The command line of launch.py, checked in full before Hydra makes a folder and before anything heavy is imported."""

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sv3dgen.config_check import check_components, check_plain_values, shown
from sv3dgen.errors import InputError
from sv3dgen.kernels.backend import IMPLEMENTATIONS
from sv3dgen.precheck import precheck_views

PATH_KEYS = ("views", "image", "resume")
MAX_CHOICES = 64  # of one swept key: looked at before the first run starts
LEAST_FREE_BYTES = 50 * 2**20  # a run's folder holds tens of megabytes


def checked_arguments(arguments: list[str], root: Path) -> list[str]:
    """The command line to hand to Hydra; raises InputError, in one line, where it can't lead to a run.

    `root` holds `conf/` and the packages. Of a sweep, every value of every key is checked. `resume=FOLDER` is replaced
    by the settings that FOLDER was started with, followed by the ones given now.
    """
    parser = get_args_parser()
    parser.error = _refuse_flag  # type: ignore[method-assign]  (argparse would print its usage on several lines)
    flags = parser.parse_args(arguments)
    if flags.hydra_help or flags.shell_completion or flags.config_name or flags.config_path or flags.config_dir:
        return arguments  # Hydra's own affairs, or somebody else's config
    settings = [_quoted(text) for text in flags.overrides]
    others = [text for text in arguments if text not in flags.overrides]
    settings = _with_schedules_replaced(_with_resumed(settings))
    only_asks = flags.help or flags.cfg or flags.info
    register_resolvers()
    seen = set()
    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        for command in _commands(settings, sweeping=flags.multirun):
            config = _compose_checked(command, root)
            _check_choices(config)
            if not only_asks and (config.views, config.image) not in seen:
                seen.add((config.views, config.image))
                _check_inputs(config)
                _check_folder(Path(config.hydra.sweep.dir if flags.multirun else config.hydra.run.dir))
    return others + settings


def register_resolvers() -> None:
    """Make `${stem:A,B}` known: a name for the run's folder, made of the first path that is given."""
    OmegaConf.register_new_resolver("stem", stem, replace=True)


def stem(*paths: str | None) -> str:
    """The last part of the first path that is not null, without suffix and without characters that hurt in a path."""
    given = next((str(path) for path in paths if path is not None), "")
    path = Path(given).resolve()
    name = path.stem if path.suffix and not path.is_dir() else path.name
    return re.sub(r"[^\w.-]+", "_", name).strip("_.") or "run" if given else "run"


def _refuse_flag(message: str) -> None:
    raise InputError(f"{message}; expected key=value settings without dashes, see python launch.py --help")


def _quoted(text: str) -> str:
    """A setting as given; a path that Hydra's grammar can't read as it stands (spaces, brackets) is quoted."""
    try:
        _parse(text)
        return text
    except InputError:
        key, _, value = text.partition("=")
        if key not in PATH_KEYS or not value:
            raise
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{key}="{escaped}"'


def _parse(text: str) -> Override:
    try:
        hydra = GlobalHydra.instance()
        parser = OverridesParser.create(hydra.config_loader() if hydra.is_initialized() else None)
        return parser.parse_overrides([text])[0]
    except HydraException as error:
        raise InputError(
            f"{text}: expected key=value (a value with spaces or brackets in quotes of its own)"
        ) from error


def _with_resumed(settings: list[str]) -> list[str]:
    """Put the saved settings of `resume=FOLDER` in front, and send the run back into that folder."""
    parsed = [_parse(text) for text in settings]
    resumed = [override.value() for override in parsed if override.key_or_group == "resume"]
    if not resumed or resumed[-1] is None:
        return settings
    folder = Path(str(resumed[-1]))
    saved = folder / ".hydra" / "overrides.yaml"
    if not saved.is_file():
        raise InputError(f"resume={folder}: expected the folder of an earlier run, with .hydra/overrides.yaml in it")
    replaced = {override.key_or_group for override in parsed}
    before = yaml.safe_load(saved.read_text(encoding="utf-8"))
    kept = [text for text in before if _parse(text).key_or_group not in replaced]
    moved = [] if "hydra.run.dir" in replaced else ['hydra.run.dir="{}"'.format(str(folder).replace('"', '\\"'))]
    return kept + settings + moved


def _with_schedules_replaced(settings: list[str]) -> list[str]:
    """Let `key={0: 0, 300: 1}` stand for these knots alone; Hydra would add them to the ones there are."""
    replaced = []
    for text in settings:
        override = _parse(text)
        value = None if override.is_sweep_override() or override.is_add() else override.value()
        if isinstance(value, dict) and value and all(isinstance(knot, int) for knot in value):
            key, _, knots = text.partition("=")
            replaced += [f"~{key.lstrip('+')}", f"+{key.lstrip('+')}={knots}"]
        else:
            replaced.append(text)
    return replaced


def _commands(settings: list[str], *, sweeping: bool) -> Iterator[list[str]]:
    """The command itself; of a sweep, one command for each value of each swept key, the others at their first."""
    parsed = [_parse(text) for text in settings]
    swept = {i: _choices(override) for i, override in enumerate(parsed) if override.is_sweep_override()}
    if swept and not sweeping:
        text = settings[next(iter(swept))]
        raise InputError(f"{text}: several values need -m (a sweep); a comma that belongs to the value needs quotes")
    first = [swept[i][0] if i in swept else text for i, text in enumerate(settings)]
    yield first
    for i, choices in swept.items():
        for choice in choices[1:]:
            yield [*first[:i], choice, *first[i + 1 :]]


def _choices(override: Override) -> list[str]:
    try:
        values = list(islice(override.sweep_string_iterator(), MAX_CHOICES))
    except HydraException as error:
        raise InputError(f"{override.input_line}: {_first_line(error)}") from error
    if not values:
        raise InputError(f"{override.input_line}: no value to sweep over")
    return [f"{override.get_key_element()}={value}" for value in values]


def _compose_checked(settings: list[str], root: Path) -> DictConfig:
    parsed = [_parse(text) for text in settings]
    groups = _groups(root / "conf")
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
    check_components(_without_hydra(config), root)
    return config


def _compose(settings: list[str]) -> DictConfig:
    try:
        return compose("config", overrides=settings, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_first_line(error)) from error


def _groups(conf: Path) -> dict[str, list[str]]:
    """Every group of ours as it is written on the command line, `geometry` or `guidance/sds`, and its options."""
    groups: dict[str, list[str]] = {}
    for path in sorted(conf.glob("*/**/*.yaml")):
        groups.setdefault(path.parent.relative_to(conf).as_posix(), []).append(path.stem)
    return groups


def _chooses(override: Override, groups: Mapping[str, list[str]]) -> bool:
    """Whether a setting picks an option of a group, rather than changing a value."""
    return override.key_or_group in groups or override.key_or_group.startswith("hydra/")


def _check_option(override: Override, groups: Mapping[str, list[str]]) -> None:
    group = override.key_or_group
    if override.is_delete() or group not in groups:
        return  # Hydra's own groups: Hydra knows
    value = override.value()
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
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(config.get("device", "auto"))):
        raise InputError(f"device={config.device}: expected auto, cpu, cuda, cuda:N or mps")
    for operation, backend in config.get("kernels", {}).items():
        present = ("auto", *IMPLEMENTATIONS.get(str(operation), ()))
        if backend not in present:
            raise InputError(f"kernels.{operation}={shown(backend)}: expected one of {', '.join(present)}")


def _check_inputs(config: DictConfig) -> None:
    if config.views is not None:
        precheck_views(config.views)
        if Path(config.views).is_file() and Path(config.views).suffix != ".json" and config.get("orbit") is None:
            raise InputError(f"{config.views}: a video has no cameras; expected its orbit to be declared: orbit=static")
    elif config.image is not None:
        raise InputError(
            f"image={config.image}: no model that makes views of one photo is built in yet; use views=FOLDER"
        )
    else:
        raise InputError("nothing to work on: expected views=FOLDER (posed views with transforms.json, or a video)")


def _check_folder(folder: Path) -> None:
    """Raise InputError where the run's folder can't be made or the disk is full."""
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


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _first_line(error: BaseException) -> str:
    """First line of an error, and of what it was raised from; the lines after it are advice on Hydra's own syntax."""
    lines = [str(e).strip().splitlines()[0] for e in (error, error.__cause__) if e is not None and str(e).strip()]
    return ": ".join(dict.fromkeys(lines))
