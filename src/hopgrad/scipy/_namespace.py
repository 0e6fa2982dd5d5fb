"""Modules of SciPy with functions that take traced values under SciPy's own names.

What hopgrad defines stands in `surfaces` and `special` under "scipy.linalg:expm"; outside of traces and on plain values
SciPy's own function runs. A function that hopgrad does not define refuses traced values by name.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any

from hopgrad.hops.surface import refusals, refused, surfaces
from hopgrad.trace import context
from hopgrad.trace.tracer import decline, has_traced, on_real, perform, special, trace_of


def namespace(module: str, members: dict[str, Callable[[], Any]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that stands for SciPy's `module`.

    Args:
        module: Its full name, such as "scipy.linalg".
        members: What is neither a function of `surfaces` nor SciPy's own, by name, each with a function that makes it.
    """
    made: dict[str, Any] = {}

    def find(name: str) -> Any:
        if name in made:
            return made[name]
        if name.startswith("_") and name != "__all__":
            raise AttributeError(f"module {f'hopgrad.{module}'!r} has no attribute {name!r}")
        original = getattr(importlib.import_module(module), name)
        if name in members:
            found = members[name]()
        elif type(original) in (FunctionType, BuiltinFunctionType) or f"{module}:{name}" in refusals:
            found = _function(module, name, original)
        else:
            found = original
        made[name] = found
        return found

    return find


def _function(module: str, name: str, original: Any) -> Any:
    """SciPy's function, or hopgrad's where traced values are among the arguments."""
    key = f"{module}:{name}"

    def call(*args: Any, **keywords: Any) -> Any:
        trace = context.current()
        if trace is None:
            return original(*args, **keywords)
        frame = sys._getframe(1)
        if key in special:
            return special[key](trace, frame, *args, **keywords)
        if not has_traced((args, keywords)):
            return on_real(trace, original, args, keywords)
        if key in surfaces:
            return perform(surfaces[key], args, keywords, frame, original)
        error = refused(f"{module}.{name}", refusals.get(key, ""))
        return decline(trace_of((args, keywords)), original, args, keywords, error, frame)

    own = special.get(key) or (surfaces[key].function if key in surfaces else None)
    call.__name__ = call.__qualname__ = name
    call.__module__ = f"hopgrad.{module}"
    call.__doc__ = (own.__doc__ if own is not None else None) or original.__doc__
    with contextlib.suppress(ValueError):  # of a builtin that does not tell
        call.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]  # what inspect.signature reads
    return call
