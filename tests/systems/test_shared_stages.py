"""Stages that runs share: the same bits as if computed, whole or not there, by one run at a time."""

import dataclasses
import errno
import json
import multiprocessing
import shutil
from pathlib import Path

import pytest
import torch
import trimesh
from checkout import ROOT
from filelock import FileLock
from omegaconf import OmegaConf
from spheres import maps_in_camera

from sv3dgen.normals.files import write_normals
from sv3dgen.nvs.mesh import MeshNvs
from sv3dgen.nvs.sv3d import Sv3dNvs
from sv3dgen.runs.run_folder import RunCard
from sv3dgen.sv3d.checkpoint import embedded
from sv3dgen.views.posed_views import read_views, write_views
from systems.run import Run
from systems.shared_stages import SharedStages, digest
from systems.stage_keys import coarse_key, digest_of_views, views_key
from systems.stage_results import read_made_views, write_made_views
from systems.sv3d_nerf import Sv3dNerf
from tests.systems.test_run import small

PHOTO = ROOT / "examples" / "photos" / "mug.png"
COARSER = ("coarse.hull_resolution=32", "coarse.mesh_resolution=24", "coarse.mesh_depth_px=24", "stereo.planes=16")
pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")


def card(folder: Path) -> RunCard:
    folder.mkdir(exist_ok=True)
    return RunCard.begin(folder, config={}, seed=0)


