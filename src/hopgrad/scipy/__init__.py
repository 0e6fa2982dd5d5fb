"""SciPy's namespace: `special` with functions that take traced values; everything else is SciPy's own.

Nothing of SciPy is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

from hopgrad.scipy import special as special

__all__ = ["special"]


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("scipy"), name)
