"""The project's own settings without parts: for tests of launch.py with a system that does as it is told."""

from typing import Any

import yaml
from checkout import ROOT

FILES = ("config.yaml", "system/sv3d_dmtet.yaml")


def bare_settings() -> dict[str, Any]:
    """Plain values at the root of a 3D run's config, and Hydra's block."""
    settings: dict[str, Any] = {}
    for name in FILES:
        found = yaml.safe_load((ROOT / "conf" / name).read_text(encoding="utf-8"))
        settings |= {key: value for key, value in found.items() if key == "hydra" or not isinstance(value, dict | list)}
    return settings
