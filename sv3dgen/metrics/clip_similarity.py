"""CLIP-S: the cosine of two pictures' CLIP image embeddings, the mean of which over views the paper's tables give.

The paper does not say which CLIP. Numbers of different ones do not compare, so a report names the one it used.
Weights come from a folder or from the hub's cache on this machine; nothing is ever fetched.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sv3dgen.documents.json_text import parse_json
from sv3dgen.errors import InputError

DEFAULT = "openai/clip-vit-large-patch14"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of all of OpenAI's


class ClipSimilarity(nn.Module):
    """Cosine of the embeddings of picture pairs; weights are frozen."""

    mean: Tensor
    std: Tensor

    def __init__(self, vision: nn.Module, projection: nn.Module, *, name: str, size_px: int) -> None:
        super().__init__()
        self.name, self.size_px = name, size_px
        self.vision, self.projection = vision, projection
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)
        self.requires_grad_(False).eval()

    def forward(
        self, first: Float[Tensor, "images 3 height width"], second: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, " images"]:
        """Cosine in [-1, 1] of each pair of sRGB pictures in [0, 1], which are squeezed into CLIP's square."""
        with torch.no_grad():
            return torch.nn.functional.cosine_similarity(self.embed(first), self.embed(second), dim=-1)

    def embed(self, images: Float[Tensor, "images 3 height width"]) -> Float[Tensor, "images embed"]:
        """Embeddings, not normalized."""
        size = (self.size_px, self.size_px)
        resized = nn.functional.interpolate(images.float(), size=size, mode="bicubic", antialias=True).clamp(0, 1)
        tokens = self.vision(pixel_values=(resized - self.mean) / self.std)
        return self.projection(tokens.pooler_output)


def load_clip(where: str | None = None) -> ClipSimilarity | str:
    """CLIP from a folder, or by its name from the hub's cache; or in words why it cannot be had.

    None stands for `DEFAULT`. Raises InputError for a folder that does not hold one.
    """
    name = where or DEFAULT
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(f"{folder}: expected a folder with a CLIP model of transformers, with its config.json")
        try:
            kind = parse_json((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
        except (OSError, ValueError, TypeError, KeyError):
            kind = None
        if kind != "clip":
            raise InputError(f"{folder}: its config.json is not of a CLIP model")
        source, name = str(folder), folder.resolve().name
    else:
        from huggingface_hub import try_to_load_from_cache

        try:
            cached = try_to_load_from_cache(name, "config.json")
        except ValueError as error:
            raise InputError(f"--clip {name}: expected a folder or the name of a hub repository") from error
        if not isinstance(cached, str):
            return f"{name} is not in the hub's cache on this machine"
        source = str(Path(cached).parent)
    from transformers import CLIPModel

    try:
        model = CLIPModel.from_pretrained(source, local_files_only=True)
    except (OSError, ValueError) as error:
        if folder.is_dir():
            raise InputError(f"{folder}: {(str(error).splitlines() or ['cannot be read'])[0]}") from error
        return f"{name} is not whole in the hub's cache on this machine"
    size_px = model.vision_model.config.image_size
    assert isinstance(size_px, int)
    return ClipSimilarity(model.vision_model, model.visual_projection, name=name, size_px=size_px)
