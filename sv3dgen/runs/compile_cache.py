"""Where compiled kernels are kept between runs, where the home folder cannot be written to.

Both compilers keep them there (`sv3dgen/compiling/`, Triton), and in a container it may be read-only. What is kept is
code, so one in the system's temporary folder is only taken where it is the user's own and nobody else can write to it.
"""

import logging
import os
import stat
import sys
import tempfile
from pathlib import Path

from sv3dgen.compiling.folder import cache_folder

log = logging.getLogger(__name__)

VARIABLES = {"NUMBA_CACHE_DIR": "numba", "TRITON_CACHE_DIR": "triton"}


def settle() -> None:
    """Point the compilers to a folder that can be written to, where theirs can't be. Before they are imported."""
    # Triton keeps its own below ~, whatever XDG says.
    places = {"NUMBA_CACHE_DIR": cache_folder, "TRITON_CACHE_DIR": lambda: Path.home() / ".triton"}
    lacking = [
        variable
        for variable, place in places.items()
        if variable not in os.environ and not (_has_home() and _writable(place()))
    ]
    if not lacking:
        return
    folder = private_folder()
    for variable in lacking:
        os.environ[variable] = str(folder / VARIABLES[variable])
    log.info("compiled kernels are kept in %s: the home folder can't be written to", folder)


def private_folder() -> Path:
    """A folder of this user's alone, the same each time; a new one where somebody else has taken its name."""
    if sys.platform == "win32":
        return Path(tempfile.mkdtemp(prefix="sv3dgen-"))
    folder = Path(tempfile.gettempdir()) / f"sv3dgen-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return folder
    except OSError:
        pass  # a file, or a link that leads nowhere
    return Path(tempfile.mkdtemp(prefix="sv3dgen-"))


def _has_home() -> bool:
    try:
        Path.home()
        return True
    except RuntimeError:  # no HOME, and the system does not know the user
        return False


def _writable(folder: Path) -> bool:
    """Whether something can be written to a folder, or to the nearest one above it that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return os.access(folder, os.W_OK) and not os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError:
        return False
