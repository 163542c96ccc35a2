"""Small stages to try on a device: their config, and stand-ins for Triton's kernels on the pretend one."""

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from checkout import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from pretend_device import NAME, PretendDevice, PretendTensor, unwrapped
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sv3dgen.cli.command_line import register_resolvers
from sv3dgen.kernels import backend
from sv3dgen.kernels.hash_grid import _numba as hash_grid_numba
from sv3dgen.kernels.hash_grid import encode as hash_grid
from sv3dgen.kernels.marching_tetrahedra import march as marching_tets
from sv3dgen.kernels.rasterizer import _rasterize_numba, antialias, interpolate
from sv3dgen.kernels.ray_marching import _numba as ray_marching_numba
from sv3dgen.kernels.ray_marching import march as ray_marching

SWEEPS = ("gather", "scatter", "contract")
PASSES = ("march", "prune", "weights", "weights_backward", "accumulate", "accumulate_backward")
CONF = ROOT / "conf"


def composed(*settings: str) -> DictConfig:
    """The config of a run with these settings, to be changed at will."""
    return copy.deepcopy(_composed(settings))


@cache
def _composed(settings: tuple[str, ...]) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(settings))


class HostsDraws(TorchFunctionMode):
    """Random numbers are the CPU generator's wherever they are wanted, so that devices can be compared."""

    def __torch_function__(self, func: Callable[..., Any], types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.rand, torch.randn) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device, non_blocking=True)
        if func is torch.randn_like:
            return torch.randn(args[0].shape).to(args[0].device, non_blocking=True)
        return func(*args, **kwargs)


@contextmanager
def pretended(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Iterator[PretendDevice]:
    """The pretend device as a GPU with Triton: its kernels are the CPU's, on the values."""
    automatic = backend._automatic

    def with_triton(operation: str, device_type: str) -> tuple[str, str]:
        if device_type == NAME and "triton" in backend.IMPLEMENTATIONS[operation]:
            return "triton", "pretended"
        return automatic(operation, device_type)

    with PretendDevice(**options) as device, HostsDraws():
        standing_in = _standing_in(device)
        monkeypatch.setattr(backend, "_automatic", with_triton)
        monkeypatch.setattr(hash_grid, "_sweeps", _chosen(hash_grid._sweeps, standing_in(hash_grid_numba, SWEEPS)))
        marching = standing_in(ray_marching_numba, PASSES)
        monkeypatch.setattr(ray_marching, "_compiled", _chosen(ray_marching._compiled, marching))
        monkeypatch.setattr(interpolate, "_triton", lambda: _Interpolation)
        monkeypatch.setattr(antialias, "_triton", lambda: SimpleNamespace(Coverage=_Coverage))
        monkeypatch.setattr(marching_tets, "_triton", lambda: _meshing(device))
        drawing = SimpleNamespace(draw=lambda *arguments: device.wrap(_drawn(*unwrapped(arguments))))
        monkeypatch.setitem(sys.modules, "sv3dgen.kernels.rasterizer._rasterize_triton", drawing)  # type: ignore[arg-type]
        yield device


def _chosen(real: Callable[[str], Any], stand_in: Any) -> Callable[[str], Any]:
    return lambda name: stand_in if name == "triton" else real(name)


def _standing_in(device: PretendDevice) -> Callable[[ModuleType, tuple[str, ...]], ModuleType]:
    """A compiled module's functions for the device's tensors. Marching waits once, for the number of its samples."""

    def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if name == "march":
                device.wait()
            return device.wrap(function(*unwrapped(arguments)))

        return call

    def module_of(functions: ModuleType, names: tuple[str, ...]) -> ModuleType:
        module = ModuleType("pretended")
        for name in names:
            setattr(module, name, wrapped(name, getattr(functions, name)))
        return module

    return module_of


def _drawn(
    snapped: Tensor, depth: Tensor, usable: Tensor, faces: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    xy = torch.where(usable[..., None], snapped, _rasterize_numba.INVALID).int().contiguous().numpy()
    corners = np.ascontiguousarray(faces.numpy(), dtype=np.int64)
    face_index, nearest = _rasterize_numba.rasterize_numba(xy, depth.contiguous().numpy(), corners, height, width, 1)
    return torch.from_numpy(face_index), torch.from_numpy(nearest)


def _meshing(device: PretendDevice) -> SimpleNamespace:
    """Marching tetrahedra on the device; waits for the number of vertices, and for that of faces."""

    def surface(inside, tets, edges, tet_edges, table):
        device.wait()
        device.wait()
        indices = (tensor.int().contiguous().numpy() for tensor in unwrapped((tets, edges, tet_edges)))
        found = marching_tets.surface_numba(unwrapped(inside).numpy(), *indices, unwrapped(table).numpy())
        return device.wrap(tuple(torch.from_numpy(array) for array in found))

    return SimpleNamespace(surface=surface, Crossings=_Crossings)


class _Crossings(torch.autograd.Function):
    @staticmethod
    def forward(ctx, sdf, positions, ends):
        ctx.save_for_backward(sdf, positions, ends)
        return _computed(marching_tets._Crossings.forward, sdf, positions, ends)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return _differentiated(marching_tets._Crossings, ctx, gradient)


class _Barycentrics(torch.autograd.Function):
    @staticmethod
    def forward(ctx, clip, faces, pixels, height, width):
        ctx.save_for_backward(clip, faces, pixels)
        ctx.size = height, width
        return _computed(interpolate._Barycentrics.forward, clip, faces, pixels, height, width)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return _differentiated(interpolate._Barycentrics, ctx, gradient)


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, attributes, faces, face_index, barycentric):
        ctx.save_for_backward(attributes, faces, face_index, barycentric)
        return _computed(interpolate._Interpolate.forward, attributes, faces, face_index, barycentric)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return _differentiated(interpolate._Interpolate, ctx, gradient)


_Interpolation = SimpleNamespace(Barycentrics=_Barycentrics, Interpolate=_Interpolate)


class _Coverage(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *arguments):
        kept = SimpleNamespace()
        value = antialias._Coverage.forward(kept, *(unwrapped(argument) for argument in arguments))
        ctx.state = kept.state
        return _owner(arguments).wrap(value)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return _owner([gradient]).wrap(
            antialias._Coverage.backward(SimpleNamespace(state=ctx.state), unwrapped(gradient))
        )


def _computed(forward: Callable[..., Any], *arguments: Any) -> Any:
    ignored = SimpleNamespace(save_for_backward=lambda *_: None)
    return _owner(arguments).wrap(forward(ignored, *(unwrapped(argument) for argument in arguments)))


def _differentiated(function: Any, ctx: Any, gradient: Tensor) -> Any:
    """The gradients that the CPU's function gives for what `ctx` has kept."""
    plain = SimpleNamespace(
        saved_tensors=tuple(unwrapped(tensor) for tensor in ctx.saved_tensors),
        size=getattr(ctx, "size", None),
        needs_input_grad=ctx.needs_input_grad,
    )
    return _owner([gradient]).wrap(function.backward(plain, unwrapped(gradient)))


def _owner(values: Any) -> PretendDevice:
    return next(value.device_of for value in values if isinstance(value, PretendTensor))
