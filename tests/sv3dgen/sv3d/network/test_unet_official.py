"""The UNet against the official code's outputs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sv3d_case import SV3DCase, read_case
from torch import Tensor, nn

from sv3dgen.sv3d.network.unet import VideoUNet


@pytest.fixture(scope="module")
def case(shared: Path) -> SV3DCase:
    return read_case(shared)


@pytest.fixture(scope="module")
def official(case: SV3DCase) -> VideoUNet:
    return case.parts.unet


def official_inputs(case: SV3DCase, index: int) -> dict[str, Any]:
    """Both halves of a guided call, the unconditional one first, as the official code batches them."""
    io, frames = case.io, len(case.io["cond.vector"])
    c_in, c_noise = io["den.scalings"][index, 2:]
    noisy = io[f"den.x.{index}"] * c_in
    picture = io["cond.concat"].expand(frames, -1, -1, -1)
    halves = [torch.cat([noisy, torch.zeros_like(picture)], dim=1), torch.cat([noisy, picture], dim=1)]
    return {
        "latents": torch.cat(halves),
        "c_noise": c_noise.repeat(2),
        "context": torch.cat([torch.zeros_like(io["cond.crossattn"]), io["cond.crossattn"]]),
        "vector": io["cond.vector"].repeat(2, 1),
        "frames": frames,
    }


@pytest.mark.parametrize("index", [0, 1, 2])
@torch.no_grad()
def test_official_network_outputs(case: SV3DCase, official: VideoUNet, index: int) -> None:
    without, conditional = official(**official_inputs(case, index)).chunk(2)
    # 1.3e-4 is what the wrong epsilon of the group norms does
    torch.testing.assert_close(without, case.io[f"den.net_uncond.{index}"], rtol=0, atol=3e-5)
    torch.testing.assert_close(conditional, case.io[f"den.net_cond.{index}"], rtol=0, atol=3e-5)


@torch.no_grad()
def test_official_block_outputs(case: SV3DCase, official: VideoUNet) -> None:
    taps: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: taps.update({name: _tensor(output)}))
        for name, module in tapped(official)
    ]
    official(**official_inputs(case, 0))
    for handle in handles:
        handle.remove()
    frame = len(case.io["cond.vector"]) + 3
    for name, tap in taps.items():
        torch.testing.assert_close(tap[frame], case.io[f"dbg.{name}"], rtol=0, atol=3e-5, msg=name)
    assert {f"dbg.{name}" for name in taps} == {name for name in case.io if name.startswith("dbg.") and "block" in name}


def tapped(unet: VideoUNet) -> list[tuple[str, nn.Module]]:
    """The module whose output is that of each official block, by the block's official name."""
    down: list[nn.Module] = [unet.conv_in]
    level: Any
    for level in unet.down_blocks:
        down += getattr(level, "attentions", level.resnets)
        down += getattr(level, "downsamplers", [])
    up: list[nn.Module] = []
    for level in unet.up_blocks:
        up += getattr(level, "attentions", level.resnets)
        up[-1] = getattr(level, "upsamplers", up[-1:])[0]
    names = [f"input_blocks.{index}" for index in range(len(down))] + ["middle_block"]
    return list(zip(names + [f"output_blocks.{i}" for i in range(len(up))], [*down, unet.mid_block, *up], strict=True))


def _tensor(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


@torch.no_grad()
def test_official_embeddings(case: SV3DCase, official: VideoUNet) -> None:
    time = official.time_embedding(official.time_proj(case.io["den.scalings"][:1, 3]))
    torch.testing.assert_close(time, case.io["dbg.time_embed"], rtol=0, atol=1e-5)
    label = official.add_embedding(case.io["cond.vector"])
    torch.testing.assert_close(label, case.io["dbg.label_emb"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_official_network_without_poses(case: SV3DCase, official: VideoUNet, shared: Path) -> None:
    unet = VideoUNet(replace(official.config, vector_dims=(256,)))
    label = load_file(shared / "parity" / "dev" / "sv3d_u_overrides.safetensors")
    other = {}  # all weights but those of the vector's embedding are shared
    for layer, index in (("linear_1", 0), ("linear_2", 2)):
        for kind in ("weight", "bias"):
            other[f"add_embedding.{layer}.{kind}"] = label[f"model.diffusion_model.label_emb.0.{index}.{kind}"].float()
    unet.load_state_dict(official.state_dict() | other)
    c_skip, c_out = case.io["den.scalings"][1, :2]
    without, conditional = unet(**official_inputs(case, 1) | {"vector": case.io["u.vector"].repeat(2, 1)}).chunk(2)
    for name, v in (("uncond", without), ("cond", conditional)):
        denoised = c_out * v + c_skip * case.io["den.x.1"]
        torch.testing.assert_close(denoised, case.io[f"u.denoised_{name}"], rtol=0, atol=3e-5)


# Sizes and names
