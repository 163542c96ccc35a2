"""Cameras that can't be meant are refused; those of a capture whose origin is far away can."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sv3dgen.errors import InputError
from sv3dgen.views.camera_check import check_cameras
from sv3dgen.views.posed_views import read_views
from sv3dgen.views.precheck import precheck_views
from sv3dgen.views.transforms_json import read_transforms


def frames(folder: Path, positions: dict[int, float]) -> list:
    """The frames of a folder of views, with other numbers for where some cameras stand along x."""
    read = list(read_transforms(folder / "transforms.json", "train").frames)
    for index, x in positions.items():
        first, *others = read[index].camera_to_world
        read[index] = replace(read[index], camera_to_world=((*first[:3], x), *others))
    return read


def test_offsets_of_millions_are_georeferenced_captures(views_folder: Path) -> None:
    count = len(frames(views_folder, {}))
    check_cameras(frames(views_folder, {index: 5_400_000.0 + index for index in range(count)}))


@pytest.mark.parametrize("x", [2e6, -1e300])
def test_a_camera_far_from_the_others_is_refused(x: float, views_folder: Path) -> None:
    with pytest.raises(InputError, match=r"\.png: its camera stands .*expected at most"):
        check_cameras(frames(views_folder, {1: x}))


def test_cameras_that_all_stand_beyond_every_map_are_refused(views_folder: Path) -> None:
    count = len(frames(views_folder, {}))
    with pytest.raises(InputError, match="stands at 1e\\+300, expected at most 1e\\+09"):
        check_cameras(frames(views_folder, dict.fromkeys(range(count), 1e300)))


def test_shared_wild_views_pass(shared: Path) -> None:
    folder = shared / "wild" / "views"
    if not folder.is_dir():
        pytest.skip("needs ../shared/wild")
    for views in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = precheck_views(views)
        assert files is not None
        check_cameras(files.transforms.frames)


def test_whoever_reads_views_refuses_such_cameras(views_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(views_folder, tmp_path / "views"))
    document = json.loads((folder / "transforms.json").read_text())
    (folder / "transforms.json").write_text(json.dumps(document | {"cx": 2**63}))
    with pytest.raises(InputError, match="its principal point is 9.22337e\\+18 pixels"):
        read_views(folder)
