import importlib
import inspect
import json
import math
from time import sleep

import numpy as np
import pytest
import torch
import trimesh

from sv3dgen.bench import __main__ as command
from sv3dgen.bench import kernels, objects, stages
from sv3dgen.bench.copy_speed import copy_speed
from sv3dgen.bench.instruments import KERNELS, OTHER_PARTS, instrumented
from sv3dgen.bench.kernel_case import Case, Sizes
from sv3dgen.bench.kernel_cases import cases
from sv3dgen.bench.profiler import times
from sv3dgen.bench.rasterizer_cases import bumpy_sphere
from sv3dgen.bench.replay import Recorder, slowdown
from sv3dgen.bench.timing import take_turns
from sv3dgen.errors import InputError
from sv3dgen.kernels.backend import IMPLEMENTATIONS
from sv3dgen.kernels.hash_grid.encode import hash_grid_spec
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.topology import is_closed


def power(base: torch.Tensor, exponent: int, *, backend: str = "auto") -> torch.Tensor:
    """A kernel whose reference takes longer."""
    sleep(0.02 if backend == "torch" else 0.002)
    return base**exponent


def test_rivals_take_turns():
    order = []
    timings = take_turns(
        {"fast": lambda: (order.append("fast"), sleep(0.03)), "slow": lambda: (order.append("slow"), sleep(0.12))},
        budget_s=0.0,
        least_runs=3,
    )
    assert order[:2] == ["fast", "slow"]  # not timed
    assert order[2:7] == ["fast"] * 3 + ["slow"] * 2 or order[2:7] == ["fast"] * 4 + ["slow"]
    assert timings["slow"].runs == 3 and timings["fast"].runs in (3, 4)
    assert timings["slow"].low_ms <= timings["slow"].median_ms <= timings["slow"].high_ms
    assert timings["slow"].median_ms >= 10


def test_recorder_keeps_some_calls_cut_from_the_graph():
    recorder = Recorder(power, keep=3)
    base = torch.ones(4, requires_grad=True)
    for exponent in range(50):
        recorder.look((2 * base,), {"exponent": exponent})
    assert recorder.seen == 50 and len(recorder.calls) == 3
    kept = recorder.calls[0].arguments["base"]
    assert kept.is_leaf and kept.requires_grad and torch.equal(kept, torch.full((4,), 2.0))


def test_recorded_parameters_are_copies_and_no_grad_is_remembered():
    recorder = Recorder(power)
    base = torch.ones(4, requires_grad=True)
    with torch.no_grad():
        recorder.look((base, 2), {})
        base += 1
    assert torch.equal(recorder.calls[0].arguments["base"], torch.ones(4))
    assert not recorder.calls[0].with_gradient


def test_every_call_is_as_likely_to_be_kept():
    counts = torch.zeros(10)
    for seed in range(300):
        recorder = Recorder(power, keep=2, seed=seed)
        for exponent in range(10):
            recorder.look((torch.ones(1), exponent), {})
        for call in recorder.calls:
            counts[call.arguments["exponent"]] += 1
    assert counts.sum() == 600
    assert counts.min() > 35 and counts.max() < 90


def test_tensors_inside_dataclasses_are_followed():
    def area(mesh: Mesh, *, backend: str = "auto") -> torch.Tensor:
        return mesh.vertices.sum()

    recorder = Recorder(area)
    recorder.look((Mesh(torch.ones(3, 3, requires_grad=True) * 2, torch.tensor([[0, 1, 2]])),), {})
    kept = recorder.calls[0].arguments["mesh"]
    assert isinstance(kept, Mesh) and kept.vertices.is_leaf
    assert recorder.replay("torch") < 1


def test_slowdown_is_weighed_by_calls():
    recorder = Recorder(power)
    recorder.look((torch.ones(2, requires_grad=True), 3), {})
    factor = slowdown([recorder])
    assert factor is not None and 4 < factor < 14
    assert slowdown([Recorder(power)]) is None


@pytest.mark.parametrize("name", KERNELS)
def test_listed_kernels_exist_and_have_a_backend(name):
    for module, functions in KERNELS[name].items():
        for function in functions:
            assert "backend" in inspect.signature(getattr(importlib.import_module(module), function)).parameters


@pytest.mark.parametrize("place", [place for places in OTHER_PARTS.values() for place in places])
def test_listed_parts_exist(place):
    module, _, path = place.partition(":")
    owner = importlib.import_module(module)
    for name in path.split("."):
        owner = getattr(owner, name)
    assert callable(owner)


def encode_once() -> None:
    from sv3dgen.kernels.hash_grid import encode as hash_grid

    spec = hash_grid.hash_grid_spec(levels=2, base_resolution=4, growth=2.0, log2_table_size=10)
    table = torch.ones(spec.entries, 2, requires_grad=True)
    optimizer = torch.optim.Adam([table])

    def closure() -> float:
        loss = hash_grid.hash_encode(torch.rand(100, 3), table, spec).sum()
        loss.backward()
        return loss.item()

    optimizer.step(closure)


