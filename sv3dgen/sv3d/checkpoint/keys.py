"""The one table from the keys of an official SV3D checkpoint to the parameters of this package's three modules.

Left in every pair of names stands the official key (generative-models' modules), right our parameter, which is named as
in diffusers' UNetSpatioTemporalConditionModel and AutoencoderKL and in transformers' CLIPVisionModelWithProjection. The
table follows from an `SV3DConfig` alone, so it holds for any size, and it names every key that a checkpoint has: the
ones that no inference needs are in it as `unused`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from sv3dgen.sv3d.config import ImageEncoderConfig, SV3DConfig, UNetConfig, VAEConfig

Part = Literal["unet", "vae", "image_encoder", "unused"]
Turn = Literal["as_is", "squeeze", "transpose", "split"]

LABEL_EMBEDDING = "model.diffusion_model.label_emb.0.0.weight"  # its width tells SV3D_p from SV3D_u
UNET_PREFIX = "model.diffusion_model."
CLIP_PREFIX = "conditioner.embedders.0.open_clip.model."
ENCODER_PREFIX = "conditioner.embedders.1.encoder."  # a whole autoencoder, of which the encoder half is used
DECODER_PREFIX = "first_stage_model."


@dataclass(frozen=True)
class Entry:
    """One tensor of a checkpoint: its key and shape there, and what it becomes here.

    `turn` is what happens to its values: nothing; a 1x1 convolution's `squeeze` to a linear layer's matrix; a
    `transpose`; a `split` along the first axis into one equal part for each of `names`. Of an unused tensor `names`
    is empty, and `shape` is None where no size of ours fixes it.
    """

    key: str
    names: tuple[str, ...]
    shape: tuple[int, ...] | None
    turn: Turn = "as_is"
    part: Part = "unused"

    @property
    def target_shape(self) -> tuple[int, ...]:
        """The shape of each parameter that the tensor fills."""
        assert self.shape is not None
        if self.turn == "squeeze":
            return self.shape[:2]
        if self.turn == "transpose":
            return self.shape[::-1]
        return (self.shape[0] // len(self.names), *self.shape[1:]) if self.turn == "split" else self.shape


Entries = Iterator[Entry]


def key_table(config: SV3DConfig) -> dict[str, Entry]:
    """Every entry of a checkpoint of this size, by its official key."""
    entries = chain(
        _of_part("unet", _under(UNET_PREFIX, "", _unet(config.unet))),
        _of_part("vae", _under(ENCODER_PREFIX, "", _vae_encoder(config.vae))),
        _of_part("vae", _under(DECODER_PREFIX, "", _vae_decoder(config.vae))),
        _of_part("image_encoder", _under(CLIP_PREFIX + "visual.", "", _image_encoder(config.image_encoder))),
        _unused(config.vae),
    )
    return {entry.key: entry for entry in entries}


def _unet(config: UNetConfig) -> Entries:
    embed, last = config.time_embed_dim, len(config.channel_mult) - 1
    yield from _perceptron("time_embed", "time_embedding", config.channels, embed, embed)
    yield from _perceptron("label_emb.0", "add_embedding", sum(config.vector_dims), embed, embed)
    yield from _layer("input_blocks.0.0", "conv_in", config.channels, config.in_channels, 3, 3)
    index, width, skips = 1, config.channels, [config.channels]
    for level, mult in enumerate(config.channel_mult):
        block = f"down_blocks.{level}"
        for layer in range(config.res_blocks):
            yield from _unet_layer(f"input_blocks.{index}", block, layer, width, mult * config.channels, level, config)
            index, width = index + 1, mult * config.channels
            skips.append(width)
        if level < last:
            yield from _layer(f"input_blocks.{index}.0.op", f"{block}.downsamplers.0.conv", width, width, 3, 3)
            index += 1
            skips.append(width)
    yield from _under("middle_block.0.", "mid_block.resnets.0.", _video_res_block(width, width, embed))
    yield from _under("middle_block.1.", "mid_block.attentions.0.", _video_transformer(width, config))
    yield from _under("middle_block.2.", "mid_block.resnets.1.", _video_res_block(width, width, embed))
    index = 0
    for number, level in enumerate(range(last, -1, -1)):
        block, out = f"up_blocks.{number}", config.channel_mult[level] * config.channels
        for layer in range(config.res_blocks + 1):
            into = width + skips.pop()
            yield from _unet_layer(f"output_blocks.{index}", block, layer, into, out, level, config)
            index, width = index + 1, out
        if level > 0:
            # The upsampling has no index of its own: it follows the last residual block and its transformer.
            place = 2 if _has_transformer(level, config) else 1
            official = f"output_blocks.{index - 1}.{place}.conv"
            yield from _layer(official, f"{block}.upsamplers.0.conv", width, width, 3, 3)
    yield from _norm("out.0", "conv_norm_out", width)
    yield from _layer("out.2", "conv_out", config.out_channels, width, 3, 3)


def _unet_layer(official: str, block: str, layer: int, into: int, out: int, level: int, config: UNetConfig) -> Entries:
    """A residual block and, where its level has them, the transformer behind it."""
    residual = _video_res_block(into, out, config.time_embed_dim)
    yield from _under(f"{official}.0.", f"{block}.resnets.{layer}.", residual)
    if _has_transformer(level, config):
        yield from _under(f"{official}.1.", f"{block}.attentions.{layer}.", _video_transformer(out, config))


def _has_transformer(level: int, config: UNetConfig) -> bool:
    return 2**level in config.attention_factors


def _video_res_block(into: int, out: int, embed: int) -> Entries:
    yield from _under("", "spatial_res_block.", _res_block(into, out, embed, 3, 3))
    yield from _under("time_stack.", "temporal_res_block.", _res_block(out, out, embed, 3, 1, 1))
    yield _mix_factor()


def _res_block(into: int, out: int, embed: int, *kernel: int) -> Entries:
    yield from _norm("in_layers.0", "norm1", into)
    yield from _layer("in_layers.2", "conv1", out, into, *kernel)
    yield from _layer("emb_layers.1", "time_emb_proj", out, embed)
    yield from _norm("out_layers.0", "norm2", out)
    yield from _layer("out_layers.3", "conv2", out, out, *kernel)
    if into != out:
        yield from _layer("skip_connection", "conv_shortcut", out, into, *(1 for _ in kernel))


def _video_transformer(width: int, config: UNetConfig) -> Entries:
    yield from _norm("norm", "norm", width)
    yield from _layer("proj_in", "proj_in", width, width)
    for depth in range(config.transformer_depth):
        name = f"transformer_blocks.{depth}."
        yield from _under(name, name, _transformer_block(width, config.context_dim))
        block = chain(_norm("norm_in", "norm_in", width), _feed_forward("ff_in", width))
        block = chain(block, _transformer_block(width, config.context_dim))
        yield from _under(f"time_stack.{depth}.", f"temporal_transformer_blocks.{depth}.", block)
    yield from _perceptron("time_pos_embed", "time_pos_embed", width, 4 * width, width)
    yield _mix_factor()
    yield from _layer("proj_out", "proj_out", width, width)


def _transformer_block(width: int, context: int) -> Entries:
    for attention, source in (("attn1", width), ("attn2", context)):
        for name, into in (("to_q", width), ("to_k", source), ("to_v", source)):
            yield from _layer(f"{attention}.{name}", f"{attention}.{name}", width, into, bias=False)
        yield from _layer(f"{attention}.to_out.0", f"{attention}.to_out.0", width, width)
    yield from _feed_forward("ff", width)
    for name in ("norm1", "norm2", "norm3"):
        yield from _norm(name, name, width)


def _feed_forward(name: str, width: int) -> Entries:
    """Four times the width, gated: the first layer gives values and gates."""
    yield from _layer(f"{name}.net.0.proj", f"{name}.net.0.proj", 8 * width, width)
    yield from _layer(f"{name}.net.2", f"{name}.net.2", width, 4 * width)


def _mix_factor() -> Entry:
    return Entry("time_mixer.mix_factor", ("time_mixer.mix_factor",), (1,))


def _vae_encoder(config: VAEConfig) -> Entries:
    widths, last = [mult * config.channels for mult in config.channel_mult], len(config.channel_mult) - 1
    width, moments = config.channels, 2 * config.latent_channels
    yield from _layer("encoder.conv_in", "encoder.conv_in", width, config.in_channels, 3, 3)
    for level, out in enumerate(widths):
        for layer in range(config.res_blocks):
            ours = f"encoder.down_blocks.{level}.resnets.{layer}."
            yield from _under(f"encoder.down.{level}.block.{layer}.", ours, _vae_res_block(width, out))
            width = out
        if level < last:
            ours = f"encoder.down_blocks.{level}.downsamplers.0.conv"
            yield from _layer(f"encoder.down.{level}.downsample.conv", ours, width, width, 3, 3)
    yield from _under("encoder.mid.", "encoder.mid_block.", _vae_middle(width))
    yield from _norm("encoder.norm_out", "encoder.conv_norm_out", width)
    yield from _layer("encoder.conv_out", "encoder.conv_out", moments, width, 3, 3)
    yield from _layer("quant_conv", "quant_conv", moments, moments, 1, 1)


def _vae_decoder(config: VAEConfig) -> Entries:
    widths, last = [mult * config.channels for mult in config.channel_mult], len(config.channel_mult) - 1
    width = widths[-1]
    yield from _layer("decoder.conv_in", "decoder.conv_in", width, config.latent_channels, 3, 3)
    yield from _under("decoder.mid.", "decoder.mid_block.", _vae_middle(width))
    for level in range(last, -1, -1):  # the official index is the level, ours counts the way up
        for layer in range(config.res_blocks + 1):
            ours = f"decoder.up_blocks.{last - level}.resnets.{layer}."
            yield from _under(f"decoder.up.{level}.block.{layer}.", ours, _vae_res_block(width, widths[level]))
            width = widths[level]
        if level > 0:
            ours = f"decoder.up_blocks.{last - level}.upsamplers.0.conv"
            yield from _layer(f"decoder.up.{level}.upsample.conv", ours, width, width, 3, 3)
    yield from _norm("decoder.norm_out", "decoder.conv_norm_out", width)
    yield from _layer("decoder.conv_out", "decoder.conv_out", config.out_channels, width, 3, 3)


def _vae_res_block(into: int, out: int) -> Entries:
    yield from _norm("norm1", "norm1", into)
    yield from _layer("conv1", "conv1", out, into, 3, 3)
    yield from _norm("norm2", "norm2", out)
    yield from _layer("conv2", "conv2", out, out, 3, 3)
    if into != out:
        yield from _layer("nin_shortcut", "conv_shortcut", out, into, 1, 1)


def _vae_middle(width: int) -> Entries:
    yield from _under("block_1.", "resnets.0.", _vae_res_block(width, width))
    yield from _norm("attn_1.norm", "attentions.0.group_norm", width)
    for official, ours in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")):
        weight, bias = _layer(f"attn_1.{official}", f"attentions.0.{ours}", width, width, 1, 1)
        yield from (replace(weight, turn="squeeze"), bias)
    yield from _under("block_2.", "resnets.1.", _vae_res_block(width, width))


def _image_encoder(config: ImageEncoderConfig) -> Entries:
    width, patch = config.width, config.patch_px
    tokens = (config.size_px // patch) ** 2 + 1
    ours = "vision_model.embeddings."
    yield Entry("class_embedding", (f"{ours}class_embedding",), (width,))
    yield Entry("positional_embedding", (f"{ours}position_embedding.weight",), (tokens, width))
    yield Entry("proj", ("visual_projection.weight",), (width, config.embed_dim), "transpose")
    yield from _layer("conv1", f"{ours}patch_embedding", width, 3, patch, patch, bias=False)
    yield from _norm("ln_pre", "vision_model.pre_layrnorm", width)  # transformers' spelling
    for layer in range(config.layers):
        block = _clip_block(width, int(width * config.mlp_ratio))
        yield from _under(f"transformer.resblocks.{layer}.", f"vision_model.encoder.layers.{layer}.", block)
    yield from _norm("ln_post", "vision_model.post_layernorm", width)


def _clip_block(width: int, hidden: int) -> Entries:
    for kind, shape in (("weight", (3 * width, width)), ("bias", (3 * width,))):
        names = tuple(f"self_attn.{name}.{kind}" for name in ("q_proj", "k_proj", "v_proj"))
        yield Entry(f"attn.in_proj_{kind}", names, shape, "split")
    yield from _layer("attn.out_proj", "self_attn.out_proj", width, width)
    yield from _norm("ln_1", "layer_norm1", width)
    yield from _layer("mlp.c_fc", "mlp.fc1", hidden, width)
    yield from _layer("mlp.c_proj", "mlp.fc2", width, hidden)
    yield from _norm("ln_2", "layer_norm2", width)


def _unused(config: VAEConfig) -> Entries:
    """What an SV3D checkpoint carries along: OpenCLIP's text side and the decoder half of the conditioner's VAE."""
    names = ("positional_embedding", "text_projection", "token_embedding.weight", "ln_final.weight", "ln_final.bias")
    for name in names:
        yield Entry(CLIP_PREFIX + name, (), None)
    yield Entry(f"{CLIP_PREFIX}logit_scale", (), ())
    latent = config.latent_channels
    leftovers = chain(_vae_decoder(config), _layer("post_quant_conv", "", latent, latent, 1, 1))
    for entry in _under(ENCODER_PREFIX, "", leftovers):
        yield replace(entry, names=(), turn="as_is")


def _layer(official: str, ours: str, out: int, into: int, *kernel: int, bias: bool = True) -> Entries:
    """A linear layer, or with a kernel's sides a convolution."""
    yield Entry(f"{official}.weight", (f"{ours}.weight",), (out, into, *kernel))
    if bias:
        yield Entry(f"{official}.bias", (f"{ours}.bias",), (out,))


def _norm(official: str, ours: str, width: int) -> Entries:
    for kind in ("weight", "bias"):
        yield Entry(f"{official}.{kind}", (f"{ours}.{kind}",), (width,))


def _perceptron(official: str, ours: str, into: int, hidden: int, out: int) -> Entries:
    """Two linear layers; officially an nn.Sequential with the activation at 1."""
    yield from _layer(f"{official}.0", f"{ours}.linear_1", hidden, into)
    yield from _layer(f"{official}.2", f"{ours}.linear_2", out, hidden)


def _under(official: str, ours: str, entries: Iterable[Entry]) -> Entries:
    """The same entries with a prefix before each side's names."""
    for entry in entries:
        yield replace(entry, key=official + entry.key, names=tuple(ours + name for name in entry.names))


def _of_part(part: Part, entries: Iterable[Entry]) -> Entries:
    for entry in entries:
        yield replace(entry, part=part)
