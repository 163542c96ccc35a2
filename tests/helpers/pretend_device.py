"""A pretend accelerator, to find without a GPU what would go wrong on one.

Tensors on `pretend` hold their values in the CPU's memory, but torch takes them for another device's: mixing them with
the CPU's raises what it raises on a GPU, they have no `.numpy()`, and each wait of the host for the device is counted,
with the place in the project that asked for it. Random draws are the CPU generator's, so that results can be compared.

    with PretendDevice() as device:
        tensor = torch.ones(3, device="pretend")
        tensor.sum().item()
    assert device.waits == ["tests/helpers/test_pretend_device.py:test_it"]
"""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from checkout import ROOT
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
BETWEEN = ("pretend_device.py", "stage_case.py")  # what is between the asking place and torch
LARGE_BYTES = 1 << 16  # storages from here on count towards the peak

aten = torch.ops.aten
# What a GPU's host waits for: the size of a result, a value, or an error code.
WAITING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.equal.default,
    aten._linalg_check_errors.default,
    aten.bincount.default,
}
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
COPYING = {aten.copy_.default, aten._to_copy.default, aten._copy_from.default, aten.set_.source_Tensor}

# On import, which is before any test: autograd makes its threads, one a device, when it first runs.
_setup_privateuseone_for_python_backend(NAME)
# From then on torch takes it for this machine's accelerator, in the process's other tests too, and asks it for these.
_MODULE = getattr(torch, NAME)
_MODULE.get_rng_state = lambda device=None: torch.empty(0, dtype=torch.uint8)
_MODULE.set_rng_state = lambda state, device=None: None
_MODULE.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]


class PretendTensor(Tensor):
    """A tensor of the pretend device around the CPU's tensor that holds its values."""

    inner: Tensor
    device_of: "PretendDevice"

    @staticmethod
    def __new__(cls, inner: Tensor, owner: "PretendDevice") -> "PretendTensor":
        wrapped = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )
        wrapped.inner, wrapped.device_of = inner, owner
        return wrapped

    def __tensor_flatten__(self):
        return ["inner"], self.device_of

    @staticmethod
    def __tensor_unflatten__(inner, owner, size, stride):
        return PretendTensor(inner["inner"], owner)

    def __repr__(self, **_: Any) -> str:
        return f"pretend:{self.inner!r}"

    def __reduce_ex__(self, protocol):
        """Saved as what a file holds of a GPU's tensor once it is read on a machine without one."""
        return self.inner.detach().__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        owner = next(leaf.device_of for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, PretendTensor))
        return owner.run(func, args, kwargs or {})


