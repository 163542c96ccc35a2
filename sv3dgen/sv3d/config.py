"""Every size and constant of an SV3D model, and how they are read from the official configuration.

The defaults are SV3D_p's, as released; SV3D_u differs in `unet.vector_dims` alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from sv3dgen.domains import Between
from sv3dgen.errors import InputError

COND_AUG_DIM = 256  # width of the conditioning noise's embedding, in every variant
_EDM_SIGMA_MAX = 80.0  # generative-models' own, where a YAML leaves it out; SV3D's has 700
POSE_DIM = 512  # width of the embedding of each angle, in variants that take poses

Width = Annotated[int, Between(1, 16384)]  # in channels
Few = Annotated[int, Between(1, 128)]  # blocks, layers, or times as many
Side = Annotated[int, Between(8, 4096)]  # in pixels
Level = Annotated[float, Between(-10.0, 10.0)]  # of a color, about its range of 1
Spread = Annotated[float, Between(0.001, 10.0)]


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The spatio-temporal UNet that predicts v from a noisy orbit."""

    in_channels: Width = 8  # noisy latents and the latents of the conditioning picture
    out_channels: Width = 4
    channels: Width = 320
    channel_mult: tuple[Few, ...] = (1, 2, 4, 4)
    res_blocks: Few = 2  # of each level on the way down; one more on the way up
    attention_factors: tuple[Few, ...] = (4, 2, 1)  # downsampling factors of the levels that have transformers
    head_channels: Width = 64
    transformer_depth: Few = 1
    context_dim: Width = 1024  # of the image encoder's embedding
    vector_dims: tuple[Width, ...] = (COND_AUG_DIM, POSE_DIM, POSE_DIM)  # of each number that conditions a frame
    norm_groups: Width = 32  # a level whose width is not many times that loses what a whole channel says

    @property
    def time_embed_dim(self) -> int:
        """Width of the embedding that every residual block gets."""
        return 4 * self.channels

    @property
    def takes_poses(self) -> bool:
        """Whether polar angle and azimuth of each frame condition it (SV3D_p), or neither does (SV3D_u)."""
        return len(self.vector_dims) == 3


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """The picture autoencoder. Its encoder makes the conditioning latents, its decoder the frames."""

    in_channels: Width = 3
    out_channels: Width = 3
    channels: Width = 128
    channel_mult: tuple[Few, ...] = (1, 2, 4, 4)
    res_blocks: Few = 2
    latent_channels: Width = 4
    norm_groups: Width = 32
    # Of what is diffused; the conditioning latents are not scaled.
    scale_factor: Annotated[float, Between(1e-6, 1e6)] = 0.18215

    @property
    def downsampling(self) -> int:
        """Pixels per latent along each side."""
        return 2 ** (len(self.channel_mult) - 1)


@dataclass(frozen=True, kw_only=True)
class ImageEncoderConfig:
    """The vision tower of OpenCLIP ViT-H/14 with its projection."""

    width: Width = 1280
    layers: Few = 32
    head_width: Width = 80
    mlp_ratio: Annotated[float, Between(0.01, 64.0)] = 4.0
    patch_px: Annotated[int, Between(1, 1024)] = 14
    size_px: Side = 224
    embed_dim: Width = 1024
    mean: tuple[Level, Level, Level] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[Spread, Spread, Spread] = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """Noise levels (Karras et al. 2022, eq. 5) and the triangular guidance (SV3D, section 3)."""

    steps: Annotated[int, Between(1, 1000)] = 50
    sigma_min: Annotated[float, Between(1e-6, 1000.0)] = 0.002
    sigma_max: Annotated[float, Between(0.001, 100000.0)] = 700.0
    rho: Annotated[float, Between(0.1, 100.0)] = 7.0
    guidance_min: Annotated[float, Between(0.0, 100.0)] = 1.0
    guidance_max: Annotated[float, Between(0.0, 100.0)] = 2.5
    guidance_period: Annotated[float, Between(0.001, 1000.0)] = 1.0


