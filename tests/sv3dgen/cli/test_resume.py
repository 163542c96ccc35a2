"""A run that is resumed keeps its settings."""

from pathlib import Path

import pytest
import yaml
from checkout import ROOT

from sv3dgen.cli.command_line import checked_arguments
from sv3dgen.errors import InputError


def test_resume_takes_up_the_settings_of_the_run(project: Path, run: Path) -> None:
    """What may change is what is written and how often; naming a setting as it was changes nothing."""
    given = ["resume=outputs/a run", "export.faces=2000", "logger=csv", "pictures_every_steps=0", "seed=3"]
    assert checked_arguments(given, project) == [
        "views=toy",
        "geometry@coarse.geometry=dmtet",
        "system=sv3d_nerf",
        *given,
        'hydra.run.dir="outputs/a run"',
    ]


def test_a_group_s_package_is_part_of_its_key(project: Path, run: Path) -> None:
    """`geometry=dmtet`, the default, must not drop the saved `geometry@coarse.geometry=dmtet`."""
    arguments = checked_arguments(["resume=outputs/a run", "geometry=dmtet"], project)
    assert "geometry@coarse.geometry=dmtet" in arguments


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("seed=4", "seed=4: differs from the settings of the run; with resume= expected only"),
        ("seed=3 system=sv3d_dmtet", "system=sv3d_dmtet: differs"),
        ("geometry@coarse.geometry=hash_grid", "geometry@coarse.geometry=hash_grid: differs"),
        ("geometry.weight=[[0,0],[9,1]]", "geometry.weight=[[0,0],[9,1]]: differs"),
        ("export.faces=2000 views=orbit.mp4", "views=orbit.mp4: differs"),
        ("hydra.run.dir=other", "hydra.run.dir=other: a resumed run stays in its folder"),
        ("seed=abc", "seed=abc: expected int"),
        ("-m seed=3", "resume="),
    ],
)
def test_resume_refuses_what_makes_another_run_of_it(project: Path, run: Path, command: str, message: str) -> None:
    saved = (run / ".hydra" / "overrides.yaml").read_bytes()
    with pytest.raises(InputError) as refusal:
        checked_arguments([*command.split(), "resume=outputs/a run"], project)
    assert str(refusal.value).startswith(message) and "\n" not in str(refusal.value)
    assert (run / ".hydra" / "overrides.yaml").read_bytes() == saved


def test_a_run_without_a_checkpoint_starts_again(project: Path, run: Path) -> None:
    (run / "checkpoints" / "last.ckpt").unlink()
    assert checked_arguments(["resume=outputs/a run"], project)[-1] == 'hydra.run.dir="outputs/a run"'


@pytest.mark.parametrize("setting", ["coarse.steps=9", "fine.steps=9"])
def test_a_resumed_run_keeps_the_length_of_its_stages(run: Path, setting: str) -> None:
    """Its schedules follow from that length; the steps that are done were done by them."""
    saved = ["views=toy", "preset=draft", "coarse.steps=250"]
    (run / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(saved))
    with pytest.raises(InputError, match=f"^{setting}: differs from the settings of the run"):
        checked_arguments([setting, "resume=outputs/a run"], ROOT)
    checked_arguments(["coarse.steps=250", "resume=outputs/a run"], ROOT)
