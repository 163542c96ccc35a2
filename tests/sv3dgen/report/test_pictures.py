"""Views and the mesh from the same cameras; the texture under the fitted light."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from report_case import CONSTANT, FROM_ABOVE, small_run

from sv3dgen.color import srgb_to_linear
from sv3dgen.errors import InputError
from sv3dgen.export.lighting import lighting
from sv3dgen.meshes.files import read_mesh
from sv3dgen.renderers.textured import render_textured
from sv3dgen.report.kept_pictures import FOLDER, read_pictures
from sv3dgen.report.lit_texture import lit_texture
from sv3dgen.report.pictures import mask_iou, shown_views, write_pictures
from sv3dgen.views.cameras import look_at_origin
from sv3dgen.views.posed_views import PosedViews


def views_of(folder, count=4) -> PosedViews:
    """What the folder's mesh looks like from around it."""
    azimuth_deg, elevation_deg = torch.arange(count) * 360.0 / count, torch.full((count,), 10.0)
    cameras = look_at_origin(elevation_deg, azimuth_deg, distance=2.0, size_px=64)
    drawn = render_textured(read_mesh(folder / "mesh" / "mesh.glb"), cameras, supersample=2)
    names = tuple(f"{index:03d}.png" for index in range(count))
    images = (drawn * 255).round().byte()
    return PosedViews(images, cameras, names, ("train",) * count, elevation_deg, azimuth_deg, torch.eye(4))


def test_a_mesh_meets_the_views_that_were_drawn_of_it(tmp_path):
    small_run(tmp_path)
    written = write_pictures(tmp_path, views_of(tmp_path), CONSTANT)
    assert written == read_pictures(tmp_path)
    assert written.lit is None and [one.name for one in written.compared] == [f"00{index}.png" for index in range(4)]
    assert all(one.psnr_db > 45 and one.mask_iou > 0.97 for one in written.compared)
    assert sum(one.worst for one in written.compared) == 1 and written.compared[1].azimuth_deg == 90
    for name in (written.compared[0].view, written.compared[0].mesh):
        with Image.open(tmp_path / FOLDER / name) as picture:
            assert picture.size == (64, 64) and picture.mode == "RGBA"


def test_the_worst_view_is_found(tmp_path):
    small_run(tmp_path)
    views = views_of(tmp_path)
    views.images[2, :3] = 255 - views.images[2, :3]
    (worst,) = (one for one in write_pictures(tmp_path, views, CONSTANT).compared if one.worst)
    assert (worst.name, worst.index) == ("002.png", 2) and worst.psnr_db < 20 and worst.mask_iou > 0.97


def test_many_views_are_thinned_but_not_out_of_the_worst_or_the_photos():
    assert shown_views((False,) * 7, worst=3) == list(range(7))
    many = shown_views((False,) * 100, worst=97)
    assert 97 in many and len(many) <= 12 and max(b - a for a, b in zip(many, many[1:], strict=False)) <= 10
    made = [True] * 40
    made[39] = False
    assert {39, 5} <= set(shown_views(tuple(made), worst=5))


def test_masks_of_half_a_picture_each():
    left, top = torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)
    left[0, :, :2], top[0, :2] = 1, 1
    assert mask_iou(left, top).tolist() == pytest.approx([1 / 3, 1])


@pytest.mark.parametrize("damage", [None, {"psnr_db": "x"}, {"index": "x"}, {"name": 3}, {"mask_iou": 1e400}, {"a": 1}])
def test_a_damaged_list_is_refused(tmp_path, damage):
    (tmp_path / FOLDER).mkdir()
    one = {"name": "a", "elevation_deg": 1, "azimuth_deg": 2, "made": True, "psnr_db": 30.0, "mask_iou": 0.9}
    listed = {"compared": [one | {"view": "a.webp", "mesh": "a.webp"} | damage], "lit": None} if damage else {}
    (tmp_path / FOLDER / "comparison.json").write_text(json.dumps(listed))
    with pytest.raises(InputError, match="comparison.json: expected the JSON that a run writes"):
        read_pictures(tmp_path)


@pytest.mark.parametrize("name", ["/etc/hostname", "../run.json", "..", "", "out.webp", "missing.webp"])
@pytest.mark.parametrize("where", ["view", "lit"])
def test_only_pictures_of_the_folder_are_taken(tmp_path, name, where):
    run = tmp_path / "run"
    (run / FOLDER).mkdir(parents=True)
    (run / "run.json").touch()
    (run / FOLDER / "a.webp").touch()
    (tmp_path / "private.webp").touch()
    (run / FOLDER / "out.webp").symlink_to(tmp_path / "private.webp")
    one = {"name": "0", "elevation_deg": 0.0, "azimuth_deg": 0.0, "made": False, "psnr_db": 9.0, "mask_iou": 1.0}
    one |= {"mesh": "a.webp", "view": name if where == "view" else "a.webp"}
    found = {"compared": [one], "lit": name if where == "lit" else "a.webp"}
    (run / FOLDER / "comparison.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match="expected a picture in the folder comparison"):
        read_pictures(run)


def test_the_lit_texture_is_what_the_lit_mesh_shows(tmp_path):
    """Drawn without light, it looks as the albedo does under the light."""
    small_run(tmp_path, light=FROM_ABOVE, texture_px=128)
    mesh = read_mesh(tmp_path / "mesh" / "mesh.glb")
    texture = lit_texture(mesh, FROM_ABOVE)
    assert texture is not None and texture.shape == mesh.textures[0].shape
    cameras = look_at_origin(torch.tensor([20.0, -30.0]), torch.tensor([0.0, 140.0]), distance=2.0, size_px=64)
    under_light = render_textured(mesh, cameras, **lighting(mesh, FROM_ABOVE))
    baked = render_textured(replace(mesh, textures=(texture,)), cameras)
    inside = under_light[:, 3:] == 1
    difference = (srgb_to_linear(under_light[:, :3]) - srgb_to_linear(baked[:, :3])).abs() * inside
    assert float(difference.mean()) < 2e-3 and float(difference.max()) < 0.06


def test_light_in_the_colors_needs_no_texture_of_its_own(tmp_path):
    small_run(tmp_path)
    assert lit_texture(read_mesh(tmp_path / "mesh" / "mesh.glb"), CONSTANT) is None
