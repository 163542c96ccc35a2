"""Run folders as a sweep leaves them, for the tests of its table."""

import json
from pathlib import Path

import trimesh
import yaml

SDS = "guidance/sds"


def write_run(
    folder: Path,
    given: dict[str, str],
    *,
    views: Path | None = None,
    image: str | None = None,
    size: float = 1.0,
    finished: bool = True,
) -> Path:
    """A run's folder as a sweep leaves it: Hydra's settings, the card, and a mesh, a box whose depth is `size`."""
    (folder / ".hydra").mkdir(parents=True)
    seed = int(given.get("seed", 0))
    config = {"views": None if views is None else str(views), "image": image, "seed": seed, "export": {"faces": 1000}}
    choices = {"experiment": given.get("experiment"), SDS: given.get(SDS, "none"), "material": "constant"}
    texts = [*(f"{key}={value}" for key, value in given.items()), "~coarse.learning_rate"]
    for name, content in {
        "config": config,
        "hydra": {"hydra": {"runtime": {"choices": choices, "cwd": str(folder.parent)}}},
        "overrides": texts,
    }.items():
        (folder / ".hydra" / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (folder / "run.json").write_text(json.dumps({"finished": "now"} if finished else {}))
    (folder / "mesh").mkdir()
    trimesh.creation.box((1.0, 0.8, size)).export(folder / "mesh" / "mesh.glb")
    return folder