class PretendDevice(TorchDispatchMode):
    """While entered, `pretend` is a device. `waits` are the places where the host waited for it, in order."""

    def __init__(self, *, measure: bool = False, float64: bool = True) -> None:
        """`measure` keeps `peak_bytes`, of all large tensors on the device; without `float64` it is like Apple's."""
        super().__init__()
        self.waits: list[str] = []
        self.measure, self.float64, self.peak_bytes = measure, float64, 0
        self._storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self._functions = _Functions(self)

    def __enter__(self):
        self._functions.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        return self._functions.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.run(func, args, kwargs or {})

    def counted(self) -> Counter[str]:
        """How often the host waited at each place."""
        return Counter(self.waits)

    def wrap(self, value: Any) -> Any:
        """A CPU tensor, or all of those in a nest, as the device's."""
        if isinstance(value, Tensor) and not isinstance(value, PretendTensor):
            if not self.float64 and value.dtype == torch.float64:
                raise TypeError("the pretend device has no float64")
            if self.measure:
                self._note(value)
            return PretendTensor(value, self)
        return tree_map(self.wrap, value) if isinstance(value, tuple | list | dict) else value

    def wait(self) -> None:
        """Count a wait of the host."""
        self.waits.append(_place(sys._getframe(1)))

    def run(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Compute an operation on the values, and put the result where torch would."""
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = [tensor for tensor in tensors if isinstance(tensor, PretendTensor)]
        named = kwargs.get("device")
        if named is not None and torch.device(named).type not in (NAME, "cpu"):
            return func(*args, **kwargs)
        to_device = torch.device(named).type == NAME if named is not None else bool(here)
        self._refuse_mixture(func, args, tensors, here)
        if self._waits(func, args, kwargs, here, to_device):
            self.wait()
        plain = dict(kwargs, device=torch.device("cpu")) if named is not None else kwargs
        result = func(*tree_map(_inner, args), **tree_map(_inner, plain))
        if here and torch.Tag.inplace_view in func.tags:
            with no_dispatch():
                func(*args, **kwargs)  # the wrapper's own shape
        if func in (aten.copy_.default, aten._local_scalar_dense.default) or not to_device:
            return args[0] if func is aten.copy_.default else result
        return tree_map(lambda leaf: self._returned(leaf, here), result)

    def _returned(self, leaf: Any, here: list[PretendTensor]) -> Any:
        """The very tensor for an operation in place, else a new one."""
        same = next((tensor for tensor in here if tensor.inner is leaf), None)
        return self.wrap(leaf) if same is None else same

    def _refuse_mixture(self, func: Any, args: Any, tensors: list[Tensor], here: list[PretendTensor]) -> None:
        others = [tensor for tensor in tensors if not isinstance(tensor, PretendTensor) and tensor.ndim > 0]
        if not here or not others or func in COPYING:
            return
        if func in INDEXING and isinstance(args[0], PretendTensor):
            indices = [index for index in args[1] if index is not None]
            if all(any(other is index for index in indices) for other in others):
                return  # which torch copies there
        raise RuntimeError(f"{func}: Expected all tensors to be on the same device, but found {NAME}:0 and cpu")

    def _waits(self, func: Any, args: Any, kwargs: dict[str, Any], here: list, to_device: bool) -> bool:
        if func is aten._to_copy.default:
            crosses = to_device != bool(here)
            return crosses and not (to_device and kwargs.get("non_blocking"))
        if func is aten.copy_.default:
            target, source = args[0], args[1]
            crosses = isinstance(target, PretendTensor) != isinstance(source, PretendTensor)
            asynchronous = isinstance(target, PretendTensor) and (len(args) > 2 and args[2] or source.ndim == 0)
            return crosses and not asynchronous
        if not here:
            return False
        if func in INDEXING:
            indices = [index for index in args[1] if index is not None]
            masks = any(index.dtype in (torch.bool, torch.uint8) for index in indices)
            return masks or not all(isinstance(index, PretendTensor) for index in indices)
        if func is aten.repeat_interleave.Tensor:
            return kwargs.get("output_size") is None
        return func in WAITING

    def _note(self, value: Tensor) -> None:
        storage = value.untyped_storage()
        if storage.nbytes() < LARGE_BYTES or storage._cdata in self._storages:
            return
        self._storages = {key: held for key, held in self._storages.items() if not held[0].expired()}
        self._storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._storages.values()))


class _Functions(TorchFunctionMode):
    """What torch does before it dispatches: tensors of Python's numbers, which go to the device from the host."""

    def __init__(self, owner: PretendDevice) -> None:
        super().__init__()
        self.owner = owner

    def __torch_function__(self, func: Callable[..., Any], types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and _is_here(kwargs.get("device")):
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is Tensor.new_tensor and _is_here(args[0].device):
            kwargs.setdefault("dtype", args[0].dtype)
            return torch.tensor(*args[1:], **kwargs).to(args[0].device)
        if func is Tensor.tolist and isinstance(args[0], PretendTensor):
            self.owner.wait()
            return args[0].inner.tolist()
        return func(*args, **kwargs)


def unwrapped(value: Any) -> Any:
    """The CPU's tensors of a nest of the pretend device's, for who stands in for a kernel."""
    return tree_map(_inner, value)


def _inner(leaf: Any) -> Any:
    return leaf.inner if isinstance(leaf, PretendTensor) else leaf


def _is_here(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def _place(frame: FrameType | None) -> str:
    """The innermost function of the project, or of a test, that led here; what autograd runs is nobody's."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        ours = ROOT in path.parents and "site-packages" not in path.parts  # an environment may lie in the checkout
        if ours and path.name not in BETWEEN:
            return f"{path.relative_to(ROOT)}:{frame.f_code.co_name}"
        frame = frame.f_back
    return "backward"
