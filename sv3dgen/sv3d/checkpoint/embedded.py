"""SV3D-tiny: the small model that comes with the project, so that a photo becomes a mesh without anybody's weights."""

from pathlib import Path

NAME = "sv3d_tiny"
FOLDER = Path(__file__).parents[2] / NAME  # model.safetensors, config.json, and the model card
WEIGHTS = FOLDER / "model.safetensors"
LICENCE = "Apache-2.0; trained on this project's procedural objects and on Google Scanned Objects (CC-BY-4.0)"
NOTE = (
    "demonstration model, trained at 64 px on procedural objects and 29 scanned ones, and not for long yet: expect a "
    "lump of about the right shape and color; for real photos install SV3D_p: "
    "accept the licence at https://huggingface.co/stabilityai/sv3d, hf auth login, then weights=stabilityai/sv3d"
)
