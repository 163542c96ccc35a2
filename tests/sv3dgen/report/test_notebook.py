"""A mesh in the output of a notebook's cell."""

import base64
import gzip
import html
import re

import pytest
from painted_box import painted_box

from sv3dgen.errors import InputError
from sv3dgen.export.gltf import write_glb
from sv3dgen.report.notebook import mesh_html


def test_the_cell_holds_the_mesh_and_all_that_shows_it(tmp_path):
    glb = tmp_path / "<box>.glb"
    write_glb(glb, painted_box())
    cell = mesh_html(glb, height_px=300)
    assert "height: 300px" in cell and len(cell) < 600_000
    page = html.unescape(re.findall(r'srcdoc="([^"]*)"', cell)[0])
    assert 'alt="&lt;box&gt;"' in page and "http" not in page
    packed = re.findall(r'unpacked\("([^"]*)"', page)
    contents = [gzip.decompress(base64.b64decode(one)) for one in packed]
    assert b"model-viewer" in contents[0] and contents[1].startswith(b"glTF")


def test_what_is_no_glb_is_refused(tmp_path):
    (tmp_path / "x.glb").write_text("no")
    with pytest.raises(InputError):
        mesh_html(tmp_path / "x.glb")
