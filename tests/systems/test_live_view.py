"""The live view of a run: what is pressed is done, and the run comes to the same numbers with it and without."""

import socket
import subprocess
import sys
import time
from types import SimpleNamespace
from unittest.mock import create_autospec

import lightning
import pytest
import torch
import trimesh
from browser import browser
from checkout import ROOT
from stage_case import pretended

from sv3dgen.cli.extras import is_installed
from sv3dgen.errors import InputError
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.viewer.live_page import LivePage, Wishes
from systems import live_view
from systems.fitting import Interrupt
from systems.live_view import LiveView, write_mesh_as_is
from tests.systems.test_stage_devices import coarse


@pytest.fixture
def view(tmp_path):
    """The callback, over a page that somebody looks at."""
    page = create_autospec(LivePage, instance=True)
    page.wishes, page.is_looked_at = Wishes(), True
    return LiveView(page, "coarse", tmp_path, Interrupt(), lambda trainer: None)


MODULE = SimpleNamespace(eval=lambda: None, train=lambda: None)


@pytest.fixture
def trainer():
    return create_autospec(lightning.Trainer, instance=True, global_step=3, max_steps=9)


def test_a_paused_stage_is_drawn_until_it_is_to_finish(view, trainer):
    view.page.wishes.paused, served = True, []

    def serve(draw, version):
        served.append(version)
        view.page.wishes.finish = len(served) == 5

    view.page.serve.side_effect = serve
    view.on_train_batch_end(trainer, MODULE)
    assert served == [3] * 5 and view.interrupt.requested
    view.page.tell.assert_called_with("finishing with the mesh there is")


def test_a_stage_that_nobody_looks_at_is_not_paused(view, trainer):
    view.page.wishes.paused, view.page.is_looked_at = True, False
    view.on_train_batch_end(trainer, MODULE)
    view.page.serve.assert_not_called()


def test_pictures_that_fail_end_themselves_and_not_the_run(view, trainer, caplog):
    view.page.serve.side_effect = InputError("a guidance needs the render's normal")
    for _ in range(3):
        view.on_train_batch_end(trainer, MODULE)
    assert view.page.serve.call_count == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"] and "the render's normal" in caplog.text


def test_what_cannot_be_saved_is_told_and_the_run_goes_on(view, trainer, caplog):
    view.page.wishes.save = True
    view.on_train_batch_end(trainer, MODULE)  # which has no surface
    assert "coarse_00003.ply is not saved" in caplog.text and not view.page.wishes.save


@pytest.mark.parametrize("where", ["cpu", "pretend"])
def test_the_mesh_as_it_is_has_colors_and_comes_from_any_device(where, posed_views, tmp_path, monkeypatch):
    with pretended(monkeypatch) as device:
        stage = coarse(posed_views, torch.device(where), "patches")
        sphere = trimesh.creation.icosphere(subdivisions=1, radius=0.4)
        vertices, faces = torch.tensor(sphere.vertices, dtype=torch.float32), torch.tensor(sphere.faces)
        if where == "pretend":
            vertices, faces = device.wrap((vertices, faces))
        monkeypatch.setattr(stage, "surface", lambda: Mesh(vertices, faces))
        write_mesh_as_is(tmp_path / "saved" / "coarse.ply", stage)
    read = trimesh.load(tmp_path / "saved" / "coarse.ply", process=False)
    assert len(read.faces) == 80 and read.vertices == pytest.approx(sphere.vertices, abs=1e-6)
    assert read.visual.kind == "vertex" and stage.training


def test_a_port_that_is_taken_since_the_run_began_gives_way_to_a_free_one():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert live_view._port(other.getsockname()[1]) == 0


def started(views, folder, *settings):
    command = [sys.executable, str(ROOT / "launch.py"), f"views={views}", "preset=draft", "device=cpu"]
    return subprocess.Popen([*command, f"hydra.run.dir={folder}", *settings], stdout=subprocess.DEVNULL)


def wait_until(met, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.thorough
def test_who_moves_sees_another_picture_and_the_mesh_is_the_same(views_folder, tmp_path):
    if not is_installed("viser"):
        pytest.skip("needs viser, which the view extra brings")
    short = ["coarse.steps=60", "fine.steps=10", "export.texture_px=64", "export.turntable_frames=2"]
    alone = started(views_folder, tmp_path / "alone", *short)
    seen = started(views_folder, tmp_path / "seen", *short, "viewer=true", "viewer_port=0")
    address = tmp_path / "seen" / "viewer.url"
    wait_until(address.is_file)
    with browser() as found:
        page = found.new_page(viewport={"width": 900, "height": 600})
        page.goto(address.read_text())
        page.get_by_role("button", name="Pause").click()  # the run waits for us from here on
        page.get_by_role("button", name="Go on").wait_for()
        page.get_by_text("step").first.wait_for(timeout=120_000)

        def settled():
            """A picture of what is shown, when it no longer changes."""
            last, now = b"", page.screenshot()
            while last != now:
                page.wait_for_timeout(1500)
                last, now = now, page.screenshot()
            return now

        before = settled()
        page.mouse.move(250, 300)
        page.mouse.down()
        page.mouse.move(420, 260, steps=6)
        page.mouse.up()
        moved = settled()
        assert moved != before
        page.get_by_role("button", name="Save here").click()
        wait_until(lambda: any((tmp_path / "seen" / "saved").glob("*.ply")))
        page.get_by_role("button", name="Go on").click()
        assert seen.wait(300) == 0 and alone.wait(300) == 0
    assert not address.exists()
    meshes = [(tmp_path / name / "mesh" / "mesh.obj").read_bytes() for name in ("alone", "seen")]
    assert meshes[0] == meshes[1]
