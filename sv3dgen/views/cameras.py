"""Pinhole cameras, and the one statement of the project's axes.

World: right-handed, +Y up, the object's front faces +Z (glTF), centered on the origin, longest side about 1.
Camera: camera-to-world with OpenGL axes (x right, y up, looks along -z). At elevation e, azimuth a and distance d it
stands at `d (cos e sin a, sin e, cos e cos a)`: azimuth 0 sees the front, and azimuth grows towards +X.
Pixels: row 0 is the top row, and the center of pixel (row, col) is at x = col + 0.5, y = row + 0.5, as is `center_px`.
Clip space: OpenGL's, so x right, y up, and depth -1 (near) to 1 (far) after division by w.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sv3dgen.views.image_warp import ImageWarp

SV3D_FOV_DEG = 33.8  # SV3D's horizontal and vertical field of view (paper, appendix B)


@dataclass(frozen=True)
class Cameras:
    """A batch of pinhole cameras that share one image size."""

    camera_to_world: Float[Tensor, "views 4 4"]
    focal_px: Float[Tensor, "views 2"]  # fl_x, fl_y
    center_px: Float[Tensor, "views 2"]  # cx, cy
    width_px: int
    height_px: int
    warp: ImageWarp | None = None  # of pictures that no camera took: heeded by `rays` and `clip_positions` alone

    def __len__(self) -> int:
        return self.camera_to_world.shape[0]

    def __getitem__(self, index: Int[Tensor, " picked"] | slice) -> "Cameras":
        return Cameras(
            self.camera_to_world[index],
            self.focal_px[index],
            self.center_px[index],
            self.width_px,
            self.height_px,
            None if self.warp is None else self.warp[index],
        )

    def to(self, device: torch.device | str) -> "Cameras":
        return Cameras(
            self.camera_to_world.to(device),
            self.focal_px.to(device),
            self.center_px.to(device),
            self.width_px,
            self.height_px,
            None if self.warp is None else self.warp.to(device),
        )

    def resized(self, width_px: int, height_px: int) -> "Cameras":
        """The same cameras at another resolution."""
        scale = self.focal_px.new_tensor([width_px / self.width_px, height_px / self.height_px])
        return replace(
            self,
            focal_px=self.focal_px * scale,
            center_px=self.center_px * scale,
            width_px=width_px,
            height_px=height_px,
        )

    @property
    def positions(self) -> Float[Tensor, "views 3"]:
        """Camera centers in the world."""
        return self.camera_to_world[:, :3, 3]

    @property
    def forward(self) -> Float[Tensor, "views 3"]:
        """Unit viewing directions in the world."""
        return -self.camera_to_world[:, :3, 2]

    def rays(
        self, pixels: Int[Tensor, "views height width 2"] | None = None
    ) -> tuple[Float[Tensor, "views height width 3"], Float[Tensor, "views height width 3"]]:
        """Origins and unit directions of the rays through pixel centers.

        `pixels` holds (row, col) per ray and view; None means every pixel of the frame.
        """
        if pixels is None:
            pixels = full_frame(self)
        x = (pixels[..., 1] + 0.5 - self.center_px[:, None, None, 0]) / self.focal_px[:, None, None, 0]
        y = (pixels[..., 0] + 0.5 - self.center_px[:, None, None, 1]) / self.focal_px[:, None, None, 1]
        if self.warp is not None:
            true = self.warp.true_points(torch.stack([x, y], dim=-1).flatten(1, 2))
            x, y = true.unflatten(1, x.shape[1:]).unbind(-1)
        in_camera = torch.stack([x, -y, -torch.ones_like(x)], dim=-1)
        directions = torch.einsum("vij,vhwj->vhwi", self.camera_to_world[:, :3, :3], in_camera)
        directions = torch.nn.functional.normalize(directions, dim=-1)
        return self.positions[:, None, None].expand_as(directions), directions

    def world_to_clip(self, near: float = 0.05, far: float = 20.0) -> Float[Tensor, "views 4 4"]:
        """Projection times view matrix, so that `clip = matrix @ (x, y, z, 1)`."""
        focal, center = self.focal_px, self.center_px
        projection = torch.zeros_like(self.camera_to_world)
        projection[:, 0, 0] = 2 * focal[:, 0] / self.width_px
        projection[:, 1, 1] = 2 * focal[:, 1] / self.height_px
        projection[:, 0, 2] = 1 - 2 * center[:, 0] / self.width_px
        projection[:, 1, 2] = 2 * center[:, 1] / self.height_px - 1
        projection[:, 2, 2] = -(far + near) / (far - near)
        projection[:, 2, 3] = -2 * far * near / (far - near)
        projection[:, 3, 2] = -1
        return projection @ _inverse(self.camera_to_world)


def full_frame(cameras: Cameras) -> Int[Tensor, "views height width 2"]:
    """(row, col) of every pixel, for every camera."""
    device = cameras.focal_px.device
    rows = torch.arange(cameras.height_px, device=device)
    cols = torch.arange(cameras.width_px, device=device)
    grid = torch.stack(torch.meshgrid(rows, cols, indexing="ij"), dim=-1)
    return grid.expand(len(cameras), -1, -1, -1)


def project(
    cameras: Cameras, points: Float[Tensor, "points 3"]
) -> tuple[Float[Tensor, "views points 2"], Float[Tensor, "views points"]]:
    """Image coordinates (x right, y down, px, pixel centers at .5) and depth along the viewing axis of world points."""
    world_to_camera = _inverse(cameras.camera_to_world)
    local = torch.einsum("vij,pj->vpi", world_to_camera[:, :3, :3], points) + world_to_camera[:, None, :3, 3]
    depth = -local[..., 2]
    flipped = local[..., :2] * local.new_tensor([1.0, -1.0])
    return flipped / depth[..., None] * cameras.focal_px[:, None] + cameras.center_px[:, None], depth


def distance_to(points: Float[Tensor, "points 3"], position: Float[Tensor, "3"]) -> Float[Tensor, " points"]:
    """How far points are from a camera's position, in world units. No gradient where they meet."""
    # Of three numbers, a norm along the last dimension takes three times as long.
    return torch.cdist(points, position[None], compute_mode="donot_use_mm_for_euclid_dist")[:, 0]


