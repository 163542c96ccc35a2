# pyright: reportArgumentType=false, reportOptionalSubscript=false, reportOptionalMemberAccess=false
# pyright: reportOperatorIssue=false
"""Where normals come from: files in all their ways to be wrong, and Marigold by its documented output."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from spheres import maps_in_camera, sphere_views

from sv3dgen.errors import InputError
from sv3dgen.normals import marigold
from sv3dgen.normals.files import NormalFiles, read_normals, write_normals
from sv3dgen.normals.marigold import Marigold
from sv3dgen.views.posed_views import read_views, write_views

VIEWS = sphere_views()
MAPS = maps_in_camera(VIEWS.cameras)
EIGHT_BITS = 0.01  # of a component
DIFFUSERS_WARNS = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Views of names of their own, as a user has them, and normals next to."""
    folder = tmp_path / "toy"
    write_views(VIEWS, folder)
    document = json.loads((folder / "transforms.json").read_text())
    (folder / "images").mkdir()
    for index, frame in enumerate(document["frames"]):
        name = f"images/r_{index}.png"
        (folder / frame["file_path"]).rename(folder / name)
        frame["file_path"] = name
    (folder / "transforms.json").write_text(json.dumps(document))
    for index, normals in enumerate(MAPS):
        write_normals(folder / "normals" / f"r_{index}.png", normals)
    return folder


def test_a_file_says_what_the_docs_say(tmp_path):
    """(128, 128, 255) faces the camera, red is right, green is up; black, gray, white and clear are unknown."""
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[0, :4] = [[128, 128, 255, 255], [255, 128, 128, 255], [128, 255, 128, 255], [0, 0, 0, 255]]
    pixels[1, :4] = [[128, 128, 128, 255], [255, 255, 255, 255], [128, 128, 255, 0], [128, 0, 128, 255]]
    Image.fromarray(pixels).save(tmp_path / "n.png")
    normals = read_normals(tmp_path / "n.png", (16, 16))
    z, x, y, none = [0.0, 0, 1], [1.0, 0, 0], [0.0, 1, 0], [0.0, 0, 0]
    expected = torch.tensor([[z, x, y, none], [none, none, none, [0.0, -1, 0]]])
    torch.testing.assert_close(normals[:2, :4], expected, atol=EIGHT_BITS, rtol=0)


def test_files_beside_given_views_come_along(given, tmp_path):
    views, run = read_views(given), tmp_path / "run"
    source = NormalFiles()
    assert source.maps(views, run) is None
    source.bring_along(views, given, run)
    assert sorted(path.name for path in (run / "normals").iterdir()) == [f"{index:03d}.png" for index in range(6)]
    maps = source.maps(views, run)
    assert maps is not None
    torch.testing.assert_close(maps, MAPS, atol=EIGHT_BITS, rtol=0)
    # The run's views and normals are such a folder themselves.
    write_views(views, run)
    source.bring_along(read_views(run), run / "transforms.json", tmp_path / "again")
    assert (tmp_path / "again" / "normals" / "005.png").read_bytes() == (given / "normals" / "r_5.png").read_bytes()
    # Those of an earlier run in the folder are not taken for those of other views.
    (given / "normals").rename(given / "elsewhere")
    source.bring_along(views, given, run)
    assert source.maps(views, run) is None
    named = NormalFiles(folder=str(given / "elsewhere")).maps(views, run)
    assert named is not None and torch.equal(named, maps)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("missing", "r_2.png: no such file"),
        ("size", "r_2.png: 32x32 pixels, expected 64x64"),
        ("gray", "r_2.png: a picture of mode L, expected RGB"),
        ("black", "r_2.png: no unit vectors"),
        ("away", "r_2.png: normals that face away"),
        ("text", "r_2.png: not an image"),
        ("cut", "r_2.png: damaged"),
    ],
)
def test_files_that_are_wrong_are_named(given, tmp_path, what, told):
    file = given / "normals" / "r_2.png"
    image = Image.open(file)
    image.load()
    if what == "missing":
        file.unlink()
    elif what == "size":
        image.resize((32, 32)).save(file)
    elif what == "gray":
        image.convert("L").save(file)
    elif what == "black":
        Image.new("RGB", image.size).save(file)
    elif what == "away":
        write_normals(file, MAPS[2] * torch.tensor([1.0, -1.0, -1.0]))  # OpenCV's camera
    elif what == "text":
        file.write_text("n")
    else:
        file.write_bytes(file.read_bytes()[:200])
    views, run = read_views(given), tmp_path / "run"
    with pytest.raises(InputError, match=told) as refused:
        NormalFiles().bring_along(views, given, run)
    assert str(given) in str(refused.value) and "\n" not in str(refused.value)
    assert not run.exists()  # nothing half-copied
    with pytest.raises(InputError, match=told):
        NormalFiles(folder=str(given / "normals")).maps(views, run)


