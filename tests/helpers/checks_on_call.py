"""Shapes and types are checked as jaxtyping does it, but a function's checks are built when it is first called.

A test process imports all modules and calls a part of their functions; building the checks of all of them takes it as
long as the imports. What takes no array needs no scope for the names of axes: beartype checks it alone. What takes some
is checked by beartype in such a scope, where jaxtyping itself has it check the arguments twice and binds them once
more, for words of its own when they do not fit.
"""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError, jaxtyped
from jaxtyping._storage import pop_shape_memo, push_shape_memo, shape_str

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
            way = _with_shapes if takes_arrays(function) else _plain
            checked = way(function) if _is_plain(function) else jaxtyped(function, typechecker=typechecker)
        return checked(*args, **kwargs)

    call.checked_on_call = True  # type: ignore[attr-defined]
    return call


_plain = beartype(conf=BeartypeConf(violation_type=TypeError))  # as jaxtyping's own error is one
_shaped = beartype(conf=BeartypeConf(violation_type=TypeCheckError))


def _with_shapes(function: Callable) -> Callable:
    """Arguments and result are checked, each once, and a name of an axis stands for one size in all of them."""
    checked = _shaped(function)

    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        memos = push_shape_memo({})
        try:
            return checked(*args, **kwargs)
        except TypeCheckError as error:
            if not hasattr(error, "__notes__"):
                error.add_note(shape_str(memos))
            raise
        finally:
            pop_shape_memo()

    return call


def _is_plain(function: Callable) -> bool:
    """Whether its hints are known by now, and it is no generator, whose scope ends before it does."""
    try:
        typing.get_type_hints(function)
    except (NameError, AttributeError, TypeError):  # of names that only a type checker imports
        return False
    return not (inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function))


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
