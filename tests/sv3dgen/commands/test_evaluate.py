import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from transformers import CLIPConfig, CLIPModel
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from sv3dgen.commands.evaluate import main
from sv3dgen.errors import InputError
from sv3dgen.meshes.files import fit_unit_box, read_mesh
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.metrics.appearance import draw, orbit_scores, seamless_normals
from sv3dgen.metrics.clip_similarity import ClipSimilarity, load_clip
from sv3dgen.metrics.evaluation import evaluate, light_beside
from sv3dgen.metrics.orbits import MOST_PSNR
from sv3dgen.metrics.pictures import Learned
from sv3dgen.metrics.protocols import about_y, box_fit, surface_protocol, sv3d_2024_protocol
from sv3dgen.views.cameras import Cameras, look_at_origin
from sv3dgen.views.orbits import orbit_by_name


@pytest.fixture(scope="module")
def wedge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed shape that no turn about +Y maps onto itself, its longest side 1, vertices split at every edge."""
    corners = [[-0.5, 0, -0.2], [0.5, 0, -0.2], [-0.5, 0.4, -0.2], [-0.5, 0, 0.2], [0.5, 0, 0.2], [-0.5, 0.4, 0.2]]
    faces = [[0, 2, 1], [3, 4, 5], [0, 1, 4], [0, 4, 3], [0, 3, 5], [0, 5, 2], [1, 2, 5], [1, 5, 4]]
    shape = trimesh.Trimesh(corners, faces, process=False)
    shape.unmerge_vertices()
    path = tmp_path_factory.mktemp("wedge") / "wedge.glb"
    shape.export(path)
    return path


def changed(path: Path, folder: Path, matrix: torch.Tensor, shift: float = 0.0) -> Path:
    """The same mesh with its vertices mapped."""
    mesh = read_mesh(path)
    vertices = mesh.vertices @ matrix.T + shift
    target = folder / "changed.ply"
    trimesh.Trimesh(vertices.numpy(), mesh.faces.numpy(), process=False).export(target)
    return target


def front_cameras(views: int = 2) -> Cameras:
    return look_at_origin(torch.full((views,), 20.0), torch.linspace(0, 120, views), distance=2.0, size_px=64)


def test_a_mesh_against_itself_is_at_the_floor(wedge):
    scores = evaluate(wedge, wedge)
    assert scores["closed"] is True
    assert 0.001 < scores["chamfer"] < 0.003
    assert scores["far_share"] == 0 and scores["f_score_1"] == 1 and scores["iou_64"] == 1
    assert (scores["box_scale"], scores["box_shift"]) == (1.0, 0.0)
    assert "chamfer_as_given" not in scores


def test_unit_box_forgives_size_and_place_and_says_so(wedge, tmp_path):
    moved = changed(wedge, tmp_path, 1.1 * torch.eye(3), shift=0.05)
    truth = read_mesh(wedge).mesh
    scores = surface_protocol(read_mesh(moved).mesh, truth, num_samples=10_000)
    assert scores["box_scale"] == pytest.approx(1.1, abs=1e-5)
    assert scores["box_shift"] == pytest.approx(box_fit(read_mesh(moved).mesh, truth).shift)
    assert scores["iou_64"] > 0.99
    assert scores["chamfer_as_given"] > 0.02 > scores["chamfer"]
    as_given = surface_protocol(read_mesh(moved).mesh, truth, align="none", num_samples=10_000)
    assert as_given["chamfer"] == pytest.approx(scores["chamfer_as_given"])
    assert as_given["chamfer_unit_box"] == pytest.approx(scores["chamfer"])


def test_the_authors_protocol_turns_the_prediction(wedge, tmp_path):
    quarter = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # +Z to +X: 90 degrees about +Y
    turned, truth = read_mesh(changed(wedge, tmp_path, quarter)).mesh, read_mesh(wedge).mesh
    back = sv3d_2024_protocol(turned, truth, yaw_deg=-90.0)
    assert back["chamfer_vertices"] == pytest.approx(0, abs=1e-6)
    assert back["iou_32"] > 0.98
    assert sv3d_2024_protocol(turned, truth)["chamfer_vertices"] > 0.1


def test_the_authors_grid_covers_twice_the_unit_box():
    box = trimesh.creation.box((1, 1, 1))
    mesh = Mesh(torch.tensor(box.vertices, dtype=torch.float32), torch.tensor(box.faces))
    half = Mesh(mesh.vertices * torch.tensor([1.0, 0.5, 0.5]), mesh.faces)
    assert sv3d_2024_protocol(half, mesh)["iou_32"] == pytest.approx(0.25, abs=0.01)


def test_color_is_compared_with_the_views(wedge, tmp_path, monkeypatch):
    from sv3dgen.views.posed_views import PosedViews, write_views

    # The wedge is no centered object of unit size: reading its views would move them, but not the wedge.
    monkeypatch.setattr("sv3dgen.views.posed_views.normalize_to_box", lambda masks, cameras: None)
    cameras = front_cameras()
    rgb, alpha, _ = draw(read_mesh(wedge), cameras, None)
    names = ("000.png", "001.png")
    images = (torch.cat([rgb, alpha], dim=1) * 255).round().byte()
    angles = torch.tensor([20.0, 20.0]), torch.tensor([0.0, 120.0])
    write_views(PosedViews(images, cameras, names, ("test", "test"), *angles, torch.eye(4)), tmp_path)
    scores = evaluate(wedge, wedge, views=tmp_path)
    assert scores["views"] == 2
    assert scores["psnr"] > 45 and scores["ssim"] > 0.99 and scores["mask_iou"] > 0.99  # 8 bits


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A textured box that is neither centered nor of unit size."""
    box = trimesh.creation.box((1.0, 0.6, 0.4))
    box.apply_translation([0.05, 0.0, 0.02])
    rows, columns = np.indices((32, 32)) // 4
    pixels = np.stack([40 * (rows % 5), 30 * (columns % 7), 255 * ((rows + columns) % 2)], axis=-1).astype(np.uint8)
    material = PBRMaterial(baseColorTexture=Image.fromarray(pixels), doubleSided=True)
    uv = box.vertices[:, :2] + 0.3 * box.vertices[:, 2:]
    box.visual = TextureVisuals(uv=uv - uv.min(0), material=material)
    path = tmp_path_factory.mktemp("painted") / "painted.glb"
    box.export(path)
    return path


