"""The live view's page, with somebody who looks and no browser."""

import math
from dataclasses import replace
from http.client import HTTPConnection
from types import SimpleNamespace

import pytest
import torch

from sv3dgen.cli.extras import is_installed
from sv3dgen.interfaces import RenderOutput
from sv3dgen.views.cameras import look_at_origin

if not is_installed("viser"):
    pytest.skip("needs viser, which the view extra brings", allow_module_level=True)

from sv3dgen.viewer.live_page import FAR, LivePage, depth_along_axis, pose_of, seen_from


@pytest.fixture(scope="module")
def page(posed_views):
    made = LivePage(title="toy", port=0, views=posed_views, with_buttons=True)
    yield made
    made.stop()


def ball(cameras):
    """Something in the middle of the picture, 2 away."""
    shape = (1, 1, cameras.height_px, cameras.width_px)
    opacity = torch.zeros(shape)
    opacity[..., cameras.height_px // 4 : -cameras.height_px // 4, cameras.width_px // 4 : -cameras.width_px // 4] = 1
    gray = torch.full((1, 3, *shape[2:]), 0.25)
    buffers = {"albedo": gray, "normal": gray, "depth": torch.full(shape, 2.0)}
    return RenderOutput(gray, opacity, opacity > 0, buffers)


def test_a_viewers_camera_is_ours():
    wanted = look_at_origin(torch.tensor([20.0]), torch.tensor([70.0]), distance=2.0, fov_deg=40.0, size_px=100)
    wxyz, position = pose_of(wanted.camera_to_world[0])
    cameras = seen_from(wxyz, position, math.radians(40), 100, 100)
    for name in ("camera_to_world", "focal_px", "center_px"):
        assert torch.allclose(getattr(cameras, name), getattr(wanted, name).float(), atol=1e-4), name


def test_depth_is_along_the_axis_and_far_where_there_is_nothing():
    cameras = look_at_origin(torch.tensor([0.0]), torch.tensor([0.0]), distance=2.0, fov_deg=90.0, size_px=64)
    depth = depth_along_axis(ball(cameras), cameras)
    assert depth[0, 0] == FAR and depth[32, 32] == pytest.approx(2.0, abs=1e-3)
    assert depth[32, 20] == pytest.approx(2 / math.hypot(1, 11.5 / 32), rel=1e-2)


def test_who_looks_is_sent_a_picture_from_where_they_stand(page, monkeypatch):
    sent = []
    scene = SimpleNamespace(set_background_image=lambda image, **rest: sent.append((image, rest["depth"])))
    wxyz, position = (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, -2.0)
    camera = SimpleNamespace(
        update_timestamp=1.0, wxyz=wxyz, position=position, fov=0.6, aspect=1.5, image_height=400, image_width=600
    )
    assert not page.is_looked_at
    page.serve(ball, 0)
    monkeypatch.setattr(page.server, "get_clients", lambda: {7: SimpleNamespace(camera=camera, scene=scene)})
    assert page.is_looked_at
    page.serve(ball, 0)
    picture, depth = sent.pop()
    assert picture.shape == (*depth.shape, 3) and picture.shape[1] == pytest.approx(1.5 * picture.shape[0], abs=1)
    assert picture[0, 0].tolist() == [237, 237, 242] and picture[picture.shape[0] // 2, picture.shape[1] // 2, 0] == 64
    page.serve(ball, 0)
    assert sent == []  # nothing has changed, or it is too early


def test_only_what_a_renderer_draws_is_offered(page, monkeypatch):
    sent = []
    scene = SimpleNamespace(set_background_image=lambda image, **rest: sent.append(rest["depth"]))
    camera = SimpleNamespace(wxyz=(1.0, 0.0, 0.0, 0.0), position=(0.0, 0.0, -2.0), fov=0.6)
    drawn = page._look.options
    monkeypatch.setattr(page._look, "value", "normal")
    page._send(SimpleNamespace(camera=camera, scene=scene), lambda cameras: replace(ball(cameras), buffers={}), 9, 6)
    assert page._look.options == ("color", "opacity") and sent == [None]
    page._send(SimpleNamespace(camera=camera, scene=scene), ball, 9, 6)
    assert page._look.options == drawn and sent[1] is not None


def test_it_has_no_way_to_other_peoples_servers(page):
    assert page.address.startswith("http://127.0.0.1:") and page.server.get_host() == "127.0.0.1"
    assert page.server.request_share_url() is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:PORT"}, 200),
        ({"Host": "evil.example:PORT"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Origin": "http://127.0.0.1:PORT"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
@pytest.mark.parametrize("opens", ["page", "connection"])
def test_only_its_own_pages_are_answered(headers, status, opens, page):
    port = str(page.server.get_port())
    given = {name: value.replace("PORT", port) for name, value in headers.items()}
    if opens == "connection":
        given |= {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        given |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    connection = HTTPConnection("127.0.0.1", int(port), timeout=10)
    connection.request("GET", "/", headers=given)
    answered = connection.getresponse().status
    connection.close()
    assert answered == (101 if opens == "connection" and status == 200 else status)
