"""Frames that stand in a file more than once."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sv3dgen.views.posed_views import read_views
from sv3dgen.views.transforms_json import read_transforms


@pytest.fixture
def document(views_folder: Path) -> dict[str, Any]:
    return json.loads((views_folder / "transforms.json").read_text())


def read(folder: Path, views_folder: Path, document: dict[str, Any]):
    shutil.copytree(views_folder, folder)
    (folder / "transforms.json").write_text(json.dumps(document))
    return read_transforms(folder)


def test_frames_that_repeat_others_are_left_out(document, views_folder: Path, tmp_path: Path) -> None:
    count = len(document["frames"])
    again = [frame | {"file_path": f"./{frame['file_path']}"} for frame in document["frames"][:3]]
    found = read(tmp_path / "a", views_folder, document | {"frames": document["frames"] + again})
    assert len(found.frames) == count and any("3 frames name pictures that others have" in note for note in found.notes)


def test_one_picture_of_two_cameras_is_told(document, views_folder: Path, tmp_path: Path, caplog) -> None:
    document["frames"][2]["file_path"] = document["frames"][1]["file_path"]
    found = read(tmp_path / "a", views_folder, document)
    assert len(found.frames) == len(document["frames"]) and len(found.warnings) == 1
    read_views(tmp_path / "a")
    assert "001.png stands in `frames` twice, with different poses; is one of them wrong?" in caplog.text


def test_a_picture_of_two_splits_is_both(document, views_folder: Path, tmp_path: Path) -> None:
    again = [frame | {"split": "test"} for frame in document["frames"]]
    read(tmp_path / "a", views_folder, document | {"frames": document["frames"] + again})
    for split in ("train", "test", "all"):
        assert len(read_transforms(tmp_path / "a", split).frames) == len(document["frames"])


def test_a_mask_that_only_the_repeat_names_is_taken(document, views_folder: Path, tmp_path: Path) -> None:
    first = document["frames"][0]
    again = first | {"mask_path": first["file_path"]}
    found = read(tmp_path / "a", views_folder, document | {"frames": [*document["frames"], again]})
    assert len(found.frames) == len(found.training) == len(document["frames"])
    assert found.frames[0].mask == tmp_path / "a" / first["file_path"] and found.frames[0].mask_is_named
    assert any("1 frame names a picture of another" in note for note in found.notes)


def test_a_repeat_of_the_second_pose_is_left_out_as_well(document, views_folder: Path, tmp_path: Path) -> None:
    frames = document["frames"]
    moved = frames[1] | {"file_path": frames[0]["file_path"]}
    found = read(tmp_path / "a", views_folder, document | {"frames": [*frames, moved, moved]})
    assert len(found.frames) == len(frames) + 1 and len(found.warnings) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_encoding_is_told_by_the_first_bytes(document, views_folder: Path, tmp_path: Path, encoding: str) -> None:
    shutil.copytree(views_folder, tmp_path / "a")
    text = json.dumps(document | {"note": "größe"}, ensure_ascii=False)
    (tmp_path / "a" / "transforms.json").write_text(text, encoding=encoding)
    assert len(read_transforms(tmp_path / "a").frames) == len(document["frames"])
