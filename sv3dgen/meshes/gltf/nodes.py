"""Where the meshes of a glTF scene stand: node transforms, instances, and the joints of skins."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sv3dgen.errors import InputError
from sv3dgen.meshes.gltf.accessors import read_accessor
from sv3dgen.meshes.gltf.file import GltfFile

Matrix = Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Placed:
    """A mesh as one node shows it."""

    mesh: int
    transforms: tuple[Matrix, ...]  # one for each instance
    joints: Float[np.ndarray, "joints 4 4"] | None  # from the mesh's frame to the world, if a skin moves it
    weights: tuple[float, ...]  # of the morph targets, none for the mesh's own


def placed_meshes(file: GltfFile) -> Iterator[Placed]:
    """Every mesh of the scene that viewers show first, in its place; hidden nodes are left out.

    Raises InputError where nodes name each other in a circle.
    """
    nodes = file.items("nodes")
    world = world_transforms(file)
    for index in visible_nodes(file):
        node = nodes[index]
        if "mesh" not in node:
            continue
        joints = None
        if "skin" in node:
            skin = file.items("skins")[node["skin"]]
            joints = np.stack([world[joint] for joint in skin["joints"]])
            if "inverseBindMatrices" in skin:
                stored = read_accessor(file, skin["inverseBindMatrices"]).astype(np.float64)
                joints = joints @ stored.reshape(-1, 4, 4).transpose(0, 2, 1)[: len(joints)]
        moved = (world[index],) if joints is None else (np.eye(4),)
        instances = node.get("extensions", {}).get("EXT_mesh_gpu_instancing")
        if instances is not None:
            moved = tuple(moved[0] @ each for each in instance_transforms(file, instances["attributes"]))
        yield Placed(node["mesh"], moved, joints, tuple(map(float, node.get("weights", ()))))


def visible_nodes(file: GltfFile) -> list[int]:
    """The nodes of the default scene, parents before children. Without a scene every root is shown."""
    nodes, scenes = file.items("nodes"), file.items("scenes")
    if scenes:
        roots = scenes[file.json.get("scene", 0)].get("nodes", [])
    else:
        children = {child for node in nodes for child in node.get("children", [])}
        roots = [index for index in range(len(nodes)) if index not in children]
    found, waiting = [], list(reversed(roots))
    while waiting:
        index = waiting.pop()
        if len(found) > len(nodes):
            raise InputError(f"{file.path}: nodes are children of themselves, expected a tree")
        if not nodes[index].get("extensions", {}).get("KHR_node_visibility", {}).get("visible", True):
            continue
        found.append(index)
        waiting += reversed(nodes[index].get("children", []))
    return found


def world_transforms(file: GltfFile) -> list[Matrix]:
    """For every node, from its frame to the world's."""
    nodes = file.items("nodes")
    parent = {child: index for index, node in enumerate(nodes) for child in node.get("children", [])}
    world: dict[int, Matrix] = {}
    for index in range(len(nodes)):
        chain, at = [], index
        while at not in world:
            chain.append(at)
            if at not in parent:
                break
            at = parent[at]
            if len(chain) > len(nodes):
                raise InputError(f"{file.path}: nodes are children of themselves, expected a tree")
        for each in reversed(chain):
            above = world[parent[each]] if each in parent else np.eye(4)
            world[each] = above @ local_transform(nodes[each])
    return [world[index] for index in range(len(nodes))]


def local_transform(node: dict) -> Matrix:
    """A node's matrix, or its scale, then rotation (a quaternion, w last), then translation."""
    if "matrix" in node:
        return np.asarray(node["matrix"], dtype=np.float64).reshape(4, 4).T
    return _composed(
        np.asarray(node.get("translation", (0, 0, 0)), dtype=np.float64),
        np.asarray(node.get("rotation", (0, 0, 0, 1)), dtype=np.float64),
        np.asarray(node.get("scale", (1, 1, 1)), dtype=np.float64),
    )


def instance_transforms(file: GltfFile, attributes: dict[str, int]) -> list[Matrix]:
    """EXT_mesh_gpu_instancing: one transform for each row of its arrays."""
    rows = {name: read_accessor(file, at).astype(np.float64) for name, at in attributes.items()}
    count = max((len(array) for array in rows.values()), default=0)
    defaults = (("TRANSLATION", (0, 0, 0)), ("ROTATION", (0, 0, 0, 1)), ("SCALE", (1, 1, 1)))
    moved, turned, scaled = (
        rows.get(name, np.tile(np.array(usual, np.float64), (count, 1))) for name, usual in defaults
    )
    return [_composed(*each) for each in zip(moved, turned, scaled, strict=True)]


def _composed(translation: np.ndarray, rotation: np.ndarray, scale: np.ndarray) -> Matrix:
    x, y, z, w = rotation / max(float(np.sqrt(rotation @ rotation)), 1e-12)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, :3] *= scale
    matrix[:3, 3] = translation
    return matrix
