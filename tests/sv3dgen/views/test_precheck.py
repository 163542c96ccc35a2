"""Bad views are refused in one line that names the file, early, and without torch."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from checkout import ROOT, SHARED
from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.views.image import MAX_PIXELS, masked_image, read_rgba
from sv3dgen.views.precheck import precheck_views
from sv3dgen.views.rigid import why_not_rigid
from sv3dgen.views.transforms_json import read_transforms

BAD = SHARED / "bad_inputs"
IMAGES = ["image"] if not BAD.exists() else []
if BAD.exists():
    IMAGES = [
        case for case in json.loads((BAD / "index.json").read_text()) if not case["file"].startswith(("mesh_", "ckpt_"))
    ]
IDENTITY = np.eye(4).tolist()


def pose(distance=2.0):
    matrix = np.eye(4)
    matrix[2, 3] = distance
    return matrix.tolist()


def picture(size=(32, 32), box=(8, 8, 24, 24)):
    image = Image.new("RGBA", size)
    image.paste((200, 100, 50, 255), box)
    return image


def folder(path, frames=3, images=True, **top):
    """A good views folder; `top` overrides keys of its transforms.json."""
    names = [f"{index:03d}.png" for index in range(frames)]
    for name in names if images else []:
        picture().save(path / name)
    entries = [{"file_path": name, "transform_matrix": pose()} for name in names]
    return write(path, {"camera_angle_x": 0.6, "frames": entries, **top})


def write(path, document):
    (path / "transforms.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def edited(path, index, **changes):
    document = json.loads((path / "transforms.json").read_text())
    document["frames"][index] |= changes
    return write(path, document)


def refused(path, *words):
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        precheck_views(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400, message
    assert all(word in message for word in words), message
    assert time.perf_counter() - start < 3
    return message


def test_a_good_folder_passes(tmp_path):
    precheck_views(folder(tmp_path))
    precheck_views(tmp_path / "transforms.json")


def test_needs_neither_torch_nor_numpy(tmp_path):
    folder(tmp_path)
    code = (
        "import sys; from sv3dgen.views.precheck import precheck_views; precheck_views(sys.argv[1]); "
        "assert not {'torch', 'numpy', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT)


def test_paths_that_are_nothing(tmp_path):
    refused(tmp_path / "nowhere", "nowhere", "no such file")
    (tmp_path / "photo.jpg").write_text("")
    (tmp_path / "b.txt").write_text("")
    refused(tmp_path, "no transforms.json", "b.txt, photo.jpg")


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "not valid json"),
        ("{", "line 1"),
        ("[]", "`frames`"),
        ('{"frames": {}}', "`frames`"),
        ('{"frames": []}', "at least 2 views"),
        ('{"frames": [1]}', "file_path"),
        ('{"frames": [{"file_path": 3}]}', "file_path"),
        ("\x00", "json"),
        ("[" * 100_000, "json"),
    ],
)
def test_files_that_are_no_transforms(tmp_path, text, words):
    refused(write(tmp_path, text), "transforms.json", words)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "transforms.json").write_bytes(b"\xff\xfe\x00\x80{")
    refused(tmp_path, "transforms.json", "not readable as json")


def test_a_single_frame(tmp_path):
    refused(folder(tmp_path, frames=1), "single train view", "at least 2")


@pytest.mark.parametrize(
    "matrix, words",
    [
        (None, "not 4 rows of 4 numbers"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "not 4 rows of 4 numbers"),
        ([[1, 0, 0, "x"], *IDENTITY[1:]], "not 4 rows of 4 numbers"),
        ([[True, 0, 0, 0], *IDENTITY[1:]], "not 4 rows of 4 numbers"),
        ([[float("nan"), 0, 0, 0], *IDENTITY[1:]], "not finite"),
        ([[float("inf"), 0, 0, 0], *IDENTITY[1:]], "not finite"),
        ([[10**400, 0, 0, 0], *IDENTITY[1:]], "not 4 rows of 4 numbers"),
        (np.diag([-1.0, 1, 1, 1]).tolist(), "left-handed"),
        (np.diag([3.0, 3, 3, 1]).tolist(), "scaled"),
        ([[1, 0.5, 0, 0], [0, 0.75**0.5, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "sheared"),
        (np.array(pose()).T.tolist(), "transposed"),
    ],
)
def test_matrices_that_are_no_poses(tmp_path, matrix, words):
    refused(edited(folder(tmp_path), 1, transform_matrix=matrix), "frames[1] (001.png)", "transform_matrix", words)


def test_a_missing_matrix(tmp_path):
    document = json.loads((folder(tmp_path) / "transforms.json").read_text())
    del document["frames"][2]["transform_matrix"]
    refused(write(tmp_path, document), "frames[2] (002.png)", "transform_matrix")


def test_rigid_matrices_have_nothing_wrong():
    assert why_not_rigid(pose()) is None


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"camera_angle_x": None}, "field of view"),
        ({"camera_angle_x": 33.8}, "degrees"),
        ({"camera_angle_x": 0}, "more than 0"),
        ({"camera_angle_x": "wide"}, "finite number"),
        ({"camera_angle_x": float("nan")}, "finite number"),
        ({"fl_x": -5.0}, "more than 0"),
        ({"k1": "strong"}, "`k1`"),
        ({"k4": 0.1}, "distortion `k4`"),
        ({"k1": 1e5}, "distortion `k1`"),
        ({"distortion_params": [0.1]}, "`distortion_params`"),
        ({"camera_model": "EQUIRECTANGULAR"}, "expected one of"),
        ({"intrinsic_matrix": [[1, 2], [3, 4]]}, "`intrinsic_matrix`"),
        ({"intrinsic_matrix": [[50, 9, 16], [0, 50, 16], [0, 0, 1]]}, "skew"),
        ({"up_axis": "x"}, "`up_axis`"),
        ({"source_to_world": [[1]]}, "`source_to_world`"),
        ({"w": 64, "h": 32}, "64x32"),
    ],
)
def test_cameras_that_make_no_sense(tmp_path, changes, words):
    refused(folder(tmp_path, **changes), words)


def test_an_aspect_that_fits_is_scaled(tmp_path):
    lens = read_transforms(folder(tmp_path, w=64, h=64, fl_x=100.0, cx=32.0, cy=30.0)).frames[0].lens
    precheck_views(tmp_path)
    assert lens.at_size(32, 32) == (50.0, 50.0, 16.0, 15.0)


def test_missing_images_and_folders(tmp_path):
    folder(tmp_path)
    (tmp_path / "001.png").unlink()
    refused(tmp_path, "001.png", "no such file")
    (tmp_path / "001.png").mkdir()
    refused(tmp_path, "001.png", "a folder")
    refused(edited(tmp_path, 1, file_path="x" * 300), "no such file")
    refused(edited(tmp_path, 1, file_path="x" * 5000), "frames[1]", "no such file")


def test_images_of_different_sizes_need_intrinsics_of_a_known_size(tmp_path):
    folder(tmp_path, fl_x=50.0)
    picture((40, 32)).save(tmp_path / "002.png")
    refused(tmp_path, "002.png", "40x32", "000.png has 32x32", "`w` and `h`")
    precheck_views(edited(tmp_path, 2, fl_x=50.0))
    precheck_views(folder(tmp_path))  # an angle is of any size


def test_masks_of_another_aspect_and_missing_ones(tmp_path):
    folder(tmp_path)
    picture((40, 32)).getchannel("A").save(tmp_path / "mask.png")
    refused(edited(tmp_path, 1, mask_path="mask.png"), "mask.png", "40x32", "001.png, 32x32")
    refused(edited(tmp_path, 1, mask_path=""), "frames[1]", "`mask_path`")
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "001.png")
    refused(edited(tmp_path, 1, mask_path="m/1.png"), "001.png", "no alpha", "mask m/1.png is missing")
    Image.new("L", (32, 32)).save(tmp_path / "mask.png")
    refused(edited(tmp_path, 1, mask_path="mask.png"), "mask.png", "empty mask")


def test_views_without_an_object(tmp_path):
    folder(tmp_path)
    Image.new("RGBA", (32, 32)).save(tmp_path / "001.png")
    refused(tmp_path, "001.png", "fully transparent")
    Image.new("RGB", (32, 32), "white").save(tmp_path / "001.png")
    refused(tmp_path, "001.png", "no object")
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "001.png")
    refused(tmp_path, "001.png", "no alpha channel")


@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case["file"] if isinstance(case, dict) else case)
def test_unusual_images_as_frames(tmp_path, case):
    if case == "image":
        pytest.skip("../shared/bad_inputs is not here")
    source = BAD / case["file"]
    (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / source.name)
    frames = [{"file_path": source.name, "transform_matrix": pose(2.0 + i)} for i in range(2)]
    write(tmp_path, {"camera_angle_x": 0.6, "frames": frames})
    if case["expect"] == "REJECT":
        refused(tmp_path, source.name.rstrip("/"))
    elif case["expect"] == "ACCEPT":
        precheck_views(tmp_path)
        assert masked_image(read_rgba(source), source).image.getchannel("A").getextrema() == (0, 255)
    else:
        try:
            precheck_views(tmp_path)
        except InputError as error:
            assert source.name in str(error)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    read = np.array(read_rgba(tmp_path / "deep.png"))
    assert np.abs(read[..., 0] - np.round(ramp / 257.0)).max() <= 1 and (read[..., 3] == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_becomes_rgba(tmp_path, mode):
    picture().convert(mode).save(tmp_path / "image.png")
    read = read_rgba(tmp_path / "image.png")
    assert read.mode == "RGBA" and read.size == (32, 32)
    if mode in ("LA", "RGBA"):
        assert read.getchannel("A").getextrema() == (0, 255)


def test_a_palette_keeps_its_transparency(tmp_path):
    picture().quantize(8).save(tmp_path / "palette.png")
    assert read_rgba(tmp_path / "palette.png").getchannel("A").getpixel((0, 0)) == 0


def test_a_header_that_promises_too_much_is_refused_before_decoding(tmp_path):
    side = int(MAX_PIXELS**0.5) + 100
    Image.new("1", (side, side)).save(tmp_path / "huge.png")
    with pytest.raises(InputError, match="huge.png.*megapixels"):
        read_rgba(tmp_path / "huge.png")
