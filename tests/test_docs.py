"""What the README and docs/ say can be typed: every command in a block of theirs is composed, or its options parsed."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT

from sv3dgen.cli.command import OneLineParser
from sv3dgen.cli.command_line import checked_arguments
from sv3dgen.commands.settings import page

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
# What only another machine, or an installation, has.
ELSEWHERE = {"hydra/launcher", "hydra.launcher", "hydra.searchpath"}


def commands() -> Iterator[tuple[str, str]]:
    """Page and command; a line that ends with a back-slash goes on, what stands behind a # is none."""
    for path in PAGES:
        for block in BLOCK.findall(path.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r"\s*(?:&&|\|)\s+", line):
                    words = shlex.split(part, comments=True)
                    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                        words = words[1:]
                    if words[:1] == ["python"] and "..." not in words:
                        yield path.name, shlex.join(words[1:])


COMMANDS = sorted(set(commands()))


@pytest.mark.parametrize("command", sorted({c for _, c in COMMANDS if c.startswith("launch.py")}))
def test_a_run_composes(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)[1:]
    if any(word.partition("=")[0] == "resume" or word.partition("=")[0].startswith(tuple(ELSEWHERE)) for word in words):
        pytest.skip("needs a run's folder, a launcher or an extension")
    if any(re.search(r"\b[A-Z]+=", word) for word in words):
        pytest.skip("a pattern, no command")
    monkeypatch.chdir(tmp_path)
    # Of a sweep its first run: `test_command_line.py` tries that all are looked at.
    words = [word if "[" in word else word.partition(",")[0] for word in words if word != "-m"]
    assert checked_arguments([*words, "--help"], ROOT)  # asks only: inputs need not be there


@pytest.mark.parametrize("command", sorted({c for _, c in COMMANDS if c.startswith("-m sv3dgen.")}))
def test_options_are_there(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, *arguments = shlex.split(command)[1:]
    monkeypatch.syspath_prepend(str(ROOT))
    places = (f"sv3dgen.commands.{name.removeprefix('sv3dgen.')}", f"{name}.__main__", name)
    module = importlib.import_module(next(place for place in places if is_there(place)))
    seen = []
    parse = OneLineParser.parse_args

    def parsed(parser, given=None, namespace=None):
        seen.append(parse(parser, given, namespace))
        raise SystemExit

    monkeypatch.setattr(OneLineParser, "parse_args", parsed)
    with pytest.raises(SystemExit):
        module.main(arguments)
    assert seen


def is_there(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    return path.with_suffix(".py").is_file()


def test_settings_page_is_what_the_code_says() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page(text) == text, "run: python -m sv3dgen.settings --write docs/settings.md"


def test_links_lead_to_files() -> None:
    broken = [
        f"{path.name}: {target}"
        for path in PAGES
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_readme_is_short_and_begins_with_a_picture() -> None:
    lines = README.splitlines()
    assert len(lines) < 120
    picture = next(index for index, line in enumerate(lines) if line.startswith("!["))
    assert not any(line.startswith(("##", "```")) for line in lines[:picture])
    assert sum(bool(re.fullmatch(r"python3\.11 -m venv .* pytest", line)) for line in lines) == 1  # which .ci runs


def test_every_page_is_in_the_site(tmp_path: Path) -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [path.name for path in PAGES[1:] if not re.search(rf"\b{path.name}$", navigation, re.MULTILINE)] == []
    mkdocs = shutil.which("mkdocs")
    if mkdocs is None:
        pytest.skip('needs MkDocs: pip install -c constraints.txt -e ".[docs]"')
    built = subprocess.run(
        [mkdocs, "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert built.returncode == 0, built.stderr


def test_the_container_is_built_by_the_readmes_command() -> None:
    (install,) = re.findall(r"^(python3\.11 -m venv .* pip install .*?) && python", README, re.MULTILINE)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert install in dockerfile
    copied = [name for line in re.findall(r"^COPY (.*) \./?$", dockerfile, re.MULTILINE) for name in line.split()]
    assert "pyproject.toml" in copied and [name for name in copied if not (ROOT / name).exists()] == []


def test_the_container_gets_nothing_that_git_does_not_keep() -> None:
    kept_out, ignored = (
        {line.strip("/").removeprefix("**/") for line in (ROOT / name).read_text(encoding="utf-8").split()}
        for name in (".dockerignore", ".gitignore")
    )
    assert ignored | {".git"} == kept_out
