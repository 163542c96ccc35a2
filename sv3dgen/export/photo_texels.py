"""The photo's own pixels for what it sees squarely: a field remembers less of them than the photo shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from sv3dgen.color import linear_to_srgb, srgb_to_linear
from sv3dgen.kernels.rasterizer.rasterize import clip_positions, rasterize
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.posed_views import PosedViews

REACH_PX = 4  # of the photo: so far outside its object the nearest color inside still counts, for a mesh that is larger
# Cosine to the camera: nothing of the photo below the first, all of it from the second on. Both are low: what a model
# makes of such places is blurred, and has the background in it.
GRAZING, SQUARE = 0.05, 0.25
SOLID = 0.95  # alpha of pixels that show nothing of the background
NEARER = 0.02  # that a surface may lie behind what was drawn and still be the one that was seen
LEAST_LIGHT = 0.05  # irradiance: in a darker place the photo tells nothing of the albedo
NEAR, FAR = 0.05, 20.0  # of `Cameras.world_to_clip`


@dataclass(frozen=True)
class PhotoTexels:
    """A photo, and where it can be trusted to show a given mesh. On the CPU."""

    camera: Cameras  # one
    rgb: Float[Tensor, "1 3 height width"]
    weight: Float[Tensor, "1 1 height width"]
    farthest: Float[Tensor, "1 1 height width"]  # depth along the axis of what is drawn at and next to each pixel

    def colors(
        self, points: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"]
    ) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points 1"]]:
        """The photo's colors (sRGB) at surface points with unit normals, and how much they count, in [0, 1]."""
        clip = clip_positions(self.camera, points)[0]
        in_front = clip[:, 3] > NEAR
        place = clip[:, :2] / clip[:, 3:].clamp_min(NEAR) * clip.new_tensor([1.0, -1.0])
        rgb = _read(self.rgb, place)
        towards = torch.nn.functional.normalize(self.camera.positions - points, dim=-1)
        square = _smoothstep(((towards * normals).sum(-1) - GRAZING) / (SQUARE - GRAZING))
        seen = clip[:, 3] <= _read(self.farthest, place, "nearest")[:, 0] + NEARER
        weight = _read(self.weight, place)[:, 0] * square * (seen & in_front)
        return rgb, weight[:, None]


def photo_texels(views: PosedViews, mesh: Mesh) -> list[PhotoTexels]:
    """One for each photo that stands among generated views; none where all views are photos, which a field blends."""
    return [_of_photo(views[torch.tensor([index])].to("cpu"), mesh) for index in views.photos_among_generated]


def albedo_with_photos(
    albedo: Float[Tensor, "points 3"],
    irradiance: Float[Tensor, "points 1"],
    photos: Sequence[PhotoTexels],
    points: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
) -> Float[Tensor, "points 3"]:
    """A field's albedo (sRGB), with that of the photos faded in where they see the points: their light divided out."""
    for photo in photos:
        rgb, weight = photo.colors(points, normals)
        own = linear_to_srgb(srgb_to_linear(rgb) / irradiance.clamp_min(LEAST_LIGHT)).clamp(0, 1)
        albedo = albedo + weight * (own - albedo)
    return albedo


def _of_photo(photo: PosedViews, mesh: Mesh) -> PhotoTexels:
    camera = photo.cameras
    drawn = rasterize(clip_positions(camera, mesh.vertices), mesh.faces, camera.height_px, camera.width_px)
    depth = 2 * FAR * NEAR / (FAR + NEAR - drawn.depth[None] * (FAR - NEAR))
    farthest = torch.nn.functional.max_pool2d(depth, 3, stride=1, padding=1)
    solid = photo.rgba[0, 3] >= SOLID
    if not solid.any():
        return PhotoTexels(camera, photo.rgba[:, :3], torch.zeros_like(photo.rgba[:, :1]), farthest)
    found = distance_transform_edt(~solid.numpy(), return_indices=True)
    assert found is not None
    from_solid, place = found
    rows, cols = torch.from_numpy(place).long()
    weight = _smoothstep((REACH_PX - torch.from_numpy(from_solid).float()) / 2)
    return PhotoTexels(camera, photo.rgba[:, :3, rows, cols], weight[None, None], farthest)


def _read(picture: Tensor, place: Float[Tensor, "points 2"], mode: str = "bilinear") -> Float[Tensor, "points _"]:
    found = torch.nn.functional.grid_sample(
        picture, place[None, None], mode=mode, padding_mode="border", align_corners=False
    )
    return found[0, :, 0].T


def _smoothstep(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)
