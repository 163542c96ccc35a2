"""A mesh to turn in the output of a notebook's cell: it lies in the page itself, and nothing is fetched."""

import base64
import gzip
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from sv3dgen.report.embedded import MODEL_VIEWER, glb_for_page

_PAGES = Environment(loader=PackageLoader("sv3dgen.report"), autoescape=True, undefined=StrictUndefined)


def mesh_html(glb: str | Path, *, height_px: int = 460) -> str:
    """HTML that shows a GLB, unlit, for `IPython.display.HTML`; a frame of its own keeps it apart from the notebook.

    About 400 kB, and the mesh. Raises InputError where the file is no GLB.
    """
    path = Path(glb)
    data, _ = glb_for_page(path)
    page = _PAGES.get_template("notebook.html.j2").render(
        script=base64.b64encode(MODEL_VIEWER.read_bytes()).decode("ascii"),
        glb=base64.b64encode(gzip.compress(data, mtime=0)).decode("ascii"),
        name=path.stem,
    )
    return _PAGES.from_string(
        '<div><iframe title="The mesh, to turn" srcdoc="{{ page }}" sandbox="allow-scripts" '
        'style="width: 100%; height: {{ height_px }}px; border: 0"></iframe></div>'
    ).render(page=page, height_px=height_px)
