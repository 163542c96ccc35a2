"""What a run was made of: its command, the commit of the code, its input with a hash."""

import hashlib
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from shlex import join
from typing import Any

from hydra.core.hydra_config import HydraConfig

from sv3dgen.errors import InputError
from sv3dgen.views.precheck import holds_cameras
from sv3dgen.views.transforms_json import read_transforms
from sv3dgen.views.unposed import is_unposed, photos_in

ROOT = Path(__file__).resolve().parents[2]
CHUNK = 1 << 20


def given_settings() -> list[str]:
    """The settings of the run's command line, a resumed run's with those that it was started with; [] outside Hydra."""
    given = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return [setting for setting in given if not setting.startswith("resume=")]


def provenance(config: Mapping[str, Any]) -> dict[str, Any]:
    """`command`, `commit` (null outside a git checkout) and `input` (null where there is none) for the run's card."""
    return {
        "command": join(["python", "launch.py", *given_settings()]),
        "commit": commit(ROOT),
        "input": input_of(config),
    }


def commit(folder: Path) -> str | None:
    """The commit of the checkout at `folder`, with `+` where files that git knows have changed since."""
    if not (folder / ".git").exists():  # git would find that of a folder above
        return None
    try:
        head, changed = (
            subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, timeout=10, check=True).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.strip() + ("+" if changed.strip() else "")


def input_of(config: Mapping[str, Any]) -> dict[str, str] | None:
    """Path and SHA-256 of the photo, the video, or the views: of their `transforms.json` and then of each picture."""
    key = next((key for key in ("image", "views") if config.get(key) is not None), None)
    if key is None:
        return None
    found = {"path": str(config[key])}
    try:
        return found | {"sha256": digest(input_files(Path(found["path"])))}
    except (OSError, InputError):  # a resumed run does without what it has read already
        return found


def input_files(path: Path) -> list[Path]:
    """The file itself; the photos of a folder of such; of posed views, their transforms.json and their pictures."""
    if is_unposed(path):
        return photos_in(path)
    if not holds_cameras(path):
        return [path]
    transforms = read_transforms(path, "train")
    return [transforms.path, *(frame.image for frame in transforms.frames)]


def digest(files: Iterable[Path]) -> str:
    """SHA-256 of the bytes of all files, one after another."""
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                found.update(chunk)
    return found.hexdigest()
