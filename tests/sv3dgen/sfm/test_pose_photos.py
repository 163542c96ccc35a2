"""Plain photos to posed views: a sphere on a box, on a patterned ground, photographed by somebody who walks around."""

import json
from pathlib import Path

import pytest
import torch
from ground_photos import over_ground, walk, write_photos
from PIL import Image
from sphere_on_box import traced

from sv3dgen.commands.pose import main
from sv3dgen.errors import InputError
from sv3dgen.sfm.pose_photos import pose_photos
from sv3dgen.views.color_profile import matrix_profile
from sv3dgen.views.posed_views import read_views
from sv3dgen.views.unposed import check_unposed, is_unposed

pytest.importorskip("pycolmap", reason="needs pycolmap, which the dev extra brings")
SIZE_PX, PHOTOS = 320, 16
TRUTH = walk(PHOTOS, SIZE_PX)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rgba = traced(TRUTH).float() / 255
    write_photos(folder, over_ground(rgba, TRUTH), rgba[:, 3:])
    return folder


@pytest.fixture(scope="module")
def posed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pose_photos(photos, tmp_path_factory.mktemp("posed"))


def test_cameras_are_the_true_ones_but_for_a_similarity(posed: Path) -> None:
    document = json.loads((posed / "transforms.json").read_text())
    found = torch.tensor([frame["transform_matrix"] for frame in document["frames"]], dtype=torch.float64)
    assert len(found) == PHOTOS
    true = TRUTH.camera_to_world.double()
    offset, true_offset = (poses[:, :3, 3] - poses[:, :3, 3].mean(0) for poses in (found, true))
    u, _, v = torch.linalg.svd(true_offset.T @ offset)
    rotation = u @ torch.diag(torch.tensor([1, 1, torch.sign(torch.det(u @ v))], dtype=torch.float64)) @ v
    scale = true_offset.norm() / offset.norm()
    assert (true_offset - scale * offset @ rotation.T).norm(dim=1).max() < 0.01 * 2.6
    turned = rotation @ found[:, :3, :3]
    cosine = (torch.einsum("nij,nij->n", turned, true[:, :3, :3]) - 1) / 2
    assert torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).max() < 0.5
    assert document["frames"][0]["fl_x"] == pytest.approx(float(TRUTH.focal_px[0, 0]), rel=0.02)
    # Up is up, and the front is what the first photo, of azimuth 0, shows: nothing is left to turn.
    assert torch.rad2deg(torch.arccos(((rotation.trace() - 1) / 2).clamp(-1, 1))) < 1.5


def test_what_is_written_is_read_as_posed_views(posed: Path) -> None:
    views = read_views(posed)
    assert len(views) == PHOTOS and abs((float(views.azimuth_deg[0]) + 180) % 360 - 180) < 1.5
    drawn = traced(TRUTH)[:, 3] > 127
    union = (views.masks | drawn).sum()
    assert (views.masks & drawn).sum() > 0.97 * union


def test_the_command_says_what_it_did_and_what_is_wrong(photos: Path, tmp_path: Path, capsys) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for photo in sorted(photos.glob("*.png"))[:5]:
        (few / photo.name).write_bytes(photo.read_bytes())
    assert main([str(few), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "5 photos and no transforms.json; expected at least 8" in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_photos_that_show_nothing_in_common_are_refused_by_name(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    noise = torch.nn.functional.interpolate(torch.rand(8, 3, 24, 24, generator=random), 160, mode="bilinear")
    alpha = torch.zeros(8, 1, 160, 160)
    alpha[:, :, 50:110, 50:110] = 1
    write_photos(tmp_path / "noise", noise, alpha)
    with pytest.raises(InputError, match=r"only \d of 8 photos match .* \(not photo_00\d.png") as refusal:
        pose_photos(tmp_path / "noise", tmp_path / "out")
    assert "\n" not in str(refusal.value) and [path.name for path in tmp_path.iterdir()] == ["noise"]


def test_nothing_that_is_there_is_written_over(photos: Path, posed: Path) -> None:
    before = (posed / "transforms.json").read_bytes()
    with pytest.raises(InputError, match=f"{posed}: not empty"):
        pose_photos(photos, posed)
    assert (posed / "transforms.json").read_bytes() == before
    assert json.loads(before)["frames"][3]["original"] == "photo_003.png"


def test_a_folder_of_photos_is_told_from_posed_views(photos: Path, posed: Path, monkeypatch) -> None:
    assert is_unposed(photos) and not is_unposed(posed)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs pycolmap: pip install"):
        check_unposed(photos)


def test_a_damaged_photo_is_named(photos: Path, tmp_path: Path) -> None:
    for photo in photos.glob("*.png"):
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
    (tmp_path / "photo_003.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"photo_003\.png"):
        check_unposed(tmp_path)


def test_a_focal_length_in_the_metadata_is_kept(tmp_path: Path) -> None:
    from sv3dgen.sfm.pose_photos import _write_pictures

    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 27
    for index in range(2):
        Image.new("RGB", (400, 300), "gray").save(tmp_path / f"{index}.jpg", exif=exif)
    (tmp_path / "out").mkdir()
    names, focal_px = _write_pictures(sorted(tmp_path.glob("*.jpg")), tmp_path / "out")
    assert names == ["000.png", "001.png"] and focal_px == 400 * 27 / 36


def test_what_all_photos_have_is_told_once(tmp_path: Path, caplog) -> None:
    from sv3dgen.sfm.pose_photos import _write_masks, _write_pictures

    cutout = Image.new("RGBA", (64, 64))
    cutout.paste((200, 100, 80, 255), (16, 16, 48, 48))
    for index in range(3):
        cutout.save(tmp_path / f"{index}.png", icc_profile=matrix_profile("Display P3"))
    photos = sorted(tmp_path.glob("*.png"))
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    with caplog.at_level("INFO"):
        names, _ = _write_pictures(photos, tmp_path / "images")
        assert _write_masks(photos, names, tmp_path, "auto") == names
    assert caplog.messages == [f"{tmp_path}: 3 of 3 photos: colors are converted from Display P3 to sRGB"]
