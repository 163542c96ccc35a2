"""One photo to a GLB with the library, in five steps: python examples/photo_to_mesh.py PHOTO FOLDER [STEPS]

The bones of `python launch.py image=PHOTO preset=draft`, without what generated views are forgiven, configuration,
checkpoints and logs. STEPS are of the coarse stage (default 250); the fine stage takes a quarter of them.
"""

import logging
import sys
from pathlib import Path

import torch

from geometry.dmtet import DMTet
from geometry.hash_grid import HashGrid
from guidance.reference_views import ReferenceViews
from guidance.regularity import Regularity
from sv3dgen.data.view_batches import ViewBatches
from sv3dgen.export.exporter import Exporter
from sv3dgen.export.photo_texels import albedo_with_photos, photo_texels
from sv3dgen.interfaces import Reference
from sv3dgen.materials.constant import Constant
from sv3dgen.nvs.sv3d import Sv3dNvs
from sv3dgen.photo.prepare import prepare_photo
from sv3dgen.renderers.mesh import MeshRasterizer
from sv3dgen.renderers.volume import Volume
from sv3dgen.schedules import in_steps
from sv3dgen.sv3d.picture import conditioning_picture
from sv3dgen.views.orbits import SineOrbit
from systems.fitting import fit
from systems.sv3d_dmtet import Sv3dDmtet
from systems.sv3d_nerf import Sv3dNerf
from systems.view_sources import beside_photo

TRAINER = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


def main(photo: Path, folder: Path, steps: int = 250) -> None:
    torch.manual_seed(0)

    # 1. The photo, cut out and placed as the view model wants it.
    nvs = Sv3dNvs(weights="sv3d_tiny")  # a demonstration model; or the path of SV3D's weights
    size_px, frames = nvs.abilities.size_px, nvs.abilities.frames
    prepared = prepare_photo(photo, foreground_ratio=0.85, size_px=size_px, large_px=320)
    picture = conditioning_picture(prepared.image, size_px)

    # 2. The model's views on an orbit around the object, and the photo itself in the place of the last.
    orbit = SineOrbit(amplitude_deg=30.0)(10.0, frames, torch.Generator().manual_seed(0))
    views = beside_photo(nvs.views(picture, orbit, seed=0), prepared.large, size_px)
    reference = Reference(views, folder)

    # 3. The coarse stage: a density field, and the mesh of what the views see of it.
    weights = {"rgb": 1000.0, "mask": 750.0}
    field, material = HashGrid(levels=6, growth=1.39, log2_table_size=17, activation="exp"), Constant()
    coarse = Sv3dNerf(
        geometry=field,
        material=material,
        renderer=Volume(step_size=0.01),
        guidance={
            "reference_views": ReferenceViews(weights=weights, background="random"),
            "regularity": Regularity(weights=in_steps({"opaque": [["25%", 0.0], ["50%", 10.0]]}, steps)),
        },
        data=ViewBatches(milestones=[[0, {"size_px": 96, "layout": "patches", "patches": 128}]]),
        steps=steps,
        learning_rate=in_steps([[0, 0.01], ["100%", 0.001]], steps),
        hull_resolution=96,
        hull_miss_votes=2,  # a model's views never agree quite
        mesh_resolution=80,
        mesh_depth_px=96,
    )
    coarse.start_from(reference)
    fit(coarse, steps=steps, trainer=TRAINER, callbacks=[])
    mesh = coarse.eval().surface()

    # 4. The fine stage: a deformable mesh that starts from it.
    fine = Sv3dDmtet(
        geometry=DMTet(resolutions=[[0, 48]], smooth_rings=2),
        material=Constant(),
        renderer=MeshRasterizer(shade_fraction=0.25),
        guidance={
            "reference_views": ReferenceViews(weights=weights, compare="inside"),
            "regularity": Regularity(weights={"mesh_normal": 50.0}),
        },
        data=ViewBatches(milestones=[[0, {"size_px": 160, "layout": "frames", "views": 4, "crop_margin_px": 5}]]),
        steps=max(1, steps // 4),
        learning_rate=0.005,
        shape_learning_rate=0.01,
    )
    fine.start_from(reference, mesh, field, material)
    fit(fine, steps=fine.steps, trainer=TRAINER, callbacks=[])

    # 5. Cleaned, decimated, unwrapped and baked, with the photo's own pixels where it sees: FOLDER/mesh/mesh.glb.
    mesh = fine.eval().surface()
    photos = photo_texels(views, mesh)

    def albedo(points: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
        shading = fine.material(fine.geometry.features(points), normals)
        return albedo_with_photos(shading.albedo, shading.irradiance, photos, points, normals)

    Exporter(faces=5000, texture_px=512, turntable_frames=36).export(mesh, albedo, folder, fine.material.light())
    print(folder / "mesh" / "mesh.glb")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # which tells of other products
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
