"""What the command line gets wrong, and what it is told; on a small stand-in for conf/ and the parts."""

import json
import shutil
from pathlib import Path

import pytest
from checkout import ROOT

from sv3dgen.cli.command_line import checked_arguments, stem
from sv3dgen.errors import InputError


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("view=toy", "view: no such key; did you mean views?"),
        ("views=toy sytem=sv3d_nerf", "sytem: no such key; did you mean system?"),
        ("views=toy levels=3", "levels: no such key; did you mean coarse.geometry.levels?"),
        (
            "views=toy coarse.geometry.levls=3",
            "coarse.geometry.levls: no such key; did you mean coarse.geometry.levels?",
        ),
        ("views=toy qqqqqqq=3", "qqqqqqq: no such key; python launch.py --help lists all"),
        ("views=toy system=foo", "system=foo: no such option, expected one of: sv3d_dmtet, sv3d_nerf, trains"),
        ("views=toy logger=null", "logger=null: no such option, expected one of: csv"),
        ("views=toy geometry@coarse.geometry=foo", "geometry=foo: no such option, expected one of: dmtet, hash_grid"),
        ("views=toy coarse.geometry.levels=abc", "coarse.geometry.levels=abc: expected int"),
        ("views=toy coarse.geometry.radius=true", "coarse.geometry.radius=true: expected float"),
        ("views=toy coarse.geometry.shape=cube", "coarse.geometry.shape=cube: expected one of round, flat"),
        ("system=trains device=cpu trainer.accelerator=gpu", "device=cpu and trainer.accelerator=gpu: expected one"),
        (
            "views=toy geometry.weight=[[0,0],[9,x]]",
            "geometry.weight=[[0, 0], [9, 'x']]: expected float | a list of a list of float",
        ),
        ("views=toy +geometry.size=1", "geometry.size: Part has no such argument, expected one of: levels, radius,"),
        ("views=toy system.steps=abc", "system.steps=abc: expected int, such as 100"),
        ("views=toy ~geometry=5", "~geometry=5: expected ~geometry alone, or the option's name"),
        ("views=toy seed=1.5", "seed=1.5: expected int, such as 0"),
        ("views=toy device=abc", "device=abc: expected auto, cpu, cuda, cuda:1 (and so on) or mps"),
        ("views=toy device=cuda:99", "device=cuda:99: there is no such device here"),
        ("-m views=toy device=cpu,cuda:99", "device=cuda:99: there is no such device here"),
        ("views=toy +trainer.devices=2", "trainer.devices=2: of training; the 3D stages run on one device"),
        ("views=toy trainer.accelerator=gpu", "trainer.accelerator=gpu: of training; the 3D stages run where device"),
        (
            "views=toy kernels.rasterizer=cuda",
            "kernels.rasterizer=cuda: expected one of auto, torch, numba",
        ),
        ("views=toy seed=0,1", "seed=0,1: several values need -m"),
        ("-m views=toy seed=0,1,x", "seed=x: expected int"),
        ("views=toy +system.stages=1e300", "system.stages=1e+300: expected a list of the system's stages"),
        ("views=toy +system.stages=[seed]", "system.stages=['seed']: expected a list of the system's stages"),
        ("views=toy +system.stages=[coarse,coarse]", "system.stages=['coarse', 'coarse']: expected a list"),
        (f"views=toy seed={'x' * 5000}", f"seed={'x' * 55}...: 5005 letters, expected a setting of at most 4000"),
        ("-m views=toy,nope", "nope: "),
        ("-m views=toy system=sv3d_nerf,foo", "system=foo: no such option"),
        ("views=7", "views=7: expected a path"),
        ("views=nope", "nope: "),
        ("views=toy/transforms", "toy/transforms: "),
        ("views=orbit.mp4", "orbit.mp4: a video has no cameras; expected its orbit to be declared: orbit=static"),
        ("-m views=toy seed=0,1 --cfg job", "--multirun and --cfg: expected one of them; --cfg and --info tell of"),
        ("views=toy --cfg job --info all", "--cfg and --info: expected one of them"),
        ("picture.png", "picture.png: expected key=value"),
        ("--views=toy", "unrecognized arguments: --views=toy; expected key=value settings without dashes"),
        ("image=a.png", "a.png: no such file"),
        ("image=toy/000.png nvs=sv3d_p", "nvs=sv3d_p: no weights; expected weights=FILE (sv3d_p.safetensors)"),
        ("image=toy/000.png nvs=sv3d_tiny weights=w", "weights=w: nvs has sv3d_tiny of its own"),
        ("image=toy/000.png weights=toy/000.png", "toy/000.png: "),
        ("system=sv3d_nerf image=toy/000.png weights=orbit.mp4", "orbit.mp4: "),
        ("image=toy/000.png weights=w foreground_ratio=1.5", "foreground_ratio=1.5: expected float from 0.05 to 1"),
        (
            "image=toy/000.png weights=w elevation_deg=95.0",
            "elevation_deg=95.0: expected float from -89.9 to 89.9 | auto",
        ),
        ("image=toy/000.png weights=w", "w: no such file or folder"),
        ("image=toy/000.png weights=w/p.safetensors", "w/p.safetensors: no such file or folder"),
        ("-m image=toy/000.png weights=w,a/b", "w: no such file or folder"),
        ("image=toy/000.png weights=w matting=magic", "matting=magic: expected one of auto, rembg"),
        ("views=toy elevation_deg=auto", "elevation_deg=auto: estimated of a photo or a video only"),
        ("views=toy elevation_deg=high", "elevation_deg=high: expected float"),
        ("image=toy/000.png views=toy", "views=toy and image=toy/000.png: expected one of them"),
        ("", "nothing to work on: expected image=PHOTO, or views=FOLDER"),
        ("resume=nope", "resume=nope: expected the folder of an earlier run"),
        ("views=toy hydra.run.dir=toy/000.png/run", "toy/000.png/run: expected a folder for the run"),
    ],
)
def test_refusals_name_the_key_and_what_was_expected(project: Path, here: Path, command: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        checked_arguments(command.split(), project)
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)
    assert sorted(path.name for path in here.iterdir()) == ["orbit.mp4", "toy"]


