"""Draw the example photos: objects of this project's own, made of seeds that no training has seen, cut out (RGBA).

    python examples/make_photos.py [FOLDER]        (default: examples/photos; some seconds)

They are as a photo is after matting: the camera looks down by 10 degrees, the light is a studio's.
"""

import sys
from pathlib import Path

import torch
from PIL import Image

from sv3dgen.atomic import atomic_write
from sv3dgen.data.orbit_rendering import lit
from sv3dgen.materials.studio_light import creased_normals, random_light
from sv3dgen.procedural.objects import procedural_object
from sv3dgen.renderers.textured import appearance, fitting_distance, render_batches
from sv3dgen.seeding import generator
from sv3dgen.views.orbits import Orbit

SIZE_PX, SUPERSAMPLE, ELEVATION_DEG, FOV_DEG = 320, 3, 10.0, 33.8
MARGIN = 1.1  # how much farther away than where the object would touch the picture's edge
# Name: seed and azimuth. Odd seeds make objects to test with; those of the test split are far below these.
PHOTOS = {
    "bird": (100003, 35.0),
    "truck": (100005, 35.0),
    "mug": (100023, 30.0),
    "house": (100039, 30.0),
    "bear": (100043, 20.0),
    "robot": (100099, 25.0),
}


def draw(seed: int, azimuth_deg: float) -> Image.Image:
    """One photo of the object of a seed."""
    mesh = procedural_object(seed)
    view = Orbit(torch.tensor([ELEVATION_DEG]).double(), torch.tensor([azimuth_deg]).double())
    look = lit(appearance(mesh), random_light(generator(seed, "photo")), creased_normals(mesh))
    distance = MARGIN * fitting_distance(mesh.vertices, view.cameras(1.0, FOV_DEG))
    (rgba,) = render_batches(mesh, view.cameras(distance, FOV_DEG, SIZE_PX), look, SUPERSAMPLE)
    return Image.fromarray((rgba[0] * 255).round().byte().permute(1, 2, 0).numpy())


def main(folder: Path) -> None:
    for name, (seed, azimuth_deg) in PHOTOS.items():
        with atomic_write(folder / f"{name}.png") as temporary:
            draw(seed, azimuth_deg).save(temporary)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "photos")
