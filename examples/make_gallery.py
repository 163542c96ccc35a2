"""Finished runs side by side: what each was given, and its mesh from four sides and in one gray.

    python examples/make_gallery.py RUN_FOLDER [RUN_FOLDER ...] --out docs/pictures/gallery.jpg

A row is a run: its photo, or its front view; then `mesh/mesh.glb` as it was exported, drawn under its own light.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.errors import InputError
from sv3dgen.export.lighting import lighting, welded_normals
from sv3dgen.export.turntable import before_white
from sv3dgen.meshes.files import read_mesh
from sv3dgen.meshes.textured_mesh import TexturedMesh
from sv3dgen.renderers.textured import fitting_distance, render_textured
from sv3dgen.runs.run_folder import read_card
from sv3dgen.views.cameras import look_at_origin

TITLES = ("given", "the mesh", "", "", "from behind", "its shape")
AZIMUTH_DEG = (0.0, 45.0, -45.0, 180.0)
ELEVATION_DEG = 15.0
TITLE_PX, QUALITY = 26, 88
FILLED = 0.85  # of a square by what was given


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, or 2 for a folder that is no finished run."""

    def command() -> int:
        options = _parser().parse_args(arguments)
        rows = [row(run, options.size_px) for run in options.runs]
        with atomic_write(options.out) as temporary:
            page(torch.stack(rows), options.size_px).save(temporary, quality=QUALITY)
        print(options.out)
        return 0

    return exit_status(command, "make_gallery")


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python examples/make_gallery.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    parser.add_argument("--out", type=Path, required=True, help="picture to write: JPEG or PNG")
    parser.add_argument("--size-px", type=int, default=200, help="side of each picture")
    return parser


def row(run: Path, size_px: int) -> Float[Tensor, "pictures 3 size size"]:
    """What the run was given, its mesh, and its shape."""
    glb = run / "mesh" / "mesh.glb"
    if not glb.is_file() or not (run / "light.json").is_file():
        raise InputError(f"{run}: expected the folder of a finished run, with mesh/mesh.glb and light.json")
    mesh = read_mesh(glb)
    elevation_deg = torch.full((len(AZIMUTH_DEG),), ELEVATION_DEG)
    cameras = look_at_origin(elevation_deg, torch.tensor(AZIMUTH_DEG), distance=1.0, size_px=size_px)
    distance = fitting_distance(mesh.vertices, cameras)
    cameras = look_at_origin(elevation_deg, torch.tensor(AZIMUTH_DEG), distance=distance, size_px=size_px)
    shading = lighting(mesh, json.loads((run / "light.json").read_text()))
    drawn = render_textured(mesh, cameras, **shading)
    gray, light = clay(mesh)
    shape = render_textured(gray, cameras[1:2], irradiance=light)
    pictures = before_white(torch.cat([drawn, shape])).float() / 255
    return torch.cat([given(run, size_px)[None], pictures])


def clay(mesh: TexturedMesh) -> tuple[TexturedMesh, Float[Tensor, " vertices"]]:
    """The mesh in one gray, and a light from the upper left."""
    bare = TexturedMesh(mesh.vertices, mesh.faces)
    toward = torch.nn.functional.normalize(torch.tensor([0.2, 0.7, 0.9]), dim=0)
    return bare, 0.35 + 0.75 * (welded_normals(mesh) @ toward).clamp_min(0)


def given(run: Path, size_px: int) -> Float[Tensor, "3 size size"]:
    """The run's photo, the original where it still lies there, else its front view; on white, as large as the mesh."""
    picture = Image.open(given_file(run)).convert("RGBA")
    picture = picture.crop(picture.getchannel("A").getbbox())
    picture = ImageOps.contain(picture, (round(FILLED * size_px),) * 2, Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (size_px, size_px), "white")
    square.alpha_composite(picture, ((size_px - picture.width) // 2, (size_px - picture.height) // 2))
    rgb = torch.frombuffer(bytearray(square.convert("RGB").tobytes()), dtype=torch.uint8)
    return rgb.reshape(size_px, size_px, 3).movedim(2, 0).float() / 255


def given_file(run: Path) -> Path:
    """The picture that stands for what the run was given."""
    photo = run / "views" / "input.png"
    if photo.is_file():
        original = ((read_card(run) or {}).get("input") or {}).get("path")
        return Path(original) if original is not None and Path(original).is_file() else photo
    frames = json.loads((run / "views" / "transforms.json").read_text())["frames"]
    return run / "views" / frames[-1]["file_path"]  # the last of an orbit is the front


def page(rows: Float[Tensor, "rows pictures 3 size size"], size_px: int) -> Image.Image:
    """All rows below the titles of their columns."""
    sheet = (rows.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2) * 255).round().byte().numpy()
    whole = Image.new("RGB", (sheet.shape[1], sheet.shape[0] + TITLE_PX), "white")
    whole.paste(Image.fromarray(sheet), (0, TITLE_PX))
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(15)
    for index, title in enumerate(TITLES):
        draw.text(((index + 0.5) * size_px, TITLE_PX / 2), title, "#444", font, anchor="mm")
    return whole


if __name__ == "__main__":
    sys.exit(main())
