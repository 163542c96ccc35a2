"""The number of groups of a network's group normalisations, of which diffusers' blocks make 32 each."""

from torch import nn

from sv3dgen.errors import InputError


def set_norm_groups(network: nn.Module, groups: int) -> None:
    """Let every group normalisation of a network have so many groups; none has parameters that depend on it.

    With as many groups as channels each channel is normalised by itself, over one picture: what the whole of it says, a
    picture's colour for one, is lost. Raises InputError where a width can't be divided by the number.
    """
    for layer in network.modules():
        if isinstance(layer, nn.GroupNorm):
            if groups < 1 or layer.num_channels % groups:
                raise InputError(f"norm_groups={groups}: expected a number that divides {layer.num_channels} channels")
            layer.num_groups = groups
