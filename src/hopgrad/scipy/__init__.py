"""SciPy's namespace: modules with functions that take traced values; everything else is SciPy's own.

Nothing of SciPy is imported before it is used.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from hopgrad.scipy import special as special
from hopgrad.trace import context

__all__ = ["integrate", "interpolate", "linalg", "signal", "special", "stats"]

_MODULES = frozenset({"integrate", "interpolate", "linalg", "signal", "stats"})
"""Those of hopgrad's own that are imported when they are first asked for."""

_STATE = frozenset({
    "cluster", "datasets", "differentiate", "io", "misc", "odr", "optimize", "sparse", "spatial", "test",
})  # fmt: skip
"""Modules in which numbers are drawn, files read, or functions called that are not looked into."""


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        return importlib.import_module(f"hopgrad.scipy.{name}")
    found = getattr(importlib.import_module("scipy"), name)
    trace = context.current()
    if trace is not None and name in _STATE:
        trace.only_once(f"uses scipy.{name}, which may have state", sys._getframe(1))
    return found
