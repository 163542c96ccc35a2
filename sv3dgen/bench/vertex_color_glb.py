"""A mesh with a color to each vertex as a GLB, by the glTF 2.0 specification: what peers give back has no texture."""

from pathlib import Path

import numpy as np

from sv3dgen.atomic import atomic_write
from sv3dgen.color import srgb_to_linear
from sv3dgen.export.glb_bytes import pack_glb, padded
from sv3dgen.export.gltf import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, FLOAT, UNLIT, UNSIGNED_INT
from sv3dgen.meshes.textured_mesh import TexturedMesh


def write_vertex_colors(path: Path, mesh: TexturedMesh) -> None:
    """Write vertices, faces and vertex colors, as unlit: their light is in the colors."""
    assert mesh.vertex_colors is not None
    positions = mesh.vertices.numpy().astype(np.float32)
    colors = srgb_to_linear(mesh.vertex_colors.clamp(0, 1)).numpy().astype(np.float32)  # the specification's COLOR_0
    indices = mesh.faces.reshape(-1).numpy().astype(np.uint32)
    chunks = [array.tobytes() for array in (positions, colors, indices)]
    starts = np.cumsum([0, *map(len, chunks)]).tolist()
    targets = (ARRAY_BUFFER, ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER)
    views = [
        {"buffer": 0, "byteOffset": start, "byteLength": len(chunk), "target": target}
        for start, chunk, target in zip(starts[:-1], chunks, targets, strict=True)
    ]
    box = {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
    accessors = [
        {"bufferView": 0, "componentType": FLOAT, "count": len(positions), "type": "VEC3", **box},
        {"bufferView": 1, "componentType": FLOAT, "count": len(colors), "type": "VEC3"},
        {"bufferView": 2, "componentType": UNSIGNED_INT, "count": len(indices), "type": "SCALAR"},
    ]
    primitive = {"attributes": {"POSITION": 0, "COLOR_0": 1}, "indices": 2, "material": 0}
    tree = {
        "asset": {"version": "2.0"},
        "extensionsUsed": [UNLIT],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0}, "extensions": {UNLIT: {}}}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": starts[-1]}],
    }
    with atomic_write(path) as temporary:
        temporary.write_bytes(pack_glb(tree, padded(b"".join(chunks), b"\0")))
