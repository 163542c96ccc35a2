"""The picture autoencoder of SV3D: Stable Diffusion's, with frames decoded one by one.

Parameters have the names of diffusers' `AutoencoderKL` without its post-quantization, which SV3D's decoder does not
have. The encoder is the one that SV3D keeps among its conditioners.
"""

from typing import Any

from diffusers.models.unets.unet_2d_blocks import DownEncoderBlock2D, UNetMidBlock2D, UpDecoderBlock2D
from jaxtyping import Float
from torch import Tensor, nn

from sv3dgen.sv3d.config import VAEConfig
from sv3dgen.sv3d.network.norm_groups import check_norm_groups

_NORM_EPS = 1e-6


class ImageVAE(nn.Module):
    """Pictures to latents and back. Computes in the dtype of its weights, answers in that of its input."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        check_norm_groups(config.norm_groups, [config.channels * factor for factor in (1, *config.channel_mult)])
        self.config = config
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)
        self.decoder = Decoder(config)

    @property
    def encoding_modules(self) -> tuple[nn.Module, nn.Module]:
        """What latents depend on; the decoder may change without them."""
        return self.encoder, self.quant_conv

    def moments(
        self, images: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images moments latent_height latent_width"]:
        """Mean and log variance of the latents (in this order along the channels) of pictures in [-1, 1]."""
        return self.quant_conv(self.encoder(images.to(self.quant_conv.weight.dtype))).to(images.dtype)

    def encode(
        self, images: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images latent_channels latent_height latent_width"]:
        """The mean latents of pictures in [-1, 1], not scaled: as they condition the UNet."""
        return self.moments(images)[:, : self.config.latent_channels]

    def decode(
        self, latents: Float[Tensor, "images latent_channels latent_height latent_width"]
    ) -> Float[Tensor, "images channels height width"]:
        """Pictures, mostly in [-1, 1], from scaled latents: `scale_factor` times what `encode` gives."""
        unscaled = latents / self.config.scale_factor
        return self.decoder(unscaled.to(self.decoder.conv_in.weight.dtype)).to(latents.dtype)


class Encoder(nn.Module):
    """Pictures to the moments of latents before `quant_conv`."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        # diffusers' encoder would make the first convolution as wide as the first level, whatever its multiple
        widths = [config.channels] + [config.channels * factor for factor in config.channel_mult]
        self.conv_in = nn.Conv2d(config.in_channels, config.channels, 3, padding=1)
        self.down_blocks = nn.ModuleList(
            DownEncoderBlock2D(
                widths[level],
                widths[level + 1],
                num_layers=config.res_blocks,
                resnet_eps=_NORM_EPS,
                resnet_groups=config.norm_groups,
                add_downsample=level < len(config.channel_mult) - 1,
                downsample_padding=0,  # the block pads by itself, at the right and the bottom alone
            )
            for level in range(len(config.channel_mult))
        )
        self.mid_block = _middle(widths[-1], config.norm_groups)
        self.conv_norm_out = nn.GroupNorm(config.norm_groups, widths[-1], eps=_NORM_EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(
        self, images: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images moments latent_height latent_width"]:
        """Moments of the latents."""
        features = self.conv_in(images)
        for block in self.down_blocks:
            features = block(features)
        return self.conv_out(nn.functional.silu(self.conv_norm_out(self.mid_block(features))))


class Decoder(nn.Module):
    """Unscaled latents to pictures."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.channels * factor for factor in reversed(config.channel_mult)]
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = _middle(widths[0], config.norm_groups)
        self.up_blocks = nn.ModuleList(
            UpDecoderBlock2D(
                widths[max(level - 1, 0)],
                width,
                num_layers=config.res_blocks + 1,
                resnet_eps=_NORM_EPS,
                resnet_groups=config.norm_groups,
                add_upsample=level < len(widths) - 1,
            )
            for level, width in enumerate(widths)
        )
        self.conv_norm_out = nn.GroupNorm(config.norm_groups, widths[-1], eps=_NORM_EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.out_channels, 3, padding=1)

    def forward(
        self, latents: Float[Tensor, "images latent_channels latent_height latent_width"]
    ) -> Float[Tensor, "images channels height width"]:
        """Pictures."""
        features = self.mid_block(self.conv_in(latents))
        for block in self.up_blocks:
            features = block(features)
        return self.conv_out(nn.functional.silu(self.conv_norm_out(features)))


def _middle(channels: int, norm_groups: int) -> UNetMidBlock2D:
    """Two residual blocks with one attention over all pixels, of a single head, between them."""
    no_embedding: Any = None  # there is no noise level to embed
    return UNetMidBlock2D(
        channels, no_embedding, resnet_eps=_NORM_EPS, resnet_groups=norm_groups, attention_head_dim=channels
    )
