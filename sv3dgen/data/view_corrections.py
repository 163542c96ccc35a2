"""Small corrections of views that a model made, learned next to the shape: where each lies, how it is bent, its light.

A generated view shows the object a little elsewhere, turned, stretched and tinted, each view in its own way. Fitted as
they are, such views average to a blurred shape. Here every one gets a warp (`image_warp.py`) and a gain of its own,
all near nothing by a Gaussian prior; photos get none, which keeps the whole from drifting. (docs/method.md)
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sv3dgen.devices import sent_to
from sv3dgen.domains import Between, LearningRates, Magnitude, Share
from sv3dgen.interfaces import ViewBatch
from sv3dgen.views.image_warp import ImageWarp
from sv3dgen.views.posed_views import PosedViews

COLUMNS = ("shift_x", "shift_y", "turn", "scale", "stretch", "shear", "tilt_x", "tilt_y")  # of `lie`
LIGHT = ("exposure", "red", "green", "blue")  # of `light`
TABLE: tuple[str, ...] = (*COLUMNS, "bend", "gain_red", "gain_green", "gain_blue")


class ViewCorrections(nn.Module):
    """Corrections of the views that `start_from` picks: "generated" ones, or "all", or "none".

    The standard deviations of the prior: `shift` and `bend` (each point of the net) in frames, `turn_deg` in degrees,
    `scale` and `stretch` (width against height, and shear) relative, `tilt` (the homography's perspective) as the
    change of scale over half a frame, `exposure` and `tint` relative. Parameters are in these units, so that one
    `learning_rate` fits all. `prior` is the weight of half their squared sum, averaged over the views.
    """

    lie: nn.Parameter
    bend: nn.Parameter
    light: nn.Parameter
    row: Tensor
    reach: Tensor

    def __init__(
        self,
        *,
        of: Literal["generated", "all", "none"] = "generated",
        shift: Share = 0.012,
        turn_deg: Annotated[float | int, Between(0.0, 45.0)] = 1.0,
        scale: Share = 0.015,
        stretch: Share = 0.005,
        tilt: Share = 0.01,
        bend: Share = 0.01,
        nodes: Annotated[int, Between(4, 32)] = 6,
        exposure: Share = 0.05,
        tint: Share = 0.02,
        prior: Magnitude = 0.02,
        learning_rate: LearningRates | Mapping[str, LearningRates] = 0.02,
    ):
        super().__init__()
        if not 4 <= nodes <= 32:
            raise ValueError(f"corrections.nodes={nodes}: expected 4 to 32")
        sizes = {"shift": shift, "turn_deg": turn_deg, "scale": scale, "stretch": stretch, "tilt": tilt, "bend": bend}
        for name, size in {**sizes, "exposure": exposure, "tint": tint, "prior": prior}.items():
            if not 0 <= size < math.inf:
                raise ValueError(f"corrections.{name}={size}: expected 0 or more")
        self.of, self.nodes, self.prior_weight, self.learning_rate = of, nodes, prior, learning_rate
        # In tangents, half a frame is `reach`; see `_warp`.
        unit = [2 * shift, 2 * shift, math.radians(turn_deg), scale, stretch, stretch, tilt, tilt]
        self.register_buffer("lie_unit", torch.tensor(unit), persistent=False)
        self.register_buffer("light_unit", torch.tensor([exposure, tint, tint, tint]), persistent=False)
        self.bend_unit = 2 * bend
        self.register_buffer("row", torch.zeros(0, dtype=torch.long), persistent=False)
        self.register_buffer("reach", torch.zeros(0), persistent=False)
        self._size_to(0)

    def start_from(self, views: PosedViews) -> None:
        """Take the views to correct; makes new parameters, all zero."""
        corrected = torch.tensor(self.chosen(views), dtype=torch.bool)
        device, cameras = self.reach.device, views.cameras
        self._size_to(int(corrected.sum()))
        # A view that is not corrected reads the last row, which stays zero.
        self.row = torch.where(corrected, corrected.cumsum(0) - 1, corrected.sum()).to(device)
        half = 0.5 * cameras.focal_px.new_tensor([cameras.width_px, cameras.height_px])
        self.reach = (half / cameras.focal_px).amax(1).to(device)
        self.to(device)

    def chosen(self, views: PosedViews) -> tuple[bool, ...]:
        """Which of the views are corrected."""
        return {"generated": views.generated, "all": (True,) * len(views), "none": (False,) * len(views)}[self.of]

    @property
    def count(self) -> int:
        """How many views are corrected."""
        return len(self.lie)

    def applied(self, batch: ViewBatch) -> ViewBatch:
        """The batch seen through cameras that are bent as its views are, and the gain of their light."""
        if self.count == 0:
            return batch
        assert batch.view_index is not None
        view = sent_to(self.reach.device, batch.view_index)
        return replace(batch, cameras=replace(batch.cameras, warp=self.warp(view)), gain=self.gain(view))

    def warp(self, view: Int[Tensor, " picked"]) -> ImageWarp:
        """Of each of the views, by their numbers; differentiable in the parameters."""
        reach = self.reach[view]
        x, y, turn, scale, stretch, shear, tilt_x, tilt_y = (self._of_views(self.lie, view) * self.lie_unit).unbind(1)
        matrix = [
            *(1 + scale + stretch, shear - turn, x * reach),
            *(shear + turn, 1 + scale - stretch, y * reach),
            *(tilt_x / reach, tilt_y / reach, torch.ones_like(x)),
        ]
        net = self._of_views(self.bend, view) * (self.bend_unit * reach)[:, None, None, None]
        return ImageWarp(torch.stack(matrix, 1).unflatten(1, (3, 3)), net, reach)

    def gain(self, view: Int[Tensor, " picked"]) -> Float[Tensor, "picked 3 1 1"]:
        """What the colors of the object are to be multiplied by to look as they do in each of the views."""
        light = self._of_views(self.light, view) * self.light_unit
        return torch.exp(light[:, :1] + light[:, 1:])[..., None, None]

    def prior(self) -> Float[Tensor, ""]:
        """How unlikely the corrections are: half their squared sum, in standard deviations, averaged over the views."""
        parts = (self.lie, self.bend, self.light)
        return sum((0.5 * part.square().sum() for part in parts), self.lie.new_zeros(())) / max(1, self.count)

    def _of_views(self, values: Tensor, view: Tensor) -> Tensor:
        """The rows of these views; zeros where a view is not corrected."""
        padded = torch.cat([values, values.new_zeros(1, *values.shape[1:])])
        # Not by brackets: on a CPU the order in which their gradient is summed is left to chance.
        return padded.index_select(0, self.row[view])

    @torch.no_grad()
    def table(self) -> list[dict[str, float]]:
        """Of every view: shifts and the mean length `bend` of the net in frames, `turn` in degrees, gains."""
        view = torch.arange(len(self.row), device=self.row.device)
        lie = self._of_views(self.lie, view) * self.lie_unit
        lie[:, :2] /= 2
        lie[:, 2] = torch.rad2deg(lie[:, 2])
        bend = 0.5 * self.bend_unit * self._of_views(self.bend, view).norm(dim=-1).mean((1, 2))
        values = torch.cat([lie, bend[:, None], self.gain(view).flatten(1)], 1).tolist()
        return [dict(zip(TABLE, row, strict=True)) for row in values]

    def _size_to(self, views: int) -> None:
        device = self.reach.device
        self.lie = nn.Parameter(torch.zeros(views, len(COLUMNS), device=device))
        self.bend = nn.Parameter(torch.zeros(views, self.nodes, self.nodes, 2, device=device))
        self.light = nn.Parameter(torch.zeros(views, len(LIGHT), device=device))