def look_at_origin(
    elevation_deg: Float[Tensor, " views"],
    azimuth_deg: Float[Tensor, " views"],
    *,
    distance: float,
    fov_deg: float = SV3D_FOV_DEG,
    size_px: int = 576,
) -> Cameras:
    """Cameras on a sphere around the origin that look at it, with square images and the y axis up."""
    elevation, azimuth = torch.deg2rad(elevation_deg.double()), torch.deg2rad(azimuth_deg.double())
    sin_e, cos_e, sin_a, cos_a = elevation.sin(), elevation.cos(), azimuth.sin(), azimuth.cos()
    backward = torch.stack([cos_e * sin_a, sin_e, cos_e * cos_a], dim=-1)
    # Written out rather than as a cross product with +Y, so that it also holds at the poles.
    right = torch.stack([cos_a, torch.zeros_like(cos_a), -sin_a], dim=-1)
    up = torch.linalg.cross(backward, right)
    camera_to_world = torch.eye(4, dtype=torch.float64).repeat(len(backward), 1, 1)
    camera_to_world[:, :3, :4] = torch.stack([right, up, backward, distance * backward], dim=-1)
    focal = 0.5 * size_px / torch.tan(torch.deg2rad(torch.tensor(fov_deg, dtype=torch.float64)) / 2)
    ones = torch.ones(len(backward), 2)
    return Cameras(camera_to_world.float(), focal.float() * ones, 0.5 * size_px * ones, size_px, size_px)


def _inverse(poses: Float[Tensor, "views 4 4"]) -> Float[Tensor, "views 4 4"]:
    # Without the check of `inv`, for which the host would wait for a GPU: poses have an inverse.
    return torch.linalg.inv_ex(poses).inverse
