"""Write USDZ files, which phones show in a room: a USD layer as text and its texture, in a zip that is not compressed.

Written here rather than with `usd-core`: a mesh with one texture is a page of text, which three.js writes in the same
way, and nobody has to install 25 MB for it. `tests/` reads it back with `usd-core` where that is installed.
"""

import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy import ndarray

from sv3dgen.atomic import atomic_write
from sv3dgen.export.gltf import png_bytes
from sv3dgen.export.origin import Origin, generator
from sv3dgen.meshes.mesh import vertex_normals
from sv3dgen.meshes.textured_mesh import TexturedMesh

_ALIGNMENT = 64  # bytes: where the content of each file has to begin, so that readers can map it into memory
_PADDING_ID = 0x1986  # of the zip's extra field, which holds zeros
_TEXTURE = "textures/albedo.png"


def write_usdz(
    path: str | Path, mesh: TexturedMesh, size_mm: float, *, unlit: bool = False, origin: Origin | None = None
) -> None:
    """The mesh in meters, +Y up, standing on the ground, its longest side `size_mm`: phones show true sizes.

    With `unlit` the texture shines by itself, for colors that hold the light already.
    """
    assert mesh.uv is not None and mesh.uv_faces is not None and len(mesh.textures) == 1
    layer = layer_text(mesh, size_mm, unlit, origin or Origin())
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (("object.usda", layer.encode()), (_TEXTURE, png_bytes(mesh.textures[0]))):
            _add_aligned(archive, name, content)


def _add_aligned(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    assert archive.fp is not None
    entry = zipfile.ZipInfo(name)  # of 1980: the same mesh gives the same bytes
    header = archive.fp.tell() + 30 + len(name) + 4  # the local header, the name, and the extra field's own head
    gap = -header % _ALIGNMENT
    entry.extra = struct.pack("<HH", _PADDING_ID, gap) + bytes(gap)
    archive.writestr(entry, content)


def layer_text(mesh: TexturedMesh, size_mm: float, unlit: bool, origin: Origin) -> str:
    """The USD layer: one mesh with one material."""
    assert mesh.uv is not None and mesh.uv_faces is not None
    points = mesh.vertices.double().numpy()
    used = points[mesh.faces.reshape(-1).numpy()]
    low, high = used.min(axis=0), used.max(axis=0)
    foot = np.array([0.5 * (low[0] + high[0]), low[1], 0.5 * (low[2] + high[2])])
    points = (points - foot) * (0.001 * size_mm / (high - low).max())
    extent = np.stack([points.min(axis=0), points.max(axis=0)])
    corners = ", ".join(map(str, mesh.faces.reshape(-1).tolist()))
    places = ", ".join(map(str, mesh.uv_faces.reshape(-1).tolist()))
    counts = ", ".join(["3"] * len(mesh.faces))
    licences = {f"licence of {what}": licence for what, licence in origin.licences.items()}
    told = {"generator": generator(), "command": origin.command, **licences}
    notes = "\n".join(f"        string {quoted(key)} = {quoted(value)}" for key, value in told.items() if value)
    return f"""#usda 1.0
(
    defaultPrim = "object"
    metersPerUnit = 1
    upAxis = "Y"
    customLayerData = {{
{notes}
    }}
)

def Xform "object" (
    kind = "component"
)
{{
    def Mesh "mesh" (
        prepend apiSchemas = ["MaterialBindingAPI"]
    )
    {{
        uniform bool doubleSided = 0
        float3[] extent = [{tuples(extent)}]
        int[] faceVertexCounts = [{counts}]
        int[] faceVertexIndices = [{corners}]
        rel material:binding = </object/albedo>
        normal3f[] normals = [{tuples(vertex_normals(mesh.mesh).numpy())}] (
            interpolation = "vertex"
        )
        point3f[] points = [{tuples(points)}]
        texCoord2f[] primvars:st = [{tuples(mesh.uv.numpy())}] (
            interpolation = "faceVarying"
        )
        int[] primvars:st:indices = [{places}]
        uniform token subdivisionScheme = "none"
    }}

    def Material "albedo"
    {{
        token outputs:surface.connect = </object/albedo/surface.outputs:surface>

        def Shader "surface"
        {{
            uniform token info:id = "UsdPreviewSurface"
{_surface(unlit)}
            token outputs:surface
        }}

        def Shader "texture"
        {{
            uniform token info:id = "UsdUVTexture"
            asset inputs:file = @{_TEXTURE}@
            token inputs:sourceColorSpace = "sRGB"
            float2 inputs:st.connect = </object/albedo/st.outputs:result>
            token inputs:wrapS = "clamp"
            token inputs:wrapT = "clamp"
            float3 outputs:rgb
        }}

        def Shader "st"
        {{
            uniform token info:id = "UsdPrimvarReader_float2"
            string inputs:varname = "st"
            float2 outputs:result
        }}
    }}
}}
"""


def _surface(unlit: bool) -> str:
    shown = "color3f inputs:{}.connect = </object/albedo/texture.outputs:rgb>"
    if unlit:  # no light is reflected: neither diffusely nor, with a black specular color, as a highlight
        lines = ["color3f inputs:diffuseColor = (0, 0, 0)", shown.format("emissiveColor")]
        lines += ["color3f inputs:specularColor = (0, 0, 0)", "int inputs:useSpecularWorkflow = 1"]
    else:
        lines = [shown.format("diffuseColor"), "float inputs:metallic = 0"]
    return "\n".join(" " * 12 + line for line in [*lines, "float inputs:roughness = 1"])


def tuples(rows: ndarray) -> str:
    """Rows of numbers as USD writes them."""
    form = "(" + ", ".join(["{:.7g}"] * rows.shape[1]) + ")"
    return ", ".join(form.format(*row) for row in rows.tolist())


def quoted(text: str) -> str:
    """A string of one line in quotes."""
    plain = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'
