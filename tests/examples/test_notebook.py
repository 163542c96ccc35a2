"""The notebook: its two forms say the same, it runs, and it ends with the mesh in the page."""

import json
import re
from pathlib import Path

import pytest
from browser import browser
from checkout import ROOT

SCRIPT = ROOT / "examples" / "tugboat_to_mesh.py"
NOTEBOOK = SCRIPT.with_suffix(".ipynb")
MOST_BYTES = 1_500_000


def cells(kind: str) -> list[dict]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == kind]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def test_both_forms_say_the_same_and_the_notebook_is_executed():
    parts = re.split(r"^# %%.*\n", SCRIPT.read_text(), flags=re.MULTILINE)[1:]
    told = [re.sub(r"^# ?", "", part, flags=re.MULTILINE).strip() for part in parts if part.startswith("#")]
    assert [source(cell) for cell in cells("markdown")] == told
    code = [part.strip() for part in parts if not part.startswith("#")]
    assert [source(cell) for cell in cells("code")] == code
    assert all(cell["execution_count"] for cell in cells("code"))
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    text = NOTEBOOK.read_text()
    assert str(Path.home()) + "/" not in text and str(ROOT) not in text


@pytest.mark.thorough
def test_the_notebooks_mesh_is_shown(tmp_path):
    """In a browser without the network."""
    page = tmp_path / "cell.html"
    page.write_text("".join(cells("code")[-1]["outputs"][0]["data"]["text/html"]))
    with browser() as started:
        context = started.new_context(offline=True)
        shown = context.new_page()
        shown.goto(page.as_uri())
        shown.frame_locator("iframe").locator("html[data-shown]").wait_for(timeout=60_000)
        context.close()


@pytest.mark.thorough
def test_the_notebook_runs(tmp_path, monkeypatch):
    reason = "needs jupytext, nbclient and ipykernel, which the notebook extra brings"
    jupytext, nbclient = (pytest.importorskip(name, reason=reason) for name in ("jupytext", "nbclient"))
    pytest.importorskip("ipykernel", reason=reason)
    monkeypatch.setenv("RUN", str(tmp_path / "run"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = nbclient.NotebookClient(jupytext.read(SCRIPT), timeout=900, resources={"metadata": {"path": str(ROOT)}})
    last = made.execute()["cells"][-1]
    assert "<iframe" in last["outputs"][0]["data"]["text/html"]
    assert (tmp_path / "run" / "mesh" / "mesh.glb").is_file()
