"""An SV3D model as a diffusers folder: unet/, vae/ and image_encoder/, each a config.json and safetensors.

Names are those of our own parameters. The unet is diffusers' UNetSpatioTemporalConditionModel; the vae an AutoencoderKL
without post-quantization, since SV3D's decoder has none: Stable Diffusion's own, and Stable Video Diffusion's temporal
decoder, give other pictures and are refused; the image encoder is transformers' CLIPVisionModelWithProjection.
Schedulers and feature extractors are not read: SV3D's are fixed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sv3dgen.documents.json_text import read_object
from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.keys import Entry, key_table
from sv3dgen.sv3d.checkpoint.safetensors_header import StoredTensor, read_header
from sv3dgen.sv3d.config import ImageEncoderConfig, SV3DConfig, UNetConfig, VAEConfig

PARTS = ("unet", "vae", "image_encoder")
_VAE_CLASS = "AutoencoderKL"
_POSITIONS = (
    "image_encoder/vision_model.embeddings.position_ids"  # older transformers stored them; they are 0, 1, 2, ...
)


def is_diffusers_folder(folder: Path) -> bool:
    """Whether a folder has the form, if not yet everything in it."""
    return (folder / "unet").is_dir()


def folder_table(config: SV3DConfig) -> dict[str, Entry]:
    """Every tensor of such a folder, by its part and name: `unet/conv_in.weight`."""
    table = {_POSITIONS: Entry(_POSITIONS, (), None)}
    for entry in key_table(config).values():
        for name in entry.names:
            key = f"{entry.part}/{name}"
            table[key] = Entry(key, (name,), entry.target_shape, part=entry.part)
    return table


def folder_tensors(folder: Path) -> dict[str, StoredTensor]:
    """What is stored, by the same keys. Raises InputError where a part is missing or a file is no good."""
    stored: dict[str, StoredTensor] = {}
    for part in PARTS:
        for file in _weight_files(folder / part):
            for name, tensor in read_header(file).items():
                if f"{part}/{name}" in stored:
                    raise InputError(f"{file}: {name} is in two files of {folder / part}")
                stored[f"{part}/{name}"] = tensor
    if any(key.startswith("vae/post_quant_conv.") for key in stored):
        raise InputError(
            f"{folder / 'vae'}: has a post_quant_conv as Stable Diffusion's autoencoder has, expected SV3D's own "
            "(AutoencoderKL with use_post_quant_conv false); the official checkpoint file has it"
        )
    return stored


def _weight_files(folder: Path) -> list[Path]:
    """A part's safetensors: one file or the shards of an index, full precision before variants such as fp16."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected a diffusers folder with {', '.join(PARTS)}")
    stem = "model" if folder.name == "image_encoder" else "diffusion_pytorch_model"
    # An index first: the names of a variant's shards look like those of a variant in one file.
    variants = sorted(folder.glob(f"{stem}.safetensors.index.*.json")) + sorted(folder.glob(f"{stem}.*.safetensors"))
    for file in (folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json", *variants):
        if file.is_file():
            return _shards(file) if file.suffix == ".json" else [file]
    pickles = [file.name for file in sorted(folder.glob("*.bin"))]
    instead = f"; {pickles[0]} is never loaded, as it can run any code" if pickles else ""
    raise InputError(f"{folder}: no weights, expected {stem}.safetensors{instead}")


def _shards(index: Path) -> list[Path]:
    names = read_object(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise InputError(f"{index}: no weight_map in it, expected the index of a sharded part")
    shards = sorted({str(name) for name in names.values()})
    for shard in shards:
        if Path(shard).name != shard:
            raise InputError(f"{index}: {shard!r}: expected the name of a file in the same folder")
    return [index.parent / shard for shard in shards]


def folder_config(folder: Path) -> SV3DConfig:
    """The sizes that the parts' config.json tell. Raises InputError with the key that is missing or doesn't fit."""
    unet = PartConfig(folder / "unet")
    vae = PartConfig(folder / "vae")
    image_encoder = PartConfig(folder / "image_encoder")
    vae_config = _vae(vae)
    return SV3DConfig(
        unet=_unet(unet),
        vae=vae_config,
        image_encoder=_image_encoder(image_encoder),
        frames=unet.number("num_frames", SV3DConfig.frames),
        size_px=unet.number("sample_size", 72) * vae_config.downsampling,
    )


class PartConfig:
    """A part's config.json, whose values are asked for by key and type."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder, expected a diffusers folder with {', '.join(PARTS)}")
        self.file = folder / "config.json"
        self._values = read_object(self.file)

    def number(self, key: str, default: int | None = None) -> int:
        """A positive whole number."""
        value = self.value(key, default)
        if type(value) is not int or value < 1:
            raise self.error(key, "a positive whole number")
        return value

    def numbers(self, key: str, count: int | None = None) -> list[int]:
        """Several of them; where `count` is given, one number stands for so many."""
        value = self.value(key)
        values = [value] * count if type(value) is int and count is not None else value
        if not isinstance(values, list) or not values or any(type(item) is not int or item < 1 for item in values):
            raise self.error(key, "a list of positive whole numbers")
        return values

    def value(self, key: str, default: Any = None) -> Any:
        """Whatever is there."""
        value = self._values.get(key, default)
        if value is None:
            raise InputError(f"{self.file}: no {key} in it, expected the configuration that diffusers saves")
        return value

    def error(self, key: str, expected: str) -> InputError:
        """To be raised where the value of a key doesn't fit."""
        return InputError(f"{self.file}: {key}: found {str(self._values.get(key))[:60]}, expected {expected}")


def _unet(part: PartConfig) -> UNetConfig:
    widths, blocks = part.numbers("block_out_channels"), part.value("down_block_types")
    channel_mult = _multiples(part, widths)
    depths = set(part.numbers("transformer_layers_per_block", len(widths)))
    if len(depths) != 1:
        raise part.error("transformer_layers_per_block", "the same number for every level")
    layers = part.numbers("layers_per_block", len(widths))
    if len(set(layers)) != 1:
        raise part.error("layers_per_block", "the same number for every level")
    heads = part.numbers("num_attention_heads", len(widths))
    head_channels = {width // number for width, number in zip(widths, heads, strict=False)}
    if len(heads) != len(widths) or len(head_channels) != 1:
        raise part.error("num_attention_heads", "as many as make all heads of one width")
    if not isinstance(blocks, list) or len(blocks) != len(widths):
        raise part.error("down_block_types", "one block for each of block_out_channels")
    return UNetConfig(
        in_channels=part.number("in_channels"),
        out_channels=part.number("out_channels"),
        channels=widths[0],
        channel_mult=channel_mult,
        res_blocks=layers[0],
        attention_factors=tuple(2**level for level, block in enumerate(blocks) if str(block).startswith("CrossAttn")),
        head_channels=head_channels.pop(),
        transformer_depth=depths.pop(),
        context_dim=part.number("cross_attention_dim"),
        vector_dims=_vector_dims(part),
    )


def _vector_dims(part: PartConfig) -> tuple[int, ...]:
    """Of the noise alone (SV3D_u), or of the noise and of two angles that are embedded twice as wide (SV3D_p)."""
    dim, total = part.number("addition_time_embed_dim"), part.number("projection_class_embeddings_input_dim")
    for dims in ((dim,), (dim, 2 * dim, 2 * dim)):
        if sum(dims) == total:
            return dims
    other = " (3 equal widths are Stable Video Diffusion's)" if total == 3 * dim else ""
    raise part.error("projection_class_embeddings_input_dim", f"{5 * dim} for SV3D_p or {dim} for SV3D_u{other}")


def _vae(part: PartConfig) -> VAEConfig:
    if part.value("_class_name", _VAE_CLASS) != _VAE_CLASS:
        raise part.error("_class_name", f"{_VAE_CLASS}: SV3D decodes every frame by itself")
    widths = part.numbers("block_out_channels")
    scale = part.value("scaling_factor", VAEConfig.scale_factor)
    if not isinstance(scale, float) or scale <= 0:
        raise part.error("scaling_factor", "a positive number")
    return VAEConfig(
        in_channels=part.number("in_channels"),
        out_channels=part.number("out_channels"),
        channels=widths[0],
        channel_mult=_multiples(part, widths),
        res_blocks=part.number("layers_per_block"),
        latent_channels=part.number("latent_channels"),
        scale_factor=scale,
    )


def _image_encoder(part: PartConfig) -> ImageEncoderConfig:
    if part.value("hidden_act") != "gelu":
        raise part.error("hidden_act", "gelu, the exact one")
    width, heads = part.number("hidden_size"), part.number("num_attention_heads")
    return ImageEncoderConfig(
        width=width,
        layers=part.number("num_hidden_layers"),
        head_width=width // heads,
        mlp_ratio=part.number("intermediate_size") / width,
        patch_px=part.number("patch_size"),
        size_px=part.number("image_size"),
        embed_dim=part.number("projection_dim"),
    )


def _multiples(part: PartConfig, widths: Sequence[int]) -> tuple[int, ...]:
    if any(width % widths[0] for width in widths):
        raise part.error("block_out_channels", "multiples of the first")
    return tuple(width // widths[0] for width in widths)
