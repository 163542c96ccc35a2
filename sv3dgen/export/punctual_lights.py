"""The fitted light as lamps of a glTF file (KHR_lights_punctual), which three.js, Blender and others take.

glTF has no spherical Gaussians. On a rough surface all that counts is how much light falls on it by its normal; that is
fitted by directional lamps with least squares, none of them negative.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import nnls

from sv3dgen.materials.from_light import material_from_light

EXTENSION = "KHR_lights_punctual"
LAMPS, NORMALS = 20, 400  # 20 come within 6 % of 24 lobes, 2 % in the mean; more are hardly better
LEAST_SHARE = 0.001  # of all light, that a lamp gives


def lamps(light: dict) -> tuple[Float[ndarray, "lamps 3"], Float[ndarray, " lamps"]]:
    """Unit directions towards the lamps, and their strengths in lux, of a run's light.json."""
    material = material_from_light(light)
    normals, towards = spread(NORMALS), spread(LAMPS)
    with torch.no_grad():
        shading = material(torch.zeros(NORMALS, material.feature_dim), torch.from_numpy(normals).float())
    strengths, _ = nnls(np.maximum(normals @ towards.T, 0), shading.irradiance[:, 0].double().numpy())
    kept = strengths > LEAST_SHARE * strengths.sum()
    return towards[kept], math.pi * strengths[kept]  # ours is over pi, as a viewer's is after its Lambert term


def light_up(tree: dict[str, Any], light: dict) -> None:
    """Add the lamps to a glTF tree of one scene."""
    towards, lux = lamps(light)
    told = [{"type": "directional", "intensity": float(one), "name": f"light {i}"} for i, one in enumerate(lux)]
    tree.setdefault("extensions", {})[EXTENSION] = {"lights": told}
    tree["extensionsUsed"] = sorted({*tree.get("extensionsUsed", []), EXTENSION})
    for index, direction in enumerate(towards):
        tree["scenes"][0]["nodes"].append(len(tree["nodes"]))
        extension = {EXTENSION: {"light": index}}
        tree["nodes"].append({"name": f"light {index}", "rotation": facing(direction), "extensions": extension})


def facing(towards: Float[ndarray, " 3"]) -> list[float]:
    """The quaternion (x, y, z, w) that turns +Z, against which glTF's lamps shine, to where the lamp is."""
    x, y, z = (float(part) for part in towards)
    if z < -1 + 1e-9:
        return [1.0, 0.0, 0.0, 0.0]
    quaternion = np.array([-y, x, 0.0, 1 + z])  # (0, 0, 1) x towards, and 1 + their cosine
    return (quaternion / np.linalg.norm(quaternion)).tolist()


def spread(count: int) -> Float[ndarray, "count 3"]:
    """Unit vectors, evenly over the sphere (a Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    y, turn = 1 - 2 * index / count, math.pi * (1 + math.sqrt(5)) * index
    ring = np.sqrt(1 - y * y)
    return np.stack([ring * np.cos(turn), y, ring * np.sin(turn)], axis=-1)
