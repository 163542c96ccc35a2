"""The results of the stages that runs share, as they lie in a folder: a photo's views, and a coarse stage."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sv3dgen.atomic import atomic_write
from sv3dgen.cli.saved_settings import refuse_links_out
from sv3dgen.documents.json_text import parse_json
from sv3dgen.interfaces import Reference
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.openings import Opening
from sv3dgen.meshes.saved_mesh import saved_mesh
from sv3dgen.runs.run_folder import RunCard
from systems.sv3d_nerf import Sv3dNerf

STATE, TOLD = "state.pt", "card.json"
TOLD_OF_VIEWS = ("licences", "notes")  # entries of the run card that a run with the same views has to have too
VIEWS_METRICS = ("elevation_deg",)
LAST_OF_VIEWS = "transforms.json"  # a folder that has it is complete


def write_made_views(target: Path, views: Path, card: RunCard) -> None:
    """Copy a run's views, and what its card says of them."""
    for file in sorted(path for path in views.iterdir() if path.is_file() and not path.name.startswith(".")):
        shutil.copy2(file, target / file.name)
    told = {entry: dict(card.card[entry]) for entry in TOLD_OF_VIEWS}
    for use in [use for use in told["licences"] if use.startswith("kernels.")]:
        del told["licences"][use]  # each run says itself what it computes with
    told["metrics"] = {name: card.card["metrics"][name] for name in VIEWS_METRICS if name in card.card["metrics"]}
    (target / TOLD).write_text(json.dumps(told), encoding="utf-8")


def read_made_views(source: Path, views: Path, card: RunCard) -> None:
    """Copy the views to the folder of a run's, and add to its card what is to be said of them."""
    (views / LAST_OF_VIEWS).unlink(missing_ok=True)
    refuse_links_out(source)
    files = [path for path in source.iterdir() if path.is_file() and path.name not in (TOLD, LAST_OF_VIEWS)]
    for file in [*sorted(files), source / LAST_OF_VIEWS]:
        with atomic_write(views / file.name) as temporary:
            shutil.copyfile(file, temporary)
    told = parse_json((source / TOLD).read_text(encoding="utf-8"))
    for entry in (*TOLD_OF_VIEWS, "metrics"):
        card.card[entry].update(told[entry])


def write_coarse(target: Path, coarse: Sv3dNerf, mesh: Mesh) -> None:
    """What a coarse stage has learned, and its surface."""
    state: dict[str, Any] = {name: part.state_dict() for name, part in _learned(coarse).items()}
    openings = [opening.card() for opening in coarse.openings]
    found = {"vertices": mesh.vertices, "faces": mesh.faces, "openings": openings}
    found |= {"dents": coarse.filled_dents, "solid": coarse.solid.found}
    torch.save(found | state, target / STATE)


def read_coarse(source: Path, coarse: Sv3dNerf, reference: Reference) -> Mesh:
    """Have the parts of a stage as they were after its last step; its surface. A part is taken whole or not at all."""
    state = torch.load(source / STATE, weights_only=True, map_location="cpu")
    mesh = saved_mesh(state["vertices"], state["faces"])
    coarse.views = reference.views.to(coarse.device)  # of which the run tells what was corrected
    coarse.corrections.start_from(reference.views)
    for name, part in _learned(coarse).items():
        before = {key: value.clone() for key, value in part.state_dict().items()}
        try:
            part.load_state_dict(state[name])
        except Exception:
            part.load_state_dict(before)  # some of it may have been taken
            raise
    coarse.openings = [Opening(**opening) for opening in state.get("openings", ())]
    coarse.filled_dents = float(state.get("dents", 0.0))
    coarse.solid.found = bool(state.get("solid", False))
    coarse.eval()
    return mesh


def _learned(coarse: Sv3dNerf) -> dict[str, nn.Module]:
    parts = ("geometry", "material", "renderer", "corrections")
    return {name: getattr(coarse, name) for name in parts}
