"""Real inputs to damage, for `fuzz_kinds.py`: a folder each, of what lies in ../shared and in the project."""

import json
import os
import shutil
from pathlib import Path

import torch
import trimesh
import yaml
from checkout import ROOT
from gltf_gallery import write_gallery
from PIL import Image
from report_case import FROM_ABOVE, small_run
from trimesh.visual import ColorVisuals

from sv3dgen.views.posed_views import read_views, write_views

FRAMES = 6  # of a folder of views; more make a case slower, not other


def _alone(files: list[Path], top: Path) -> None:
    for index, file in enumerate(files):
        (top / str(index)).mkdir()
        shutil.copy(file, top / str(index) / f"given{file.suffix}")


def gather_views(shared: Path, top: Path) -> None:
    for source in [*sorted((shared / "wild" / "views").glob("*")), ROOT / "examples" / "tugboat"]:
        views = read_views(source, max_size_px=96)
        write_views(views[torch.linspace(0, len(views) - 1, FRAMES).long()], top / f"small_{source.name}")
        _thinned(source, top / source.name)


def _thinned(source: Path, target: Path) -> None:
    """Some of the frames as they are, with the json that strangers wrote."""
    shutil.copytree(source, target)
    path = target / "transforms.json"
    document = json.loads(path.read_text())
    document["frames"] = document["frames"][:: max(1, len(document["frames"]) // FRAMES)]
    path.write_text(json.dumps(document))
    kept = {Path(frame["file_path"].replace("\\", "/")).stem for frame in document["frames"]}
    for picture in target.rglob("*"):
        if picture.is_file() and picture.suffix != ".json" and picture.stem not in kept:
            picture.unlink()


def gather_meshes(shared: Path, top: Path) -> None:
    drawn = top / "gallery_files"
    drawn.mkdir()
    gallery = write_gallery(drawn)
    wild = sorted((shared / "wild" / "meshes").glob("*.glb"))
    bad = sorted((shared / "bad_inputs").glob("*.glb"))
    _alone([*gallery, *wild, *bad, *sorted((shared / "meshes").glob("*/*.glb"), key=os.path.getsize)[:3]], top)
    for name in ("absw", "bsl", "opts"):
        shutil.copytree(shared / "wild" / "meshes" / "textures", top / name / "textures")
        for suffix in (".obj", ".mtl"):
            shutil.copy(shared / "wild" / "meshes" / f"{name}{suffix}", top / name / f"given{suffix}")
        text = (top / name / "given.obj").read_text().replace(f"{name}.mtl", "given.mtl")
        (top / name / "given.obj").write_text(text)
    ball = trimesh.creation.icosphere(subdivisions=1)
    colors = [[index % 255, 80, 9, 255] for index in range(len(ball.vertices))]
    ball.visual = ColorVisuals(ball, vertex_colors=colors)
    for suffix, settings in (("ply", {"encoding": "ascii"}), ("ply", {}), ("stl", {}), ("stl_ascii", {}), ("off", {})):
        folder = top / f"{suffix}{len(settings)}"
        folder.mkdir()
        made = ball.export(file_type=suffix, **settings)
        (folder / f"given.{suffix[:3]}").write_bytes(made.encode() if isinstance(made, str) else bytes(made))
    (top / "3mf").mkdir()
    ball.export(top / "3mf" / "given.3mf")
    shutil.rmtree(drawn)


def gather_photos(shared: Path, top: Path) -> None:
    pictures = (".png", ".jpg", ".webp", ".gif", ".avif", ".tiff", ".heic", ".bmp")
    found = [path for path in sorted((shared / "bad_inputs").glob("*")) if path.suffix in pictures and path.is_file()]
    small = [path for path in found if path.stat().st_size < 400_000]
    _alone([*small, *sorted((shared / "wild" / "photos").glob("*"))], top)
    photo = Image.open(next((shared / "photos" / "dev").glob("*.*"))).convert("RGB")
    photo.thumbnail((200, 200))
    for kind in ("jpeg", "png", "webp", "tiff", "avif"):
        (top / kind).mkdir()
        photo.save(top / kind / f"given.{kind}")


def gather_films(shared: Path, top: Path) -> None:
    _alone(sorted((shared / "wild" / "films").glob("*")), top)


def gather_weights(shared: Path, top: Path) -> None:
    _alone(sorted((shared / "bad_inputs").glob("ckpt_*")), top)
    (top / "tiny").mkdir()
    for name in ("model.safetensors", "config.json"):
        shutil.copy(ROOT / "sv3dgen" / "sv3d_tiny" / name, top / "tiny" / name)


def gather_runs(shared: Path, top: Path) -> None:
    views = read_views(ROOT / "examples" / "tugboat", max_size_px=64)
    small_run(top / "run", views, light=FROM_ABOVE, subdivisions=2)
    saved = [f"views={ROOT / 'examples' / 'tugboat'}", "preset=draft", "coarse.steps=40", "name=x", "seed=3"]
    (top / "run" / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(saved))
    write_views(views, top / "run" / "views")
