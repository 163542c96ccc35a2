"""Write OBJ files with their MTL and texture next to them."""

from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.export.gltf import png_bytes
from sv3dgen.meshes.mesh import vertex_normals
from sv3dgen.meshes.textured_mesh import TexturedMesh

MATERIAL = "albedo"


def write_obj(path: str | Path, mesh: TexturedMesh) -> list[Path]:
    """Write `NAME.obj`, `NAME.mtl` and `NAME.png`; returns the three paths. Vertices are shared across seams.

    The OBJ comes last: it names the others, so whoever sees it finds them whole.
    """
    assert mesh.uv is not None and mesh.uv_faces is not None and len(mesh.textures) == 1
    path = Path(path)
    material, texture = path.with_suffix(".mtl"), path.with_suffix(".png")
    with atomic_write(texture) as temporary:
        temporary.write_bytes(png_bytes(mesh.textures[0]))
    # Ka black and illum 1 (diffuse only): no highlight, and nothing shines by itself.
    description = f"newmtl {MATERIAL}\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\nmap_Kd {texture.name}\n"
    with atomic_write(material) as temporary:
        temporary.write_text(description)
    with atomic_write(path) as temporary:
        temporary.write_text("".join(obj_text(mesh, mesh.uv, mesh.uv_faces, material.name)))
    return [path, material, texture]


def obj_text(
    mesh: TexturedMesh, uv: Float[Tensor, "uvs 2"], uv_faces: Int[Tensor, "faces 3"], material_name: str
) -> list[str]:
    """The lines of the file: positions, texture coordinates, normals, then faces counted from 1."""
    lines = [f"mtllib {material_name}\no object\n"]
    lines += ["v {:.6f} {:.6f} {:.6f}\n".format(*row) for row in mesh.vertices.tolist()]
    lines += ["vt {:.6f} {:.6f}\n".format(*row) for row in uv.tolist()]
    lines += ["vn {:.4f} {:.4f} {:.4f}\n".format(*row) for row in vertex_normals(mesh.mesh).tolist()]
    lines.append(f"usemtl {MATERIAL}\ns 1\n")
    corners = zip((mesh.faces + 1).tolist(), (uv_faces + 1).tolist(), strict=True)
    lines += [f"f {a}/{i}/{a} {b}/{j}/{b} {c}/{k}/{c}\n" for (a, b, c), (i, j, k) in corners]
    return lines
