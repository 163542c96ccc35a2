"""Inputs that are no files, cameras that can't be meant, pictures that are too large, a hub that can't be reached."""

import json
import os
import socket
import struct
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
import trimesh
from checkout import ROOT
from omegaconf import OmegaConf
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from sv3dgen.cli.command_line import checked_arguments
from sv3dgen.cli.input_check import check_inputs
from sv3dgen.errors import InputError
from sv3dgen.meshes.files import read_mesh
from sv3dgen.normals.files import read_normals, write_normals
from sv3dgen.sv3d.checkpoint import weights
from sv3dgen.views.posed_views import read_views
from systems.view_sizes import LEAST_READ_PX, read_px


@pytest.fixture
def here(tmp_path: Path, views_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()
    for file in views_folder.iterdir():
        (tmp_path / "toy" / file.name).write_bytes(file.read_bytes())
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "views=/dev/zero",
        "views=pipe",
        "views=dangling",
        "image=/dev/zero",
        "image=pipe",
        "image=dangling",
        "image={photo} nvs=sv3d_p weights=pipe",
        "image={photo} nvs=sv3d_p weights=/dev/zero",
        "views=toy hydra.run.dir=dangling",
        "views=toy hydra.run.dir=pipe",
        "views=toy share=pipe",
        "resume=pipe",
        "resume=dangling",
        "-m resume=pipe",
    ],
)
def test_what_is_no_file_is_told_at_once(command: str, here: Path) -> None:
    photo = here / "toy" / "000.png"
    started = time.perf_counter()
    with pytest.raises(InputError) as refusal:
        checked_arguments(command.format(photo=photo).split(), ROOT)
    assert "\n" not in str(refusal.value) and time.perf_counter() - started < 10


@pytest.mark.parametrize("number", [1e300, -1e300, 1e12])
@pytest.mark.parametrize("place", ["position", "fl_x", "cx"])
def test_cameras_that_cannot_be_meant_are_refused(number: float, place: str, here: Path) -> None:
    path = here / "toy" / "transforms.json"
    document = json.loads(path.read_text())
    if place == "position":
        document["frames"][3]["transform_matrix"][1][3] = number
    else:
        document[place] = number
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="expected"):
        checked_arguments(["views=toy"], ROOT)


@pytest.mark.parametrize("side", [9_000, 40_000])
def test_a_picture_in_a_mesh_obeys_the_limit_of_photos(side: int, tmp_path: Path) -> None:
    """From its header: these few kilobytes would be gigabytes."""
    path = tmp_path / "bomb.glb"
    path.write_bytes(glb_with(black_png(side)))
    assert path.stat().st_size < 400_000
    with pytest.raises(InputError, match="megapixels, expected at most 64"):
        read_mesh(path)
    path.write_bytes(glb_with(black_png(64)))
    assert read_mesh(path).textures[0].shape == (3, 64, 64)


def black_png(side: int) -> bytes:
    """Written by hand: PIL would need the memory."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packer, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    pixels = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def glb_with(png: bytes) -> bytes:
    """A box with a picture as its texture."""
    box = trimesh.creation.box()
    material = PBRMaterial(baseColorTexture=Image.new("RGB", (2, 2)))
    box.visual = TextureVisuals(uv=torch.rand(len(box.vertices), 2).numpy(), material=material)
    glb = box.export(file_type="glb")
    length = struct.unpack("<I", glb[12:16])[0]
    document, body = json.loads(glb[20 : 20 + length]), glb[28 + length :]
    view = document["bufferViews"][document["images"][0]["bufferView"]]
    view.update(byteOffset=len(body), byteLength=len(png))
    document["images"][0]["mimeType"] = "image/png"
    body += png + b"\0" * (-len(png) % 4)
    document["buffers"][0]["byteLength"] = len(body)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    parts = (struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(body), b"BIN\0"), body)
    content = b"".join(parts)
    return b"glTF" + struct.pack("<II", 2, 12 + len(content)) + content


def test_large_views_are_scaled_as_they_are_read(here: Path) -> None:
    transforms = json.loads((here / "toy" / "transforms.json").read_text())
    transforms["frames"] = transforms["frames"][:3]
    (here / "toy" / "transforms.json").write_text(json.dumps(transforms))
    for frame in transforms["frames"]:
        file = here / "toy" / frame["file_path"]
        with Image.open(file) as image:
            image.resize((1600, 1600)).save(file, compress_level=1)
    coarse = {"data": {"milestones": [[0, {"size_px": 96}], [9, {"size_px": 1200}]]}}
    assert read_px(OmegaConf.create({"system": {"stages": ["coarse"]}, "coarse": coarse})) == 1200
    assert read_px(OmegaConf.create({"system": {"stages": ["fine"]}, "fine": {"data": {}}})) == LEAST_READ_PX
    views = read_views(here / "toy", max_size_px=1200)
    assert views.images.shape[2:] == (1200, 1200) == (views.cameras.height_px, views.cameras.width_px)
    normals = torch.nn.functional.normalize(torch.tensor([0.3, 0.2, 0.9]), dim=0).expand(1600, 1600, 3)
    write_normals(here / "normals.png", normals)
    read = read_normals(here / "normals.png", (1200, 1200))
    assert torch.allclose(read, normals[:1200, :1200], atol=0.01)
    with pytest.raises(InputError, match="expected 1200x1100 as its view"):
        read_normals(here / "normals.png", (1200, 1100))


def test_a_hub_that_cannot_be_reached_is_told_at_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    def slow(*_: object) -> socket.socket:
        time.sleep(30)
        raise OSError

    monkeypatch.setattr(weights, "CONNECT_LIMIT_S", 0.3)
    monkeypatch.setattr(weights, "getproxies", dict)
    monkeypatch.setattr(weights.socket, "create_connection", slow)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here / "cache"))
    started = time.perf_counter()
    with pytest.raises(InputError, match="not in the hub's cache, and the hub can't be reached") as refusal:
        checked_arguments(["image=toy/000.png", "weights=stabilityai/sv3d"], ROOT)
    assert time.perf_counter() - started < 5 and "\n" not in str(refusal.value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        weights.check_obtainable("stabilityai/sv3d")


def test_vertices_of_one_number_are_refused(tmp_path: Path) -> None:
    """Found by fuzzing: rows cut so that each has one number."""
    (tmp_path / "thin.obj").write_text("v 0\nv 1\nv 2\nf 1 2 3\n")
    with pytest.raises(InputError, match="thin.obj"):
        read_mesh(tmp_path / "thin.obj")


def test_a_taken_port_of_the_live_view_is_refused_before_anything_is_made(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", ModuleType("viser"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = OmegaConf.create({"views": "toy", "image": None, "viewer": True, "viewer_port": port})
        with pytest.raises(InputError, match="^viewer_port .*: Address already in use; expected one that is free"):
            check_inputs(config, sweeps_nvs=False)
        check_inputs(config, sweeps_nvs=False, sweeping=True)  # each of its runs takes a free one
    check_inputs(config, sweeps_nvs=False)
