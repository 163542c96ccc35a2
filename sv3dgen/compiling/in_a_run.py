"""The kernels that a run on a CPU calls, with the types it calls them with, in the order in which it comes to them.

`f4[2]` is a two-dimensional array of float32, row after row; `f4[2A]` one with any strides. `tests/systems/test_run.py`
holds the list to what a run compiles.
"""

KERNELS: dict[str, dict[str, str]] = {
    "sv3dgen.views.visual_hull": {
        "_count_missing": "u1[3] f4[3] b1[1] f4[1] f4[1] b1[3] i8",
        "_splat": "f4[2] f4[3] i8 i8",
    },
    "sv3dgen.kernels.plane_sweep._numba": {
        "_score": "f4[2] b1[2] f4[3] b1[3] f4[4] i4[2] i4[2] i8 i8 i8 i8 f4[3]",
        "_pick": "f4[3] b1[2] i4[2] i4[2] f4[2] f4[2] f4[2]",
    },
    "sv3dgen.kernels.ray_marching._numba": {
        "_mark_blocks": "u1[3] u1[3]",
        "_weights_kernel": "f4[1] f4[1] i8[1] f4[1] f4[1]",
        "_weights_backward_kernel": "f4[1] f4[1] i8[1] f4[1] f4[1] f4[1]",
        "_accumulate_kernel": "f4[1] f4[2] i8[1] f4[2]",
        "_accumulate_backward_kernel": "f4[1] f4[2] i8[1] f4[2] f4[1] f4[2]",
    },
    "sv3dgen.kernels.ray_marching._seen_numba": {
        "_advance_kernel": "f4[2] f4[2] u1[3] u1[3] f4[2] f4 f4[1] i8 i8[1] f4[2] i8[1]",
        "_place_kernel": "f4[2] f4[2] f4[2] i8[1] f4[1] f4[2]",
        "_look_kernel": "f4[1] i8[1] f4 f4 f4 i8 f4[1] i8[1] b1[1] i8[1]",
        "_collect_kernel": "f4[1] f4[1] b1[1] i8[1] i8[1] i8[1] f4[1] f4[1]",
    },
    "sv3dgen.kernels.hash_grid._numba": {
        "_gather_kernel": "f4[2] f4[2] u8[2] i8[2] f4[2]",
        "_scatter_kernel": "f4[2] f4[2] f4[2] i8[2] f4[3]",
        "_contract_kernel": "f4[2] f4[2] f4[2] f4[2] i8[2] f4[2]",
    },
    "sv3dgen.kernels.hash_grid._network_numba": {
        "_network_kernel": "f4[2] u8[2] i8[2] f4[2] f4[1] f4[2] f4[1] f4[2] f4[2]",
        "_backward_kernel": "f4[2] f4[2] f4[2] f4[2] f4[1] f4[2] f4[2] f4[3] f4[2] f4[3]",
    },
    "sv3dgen.meshes.tet_grid": {
        "_count": "b1[4] i8[3]",
        "_list_tets": "b1[4] i8[3] i8[3] i4[4] i8[1] i8",
        "_list_edges": "i4[2] i4[2]",
        "_neighbors_numba": "i4[2] i8",
        "_neighbor_mean_numba": "f4[2] i4[2]",
    },
    "sv3dgen.meshes.signed_distance": {
        "_scan": "f8[2] i8[2] f8 f4[3] i1[3] i8",
    },
    "sv3dgen.kernels.marching_tetrahedra._numba": {
        "surface_numba": "u1[1] i4[2] i4[2] i4[2] i4[3]",
        "crossings_numba": "f4[1] f4[2] i4[2]",
        "crossings_backward_numba": "f4[1] f4[2] i4[2] f4[2] i8",
    },
    "sv3dgen.kernels._normal_consistency_numba": {
        "value_and_gradient": "f4[2] i8[2] i8[2] f8 i8",
    },
    "sv3dgen.kernels.rasterizer._rasterize_numba": {
        "project_numba": "f4[3] i8 i8",
        "rasterize_numba": "i4[3] f4[2] i8[2] i8 i8 i8",
    },
    "sv3dgen.kernels.rasterizer._interpolate_numba": {
        "barycentrics_numba": "f4[3] i8[2] i8[2] i8 i8",
        "barycentrics_backward_numba": "f4[3] i8[2] i8[2] i8 i8 f4[2]",
        "interpolate_numba": "f4[2] i8[2] i8[1] f4[2]",
        "interpolate_backward_numba": "i8[2] i8[1] f4[2] f4[2]",
        "weights_backward_numba": "f4[2] i8[2] i8[1] f4[2]",
        "scatter_numba": "i8[2] f4[3] i8 i8",
    },
    "sv3dgen.kernels.rasterizer._edge_adjacency_numba": {
        "edge_adjacency_numba": "i8[2]",
    },
    "sv3dgen.kernels.rasterizer._antialias_numba": {
        "screen_numba": "f4[3] i8 i8",
        "facing_numba": "f8[3] i8[2]",
        "winner_numba": "f8[3] b1[2] i4[3] i8[2] i8[2] i8",
        "coverage_numba": "i4[4] f8[3] i4[3] i8[2]",
        "coverage_backward_numba": "f4[3] i4[3] i8[2] f8[3] i4[4] f4[3] f4[3]",
    },
    "sv3dgen.export.packing": {
        "profiles": "f4[2] i8[2] i8[1] i8[1] f4 i8",
        "drop": "i8[1] i8[1] i8[1] i8[1] i8",
        "hidden_faces": "f8[2] i8[2] f8[1] i8",
    },
    "sv3dgen.kernels.rasterizer._texture_numba": {
        "shade_numba": "i4[3] f4[3] i8[2] f4[2] i8[2] i8[1] f4[2] f4[2] i8[3] f4[2] f4[1] f4[2] i8",
    },
}

