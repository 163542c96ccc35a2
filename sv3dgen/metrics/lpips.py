"""LPIPS (arXiv 1801.03924): distance of two images in the features of a classification network.

Written out as the few convolutions it is, so that nothing pulls in torchvision. AlexNet's weights come with the package
(`sv3dgen/lpips_alexnet`). VGG16's are a file of the user's or fetched once into torch.hub's folder; the linear weights
0.1 on top of it are read from the file that torchmetrics ships.
"""

import hashlib
import logging
import shutil
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from sv3dgen.atomic import atomic_write
from sv3dgen.errors import InputError

log = logging.getLogger(__name__)

Net = Literal["vgg", "alex"]
SHIPPED = Path(__file__).parents[1] / "lpips_alexnet" / "lpips_alexnet.safetensors"
NAMES = {"alex": "AlexNet, weights of LPIPS 0.1", "vgg": "VGG16, weights of LPIPS 0.1"}

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


VGG_FILE = "vgg16-397923af.pth"  # in torch.hub's folder; its name ends in the first digits of its sha256
_BACKBONES = {
    "vgg": _Backbone(_vgg_layers(), 16),
    "alex": _Backbone(
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
        self.net: Net = net
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

    def take(self, trained: Mapping[str, Tensor]) -> None:
        """Take the network's trained weights, by torchvision's names. Raises ValueError where one is missing."""
        for layer in self.backbone.layers:
            for kind in ("weight", "bias"):
                _fill(getattr(self, f"{kind}_{layer.index}"), trained, f"features.{layer.index}.{kind}")

    def take_linear(self, linear: Mapping[str, Tensor]) -> None:
        """Take the linear weights, by LPIPS's names. Raises ValueError where one is missing."""
        for tap in range(len(self._taps)):
            _fill(getattr(self, f"linear_{tap}"), linear, f"lin{tap}.model.1.weight")


def load_lpips(net: Net = "alex", file: str | Path | None = None, *, fast: bool = False) -> Lpips | None:
    """The trained distance; of VGG16, None and one logged line where its weights cannot be had.

    `file` has the network's weights in place of those that are shipped or fetched: *.pth or *.safetensors with
    torchvision's names. Raises InputError where it is no such file. `fast` computes in bfloat16 where the CPU
    multiplies it in hardware, which is off by about a hundredth.
    """
    module = Lpips(net=net, bfloat16=fast and _fast_bfloat16()).requires_grad_(False)
    if file is not None:
        _take_of_user(module, Path(file))
    if net == "alex":
        shipped = load_file(SHIPPED)
        module.take_linear(shipped)
        if file is None:
            module.take(shipped)
        return module
    try:
        module.take_linear(_tensors(_linear_file(net)))
        if file is None:
            module.take(_tensors(_fetched(VGG_FILE)))
    except (OSError, ValueError, ModuleNotFoundError) as error:
        log.warning("LPIPS is left out: %s", error)
        return None
    return module


def vgg_at_hand() -> Path | None:
    """VGG16's file, where it is on this machine already."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / VGG_FILE
    return path if path.is_file() else None


def _fill(buffer: Tensor, stored: Mapping[str, Tensor], name: str) -> None:
    found = stored.get(name)
    if found is None or found.numel() != buffer.numel():
        got = "nothing" if found is None else f"shape {tuple(found.shape)}"
        raise ValueError(f"{name}: expected shape {tuple(buffer.shape)}, got {got}")
    buffer.copy_(found.reshape(buffer.shape))


def _take_of_user(module: Lpips, path: Path) -> None:
    try:
        module.take(_tensors(path))
    except (OSError, ValueError) as error:
        wanted = f"{NAMES[module.net].partition(',')[0]}'s weights by torchvision's names, *.pth or *.safetensors"
        raise InputError(f"{path}: expected {wanted} ({error})") from error


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a *.safetensors or *.pth file by name. Raises OSError or ValueError."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a broken pickle fails in any way
        raise ValueError(" ".join(str(error).split())[:200] or "the file is damaged") from error
    if not isinstance(found, dict):
        raise ValueError(f"the file holds a {type(found).__name__}")
    return found


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


def _fetched(name: str) -> Path:
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