def test_instruments_see_both_passes_and_are_taken_away():
    from sv3dgen.kernels.hash_grid import _autograd as hash_grid_autograd
    from sv3dgen.kernels.hash_grid import encode as hash_grid

    function, backward = hash_grid.hash_encode, inspect.getattr_static(hash_grid_autograd.Encode, "backward")
    with instrumented(keep=2) as recorders:
        encode_once()
    assert hash_grid.hash_encode is function
    assert inspect.getattr_static(hash_grid_autograd.Encode, "backward") is backward
    assert recorders["encode"][0].seen == 1
    assert times()["encode"].calls >= 2  # forward, backward
    assert [times()[name].calls for name in ("network", "shading", "optimizer")] == [1, 1, 1]


def test_stages_tell_what_plain_torch_would_need(monkeypatch, tmp_path, capsys):
    def launch(arguments: list[str]) -> None:
        encode_once()
        folder = next(text for text in arguments if text.startswith("hydra.run.dir=")).partition("=")[2]
        (tmp_path / "done").write_text(folder)
        objects.Path(folder, "mesh").mkdir(parents=True)

    monkeypatch.setattr(stages, "_launch", launch)
    assert command.main(["stages", "--views", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = {row["part"]: row for row in report["parts"]}
    assert sum(row["seconds"] for row in rows.values()) == pytest.approx(report["seconds"])
    assert rows["encode"]["calls"] == 1
    assert rows["encode"]["torch_seconds"] == pytest.approx(rows["encode"]["ratio"] * rows["encode"]["seconds"])
    assert rows["tets"]["torch_seconds"] is None and rows["hull"]["seconds"] == 0
    stages.print_table(report)
    assert "plain torch" in capsys.readouterr().out
    assert not objects.Path((tmp_path / "done").read_text()).exists()  # nothing is left behind


def test_stages_refuse_a_run_without_mesh(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(stages, "_launch", lambda arguments: None)
    assert command.main(["stages", "--views", str(tmp_path)]) == 2
    assert command.main(["stages", "--views", str(tmp_path / "missing")]) == 2
    assert "missing" in capsys.readouterr().err


def test_the_benchmark_sphere_is_closed():
    sphere = bumpy_sphere(segments=22)
    assert is_closed(sphere)
    solid = trimesh.Trimesh(sphere.vertices.numpy(), sphere.faces.numpy(), process=False)
    assert solid.volume == pytest.approx(4 / 3 * math.pi * 0.4**3, rel=0.1)  # outward


def test_kernels_are_timed_beside_plain_torch_and_a_copy(monkeypatch, capsys):
    def encode_nothing(backend: str) -> None:
        sleep(0.02 if backend == "torch" else 0.01)

    own = ("torch", "numba", "triton", "tinycudann")
    heavy = Case("hash_grid", "encode nothing", encode_nothing, own, 5_000_000, 1_000)
    hard = Case("hash_grid", "think", encode_nothing, ("torch",), 1_000, 6_000_000)
    monkeypatch.setattr(kernels, "cases", lambda device: [heavy, hard])
    monkeypatch.setattr(kernels, "copy_speed", lambda device: 1e9)  # 5 ms
    monkeypatch.setattr(kernels, "matrix_flops", lambda device, dtype: 2e9)  # 3 ms
    assert command.main(["kernels", "--budget-s", "0", "--device", "cpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    row, other = report["cases"]
    timed = {"numba", "torch"}  # neither triton's interpreter nor what is for a GPU
    facts = {"operation", "case", "bytes", "operations", "roofline", "roofline_ms", "bound"}
    assert set(row) == facts | timed | {"ratio"} and set(other) == facts | {"torch"}
    assert 1.1 < row["ratio"] < 10 and row["roofline"]["torch"] == pytest.approx(5 / row["torch"]["median_ms"])
    assert 0 < row["roofline"]["torch"] < row["roofline"]["numba"] <= 0.5
    assert (row["roofline_ms"], row["bound"]) == (pytest.approx(5), "memory")
    assert (other["roofline_ms"], other["bound"]) == (pytest.approx(3), "arithmetic")
    monkeypatch.setenv("COLUMNS", "120")
    assert command.main(["kernels", "--budget-s", "0", "--device", "cpu"]) == 0
    assert "encode nothing" in capsys.readouterr().out
    assert command.main(["kernels", "--device", "cuda:99"]) == 2
    capsys.readouterr()
    for wrong, told in ((["--only", "foo"], "--only foo: no such operation"), (["--budget-s", "-1"], "--budget-s -1")):
        assert command.main(["kernels", *wrong]) == 2
        error = capsys.readouterr()
        assert told in error.err and error.err.count("\n") == 1 and not error.out


def test_an_accelerator_gets_a_column_where_it_is_installed(monkeypatch, capsys):
    """With a stand-in for it, since none runs on a CPU: it takes its turns with the others."""
    called = []
    own = ("torch", "numba", "triton", "tinycudann")
    case = Case("hash_grid", "encode", lambda backend: (called.append(backend), sleep(0.002)), own, 1_000, 1_000)
    monkeypatch.setattr(kernels, "cases", lambda device: [case])
    monkeypatch.setattr(kernels, "copy_speed", lambda device: 1e9)
    monkeypatch.setattr(kernels, "matrix_flops", lambda device, dtype: 1e9)
    monkeypatch.setattr(kernels, "runs_on", lambda operation, device: own)
    report = kernels.measure(0.0, device="cpu")
    assert {"torch", "numba", "tinycudann"} <= set(report["cases"][0]) and "triton" not in report["cases"][0]
    assert called[:3] == ["torch", "numba", "tinycudann"]  # untimed; and then in turns
    monkeypatch.setenv("COLUMNS", "120")
    kernels.print_table(report)
    assert "tinycudann" in capsys.readouterr().out


def test_other_peoples_code_gets_a_column_where_it_is_asked_for(monkeypatch, capsys):
    called = []
    peers = {"drjit": lambda: lambda: (called.append("drjit"), sleep(0.002))}
    case = Case("hash_grid", "encode", lambda backend: sleep(0.002), ("torch", "numba"), 1_000, 1_000, peers)
    monkeypatch.setattr(kernels, "cases", lambda device: [case])
    monkeypatch.setattr(kernels, "copy_speed", lambda device: 1e9)
    monkeypatch.setattr(kernels, "matrix_flops", lambda device, dtype: 1e9)
    assert "drjit" not in kernels.measure(0.0, device="cpu")["cases"][0] and not called
    monkeypatch.setattr(kernels, "check_drjit", lambda: None)
    report = kernels.measure(0.0, device="cpu", peers=["drjit"])
    assert report["cases"][0]["drjit"]["runs"] >= 3 and called
    monkeypatch.setenv("COLUMNS", "120")
    kernels.print_table(report)
    assert "drjit" in capsys.readouterr().out


def test_dr_jit_is_refused_where_it_is_missing(monkeypatch, capsys):
    monkeypatch.setattr("sv3dgen.bench.drjit_grid.find_spec", lambda name: None)
    assert command.main(["kernels", "--budget-s", "0", "--device", "cpu", "--drjit"]) == 2
    error = capsys.readouterr().err
    assert "--drjit: drjit is not installed" in error and error.count("\n") == 1


def test_dr_jits_grid_finds_the_gradient_of_its_table():
    """Each feature's gradients sum to those of the encoding, since a point's eight shares sum to one."""
    pytest.importorskip("drjit", reason="extra peers")
    from sv3dgen.bench.drjit_grid import check_drjit, drjit_grid

    try:
        check_drjit()
    except InputError as missing:
        pytest.skip(str(missing))
    spec = hash_grid_spec(levels=3, base_resolution=4, growth=2.0, log2_table_size=10)
    points, gradient = torch.rand(50, 3), torch.rand(50, spec.channels)
    call = drjit_grid(points, spec, gradient)
    found = call().reshape(-1, 2).sum(0)
    expected = gradient.reshape(50, 3, 2).sum((0, 1)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_cases_count_what_they_move_and_compute_and_grow_with_their_sizes(monkeypatch):
    small = Sizes(points=50, ray_size_px=8, segments=8, picture_px=16, views=1, tet_cells=6)
    large = Sizes(points=100, ray_size_px=16, segments=16, picture_px=32, views=2, tet_cells=12)
    found = []
    for sizes in (small, large):
        monkeypatch.setattr("sv3dgen.bench.kernel_cases.sizes_for", lambda device, sizes=sizes: sizes)
        found.append(list(cases(torch.device("cpu"))))
        for case in found[-1]:
            for backend in ("torch", "numba"):
                case.run(backend)
    rest = ["ray_marching"] + ["rasterizer"] * 5 + ["marching_tetrahedra", "normal_consistency", "plane_sweep"]
    assert [case.operation for case in found[0]] == ["hash_grid"] * 2 + rest
    assert {case.operation for case in found[0]} == set(IMPLEMENTATIONS)
    for one, other in zip(*found, strict=True):
        assert 0 < one.num_bytes < other.num_bytes and one.num_operations <= other.num_operations
        assert {"torch", "numba"} <= set(one.implementations) <= set(IMPLEMENTATIONS[one.operation])
    # 50 points in 7 levels of 2 features: their encodings, its gradient, and twice the table.
    encode = found[0][0]
    assert encode.num_operations == 2 * 50 * 7 * (9 + 16 + 32)
    assert encode.num_bytes % 4 == 0 and encode.num_bytes > 2 * 50 * (3 + 14) * 4


def test_a_copy_moves_some_bytes(monkeypatch):
    monkeypatch.setattr("sv3dgen.bench.copy_speed.CPU_BYTES", 1 << 20)
    assert copy_speed("cpu") > 1e6
