"""How many bytes of tensors a plan has on the device at most, computed without a device and without the memory.

Every part is run at its full size on fake tensors, which have shapes and lifetimes but no values, while the bytes of
live storages are counted: what torch's allocator would hand out for the tensors. A convolution counts its input and
its output twice, because libraries that compute in another layout of memory (oneDNN; cuDNN on tensor cores) take that
much workspace. Not in it are the CUDA context and the unused rest of blocks; `USABLE` leaves room for those.
`python -m sv3dgen.bench memory` compares the numbers with what real calls take.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sv3dgen.sv3d.checkpoint.keys import Part
from sv3dgen.sv3d.checkpoint.load import build_parts
from sv3dgen.sv3d.config import SV3DConfig
from sv3dgen.sv3d.memory import PRECISIONS, MemoryPlan, Precision

Stage = Literal["image encoder", "VAE encoder", "UNet", "VAE decoder"]
STAGES: dict[Stage, Part] = {
    "image encoder": "image_encoder",
    "VAE encoder": "vae",
    "UNet": "unet",
    "VAE decoder": "vae",
}
USABLE = 0.9  # share of a card's memory that a preset's tensors may take


@dataclass(frozen=True, kw_only=True)
class Work:
    """One call of a stage: `count` pictures, frames, or (of the UNet) halves, each of them `frames` views."""

    stage: Stage
    count: int
    weights: Precision = "float32"
    autocast: Precision | None = None
    frames: int = 21


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operations inside it make, while they are alive; views are no new ones.

    `peak` includes the workspace of the convolution that runs, `tensor_peak` doesn't.
    """

    def __init__(self, existing: tuple[Tensor, ...] = ()) -> None:
        """Storages of `existing` tensors don't count."""
        super().__init__()
        self.now = self.peak = self.tensor_peak = 0
        self._storages = weakref.WeakKeyDictionary[torch.UntypedStorage, bool]()
        for tensor in existing:
            self._storages[tensor.untyped_storage()] = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._note(leaf.untyped_storage())
        if func is torch.ops.aten.convolution.default:
            self.peak = max(self.peak, self.now + args[0].nbytes + result.nbytes)
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage in self._storages:
            return
        self._storages[storage] = True
        size = storage.nbytes()
        self.now += size
        self.tensor_peak = max(self.tensor_peak, self.now)
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, size).atexit = False

    def _gone(self, size: int) -> None:
        self.now -= size


class NormsInFloat32(TorchFunctionMode):
    """What CUDA's autocast does and the CPU's doesn't: normalizations take and give float32."""

    _NORMS = (nn.functional.group_norm, nn.functional.layer_norm)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self._NORMS:
            args = [_in_float32(value) for value in args]
            kwargs = {key: _in_float32(value) for key, value in (kwargs or {}).items()}
        return func(*args, **(kwargs or {}))


@lru_cache
def weight_bytes(config: SV3DConfig, part: Part, precision: Precision) -> int:
    """Of a part's parameters, exactly."""
    parameters = getattr(build_parts(config), part).parameters()
    return sum(parameter.numel() for parameter in parameters) * PRECISIONS[precision].itemsize


@lru_cache(maxsize=256)
def activation_bytes(config: SV3DConfig, work: Work, size_px: int | None = None) -> int:
    """Largest sum of live tensors and workspace during one call, with its result, without its inputs and the weights.

    At the model's own picture size unless told. On CUDA under autocast, normalizations are in float32.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        part = placed(getattr(build_parts(config), STAGES[work.stage]), PRECISIONS[work.weights], "cpu", _empty)
        call, inputs = stage_call(part, config, work, "cpu", size_px)
        with _autocast_like_cuda(work), LiveBytes((*part.parameters(), *part.buffers(), *inputs)) as live:
            call()
    return live.peak


def plan_peak(config: SV3DConfig, plan: MemoryPlan, *, frames: int | None = None) -> dict[Stage, int]:
    """Bytes of tensors on the device during each stage of one orbit; the largest of them is the plan's peak."""
    works = plan_works(plan, frames or config.frames)
    precisions = {"unet": plan.unet, "vae": plan.vae, "image_encoder": plan.image_encoder}
    weights = {part: weight_bytes(config, part, precision) for part, precision in precisions.items()}
    return {
        work.stage: activation_bytes(config, work)
        + (weights[STAGES[work.stage]] if plan.offload else sum(weights.values()))
        for work in works
    }


def plan_works(plan: MemoryPlan, frames: int) -> tuple[Work, ...]:
    """The largest call of each stage under a plan, for one orbit."""
    halves = 2 if plan.halves_together else 1
    return (
        Work(stage="image encoder", count=1, weights=plan.image_encoder, autocast=plan.autocast),
        Work(stage="VAE encoder", count=1, weights=plan.vae),
        Work(stage="UNet", count=halves, weights=plan.unet, autocast=plan.autocast, frames=frames),
        Work(stage="VAE decoder", count=min(plan.decode_chunk, frames), weights=plan.vae),
    )


def placed(
    module: nn.Module, dtype: torch.dtype, device: torch.device | str, fill: Callable[[Tensor], Tensor]
) -> nn.Module:
    """A module from the meta device with parameters on a device, in a dtype, each made by `torch.empty` and `fill`."""
    for child in module.modules():
        for name, parameter in child.named_parameters(recurse=False):
            values = fill(torch.empty(parameter.shape, dtype=dtype, device=device))
            setattr(child, name, nn.Parameter(values, requires_grad=False))
        for name, buffer in child.named_buffers(recurse=False):
            setattr(child, name, buffer.to(device))
    return module.eval()


def stage_call(
    part: Any, config: SV3DConfig, work: Work, device: torch.device | str, size_px: int | None = None
) -> tuple[Callable[[], Tensor], list[Tensor]]:
    """The call of a stage as the model makes it, and its inputs, which hold zeros; at `size_px` if not the model's."""
    size, count, frames = size_px or config.size_px, work.count, work.frames
    side, channels = size // config.vae.downsampling, config.vae.latent_channels
    if work.stage in ("image encoder", "VAE encoder"):
        pictures = torch.zeros(count, config.vae.in_channels, size, size, device=device)
        call = part if work.stage == "image encoder" else part.encode
        return lambda: call(pictures), [pictures]
    if work.stage == "VAE decoder":
        latents = torch.zeros(count, channels, side, side, device=device)
        return lambda: part.decode(latents), [latents]
    views, vector_dim = count * frames, sum(config.unet.vector_dims)
    inputs = [
        torch.zeros(views, config.unet.in_channels, side, side, device=device),
        torch.zeros(count, device=device),
        torch.zeros(count, 1, config.unet.context_dim, device=device),
        torch.zeros(views, vector_dim, device=device),
    ]
    return lambda: part(*inputs, frames=frames), inputs


@contextmanager
def _autocast_like_cuda(work: Work) -> Iterator[None]:
    if work.autocast is None or work.autocast == "float32":
        yield
        return
    with torch.autocast("cpu", dtype=PRECISIONS[work.autocast]), NormsInFloat32():
        yield


def _empty(values: Tensor) -> Tensor:
    return values


def _in_float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value
