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


@pytest.mark.parametrize(
    ("name", "start", "told"),
    [
        (
            "cameras.xml",
            '<?xml version="1.0"?>\n<document version="2">\n<chunk>',
            "Metashape's cameras: .* --xml",
        ),
        ("cameras.txt", "# Cameras (1)\n# PhotoID, X, Y, Z, Omega, Phi, Kappa", "Metashape's angles, without a lens"),
        ("r.csv", "#name,x,y,alt,heading,pitch,roll,f,px,py", "RealityCapture's cameras: .* realitycapture --csv"),
        ("bundle.out", "# Bundle file v0.3", "Bundler's cameras, which are not read"),
        ("cameras.sfm", '{"version": ["1"]}', "Meshroom's cameras, which are not read"),
        ("Transforms.json", "{}", "rename Transforms.json to transforms.json"),
    ],
)
def test_other_programs_cameras_are_named(name: str, start: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").touch()
    (tmp_path / name).write_text(start)
    with pytest.raises(InputError, match=told) as refusal:
        read_transforms(tmp_path)
    assert name == "Transforms.json" or "sv3dgen.pose" in str(refusal.value)


def test_notes_are_nobody_s_cameras(tmp_path: Path) -> None:
    for name in ("a.xml", "b.csv", "c.txt", "d.sfm"):
        (tmp_path / name).write_text("some text")
    with pytest.raises(InputError, match=r"\(it has a.xml, b.csv, c.txt, d.sfm\)$"):
        read_transforms(tmp_path)


def test_what_only_looks_like_cameras_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "x.xml").mkdir()
    (tmp_path / "gone.csv").symlink_to("nowhere")
    (tmp_path / "y.xml").write_text('<?xml version="1.0"?>\n<documentation><p/></documentation>')
    with pytest.raises(InputError, match="of photos without poses, python -m sv3dgen.pose"):
        read_transforms(tmp_path)
    (tmp_path / "z.xml").write_text("<document>\n<chunk>")
    with pytest.raises(InputError, match="z.xml has Metashape's cameras"):
        read_transforms(tmp_path)
