"""Weights in shards over the processes of a group (FSDP), and whole again where they are saved."""

from collections.abc import Iterable

from diffusers.models.resnet import SpatioTemporalResBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

_UNITS = (SpatioTemporalResBlock, TransformerSpatioTemporalModel)


def shard(parts: Iterable[nn.Module], mesh: DeviceMesh) -> None:
    """Have each process keep a shard of every parameter; those of a block are gathered while it computes.

    A level of the UNet can't be the unit: it takes features off a list, and the list that it gets would be a copy.
    """
    for part in parts:
        for module in part.modules():
            if isinstance(module, _UNITS):
                fully_shard(module, mesh=mesh)
        fully_shard(part, mesh=mesh)


def whole(tensor: Tensor) -> Tensor:
    """The tensor itself; of a sharded one all of it, for which all processes have to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def sharded_like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor in the shards of another, if that has any."""
    if isinstance(other, DTensor):
        return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements)
    return tensor.to(other.device)
