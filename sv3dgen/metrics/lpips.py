"""LPIPS (arXiv 1801.03924): distance of two images in the features of a classification network.

Written out as the few convolutions it is, so that nothing pulls in torchvision. The linear weights on top are those of
LPIPS 0.1, read from the file that torchmetrics ships; the network's own file is fetched once into torch.hub's folder.
"""

import hashlib
import logging
import shutil
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sv3dgen.atomic import atomic_write

log = logging.getLogger(__name__)

Net = Literal["vgg", "alex"]

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet statistics for images in [-1, 1]
_TIMEOUT_S = 15


@dataclass(frozen=True)
class _Convolution:
    """One layer of a backbone with what comes before it and whether LPIPS looks at its output."""

    index: int  # of the layer in torchvision's `features`
    channels: tuple[int, int]
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    pool: tuple[int, int] | None = None  # kernel and stride of a max pooling before the layer
    tapped: bool = False


@dataclass(frozen=True)
class _Backbone:
    file: str  # its name ends in the first digits of its sha256
    layers: tuple[_Convolution, ...]
    smallest_px: int


def _vgg_layers() -> tuple[_Convolution, ...]:
    layers, index, last = [], 0, 3
    for block, (width, depth) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        for position in range(depth):
            pool = (2, 2) if block and position == 0 else None
            layers.append(_Convolution(index, (last, width), pool=pool, tapped=position == depth - 1))
            index, last = index + 2, width
        index += 1
    return tuple(layers)


_BACKBONES = {
    "vgg": _Backbone("vgg16-397923af.pth", _vgg_layers(), 16),
    "alex": _Backbone(
        "alexnet-owt-7be5be79.pth",
        (
            _Convolution(0, (3, 64), kernel=11, stride=4, padding=2, tapped=True),
            _Convolution(3, (64, 192), kernel=5, padding=2, pool=(3, 2), tapped=True),
            _Convolution(6, (192, 384), pool=(3, 2), tapped=True),
            _Convolution(8, (384, 256), tapped=True),
            _Convolution(10, (256, 256), tapped=True),
        ),
        31,
    ),
}


