"""Where the checkout is, for tests at any depth."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"  # real orbits, meshes and broken files, where a checkout has them next to it
