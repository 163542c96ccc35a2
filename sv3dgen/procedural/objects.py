"""`procedural_object(seed)`: one of endlessly many textured objects, the same one for the same seed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from sv3dgen.meshes.files import fit_unit_box
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.procedural import (
    composites,
    creatures,
    figures,
    footwear,
    furniture,
    packages,
    plants,
    tools,
    trinkets,
    vehicles,
    vessels,
)
from sv3dgen.procedural.assembly import Assembly
from sv3dgen.procedural.painting import build_mesh

Family = Callable[[np.random.Generator], Assembly]

# How often each is drawn, in parts. Figures, animals and vehicles are what toys are, so they come most.
FAMILIES: dict[Family, float] = {
    vessels.mug: 3, vessels.bottle: 3, vessels.vase: 2, vessels.bowl: 2, vessels.turned_toy: 2, vessels.lamp: 1,
    vessels.can: 2, creatures.quadruped: 8, creatures.dinosaur: 5, creatures.bird: 3, creatures.fish: 2,
    creatures.snail: 2, figures.person: 7, figures.robot: 5, figures.bear: 4, figures.doll: 2, vehicles.car: 4,
    vehicles.bus: 3, vehicles.lorry: 3, vehicles.train: 2, vehicles.plane: 4, vehicles.boat: 2, vehicles.helicopter: 1,
    furniture.chair: 3, furniture.table: 1, furniture.cupboard: 1, furniture.sofa: 2, furniture.house: 2,
    packages.carton: 3, packages.book: 1, packages.appliance: 2, packages.crate: 2, packages.pencils: 2,
    packages.blocks: 1, footwear.shoe: 6, tools.hammer: 2, tools.screwdriver: 2, tools.spoon: 1, tools.scissors: 1,
    tools.torch_light: 1, tools.ring_toy: 1, plants.fruit: 2, plants.mushroom: 1, plants.potted: 1, plants.tree: 1,
    plants.cake: 1, trinkets.slab: 2, trinkets.clock: 1, trinkets.arch: 1, trinkets.hanging: 1,
    composites.composite: 6, composites.one_solid: 2,
}  # fmt: skip


def procedural_object(seed: int, family: Family | None = None) -> TexturedMesh:
    """A textured mesh in the unit box (longest side 1, centered), front +Z, +Y up; a few thousand faces, in 30 ms.

    The same for the same seed on every machine; seeds are integers from 0. `family` replaces the drawn one.
    """
    rng = np.random.default_rng(np.random.SeedSequence([0x5F3D, seed]))
    families, weights = list(FAMILIES), np.array(list(FAMILIES.values()), dtype=np.float64)
    drawn = families[rng.choice(len(families), p=weights / weights.sum())]
    mesh = build_mesh((family or drawn)(rng), rng)
    matrix = torch.from_numpy(random_stance(rng)).float()
    return fit_unit_box(replace(mesh, vertices=mesh.vertices @ matrix.T))


def random_stance(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """A little stretched, and sometimes turned or tilted, as things stand when somebody puts them down."""
    stretch = np.diag(rng.uniform(0.85, 1.15, 3))
    turn = rng.normal(0, 25) if rng.random() < 0.4 else 0.0
    tilt = rng.normal(0, 8, 2) if rng.random() < 0.2 else np.zeros(2)
    return Rotation.from_euler("yxz", [turn, *tilt], degrees=True).as_matrix() @ stretch
