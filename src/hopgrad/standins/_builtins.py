"""What stands for Python's builtins: those that read or change something outside, or make plain numbers."""

from __future__ import annotations

import builtins
import functools
import sys
from types import FrameType, ModuleType
from typing import Any

from hopgrad.numpy._classes import COMPLEX, FLOAT, TYPE, original_of
from hopgrad.numpy._functions import note
from hopgrad.trace import context
from hopgrad.trace.tracer import Tracer, has_traced


def _caller() -> FrameType:
    return sys._getframe(2)


def _noting(name: str, reason: str) -> Any:
    function = getattr(builtins, name)

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        note(reason, _caller())
        return function(*args, **keywords)

    return call


class _Names(dict[str, Any]):
    """The names that code from a text sees: the caller's local variables, and its globals as they are handed out."""

    def __init__(self, own: Any, outer: Any) -> None:
        super().__init__()
        self._own = own
        self._outer = outer

    def __getitem__(self, name: str) -> Any:
        try:
            return self._own[name]
        except KeyError:
            return self._outer[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._own[name] = value

    def __delitem__(self, name: str) -> None:
        del self._own[name]


def _scope(frame: FrameType, globals: Any, locals: Any) -> tuple[Any, Any]:
    """Globals and locals for code from a text that the code in `frame` runs."""
    if globals is not None:
        if isinstance(globals, dict):
            globals.setdefault("__builtins__", frame.f_builtins)  # Python would enter those of this module
        return globals, globals if locals is None else locals
    return frame.f_globals, _Names(frame.f_locals if locals is None else locals, frame.f_globals)


@functools.wraps(builtins.eval)
def _eval(source: Any, globals: Any = None, locals: Any = None, /) -> Any:
    frame = _caller()
    note("runs code from a text (eval)", frame)
    return eval(source, *_scope(frame, globals, locals))


@functools.wraps(builtins.exec)
def _exec(source: Any, globals: Any = None, locals: Any = None, /, **keywords: Any) -> None:
    frame = _caller()
    note("runs code from a text (exec)", frame)
    exec(source, *_scope(frame, globals, locals), **keywords)


@functools.wraps(builtins.globals)
def _globals() -> Any:
    frame = _caller()
    note("reads globals()", frame)
    return frame.f_globals


@functools.wraps(builtins.locals)
def _locals() -> Any:
    return _caller().f_locals


@functools.wraps(builtins.vars)
def _vars(*args: Any) -> Any:
    frame = _caller()
    if not args:
        return frame.f_locals
    note("reads vars() of an object", frame)
    return vars(*args)


@functools.wraps(builtins.dir)
def _dir(*args: Any) -> Any:
    return dir(*args) if args else sorted(_caller().f_locals)


@functools.wraps(builtins.pow)
def _pow(base: Any, exp: Any, mod: Any = None) -> Any:
    if mod is None or not has_traced((base, exp, mod)):
        return pow(base, exp, mod)
    numbers = [base, exp, mod]
    if any(not isinstance(v, int) for v in numbers):
        raise TypeError("pow() 3rd argument not allowed unless all arguments are integers")
    return pow(*[v.__index__() if type(v) is Tracer else v for v in numbers])


def _memoryview(object: Any) -> Any:
    if type(object) is Tracer:
        object = object.data  # refused where there is no real data
    note("looks at memory (memoryview)", _caller())
    return memoryview(object)


@functools.wraps(builtins.__build_class__)
def _build_class(function: Any, name: str, /, *bases: Any, **options: Any) -> Any:
    """Classes are derived from the originals, whose metaclasses go with those of others."""
    return builtins.__build_class__(function, name, *map(original_of, bases), **options)


def _import(hand_out: Any) -> Any:
    @functools.wraps(builtins.__import__)
    def load(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        module = builtins.__import__(name, globals, locals, fromlist, level)
        if context.current() is None or not isinstance(module, ModuleType):
            return module
        return hand_out(module, _caller())

    return load


def replaced(hand_out: Any) -> dict[str, Any]:
    """The builtins that have a stand-in, by name. `hand_out` gives what stands for an imported module."""
    return {
        "complex": COMPLEX,
        "float": FLOAT,
        "type": TYPE,
        "print": _noting("print", "prints"),
        "input": _noting("input", "reads the keyboard"),
        "open": _noting("open", "opens a file"),
        "id": _noting("id", "asks for an id()"),
        "eval": _eval,
        "exec": _exec,
        "globals": _globals,
        "locals": _locals,
        "vars": _vars,
        "dir": _dir,
        "pow": _pow,
        "memoryview": _memoryview,
        "__build_class__": _build_class,
        "__import__": _import(hand_out),
    }
