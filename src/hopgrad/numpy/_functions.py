"""NumPy's functions with lists of traced values for arguments, and results that can be filled."""

from __future__ import annotations

import functools
import importlib
import sys
import types
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy

from hopgrad.hops.surface import refused
from hopgrad.trace import context
from hopgrad.trace.tracer import (
    Tracer,
    decline,
    has_traced,
    is_traced,
    leaves_of,
    real,
    real_data,
    shown,
)
from hopgrad.trace.tracer import array as traced_array

# They take a list of arrays; of a list of lists, each inner one is an array.
_OF_LISTS = frozenset({
    "choose", "column_stack", "concat", "concatenate", "dstack", "histogramdd", "hstack", "multi_dot",
    "piecewise", "row_stack", "select", "stack", "vstack",
})  # fmt: skip

# They take nested lists of arrays, and look into these themselves.
_OF_BLOCKS = frozenset({"block", "bmat", "putmask"})

# Their results share memory with something that is no array among the arguments, or with one another.
_SHARING = frozenset({"broadcast_arrays", "broadcast_to", "frombuffer", "from_dlpack", "load", "memmap", "open_memmap"})

_METHODS = frozenset({"reduce", "accumulate", "reduceat", "outer", "at"})


class Function:
    """A function of NumPy that also takes lists with traced values in them, and whose result can be filled."""

    def __init__(self, function: Any, module: str = "numpy") -> None:
        functools.update_wrapper(self, function)
        self.__wrapped__ = function
        self._name = (module, getattr(function, "__name__", ""))

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        function = self.__wrapped__
        trace = context.current()
        if trace is None:
            return function(*args, **keywords)
        name = self._name[1]
        if name in _OF_LISTS:
            args = tuple(_each_lifted(a) for a in args)
            keywords = {k: _each_lifted(v) for k, v in keywords.items()}
        elif name not in _OF_BLOCKS:
            args = tuple(lifted(a) for a in args)
            keywords = {k: v if k == "out" else lifted(v) for k, v in keywords.items()}
        result = function(*args, **keywords)
        return result if name in _SHARING else fillable(result, (args, keywords))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__wrapped__, name)
        if name in _METHODS and isinstance(self.__wrapped__, numpy.ufunc):
            found = functools.partial(_method, found)
            self.__dict__[name] = found
        return found

    @property  # type: ignore[misc]  # as the tracer has it: isinstance(np.add, np.ufunc) is to hold
    def __class__(self) -> Any:
        return type(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __eq__(self, other: object) -> bool:
        return other is self.__wrapped__ or (type(other) is Function and other.__wrapped__ is self.__wrapped__)

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return find, self._name


def find(module: str, name: str) -> Any:
    """The stand-in for a function of a module of NumPy."""
    return getattr(importlib.import_module(f"hopgrad.{module}"), name)


def _method(method: Any, *args: Any, **keywords: Any) -> Any:
    """``np.add.reduce`` and its sisters, of lists with traced values in them, too."""
    if context.current() is None:
        return method(*args, **keywords)
    at = method.__name__ == "at"  # its second argument is a key, for which a tuple is no array
    args = tuple(v if at and k == 1 else lifted(v) for k, v in enumerate(args))
    keywords = {k: v if k == "out" else lifted(v) for k, v in keywords.items()}
    return fillable(method(*args, **keywords), (args, keywords))


_NO_OBJECTS = frozenset({
    Tracer, numpy.ndarray, float, int, bool, str, slice, type, type(None), numpy.dtype, numpy.float64, list, tuple,
})  # fmt: skip


def lifted(value: Any) -> Any:
    """A list with traced values in it as an array, and so an object that says it is one."""
    cls = type(value)
    if cls is list or cls is tuple:
        return traced_array(value) if has_traced(value) else value
    return value if cls in _NO_OBJECTS else of_object(value)


def of_object(value: Any) -> Any:
    """The traced array that an object's own ``__array__`` gives, which NumPy would not take; else the object."""
    if isinstance(getattr(type(value), "__array__", None), types.FunctionType):
        found = value.__array__()
        if type(found) is Tracer:
            return found
    return value


def _each_lifted(value: Any) -> Any:
    return type(value)([lifted(v) for v in value]) if type(value) in (list, tuple) else value


def fillable(result: Any, args: Any = ()) -> Any:
    """While tracing, new arrays of plain numbers as ones to which traced values can be written."""
    if type(result) is numpy.ndarray:
        trace = context.current()
        if trace is None or result.dtype.kind not in "fiubc" or not result.flags.writeable:
            return result
        if result.base is None and not any(a is result for a in leaves_of(args)):
            return real(trace, result)
        if any(isinstance(a, numpy.ndarray) and numpy.may_share_memory(plain(a), result) for a in leaves_of(args)):
            return result
        return real(trace, result.copy("K"))
    if isinstance(result, (tuple, list)) and any(type(v) is numpy.ndarray for v in result):
        made = [fillable(v, args) for v in result]
        return type(result)(*made) if hasattr(result, "_fields") else type(result)(made)
    return result


def plain(value: Any) -> Any:
    """The real data of a traced array that has some; anything else as it is. A value of the graph counts as empty."""
    if type(value) is not Tracer:
        return value
    return numpy.empty(0) if is_traced(value) else real_data(value)


def look(value: Any) -> Any:
    """Nested lists, tuples and dicts with values for the actual inputs in place of traced ones, for who only looks."""
    if type(value) is Tracer:
        return shown(value)
    if isinstance(value, dict):
        return {k: look(v) for k, v in value.items()}
    return type(value)([look(v) for v in value]) if type(value) in (list, tuple) else value


def note(reason: str, frame: FrameType | None) -> None:
    """Say to the trace in progress, if there is one, that it counts for this call only."""
    trace = context.current()
    if trace is not None:
        trace.only_once(reason, frame)


def noting(function: Any, reason: str) -> Any:
    """A function after whose call a trace counts for this call only; new arrays that it makes can be filled."""

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        note(reason, sys._getframe(1))
        result = function(*args, **keywords)
        return fillable(result, (args, keywords))

    return call


def looking(function: Any, reason: str) -> Any:
    """A function that only looks at its arguments, of the values for the actual inputs."""

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        if context.current() is None:
            return function(*args, **keywords)
        note(reason, sys._getframe(1))
        return function(*look(args), **look(keywords))

    return call


def refusing(function: Any, name: str, cure: str) -> Any:
    """A function that does not take what is differentiated, and says what does. Data it takes for what they are."""

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        trace = context.current()
        if trace is not None and has_traced((args, keywords)):
            return decline(trace, function, args, keywords, refused(name, cure), sys._getframe(1))
        return function(*args, **keywords)

    return call


class Namespace(types.ModuleType):
    """A module of NumPy's with some of its members replaced.

    Args:
        plain: The module.
        members: What is found under some names instead.
        dress: What is handed out for the others; called once for each.
    """

    def __init__(self, plain: types.ModuleType, members: dict[str, Any], dress: Callable[[str, Any], Any]) -> None:
        super().__init__(plain.__name__, plain.__doc__)
        self.__dict__.update(members)
        self.__dict__["_plain"] = plain
        self.__dict__["_dress"] = dress

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__dict__["_plain"], name)
        if not name.startswith("__"):
            found = self.__dict__[name] = self.__dict__["_dress"](name, found)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        note(f"assigns to {self.__name__}.{name}", sys._getframe(1))
        setattr(self.__dict__["_plain"], name, value)

    def __dir__(self) -> list[str]:
        return dir(self.__dict__["_plain"])

    def __repr__(self) -> str:
        return repr(self.__dict__["_plain"])