def test_a_mesh_on_an_orbit_is_itself(painted):
    scores = evaluate(painted, painted, protocol="sv3d-2024", orbit="dynamic", size_px=48, seed=3)
    assert scores["orbit"] == "dynamic, seed 3, elevation 10 degrees, 48 px" and scores["orbit_views"] == 21
    assert scores["orbit_psnr"] == scores["orbit_psnr_min"] == MOST_PSNR
    assert scores["orbit_ssim"] == pytest.approx(1) and scores["orbit_mse"] == 0 and scores["orbit_mask_iou"] == 1
    assert "albedo" in scores["orbit_shading"]
    json.dumps(scores, allow_nan=False)


def test_a_turned_prediction_is_turned_back(painted, tmp_path):
    scene = trimesh.load_scene(painted)
    scene.apply_transform(trimesh.transformations.rotation_matrix(np.radians(30), [0, 1, 0]))
    turned = tmp_path / "turned.glb"
    scene.export(turned)
    back, as_it_is = (
        evaluate(turned, painted, protocol="sv3d-2024", yaw_deg=yaw_deg, orbit="static", elevation_deg=20.0, size_px=48)
        for yaw_deg in (-30.0, 0.0)
    )
    assert back["orbit_psnr"] > 45 and back["orbit_mask_iou"] > 0.99 and back["chamfer_vertices"] < 1e-5
    assert as_it_is["orbit_psnr"] < 25 and as_it_is["orbit_mask_iou"] < 0.95