def test_green_that_points_down_is_told(given, tmp_path, caplog):
    for index, normals in enumerate(MAPS):
        write_normals(given / "normals" / f"r_{index}.png", normals * torch.tensor([1.0, -1.0, 1.0]))
    NormalFiles().bring_along(read_views(given), given, tmp_path / "run")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "green seems to point down" in record.getMessage()


def test_an_empty_view_needs_no_normals(given, tmp_path):
    views = read_views(given)
    views.images[1, 3] = 0
    Image.new("RGB", (64, 64)).save(given / "normals" / "r_1.png")
    NormalFiles().bring_along(views, given, tmp_path / "run")
    maps = NormalFiles().maps(views, tmp_path / "run")
    assert maps is not None and not maps[1].any() and maps[2].any()


def test_names_that_cannot_be_told_apart_and_folders_that_are_not_there(tmp_path):
    twice = VIEWS[torch.tensor([0, 0])]
    (tmp_path / "normals").mkdir()
    with pytest.raises(InputError, match="2 views are called r_0"):
        NormalFiles(folder=str(tmp_path / "normals")).maps(twice, tmp_path)
    with pytest.raises(InputError, match="nowhere: no such folder"):
        NormalFiles(folder=str(tmp_path / "nowhere"))


def test_nothing_comes_along_with_a_video(tmp_path):
    (tmp_path / "normals").mkdir()
    NormalFiles().bring_along(VIEWS, tmp_path / "orbit.mp4", tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Pipeline:
    """As diffusers documents MarigoldNormalsPipeline: [1, 3, height, width] in [-1, 1], x right, y up, z at the viewer.

    Its pictures must be of the views before white.
    """

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def __call__(self, image: torch.Tensor, **settings: object) -> SimpleNamespace:
        assert image.shape == (1, 3, 64, 64) and image.min() >= 0 and image.max() <= 1
        assert (image[0, :, 0, 0] == 1).all()
        self.calls.append(settings)
        normals = MAPS[len(self.calls) - 1].permute(2, 0, 1)[None]
        # It says something everywhere, also of the background.
        return SimpleNamespace(prediction=torch.where(normals.any(1, keepdim=True), 0.9 * normals, 0.5))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model_index.json").write_text('{"_class_name": "MarigoldNormalsPipeline"}')
    return folder


def test_marigold_predicts_once_and_in_our_frame(weights, tmp_path, monkeypatch):
    pipeline, loads = Pipeline(), []
    monkeypatch.setattr(marigold, "load", lambda *given: (loads.append(given), pipeline)[1])
    source, run = Marigold(weights=str(weights), device="cpu", steps=4, seed=3), tmp_path / "run"
    maps = source.maps(VIEWS, run)
    solid = VIEWS.images[:, 3] > 127
    torch.testing.assert_close(maps[solid], MAPS[solid], atol=EIGHT_BITS, rtol=0)
    first = pipeline.calls[0]
    assert (first["num_inference_steps"], first["ensemble_size"], first["output_type"]) == (4, 1, "pt")
    assert [call["generator"].initial_seed() for call in pipeline.calls] == [3, 4, 5, 6, 7, 8]
    # The fine stage, or a run that resumes, reads the same numbers; other views or settings are predicted anew.
    again = Marigold(weights=str(weights), device="cpu", steps=4, seed=3).maps(VIEWS, run)
    assert torch.equal(again, maps) and len(loads) == 1
    pipeline.calls.clear()
    Marigold(weights=str(weights), device="cpu", steps=5, seed=3).maps(VIEWS, run)
    assert len(loads) == 2


def test_marigold_without_weights_is_nothing_and_asks_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked the network"))
    source = Marigold(weights="nobody/no-such-normals")
    assert source.maps(VIEWS, tmp_path / "run") is None
    assert "hf download nobody/no-such-normals" in source.missing


def test_marigold_s_weights_are_found_in_the_hub_s_cache(weights, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(weights / "model_index.json"))
    assert Marigold(device="cpu").folder == weights


def test_marigold_s_settings_that_cannot_work(weights, tmp_path):
    with pytest.raises(InputError, match="no model_index.json"):
        Marigold(weights=str(tmp_path))
    with pytest.raises(InputError, match="expected a folder, or a repository"):
        Marigold(weights="no such/folder/at all")
    with pytest.raises(InputError, match=r"normals\.steps=0"):
        Marigold(weights=str(weights), steps=0)
    with pytest.raises(InputError, match=r"normals\.ensemble=0"):
        Marigold(weights=str(weights), ensemble=0)


@DIFFUSERS_WARNS
def test_diffusers_own_pipeline_takes_the_call(tmp_path):
    """A pipeline of random weights, saved and loaded: what it returns is unit vectors of the picture's size."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.marigold.pipeline_marigold_normals import MarigoldNormalsPipeline
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    (tmp_path / "vocab.json").write_text('{"<|startoftext|>": 0, "<|endoftext|>": 1}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    small = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1}
    text = CLIPTextConfig(**small, vocab_size=2, bos_token_id=0, eos_token_id=1)
    tokenizer = CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), model_max_length=77)
    blocks = {"block_out_channels": (8,), "layers_per_block": 1, "norm_num_groups": 4}
    MarigoldNormalsPipeline(
        unet=UNet2DConditionModel(
            **blocks,
            in_channels=8,
            down_block_types=("CrossAttnDownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D",),
            cross_attention_dim=8,
            attention_head_dim=4,
        ),
        vae=AutoencoderKL(**blocks, latent_channels=4),
        scheduler=DDIMScheduler(),
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        prediction_type="normals",
        default_denoising_steps=2,
        default_processing_resolution=64,
    ).save_pretrained(tmp_path / "weights")
    maps = Marigold(weights=str(tmp_path / "weights"), device="cpu").maps(VIEWS, tmp_path / "run")
    assert maps.shape == (6, 64, 64, 3)
    torch.testing.assert_close(maps.norm(dim=-1), torch.ones(6, 64, 64))


def test_our_files_are_what_diffusers_shows_of_a_prediction():
    """The documented axes, and the encoding: `visualize_normals` flips none of them by default."""
    from diffusers.pipelines.marigold.marigold_image_processing import MarigoldImageProcessor

    show = MarigoldImageProcessor.visualize_normals
    for direction in ("right", "top", "facing the observer"):
        assert f"Default direction is {direction}." in show.__doc__
    (shown,) = show(MAPS[1].permute(2, 0, 1)[None])
    encoded = (MAPS[1] + 1) / 2 * 255
    assert np.abs(np.asarray(shown).astype(float) - encoded.numpy()).max() <= 1


@DIFFUSERS_WARNS
def test_a_folder_that_is_no_whole_pipeline_is_named(weights):
    with pytest.raises(InputError, match="expected a whole MarigoldNormalsPipeline") as refused:
        marigold.load(weights, torch.device("cpu"))
    assert str(weights) in str(refused.value) and "\n" not in str(refused.value)
