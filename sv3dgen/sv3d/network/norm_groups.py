"""The number of groups of a network's group normalizations, of which diffusers' blocks make 32 each."""

from collections.abc import Iterable

from torch import nn

from sv3dgen.errors import InputError


def check_norm_groups(groups: int, widths: Iterable[int]) -> None:
    """Raise InputError where a width can't be divided by the number."""
    for width in widths:
        if groups < 1 or width % groups:
            raise InputError(f"norm_groups={groups}: expected a number that divides {width} channels")


def set_norm_groups(network: nn.Module, groups: int) -> None:
    """Let every group normalization of a network have so many groups; none has parameters that depend on it.

    With as many groups as channels each channel is normalized by itself, over one picture: what the whole of it says, a
    picture's color for one, is lost.
    """
    for layer in network.modules():
        if isinstance(layer, nn.GroupNorm):
            layer.num_groups = groups
