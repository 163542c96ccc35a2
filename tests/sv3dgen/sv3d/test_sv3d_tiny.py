"""The model that comes with the project: small, whole, and better than no model on objects it has not seen."""

import json
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from PIL import Image

from sv3dgen.commands.render_dataset import main as render_dataset
from sv3dgen.data.orbit_dataset import OrbitDataset
from sv3dgen.nvs.evaluation import COPY, MODEL, SHUFFLED, evaluate_orbits
from sv3dgen.nvs.sv3d import Sv3dNvs
from sv3dgen.sv3d import SV3D
from sv3dgen.sv3d.checkpoint import embedded
from sv3dgen.views.orbits import StaticOrbit

EXAMPLES = ROOT / "examples" / "photos"
MOST_BYTES = 48e6


@pytest.fixture(scope="module")
def model() -> SV3D:
    return SV3D.from_pretrained(embedded.NAME)


def test_it_is_small_and_says_what_it_is(model: SV3D) -> None:
    files = [path for path in embedded.FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if path.suffix == ".safetensors") < MOST_BYTES
    assert {"model.safetensors", "config.json", "README.md"} <= {path.name for path in files}
    assert model.abilities.takes_poses and model.abilities.frames == 21
    assert "demonstration model" in model.abilities.note and "CC-BY" in model.abilities.licence
    assert json.loads((embedded.FOLDER / "config.json").read_text())["size_px"] == model.abilities.size_px


def test_it_is_what_runs_without_weights() -> None:
    assert Sv3dNvs(weights=None, device="cpu").weights == embedded.NAME


@pytest.mark.parametrize("objects", [2, pytest.param(12, marks=pytest.mark.thorough)])
def test_views_of_unseen_objects_are_better_than_copies_and_follow_the_cameras(model, objects, tmp_path) -> None:
    # Seeds far beyond those of the training data, odd as all that are never trained on.
    asked = ["--procedural", str(objects), "--split-test", "all", "--seed", "700000", "--workers", "1"]
    assert render_dataset([*asked, "--out", str(tmp_path)]) == 0
    for kind in ("static", "dynamic"):
        dataset = OrbitDataset(tmp_path, split="test", kinds=(kind,))
        samples = [dataset[index] for index in range(len(dataset))]
        white = torch.ones(3, model.config.size_px, model.config.size_px)
        scores = evaluate_orbits(model, samples, white, controls=kind == "dynamic").scores
        psnr = {name: float(score.psnr.mean()) for name, score in scores.items()}
        assert psnr[MODEL] > psnr[COPY] + 2
        if kind == "dynamic":
            assert psnr[MODEL] > psnr[SHUFFLED] + 0.7


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.png")), ids=lambda path: path.stem)
def test_examples_are_pictures_cut_out(path: Path) -> None:
    picture = Image.open(path)
    assert picture.mode == "RGBA" and picture.getextrema()[3] == (0, 255)


def test_the_same_seed_gives_the_same_views(model: SV3D) -> None:
    picture = torch.ones(3, model.config.size_px, model.config.size_px)
    picture[:, 20:44, 20:44] = 0.3
    orbit = StaticOrbit()(10.0, 21, torch.Generator())
    first, second = (model(picture, orbit, seed=3, steps=2).images for _ in range(2))
    assert torch.equal(first, second)
