"""The doctor tells facts, in words and as JSON."""

import json
from types import SimpleNamespace

import pytest
import torch

from sv3dgen.doctor import EXTRAS, examine, main, report
from sv3dgen.kernels.backend import IMPLEMENTATIONS


def test_json_holds_every_fact(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["versions"]["torch"] and facts["cpu"]["cores"] >= 1 and facts["cpu"]["numba_threads"] >= 1
    assert facts["devices"][-1]["type"] == "cpu"
    assert {operation["operation"] for operation in facts["operations"]["cpu"]} == set(IMPLEMENTATIONS)
    assert set(facts["lpips_weights"]) == {"vgg", "alex"}


def test_report_says_why_and_under_which_licence(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    text = capsys.readouterr().out
    for operation in IMPLEMENTATIONS:
        assert operation in text
    for extra in EXTRAS:
        assert extra.distribution in text and extra.licence in text
    for line in ("Operations on cpu", "ffmpeg", "LPIPS vgg"):
        assert line in text


def test_no_gpu_is_said_to_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(name="A GPU", total_memory=8 * 2**30)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    facts = examine()
    assert [device["used"] for device in facts["devices"]][::-1] == [True] + [False] * (len(facts["devices"]) - 1)
    assert list(facts["operations"]) == ["cpu"]
    assert "A GPU, 8.0 GiB; not used: runs are on the CPU only for now" in report(facts)


def test_examination_changes_nothing() -> None:
    assert examine() == examine()


def test_unknown_flag_exits_with_status_2() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--nonsense"])
    assert stop.value.code == 2
