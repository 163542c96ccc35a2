"""Small warps of whole pictures: where a point of a picture that was made, not taken, really belongs.

Points are tangents of viewing angles, ((x - cx) / fx, (y - cy) / fy) with x right and y down, so that a warp is the
same at every resolution and for every crop of a frame. The warp is a homography and, added to it, a smooth
displacement: a uniform cubic B-spline over a small net of control points.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

INVERSION_STEPS = 3  # of a fixed point; a warp of 2 % of the frame is then inverted to 1e-5 of it
LATTICE, LATTICE_REACH = 33, 1.25  # points a side of the lattice that is inverted, over so many times the net's reach


@dataclass(frozen=True)
class ImageWarp:
    """A warp for each of several views. `true_points` is differentiable in all its numbers and in the points."""

    homography: Float[Tensor, "views 3 3"]  # of (x, y, 1), lower right entry 1
    displacement: Float[Tensor, "views nodes nodes 2"]  # control points, rows from top to bottom; (x, y) each
    reach: Float[Tensor, " views"]  # the net spans +-reach in both axes; beyond, it goes on as at its border

    def __getitem__(self, index: Int[Tensor, " picked"] | slice) -> "ImageWarp":
        return ImageWarp(self.homography[index], self.displacement[index], self.reach[index])

    def to(self, device: torch.device | str) -> "ImageWarp":
        return ImageWarp(self.homography.to(device), self.displacement.to(device), self.reach.to(device))

    def true_points(self, seen: Float[Tensor, "views points 2"]) -> Float[Tensor, "views points 2"]:
        """Where points of the picture belong: the ray through a pixel goes there."""
        matrix = self.homography
        moved = seen @ matrix[:, :2, :2].transpose(1, 2) + matrix[:, None, :2, 2]
        moved = moved / (1 + seen @ matrix[:, 2, :2, None])
        nodes = self.displacement.shape[1]
        place = (seen / self.reach[:, None, None] + 1) * (0.5 * (nodes - 1))
        across, down = _spline_weights(place, nodes).unbind(2)
        rows = torch.bmm(across, self.displacement.permute(0, 2, 1, 3).flatten(2)).unflatten(2, (nodes, 2))
        return moved + (down[..., None] * rows).sum(2)

    def seen_offsets(self, true: Float[Tensor, "views points 2"]) -> Float[Tensor, "views points 2"]:
        """How far from where points belong the picture shows them: a vertex is drawn there. Inverts `true_points`.

        Inverted on a lattice, and read from it linearly: vertices are many. Beyond the lattice a point moves as at its
        border. The gradient is of the last step of the inversion, in the numbers of the warp alone: a warp that turns
        and scales by a hundredth makes it wrong by as much.
        """
        ticks = torch.linspace(-LATTICE_REACH, LATTICE_REACH, LATTICE, device=true.device, dtype=true.dtype)
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        lattice = torch.stack([x, y], -1).flatten(0, 1) * self.reach[:, None, None]
        seen = lattice
        with torch.no_grad():
            for _ in range(INVERSION_STEPS - 1):
                seen = seen - (self.true_points(seen) - lattice)
        offsets = (seen - self.true_points(seen)).unflatten(1, (LATTICE, LATTICE)).permute(0, 3, 1, 2)
        place = true.detach() / (LATTICE_REACH * self.reach[:, None, None])
        read = torch.nn.functional.grid_sample(offsets, place[:, None], padding_mode="border", align_corners=True)
        return read[:, :, 0].transpose(1, 2)


def _spline_weights(place: Float[Tensor, "*batch"], nodes: int) -> Float[Tensor, "*batch nodes"]:
    """Weights of the nodes 0 .. nodes - 1 of a uniform cubic B-spline; their sum is one but near a border."""
    distance = (place.clamp(0, nodes - 1)[..., None] - torch.arange(nodes, device=place.device)).abs()
    return ((2 - distance).clamp_min(0) ** 3 - 4 * (1 - distance).clamp_min(0) ** 3) / 6
