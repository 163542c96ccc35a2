"""Every part swaps, under every preset, from outside of the checkout: one file, one yaml, nothing else touched."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from checkout import ROOT
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from small_run import GRID, SIZES
from stub_parts import Icosphere

from launch import user_message
from sv3dgen.cli.command_line import checked_arguments
from sv3dgen.errors import InputError
from sv3dgen.interfaces import Field
from sv3dgen.renderers.volume import Volume
from systems.run import Run
from systems.shared_stages import digest
from systems.stage_keys import coarse_key
from systems.weighting import check_kind

PRESETS = sorted(path.stem for path in (ROOT / "conf" / "preset").glob("*.yaml"))
OPTIONS = {
    "geometry/voxel_grid": {
        "_target_": "outside.parts.VoxelGrid",
        "cells": 24,
        "feature_dim": "${features_of:material}",
    },
    "geometry/three": {"_target_": "outside.parts.VoxelGrid", "feature_dim": 3},
    "geometry/icosphere": {"_target_": "outside.parts.Icosphere", "subdivisions": 3},
    "geometry/half": {"_target_": "outside.half.Half"},
    "material/tinted": {"_target_": "outside.parts.Tinted"},
    "renderer/even_samples": {"_target_": "outside.parts.EvenSamples"},
    "renderer/whole_shading": {"_target_": "outside.parts.WholeShading"},
    "guidance/thin": {"_target_": "outside.parts.Thin", "weights": {"thin": 1.0}},
    "nvs/balls": {"_target_": "outside.parts.Balls"},
}
HALF = "from sv3dgen.interfaces import Field\n\n\nclass Half(Field):\n    feature_dim = 3\n"
PARTS = {
    "field": "geometry@coarse.geometry=voxel_grid",
    "surface": "geometry@fine.geometry=icosphere",
    "material": "material=tinted",
    "renderer of fields": "renderer@coarse.renderer=even_samples",
    "renderer of surfaces": "renderer@fine.renderer=whole_shading",
    "guidance": "+guidance=thin",
    "view model": "nvs=balls",
}
KEYS = {
    "field": "coarse.geometry",
    "surface": "fine.geometry",
    "renderer of fields": "coarse.renderer",
    "renderer of surfaces": "fine.renderer",
    "guidance": "coarse.guidance.thin",
    "view model": "nvs",
}
SHORT = (
    *SIZES,
    "logger=none",
    "coarse.steps=12",
    "fine.steps=4",
)
SMALLER = {  # of the parts that the default has, where they are taken
    "field": GRID[:2],
    "renderer of fields": GRID[2:],
    "surface": ("fine.geometry.resolutions=[[0,20]]",),
}


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An extension in a folder of its own; the setting that names its options."""
    package = tmp_path / "extension" / "outside"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("helpers") / "stub_parts.py", package / "parts.py")
    (package / "half.py").write_text(HALF)
    for name, content in OPTIONS.items():
        path = tmp_path / "extension" / "options" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    monkeypatch.syspath_prepend(str(package.parent))
    return f"hydra.searchpath=[{tmp_path / 'extension' / 'options'}]"


def composed(*settings: str) -> DictConfig:
    """The config as launch.py would have it."""
    arguments = checked_arguments(list(settings), ROOT)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=arguments)


def taken_from_outside(part: str, config: DictConfig) -> bool:
    return OmegaConf.select(config, f"{KEYS.get(part, part)}._target_", default="").startswith("outside.parts.")


@pytest.mark.parametrize("preset", PRESETS)
def test_parts_are_taken_under_every_preset(preset: str, outside: str, views_folder: Path) -> None:
    config = composed(outside, f"image={views_folder / '000.png'}", f"preset={preset}", *PARTS.values())
    assert all(taken_from_outside(part, config) for part in PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_taken_without_the_others_and_runs_to_a_mesh(
    part: str, outside: str, views_folder: Path, tmp_path: Path
) -> None:
    image = [f"image={views_folder / '011.png'}"] if part == "view model" else [f"views={views_folder}"]
    smaller = [text for of, texts in SMALLER.items() if of != part for text in texts]
    config = composed(outside, *image, *SHORT, *smaller, PARTS[part])
    assert [taken for taken in PARTS if taken_from_outside(taken, config)] == [part]
    run = Run(config, tmp_path / "run")
    run.execute()
    assert (tmp_path / "run" / "mesh" / "mesh.glb").stat().st_size > 0
    assert list(json.loads((tmp_path / "run" / "run.json").read_text())["stages"])[-1] == "export"
    if part == "guidance":
        assert run.coarse is not None and "thin/thin" in run.coarse.last.losses


def test_a_guidance_is_added_to_one_stage_and_dropped_with_one_word(outside: str, views_folder: Path) -> None:
    views = f"views={views_folder}"
    config = composed(outside, views, "+guidance@fine=thin", "coarse.guidance.smoothness=null")
    assert "thin" in config.fine.guidance and "thin" not in config.coarse.guidance
    assert config.coarse.guidance.smoothness is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["material=tinted", "geometry@coarse.geometry=three"], r"VoxelGrid gives 3 features .* Tinted reads 4"),
        (["geometry@coarse.geometry=half"], r"coarse\.geometry: Can't instantiate abstract class Half .*features"),
    ],
)
def test_parts_that_do_not_fit_are_told_in_one_line(settings, told, outside, views_folder, tmp_path) -> None:
    config = composed(outside, f"views={views_folder}", *settings)
    with pytest.raises(InstantiationException) as error:
        Run(config, tmp_path / "run")
    line = user_message(error.value)
    assert line is not None
    assert re.search(told, line) and "\n" not in line


def test_a_part_of_another_kind_is_told_in_one_line() -> None:
    """Asked directly: in tests, the types of the stage's arguments are checked before its own check comes to it."""
    with pytest.raises(InputError) as refusal:
        check_kind("coarse.geometry", Icosphere(), Field, Volume())
    assert str(refusal.value) == "coarse.geometry: Icosphere is not a Field, which Volume and this stage need"


def test_a_wrong_argument_of_an_extension_is_refused_at_once(outside: str, views_folder: Path) -> None:
    with pytest.raises(InputError, match=r"coarse\.geometry\.cells=many: expected int"):
        composed(outside, f"views={views_folder}", PARTS["field"], "coarse.geometry.cells=many")
    with pytest.raises(InputError, match="hydra.searchpath=nowhere: no such folder"):
        composed("hydra.searchpath=[nowhere]", f"views={views_folder}")


def test_an_extension_that_changes_makes_another_coarse_stage(outside, views_folder, posed_views, tmp_path) -> None:
    config = composed(outside, f"views={views_folder}", PARTS["field"])

    def key() -> str:
        return digest(coarse_key(config, posed_views, None, {}))

    before = key()
    assert key() == before
    with (tmp_path / "extension" / "outside" / "parts.py").open("a") as file:
        file.write("# changed\n")
    assert key() != before
