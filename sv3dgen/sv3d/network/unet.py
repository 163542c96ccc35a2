"""SV3D's denoising network: Stable Video Diffusion's UNet with a camera for every frame (SV3D, section 3).

Parameters have the names of diffusers' `UNetSpatioTemporalConditionModel`, whose numbers it gives where both can run;
that one takes a single conditioning vector for all frames of a clip.
"""

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from jaxtyping import Float
from torch import Tensor, nn

from sv3dgen.errors import InputError
from sv3dgen.sv3d.config import UNetConfig
from sv3dgen.sv3d.network.norm_groups import check_norm_groups, set_norm_groups
from sv3dgen.sv3d.network.unet_levels import Conditions, DownLevel, MiddleLevel, UpLevel

_NORM_EPS = 1e-5


class VideoUNet(nn.Module):
    """Predicts v = (noise - sigma * clean) / sqrt(1 + sigma^2) for every frame of a clip from all of its frames.

    Set `checkpointing` for a backward pass that recomputes each block's activations instead of keeping them.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False
        widths = [config.channels * factor for factor in config.channel_mult]
        check_norm_groups(config.norm_groups, widths)
        attends = [2**level in config.attention_factors for level in range(len(widths))]
        last = len(widths) - 1

        self.time_proj = Timesteps(config.channels, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(config.channels, config.time_embed_dim)
        self.add_embedding = TimestepEmbedding(sum(config.vector_dims), config.time_embed_dim)
        self.conv_in = nn.Conv2d(config.in_channels, config.channels, 3, padding=1)

        across = [config.channels]  # widths of the features that go across, in the order they are made
        self.down_blocks = nn.ModuleList()
        for level, width in enumerate(widths):
            block = DownLevel(config, across[-1], width, attends=attends[level], last=level == last)
            across += [width] * (config.res_blocks + (level != last))
            self.down_blocks.append(block)

        self.mid_block = MiddleLevel(config, widths[-1])

        self.up_blocks = nn.ModuleList()
        for level in reversed(range(len(widths))):
            below = widths[min(level + 1, last)]
            taken = [across.pop() for _ in range(config.res_blocks + 1)]
            self.up_blocks.append(UpLevel(config, below, taken, widths[level], attends=attends[level], last=level == 0))

        self.conv_norm_out = nn.GroupNorm(config.norm_groups, widths[0], eps=_NORM_EPS)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)
        set_norm_groups(self, config.norm_groups)

    def forward(
        self,
        latents: Float[Tensor, "views in height width"],
        c_noise: Float[Tensor, " clips"],
        context: Float[Tensor, "clips 1 context"],
        vector: Float[Tensor, "views vector"],
        *,
        frames: int,
    ) -> Float[Tensor, "views out height width"]:
        """v for every view, in the dtype of `latents`. Views are the frames of all clips, one clip after the other.

        `latents` are the noisy ones, scaled to unit variance, with those of the conditioning picture as further
        channels; `c_noise` = ln(sigma) / 4; `context` the picture's embedding; `vector` the embedded numbers that
        condition each frame. Computes in the dtype of the weights, or as autocast says. Raises InputError where the
        latents' sides can't be halved as often as the UNet does.
        """
        divisor = 2 ** (len(self.down_blocks) - 1)
        if latents.shape[-2] % divisor or latents.shape[-1] % divisor:
            size = f"{latents.shape[-2]}x{latents.shape[-1]}"
            raise InputError(f"latents: {size} in size, expected both to be multiples of {divisor}")
        dtype = self.conv_in.weight.dtype
        conditions = Conditions(
            embedding=self._embed(c_noise, vector.to(dtype), frames),
            context=context.to(dtype).repeat_interleave(frames, dim=0),
            is_still=torch.zeros(len(c_noise), frames, dtype=dtype, device=latents.device),
            checkpointing=self.checkpointing,
        )

        features = self.conv_in(latents.to(dtype))
        across = [features]
        for level in self.down_blocks:
            across += level(across[-1], conditions)
        features = self.mid_block(across[-1], conditions)
        for level in self.up_blocks:
            features = level(features, across, conditions)
        return self.conv_out(nn.functional.silu(self.conv_norm_out(features))).to(latents.dtype)

    def _embed(
        self, c_noise: Float[Tensor, " clips"], vector: Float[Tensor, "views vector"], frames: int
    ) -> Float[Tensor, "views time_embed"]:
        """Embedding of a clip's noise level and of the numbers that condition each of its frames."""
        time = self.time_embedding(self.time_proj(c_noise).to(vector.dtype))
        return time.repeat_interleave(frames, dim=0) + self.add_embedding(vector)