def test_light_stays_in_the_frame_that_the_prediction_came_in(painted, tmp_path):
    """Turned by a quarter, light and all, it is what the next of four cameras saw before."""
    lobe = {"axis": [1.0, 0.0, 0.0], "sharpness": 1.0, "amplitude": 0.5}
    light = tmp_path / "light.json"
    light.write_text(json.dumps({"type": "sg", "form": "product", "tone_map": "none", "lobes": [lobe]}))
    orbit = orbit_by_name("static", elevation_deg=10.0, frames=4)
    truth = fit_unit_box(read_mesh(painted))
    turned = replace(truth, vertices=truth.vertices @ about_y(90.0).T)
    # Turned as it stands, and seen by the cameras turned with it: the very pictures of the truth.
    alike = orbit_scores(turned, turned, orbit, Learned(), size_px=48, yaw_deg=90.0, light=light)
    before = orbit_scores(truth, truth, orbit, Learned(), size_px=48, light=light)
    decibel = alike["psnr"]
    assert isinstance(decibel, float) and decibel == pytest.approx(before["psnr"], abs=0.1) and decibel < 40


def test_boxes_a_quarter_apart_agree_on_three_fifths():
    """Also where the prediction leaves the truth's box; and vertices that nothing joins but their place are one."""
    box = trimesh.creation.box((1.0, 1.0, 1.0))
    box.unmerge_vertices()
    truth = Mesh(torch.tensor(box.vertices, dtype=torch.float32), torch.tensor(box.faces))
    shifted = Mesh(truth.vertices + torch.tensor([0.0, 0.25, 0.0]), truth.faces)
    scores = surface_protocol(shifted, truth, align="none", num_samples=20_000)
    assert scores["iou_64"] == pytest.approx(0.75 / 1.25) and scores["closed"] is True
    assert scores["iou_64_unit_box"] == 1
    far = surface_protocol(Mesh(truth.vertices + 5, truth.faces), truth, align="none", num_samples=1_000)
    assert far["iou_64"] == 0 and far["f_score_2"] == 0


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP with random weights, small enough for a test."""
    size = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config=dict(size, vocab_size=20), vision_config=dict(size, image_size=32, patch_size=8), projection_dim=12
    )
    folder = tmp_path_factory.mktemp("hub") / "tiny-clip"
    CLIPModel(config).save_pretrained(folder)
    return folder


def test_clip_tells_equal_pictures_from_others(clip_folder):
    clip = load_clip(str(clip_folder))
    assert isinstance(clip, ClipSimilarity) and clip.name == "tiny-clip"
    pictures = torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    assert clip(pictures, pictures) == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)
    assert clip(pictures, pictures.flip(1).square()).max() < 0.99999
    # What transformers itself makes of pictures of the network's own size.
    own = pictures[:, :, :32, :32]
    normal = (own - clip.mean) / clip.std
    model = CLIPModel.from_pretrained(clip_folder)
    tokens = torch.zeros(1, 3, dtype=torch.int64)
    with torch.no_grad():
        expected = model(input_ids=tokens, pixel_values=normal).image_embeds
    assert torch.allclose(torch.nn.functional.normalize(clip.embed(own), dim=-1), expected, atol=1e-5)


def test_learned_metrics_name_their_backbone_or_what_is_missing(painted, clip_folder, tmp_path, capsys):
    scores = evaluate(painted, painted, protocol="sv3d-2024", orbit="static", size_px=32, clip=str(clip_folder))
    assert scores["orbit_clip_s"] == pytest.approx(1, abs=1e-5) and scores["orbit_clip_s_backbone"] == "tiny-clip"
    assert scores["orbit_lpips"] == 0 and "AlexNet" in scores["orbit_lpips_backbone"]
    asked = ["--pred", str(painted), "--gt", str(painted), "--protocol", "sv3d-2024"]
    asked += ["--orbit", "static", "--size-px", "32"]
    small = evaluate(painted, painted, protocol="sv3d-2024", orbit="static", size_px=24)
    assert small["orbit_lpips"] is None and "smaller than 31 px" in small["orbit_lpips_backbone"]
    (tmp_path / "vgg.pth").write_bytes(b"no weights")
    assert main([*asked, "--lpips", str(tmp_path / "vgg.pth")]) == 2
    assert f"{tmp_path / 'vgg.pth'}: expected VGG16's weights" in capsys.readouterr().err
    assert main([*asked, "--clip", "nobody/no-such-model", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["orbit_clip_s"] is None and "nobody/no-such-model is not in" in told["orbit_clip_s_backbone"]
    assert main([*asked, "--clip", str(tmp_path)]) == 2
    assert "config.json" in capsys.readouterr().err
    assert main([*asked[:-1], "3"]) == 2 and main([*asked[:7], "round"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_light_shades_the_albedo(wedge, tmp_path):
    mesh = read_mesh(wedge)
    lobe = {"axis": [0.0, 1.0, 0.0], "sharpness": 1.0, "amplitude": 0.2}
    light = tmp_path / "light.json"
    light.write_text(json.dumps({"type": "sg", "form": "product", "tone_map": "none", "lobes": [lobe]}))
    plain, _, said = draw(mesh, front_cameras(), None)
    lit, _, said_lit = draw(mesh, front_cameras(), light)
    assert "albedo" in said and "relit" in said_lit
    assert lit.mean() < 0.9 * plain.mean()
    light.write_text("[")
    with pytest.raises(InputError, match="light.json"):
        draw(mesh, front_cameras(), light)


def test_light_is_found_beside_the_mesh_or_in_its_run(tmp_path):
    (tmp_path / "mesh").mkdir()
    mesh = tmp_path / "mesh" / "mesh.glb"
    assert light_beside(mesh) is None
    (tmp_path / "light.json").touch()
    assert light_beside(mesh) == tmp_path / "light.json"
    (tmp_path / "mesh" / "light.json").touch()
    assert light_beside(mesh) == tmp_path / "mesh" / "light.json"


def test_normals_do_not_break_at_seams():
    sphere = trimesh.creation.icosphere(subdivisions=3)
    split = sphere.copy()
    split.unmerge_vertices()
    mesh = Mesh(torch.tensor(split.vertices, dtype=torch.float32), torch.tensor(split.faces))
    cosine = (seamless_normals(mesh) * torch.nn.functional.normalize(mesh.vertices, dim=-1)).sum(-1)
    assert cosine.min() > 0.999


def test_command_line_prints_a_table_or_json(wedge, capsys):
    assert main(["--pred", str(wedge), "--gt", str(wedge), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["protocol"] == "surface"
    assert main(["--pred", str(wedge), "--gt", str(wedge), "--protocol", "sv3d-2024"]) == 0
    assert "chamfer_vertices" in capsys.readouterr().out


def test_mistakes_are_told_in_one_line(wedge, tmp_path, capsys):
    missing = tmp_path / "missing.glb"
    (tmp_path / "text.glb").write_text("not a mesh")
    for arguments in (["--pred", str(missing)], ["--pred", str(tmp_path / "text.glb")]):
        assert main([*arguments, "--gt", str(wedge)]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and arguments[1] in told
    assert main(["--pred", str(wedge), "--gt", str(wedge), "--protocol", "mystery"]) == 2
    assert "'mystery'" in capsys.readouterr().err


def test_broken_files_never_give_a_number(shared, wedge, capsys):
    broken = sorted((shared / "bad_inputs").glob("mesh_*.glb"))
    accepted = {"mesh_degenerate_faces.glb", "mesh_untextured_cube.glb", "mesh_flipped_winding_cube.glb"}
    for path in broken:
        if path.name not in accepted:
            assert main(["--pred", str(path), "--gt", str(wedge)]) == 2
            assert capsys.readouterr().err.count("\n") == 1
    scores = evaluate(shared / "bad_inputs" / "mesh_flipped_winding_cube.glb", wedge, protocol="sv3d-2024")
    assert 0 < scores["iou_32"] < 1
