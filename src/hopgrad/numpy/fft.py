"""NumPy's ``np.fft``, of lists with traced values in them, too, and with results that can be filled."""

from __future__ import annotations

from typing import Any

import numpy.fft

from hopgrad.numpy._functions import Function

__all__ = [*numpy.fft.__all__]


def __getattr__(name: str) -> Any:
    found = getattr(numpy.fft, name)
    if not name.startswith("_") and callable(found) and not isinstance(found, type):
        found = globals()[name] = Function(found, "numpy.fft")
    return found


def __dir__() -> list[str]:
    return dir(numpy.fft)