class Lpips(nn.Module):
    """The distance, for images in [0, 1]. Weights are frozen, and kept out of checkpoints.

    Made with random weights; `load_lpips` gives the trained one. `bfloat16` runs the convolutions in bfloat16, which on
    a CPU with instructions for it takes a fifth of the time.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, *, net: Net = "vgg", bfloat16: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.backbone = _BACKBONES[net]
        self.dtype = torch.bfloat16 if bfloat16 else torch.float32
        generator = torch.Generator().manual_seed(seed)
        for layer in self.backbone.layers:
            fan_in, fan_out = layer.channels
            shape = (fan_out, fan_in, layer.kernel, layer.kernel)
            weight = torch.randn(shape, generator=generator) * (2 / (fan_in * layer.kernel**2)) ** 0.5
            weight = weight.to(self.dtype, memory_format=torch.channels_last)
            self.register_buffer(f"weight_{layer.index}", weight, persistent=False)
            self.register_buffer(f"bias_{layer.index}", torch.zeros(fan_out, dtype=self.dtype), persistent=False)
        for tap, layer in enumerate(self._taps):
            width = layer.channels[1]
            self.register_buffer(f"linear_{tap}", torch.rand(width, generator=generator) / width, persistent=False)
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)

    @property
    def smallest_px(self) -> int:
        """Images with a shorter side vanish in the pooling."""
        return self.backbone.smallest_px

    @property
    def _taps(self) -> list[_Convolution]:
        return [layer for layer in self.backbone.layers if layer.tapped]

    def forward(
        self, rendered: Float[Tensor, "images 3 height width"], target: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, " images"]:
        """Distance of each pair; differentiable in the first image only."""
        with torch.no_grad():
            expected = self.features(target)
        total = rendered.new_zeros(len(rendered))
        for tap, (got, wanted) in enumerate(zip(self.features(rendered), expected, strict=True)):
            difference = (_unit(got) - _unit(wanted)).square()
            weight = getattr(self, f"linear_{tap}")
            total = total + torch.einsum("nchw,c->n", difference, weight) / (difference.shape[2] * difference.shape[3])
        return total

    def features(self, images: Float[Tensor, "images 3 height width"]) -> list[Float[Tensor, "images _ _ _"]]:
        """The five activations that are compared, of images in [0, 1]."""
        values = ((2 * images - 1) - self.shift) / self.scale
        values = values.to(self.dtype, memory_format=torch.channels_last)
        activations = []
        for layer in self.backbone.layers:
            if layer.pool:
                values = nn.functional.max_pool2d(values, *layer.pool)
            weight, bias = getattr(self, f"weight_{layer.index}"), getattr(self, f"bias_{layer.index}")
            values = nn.functional.conv2d(values, weight, bias, stride=layer.stride, padding=layer.padding).relu()
            if layer.tapped:
                activations.append(values.float())
        return activations

    def read(self, backbone: Path, linear: Path) -> None:
        """Take the trained weights from torchvision's file of the network and from LPIPS's file of linear weights."""
        trained = torch.load(backbone, map_location="cpu", weights_only=True)
        for layer in self.backbone.layers:
            getattr(self, f"weight_{layer.index}").copy_(trained[f"features.{layer.index}.weight"])
            getattr(self, f"bias_{layer.index}").copy_(trained[f"features.{layer.index}.bias"])
        weights = torch.load(linear, map_location="cpu", weights_only=True)
        for tap in range(len(self._taps)):
            getattr(self, f"linear_{tap}").copy_(weights[f"lin{tap}.model.1.weight"].flatten())


def load_lpips(net: Net = "vgg") -> Lpips | None:
    """The trained distance, or None and one logged line where its weights cannot be had."""
    try:
        linear, backbone = _linear_file(net), _backbone_file(_BACKBONES[net].file)
        module = Lpips(net=net, bfloat16=_fast_bfloat16())
        module.read(backbone, linear)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        log.warning("LPIPS is left out: %s", error)
        return None
    return module.requires_grad_(False)


def is_at_hand(net: Net = "vgg") -> bool:
    """Whether the network's file is on this machine already, so that nothing would be fetched."""
    return (Path(torch.hub.get_dir()) / "checkpoints" / _BACKBONES[net].file).is_file()


def _unit(features: Tensor) -> Tensor:
    """Features scaled to length 1 over the channels; the constant keeps the gradient finite where all are 0."""
    return features * torch.rsqrt(features.square().sum(1, keepdim=True) + 1e-8)


def _fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware; elsewhere autocast would only slow it down."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def _linear_file(net: Net) -> Path:
    """Where torchmetrics keeps the linear weights; found without importing it."""
    package = find_spec("torchmetrics")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("torchmetrics, which ships its linear weights, is not installed")
    return Path(package.origin).parent / "functional" / "image" / "lpips_models" / f"{net}.pth"


def _backbone_file(name: str) -> Path:
    """The network's file in torch.hub's folder, fetched if it is not there. Raises OSError or ValueError."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    digest = name.split("-")[-1].removesuffix(".pth")
    if not path.exists():
        url = f"https://download.pytorch.org/models/{name}"
        log.info("fetching %s once, into %s", url, path.parent)
        try:
            with atomic_write(path) as partial:
                _fetch(url, partial)
                _check_digest(partial, digest)
        except (OSError, HTTPException) as error:
            raise OSError(f"{url} could not be fetched into {path.parent} ({error})") from error
    _check_digest(path, digest)
    return path


def _fetch(url: str, path: Path) -> None:
    with path.open("wb") as file, urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
        shutil.copyfileobj(response, file, 1 << 20)


def _check_digest(path: Path, digest: str) -> None:
    with path.open("rb") as file:
        if not hashlib.file_digest(file, "sha256").hexdigest().startswith(digest):
            raise ValueError(f"{path} is damaged: its sha256 does not start with {digest}; delete it to fetch it again")
