"""A material again from what `Material.light()` wrote, so that a baked mesh can be shaded as it was."""

import sys

from sv3dgen.errors import InputError
from sv3dgen.interfaces import Material
from sv3dgen.materials.constant import Constant
from sv3dgen.materials.sg import Sg

SHORT_NAMES: dict[str, type[Material]] = {"constant": Constant, "sg": Sg}


def material_from_light(light: dict) -> Material:
    """The material whose `light()` this is. Raises InputError naming the key that is wrong.

    A material of another package is found where it is imported already: a file must not make us run code.
    """
    kind = light.get("type")
    material = SHORT_NAMES.get(str(kind)) or _imported(str(kind))
    if material is None:
        names = " or ".join(repr(name) for name in SHORT_NAMES)
        raise InputError(f"light.json: type: expected {names}, or the class of an imported material, got {kind!r}")
    return material.from_light(light)


def _imported(name: str) -> type[Material] | None:
    module, _, class_name = name.rpartition(".")
    found = getattr(sys.modules.get(module), class_name, None)
    return found if isinstance(found, type) and issubclass(found, Material) else None
