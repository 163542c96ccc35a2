"""A run or a mesh on a page: what is refused, before anything heavy is imported."""

import sys

import pytest

from sv3dgen.commands.view import main


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["."], ".: no mesh/mesh.glb, expected a run that has come to its mesh, or a mesh file"),
        (["none.glb"], "none.glb"),
        (["--port", "-1", "{mesh}"], "--port -1: expected 0 to 65535"),
    ],
)
def test_what_can_not_be_shown_is_told_in_one_line(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mesh = tmp_path / "mesh.ply"
    mesh.write_text("ply\nformat ascii 1.0\nend_header\n")
    assert main([str(mesh) if text == "{mesh}" else text for text in arguments]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_without_viser_it_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    mesh = tmp_path / "mesh.ply"
    mesh.write_text("ply\nformat ascii 1.0\nend_header\n")
    monkeypatch.setitem(sys.modules, "viser", None)
    assert main(["--port", "0", str(mesh)]) == 2
    assert '".[view]"' in capsys.readouterr().err
