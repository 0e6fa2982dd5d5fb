"""NumPy's ``np.linalg``, of lists with traced values in them, too, and with results that can be filled."""

from __future__ import annotations

from typing import Any

import numpy

from hopgrad.numpy._functions import Function

__all__ = [*numpy.linalg.__all__]


def __getattr__(name: str) -> Any:
    found = getattr(numpy.linalg, name)
    if not name.startswith("_") and callable(found) and not isinstance(found, type):
        found = globals()[name] = Function(found, "numpy.linalg")
    return found


def __dir__() -> list[str]:
    return dir(numpy.linalg)