_RASTERIZER = tuple(f"sv3dgen.kernels.rasterizer._{part}_numba" for part in ("rasterize", "interpolate"))
STAGES: dict[str, tuple[str, ...]] = {  # a stage -> where its kernels are
    "coarse": (
        "sv3dgen.views.visual_hull",
        "sv3dgen.kernels.plane_sweep._numba",
        "sv3dgen.kernels.ray_marching._numba",
        "sv3dgen.kernels.ray_marching._seen_numba",
        "sv3dgen.kernels.hash_grid._numba",
        "sv3dgen.kernels.hash_grid._network_numba",
        "sv3dgen.meshes.signed_distance",
    ),
    "fine": (
        "sv3dgen.views.visual_hull",
        "sv3dgen.kernels.hash_grid._numba",
        "sv3dgen.kernels.hash_grid._network_numba",
        "sv3dgen.meshes.tet_grid",
        "sv3dgen.meshes.signed_distance",
        "sv3dgen.kernels.marching_tetrahedra._numba",
        "sv3dgen.kernels._normal_consistency_numba",
        *_RASTERIZER,
        "sv3dgen.kernels.rasterizer._edge_adjacency_numba",
        "sv3dgen.kernels.rasterizer._antialias_numba",
        "sv3dgen.export.packing",
        "sv3dgen.kernels.rasterizer._texture_numba",
    ),
}
HOST = ("sv3dgen.views.", "sv3dgen.meshes.", "sv3dgen.export.", "sv3dgen.kernels.plane_sweep.")  # on a GPU's run, too


def modules_of(stages: list[str], on_gpu: bool, other_backends: set[str]) -> list[str]:
    """Where the kernels of a run lie: of some stages, less the operations that are computed another way."""
    wanted = {module for stage in stages for module in STAGES.get(stage, ())}
    other = tuple(f"sv3dgen.kernels.{end}" for name in other_backends for end in (f"{name}.", f"_{name}_numba"))
    return [
        module
        for module in KERNELS
        if module in wanted and not (other and module.startswith(other)) and (not on_gpu or module.startswith(HOST))
    ]
