"""What a mesh file says about where it comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath
from shlex import join

GENERATOR = "sv3dgen"
# What does not change the mesh.
_LEFT_OUT = {"name", "resume", "share", "viewer", "viewer_port", "logger", "device", "hydra"}
_PATHS = {"views", "image", "weights", "nvs.weights", "nvs.mesh", "data", "normals.folder", "normals.weights"}


@dataclass(frozen=True)
class Origin:
    """The command that made a mesh, and the licences of what shaped it, by what they are of."""

    command: str = ""
    licences: Mapping[str, str] = field(default_factory=dict)

    def extras(self) -> dict[str, object]:
        """As glTF's `asset.extras`, without what is empty."""
        told = {"command": self.command, "licences": dict(self.licences)}
        return {key: value for key, value in told.items() if value}


def generator() -> str:
    """Our name and version."""
    try:
        return f"{GENERATOR} {version(GENERATOR)}"
    except PackageNotFoundError:  # a bare checkout
        return GENERATOR


def public_command(settings: Sequence[str]) -> str:
    """The command line as it may leave the machine: files by their names, without folders.

    Settings that do not change the mesh are left out, so that the same mesh is the same file.
    """
    kept = []
    for setting in settings:
        key, separator, value = setting.partition("=")
        plain = key.lstrip("+~")
        if plain in _LEFT_OUT or plain.startswith(("hydra.", "hydra/", "logger.")):
            continue
        bare = value.strip("\"'")
        is_path = plain in _PATHS or bare.startswith(("/", "~", ".")) or "\\" in bare
        kept.append(f"{key}={PurePath(bare.replace(chr(92), '/')).name}" if is_path and separator else setting)
    return join(["python", "launch.py", *kept])
