"""COLMAP's models, binary and text, are read as posed views: the same cameras but for their world."""

import struct

import numpy as np
import pytest
import torch
from ellipsoids import posed_views
from PIL import Image
from scipy.spatial.transform import Rotation

from sv3dgen.errors import InputError
from sv3dgen.views.orbits import orbit_by_name
from sv3dgen.views.pose_check import check_poses
from sv3dgen.views.posed_views import read_views
from sv3dgen.views.transforms_json import read_transforms
from sv3dgen.views.unposed import is_unposed

OPENGL = np.diag([1.0, -1.0, -1.0])
WORLD = Rotation.from_euler("xyz", [40, -100, 15], degrees=True).as_matrix()  # COLMAP's: of any rotation ..
PLACE, SCALE = np.array([3.0, -20.0, 7.0]), 4.0  # .. place, and scale


@pytest.fixture(scope="module")
def views():
    return posed_views(orbit_by_name("static", elevation_deg=20.0).cameras(size_px=96))


def poses(views):
    """Name, quaternion (w first) and translation, world to camera, OpenCV's axes."""
    for index, pose in enumerate(views.cameras.camera_to_world.double().numpy()):
        rotation = (WORLD @ pose[:3, :3] @ OPENGL).T
        translation = -rotation @ (SCALE * WORLD @ pose[:3, 3] + PLACE)
        yield f"photo {index:02d}.png", Rotation.from_matrix(rotation).as_quat(scalar_first=True), translation


def write_photos(views, folder):
    folder.mkdir(parents=True)
    for index, image in enumerate(views.images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"photo {index:02d}.png")


def write_text(views, model, lens="SIMPLE_PINHOLE", more=""):
    model.mkdir(parents=True)
    focal = float(views.cameras.focal_px[0, 0])
    (model / "cameras.txt").write_text(f"# a comment\n3 {lens} 96 96 {focal} 48 48{more}\n")
    lines = ["# Image list", "# IMAGE_ID, QW, ..."]
    for number, (name, quaternion, translation) in enumerate(reversed(list(poses(views)))):
        lines += [" ".join(map(str, [number + 1, *quaternion, *translation, 3, name])), "" if number % 2 else "1 2 -1"]
    (model / "images.txt").write_text("\n".join(lines) + "\n")


def write_binary(views, model, number=4):
    """Lens model 4 is OPENCV: fx, fy, cx, cy, k1, k2, p1, p2."""
    model.mkdir(parents=True)
    focal = float(views.cameras.focal_px[0, 0])
    values = struct.pack("<8d", focal, focal, 48, 48, 0, 0, 0, 0)
    (model / "cameras.bin").write_bytes(struct.pack("<QiiQQ", 1, 7, number, 96, 96) + values)
    images = struct.pack("<Q", len(views))
    for index, (name, quaternion, translation) in enumerate(poses(views)):
        images += struct.pack("<I7dI", index + 1, *quaternion, *translation, 7) + name.encode() + b"\0"
        images += struct.pack("<Q", index % 3) + bytes(24 * (index % 3))
    (model / "images.bin").write_bytes(images)


@pytest.mark.parametrize(
    ("write", "place"),
    [(write_text, "sparse/0"), (write_binary, "sparse/0"), (write_binary, "colmap/sparse/0"), (write_text, "sparse")],
)
def test_cameras_are_the_true_ones(views, tmp_path, write, place, caplog):
    write_photos(views, tmp_path / "images")
    write(views, tmp_path / place)
    with caplog.at_level("INFO"):
        read = read_views(tmp_path)
    assert "a model of COLMAP; cameras of 21 photos" in caplog.text
    check_poses(read)
    assert torch.equal(read.images, views.images)
    # The first photo, by name, shows the front, and heights are those of the turn.
    azimuth = (views.azimuth_deg - views.azimuth_deg[0]) % 360
    off = (read.azimuth_deg - azimuth + 180) % 360 - 180
    assert off.abs().max() < 1e-2 and (read.elevation_deg - 20).abs().max() < 0.6
    # `source_to_world` leads from COLMAP's world to ours.
    source = SCALE * views.cameras.positions.double().numpy() @ WORLD.T + PLACE
    way = read.source_to_world.numpy()
    np.testing.assert_allclose(source @ way[:3, :3].T + way[:3, 3], read.cameras.positions.numpy(), atol=1e-4)


