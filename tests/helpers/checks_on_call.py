"""Shapes and types are checked as jaxtyping does it, but a function's checks are built when it is first called.

A test process imports all modules and calls a part of their functions; building the checks of all of them takes it as
long as the imports. What takes no array needs no scope for the names of axes: beartype checks it alone.
"""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, jaxtyped

Checker = Callable[[Callable], Callable]


def checked_on_call(thing: Any = None, *, typechecker: Checker) -> Any:
    """In place of `jaxtyped`: of a class, the constructor of a dataclass is checked; of a function, each call."""
    if thing is None:
        return functools.partial(checked_on_call, typechecker=typechecker)
    if getattr(thing, "__no_type_check__", False):
        return thing
    if not inspect.isclass(thing):
        return _checked(thing, typechecker)
    if dataclasses.is_dataclass(thing) and not hasattr(thing.__init__, "checked_on_call"):  # perhaps an inherited one
        thing.__init__ = _checked(thing.__init__, typechecker)
    return thing


def _checked(function: Callable, typechecker: Checker) -> Callable:
    checked: Callable | None = None

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal checked
        if checked is None:
            checked = jaxtyped(function, typechecker=typechecker) if takes_arrays(function) else _plain(function)
        return checked(*args, **kwargs)

    call.checked_on_call = True  # type: ignore[attr-defined]
    return call


_plain = beartype(conf=BeartypeConf(violation_type=TypeError))  # as jaxtyping's own error is one


def takes_arrays(function: Callable) -> bool:
    """Whether a shape stands in the signature, or what stands there can't be told."""
    try:
        hints = typing.get_type_hints(function)
    except (NameError, AttributeError, TypeError):  # of names that only a type checker imports
        return True
    return any(_holds_array(hint) for hint in hints.values())


def _holds_array(hint: Any) -> bool:
    if inspect.isclass(hint) and not typing.get_args(hint):
        return issubclass(hint, AbstractArray)
    return any(_holds_array(part) for part in typing.get_args(hint))


jaxtyping.jaxtyped = checked_on_call  # which is what jaxtyping's import hook decorates with from here on
