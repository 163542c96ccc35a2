"""What the files of conf/ say about their keys: the comments, found by key without parsing the values."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_KEY = re.compile(r"( *)([\w-]+):(?:\s|$)(.*)")
_PACKAGE = re.compile(r"# @package (\S+)")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


@dataclass(frozen=True)
class Explained:
    """A file of conf/: what it says at its head, of its keys, and which files of its folder it builds on."""

    head: str
    package: str | None
    keys: Mapping[str, str]  # by dotted key, inside the file
    bases: tuple[str, ...]  # stems of files in the same folder


@cache
def explained(file: Path) -> Explained:
    """The comments of a yaml: behind a key, or in the lines right above it; the lines at the top are the file's own."""
    package: str | None = None
    head: str | None = None
    pending: list[str] = []
    keys: dict[str, str] = {}
    bases: list[str] = []
    path: list[tuple[int, str]] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            found = _PACKAGE.match(stripped)
            if found:
                package = found[1]
            else:
                pending.append(stripped.lstrip("# "))
            continue
        if head is None:  # the first line that is no comment, or an empty one, ends what is said of the file
            head, pending = " ".join(pending), []
        found = _KEY.match(line)
        if found is None:
            if path and path[0][1] == "defaults" and re.fullmatch(r"- [\w-]+(@[\w.]+)?", stripped):
                bases.append(stripped[2:].partition("@")[0])
            pending = []
            continue
        indent = len(found[1])
        path = [(deep, name) for deep, name in path if deep < indent] + [(indent, found[2])]
        said = [*pending, *_behind(found[3])]
        if said:
            keys[".".join(name for _, name in path)] = " ".join(said)
        pending = []
    return Explained(head or " ".join(pending), package, keys, tuple(base for base in bases if base != "_self_"))


def _behind(rest: str) -> Iterator[str]:
    """The comment behind a value; a # in quotes is none."""
    plain = _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), rest)
    at = plain.find("# ") if plain.startswith("# ") else plain.find(" # ")
    if at >= 0:
        yield rest[at:].lstrip("# ")


def said_of_keys(choices: Mapping[str, str | None], places: list[Path]) -> dict[str, str]:
    """What conf/ says of each key of a composed config; later files count before those that they build on.

    `choices` is Hydra's: an option for each `group` or `group@package`. `places` are folders like conf/.
    """
    said: dict[str, str] = {}
    config = next((place / "config.yaml" for place in places if (place / "config.yaml").is_file()), None)
    if config is not None:
        said |= explained(config).keys
    for choice, option in choices.items():
        group, _, package = choice.partition("@")
        if option is not None and not group.startswith("hydra/"):
            for key, words in _of_option(group, str(option), package or None, places).items():
                said.setdefault(key, words)
    return said


def _of_option(group: str, option: str, package: str | None, places: list[Path]) -> dict[str, str]:
    file = next((found for place in places if (found := place / group / f"{option}.yaml").is_file()), None)
    if file is None:
        return {}
    told = explained(file)
    package = package or told.package or group.replace("/", ".")
    prefix = "" if package == "_global_" else f"{package}."
    said = {f"{prefix}{key}": words for key, words in told.keys.items()}
    for base in told.bases:
        for key, words in _of_option(group, base, package, places).items():
            said.setdefault(key, words)
    return said


def said_of_option(group: str, option: str, places: list[Path]) -> str:
    """The first sentence at the head of an option's file."""
    file = next((found for place in places if (found := place / group / f"{option}.yaml").is_file()), None)
    head = explained(file).head if file is not None else ""
    return re.split(r"(?<=[.:;]) (?=\S)", head, maxsplit=1)[0].rstrip(".:;") if head else ""
