"""Folders as people have them: files under other names, masks, several sizes, far from the origin; read once."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from ellipsoids import posed_views, sine_orbit
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.views import transforms_json, view_files
from sv3dgen.views.pose_check import check_poses
from sv3dgen.views.posed_views import read_views, write_views
from sv3dgen.views.precheck import precheck_views

ORBIT = sine_orbit()


@pytest.fixture(scope="module")
def views():
    return posed_views(ORBIT.cameras(size_px=96))


@pytest.fixture
def folder(views, tmp_path):
    write_views(views, tmp_path)
    return tmp_path


def edit(folder, frame=lambda index, entry: None, **top):
    document = json.loads((folder / "transforms.json").read_text()) | top
    for index, entry in enumerate(document["frames"]):
        frame(index, entry)
    (folder / "transforms.json").write_text(json.dumps(document))


def same(read, views):
    assert torch.equal(read.images[:, 3], views.images[:, 3])
    torch.testing.assert_close(read.cameras.camera_to_world, views.cameras.camera_to_world, atol=1e-5, rtol=0)


def on_noise(folder, suffix=".png"):
    """The pictures without their alpha, on a background that nothing can be keyed from."""
    for path in sorted(folder.glob("0*.png")):
        noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
        pixels = np.array(Image.open(path))
        noise[pixels[..., 3] > 0] = 128
        path.unlink()
        Image.fromarray(noise).save(path.with_suffix(suffix))


@pytest.mark.parametrize("checked_first", [True, False])
def test_a_folder_is_parsed_once_and_each_picture_decoded_once(folder, monkeypatch, checked_first):
    counted = {"json": 0, "pictures": 0}

    def counting(name, function):
        def call(*args):
            counted[name] += 1
            return function(*args)

        return call

    monkeypatch.setattr(transforms_json, "_load", counting("json", transforms_json._load))
    monkeypatch.setattr(view_files, "read_rgba", counting("pictures", view_files.read_rgba))
    if checked_first:
        precheck_views(folder)
    read_views(folder)
    assert counted == {"json": 1, "pictures": 21}


def test_pictures_that_change_after_the_check_are_read_anew(folder, views):
    precheck_views(folder)
    Image.open(folder / "004.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "004.png", compress_level=1)
    assert torch.equal(read_views(folder).images[4, 3], views.images[4, 3].flip(1))
    precheck_views(folder)
    edit(folder, lambda index, entry: entry.update(split="train" if index else "test"))
    assert len(read_views(folder)) == 20


@pytest.mark.parametrize(
    "named",
    [
        "pictures\\{:03d}",
        "C:\\Users\\me\\My scan\\pictures\\{:03d}.png",
        "/home/me/scan/pictures/{:03d}.png",
        "../scan/pictures/{:03d}.PNG",
        "Pictures/{:03d}.jpg",
    ],
)
def test_files_are_found_by_the_end_of_their_paths(folder, views, named, caplog):
    (folder / "pictures").mkdir()
    for path in folder.glob("0*.png"):
        shutil.move(path, folder / "pictures" / path.name)
    edit(folder, lambda index, entry: entry.update(file_path=named.format(index)))
    with caplog.at_level("INFO"):
        same(read_views(folder), views)
    assert "21 files are not where it says" in caplog.text


def test_names_that_end_alike_are_not_guessed(folder):
    edit(folder, lambda index, entry: entry.update(file_path=f"/there/{index % 2}/{index // 2:03d}.png"))
    with pytest.raises(InputError, match="there/1/000.png: no such file"):
        read_views(folder)


@pytest.mark.parametrize("levels", [(0, 255), (0, 1), (0, 128)])
def test_masks_become_alpha(folder, views, levels):
    on_noise(folder, ".jpg")
    (folder / "cut").mkdir()
    for index, alpha in enumerate(views.images[:, 3]):
        mask = np.where(alpha.numpy() > 0, levels[1], levels[0]).astype(np.uint8)
        Image.fromarray(mask).save(folder / "cut" / f"m{index}.png")
    edit(folder, lambda index, entry: entry.update(file_path=f"{index:03d}.jpg", mask_path=f"cut/m{index}.png"))
    same(read_views(folder), views)


@pytest.mark.parametrize("name", ["{:03d}.png", "{:03d}.jpg.png"])
def test_masks_in_a_folder_of_that_name(folder, views, name):
    on_noise(folder, ".jpg")
    (folder / "masks").mkdir()
    for index, alpha in enumerate(views.images[:, 3]):
        Image.fromarray(alpha.numpy()).resize((192, 192), Image.Resampling.NEAREST).save(
            folder / "masks" / name.format(index)
        )
    edit(folder, lambda index, entry: entry.update(file_path=f"{index:03d}.jpg"))
    same(read_views(folder), views)


def test_a_masks_folder_does_not_replace_an_alpha(folder, views, caplog):
    (folder / "masks").mkdir()
    Image.new("L", (96, 96), 255).save(folder / "masks" / "000.png")
    same(read_views(folder), views)
    assert "missing" not in caplog.text


def test_a_missing_mask_is_told(folder, views, caplog):
    edit(folder, lambda index, entry: entry.update(mask_path=f"cut/{index}.png"))
    same(read_views(folder), views)
    assert "21 of 21 masks are missing, the first is cut/0.png" in caplog.text


def test_pictures_of_several_sizes(views, tmp_path, caplog):
    large = posed_views(ORBIT.cameras(size_px=192))
    write_views(views, tmp_path / "a")
    write_views(large, tmp_path / "b")

    def frame(index, entry):
        entry |= {"w": 96, "h": 96, "fl_x": float(views.cameras.focal_px[0, 0]), "cx": 48.0, "cy": 48.0}
        if index % 3 == 0:
            shutil.copy(tmp_path / "b" / f"{index:03d}.png", tmp_path / "a" / f"{index:03d}.png")
            entry |= {"w": 192, "h": 192, "fl_x": float(large.cameras.focal_px[0, 0]), "cx": 96.0, "cy": 96.0}

    edit(tmp_path / "a", frame)
    with caplog.at_level("INFO"):
        read = read_views(tmp_path / "a")
    assert "7 are scaled to the 96x96 of the others" in caplog.text
    torch.testing.assert_close(read.cameras.focal_px, views.cameras.focal_px)
    assert ((read.images[:, 3] >= 128) != (views.images[:, 3] >= 128)).float().mean() < 0.002
    check_poses(read)


def test_smaller_pictures_are_kept_as_they_are_beside_the_frames(views, folder):
    """Photos keep the size of most; one that is smaller lies enlarged among them, and as it is."""
    pictures = views.resized(48).images
    for index in (3, 7):
        Image.fromarray(pictures[index].permute(1, 2, 0).numpy()).save(folder / f"{index:03d}.png")
    read = read_views(folder)
    assert read.images.shape == (21, 4, 96, 96)
    assert [index for index, small in enumerate(read.small) if small is not None] == [3, 7]
    assert torch.equal(read.small[7], pictures[7])
    torch.testing.assert_close(read.cameras.focal_px, views.cameras.focal_px)
    assert all(small is None for small in read_views(folder, max_size_px=48).small)


def test_generated_views_with_masks_keep_the_one_photo_large(views, tmp_path):
    """21 pictures of 48 pixels, their masks in a folder of their own, and the last at twice the size of the others."""
    small = views.resized(48)
    write_views(dataclasses.replace(small, generated=(True,) * 20 + (False,)), tmp_path)
    (tmp_path / "masks").mkdir()
    for index, own in enumerate([*small.images[:20], views.images[20]]):
        pixels = own.permute(1, 2, 0).numpy()
        Image.fromarray(pixels[..., :3].copy()).save(tmp_path / f"{index:03d}.png")
        Image.fromarray(pixels[..., 3].copy()).save(tmp_path / "masks" / f"{index:03d}.png")
    read = read_views(tmp_path)
    assert read.generated == (True,) * 20 + (False,) and read.own_px == (48,) * 20 + (96,)
    assert torch.equal(read.images[20, 3], views.images[20, 3])
    assert all(torch.equal(own[3], given[3]) for own, given in zip(read.small[:20], small.images, strict=False))
    torch.testing.assert_close(read.cameras.focal_px, views.cameras.focal_px)


def test_portrait_among_landscape(tmp_path):
    """Scaled to one frame, sides by different factors; the cameras follow."""
    views = posed_views(ORBIT.cameras(size_px=96))
    write_views(views, tmp_path)

    def frame(index, entry):
        picture = Image.open(tmp_path / entry["file_path"])
        wide = (index % 4 > 0) * 32
        canvas = Image.new("RGBA", (96 + wide, 128 - wide))
        canvas.paste(picture, (wide // 2, (32 - wide) // 2))
        canvas.save(tmp_path / entry["file_path"])
        entry |= {"w": canvas.width, "h": canvas.height, "fl_x": float(views.cameras.focal_px[0, 0])}
        entry |= {"cx": canvas.width / 2, "cy": canvas.height / 2}

    edit(tmp_path, frame)
    read = read_views(tmp_path)
    assert read.images.shape == (21, 4, 96, 128)
    assert all(small is None for small in read.small)  # no squares of the frame's pixels show one of a portrait's
    check_poses(read)


def test_far_from_the_origin(folder, views, caplog):
    offset = np.array([450000.0, 5400000.0, 300.0])

    def frame(index, entry):
        matrix = views.cameras.camera_to_world[index].double().numpy().copy()
        matrix[:3, 3] += offset
        entry["transform_matrix"] = matrix.tolist()

    edit(folder, frame)
    with caplog.at_level("INFO"):
        read = read_views(folder)
    assert "far from the origin" in caplog.text
    check_poses(read)
    back = torch.linalg.inv(read.source_to_world) @ torch.cat(
        [read.cameras.positions.double().T, torch.ones(1, 21).double()]
    )
    positions = views.cameras.positions.double() + torch.from_numpy(offset)
    torch.testing.assert_close(back[:3].T, positions, atol=1e-5, rtol=0)


def test_rounded_rotations(folder, views, caplog):
    def frame(index, entry):
        entry["transform_matrix"] = [[*np.round(row[:3], 2).tolist(), row[3]] for row in entry["transform_matrix"]]

    edit(folder, frame)
    with caplog.at_level("INFO"):
        read = read_views(folder)
    assert "21 of 21 rotations are rounded or scaled, by up to 0." in caplog.text
    assert (read.cameras.camera_to_world - views.cameras.camera_to_world).abs().max() < 0.01
    check_poses(read)


def test_rotations_that_are_scaled_too_much(folder):
    def scaled(factor):
        def frame(index, entry):
            entry["transform_matrix"] = [[*(factor * v for v in row[:3]), row[3]] for row in entry["transform_matrix"]]

        return frame

    edit(folder, scaled(1.04))
    check_poses(read_views(folder))
    edit(folder, scaled(1.2))
    with pytest.raises(InputError, match=r"frames\[0\] \(000.png\).*is scaled"):
        read_views(folder)


def test_neus2_files(folder, views):
    """OpenCV's camera axes, an `intrinsic_matrix` in each frame."""
    (fl_x, fl_y), (cx, cy) = views.cameras.focal_px[0].tolist(), views.cameras.center_px[0].tolist()

    def frame(index, entry):
        pose = views.cameras.camera_to_world[index] @ torch.diag(torch.tensor([1.0, -1, -1, 1]))
        matrix = [[fl_x, 0, cx, 0], [0, fl_y, cy, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        entry |= {"transform_matrix": pose.tolist(), "intrinsic_matrix": matrix}

    edit(folder, frame, from_na=True)
    document = json.loads((folder / "transforms.json").read_text())
    (folder / "transforms.json").write_text(
        json.dumps({k: v for k, v in document.items() if k[:2] not in ("fl", "cx")})
    )
    read = read_views(folder)
    same(read, views)
    assert torch.equal(read.cameras.focal_px, views.cameras.focal_px)
    check_poses(read)
