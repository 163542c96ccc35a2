"""A folder as diffusers and transformers save it gives the parameters that the official file gives."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from safetensors.torch import load_file, save_file
from tiny_checkpoint import TINY, tensors, write_checkpoint
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.contents import read_contents
from sv3dgen.sv3d.checkpoint.load import Parts, load_parts

UNET = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    "layers_per_block": 1,
    "num_attention_heads": (2, 4),
    "projection_class_embeddings_input_dim": 1280,
    "num_frames": 21,
    "sample_size": 288,
}
VAE = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "layers_per_block": 1,
    "use_post_quant_conv": False,
    "scaling_factor": 0.18215,
}
CLIP = {
    "hidden_size": 32,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 56,
    "image_size": 224,
    "projection_dim": 1024,
    "hidden_act": "gelu",
}


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return load_parts(write_checkpoint(tmp_path_factory.mktemp("official"), tensors()))


@pytest.fixture(scope="module")
def save(official: Parts) -> Callable[..., Path]:
    """Save the official file's weights with the two libraries."""

    def save(folder: Path, **how: Any) -> Path:
        parts: dict[str, Any] = {
            "unet": UNetSpatioTemporalConditionModel(**UNET),
            "vae": AutoencoderKL(**VAE),
            "image_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP)),
        }
        for name, module in parts.items():
            module.load_state_dict(getattr(official, name).state_dict())
            module.save_pretrained(folder / name, **how)
        return folder

    return save


@pytest.fixture(scope="module")
def folder(save: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    return save(tmp_path_factory.mktemp("diffusers"))


@pytest.fixture
def changeable(folder: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return copytree(folder, tmp_path / "copy")


def assert_same(found: Parts, wanted: Parts) -> None:
    for ours, theirs in zip(found, wanted, strict=True):
        state = theirs.state_dict()
        assert set(ours.state_dict()) == set(state)
        for name, value in ours.state_dict().items():
            assert torch.equal(value, state[name]), name


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_parts(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def change(folder: Path, part: str, **settings: Any) -> None:
    """Change a part's config.json; None takes a key away."""
    file = folder / part / "config.json"
    document = json.loads(file.read_text()) | settings
    file.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))


def test_sizes_and_parameters_are_the_official_files(folder: Path, official: Parts) -> None:
    contents = read_contents(folder)
    assert contents.layout == "diffusers" and contents.config == TINY and not contents.unused
    assert_same(load_parts(folder), official)


def test_what_it_computes_is_the_same(folder: Path, official: Parts) -> None:
    # As copies in float64: on some CPUs, sums of float32 follow where in memory a file's weights happen to lie.
    inputs = torch.randn(2, 8, 8, 8), torch.tensor([0.3]), torch.randn(1, 1, 1024), torch.randn(2, 1280)
    ours, theirs = (copy.deepcopy(parts.unet).double() for parts in (load_parts(folder), official))
    with torch.no_grad():
        assert torch.equal(*(unet(*(each.double() for each in inputs), frames=2) for unet in (ours, theirs)))


def test_shards_and_variants(save: Callable[..., Path], official: Parts, tmp_path: Path) -> None:
    sharded = save(tmp_path / "sharded", max_shard_size="2MB")
    assert len(list((sharded / "unet").glob("*-of-*.safetensors"))) > 2
    assert_same(load_parts(sharded), official)
    assert_same(load_parts(save(tmp_path / "fp16", variant="fp16")), official)
    assert_same(load_parts(save(tmp_path / "both", variant="fp16", max_shard_size="2MB")), official)


def test_positions_that_older_versions_stored(changeable: Path, official: Parts) -> None:
    file = changeable / "image_encoder" / "model.safetensors"
    positions = {"vision_model.embeddings.position_ids": torch.arange(17)[None]}
    save_file({**load_file(file), **positions}, file)
    assert_same(load_parts(changeable), official)


def test_decoders_that_are_not_sv3ds(changeable: Path) -> None:
    file = changeable / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(file), "post_quant_conv.weight": torch.eye(4)[..., None, None]}, file)
    assert "post_quant_conv" in refusal(changeable)
    change(changeable, "vae", _class_name="AutoencoderKLTemporalDecoder")
    assert "AutoencoderKLTemporalDecoder" in refusal(changeable)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("unet", "block_out_channels", None),
        ("unet", "block_out_channels", [32, 50]),
        ("unet", "block_out_channels", "wide"),
        ("unet", "layers_per_block", [1, 2]),
        ("unet", "transformer_layers_per_block", [1, 2]),
        ("unet", "num_attention_heads", [2, 2]),
        ("unet", "down_block_types", ["DownBlockSpatioTemporal"]),
        ("unet", "projection_class_embeddings_input_dim", 768),
        ("unet", "in_channels", 0),
        ("vae", "scaling_factor", "small"),
        ("image_encoder", "hidden_act", "quick_gelu"),
        ("image_encoder", "projection_dim", None),
    ],
)
def test_settings_that_do_not_fit(part: str, key: str, value: Any, changeable: Path) -> None:
    change(changeable, part, **{key: value})
    said = refusal(changeable)
    assert key in said and str(changeable / part / "config.json") in said


def test_wrong_sizes_name_the_tensor(changeable: Path) -> None:
    change(changeable, "vae", latent_channels=8)
    assert "vae/decoder.conv_in.weight has shape [64, 4, 3, 3], expected [64, 8, 3, 3]" in refusal(changeable)


def test_missing_pieces(changeable: Path) -> None:
    shard = changeable / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(shard)
    save_file({key: value for key, value in weights.items() if key != "conv_in.bias"}, shard)
    assert "1 of the" in (said := refusal(changeable)) and "unet/conv_in.bias" in said
    shard.rename(shard.with_suffix(".bin"))
    assert "no weights" in (said := refusal(changeable)) and "diffusion_pytorch_model.bin is never loaded" in said
    (changeable / "image_encoder").rename(changeable / "other")
    assert "image_encoder: no such folder" in refusal(changeable)
    (changeable / "vae" / "config.json").unlink()
    assert "config.json: cannot be read" in refusal(changeable)


def test_index_that_points_elsewhere(changeable: Path) -> None:
    file = changeable / "unet" / "diffusion_pytorch_model.safetensors"
    index = changeable / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    file.rename(changeable / "unet" / "part.safetensors")
    for target, says in (("../vae/x.safetensors", "in the same folder"), ("gone.safetensors", "no such file")):
        index.write_text(json.dumps({"weight_map": {"conv_in.weight": target}}))
        assert says in refusal(changeable)
    index.write_text("{}")
    assert "no weight_map" in refusal(changeable)
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": "part.safetensors"}}))
    load_parts(changeable)


def test_one_part_alone(folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    assert f"expected the folder itself, {folder}" in refusal(file)
