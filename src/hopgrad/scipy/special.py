"""``scipy.special`` for functions that are to be differentiated: ``from hopgrad.scipy.special import logsumexp``.

SciPy's ufuncs (``expit``, ``gammaln``, …) take traced values as they are. A few of its functions are plain Python that
asks for plain arrays; these have stand-ins here (`hopgrad.hops.special_functions`). All other names are SciPy's own,
which is imported when one is used.

>>> import numpy as np
>>> import hopgrad as hg
>>> hg.grad(hg.scipy.special.logsumexp)(np.array([0.0, 0.0]))
array([0.5, 0.5])
>>> round(hg.grad(hg.scipy.special.zeta)(2.0), 9)
-0.937548254
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from hopgrad.hops.surface import surfaces
from hopgrad.trace.tracer import has_traced, perform


def _scipy(name: str) -> Any:
    return getattr(importlib.import_module("scipy.special"), name)


def _special(name: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """SciPy's function, or hopgrad's where traced values are among the arguments."""
    if has_traced((args, keywords)):
        return perform(surfaces[f"scipy.special:{name}"], args, keywords, sys._getframe(2), f"scipy.special.{name}")
    return _scipy(name)(*args, **keywords)


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if f"scipy.special:{name}" not in surfaces:
        return _scipy(name)

    def function(*args: Any, **keywords: Any) -> Any:
        return _special(name, args, keywords)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``scipy.special.{name}``, also of traced values."
    globals()[name] = function  # so that __getattr__ is not asked again
    return function


def __dir__() -> list[str]:
    return dir(importlib.import_module("scipy.special"))
