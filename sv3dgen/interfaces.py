"""The seams: what the parts promise one another, and the small dataclasses that cross between them.

Only a system holds parts. It passes them at call time: `renderer(geometry, material, cameras, pixels)`.
Images are `[images, channels, height, width]`, sRGB in [0, 1], with straight (not premultiplied) color and opacity.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sv3dgen.errors import InputError
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.nvs_interfaces import NVSModel
from sv3dgen.schedules import Schedule
from sv3dgen.stereo.plane_sweep import StereoDepths
from sv3dgen.views.cameras import Cameras
from sv3dgen.views.posed_views import PosedViews


@dataclass(frozen=True)
class FieldSample:
    """What a field says about points."""

    density: Float[Tensor, " points"]  # per unit of world length
    features: Float[Tensor, "points features"]
    normals: Float[Tensor, "points 3"] | None  # unit, outward; None unless asked for


@dataclass(frozen=True)
class Shading:
    """What a material makes of features and normals. Colors are sRGB, irradiance is linear."""

    rgb: Float[Tensor, "points 3"]
    albedo: Float[Tensor, "points 3"]
    irradiance: Float[Tensor, "points 1"]


@dataclass(frozen=True)
class RenderOutput:
    """Pictures of the object. Values outside `shaded` are zero and mean nothing, except `opacity`.

    `buffers` are the further pictures [images, channels, height, width] that the renderer drew, by name. Those of the
    project: `albedo`, `irradiance`, `depth` (distance from the camera along the ray, in world units), `normal` (unit,
    world frame), `albedo_nearby` (albedo a small random step off the surface point) and `inward_facing` (weight of a
    ray's samples whose normal looks away from the camera). A renderer may draw others.
    """

    rgb: Float[Tensor, "images 3 height width"]
    opacity: Float[Tensor, "images 1 height width"]
    shaded: Bool[Tensor, "images 1 height width"]  # where color and buffers were computed
    buffers: Mapping[str, Float[Tensor, "images channels height width"]] = field(default_factory=dict)
    mesh: Mesh | None = None  # the surface that was drawn, if one was

    def buffer(self, name: str) -> Tensor:
        """The buffer of that name. Raises InputError where the renderer leaves it out."""
        if name not in self.buffers:
            drawn = ", ".join(self.buffers) or "none"
            raise InputError(f"a guidance needs the render's {name}; this renderer draws {drawn}")
        return self.buffers[name]


@dataclass(frozen=True)
class ViewBatch:
    """Target pixels of reference views: whole frames, strided frames, or small patches, always as images."""

    cameras: Cameras  # one per image
    pixels: Int[Tensor, "images height width 2"] | None  # (row, col) in the frame of `cameras`; None is the whole frame
    rgb: Float[Tensor, "images 3 height width"]
    alpha: Float[Tensor, "images 1 height width"]
    view_index: Int[Tensor, " images"] | None = None  # which of the views to fit each image is of
    generated: Bool[Tensor, " images"] | None = None  # which images a model made; None: none
    footprint_px: tuple[int, ...] | None = None  # of each image: pixels a side that show one of its view; None: 1
    gain: Float[Tensor, "images 3 1 1"] | None = None  # what the render's color is to be multiplied by; None: 1


@dataclass(frozen=True)
class Reference:
    """What a guidance may learn of a run before its first step."""

    views: PosedViews  # to fit; the last is the picture that a model made the others of, where one did
    folder: Path  # of the views
    nvs: NVSModel | None = None  # the run's novel-view model, where one is at hand; loaded when first asked
    stereo: StereoDepths | None = None  # depths that the views tell, where the stage asks them for any


@dataclass(frozen=True)
class GuidanceOutput:
    """Unweighted named losses, and pictures worth keeping on disk."""

    losses: Mapping[str, Float[Tensor, ""]]
    pictures: Mapping[str, Float[Tensor, "images channels height width"]] = field(default_factory=dict)


class Geometry(nn.Module, ABC):
    """A shape with features. Knows nothing of images, losses or optimizers."""

    feature_dim: int  # numbers of `features` at a point; a stage refuses a material that reads another number

    @abstractmethod
    def features(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points features"]:
        """Material features at world points; differentiable in the points and the parameters."""

    def on_step(self, step: int) -> None:
        """Advance whatever grows with the optimization step; called by the system before each one."""


class Field(Geometry):
    """A density in space, for the volume renderer."""

    @property
    def finest_cell(self) -> float:
        """Side of the smallest cells that it can tell apart now, in world units; 0 where it does not know."""
        return 0.0

    @abstractmethod
    def forward(self, points: Float[Tensor, "points 3"], with_normals: bool = False) -> FieldSample:
        """Density and features at world points; normals too where asked for."""


@dataclass(frozen=True)
class SurfaceParameters:
    """What an optimizer changes of a surface: the two parts learn at rates of their own."""

    shape: list[nn.Parameter]
    look: list[nn.Parameter]  # of the features


class Surface(Geometry):
    """A closed surface, for the mesh renderer."""

    @abstractmethod
    def start_from(self, mesh: Mesh | None, texture: Geometry) -> None:
        """Take the shape of a closed mesh, and the features of the field that the coarse stage fitted.

        `mesh`, on the CPU, is None where a checkpoint will bring the shape; `texture` is on the surface's device.
        """

    @abstractmethod
    def isosurface(self) -> Mesh:
        """The surface as triangles; the vertices are differentiable in the parameters."""

    @abstractmethod
    def trained(self) -> SurfaceParameters:
        """The parameters as they are now."""

    def refine(self, step: int) -> bool:
        """Go to a finer shape where that is due before this step. True where the shape's parameters are new ones."""
        return False


class Material(nn.Module, ABC):
    """From features and a normal to a color."""

    feature_dim: int
    needs_normals: bool  # False lets a renderer skip the normals, which cost a field three more evaluations

    @abstractmethod
    def forward(self, features: Float[Tensor, "points features"], normals: Float[Tensor, "points 3"]) -> Shading:
        """Shade points of unit normals in the world frame."""

    @abstractmethod
    def light(self) -> dict:
        """The light as plain numbers, as written to light.json: `type` names the material, the rest is its own.

        `type` is the class in full, `module.Class`; those of this project have a short name as well.
        """

    @classmethod
    @abstractmethod
    def from_light(cls, light: dict) -> "Material":
        """The material whose `light()` this is. Raises InputError naming the key that is wrong."""


class Renderer(nn.Module, ABC):
    """From a geometry, a material and cameras to pictures."""

    def draw_only(self, buffers: Collection[str]) -> None:
        """Leave out what nobody looks at while training: all but color, opacity and these buffers of the render."""

    @abstractmethod
    def forward(
        self,
        geometry: Geometry,
        material: Material,
        cameras: Cameras,
        pixels: Int[Tensor, "images height width 2"] | None = None,
    ) -> RenderOutput:
        """Draw the (row, col) `pixels` of one frame per camera, or whole frames where None."""


class FieldRenderer(Renderer):
    """A renderer of fields, over the cube |x| <= `radius`, that leaves out what a visual hull says is empty."""

    radius: float
    hull: Bool[Tensor, "x y z"]  # cells that may hold something; any resolution

    @abstractmethod
    def start_from(self, hull: Bool[Tensor, "x y z"], pixel: float = 0.0) -> None:
        """Take a visual hull, of any resolution over the cube: there is nothing outside it; and how wide a pixel of the
        views is at the origin, in world units: they tell nothing of what is finer.
        """

    @abstractmethod
    def depth(self, geometry: Field, cameras: Cameras) -> Float[Tensor, "views height width"]:
        """Distance along each pixel's ray to the surface, in world units; infinite where there is none. No gradient."""

    def on_step(self, geometry: Field, step: int, before: int) -> None:
        """Advance whatever follows the field; called by the system before each optimization step.

        `step` is its place in the schedules, `before` that of the step before it (-1: there was none): a stage that
        goes through its schedules faster leaves out some places.
        """


class Guidance(nn.Module, ABC):
    """What pulls on the render. `weights` maps each loss name to its schedule over steps."""

    weights: Mapping[str, Schedule]
    needs: tuple[str, ...] = ()  # buffers of the render that it looks at, next to color and opacity
    needs_nvs: bool = False  # whether it asks `Reference.nvs` for a model

    def start_from(self, reference: Reference) -> None:
        """Take what it needs to know of the run; called by the system before the first step."""

    def cache_key(self, reference: Reference) -> str | None:
        """What else its losses follow from than settings, views and model: part of a shared stage's key."""
        return None

    def cameras(self, step: int) -> Cameras | None:
        """Whose whole frames it wants to look at in this step; None for those of the batch."""
        return None

    @abstractmethod
    def forward(self, render: RenderOutput, batch: ViewBatch, step: int) -> GuidanceOutput:
        """Losses by name; a term whose weight is zero at `step` is not computed and not returned."""
