"""A page of this machine on which an object is seen from where one looks, while it grows or afterwards. Needs viser.

The page's own threads only note what is wanted. All is drawn by the thread that calls `serve`, between its steps: so
nothing else runs while a step does, and a run comes to the same numbers with the page and without.
"""

import io
import logging
import math
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from sv3dgen.errors import InputError
from sv3dgen.interfaces import RenderOutput
from sv3dgen.viewer.own_pages import only_own_pages
from sv3dgen.viewer.pace import Pace
from sv3dgen.viewer.pictures import LOOKS, looks_of, picture_of
from sv3dgen.viewer.ports import HOST, free_port
from sv3dgen.views.cameras import Cameras, look_at_origin
from sv3dgen.views.posed_views import PosedViews

Draw = Callable[[Cameras], RenderOutput]
FAR = 100.0  # where there is nothing
MOST_SHOWN_VIEWS = 24
THUMBNAIL_PX = 96


@dataclass
class Wishes:
    """What was pressed and has not been done yet."""

    paused: bool = False
    finish: bool = False
    save: bool = False


class LivePage:
    """The page, open from when it is made until `stop`."""

    def __init__(self, *, title: str, port: int, views: PosedViews | None, with_buttons: bool) -> None:
        """`views` are shown as cameras with their pictures; `with_buttons` gives those of a run at work.

        Raises InputError where viser is missing, or another program has the port.
        """
        try:
            import viser  # pyright: ignore[reportMissingImports]  (an extra)
        except ImportError:
            raise InputError('the live view needs viser: pip install -c constraints.txt -e ".[view]"') from None
        logging.getLogger("websockets").setLevel(logging.WARNING)
        with redirect_stdout(io.StringIO()), only_own_pages() as guarded:  # it prints its address in a box
            self.server = viser.ViserServer(host=HOST, port=free_port(port, "viewer_port"), label=title, verbose=False)
        if not guarded:
            self.stop()
            raise InputError('the live view does not know this viser: pip install -c constraints.txt -e ".[view]"')
        self.server.request_share_url = lambda *_, **__: None  # which would lead through a server of other people's
        self.wishes = Wishes()
        self._paces: dict[int, Pace] = {}
        self._version = 0
        self._build(views, with_buttons)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server.get_port()}"

    @property
    def is_looked_at(self) -> bool:
        """Whether the page is open somewhere. Costs next to nothing."""
        return bool(self.server.get_clients())

    def tell(self, text: str) -> None:
        """What stands above the controls."""
        if self._told.content != text:
            self._told.content = text

    @torch.no_grad()
    def serve(self, draw: Draw, version: int) -> None:
        """Draw for all who look what they are to see next, if it is time; `version` changes with the object."""
        clients = self.server.get_clients()
        self._paces = {key: self._paces.get(key, Pace()) for key in clients}
        for key, client in clients.items():
            camera = client.camera
            view = (camera.update_timestamp, self._look.value, self._detail.value)
            budget_s = self._paces[key].budget(view, version, began_s := perf_counter())
            if budget_s is None:
                continue
            most = min(int(self._detail.value), camera.image_height)
            width, height = self._paces[key].size(budget_s, camera.aspect, most)
            self._send(client, draw, width, height)
            self._paces[key].drew(
                view,
                version,
                pixels=width * height,
                whole=height >= most or budget_s > 0.1,
                began_s=began_s,
                ended_s=perf_counter(),
            )

    def stop(self) -> None:
        """Close it."""
        with redirect_stdout(io.StringIO()):
            self.server.stop()

    def _send(self, client: Any, draw: Draw, width: int, height: int) -> None:
        cameras = seen_from(client.camera.wxyz, client.camera.position, client.camera.fov, width, height)
        render = draw(cameras)
        if self._look.options != (looks := looks_of(render)):  # what this renderer does not draw is not offered
            self._look.options = looks
        look = self._look.value if self._look.value in looks else "color"
        picture = (picture_of(render, look)[0] * 255).round().byte().permute(1, 2, 0).numpy()
        depth = depth_along_axis(render, cameras).numpy() if "depth" in render.buffers else None
        client.scene.set_background_image(picture, format="jpeg", jpeg_quality=88, depth=depth)

    def _build(self, views: PosedViews | None, with_buttons: bool) -> None:
        scene, gui = self.server.scene, self.server.gui
        gui.configure_theme(show_logo=False, show_share_button=False)
        scene.set_up_direction("+y")
        self._told = gui.add_markdown("")
        self._look = gui.add_dropdown("Show", LOOKS, initial_value="color")
        self._detail = gui.add_slider("Detail in pixels", 64, 1024, 64, 512)
        if with_buttons:
            self._add_buttons(gui)
        distance, fov_deg = 2.0, 33.8
        if views is not None and len(views):
            distance = float(views.cameras.positions.norm(dim=-1).mean())
            self._add_cameras(views)
        start = look_at_origin(torch.tensor([15.0]), torch.tensor([25.0]), distance=distance, fov_deg=fov_deg)
        first = self.server.initial_camera
        first.position, first.look_at, first.up = start.positions[0].numpy(), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0)
        first.fov = math.radians(fov_deg)

    def _add_buttons(self, gui: Any) -> None:
        pause, finish, save = (gui.add_button(name) for name in ("Pause", "Finish now", "Save here"))

        @pause.on_click
        def _(_: Any) -> None:
            self.wishes.paused = not self.wishes.paused
            pause.label = "Go on" if self.wishes.paused else "Pause"

        @finish.on_click
        def _(_: Any) -> None:
            self.wishes.finish = True

        @save.on_click
        def _(_: Any) -> None:
            self.wishes.save = True

    def _add_cameras(self, views: PosedViews) -> None:
        shown = self.server.gui.add_checkbox("Cameras", False)
        size = self.server.gui.add_slider("Size of cameras", 0.05, 0.5, 0.05, 0.15)
        every = -(-len(views) // MOST_SHOWN_VIEWS)
        small = views[::every].resized(THUMBNAIL_PX)
        pictures = small.rgba[:, :3] * small.rgba[:, 3:] + (1 - small.rgba[:, 3:])
        frustums = []
        for index, matrix in enumerate(small.cameras.camera_to_world):
            wxyz, position = pose_of(matrix)
            frustum = self.server.scene.add_camera_frustum(
                f"/views/{index}",
                fov=2 * math.atan(0.5 * small.cameras.height_px / float(small.cameras.focal_px[index, 1])),
                aspect=small.cameras.width_px / small.cameras.height_px,
                scale=size.value,
                thickness=0.004,
                image=(pictures[index] * 255).round().byte().permute(1, 2, 0).cpu().numpy(),
                wxyz=wxyz,
                position=position,
                visible=False,
            )
            frustum.on_click(lambda event, wxyz=wxyz, place=position: _stand(event.client, wxyz, place))
            frustums.append(frustum)

        @shown.on_update
        def _(_: Any) -> None:
            for frustum in frustums:
                frustum.visible = shown.value

        @size.on_update
        def _(_: Any) -> None:
            for frustum in frustums:
                frustum.scale = size.value


def _stand(client: Any, wxyz: Any, position: Any) -> None:
    """Put a viewer's camera where one of the views was taken from."""
    with client.atomic():
        client.camera.wxyz, client.camera.position = wxyz, position
        client.camera.look_at = (0.0, 0.0, 0.0)


def seen_from(wxyz: Any, position: Any, fov_rad: float, width: int, height: int) -> Cameras:
    """viser's camera (x right, y down, z forward; a vertical field of view) as ours, with centered pixels."""
    w, x, y, z = (float(part) for part in wxyz)
    rotation = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = torch.eye(4)
    matrix[:3, :3] = rotation * torch.tensor([1.0, -1.0, -1.0])
    matrix[:3, 3] = torch.tensor([float(part) for part in position])
    focal = 0.5 * height / math.tan(0.5 * fov_rad)
    return Cameras(
        matrix[None], torch.tensor([[focal, focal]]), torch.tensor([[0.5 * width, 0.5 * height]]), width, height
    )


def pose_of(camera_to_world: torch.Tensor) -> tuple[Any, Any]:
    """One of our cameras as viser's quaternion and position."""
    import viser.transforms  # pyright: ignore[reportMissingImports]  (an extra)

    rotation = (camera_to_world[:3, :3] * camera_to_world.new_tensor([1.0, -1.0, -1.0])).double().cpu().numpy()
    return viser.transforms.SO3.from_matrix(rotation).wxyz, camera_to_world[:3, 3].cpu().numpy()


def depth_along_axis(render: RenderOutput, cameras: Cameras) -> torch.Tensor:
    """Distance along the viewing axis [height, width] of one picture, so that cameras are hidden by the object."""
    _, directions = cameras.rays()
    slant = torch.einsum("vhwi,vi->vhw", directions, cameras.forward)[0]
    depth = render.buffer("depth")[0, 0].detach().float().cpu() * slant
    return torch.where(render.opacity[0, 0].detach().cpu() > 0.5, depth, FAR)