def test_what_pycolmap_writes_is_read(views, tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    write_text(views, tmp_path / "text")
    images = tmp_path / "text" / "images.txt"
    images.write_text(images.read_text().replace("photo ", "photo_"))  # it ends names at spaces
    (tmp_path / "text" / "points3D.txt").write_text("")
    model = pycolmap.Reconstruction()
    model.read_text(tmp_path / "text")
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    model.write_binary(tmp_path / "sparse" / "0")
    binary = [frame.camera_to_world for frame in read_transforms(tmp_path).frames]
    (tmp_path / "sparse").rename(tmp_path / "elsewhere")
    (tmp_path / "text").rename(tmp_path / "sparse")
    text = [frame.camera_to_world for frame in read_transforms(tmp_path).frames]
    np.testing.assert_allclose(binary, text, atol=1e-9)


def test_the_largest_of_several_models_is_taken_and_lenses_are_kept(views, tmp_path):
    write_photos(views, tmp_path / "images")
    write_text(views[:5], tmp_path / "sparse" / "0")
    write_text(views, tmp_path / "sparse" / "1", "SIMPLE_RADIAL", " -0.05")
    frames = read_transforms(tmp_path).frames
    assert len(frames) == 21 and frames[0].lens.distortion.k[0] == -0.05


def test_photos_next_to_the_model_are_no_unposed_ones(views, tmp_path):
    write_photos(views, tmp_path / "flat")
    assert is_unposed(tmp_path / "flat")
    (tmp_path / "flat" / "images.txt").write_text("photo 00.png\n", encoding="utf-8")  # a list of names
    assert is_unposed(tmp_path / "flat")
    write_text(views, tmp_path / "model")
    for file in (tmp_path / "model").iterdir():
        file.rename(tmp_path / "flat" / file.name)
    assert not is_unposed(tmp_path / "flat")
    assert len(read_transforms(tmp_path / "flat").frames) == 21


def test_photos_without_masks_say_where_they_belong(views, tmp_path):
    write_photos(views, tmp_path / "images")
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "images" / "photo 00.png")
    write_text(views, tmp_path / "sparse" / "0")
    with pytest.raises(InputError, match=r"photo 00.png: no alpha .*; masks belong in .*masks, and python -m sv3dgen"):
        read_views(tmp_path)


def test_what_is_wrong_is_named(views, tmp_path):
    write_text(views, tmp_path / "fov" / "sparse", "FOV", " 0.9")
    with pytest.raises(InputError, match="cameras.txt: lens model FOV is not read; expected one of SIMPLE_PINHOLE"):
        read_transforms(tmp_path / "fov")
    write_binary(views, tmp_path / "new" / "sparse" / "0", number=40)
    with pytest.raises(InputError, match="cameras.bin: camera 7 has lens model 40"):
        read_transforms(tmp_path / "new")
    write_binary(views, tmp_path / "cut" / "sparse" / "0")
    images = tmp_path / "cut" / "sparse" / "0" / "images.bin"
    images.write_bytes(images.read_bytes()[:700])
    with pytest.raises(InputError, match="a damaged model of COLMAP"):
        read_transforms(tmp_path / "cut")
    rest = struct.pack("<I7dI", 1, 1, *[0] * 6, 7) + b"a\0" + struct.pack("<Q", 2**58)  # more points than any file
    images.write_bytes(struct.pack("<Q", 1) + rest)
    with pytest.raises(InputError, match="a damaged model of COLMAP"):
        read_transforms(tmp_path / "cut")
    with pytest.raises(InputError, match="a model of COLMAP, which has no split test; expected split=train"):
        read_transforms(tmp_path / "cut", "test")
    images.write_bytes(struct.pack("<Q", 0))
    with pytest.raises(InputError, match="cameras of 0 photos"):
        read_transforms(tmp_path / "cut")
    (tmp_path / "cut" / "sparse" / "0" / "cameras.bin").unlink()
    with pytest.raises(InputError, match="no cameras.bin next to it"):
        read_transforms(tmp_path / "cut")
