"""Time the parts of a run, and keep a few calls of each kernel, by standing in for functions in their modules.

The code under test knows nothing of it. Kernels are listed in `KERNELS`, the rest of a run in `OTHER_PARTS`; what
either calls inside the other is not counted twice (`sv3dgen.bench.profiler`).
"""

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from time import perf_counter
from typing import Any

import torch

from sv3dgen.bench.profiler import part, profiled
from sv3dgen.bench.replay import Recorder

# Part -> public functions with a `backend`, by module; gradients are those of the autograd functions next to them.
KERNELS: dict[str, dict[str, tuple[str, ...]]] = {
    "encode": {  # with the network, where no gradient is asked for
        "sv3dgen.kernels.hash_grid.encode": ("hash_encode",),
        "sv3dgen.kernels.hash_grid.network": ("hash_network",),
        "sv3dgen.kernels.hash_grid._autograd": (),
    },
    "march": {"sv3dgen.kernels.ray_marching.march": ("march", "prune")},
    "composite": {
        "sv3dgen.kernels.ray_marching.march": ("render_weights", "accumulate"),
        "sv3dgen.kernels.ray_marching._autograd": (),
    },
    "rasterize": {
        "sv3dgen.kernels.rasterizer.rasterize": ("rasterize",),
        "sv3dgen.kernels.rasterizer.interpolate": ("barycentrics", "interpolate"),
    },
    "antialias": {
        "sv3dgen.kernels.rasterizer.antialias": ("antialiased_coverage",),
        "sv3dgen.kernels.rasterizer.edge_adjacency": ("edge_adjacency",),
    },
    "tets": {
        "sv3dgen.kernels.marching_tetrahedra.march": ("marching_tets",),
        "sv3dgen.meshes.tet_grid": ("neighbor_mean",),
    },
}

# Part -> module:function or module:class.method. "network" is torch's own work: layers, and the gradients of all that
# is not a kernel; "shading" is what else a step does forwards: rays, light, losses. "lattice" is the band of tetrahedra
# built anew, "fusion" the coarse stage's depths becoming a mesh.
OTHER_PARTS: dict[str, tuple[str, ...]] = {
    "views": (
        "sv3dgen.views.posed_views:read_views",
        "sv3dgen.views.posed_views:write_views",
        "sv3dgen.views.pose_check:check_poses",
    ),
    "hull": ("sv3dgen.views.visual_hull:visual_hull",),
    # Not among the kernels: it asks the field in between, whose time is not its own, and can't be replayed without.
    "march": ("sv3dgen.kernels.ray_marching.seen:march_seen",),
    "network": ("torch.nn:Sequential.forward", "torch.autograd:backward", "torch.autograd:grad"),
    "lattice": (
        "sv3dgen.meshes.tet_grid:bcc_band",
        "sv3dgen.meshes.tet_grid:vertex_neighbors",
        "sv3dgen.meshes.signed_distance:lattice_signed_distance",
    ),
    "fusion": ("sv3dgen.meshes.depth_fusion:fuse_depth", "sv3dgen.meshes.depth_fusion:largest_component"),
    "shading": (),
    "optimizer": (),
    "export": ("sv3dgen.export.exporter:Exporter.export",),
}


@contextmanager
def instrumented(keep: int, clock: Callable[[], float] = perf_counter) -> Iterator[dict[str, list[Recorder]]]:
    """Profile a block, and record `keep` calls of each kernel function in it; yields the recorders by part.

    A `clock` that lets a GPU finish first gives each part what it started there, and makes the whole slower.
    To be entered before anything imports these functions by name.
    """
    recorders: dict[str, list[Recorder]] = {}
    with ExitStack() as undo:
        for name, modules in KERNELS.items():
            recorders[name] = []
            for module_name, functions in modules.items():
                module = importlib.import_module(module_name)
                for function_name in functions:
                    recorder = Recorder(getattr(module, function_name), keep=keep, clock=clock)
                    recorders[name].append(recorder)
                    _replace(undo, module, function_name, _timed(name, recorder.function, recorder))
                for function in _autograd_functions(module):
                    _replace(undo, function, "backward", staticmethod(_timed(name, function.backward)))
        for name, places in OTHER_PARTS.items():
            for place in places:
                owner, attribute = _locate(place)
                _replace(undo, owner, attribute, _timed(name, getattr(owner, attribute)))
        _replace(undo, torch.optim.Adam, "step", _timed_step(torch.optim.Adam.step))
        with profiled(clock):
            yield recorders


def _timed(name: str, function: Callable[..., Any], recorder: Recorder | None = None) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if recorder is not None:
            with part("recording"):
                recorder.look(args, kwargs)
        with part(name):
            return function(*args, **kwargs)

    return call


def _timed_step(step: Callable[..., Any]) -> Callable[..., Any]:
    """An optimizer's step, apart from the closure that Lightning has it call: that is the rest of the training step."""

    @wraps(step)
    def call(optimizer: Any, closure: Callable[[], Any] | None = None) -> Any:
        with part("optimizer"):
            return step(optimizer, closure and part("shading")(closure))

    return call


def _replace(undo: ExitStack, owner: Any, attribute: str, stand_in: Any) -> None:
    undo.callback(setattr, owner, attribute, inspect.getattr_static(owner, attribute))
    setattr(owner, attribute, stand_in)


def _autograd_functions(module: Any) -> list[Any]:
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, torch.autograd.Function) and value.__module__ == module.__name__
    ]


def _locate(place: str) -> tuple[Any, str]:
    module_name, _, path = place.partition(":")
    *parents, attribute = path.split(".")
    owner = importlib.import_module(module_name)
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, attribute
