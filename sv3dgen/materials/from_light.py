"""A material again from what `Material.light()` wrote, so that a baked mesh can be shaded as it was."""

from typing import Any

import torch

from sv3dgen.errors import InputError
from sv3dgen.interfaces import Material
from sv3dgen.materials.constant import Constant
from sv3dgen.materials.sg import Sg


def material_from_light(light: dict) -> Material:
    """The material whose `light()` this is. Raises InputError naming the key that is wrong."""
    kind = light.get("type")
    if kind == "constant":
        return Constant()
    if kind != "sg":
        raise InputError(f"light.json: type: expected 'constant' or 'sg', got {kind!r}")
    for key, allowed in (("form", ("product", "hill")), ("tone_map", ("none", "log"))):
        if light.get(key) not in allowed:
            raise InputError(f"light.json: {key}: expected one of {', '.join(allowed)}, got {light.get(key)!r}")
    rows = _rows(light.get("lobes"))
    material = Sg(lobe_count=len(rows), form=light["form"], tone_map=light["tone_map"])
    with torch.no_grad():
        material.axes.copy_(rows[:, :3])
        material.sharpness.copy_(rows[:, 3])
        material.amplitude.copy_(rows[:, 4])
    return material


def _rows(described: Any) -> torch.Tensor:
    """The lobes as rows of axis, sharpness and amplitude."""
    expected = "light.json: lobes: expected a list of {axis: [x, y, z], sharpness: > 0, amplitude: >= 0}"
    try:
        values = [[*lobe["axis"], lobe["sharpness"], lobe["amplitude"]] for lobe in described]
        rows = torch.tensor(values, dtype=torch.float32)
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(expected) from error
    fits = rows.ndim == 2 and rows.shape[1] == 5 and bool(rows.isfinite().all())
    if not fits or bool((rows[:, :3].norm(dim=-1) < 1e-6).any() or (rows[:, 3] <= 0).any() or (rows[:, 4] < 0).any()):
        raise InputError(expected)
    return rows
