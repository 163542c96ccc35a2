"""`python launch.py --help`: every choice and every setting, with what conf/ says of it."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from sv3dgen.cli.conf_comments import said_of_option
from sv3dgen.cli.known_keys import groups_in, search_path
from sv3dgen.cli.overrides import first_line, parse
from sv3dgen.cli.setting_rows import Setting, setting_rows
from sv3dgen.errors import InputError

WIDTHS = (60, 120)  # of the page in columns, at least and at most
COLUMN = 40  # where short settings are explained


def help_text(settings: Sequence[str], root: Path) -> str:
    """The page for a run with these settings, which are `checked_arguments`' already. `root` holds `conf/`."""
    places = [root / "conf", *search_path([parse(text) for text in settings])]
    config = _composed(settings, root)
    width = min(max(shutil.get_terminal_size().columns, WIDTHS[0]), WIDTHS[1])
    choices = "\n".join(_choices(config, places, width))
    numbers = "\n".join(_settings(config, places, width))
    template = str(config.hydra.help.template)
    return template.replace("$APP_CONFIG_GROUPS", choices).replace("$CONFIG", numbers)


def _composed(settings: Sequence[str], root: Path) -> DictConfig:
    given = [text for text in settings if not parse(text).is_sweep_override()]
    try:
        with initialize_config_dir(str(root / "conf"), version_base="1.3"):
            return compose("config", overrides=given, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(first_line(error)) from error


def _choices(config: DictConfig, places: list[Path], width: int) -> Iterator[str]:
    taken = {str(group): option for group, option in config.hydra.runtime.choices.items()}
    for group, options in groups_in(places).items():
        chosen = {str(option) for place, option in taken.items() if place.partition("@")[0] == group}
        yield f"{group}"
        longest = max(map(len, options))
        for option in options:
            mark = "*" if option in chosen else " "
            yield from _line(f"  {mark} {option:<{longest}}  ", said_of_option(group, option, places), width)


def _settings(config: DictConfig, places: list[Path], width: int) -> Iterator[str]:
    part = None
    for setting in setting_rows(config, config.hydra.runtime.choices, places):
        if setting.key.rpartition(".")[0] != part:
            part = setting.key.rpartition(".")[0]
            yield ""
        given, told = f"{setting.key}={setting.value}", explanation(setting)
        if len(given) + 2 + len(told) <= width and len(given) < COLUMN:
            yield f"{given:<{COLUMN}}  {told}".rstrip() if len(told) + COLUMN + 2 <= width else f"{given}  {told}"
        else:
            yield given
            yield from _line("    ", told, width)


def explanation(setting: Setting) -> str:
    """What conf/ says, and which values there are where that does not say it."""
    return f"{setting.said} [{setting.domain}]".strip() if setting.domain else setting.said


def _line(head: str, text: str, width: int) -> Iterator[str]:
    """The text behind a head, its further lines below its own beginning; of no text a head that says something."""
    if text:
        lines = textwrap.wrap(text, width - len(head), break_long_words=False, break_on_hyphens=False)
        yield head + lines[0]
        yield from (" " * len(head) + line for line in lines[1:])
    elif head.strip():
        yield head.rstrip()
