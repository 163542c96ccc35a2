"""Packages that only an extra brings."""

import sys
from importlib.util import find_spec


def is_installed(module: str) -> bool:
    """Whether a package is here, without importing it."""
    if module in sys.modules:
        return sys.modules[module] is not None
    return find_spec(module) is not None