@pytest.mark.parametrize(
    "command",
    [
        "views=toy",
        "views=toy system=sv3d_nerf coarse.geometry.levels=3 coarse.geometry.radius=1 seed=7",
        "views=toy geometry.weight=2 name=mine",
        "views=toy +geometry.levels=2",
        "-m views=toy seed=0,1,2 system=sv3d_dmtet,sv3d_nerf",
        "-m views=toy seed=range(0,3)",
        "views=toy hydra.job.chdir=false",
    ],
)
def test_good_commands_pass_unchanged(project: Path, here: Path, command: str) -> None:
    assert checked_arguments(command.split(), project) == command.split()
    assert sorted(path.name for path in here.iterdir()) == ["orbit.mp4", "toy"]


@pytest.mark.parametrize("command", ["--help", "-m --help", "--cfg job", "--hydra-help", "--info"])
def test_questions_need_no_views(project: Path, here: Path, command: str) -> None:
    assert checked_arguments(command.split(), project) == command.split()


@pytest.mark.parametrize("name", ["two words", "näme (1) & ünïcode #1%", "it's", 'a"b', "a=b"])
def test_paths_need_no_quotes_of_their_own(project: Path, here: Path, name: str) -> None:
    (here / "toy").rename(here / name)
    checked_arguments([f"views={name}"], project)


@pytest.mark.parametrize("given", ["obj/views", "obj/views/transforms.json", "obj/transforms.json", "link"])
def test_a_run_must_not_write_over_its_views(project: Path, here: Path, given: str) -> None:
    shutil.copytree("toy", "obj/views")
    (here / "link").symlink_to("obj/views")
    document = json.loads((here / "toy" / "transforms.json").read_text())
    for frame in document["frames"]:
        frame["file_path"] = f"views/{frame['file_path']}"
    (here / "obj" / "transforms.json").write_text(json.dumps(document))
    for command in (f"views={given} hydra.run.dir=obj", f"-m views={given} seed=0,1 hydra.sweep.dir={here}"):
        with pytest.raises(InputError, match="the run would write over the views given in .*obj/views"):
            checked_arguments(command.split(), project)
    checked_arguments([f"views={given}", "hydra.run.dir=other"], project)


def test_normals_of_other_views_are_not_left_to_those_of_a_photo(project: Path, here: Path) -> None:
    image = ["image=toy/000.png", f"weights={ROOT / 'sv3dgen' / 'sv3d_tiny' / 'model.safetensors'}"]
    for given, left in (([], "old/views/normals"), (["-m", "seed=0,1"], "sweep/1/views/normals")):
        (here / left).mkdir(parents=True)
        command = [*given, *image, "hydra.run.dir=old", "hydra.sweep.dir=sweep"]
        with pytest.raises(InputError) as refusal:
            checked_arguments(command, project)
        assert str(refusal.value).startswith(f"{left}: normals of an earlier run's views, which this one makes anew")
        (here / left).rmdir()
        checked_arguments(command, project)


def test_a_full_disk_is_told_before_the_run(project: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(here)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InputError, match="outputs/toy: No space left on device, expected at least 50 MB free"):
        checked_arguments(["views=toy"], project)


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        (("some/where/toy.json", None), "toy"),
        ((None, "näme with spaces & ünïcode #1%.png"), "näme_with_spaces_ünïcode_1"),
        ((None, None), "run"),
        (("../..weird..", None), "weird"),
        (("v1.5/", None), "v1"),  # no such folder: taken for a file
        (("###", None), "run"),
    ],
)
def test_run_names_are_safe(paths: tuple[str | None, str | None], name: str) -> None:
    assert stem(*paths) == name


def test_a_dot_in_a_folder_is_part_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "orbit.v2").mkdir()
    assert stem(str(tmp_path / "orbit.v2")) == "orbit.v2"


def test_processes_that_lightning_starts_take_what_the_first_one_checked(
    project: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert checked_arguments(["views=nowhere"], project) == ["views=nowhere"]
