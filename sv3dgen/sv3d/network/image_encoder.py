"""The image encoder that tells SV3D what the picture shows: the vision tower of OpenCLIP ViT-H/14."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from sv3dgen.sv3d.config import ImageEncoderConfig
from sv3dgen.sv3d.network.antialiased_resize import antialiased_resize


class ImageEncoder(nn.Module):
    """Pictures to embeddings. Parameters have the names of transformers' `CLIPVisionModelWithProjection`."""

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=config.width,
                intermediate_size=int(config.width * config.mlp_ratio),
                num_hidden_layers=config.layers,
                num_attention_heads=config.width // config.head_width,
                image_size=config.size_px,
                patch_size=config.patch_px,
                hidden_act="gelu",  # OpenAI's CLIP has an approximation of it here
                layer_norm_eps=1e-5,
            )
        )
        self.visual_projection = nn.Linear(config.width, config.embed_dim, bias=False)
        # Not in any checkpoint: where the module is built without memory, this has to exist all the same.
        embeddings = self.vision_model.embeddings
        positions = torch.arange(embeddings.num_positions, device="cpu")[None]
        embeddings.register_buffer("position_ids", positions, persistent=False)

    def forward(self, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images embed"]:
        """Embeddings, not normalized, of pictures in [-1, 1], in the dtype of `images`."""
        pixels = self.preprocess(images).to(self.visual_projection.weight.dtype)
        class_token = self.vision_model(pixel_values=pixels).pooler_output
        return self.visual_projection(class_token).to(images.dtype)

    def preprocess(self, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images 3 size size"]:
        """What the network sees of pictures in [-1, 1]: squeezed into its square, with its mean and deviation."""
        resized = antialiased_resize(images.float(), (self.config.size_px, self.config.size_px))
        mean, std = (
            torch.tensor(statistic, device=images.device)[:, None, None]
            for statistic in (self.config.mean, self.config.std)
        )
        return ((resized + 1) / 2 - mean) / std
