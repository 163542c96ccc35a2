"""Scores of generated orbits: closed forms, baselines, controls, and the command's answers."""

import json
import math

import pytest
import torch
from training_case import FRAMES, SIZE_PX, Discs, module

from sv3dgen.commands import evaluate_nvs
from sv3dgen.data import orbit_dataset
from sv3dgen.kernels import matrix_speed
from sv3dgen.kernels.matrix_speed import matrix_flops
from sv3dgen.metrics.orbits import MOST_PSNR, score_orbits
from sv3dgen.nvs.evaluation import (
    COPY,
    LEVEL,
    MEAN,
    MODEL,
    SHUFFLED,
    Evaluation,
    evaluate_orbits,
    level,
    markdown,
    mean_of_images,
    report,
    shuffled,
)
from sv3dgen.nvs.orbit_pictures import write_orbits
from sv3dgen.sv3d import SV3D
from sv3dgen.views.orbits import orbit_by_name


@pytest.fixture(scope="module")
def model():
    finetune = module()
    return SV3D(*finetune.parts, finetune.config)


def orbits_of(*offsets):
    """Gray orbits of 4 frames that are off by so much in each frame but the last."""
    truth = torch.full((1, len(offsets) + 1, 3, 16, 16), 0.5)
    drawn = truth.clone()
    drawn[0, :-1] += torch.tensor(offsets)[:, None, None, None]
    return drawn, truth


def test_scores_are_those_of_the_closed_form():
    drawn, truth = orbits_of(0.1, 0.01, 0.0)
    scores = score_orbits(drawn, truth, torch.tensor([[20.0, 180.0, 300.0, 0.0]]))
    assert scores.psnr[0].tolist() == pytest.approx([20.0, 40.0, MOST_PSNR], abs=1e-2)
    assert scores.from_front_deg[0].tolist() == [20.0, 180.0, 60.0]
    summary = scores.summary()
    assert summary["psnr"] == pytest.approx(40.0, abs=1e-2)
    assert (summary["psnr_front"], summary["psnr_back"]) == pytest.approx((20.0, 40.0), abs=1e-2)
    assert summary["orbits"] == 1 and summary["lpips"] is None
    assert 0 < scores.ssim.mean().item() <= 1


def test_the_table_names_the_network_of_lpips():
    drawn, truth = orbits_of(0.1)
    scores = {"model": score_orbits(drawn, truth, torch.tensor([[20.0, 0.0]]))}
    assert "| LPIPS |" in markdown({"static": Evaluation(scores, drawn, truth)})
    assert "| LPIPS (AlexNet) |" in markdown({"static": Evaluation(scores, drawn, truth, lpips_net="alex")})


def test_the_conditioning_view_is_not_scored():
    drawn, truth = orbits_of(0.1)
    spoilt = drawn.clone()
    spoilt[:, -1] = 0.0
    azimuth_deg = torch.tensor([[180.0, 0.0]])
    assert torch.equal(score_orbits(drawn, truth, azimuth_deg).psnr, score_orbits(spoilt, truth, azimuth_deg).psnr)


def test_controls_are_other_cameras():
    orbit = orbit_by_name("dynamic", elevation_deg=10.0, seed=3)
    other = shuffled(orbit, 0)
    assert other.azimuth_deg[-1] == orbit.azimuth_deg[-1] and not torch.equal(other.azimuth_deg, orbit.azimuth_deg)
    pairs = set(zip(orbit.azimuth_deg.tolist(), orbit.elevation_deg.tolist(), strict=True))
    assert pairs == set(zip(other.azimuth_deg.tolist(), other.elevation_deg.tolist(), strict=True))
    flat = level(orbit, 0)
    assert torch.equal(flat.azimuth_deg, orbit.azimuth_deg) and set(flat.elevation_deg.tolist()) == {10.0}


