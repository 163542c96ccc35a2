"""Every mistake in cameras and masks is named, on silhouettes in closed form; real orbits pass."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from checkout import SHARED
from ellipsoids import posed_views, sine_orbit

from sv3dgen.errors import InputError
from sv3dgen.views.orbits import Orbit, orbit_by_name
from sv3dgen.views.pose_check import check_poses
from sv3dgen.views.posed_views import PosedViews, read_views

ORBIT = sine_orbit()
OPENCV = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))


def cameras(**changes):
    return dataclasses.replace(ORBIT.cameras(size_px=160), **changes)


@pytest.fixture(scope="module")
def views():
    return posed_views(ORBIT.cameras(size_px=160))


def change(views: PosedViews, **changes) -> PosedViews:
    return dataclasses.replace(views, **changes)


def with_pose(views, index, matrix):
    poses = views.cameras.camera_to_world.clone()
    poses[index] = matrix
    return change(views, cameras=dataclasses.replace(views.cameras, camera_to_world=poses))


def with_alpha(views, index, alpha):
    images = views.images.clone()
    images[index, 3] = alpha
    return change(views, images=images)


def refused(views, *words, orbit=None):
    with pytest.raises(InputError) as caught:
        check_poses(views, orbit)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_good_views_pass(views):
    check_poses(views)
    check_poses(views, ORBIT)


def test_the_only_view_that_sees_a_plate_from_its_edge_passes():
    plate = (((0.0, 0.0, 0.0), (0.5, 0.03, 0.5)), ((0.3, 0.03, 0.2), (0.08, 0.05, 0.1)))
    edge = 19  # 1 degree up: without it, and the other low one, the hull is a lens
    views = posed_views(ORBIT.cameras(size_px=160), plate)
    check_poses(views)
    shifted = views.images[edge, 3].roll(24, 0)
    refused(with_alpha(views, edge, shifted), "019.png", "do not fit the other views")


def test_a_generated_view_that_fits_nowhere_is_left_out_and_a_bad_frame_that_is_marked_is_let_be(views, caplog):
    wrong = with_alpha(views, 4, views.images[4, 3].roll(24, 0))
    refused(wrong, "004.png", "do not fit the other views")
    made = tuple(index != len(views) - 1 for index in range(len(views)))
    checked = check_poses(change(wrong, generated=made))
    assert [index for index, trust in enumerate(checked.trust) if trust == 0] == [4]
    assert "004.png: silhouette and camera do not fit the other views; generated, so left out" in caplog.text
    caplog.clear()
    marked = change(wrong, trust=tuple(float(index != 4) for index in range(len(views))))
    assert check_poses(marked).trust == marked.trust and "do not fit" not in caplog.text


@pytest.mark.parametrize("folder", sorted(SHARED.glob("orbits/*/")) or [None], ids=lambda p: p.name if p else "none")
def test_rendered_orbits_pass(folder):
    if folder is None:
        pytest.skip("../shared/orbits is not here")
    views = read_views(folder)
    assert torch.equal(views.source_to_world, torch.eye(4).double())  # they are in the box already
    check_poses(views)
    check_poses(views, orbit_by_name("sine30", elevation_deg=10.0))


def test_views_with_opencv_matrices_pass_once_converted(tmp_path):
    source = SHARED / "multiview" / "gso_CHICKEN_NESTING"
    if not source.exists():
        pytest.skip("../shared/multiview is not here")
    file = json.loads((source / "cameras.json").read_text())
    frames = []
    for frame in file["frames"]:
        world_to_camera = np.vstack([frame["w2c_opencv"], [0, 0, 0, 1]])[:4]
        pose = np.linalg.inv(world_to_camera) @ np.diag([1.0, -1, -1, 1])
        frames.append({"file_path": str(source / frame["file"]), "transform_matrix": pose.tolist()})
    document = {"fl_x": 280.0, "fl_y": 280.0, "cx": 128.0, "cy": 128.0, "w": 256, "h": 256, "frames": frames}
    (tmp_path / "transforms.json").write_text(json.dumps(document))
    views = read_views(tmp_path)
    assert len(views) == 16
    check_poses(views)


def test_a_single_view(views):
    refused(views[:1], "000.png", "single view")


def test_matrices_that_are_no_poses(views):
    pose = views.cameras.camera_to_world[7]
    refused(with_pose(views, 7, pose * float("nan")), "007.png", "not finite")
    refused(with_pose(views, 7, pose @ torch.diag(torch.tensor([-1.0, 1, 1, 1]))), "007.png", "left-handed")
    refused(with_pose(views, 7, pose @ torch.diag(torch.tensor([2.0, 2, 2, 1]))), "007.png", "scaled")
    refused(with_pose(views, 7, pose.T.contiguous()), "007.png", "transposed")
    refused(change(views, cameras=cameras(focal_px=torch.full((21, 2), float("inf")))), "000.png", "focal length")


def test_masks_that_show_nothing_or_everything(views):
    refused(with_alpha(views, 3, 0), "003.png", "empty")
    refused(with_alpha(views, 3, 255), "003.png", "all four borders")


def test_opencv_axes(views):
    poses = views.cameras.camera_to_world @ torch.diag(torch.tensor([1.0, -1, -1, 1]))
    refused(change(views, cameras=cameras(camera_to_world=poses)), "OpenCV", "second and third column")


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        (lambda pose: pose.inverse(), "inverted, world to camera; expected camera to world: invert each"),
        (lambda pose: (pose @ OPENCV).inverse(), "OpenCV's axes, as COLMAP has them"),
        (lambda pose: torch.cat([torch.cat([pose[:, :3, :3].mT, pose[:, :3, 3:]], 2), pose[:, 3:]], 1), "transposed"),
    ],
)
@pytest.mark.parametrize("middle", [(0.0, 0.0, 0.0), (3.0, -1.0, 2.0)])
def test_poses_written_the_other_way_round_are_named(views, written, advice, middle):
    moved = torch.eye(4)
    moved[:3, 3] = torch.tensor(middle)
    poses = written(moved @ views.cameras.camera_to_world)
    refused(change(views, cameras=cameras(camera_to_world=poses)), advice, "then agree to")


def test_poses_of_no_reading_are_refused_as_they_are(views):
    poses = views.cameras.camera_to_world.clone()
    generator = torch.Generator().manual_seed(2)
    poses[:, :3, :3] = torch.linalg.qr(torch.randn(len(poses), 3, 3, generator=generator))[0]
    poses[:, :3, 0] *= torch.linalg.det(poses[:, :3, :3])[:, None]
    refused(change(views, cameras=cameras(camera_to_world=poses)), "do not look at one object")


def test_a_camera_that_looks_elsewhere(views):
    angle = math.radians(40)
    turn = torch.eye(4)
    turn[:3, :3] = torch.tensor(
        [[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
    )
    pose = views.cameras.camera_to_world[5] @ turn
    refused(with_pose(views, 5, pose), "005.png", "does not look at the object", "40 degrees")


def test_cameras_that_all_look_the_same_way(views):
    poses = views.cameras.camera_to_world[-1:].expand(21, 4, 4)
    same = change(views, cameras=cameras(camera_to_world=poses), images=views.images[-1:].expand(21, -1, -1, -1))
    refused(same, "one direction")


def test_yaw_flipped_against_the_declared_orbit(views):
    mirrored = Orbit(ORBIT.elevation_deg, -ORBIT.azimuth_deg % 360)
    refused(views, "yaw flipped", orbit=mirrored)
    refused(change(views, azimuth_deg=-views.azimuth_deg % 360), "yaw flipped")


def test_yaw_flipped_against_the_pictures():
    """A generator that turns the other way: cameras and labels agree with each other, but not with what is seen."""
    refused(posed_views(cameras(), seen_by=ORBIT.mirrored().cameras(size_px=160)), "yaw flipped", "clockwise=true")


@pytest.mark.parametrize(
    "order, words",
    [
        (sorted(range(21), key=str), "sorted as text"),
        (list(range(21))[::-1], "reverse order"),
        ([20, *range(20)], "front view comes last"),
        ([*range(1, 21), 0], "the next camera"),
        ([(8 * i) % 21 for i in range(21)], "random order"),
    ],
)
def test_pictures_out_of_order(views, order, words):
    refused(change(views, images=views.images[order]), "out of order", words)


def test_two_pictures_swapped(views):
    order = list(range(21))
    order[3], order[9] = 9, 3
    refused(change(views, images=views.images[order]), "003.png, 009.png", "swapped")


def test_cameras_out_of_the_declared_order(views):
    order = torch.tensor([0, 1, 3, 2, *range(4, 21)])
    refused(views[order], "003.png", "out of order", "azimuth", orbit=ORBIT)
    refused(views[torch.arange(21).roll(1)], "020.png", "must be listed last", orbit=ORBIT)


def test_not_on_the_declared_orbit(views):
    refused(views, "not on the declared orbit", "elevation", orbit=orbit_by_name("sine50", elevation_deg=10.0))
    refused(views, "21 views", "expected 8", orbit=orbit_by_name("sine30", elevation_deg=10.0, frames=8))


@pytest.mark.parametrize("fov_deg", [10.0, 49.1, 80.0, 120.0])
def test_a_wrong_field_of_view_and_which_one_would_fit(fov_deg):
    wrong = posed_views(ORBIT.cameras(size_px=160, fov_deg=fov_deg), seen_by=ORBIT.cameras(size_px=160))
    with pytest.raises(InputError, match=f"field of view {fov_deg:.1f} degrees does not fit") as caught:
        check_poses(wrong)
    suggested = float(str(caught.value).split("they fit about ")[1].split(";")[0])
    assert suggested == pytest.approx(33.8, abs=6)


def test_inconsistent_views_pass_with_a_line_in_the_log(views, caplog):
    """Generated views disagree by pixels: no reason to refuse them."""
    generator = torch.Generator().manual_seed(0)
    shifts = torch.randint(-5, 6, (21, 2), generator=generator).tolist()
    images = torch.stack([image.roll(shift, (1, 2)) for image, shift in zip(views.images, shifts, strict=True)])
    with caplog.at_level("INFO"):
        check_poses(change(views, images=images))
    assert "of their silhouettes" in caplog.text


def test_round_objects_pass():
    """From every side the same: no order can be told from another, so none is refused."""
    check_poses(posed_views(cameras(), parts=(((0.0, 0.0, 0.0), (0.4, 0.4, 0.4)),)))


def test_few_views_pass(views):
    check_poses(views[torch.tensor([4, 12, 20])])


def test_photos_among_generated_views_that_contradict_each_other_are_told(views, caplog):
    generated = tuple(index not in (5, 20) for index in range(21))
    check_poses(change(views, generated=generated))
    assert "contradict" not in caplog.text
    alpha = views.images[5, 3].roll(11, 0)  # an object that stands higher than the front view has it
    check_poses(change(with_alpha(views, 5, alpha), generated=generated))
    (told,) = (record.message for record in caplog.records if "contradict" in record.message)
    assert told.startswith("005.png and 020.png contradict each other") and "\n" not in told
    caplog.clear()
    untrusted = tuple(0.0 if index == 5 else 1.0 for index in range(21))
    check_poses(change(with_alpha(views, 5, alpha), generated=generated, trust=untrusted))
    assert "contradict" not in caplog.text


@pytest.mark.parametrize(
    "quarters, words", [(1, "90 degrees to the right"), (2, "180 degrees"), (3, "90 degrees to the left")]
)
def test_pictures_on_their_side_are_named(views, quarters, words):
    refused(change(views, images=torch.rot90(views.images, quarters, (2, 3))), "do not stand upright", words)
