"""What pyproject.toml, constraints.txt and packages ask of each other agrees: extras install, alone and together."""

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OLDEST = "3.11.11"  # of 3.11 not the first, which some packages no longer take


def pins() -> dict[str, str]:
    """Package -> version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    parted = [line.partition("==") for line in lines if "==" in line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in parted}


PINS = pins()


def own() -> Iterator[Requirement]:
    for text in [*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]:
        yield Requirement(text)


def disagreement(asked: Requirement) -> str | None:
    """Why a requirement does not go with the constraints."""
    pin = PINS.get(canonicalize_name(asked.name))
    return None if pin is None or asked.specifier.contains(pin, prereleases=True) else f"{asked}, pinned {pin}"


def test_the_constraints_meet_what_the_project_asks_for():
    assert list(filter(None, map(disagreement, own()))) == []


def test_the_constraints_meet_what_the_installed_packages_ask_for():
    """Of those that the project's dependencies and extras bring, as far as they are installed here."""
    queue, seen, wrong = list(own()), set(), []
    while queue:
        asked = queue.pop()
        key = (canonicalize_name(asked.name), *sorted(asked.extras))
        if key in seen or (asked.marker is not None and not asked.marker.evaluate({"extra": ""})):
            continue
        seen.add(key)
        try:
            found = importlib.metadata.distribution(asked.name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if found.version != PINS.get(key[0], found.version):
            continue  # another version, which asks for other things
        for text in found.requires or []:
            further = Requirement(text)
            scopes = [{"extra": extra} for extra in (asked.extras or {""})]
            if further.marker is None or any(further.marker.evaluate(scope) for scope in scopes):
                further.marker = None
                queue.append(further)
                wrong += [f"{asked.name} asks for {told}" for told in [disagreement(further)] if told is not None]
    assert wrong == [] and len(seen) > 50


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("python", "extra"), [*((OLDEST, extra) for extra in [None, *EXTRAS, "all"]), ("3.12", "all"), ("3.13", "all")]
)
def test_every_extra_resolves(python: str, extra: str | None, tmp_path: Path):
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("needs uv (pip install uv), which resolves for other versions of Python, and the package index")
    chosen = [] if extra is None else ["--all-extras"] if extra == "all" else ["--extra", extra]
    command = [uv, "pip", "compile", "--quiet", "--native-tls", "--python-version", python, "-c", "constraints.txt"]
    command += ["--only-binary", ":all:", "--no-binary", "antlr4-python3-runtime"]  # that one is plain Python, unbuilt
    done = subprocess.run(
        [*command, *chosen, "pyproject.toml", "-o", str(tmp_path / "out.txt")], cwd=ROOT, capture_output=True, text=True
    )
    if any(reason in done.stderr for reason in ("Failed to fetch", "error sending request", "Network")):
        pytest.skip(f"needs the package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
