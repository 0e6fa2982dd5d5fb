"""``scipy.special`` for functions that are to be differentiated: ``from hopgrad.scipy.special import logsumexp``.

SciPy's ufuncs (``expit``, ``gammaln``, …) take traced values as they are. A few of its functions are plain Python that
asks for plain arrays; these are defined here. All other names are SciPy's own, which is imported when one is used.

>>> import numpy as np
>>> import hopgrad as hg
>>> hg.grad(logsumexp)(np.array([0.0, 0.0]))
array([0.5, 0.5])
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


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """``scipy.special.logsumexp``: the logarithm of the sum of b·exp(a) along `axis`, without overflow.

    >>> logsumexp([1000.0, 1000.0]).round(6)
    np.float64(1000.693147)
    """
    return _special("logsumexp", (a,), {"axis": axis, "b": b, "keepdims": keepdims, "return_sign": return_sign})


def softmax(x: Any, axis: Any = None) -> Any:
    """``scipy.special.softmax``: exp(x) divided by its sum along `axis`.

    >>> softmax([0.0, 0.0])
    array([0.5, 0.5])
    """
    return _special("softmax", (x,), {"axis": axis})


def log_softmax(x: Any, axis: Any = None) -> Any:
    """``scipy.special.log_softmax``: the logarithm of `softmax`, without loss of digits.

    >>> log_softmax([0.0, 1000.0])
    array([-1000.,     0.])
    """
    return _special("log_softmax", (x,), {"axis": axis})


def polygamma(n: Any, x: Any) -> Any:
    """``scipy.special.polygamma``: the n-th derivative of the digamma function; n is not differentiated.

    >>> polygamma(1, 1.0).round(6)
    np.float64(1.644934)
    """
    return _special("polygamma", (n, x), {})


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _scipy(name)


def __dir__() -> list[str]:
    return dir(importlib.import_module("scipy.special"))
