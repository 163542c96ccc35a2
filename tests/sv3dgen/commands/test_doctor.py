"""The doctor tells facts, in words and as JSON, of the machine and of weights."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from checkout import ROOT
from tiny_checkpoint import tensors, write_checkpoint

from sv3dgen.commands.doctor import EXTRAS, examine, main, report
from sv3dgen.kernels.accelerators import ACCELERATORS
from sv3dgen.kernels.backend import IMPLEMENTATIONS
from sv3dgen.sv3d.checkpoint.keys import key_table
from sv3dgen.sv3d.config import sv3d_u


def test_json_holds_every_fact(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts["versions"]["torch"] and facts["cpu"]["cores"] >= 1 and facts["cpu"]["numba_threads"] >= 1
    assert facts["cpu"]["numba_threading_layer"] in ("omp", "workqueue", "tbb")  # the one in force, not "default"
    assert facts["devices"][-1]["type"] == "cpu"
    assert {operation["operation"] for operation in facts["operations"]["cpu"]} == set(IMPLEMENTATIONS)
    assert set(facts["lpips_weights"]) == {"vgg", "alex"} and facts["lpips_weights"]["alex"].endswith(".safetensors")


def test_report_says_why_and_under_which_licence(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    text = capsys.readouterr().out
    for operation in IMPLEMENTATIONS:
        assert operation in text
    for extra in EXTRAS:
        assert extra.distribution in text and extra.licence in text
    for line in ("Operations on cpu", "ffmpeg", "LPIPS vgg", "compiled kernels:", "quota: "):
        assert line in text


def test_a_gpu_is_said_to_be_untried(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(name="A GPU", total_memory=8 * 2**30)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    facts = examine()
    assert list(facts["operations"])[0] == "cuda" and list(facts["operations"])[-1] == "cpu"
    text = report(facts)
    assert "A GPU, 8.0 GiB; the 3D stages have not been run on one yet (docs/gpu.md)" in text
    assert "Operations on cuda\n" in text and "Operations on cpu\n" in text


def test_accelerators_are_of_no_use_to_a_torch_for_amd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.4")
    told = [line for line in report(examine()).splitlines() if line.endswith("]") and "[" in line]
    for extra in EXTRAS:
        (line,) = (line for line in told if line.split()[0] == extra.distribution)
        assert ("an Nvidia GPU only, and torch is built for AMD's (ROCm)" in line) == (extra.module in ACCELERATORS)


def test_examination_changes_nothing() -> None:
    assert examine() == examine()


def test_weights_that_are_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_checkpoint(tmp_path, tensors(dtype=torch.float16))
    assert main(["--weights", str(file)]) == 0
    text = capsys.readouterr().out
    for line in (f"{file}: good", "SV3D_p, official layout", str(tmp_path / "config.json"), "in F16", "all finite"):
        assert line in text
    assert main(["--weights", str(tmp_path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"] == "SV3D_p" and facts["bytes"] == file.stat().st_size and facts["dtypes"] == ["F16"]
    assert "conditioner.embedders.1.encoder.decoder" in facts["unused"]


def test_weights_that_are_no_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = tensors()
    key = next(key for key in values if key.endswith("mix_factor"))
    file = write_checkpoint(tmp_path, {**values, key: torch.tensor([torch.nan])})
    assert main(["--weights", str(file)]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1
    assert said.err.startswith(f"sv3dgen.doctor: {file}: {key} has a NaN")


def test_broken_weights_are_refused_before_torch_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\n")
    code = "import sys; from sv3dgen.doctor import main; status = main(['--weights', sys.argv[1]]); "
    code += "sys.exit(9 if 'torch' in sys.modules else status)"
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "git-lfs pointer" in done.stderr


def test_list_of_keys_is_checked_by_names_and_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = {key: list(entry.shape or ()) for key, entry in key_table(sv3d_u()).items()}
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(listed))
    assert main(["--weights", str(file)]) == 0
    text = capsys.readouterr().out
    assert "SV3D_u" in text and "1,523,967,722 parameters" in text and "not the weights" in text
    file.write_text(json.dumps({**listed, "x": [1]}))
    assert main(["--weights", str(file)]) == 2
    assert "doesn't have: x" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "parameters"), [("sv3d_p", "1,525,278,442"), ("sv3d_u", "1,523,967,722")])
def test_official_lists_of_keys(shared: Path, name: str, parameters: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--weights", str(shared / "parity" / f"{name}.keys.json")]) == 0
    text = capsys.readouterr().out
    assert parameters in text and "2212 tensors" in text and "the released sizes" in text
