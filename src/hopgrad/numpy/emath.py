"""NumPy's ``np.emath``, of lists with traced values in them, too."""

from __future__ import annotations

from typing import Any

import numpy

from hopgrad.numpy._functions import Function

__all__ = [*numpy.emath.__all__]


def __getattr__(name: str) -> Any:
    found = getattr(numpy.emath, name)
    if not name.startswith("_") and callable(found):
        found = globals()[name] = Function(found, "numpy.emath")
    return found


def __dir__() -> list[str]:
    return dir(numpy.emath)
