"""Where compiled kernels lie; without an import of numba."""

import os
from pathlib import Path

KEPT_DAYS = 60  # a compiled version that nobody has used for so long is dropped


def cache_folder() -> Path:
    """NUMBA_CACHE_DIR where it is set, else a folder in the user's cache."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(cache, "sv3dgen", "kernels")
