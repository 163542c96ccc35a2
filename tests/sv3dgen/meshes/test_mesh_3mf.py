"""3MF files: components, units, and what is refused."""

import zipfile

import pytest

from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh
from sv3dgen.meshes.topology import is_closed

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"


def three_mf(path, resources, build, attributes=""):
    with zipfile.ZipFile(path, "w") as archive:
        kind = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
        relations = "http://schemas.openxmlformats.org/package/2006/relationships"
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{relations}"><Relationship Id="r" Type="{kind}" Target="/3D/3dmodel.model"/>'
            "</Relationships>",
        )
        archive.writestr(
            "3D/3dmodel.model",
            f'<model unit="millimeter" xmlns="{CORE}" {attributes}><resources>{resources}</resources>'
            f"<build>{build}</build></model>",
        )
    return path


def tetrahedron():
    points = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    vertices = "".join(f'<vertex x="{x}" y="{y}" z="{z}"/>' for x, y, z in points)
    corners = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
    triangles = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in corners)
    return f'<object id="1"><mesh><vertices>{vertices}</vertices><triangles>{triangles}</triangles></mesh></object>'


def test_3mf_with_components(tmp_path):
    both = (
        '<object id="2"><components><component objectid="1"/>'
        '<component objectid="1" transform="0 1 0 -1 0 0 0 0 1 5 6 7"/></components></object>'
    )
    item = '<item objectid="2" transform="2 0 0 0 2 0 0 0 2 0 0 0"/>'
    mesh = read_mesh(three_mf(tmp_path / "a.3mf", tetrahedron() + both, item))
    assert len(mesh.faces) == 8 and is_closed(mesh.mesh)
    assert mesh.vertices[:4].tolist() == [[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]]
    assert mesh.vertices[4:].tolist() == [[10, 12, 14], [10, 14, 14], [8, 12, 14], [10, 12, 16]]  # a quarter about z


def test_3mf_that_is_refused(tmp_path):
    beam = 'xmlns:b="http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02" requiredextensions="b"'
    item = '<item objectid="1"/>'
    with pytest.raises(InputError, match="beamlattice"):
        read_mesh(three_mf(tmp_path / "a.3mf", tetrahedron(), item, beam))
    with pytest.raises(InputError, match="object 9 is missing"):
        read_mesh(three_mf(tmp_path / "b.3mf", tetrahedron(), '<item objectid="9"/>'))
    (tmp_path / "c.3mf").write_bytes(b"no archive")
    with pytest.raises(InputError, match="c.3mf: not a readable 3MF"):
        read_mesh(tmp_path / "c.3mf")
    with pytest.raises(InputError, match="holds no triangles"):
        read_mesh(three_mf(tmp_path / "d.3mf", tetrahedron(), ""))


def test_3mf_with_broken_or_endless_contents(tmp_path, monkeypatch):
    monkeypatch.setattr("sv3dgen.meshes.mesh_3mf._MOST_OBJECTS", 500)
    path = three_mf(tmp_path / "a.3mf", tetrahedron(), '<item objectid="1"/>')
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"PK\1\2", b"PK\1\2" + b"\xff" * 4))  # found by the fuzzing of test_fuzz.py
    with pytest.raises(InputError, match="a.3mf: not a readable 3MF"):
        read_mesh(path)
    doubled = "".join(
        f'<object id="{n}"><components>{f"""<component objectid="{n - 1}"/>""" * 2}</components></object>'
        for n in range(2, 32)
    )
    with pytest.raises(InputError, match="too many"):
        read_mesh(three_mf(tmp_path / "b.3mf", tetrahedron() + doubled, '<item objectid="31"/>'))