def read_card(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def obtain(shared: SharedStages, made: list[str], say: str, cache_key: dict) -> str:
    """A stage whose result is a word."""
    with shared.place("word", cache_key) as place:
        if place.holds_result:
            with place.reading() as folder:
                word = (folder / "word").read_text()
        if not place.taken:
            made.append(say)
            word = say
            if place.may_write:
                with place.writing() as folder:
                    (folder / "word").write_text(word)
    return word


def test_the_same_stage_is_made_once_and_another_one_is_made_too(tmp_path):
    made: list[str] = []
    first, second = card(tmp_path / "0"), card(tmp_path / "1")
    shared = tmp_path / "shared"
    assert obtain(SharedStages(shared, first), made, "one", {"a": 1, "b": [2]}) == "one"
    assert obtain(SharedStages(shared, second), made, "two", {"b": [2], "a": 1}) == "one"
    assert obtain(SharedStages(shared, second), made, "three", {"b": [2], "a": 2}) == "three"
    assert made == ["one", "three"]
    assert read_card(tmp_path / "0")["shared"] == {}
    assert read_card(tmp_path / "1")["shared"] == {"word": str(shared / f"word-{digest({'a': 1, 'b': [2]})}")}


def test_a_damaged_stage_is_made_anew(tmp_path):
    made: list[str] = []
    shared = SharedStages(tmp_path / "shared", card(tmp_path / "0"))
    obtain(shared, made, "one", {"a": 1})
    (folder,) = (path for path in (tmp_path / "shared").iterdir() if path.is_dir())
    (folder / "word").unlink()
    assert obtain(shared, made, "two", {"a": 1}) == "two"
    assert obtain(shared, made, "three", {"a": 1}) == "two"
    assert made == ["one", "two"]


def test_a_coarse_stage_that_was_cut_is_computed_anew_to_the_same_bits(views_folder, tmp_path):
    config = small(views_folder, "system=sv3d_nerf", "coarse.steps=12", *COARSER)
    Run(config, tmp_path / "one", tmp_path / "shared").execute()
    (state,) = (tmp_path / "shared").glob("coarse-*/state.pt")
    state.write_bytes(state.read_bytes()[:3000])
    Run(config, tmp_path / "two", tmp_path / "shared").execute()
    one, two = (tmp_path / name / "mesh" / "mesh.glb" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes() and state.stat().st_size > 3000


def test_what_fails_or_is_stopped_is_not_kept_and_leftovers_go(tmp_path):
    shared, made = tmp_path / "shared", []
    target = shared / f"word-{digest({})}"
    (shared / f".{target.name}.dead").mkdir(parents=True)  # a run was killed while it wrote

    stages = SharedStages(shared, card(tmp_path / "run"))
    with pytest.raises(OSError, match="disk full"), stages.place("word", {}) as place, place.writing() as folder:
        (folder / "word").touch()
        raise OSError("disk full")
    stopped = SharedStages(shared, stages.card, lambda: bool(made))
    assert obtain(stopped, made, "half", {}) == "half"
    assert [path.name for path in shared.iterdir()] == [f"{target.name}.lock"]
    assert obtain(stages, made, "whole", {}) == "whole" and target.is_dir()


def test_who_wants_to_stop_does_not_wait_for_others(tmp_path):
    shared, made = tmp_path / "shared", []
    shared.mkdir()
    with FileLock(shared / f"word-{digest({})}.lock"):
        stages = SharedStages(shared, card(tmp_path / "run"), lambda: True)
        assert obtain(stages, made, "own", {}) == "own"
    assert not list(shared.glob("word-*[!k]"))


def make_slowly(folder: str, number: int) -> None:
    root = Path(folder)
    made: list[str] = []
    word = obtain(SharedStages(root / "shared", card(root / str(number))), made, f"{number} " * 100_000, {})
    (root / f"{number}.txt").write_text(f"{len(made)} {word[0]}")


def test_processes_at_once_leave_one_whole_result(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=make_slowly, args=(str(tmp_path), number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    told = [(tmp_path / f"{number}.txt").read_text().split() for number in range(4)]
    assert sum(int(made) for made, _ in told) == 1
    assert len({word for _, word in told}) == 1


@pytest.mark.parametrize("generated", [pytest.param(False, marks=pytest.mark.thorough), True])
def test_a_run_that_takes_the_coarse_stage_ends_in_the_same_bits(views_folder, tmp_path, monkeypatch, generated):
    if generated:  # with corrections that the coarse stage hands on, of views at half the size of the one photo
        views, views_folder = read_views(views_folder), tmp_path / "generated"
        views_folder.mkdir()
        small_ones = (*views.resized(max(views.own_px) // 2).images[:-1], None)
        sources = (True,) * (len(views) - 1) + (False,)
        write_views(dataclasses.replace(views, generated=sources, small=small_ones), views_folder)
    few = ("coarse.steps=12", "fine.steps=6", "material=sg", *COARSER)
    for name, share in {"alone": None, "gives": tmp_path / "shared", "takes": tmp_path / "shared"}.items():
        if name == "takes":
            monkeypatch.setattr(Sv3dNerf, "training_step", lambda *_: pytest.fail("computed again"))
        (tmp_path / name).mkdir()
        Run(small(views_folder, *few), tmp_path / name, share).execute()
    meshes = {name: (tmp_path / name / "mesh" / "mesh.glb").read_bytes() for name in ("alone", "gives", "takes")}
    assert meshes["takes"] == meshes["gives"] == meshes["alone"]
    lights = {name: (tmp_path / name / "light.json").read_bytes() for name in ("alone", "takes")}
    assert lights["takes"] == lights["alone"]
    assert read_card(tmp_path / "takes")["shared"].keys() == {"coarse"} and not read_card(tmp_path / "gives")["shared"]
    assert "finished" in read_card(tmp_path / "takes")


def test_a_run_that_takes_its_last_stage_tells_what_it_corrected(views_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("systems.run.export_mesh", lambda *_, **__: None)
    config = small(views_folder, "system=sv3d_nerf", "coarse.steps=12", "corrections=all", *COARSER)
    for name in ("gives", "takes"):
        (tmp_path / name).mkdir()
        Run(config, tmp_path / name, tmp_path / "shared").execute()
    tables = [(tmp_path / name / "corrections.csv").read_bytes() for name in ("gives", "takes")]
    assert tables[0] == tables[1] and read_card(tmp_path / "takes")["shared"].keys() == {"coarse"}


def test_a_full_or_forbidden_disk_removes_no_shared_stage(tmp_path):
    shared = SharedStages(tmp_path / "shared", card(tmp_path / "0"))
    obtain(shared, [], "one", {"a": 1})
    for error in (PermissionError(errno.EACCES, "denied"), OSError(errno.ENOSPC, "full"), MemoryError()):
        with pytest.raises(type(error)), shared.place("word", {"a": 1}) as place, place.reading():
            raise error
        assert place.holds_result


def test_the_fine_stages_settings_do_not_part_coarse_stages_and_others_do(views_folder, posed_views):
    def key(*overrides: str) -> str:
        config = small(views_folder, *overrides)
        return digest(coarse_key(config, posed_views, None, {}))

    own = key()
    assert own == key("fine.steps=3", "name=other", "export.faces=10", "logger=csv")
    changes = ("seed=1", "coarse.steps=41", "material=sg", "trainer.accelerator=cpu")
    assert len({own, *(key(change) for change in changes)}) == 1 + len(changes)


def test_normals_that_come_or_change_make_another_coarse_stage(views_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("systems.run.export_mesh", lambda *_, **__: None)
    shutil.copytree(views_folder, tmp_path / "toy")
    config = small(tmp_path / "toy", "coarse.steps=2", "system=sv3d_nerf", *COARSER)
    normals = maps_in_camera(read_views(tmp_path / "toy").cameras)

    def entries(name: str, tilt: float | None) -> int:
        for index, of_view in enumerate(normals if tilt is not None else ()):
            tilted = of_view + torch.tensor([tilt, 0.0, 0.0]) * of_view.any(-1, True)
            unit = torch.nn.functional.normalize(tilted, dim=-1)
            write_normals(tmp_path / "toy" / "normals" / f"{index:03d}.png", unit)
        (tmp_path / name).mkdir()
        Run(config, tmp_path / name, tmp_path / "shared").execute()
        return len([path for path in (tmp_path / "shared").iterdir() if path.is_dir()])

    assert [entries("none", None), entries("again", None)] == [1, 1]
    assert [entries("normals", 0.0), entries("others", 0.3), entries("the_first", 0.0)] == [2, 3, 3]


def test_views_are_known_by_pictures_and_cameras(posed_views):
    own = digest_of_views(posed_views)
    assert own == digest_of_views(posed_views[:])
    assert own != digest_of_views(dataclasses.replace(posed_views, generated=(True,) * 12))
    assert own != digest_of_views(posed_views[torch.arange(11, -1, -1)])
    assert own != digest_of_views(posed_views.resized(32))


def test_a_photos_views_follow_from_its_content(tmp_path, views_folder):
    def key(photo: Path, **changed) -> str:
        config = small(views_folder, "nvs=sv3d_tiny")
        config = OmegaConf.merge(config, {"image": str(photo), "views": None, **changed})
        return digest(views_key(config, Sv3dNvs(weights=embedded.NAME)))  # type: ignore[arg-type]

    copy = tmp_path / "other.png"
    copy.write_bytes(PHOTO.read_bytes())
    own = key(PHOTO)
    assert own == key(copy, fine={"steps": 3}, name="other")
    copy.write_bytes(PHOTO.read_bytes() + b"\0")
    assert own != key(copy)
    changes = ({"seed": 1}, {"elevation_deg": 3.0}, {"foreground_ratio": 0.7}, {"nvs": {"steps": 3}})
    assert len({own, *(key(PHOTO, **change) for change in changes)}) == 1 + len(changes)


def test_views_of_a_known_mesh_follow_from_its_file(tmp_path, views_folder):
    file = tmp_path / "ball.glb"

    def key(size_px: int = 64) -> str:
        config = small(views_folder, "nvs=mesh", f"nvs.mesh={file}", f"nvs.size_px={size_px}")
        config = OmegaConf.merge(config, {"image": str(PHOTO), "views": None})
        return digest(views_key(config, MeshNvs(mesh=str(file))))  # type: ignore[arg-type]

    trimesh.creation.icosphere(1).export(file)
    own = key()
    assert own == key() and own != key(size_px=32)
    trimesh.creation.icosphere(2).export(file)
    assert own != key()


def test_views_are_taken_with_what_is_to_be_told_of_them(tmp_path):
    gives, takes = card(tmp_path / "gives"), card(tmp_path / "takes")
    made, taken, kept = tmp_path / "gives" / "views", tmp_path / "takes" / "views", tmp_path / "kept"
    for folder in (made, kept):
        folder.mkdir()
    for file in ("input.png", "000.png", "transforms.json", "orbit.mp4"):
        (made / file).write_text(f"content of {file}")
    gives.add_note("nvs", "a small model")
    gives.add_licence("nvs weights", "Apache-2.0")
    gives.add_licence("kernels.rasterizer=fast", "of the run's own")
    gives.add_metrics(elevation_deg=12.5, psnr_train=3.0)
    write_made_views(kept, made, gives)
    read_made_views(kept, taken, takes)
    assert takes.card["notes"] == gives.card["notes"] and takes.card["licences"] == {"nvs weights": "Apache-2.0"}
    assert takes.card["metrics"] == {"elevation_deg": 12.5}
    assert {file.name: file.read_text() for file in taken.iterdir()} == {
        file.name: file.read_text() for file in made.iterdir()
    }
