"""What of a model lies where, in which precision, and how much of it is computed at once.

None of it but the precision changes a result by more than rounding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sv3dgen.devices import find_device
from sv3dgen.domains import Count
from sv3dgen.errors import InputError
from sv3dgen.sv3d.denoiser import Network

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """How a model is held and run. The defaults are exact: everything in float32, nothing moved, halves together."""

    unet: Precision = "float32"  # of the stored weights
    image_encoder: Precision = "float32"
    vae: Precision = "float32"  # as official; its decoder overflows in float16
    autocast: Precision | None = None  # of products and convolutions in the UNet and the image encoder
    encode_chunk: Count = 1  # pictures in one call of the image encoder and of the VAE's encoder
    decode_chunk: Count = 14  # frames in one call of its decoder, as official; frames are decoded independently
    offload: bool = False  # a part is on the device only while it is in use
    halves_together: bool = True  # conditional and unconditional half in one call of the UNet, or one after the other
    clips_together: Count = 1  # orbits in one call; with one, an orbit of a batch is bit for bit what it is alone

    def __post_init__(self) -> None:
        for key in ("unet", "image_encoder", "vae", "autocast"):
            name = getattr(self, key)
            if name not in PRECISIONS and not (key == "autocast" and name is None):
                raise InputError(f"memory.{key}={name}: expected one of {', '.join(PRECISIONS)}")
        for key in ("encode_chunk", "decode_chunk", "clips_together"):
            if getattr(self, key) < 1:
                raise InputError(f"memory.{key}={getattr(self, key)}: expected at least 1")

    @property
    def unet_dtype(self) -> torch.dtype:
        return PRECISIONS[self.unet]

    @property
    def image_encoder_dtype(self) -> torch.dtype:
        return PRECISIONS[self.image_encoder]

    @property
    def vae_dtype(self) -> torch.dtype:
        return PRECISIONS[self.vae]

    def computing(self, device: torch.device) -> torch.autocast:
        """The context in which the UNet and the image encoder are called."""
        if self.autocast is None or self.autocast == "float32":
            return torch.autocast(device.type, enabled=False)
        return torch.autocast(device.type, dtype=PRECISIONS[self.autocast])


PLANS: dict[str, MemoryPlan] = {
    "8gb": MemoryPlan(
        unet="float16",
        image_encoder="float16",
        autocast="float16",
        decode_chunk=3,
        offload=True,
        halves_together=False,
    ),
    "12gb": MemoryPlan(unet="float16", image_encoder="float16", autocast="float16", decode_chunk=3),
    "16gb": MemoryPlan(unet="float16", image_encoder="float16", autocast="float16", decode_chunk=5),
    "24gb": MemoryPlan(autocast="float16", decode_chunk=7),  # float32 weights under autocast, as the official script
    "cpu": MemoryPlan(decode_chunk=1, halves_together=False),  # exact; nothing is faster there in larger calls
}
"""By the memory of a card; `conf/memory/` holds the same, docs/memory.md the peak of each (`footprint.plan_peak`)."""


def plan_for(device: torch.device | str) -> MemoryPlan:
    """The fast plan of a device: half precision where it computes in it natively, else float32.

    bfloat16 before float16, whose range the UNet's activations can leave. A GPU gets the largest plan that it holds.
    """
    device = find_device(device)
    if device.type == "cuda":
        half = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
        return plan_for_gpu(torch.cuda.get_device_properties(device).total_memory, half)
    if device.type == "cpu" and cpu_computes_bfloat16():
        return replace(PLANS["cpu"], unet="bfloat16", image_encoder="bfloat16", autocast="bfloat16")
    return PLANS["cpu"] if device.type == "cpu" else MemoryPlan()


def plan_for_gpu(memory_bytes: int, half: Precision) -> MemoryPlan:
    """The fastest plan in half precision for a card of some size; below 8 GB it is that of 8 GB, which may fit."""
    if memory_bytes >= 23e9:  # what cards sold as 24 GB have, or a little more
        return MemoryPlan(unet=half, image_encoder=half, autocast=half, decode_chunk=7)
    name = "16gb" if memory_bytes >= 15e9 else "12gb" if memory_bytes >= 11.5e9 else "8gb"
    return replace(PLANS[name], unet=half, image_encoder=half, autocast=half)


def cpu_computes_bfloat16(cpuinfo: str | Path = "/proc/cpuinfo") -> bool:
    """Whether the processor has bfloat16 products (AMX, AVX-512 or Arm's); where it can't be read, no."""
    try:
        lines = Path(cpuinfo).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return not {"amx_bf16", "avx512_bf16", "bf16"}.isdisjoint(flags.split())


@contextmanager
def on_device(part: nn.Module, device: torch.device, *, stay: bool) -> Iterator[None]:
    """Have a part on the device; unless it may `stay`, it leaves afterwards.

    Its tensors in main memory are kept and put back, so leaving copies nothing and memory-mapped weights stay mapped.
    """
    if stay:
        part.to(device)
        yield
        return
    tensors = [*part.parameters(), *part.buffers()]
    homes = [tensor.data for tensor in tensors]
    try:
        for tensor in tensors:
            tensor.data = tensor.data.to(device)
        yield
    finally:
        for tensor, home in zip(tensors, homes, strict=True):
            tensor.data = home


def as_planned(network: Network, plan: MemoryPlan, device: torch.device) -> Network:
    """The network with the plan's precision around every call."""

    def call(
        latents: Float[Tensor, "images in_channels height width"],
        c_noise: Float[Tensor, " clips"],
        context: Float[Tensor, "clips 1 context_dim"],
        vector: Float[Tensor, "images vector_dim"],
        *,
        frames: int,
    ) -> Float[Tensor, "images out_channels height width"]:
        with plan.computing(device):
            return network(latents, c_noise, context, vector, frames=frames)

    return call
