"""A small stand-in for conf/ and the parts, for the tests of the command line."""

PART = """
from typing import Literal
from collections.abc import Sequence

class Part:
    def __init__(
        self, *, levels: int = 4, radius: float = 0.6, shape: Literal["round", "flat"] = "round",
        weight: float | Sequence[Sequence[float]] = 1.0,
    ): ...
"""
OPTIONS = {
    "geometry/hash_grid": {"_target_": "geometry.part.Part", "levels": 4, "radius": 0.6, "shape": "round"},
    "geometry/dmtet": {"_target_": "geometry.part.Part", "weight": [[0, 0.0], [100, 1.0]]},
    "system/sv3d_dmtet": {"steps": 100},
    "system/sv3d_nerf": {"steps": 200},
    "system/trains": {"stages": ["train"]},
    "preset/cpu": {},
    "logger/csv": {},
    "nvs/auto": {"weights": "${weights}", "variant": "auto"},
    "nvs/sv3d_p": {"weights": "${weights}", "variant": "sv3d_p"},
    "nvs/sv3d_tiny": {"weights": "sv3d_tiny", "variant": "auto"},
}
CONFIG = {
    "defaults": [
        {"geometry@coarse.geometry": "hash_grid"},
        {"geometry": "dmtet"},
        {"logger": "csv"},
        {"nvs": "auto"},
        "_self_",
        {"system": "sv3d_dmtet"},
        {"preset": "cpu"},
    ],
    "views": None,
    "image": None,
    "weights": None,
    "foreground_ratio": 0.85,
    "matting": "auto",
    "elevation_deg": 10.0,
    "name": "${stem:${views},${image}}",
    "seed": 0,
    "resume": None,
    "device": "auto",
    "kernels": {"rasterizer": "auto"},
    "trainer": {"accelerator": "auto"},
    "export": {"faces": 1000},
    "pictures_every_steps": 10,
    "hydra": {"run": {"dir": "outputs/${name}"}},
}
