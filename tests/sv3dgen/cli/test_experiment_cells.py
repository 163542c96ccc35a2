"""Experiments that are sweeps: their cells are checked like settings of the command line, before anything runs."""

import shutil
from pathlib import Path

import pytest
import yaml
from checkout import ROOT

from sv3dgen.cli.command_line import checked_arguments
from sv3dgen.errors import InputError

OF_A_PHOTO = ("table7", "table8")
PART = "class Part:\n    def __init__(self, *, levels: int = 4): ...\n"
TREE = {
    "config": {
        "defaults": [{"geometry": "grid"}, {"nvs": "own"}, "_self_", {"experiment": None}],
        "views": None,
        "image": None,
        "weights": None,
        "matting": "auto",
        "foreground_ratio": 0.85,
        "elevation_deg": 10.0,
        "name": "${stem:${views},${image}}",
        "seed": 0,
        "resume": None,
    },
    "geometry/grid": {"_target_": "geometry.part.Part", "levels": 4},
    "geometry/planes": {"_target_": "geometry.part.Part", "levels": 2},
    "nvs/own": {"weights": "${weights}", "variant": "auto"},
    "nvs/tiny": {"weights": "sv3d_tiny", "variant": "auto"},
    "experiment/plain": {"seed": 5},
    "experiment/two": {"hydra": {"sweeper": {"params": {"geometry": "grid,planes", "geometry.levels": "3,4"}}}},
    "experiment/option": {"hydra": {"sweeper": {"params": {"geometry": "grid,cubes"}}}},
    "experiment/type": {"hydra": {"sweeper": {"params": {"geometry.levels": "3,many"}}}},
    "experiment/models": {"hydra": {"sweeper": {"params": {"nvs": "own,tiny"}}}},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "geometry").mkdir()
    (root / "geometry" / "part.py").write_text(PART)
    for name, content in TREE.items():
        path = root / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        package = "# @package _global_\n" if name.startswith("experiment") else ""
        path.write_text(package + yaml.safe_dump(content, sort_keys=False))
    return root


@pytest.fixture
def here(tmp_path: Path, views_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(views_folder, tmp_path / "toy")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "-m views=toy experiment=two",
        "-m views=toy experiment=two seed=0,1",
        "-m views=toy experiment=option geometry=grid",  # what is given wins: the cell that can't be is not there
        "-m views=toy experiment=plain,plain",
        "views=toy experiment=plain",
        "views=toy experiment=two geometry=planes geometry.levels=3",
        "views=toy experiment=two --cfg job",
        "-m image=toy/000.png experiment=models weights=WEIGHTS",  # one has weights of its own, and does not need these
    ],
)
def test_good_sweeps_pass_unchanged(project: Path, here: Path, command: str) -> None:
    arguments = command.replace("WEIGHTS", str(ROOT / "sv3dgen" / "sv3d_tiny" / "model.safetensors")).split()
    assert set(checked_arguments(arguments, project)) == set(arguments)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("-m views=toy experiment=option", "geometry=cubes: no such option, expected one of: grid, planes"),
        ("-m views=toy experiment=type", "geometry.levels=many: expected int"),
        ("-m views=toy experiment=three", "experiment=three: no such option"),
        ("-m views=toy experiment=plain,two", "experiment=plain,two: experiment=two is a sweep of its own"),
        ("-m experiment=two", "nothing to work on"),
        (
            "views=toy experiment=two",
            "experiment=two: a sweep of geometry=grid,planes, geometry.levels=3,4; expected -m",
        ),
        ("views=toy experiment=two geometry=grid", "experiment=two: a sweep of geometry.levels=3,4; expected -m"),
        ("image=toy/000.png nvs=tiny weights=w", "weights=w: nvs has sv3d_tiny of its own"),
    ],
)
def test_refusals_name_the_cell(project: Path, here: Path, command: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        checked_arguments(command.split(), project)
    assert str(refusal.value).startswith(message) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("command", ["table7", "table7 nvs=sv3d_tiny", "table7 nvs=sv3d_tiny,auto", "table8"])
def test_views_that_a_table_compares_are_not_given(here: Path, command: str) -> None:
    name = command.partition(" ")[0]
    compared = {"table7": "nvs", "table8": "orbit"}[name]
    with pytest.raises(InputError) as refusal:
        checked_arguments(["-m", "views=toy", *f"experiment={command}".split()], ROOT)
    said = f"views=toy: experiment={name} compares views that are made of a photo, by {compared}; expected image=PHOTO"
    assert str(refusal.value) == said


def test_every_experiment_of_ours_can_be_swept(here: Path) -> None:
    """Its cells are options that exist, whatever photo it is for: the models of table 7 are tried one by one."""
    tiny = f"weights={ROOT / 'sv3dgen' / 'sv3d_tiny' / 'model.safetensors'}"
    for path in sorted((ROOT / "conf" / "experiment").glob("*.yaml")):
        of = ["image=toy/000.png", tiny] if path.stem in OF_A_PHOTO else ["views=toy"]
        given = ["-m", f"experiment={path.stem}", *of]
        assert checked_arguments(given, ROOT) == given
