"""What a run would do nothing with is refused in one line; what an experiment brings along is not."""

from pathlib import Path

import pytest
from checkout import ROOT

from sv3dgen.cli.command_line import checked_arguments
from sv3dgen.errors import InputError


@pytest.fixture
def views(views_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return f"views={views_folder}"


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        ("guidance/sds=soft system=sv3d_nerf", "guidance/sds=soft"),
        ("-m guidance/sds=none,naive system=sv3d_nerf", "guidance/sds=naive"),
        ("-m experiment=table9 system=sv3d_nerf", "guidance/sds=naive"),
    ],
)
def test_score_distillation_needs_the_fine_stage(command: str, refused: str, views: str) -> None:
    with pytest.raises(InputError) as refusal:
        checked_arguments([*command.split(), views], ROOT)
    expected = f"{refused}: of the fine stage, which system=sv3d_nerf has not; expected system=sv3d_dmtet"
    assert str(refusal.value) == expected


@pytest.mark.parametrize(
    "command",
    [
        "guidance/sds=soft",
        "guidance/sds=none system=sv3d_nerf",
        "experiment=all system=sv3d_nerf",
        "-m experiment=table9",
        "-m guidance/sds=none,soft system=sv3d_nerf,sv3d_dmtet",
    ],
)
def test_score_distillation_that_a_cell_has_use_for(command: str, views: str) -> None:
    checked_arguments([*command.split(), views], ROOT)


def test_a_plan_of_memory_needs_a_model_that_has_one(views: str) -> None:
    with pytest.raises(InputError, match=r"^memory=8gb: of SV3D, and nvs=mesh has no such setting"):
        checked_arguments([views, "nvs=mesh", "memory=8gb"], ROOT)
    checked_arguments([views, "nvs=mesh", "preset=8gb"], ROOT)
    checked_arguments([views, "nvs=sv3d_tiny", "memory=8gb"], ROOT)


def test_guidances_are_not_swept_into_nowhere(views: str) -> None:
    with pytest.raises(InputError, match=r"^\+guidance=regularity,smoothness: a guidance is added to all runs"):
        checked_arguments(["-m", views, "+guidance=regularity,smoothness"], ROOT)


@pytest.mark.parametrize("setting", ["+foo.bar=1", "+HYDRA.run.dir=x", "++views_of=3"])
def test_a_key_that_nothing_reads_is_refused(setting: str, views: str) -> None:
    with pytest.raises(InputError, match=r"^\+\w+: nothing reads it"):
        checked_arguments([views, setting], ROOT)


def test_a_key_that_another_setting_reads_is_taken(views: str) -> None:
    assert checked_arguments([views, "+mine=9", "seed=${mine}"], ROOT)[-1] == "seed=${mine}"


@pytest.mark.parametrize("setting", ["+trainer.precison=16", "+trainer.$x=1"])
def test_what_the_trainer_does_not_take_is_refused_before_it_is_imported(setting: str, views: str) -> None:
    key = setting[1:].partition("=")[0]
    with pytest.raises(InputError) as refusal:
        checked_arguments([views, setting], ROOT)
    assert str(refusal.value).startswith(f"{key}: Trainer has no such argument, expected one of: accelerator,")
    assert checked_arguments([views, "+trainer.limit_val_batches=1"], ROOT)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("+trainer.max_steps=5", "trainer.max_steps: the run sets it"),
        ("+trainer.callbacks=[]", "trainer.callbacks: the run sets it"),
        ("+trainer.plugins=3", "trainer.plugins=3: expected a list of components"),
        ("+trainer.plugins=[3]", "trainer.plugins=[3]: expected a list of components"),
    ],
)
def test_what_a_run_gives_the_trainer_itself_is_refused(setting: str, told: str, views: str) -> None:
    with pytest.raises(InputError) as refusal:
        checked_arguments([views, setting], ROOT)
    assert str(refusal.value).startswith(told)
