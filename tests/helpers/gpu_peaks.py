"""What the 3D stages hold on a device at once, on the pretend one: python tests/helpers/gpu_peaks.py VIEWS [SETTING...]

One step each of what takes most, on the hull's shape, with the CPU's kernels in the place of Triton's (the same inputs
and results are kept). What a GPU needs next to tensors (context, freed blocks) is not in it. Minutes, on a CPU.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from stage_case import composed, pretended

from guidance import reference_views
from sv3dgen.interfaces import Reference
from sv3dgen.metrics.lpips import Lpips
from sv3dgen.views.posed_views import read_views
from systems.building import build_stage


def peaks(views_folder: Path, settings: list[str]) -> Iterator[tuple[str, int]]:
    """What is done, and the most bytes of large tensors that it has on the device."""
    config = composed(f"views={views_folder}", *settings)
    views, folder = read_views(views_folder), views_folder
    with pytest.MonkeyPatch.context() as patch, pretended(patch, measure=True) as device:
        patch.setattr(reference_views, "_lpips", lambda net, _: Lpips(net=net))  # its weights don't matter
        torch.manual_seed(0)
        coarse = build_stage("coarse", config.coarse).to("pretend")
        coarse.start_from(Reference(views, folder))
        for step in sorted(coarse.data.milestones):
            # All levels open and nothing pruned yet: as many samples as there can be.
            coarse.geometry.levels_open = None
            coarse.geometry.active_levels = coarse.geometry.levels
            device.peak_bytes = 0
            one_step(coarse, step)
            yield f"coarse step {step}", device.peak_bytes
        device.peak_bytes = 0
        mesh = coarse.surface()
        yield "coarse surface", device.peak_bytes
        fine = build_stage("fine", config.fine).to("pretend")
        fine.start_from(Reference(views, folder), mesh, coarse.geometry, coarse.material)
        for step in sorted({*fine.data.milestones, *fine.geometry.resolutions, fine.steps - 1}):
            fine.geometry.build(fine.surface(), step)
            device.peak_bytes = 0
            one_step(fine, step)
            yield f"fine step {step}", device.peak_bytes


def one_step(stage, step: int) -> None:
    stage.train()
    optimizer = stage.configure_optimizers()
    stage.losses_at(step).loss.backward()
    optimizer.step()


if __name__ == "__main__":
    for what, most in peaks(Path(sys.argv[1]), sys.argv[2:]):
        print(f"{what:<20} {most / 2**30:6.2f} GiB", flush=True)
