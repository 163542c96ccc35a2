"""The app's server, asked without a browser."""

import io
import json
import sys
import zipfile
from http.client import HTTPConnection

import pytest
from app_case import NEEDS_APP, running_app

from sv3dgen.app.__main__ import main
from sv3dgen.cli.extras import is_installed


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Asks the app, running in a process of its own: status, headers and body."""
    if not is_installed("gradio"):
        pytest.skip(NEEDS_APP)
    runs = tmp_path_factory.mktemp("runs")
    mesh = runs / "toy" / "2026-01-01" / "mesh" / "mesh.glb"
    mesh.parent.mkdir(parents=True)
    for path in (mesh, mesh.parents[1] / "report.html", mesh.parents[1] / "run.json"):
        path.write_text("{}")
    with running_app(runs) as address:

        def asked(path, **headers):
            connection = HTTPConnection(address.removeprefix("http://"))
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            return answer.status, answer.headers, body

        yield asked


def test_the_page_asks_nobody_else(ask):
    status, headers, page = ask("/")
    assert status == 200 and b"sv3dgen" in page
    assert "default-src 'self'" in headers["content-security-policy"]
    assert b"fonts.googleapis" not in page and b"cdnjs" not in page
    assert json.loads(ask("/config")[2])["analytics_enabled"] is False
    assert ask("/", Host="evil.example")[0] == 403


def test_a_runs_files_can_be_taken_and_no_others(ask):
    status, headers, _ = ask("/runs/toy/2026-01-01/report.html")
    assert status == 200 and headers["content-disposition"].startswith("inline")
    assert ask("/runs/toy/2026-01-01/mesh/mesh.glb")[1]["content-disposition"].startswith("attachment")
    with zipfile.ZipFile(io.BytesIO(ask("/runs/toy/2026-01-01/all.zip")[2])) as archive:
        assert "toy/mesh/mesh.glb" in archive.namelist()
    for wrong in ("toy/none/all.zip", "toy/2026-01-01/%2e%2e/%2e%2e/x", "%2e%2e/toy/all.zip", f"toy/{'x' * 5000}/x"):
        assert ask(f"/runs/{wrong}")[0] == 404


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--port", "99999"], "--port 99999: expected 0 to 65535"),
        (["--weights", "none.safetensors"], "no such file"),
        (["--runs", __file__], "expected a folder"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, told, capsys):
    assert main(options) == 2
    assert told in capsys.readouterr().err


def test_without_gradio_it_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["--port", "0"]) == 2
    assert '".[app]"' in capsys.readouterr().err
