"""`python -m sv3dgen.settings`: every setting, what it is now, which values it may have and what it does.

Settings given behind it choose other parts: `python -m sv3dgen.settings preset=paper guidance/sds=soft`. With `--write
docs/settings.md` the page of the documentation is made anew.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sv3dgen.atomic import atomic_write
from sv3dgen.cli.annotations import domain_of
from sv3dgen.cli.class_sources import read_signature
from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.cli.command_line import register_resolvers
from sv3dgen.cli.config_check import OURS
from sv3dgen.cli.overrides import first_line
from sv3dgen.cli.run_settings import SCHEMAS
from sv3dgen.cli.setting_rows import Setting, setting_rows
from sv3dgen.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
MARKED = re.compile(r"(<!-- settings:(.*?)-->).*?(<!-- end -->)", re.DOTALL)


def numbers(config: DictConfig) -> Iterator[tuple[str, Any, str]]:
    """Key, value and domain of each number, in the order of the config. A reference is told where it leads."""
    yield from _inside(config, "")


def _inside(node: DictConfig, path: str) -> Iterator[tuple[str, Any, str]]:
    own = str(node.get("_target_") or "")
    target = own if own.split(".")[0] in OURS else SCHEMAS.get(path, "")
    signature = read_signature(target, ROOT) if target else None
    for key in map(str, node):  # at numbers, as of schedules, there are no settings
        place = f"{path}.{key}".lstrip(".")
        if key not in node or OmegaConf.is_interpolation(node, key) or OmegaConf.is_missing(node, key):
            continue
        try:
            value = node[key]
        except OmegaConfBaseException:
            continue
        annotation = None if signature is None else signature.arguments.get(key)
        domain = None if annotation is None or signature is None else domain_of(annotation, signature.file, ROOT)
        if domain is not None:
            plain = OmegaConf.to_container(value, resolve=False) if OmegaConf.is_config(value) else value
            yield place, plain, domain
        elif isinstance(value, DictConfig):
            yield from _inside(value, place)


def table(settings: list[str]) -> str:
    """The settings of the config that the given ones choose, as Markdown."""
    register_resolvers()
    try:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = compose("config", settings, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(first_line(error)) from error
    rows = setting_rows(config, config.hydra.runtime.choices, [ROOT / "conf"])
    return "\n".join(["| setting | value | may be | what it does |", "|---|---|---|---|", *map(_row, rows)])


def _row(setting: Setting) -> str:
    cells = (f"`{setting.key}`", f"`{setting.value}`" if setting.value else "", setting.domain, setting.said)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def page(text: str) -> str:
    """A page of the documentation with its tables made anew, each between two lines that say for which settings."""
    return MARKED.sub(lambda found: f"{found[1]}\n\n{table(found[2].split())}\n\n{found[3]}", text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 for a setting that there is not."""

    def command() -> int:
        parser = OneLineParser(prog="python -m sv3dgen.settings", description=(__doc__ or "").partition("\n")[0])
        parser.add_argument("settings", nargs="*", help="choices as on launch.py's command line, such as preset=paper")
        parser.add_argument("--write", type=Path, help="a page whose tables are made anew, such as docs/settings.md")
        options = parser.parse_args(arguments)
        if options.write is None:
            print(table(options.settings))
        else:
            text = page(options.write.read_text(encoding="utf-8"))
            with atomic_write(options.write) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return 0

    return exit_status(command, "sv3dgen.settings")


if __name__ == "__main__":
    sys.exit(main())