@dataclass(frozen=True, kw_only=True)
class SV3DConfig:
    """A whole model."""

    unet: UNetConfig = field(default_factory=UNetConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    image_encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    frames: Annotated[int, Between(1, 1000)] = 21  # as in orbits.py, which imports torch, as this does not
    size_px: Side = 576
    # Of the views it hands on, cut out with soft edges; 0: they stay as they are.
    enlarged_px: Annotated[int, Between(0, 4096)] = 0
    # Standard deviation of the noise on the picture that the VAE encodes.
    cond_aug: Annotated[float, Between(0.0, 10.0)] = 1e-5


def misfit(config: SV3DConfig) -> str | None:
    """The first size that does not go with another, in words; None where the network can be built."""
    unet, vae, eye = config.unet, config.vae, config.image_encoder
    lists = {"unet.channel_mult": unet.channel_mult, "vae.channel_mult": vae.channel_mult}
    for key, entries in lists.items():
        if not entries:
            return f"{key}=[]: expected a number for each level"
    if len(unet.vector_dims) not in (1, 3):
        return f"unet.vector_dims={list(unet.vector_dims)}: expected 1 number, or 3 with poses"
    with_transformer = [m for level, m in enumerate(unet.channel_mult) if 2**level in unet.attention_factors]
    shares = [
        *(("unet.channels", unet.channels * m, "unet.norm_groups", unet.norm_groups) for m in unet.channel_mult),
        *(("unet.channels", unet.channels * m, "unet.head_channels", unet.head_channels) for m in with_transformer),
        *(("vae.channels", vae.channels * m, "vae.norm_groups", vae.norm_groups) for m in vae.channel_mult),
        ("image_encoder.width", eye.width, "image_encoder.head_width", eye.head_width),
        ("image_encoder.size_px", eye.size_px, "image_encoder.patch_px", eye.patch_px),
        ("size_px", config.size_px, "vae.downsampling", vae.downsampling),
    ]
    for key, whole, other, part in shares:
        if whole % part:
            return f"{key}: a level of {whole} is not a multiple of {other}={part}, expected one that is"
    return None


def sv3d_p() -> SV3DConfig:
    """SV3D_p: an elevation and an azimuth for every frame."""
    return SV3DConfig()


def sv3d_u() -> SV3DConfig:
    """SV3D_u: a static orbit at the picture's own elevation."""
    return SV3DConfig(unet=UNetConfig(vector_dims=(COND_AUG_DIM,)))


def read_official(document: Mapping[str, Any]) -> SV3DConfig:
    """The sizes in a JSON document with generative-models' YAML as `official_config` and what the YAML leaves out.

    Such a document lies next to a checkpoint whose sizes are not the released ones. Keys besides `official_config`:
    `image_size`, `num_frames`, `cond_aug`, `vector_embedders`, `clip.vision`, `clip.embed_dim`. Raises InputError with
    the key that is missing.
    """
    try:
        params = document["official_config"]["model"]["params"]
        unet = params["network_config"]["params"]
        decoder = params["first_stage_config"]["params"]["decoder_config"]["params"]
        sampler = params["sampler_config"]["params"]
        guider = sampler["guider_config"].get("params", {})
        noise = sampler["discretization_config"].get("params", {})
        clip = document["clip"]
        vision = clip["vision"]
        return SV3DConfig(
            unet=UNetConfig(
                in_channels=unet["in_channels"],
                out_channels=unet["out_channels"],
                channels=unet["model_channels"],
                channel_mult=tuple(unet["channel_mult"]),
                res_blocks=unet["num_res_blocks"],
                attention_factors=tuple(unet["attention_resolutions"]),
                head_channels=unet["num_head_channels"],
                transformer_depth=unet.get("transformer_depth", 1),
                context_dim=unet["context_dim"],
                vector_dims=_vector_dims(document["vector_embedders"], unet["adm_in_channels"]),
            ),
            vae=VAEConfig(
                in_channels=decoder["in_channels"],
                out_channels=decoder["out_ch"],
                channels=decoder["ch"],
                channel_mult=tuple(decoder["ch_mult"]),
                res_blocks=decoder["num_res_blocks"],
                latent_channels=decoder["z_channels"],
                scale_factor=params["scale_factor"],
            ),
            image_encoder=ImageEncoderConfig(
                width=vision["width"],
                layers=vision["layers"],
                head_width=vision["head_width"],
                mlp_ratio=vision["mlp_ratio"],
                patch_px=vision["patch_size"],
                size_px=vision["image_size"],
                embed_dim=clip["embed_dim"],
                mean=tuple(clip.get("mean", ImageEncoderConfig.mean)),
                std=tuple(clip.get("std", ImageEncoderConfig.std)),
            ),
            sampler=SamplerConfig(
                steps=sampler["num_steps"],
                sigma_min=noise.get("sigma_min", SamplerConfig.sigma_min),
                sigma_max=noise.get("sigma_max", _EDM_SIGMA_MAX),
                rho=noise.get("rho", SamplerConfig.rho),
                guidance_min=guider.get("min_scale", SamplerConfig.guidance_min),
                guidance_max=guider.get("max_scale", SamplerConfig.guidance_max),
                guidance_period=float(guider.get("period", SamplerConfig.guidance_period)),
            ),
            frames=document["num_frames"],
            size_px=document["image_size"],
            cond_aug=document["cond_aug"],
        )
    except KeyError as error:
        raise InputError(f"config.json: no {error.args[0]} in it, expected the official configuration") from None


def _vector_dims(embedders: Sequence[Mapping[str, Any]], total: int) -> tuple[int, ...]:
    """The width of each embedded number; of an SV3D_u, whose total is smaller, only the first."""
    dims: list[int] = []
    for embedder in embedders:
        if sum(dims) < total:
            dims.append(embedder["outdim"])
    return tuple(dims)