def test_evaluation_compares_model_and_baselines(model, tmp_path):
    dataset = Discs(kind="dynamic", count=2)
    samples = [dataset[index] for index in range(2)]
    mean = mean_of_images(Discs(count=4))
    evaluation = evaluate_orbits(model, samples, mean, steps=2, controls=True)
    assert list(evaluation.scores) == [MODEL, COPY, MEAN, SHUFFLED, LEVEL]
    assert evaluation.drawn.shape == (2, FRAMES, 3, SIZE_PX, SIZE_PX) and evaluation.names == ("disc_0", "disc_1")
    truth = torch.stack([sample.frames for sample in samples]) / 255
    error = (truth[0, 0] - truth[0, -1]).square().mean().item()
    assert evaluation.scores[COPY].psnr[0, 0].item() == pytest.approx(-10 * math.log10(error), abs=1e-3)
    numbers = report({"dynamic": evaluation})["dynamic"]
    assert numbers[MODEL]["psnr"] == pytest.approx(evaluation.scores[MODEL].psnr.mean().item())
    assert len(numbers["psnr of each frame"]) == FRAMES - 1
    json.dumps(numbers)
    table = markdown({"dynamic": evaluation}).splitlines()
    assert len(table) == 7 and table[2].startswith("| 2 dynamic | model | ")
    write_orbits(tmp_path / "sheet", evaluation.truth, evaluation.drawn)
    assert (tmp_path / "sheet.png").is_file() and (tmp_path / "sheet.mp4").stat().st_size > 0


def test_noise_of_an_orbit_does_not_depend_on_the_others(model):
    samples = [Discs(count=3)[index] for index in range(3)]
    mean = torch.ones(3, SIZE_PX, SIZE_PX)
    whole = evaluate_orbits(model, samples, mean, steps=1, seed=5).drawn
    alone = evaluate_orbits(model, samples[1:2], mean, steps=1, seed=6).drawn
    torch.testing.assert_close(whole[1:2], alone, rtol=1e-3, atol=1e-3)


def test_indices_are_spread():
    assert evaluate_nvs.spread(10, 5) == [0, 2, 4, 6, 8] and evaluate_nvs.spread(3, None) == [0, 1, 2]


def test_command_answers_mistakes_in_one_line(tmp_path, capsys):
    assert evaluate_nvs.main(["--weights", "w", "--data", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    for wrong in (["--kinds", "helical"], ["--limit", "0"], ["--steps", "-1"]):
        assert evaluate_nvs.main(["--weights", "w", "--data", "d", *wrong]) == 2
        told = capsys.readouterr().err
        assert wrong[1] in told and told.count("\n") == 1


def test_command_prints_the_table_and_json(tmp_path, capsys, monkeypatch):
    datasets = {kind: Discs(kind=kind, count=2) for kind in ("static", "dynamic")}
    monkeypatch.setattr(orbit_dataset, "OrbitDataset", lambda folder, *, kinds, **_: datasets[kinds[0]])
    module().save_weights(tmp_path / "model.safetensors")
    arguments = ["--weights", str(tmp_path), "--data", str(tmp_path), "--steps", "1", "--limit", "1"]
    assert evaluate_nvs.main([*arguments, "--pictures", str(tmp_path / "pictures")]) == 0
    printed = capsys.readouterr().out
    assert "| 1 static | copy of the picture |" in printed and "| 1 dynamic | cameras shuffled |" in printed
    assert (tmp_path / "pictures" / "dynamic.png").is_file()
    assert evaluate_nvs.main([*arguments, "--kinds", "static", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["static"][MODEL]["orbits"] == 1


def test_a_matrix_product_has_a_speed():
    assert 1e9 < matrix_flops("cpu", torch.float32) < 1e14


def test_the_speed_of_slow_products_is_known_after_the_first(monkeypatch):
    sides, slow = [], torch.ones

    def noted(rows, columns, **kind):
        sides.append(rows)
        return slow(rows, columns, **kind)

    monkeypatch.setattr(torch, "ones", noted)
    monkeypatch.setattr(matrix_speed, "perf_counter", iter(range(100)).__next__)  # a second from look to look
    assert matrix_flops("cpu", torch.float32) == 2 * 256**3 and sides == [256, 256]
