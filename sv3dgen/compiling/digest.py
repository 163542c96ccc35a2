"""What a kernel says, as a digest: its bytecode, its options, and what the names in it stand for."""

import hashlib
from types import CodeType

import numpy as np
from numba.core.cpu_options import ParallelOptions
from numba.core.dispatcher import Dispatcher


def digest(dispatcher: Dispatcher) -> str:
    """Another one where the function is, or a constant or a kernel that it names; the same one wherever it lies."""
    return hashlib.sha256("\n".join(_described(dispatcher, set())).encode()).hexdigest()


def _described(dispatcher: Dispatcher, seen: set[int]) -> list[str]:
    if id(dispatcher) in seen:
        return []
    seen.add(id(dispatcher))
    function = dispatcher.py_func
    lines = [function.__module__, function.__qualname__, *_code(function.__code__)]
    for name, value in sorted(dispatcher.targetoptions.items()):
        lines.append(f"{name}={sorted(value) if isinstance(value, set) else _value(value)}")
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, Dispatcher):
            lines += _described(value, seen)
        else:
            lines.append(f"{name} is {_value(value)}")
    return lines


def _code(code: CodeType) -> list[str]:
    """Bytecode, names and constants, those of inner functions too; no line numbers."""
    lines = [code.co_code.hex(), *code.co_names, *code.co_varnames]
    for constant in code.co_consts:
        lines += _code(constant) if isinstance(constant, CodeType) else [repr(constant)]
    return lines


def _value(value: object) -> str:
    """A constant as it is, an array by its bytes, anything else by its name."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if value is None or isinstance(value, bool | int | float | str | tuple | np.generic):
        return repr(value)
    if isinstance(value, ParallelOptions):
        return str(value._get_values())
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
