"""Settings of a whole run of seconds, for views of 64 px. How many steps it takes is a test's own."""

SIZES = (
    "pictures_every_steps=0",
    "coarse.solid_after=null",  # each step of the toy is one that tests count
    "coarse.small_px=null",
    "fine.small_px=null",
    "coarse.hull_resolution=64",
    "coarse.mesh_resolution=48",
    "coarse.mesh_depth_px=48",
    "stereo.planes=48",
    "export.faces=1000",
    "export.texture_px=128",
    "export.turntable_frames=4",
    "export.turntable_px=64",
)
# of the hash grid alone
GRID = (
    "coarse.geometry.levels=6",
    "coarse.geometry.log2_table_size=12",
    "coarse.renderer.step_size=0.02",
)
