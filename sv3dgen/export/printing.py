"""Files for 3D printers: STL and 3MF, in millimeters, standing on the plate with +Z up and the front towards -Y."""

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sv3dgen.atomic import atomic_write
from sv3dgen.export.gltf import png_bytes
from sv3dgen.export.origin import Origin, generator
from sv3dgen.meshes.textured_mesh import TexturedMesh

_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_MATERIALS = "http://schemas.microsoft.com/3dmanufacturing/material/2015/02"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_KINDS = "http://schemas.microsoft.com/3dmanufacturing/2013/01"  # of relations
_MODEL, _TEXTURE = "3D/3dmodel.model", "3D/Textures/mesh.png"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def on_plate(mesh: TexturedMesh, size_mm: float) -> Float[ndarray, "vertices 3"]:
    """The vertices in millimeters, the longest side `size_mm`: +Z up, lowest point at 0, centered in x and y."""
    x, y, z = mesh.vertices.double().numpy().T
    points = np.stack([x, -z, y], axis=1)
    used = points[mesh.faces.reshape(-1).numpy()]
    low, high = used.min(axis=0), used.max(axis=0)
    foot = np.array([0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1]), low[2]])
    return ((points - foot) * (size_mm / (high - low).max())).astype(np.float32)


def write_stl(path: str | Path, mesh: TexturedMesh, size_mm: float) -> None:
    """Binary STL. The format has neither colors nor a unit; slicers take millimeters."""
    import trimesh  # slow to import, and not needed by who does not print

    solid = trimesh.Trimesh(on_plate(mesh, size_mm), mesh.faces.numpy(), process=False)
    with atomic_write(path) as temporary:
        solid.export(temporary, file_type="stl")


def write_3mf(path: str | Path, mesh: TexturedMesh, size_mm: float, origin: Origin | None = None) -> None:
    """3MF (core 1.3) with the texture (materials extension 1.2, which readers may ignore)."""
    assert mesh.uv is not None and mesh.uv_faces is not None and len(mesh.textures) == 1
    parts = {
        "[Content_Types].xml": _content_types(),
        "_rels/.rels": _relations(f"/{_MODEL}", f"{_KINDS}/3dmodel"),
        _MODEL: _model(on_plate(mesh, size_mm), mesh, origin or Origin()),
        "3D/_rels/3dmodel.model.rels": _relations(f"/{_TEXTURE}", f"{_KINDS}/3dtexture"),
        _TEXTURE: png_bytes(mesh.textures[0]),
    }
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in parts.items():
            stored = name == _TEXTURE  # which is compressed already
            entry = zipfile.ZipInfo(name)  # of 1980: the same mesh gives the same bytes
            archive.writestr(entry, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)


def _model(points: Float[ndarray, "vertices 3"], mesh: TexturedMesh, origin: Origin) -> str:
    assert mesh.uv is not None and mesh.uv_faces is not None
    told = {"Title": "object", "Application": generator(), "Description": origin.command}
    told["LicenseTerms"] = "; ".join(f"{what}: {licence}" for what, licence in origin.licences.items())
    metadata = "".join(f"<metadata name={quoteattr(k)}>{escape(v)}</metadata>" for k, v in told.items() if v)
    vertices = "".join('<vertex x="{:.9g}" y="{:.9g}" z="{:.9g}"/>'.format(*row) for row in points.tolist())
    texels = "".join('<m:tex2coord u="{:.7g}" v="{:.7g}"/>'.format(*row) for row in mesh.uv.tolist())
    corners = zip(mesh.faces.tolist(), mesh.uv_faces.tolist(), strict=True)
    triangles = "".join(
        f'<triangle v1="{a}" v2="{b}" v3="{c}" pid="2" p1="{i}" p2="{j}" p3="{k}"/>' for (a, b, c), (i, j, k) in corners
    )
    return (
        f'{_HEAD}<model unit="millimeter" xml:lang="en-US" xmlns="{_CORE}" xmlns:m="{_MATERIALS}">{metadata}'
        f'<resources><m:texture2d id="1" path="/{_TEXTURE}" contenttype="image/png" tilestyleu="clamp" '
        f'tilestylev="clamp"/><m:texture2dgroup id="2" texid="1">{texels}</m:texture2dgroup>'
        f'<object id="3" name="object" type="model" pid="2" pindex="0"><mesh><vertices>{vertices}</vertices>'
        f'<triangles>{triangles}</triangles></mesh></object></resources><build><item objectid="3"/></build></model>\n'
    )


def _content_types() -> str:
    kinds = {
        "rels": "application/vnd.openxmlformats-package.relationships+xml",
        "model": "application/vnd.ms-package.3dmanufacturing-3dmodel+xml",
        "png": "image/png",
    }
    defaults = "".join(f'<Default Extension="{ending}" ContentType="{kind}"/>' for ending, kind in kinds.items())
    return f'{_HEAD}<Types xmlns="{_TYPES}">{defaults}</Types>\n'


def _relations(target: str, kind: str) -> str:
    relation = f'<Relationship Target="{target}" Id="rel0" Type="{kind}"/>'
    return f'{_HEAD}<Relationships xmlns="{_RELATIONS}">{relation}</Relationships>\n'
