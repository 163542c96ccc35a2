"""What the devices of a machine make of a command line."""

import sys

import pytest
import torch

from sv3dgen.cli import device_names
from sv3dgen.cli.command_line import checked_arguments


@pytest.mark.parametrize(
    ("command", "preset"),
    [
        ("views=toy", ["preset=gpu"]),
        ("views=toy device=cuda", ["preset=gpu"]),
        ("views=toy device=cuda:1", ["preset=gpu"]),
        ("views=toy device=cpu", []),
        ("views=toy preset=cpu", []),
        ("-m views=toy device=cpu,cuda", []),
    ],
)
def test_a_gpu_gets_its_preset_where_none_is_chosen(project, here, monkeypatch, command, preset):
    monkeypatch.setattr(device_names, "may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    (project / "conf" / "preset" / "gpu.yaml").write_text("{}")
    given = command.split()
    flags = [text for text in given if text.startswith("-")]
    assert checked_arguments(given, project) == [*flags, *preset, *(text for text in given if text not in flags)]


def test_without_a_gpus_driver_torch_is_not_asked(project, here, monkeypatch):
    monkeypatch.setattr(device_names, "may_have_gpu", lambda: False)
    monkeypatch.setitem(sys.modules, "sv3dgen.devices", None)  # its import would fail
    assert checked_arguments(["views=toy"], project) == ["views=toy"]
