"""Well-behaved shapes: terms of the authors' code that the paper does not mention."""

from sv3dgen.domains import Share, Weights
from sv3dgen.errors import InputError
from sv3dgen.interfaces import Guidance, GuidanceOutput, RenderOutput, ViewBatch
from sv3dgen.kernels.normal_consistency import normal_consistency
from sv3dgen.losses import binary_entropy
from sv3dgen.schedules import active_terms, checked_weights, ever_nonzero


class Regularity(Guidance):
    """Terms `orientation` (visible samples of a field should face the camera), `opaque` (opacity 0 or 1, no fog) and
    `mesh_normal` (neighboring faces alike, slivers under `sliver_share` of the mean area left out).
    """

    terms: tuple[str, ...] = ("orientation", "opaque", "mesh_normal")

    def __init__(self, *, weights: Weights, sliver_share: Share = 0.1) -> None:
        super().__init__()
        self.weights = checked_weights(weights, self.terms)
        self.needs = ("normal",) if ever_nonzero(self.weights.get("orientation", 0.0)) else ()
        self.sliver_share = sliver_share

    def forward(self, render: RenderOutput, batch: ViewBatch, step: int) -> GuidanceOutput:
        wanted = active_terms(self.weights, step)
        losses = {}
        if "orientation" in wanted:
            if "inward_facing" not in render.buffers:
                raise InputError("regularity.weights.orientation: needs a renderer that draws inward_facing")
            losses["orientation"] = render.buffer("inward_facing").mean()
        if "opaque" in wanted:
            losses["opaque"] = binary_entropy(render.opacity)
        if "mesh_normal" in wanted:
            if render.mesh is None:
                raise InputError("regularity.weights.mesh_normal: needs the mesh renderer")
            mesh = render.mesh
            losses["mesh_normal"] = normal_consistency(
                mesh.vertices, mesh.faces, mesh.edges.faces, smallest_share=self.sliver_share
            )
        return GuidanceOutput(losses)
