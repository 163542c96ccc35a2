"""Find a file that another file names, on another machine or another system. Standard library only."""

from pathlib import Path, PureWindowsPath


def find_nearby(folder: Path, name: str) -> Path | None:
    """The file that is called `name` in a file of `folder`: as written, or by its last parts, whatever their case.

    Back-slashes count as slashes. A path that leads nowhere, such as another machine's, is looked for by ever fewer of
    its last parts, then by its name in the folders below. None where there is no such file.
    """
    parts = PureWindowsPath(name.strip().strip('"')).parts  # splits at both kinds of slash
    if not parts:
        return None
    written = folder / name
    if _is_file(written):
        return written
    if parts[0].endswith(("\\", "/", ":")):
        parts = parts[1:]
    for first in range(len(parts)):
        found = _any_case(folder, parts[first:])
        if found is not None:
            return found
    below = (child / parts[-1] for child in sorted(folder.iterdir()) if child.is_dir()) if parts else ()
    return next((path for path in below if _is_file(path)), None)


def _any_case(folder: Path, parts: tuple[str, ...]) -> Path | None:
    """The file at `parts` below the folder; where no name fits, one that differs in case only."""
    path = folder
    for part in parts:
        if not _exists(path / part):
            try:
                names = sorted(child.name for child in path.iterdir() if child.name.lower() == part.lower())
            except OSError:
                return None
            if not names:
                return None
            part = names[0]
        path = path / part
    return path if _is_file(path) else None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # names that no file can have
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
