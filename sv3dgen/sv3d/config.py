"""Every size and constant of an SV3D model, and how they are read from the official configuration.

The defaults are SV3D_p's, as released; SV3D_u differs in `unet.vector_dims` alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sv3dgen.errors import InputError

COND_AUG_DIM = 256  # width of the conditioning noise's embedding, in every variant
_EDM_SIGMA_MAX = 80.0  # generative-models' own, where a YAML leaves it out; SV3D's has 700
POSE_DIM = 512  # width of the embedding of each angle, in variants that take poses


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The spatio-temporal UNet that predicts v from a noisy orbit."""

    in_channels: int = 8  # noisy latents and the latents of the conditioning picture
    out_channels: int = 4
    channels: int = 320
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    res_blocks: int = 2  # of each level on the way down; one more on the way up
    attention_factors: tuple[int, ...] = (4, 2, 1)  # downsampling factors of the levels that have transformers
    head_channels: int = 64
    transformer_depth: int = 1
    context_dim: int = 1024  # of the image encoder's embedding
    vector_dims: tuple[int, ...] = (COND_AUG_DIM, POSE_DIM, POSE_DIM)  # of each number that conditions a frame
    norm_groups: int = 32  # a level whose width is not many times that loses what a whole channel says

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

    in_channels: int = 3
    out_channels: int = 3
    channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    res_blocks: int = 2
    latent_channels: int = 4
    norm_groups: int = 32
    scale_factor: float = 0.18215  # of what is diffused; the conditioning latents are not scaled

    @property
    def downsampling(self) -> int:
        """Pixels per latent along each side."""
        return 2 ** (len(self.channel_mult) - 1)


@dataclass(frozen=True, kw_only=True)
class ImageEncoderConfig:
    """The vision tower of OpenCLIP ViT-H/14 with its projection."""

    width: int = 1280
    layers: int = 32
    head_width: int = 80
    mlp_ratio: float = 4.0
    patch_px: int = 14
    size_px: int = 224
    embed_dim: int = 1024
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """Noise levels (Karras et al. 2022, eq. 5) and the triangular guidance (SV3D, section 3)."""

    steps: int = 50
    sigma_min: float = 0.002
    sigma_max: float = 700.0
    rho: float = 7.0
    guidance_min: float = 1.0
    guidance_max: float = 2.5
    guidance_period: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SV3DConfig:
    """A whole model."""

    unet: UNetConfig = field(default_factory=UNetConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    image_encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    frames: int = 21  # as in orbits.py, which imports torch: sizes are checked before that
    size_px: int = 576
    enlarged_px: int = 0  # of the views it hands on, cut out with soft edges; 0: they stay as they are
    cond_aug: float = 1e-5  # standard deviation of the noise on the picture that the VAE encodes


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
