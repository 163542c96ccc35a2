"""Posed views from every layout, and back again."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from ellipsoids import FIGURE, posed_views, sine_orbit
from PIL import Image

from sv3dgen import atomic
from sv3dgen.errors import InputError
from sv3dgen.views.cameras import Cameras, project
from sv3dgen.views.normalize import apply_similarity, object_box
from sv3dgen.views.pose_check import check_poses
from sv3dgen.views.posed_views import read_views, write_views
from sv3dgen.views.video import write_video

ORBIT = sine_orbit()
TO_Z_UP = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # (x, y, z) -> (x, -z, y)


@pytest.fixture(scope="module")
def views():
    return posed_views(ORBIT.cameras(size_px=96))


def save_images(views, folder, name="{:03d}.png", mode="RGBA"):
    """Write the pictures, on white where `mode` has no alpha."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [name.format(index) for index in range(len(views))]
    for file, image in zip(names, views.images, strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        if mode != "RGBA":
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert(mode)
        picture.save(folder / file)
    return names


def document(names, poses, **top):
    frames = [{"file_path": name, "transform_matrix": pose} for name, pose in zip(names, poses.tolist(), strict=True)]
    return {**top, "frames": frames}


def intrinsics(cameras):
    (fl_x, fl_y), (cx, cy) = cameras.focal_px[0].tolist(), cameras.center_px[0].tolist()
    return {"fl_x": fl_x, "fl_y": fl_y, "cx": cx, "cy": cy, "w": cameras.width_px, "h": cameras.height_px}


def same_poses(a, b, atol=1e-5):
    torch.testing.assert_close(a.camera_to_world, b.camera_to_world, atol=atol, rtol=0)


def test_a_round_trip_changes_no_bit(views, tmp_path):
    noisy = torch.randint(0, 256, views.images.shape, generator=torch.Generator().manual_seed(0)).byte()
    images = torch.cat([noisy[:, :3], views.images[:, 3:]], dim=1)
    focal = views.cameras.focal_px * torch.linspace(1, 1.01, 21)[:, None]
    cameras = dataclasses.replace(views.cameras, focal_px=focal, center_px=views.cameras.center_px + 0.3)
    written = dataclasses.replace(views, images=images, cameras=cameras, splits=("train",) * 20 + ("test",))
    write_views(written, tmp_path)
    read = read_views(tmp_path, split="all")
    for field in ("images", "elevation_deg", "azimuth_deg", "source_to_world"):
        assert torch.equal(getattr(read, field), getattr(written, field)), field
    for field in ("camera_to_world", "focal_px", "center_px"):
        assert torch.equal(getattr(read.cameras, field), getattr(cameras, field)), field
    assert read.names == written.names and read.splits == written.splits
    assert len(read_views(tmp_path)) == 20 and len(read_views(tmp_path, split="test")) == 1


def test_a_write_that_fails_leaves_no_transforms_json(views, tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "flush_to_disk", full)
    with pytest.raises(OSError, match="No space"):
        write_views(views, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_indexing_and_caching(views):
    some = views[torch.tensor([3, 20])]
    assert some.names == ("003.png", "020.png") and len(some.cameras) == 2
    assert torch.equal(some.images[1], views.images[20]) and len(views[2:5]) == 3
    assert views.rgba is views.rgba and views.rgba.max() == 1


def test_nerfstudio_files(views, tmp_path):
    """+Z up, intrinsics per frame, zero distortion, images in a folder, splits by file lists."""
    names = save_images(views, tmp_path / "images", "frame_{:05d}.png")
    names = [f"images/{name}" for name in names]
    file = document(names, TO_Z_UP @ views.cameras.camera_to_world, camera_model="OPENCV", k1=0.0, p2=0.0)
    file |= {"applied_transform": [[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0]], "test_filenames": names[:1]}
    for frame in file["frames"]:
        frame |= intrinsics(views.cameras)
    (tmp_path / "transforms.json").write_text(json.dumps(file))
    read = read_views(tmp_path, split="all")
    same_poses(read.cameras, views.cameras)
    assert torch.equal(read.cameras.focal_px, views.cameras.focal_px) and torch.equal(read.images, views.images)
    assert read.splits == ("test",) + ("train",) * 20
    torch.testing.assert_close(read.source_to_world, torch.linalg.inv(TO_Z_UP.double()))
    check_poses(read)


def test_nerf_synthetic_files(views, tmp_path):
    """One file per split, no suffixes, a field of view only, +Z up, the front at -Y."""
    for split in ("train", "test"):
        names = save_images(views, tmp_path / split, "r_{}.png")
        names = [f"./{split}/{name.removesuffix('.png')}" for name in names]
        poses = TO_Z_UP @ views.cameras.camera_to_world
        file = document(names, poses, camera_angle_x=math.radians(33.8))
        (tmp_path / f"transforms_{split}.json").write_text(json.dumps(file))
    front = poses[-1, :3, 3]
    assert front[1] < -1.9 and abs(front[0]) < 1e-6  # Blender's front view stands at -Y
    read = read_views(tmp_path)
    same_poses(read.cameras, views.cameras)
    torch.testing.assert_close(read.cameras.focal_px, views.cameras.focal_px)
    torch.testing.assert_close(read.azimuth_deg, views.azimuth_deg, atol=1e-3, rtol=0)
    assert read.splits == ("train",) * 21 and len(read_views(tmp_path, split="all")) == 42
    check_poses(read)


@pytest.mark.parametrize("up_axis", ["y", "z", None])
def test_the_up_axis_is_a_key_or_seen_from_the_cameras(views, tmp_path, up_axis):
    names = save_images(views, tmp_path)
    turn = torch.eye(4) if up_axis == "y" else TO_Z_UP
    file = document(names, turn @ views.cameras.camera_to_world, **intrinsics(views.cameras))
    if up_axis:
        file["up_axis"] = up_axis
    (tmp_path / "transforms.json").write_text(json.dumps(file))
    same_poses(read_views(tmp_path / "transforms.json").cameras, views.cameras)


def test_an_object_elsewhere_is_brought_to_the_origin_and_the_way_back_is_kept(views, tmp_path, caplog):
    """A capture in meters, say: three times the size, next to the origin."""
    to_source = torch.diag(torch.tensor([3.0, 3, 3, 1])).double()
    to_source[:3, 3] = torch.tensor([5.0, -2, 1])
    cameras = apply_similarity(to_source, ORBIT.cameras(size_px=160))
    figure = tuple(
        (tuple((3 * torch.tensor(c) + to_source[:3, 3].float()).tolist()), tuple(3 * a for a in axes))
        for c, axes in FIGURE
    )
    names = save_images(posed_views(cameras, figure), tmp_path)
    (tmp_path / "transforms.json").write_text(
        json.dumps(document(names, cameras.camera_to_world, **intrinsics(cameras)))
    )
    with caplog.at_level("INFO"):
        read = read_views(tmp_path)
    assert caplog.text.count("moved to the origin") == 1
    box = object_box(read.masks, read.cameras)
    assert box is not None
    assert (box[1] - box[0]).max().item() == pytest.approx(1.0, abs=0.05) and box.mean(0).abs().max() < 0.02
    # A point of the capture, through the recorded similarity, is seen at the same pixel.
    point = torch.tensor([[5.3, -1.8, 1.2]])
    moved = (read.source_to_world[:3, :3] @ point[0].double() + read.source_to_world[:3, 3]).float()
    at = project(read.cameras, moved[None])[0]
    torch.testing.assert_close(at, project(cameras, point)[0], atol=1e-2, rtol=0)
    check_poses(read)
    # Views held out are brought into the same world, whatever of the object they see.
    file = json.loads((tmp_path / "transforms.json").read_text())
    for frame in file["frames"][:2]:
        frame["split"] = "test"
    (tmp_path / "transforms.json").write_text(json.dumps(file))
    worlds = [read_views(tmp_path, split=split).source_to_world for split in ("train", "test", "all")]
    assert torch.equal(worlds[0], worlds[1]) and torch.equal(worlds[0], worlds[2])
    # Written and read again, the views stay where they are and remember the capture.
    write_views(read, tmp_path / "again")
    again = read_views(tmp_path / "again")
    assert torch.equal(again.cameras.camera_to_world, read.cameras.camera_to_world)
    assert torch.equal(again.source_to_world, read.source_to_world)


@pytest.mark.parametrize("background", ["white", "black", "teal"])
def test_a_missing_alpha_is_keyed_from_a_plain_background(views, tmp_path, background):
    names = save_images(views, tmp_path)
    for name in names:
        picture = Image.open(tmp_path / name)
        Image.alpha_composite(Image.new("RGBA", picture.size, background), picture).convert("RGB").save(tmp_path / name)
    (tmp_path / "transforms.json").write_text(
        json.dumps(document(names, views.cameras.camera_to_world, **intrinsics(views.cameras)))
    )
    assert torch.equal(read_views(tmp_path).images[:, 3], views.images[:, 3])


def test_white_is_the_paper_s_threshold(views, tmp_path):
    """Object is where any channel is <= 0.97."""
    names = save_images(views, tmp_path, mode="RGB")
    for name in names:
        pixels = np.array(Image.open(tmp_path / name))
        pixels[10, 10], pixels[10, 20] = (255, 247, 255), (248, 248, 248)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "transforms.json").write_text(
        json.dumps(document(names, views.cameras.camera_to_world, **intrinsics(views.cameras)))
    )
    alpha = read_views(tmp_path).images[:, 3]
    assert (alpha[:, 10, 10] == 255).all() and (alpha[:, 10, 20] == 0).all()


def test_resizing_scales_cameras_too_and_never_up(views):
    small = views.resized(32)
    assert small.images.shape == (21, 4, 32, 32) and small.cameras.width_px == 32
    torch.testing.assert_close(small.cameras.focal_px, views.cameras.focal_px / 3)
    assert views.resized(96) is views and views.resized(500) is views


def test_large_images_are_read_small(views, tmp_path):
    write_views(views, tmp_path)
    read, expected = read_views(tmp_path, max_size_px=48), views.resized(48)
    assert torch.equal(read.images, expected.images)
    torch.testing.assert_close(read.cameras.focal_px, expected.cameras.focal_px)


def test_views_need_not_be_square(tmp_path):
    cameras = ORBIT.cameras(size_px=96)
    cameras = Cameras(cameras.camera_to_world, cameras.focal_px, torch.tensor([[64.0, 48.0]]).repeat(21, 1), 128, 96)
    views = posed_views(cameras)
    write_views(views, tmp_path)
    read = read_views(tmp_path)
    check_poses(read)
    assert read.images.shape == (21, 4, 96, 128) and read.resized(64).images.shape == (21, 4, 48, 64)


def white_frames(views):
    alpha = views.images[:, 3:]
    return torch.where(alpha > 0, views.images[:, :3], torch.full_like(alpha, 255))


@pytest.mark.parametrize("clockwise", [False, True])
def test_an_orbit_video_with_a_declared_orbit(tmp_path, clockwise):
    orbit = ORBIT.mirrored() if clockwise else ORBIT
    views = posed_views(orbit.cameras(size_px=160))
    write_video(tmp_path / "orbit.mp4", white_frames(views), fps=7)
    read = read_views(tmp_path / "orbit.mp4", orbit="sine30", elevation_deg=10, clockwise=clockwise)
    same_poses(read.cameras, views.cameras)
    different = (read.images[:, 3] != views.images[:, 3]).float().mean()
    assert different < 0.01  # H.264 blurs silhouettes by a pixel at most
    assert read.names[0] == "orbit.mp4[0]"
    check_poses(read)


def test_an_orbit_gif(views, tmp_path):
    frames = [Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy()) for frame in white_frames(views)]
    frames[0].save(tmp_path / "orbit.gif", save_all=True, append_images=frames[1:], duration=100)
    read = read_views(tmp_path / "orbit.gif", orbit=ORBIT)
    assert torch.equal(read.images[:, 3], views.images[:, 3])


def test_a_video_needs_an_orbit_of_its_length(views, tmp_path):
    write_video(tmp_path / "orbit.mp4", white_frames(views)[:12])
    path = tmp_path / "orbit.mp4"
    with pytest.raises(InputError, match="orbit.mp4.*orbit=static"):
        read_views(path)
    with pytest.raises(InputError, match="12 frames, expected 21"):
        read_views(path, orbit=ORBIT)
    with pytest.raises(InputError, match="fov_deg=500"):
        read_views(path, orbit="static", fov_deg=500)
    assert len(read_views(path, orbit="static", check_orbit=False)) == 12
