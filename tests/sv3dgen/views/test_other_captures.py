"""Folders of other programs are refused with what makes posed views of them."""

from pathlib import Path

import pytest

from sv3dgen.errors import InputError
from sv3dgen.views.transforms_json import read_transforms


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["sparse/0/cameras.bin", "images/a.jpg"], "sparse/0 is a model of COLMAP without its images.bin"),
        (["cameras.txt", "images.txt", "points3D.txt"], "images.txt: cameras of 0 photos"),
        (["keyframes/images/1.jpg", "keyframes/cameras/1.json"], r"Polycam: .*sv3dgen.pose .*keyframes/images"),
        (["rgbd/0.jpg", "metadata.json"], "Record3D: nerfstudio's ns-process-data record3d"),
        (["capture/transforms.json"], "did you mean views=.*capture"),
        (["a.jpg"], "of photos without poses, python -m sv3dgen.pose"),
        (["photos/a.jpg"], "of the photos in .*photos, python -m sv3dgen.pose"),
        (["depth/a.png", "images/a.png"], "of the photos in .*images, python"),
        (["masks/a.png", "photos/a.jpg"], "of the photos in .*photos, python"),
        (["normals/a.png", "rgb/a.jpg", "zoo/a.jpg"], "of the photos in .*rgb, python"),
        (["albedo/a.png", "images/a.jpg"], "of the photos in .*images, python"),
        (["depth_maps/a.png"], r"\(it has depth_maps\)$"),
        (["colmap/sparse/0/cameras.bin", "images/a.jpg"], "colmap/sparse/0 is a model of COLMAP.*pose .*images --out"),
        (["notes.txt"], r"\(it has notes.txt\)$"),
    ],
)
def test_what_lies_there_is_named(files: list[str], told: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=told):
        read_transforms(tmp_path)
