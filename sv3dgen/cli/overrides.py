"""Settings as they are given on the command line, `key=value` in Hydra's grammar: quoted, taken apart, put together."""

from collections.abc import Iterator
from itertools import islice
from math import ceil, isfinite
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, FloatRange, Override, RangeSweep
from hydra.errors import HydraException

from sv3dgen.errors import InputError
from sv3dgen.runs.run_folder import escaped
from sv3dgen.views.picture_formats import SUFFIXES

PATH_KEYS = ("views", "image", "weights", "data", "resume", "share", "name", "hydra.run.dir", "hydra.sweep.dir")
STAGES = ("coarse", "fine")
MAX_CHOICES = 64  # of one swept key: looked at before the first run starts
MOST_RUNS = 10_000  # of a sweep: Hydra lists them all before the first one starts
_MOST_LETTERS = 4000  # of a value, or of each of a sweep's
_MOST_TOGETHER = 1000 * MAX_CHOICES  # of a setting: the parser takes .2 s for 8000 in words, 1 s where all are brackets


def check_is_setting(text: str) -> None:
    """Raise InputError for a bare word, with the setting that was meant where the file or folder of that name tells."""
    if "=" in text or text.startswith("~"):
        return
    path, suffix = Path(text), Path(text).suffix.lower()
    if (path / "run.json").is_file():
        key = "resume"
    elif path.is_dir() or suffix in (".mp4", ".mov", ".mkv", ".webm", ".avi", ".json"):
        key = "views"
    elif suffix in (".safetensors", ".ckpt"):
        key = "weights"
    elif suffix in (*SUFFIXES, ".heic", ".heif", ".gif"):
        key = "image"
    else:
        raise InputError(f"{text}: expected key=value, see python launch.py --help")
    raise InputError(f"{text}: expected key=value; did you mean {key}={text}?")


def quoted(text: str) -> str:
    """A setting as given; a path that Hydra's grammar can't read as it stands (spaces, brackets) is quoted.

    `${` in the name of a file or folder is part of it, and no reference; those of hydra.run.dir are references.
    """
    if text.partition("=")[0] in PATH_KEYS and not text.startswith("hydra."):
        text = escaped(text)
    try:
        parse(text)
        return text
    except InputError:
        key, _, value = text.partition("=")
        if key not in PATH_KEYS or not value:
            raise
        inner = value.replace("\\", "\\\\").replace('"', '\\"').replace("\\\\${", "\\${")
        return f'{key}="{inner}"'


def parse(text: str) -> Override:
    """A setting taken apart; InputError where it is none."""
    longest = max(map(len, text.split(",")))
    if longest > _MOST_LETTERS or len(text) > _MOST_TOGETHER:
        found, most = (longest, _MOST_LETTERS) if longest > _MOST_LETTERS else (len(text), _MOST_TOGETHER)
        raise InputError(f"{text[:60]}...: {found} letters, expected a setting of at most {most}")
    try:
        hydra = GlobalHydra.instance()
        parser = OverridesParser.create(hydra.config_loader() if hydra.is_initialized() else None)
        return parser.parse_overrides([text])[0]
    except (HydraException, RecursionError) as error:  # the latter for brackets within brackets
        raise InputError(
            f"{text}: expected key=value (a value with spaces or brackets in quotes of its own)"
        ) from error


def with_guidance_placed(settings: list[str]) -> list[str]:
    """Put an added guidance where a stage looks for it.

    `+guidance=NAME` adds it to both stages, `+guidance@fine=NAME` to one; also of a group of options,
    `+guidance/NAME=OPTION`. Hydra alone would put it at the root of the config, where nothing reads it.
    """
    placed = []
    for text in settings:
        override = parse(text)
        folder, _, group = override.key_or_group.partition("/")
        package = override.package
        added = override.is_add() or override.is_force_add()
        if folder != "guidance" or not added or package not in (None, *STAGES):
            placed.append(text)
            continue
        if override.is_sweep_override():
            raise InputError(f"{text}: a guidance is added to all runs of a sweep; expected one, or a sweep for each")
        name, option = group or str(override.value()), override.value()
        stages = STAGES if package is None else (package,)
        placed += [f"+{override.key_or_group}@{stage}.guidance.{name}={option}" for stage in stages]
    return placed


def commands(settings: list[str], *, sweeping: bool) -> Iterator[list[str]]:
    """The command itself; of a sweep, one command for each value of each swept key, the others at their first."""
    parsed = [parse(text) for text in settings]
    many = [text for text, override in zip(settings, parsed, strict=True) if override.is_sweep_override()]
    if many and not sweeping:
        raise InputError(f"{many[0]}: several values need -m (a sweep); a comma that belongs to the value needs quotes")
    runs = 1
    for override in parsed:
        runs *= max(1, _number_of(override))
        if runs > MOST_RUNS:
            raise InputError(f"{override.input_line}: a sweep of {runs} runs; expected at most {MOST_RUNS}")
    swept = {i: choices_of(override) for i, override in enumerate(parsed) if override.is_sweep_override()}
    first = [swept[i][0] if i in swept else text for i, text in enumerate(settings)]
    yield first
    for i, choices in swept.items():
        for choice in choices[1:]:
            yield [*first[:i], choice, *first[i + 1 :]]


def choices_of(override: Override) -> list[str]:
    """The settings that a swept one stands for, MAX_CHOICES at most; InputError where there is none."""
    try:
        values = list(islice(override.sweep_string_iterator(), MAX_CHOICES))
    except HydraException as error:
        raise InputError(f"{override.input_line}: {first_line(error)}") from error
    if not values:
        raise InputError(f"{override.input_line}: no value to sweep over")
    return [f"{override.get_key_element()}={value}" for value in values]


def _number_of(override: Override) -> int:
    """How many values a swept setting stands for, without making them."""
    value = override.value()
    if override.is_range_sweep() and isinstance(value, RangeSweep):
        bounds = (value.start, value.stop, value.step)
        if not all(isfinite(bound) for bound in bounds if isinstance(bound, float)):
            raise InputError(f"{override.input_line}: expected a range of finite numbers")
        try:
            values = value.range()
            if isinstance(values, FloatRange):
                return ceil(min(max(0.0, float((values.stop - values.start) / values.step)), 1e18))
            return len(values)
        except (ArithmeticError, ValueError, OverflowError) as error:  # no step, no end
            raise InputError(f"{override.input_line}: no value to sweep over; expected a step that is not 0") from error
    return len(value.list) if isinstance(value, ChoiceSweep) else 1


def first_line(error: BaseException) -> str:
    """First line of an error, and of what it was raised from; the lines after it are advice on Hydra's own syntax."""
    lines = [str(e).strip().splitlines()[0] for e in (error, error.__cause__) if e is not None and str(e).strip()]
    return ": ".join(dict.fromkeys(lines))
