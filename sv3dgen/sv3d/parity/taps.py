"""What goes on inside the UNet, under the official names of its blocks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from sv3dgen.sv3d.network.unet import VideoUNet

Taps = Callable[..., Iterator[tuple[str, Tensor]]]


@contextmanager
def tapped(network: VideoUNet) -> Iterator[Taps]:
    """Record the blocks' outputs while the network runs. Afterwards ask for those of one of its images.

    The noise level's embedding is the last clip's, the label embedding that of the last `frames` images.
    """
    recorded: dict[str, Tensor] = {}

    def recorder(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def record(module: nn.Module, given: Any, made: Any) -> None:
            recorded[name] = made[0] if isinstance(made, tuple) else made

        return record

    hooks = [module.register_forward_hook(recorder(name)) for name, module in _blocks(network)]

    def taken(*, image: int, frames: int) -> Iterator[tuple[str, Tensor]]:
        for name, made in recorded.items():
            if name == "time_embed":
                yield f"dbg.{name}", made[-1:]
            else:
                yield f"dbg.{name}", made[-frames:] if name == "label_emb" else made[image]

    try:
        yield taken
    finally:
        for hook in hooks:
            hook.remove()


def _blocks(network: VideoUNet) -> Iterator[tuple[str, nn.Module]]:
    yield "time_embed", network.time_embedding
    yield "label_emb", network.add_embedding
    yield "input_blocks.0", network.conv_in
    index = 1
    levels: Any = network.down_blocks  # lists of modules, which no type tells
    for level in levels:
        for layer in range(len(level.resnets)):
            yield f"input_blocks.{index}", _last_of(level, layer)
            index += 1
        if hasattr(level, "downsamplers"):
            yield f"input_blocks.{index}", level.downsamplers[0]
            index += 1
    yield "middle_block", network.mid_block
    index, levels = 0, network.up_blocks
    for level in levels:
        for layer in range(len(level.resnets)):
            ends = layer == len(level.resnets) - 1 and hasattr(level, "upsamplers")
            yield f"output_blocks.{index}", level.upsamplers[0] if ends else _last_of(level, layer)
            index += 1


def _last_of(level: Any, layer: int) -> nn.Module:
    """A residual block, or the transformer that follows it."""
    return level.attentions[layer] if hasattr(level, "attentions") else level.resnets[layer]
