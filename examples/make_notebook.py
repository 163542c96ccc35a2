"""Execute tugboat_to_mesh.py, and keep it with what came of it: python examples/make_notebook.py

Writes tugboat_to_mesh.ipynb. Needs the extra `notebook`.
"""

from pathlib import Path

import jupytext  # pyright: ignore[reportMissingImports]  (an extra)
import nbformat  # pyright: ignore[reportMissingImports]
from nbclient import NotebookClient  # pyright: ignore[reportMissingImports]

SCRIPT = Path(__file__).with_name("tugboat_to_mesh.py")


def main() -> None:
    notebook = jupytext.read(SCRIPT)
    client = NotebookClient(notebook, timeout=1800, record_timing=False)
    client.execute(cwd=str(SCRIPT.parents[1]))
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index}"  # random otherwise
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, SCRIPT.with_suffix(".ipynb"))


if __name__ == "__main__":
    main()
