# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From views of a tugboat to a mesh that turns
#
# 21 pictures with their cameras go in; a textured mesh comes out. The run is a process of its own, as
# `python launch.py views=examples/tugboat preset=draft` would be: a first look, some minutes at most without a GPU.
#
# `pip install -c constraints.txt -e ".[notebook]"`, then open this file, or its twin `tugboat_to_mesh.py`, in Jupyter.

# %%
import os
from pathlib import Path

from sv3dgen import views_to_mesh

ROOT = Path.cwd() if Path("launch.py").is_file() else Path.cwd().parent
os.chdir(ROOT)  # outputs/ is made there
RUN = Path(os.environ.get("RUN", "outputs/tugboat/notebook"))

# %% [markdown]
# ## Some of the views

# %%
from IPython.display import HTML, Image, display  # noqa: E402

for view in ("000", "005", "010", "015"):
    display(Image(f"examples/tugboat/{view}.png", width=130))

# %% [markdown]
# ## The run
#
# `settings` are those of the command line; `docs/settings.md` has all. Few faces and a small texture keep this page
# small.

# %%
import shutil  # noqa: E402

shutil.rmtree(RUN, ignore_errors=True)  # of an earlier try
stages = []


def note(progress):
    if progress.stage not in stages:
        stages.append(progress.stage)
        print(progress.stage, "...")


result = views_to_mesh(
    "examples/tugboat",
    folder=RUN,
    settings=["preset=draft", "export.faces=6000", "export.texture_px=512", "seed=0"],
    on_progress=note,
)
print(result.exit, *result.warnings)

# %% [markdown]
# ## What came of it

# %%
{key: result.metrics[key] for key in ("psnr_train", "vertices", "faces", "watertight")}

# %% [markdown]
# The mesh, to turn with the mouse. It lies in this page; nothing is fetched. `report.html` in the run's folder has
# more.

# %%
from sv3dgen.report.notebook import mesh_html  # noqa: E402

HTML(mesh_html(result.paths["glb"]))
