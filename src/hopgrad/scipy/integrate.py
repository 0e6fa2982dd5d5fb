"""``scipy.integrate`` for functions that are to be differentiated, under SciPy's own names.

Rules for samples are differentiated by values, places and spacing; integrals of functions by their limits and by all
that the integrand uses; initial value problems by the start, the times and all that the right-hand side uses. What
counts events, solves boundary value problems or integrates in several dimensions is refused by name.

>>> import numpy as np
>>> import hopgrad as hg
>>> from hopgrad.scipy.integrate import quad, simpson
>>> hg.grad(lambda y: simpson(y, dx=0.5))(np.ones(3)).round(6)
array([0.166667, 0.666667, 0.166667])
>>> round(hg.grad(lambda a: quad(lambda t: np.exp(-a * t), 0.0, np.inf)[0])(2.0), 6)
-0.25
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.hops.surface import refusals
from hopgrad.scipy._namespace import namespace
from hopgrad.trace.tracer import Tracer, array, has_traced, special


def _late(name: str) -> Callable[[], Any]:
    """A function that traces one of the user's, and so stands above the tracer: it is looked up by its name."""
    return lambda: getattr(importlib.import_module("hopgrad.integrals"), name)


__getattr__ = namespace("scipy.integrate", {name: _late(name) for name in ("odeint", "quad", "solve_ivp")})


def __dir__() -> list[str]:
    return dir(importlib.import_module("scipy.integrate"))


def _array(value: Any) -> Any:
    made = array(value, copy=None) if type(value) is Tracer or has_traced(value) else np.asarray(value)
    return made if made.dtype.kind in "fc" else made.astype(np.float64)


def _samples(y: Any, x: Any, dx: Any, axis: int) -> tuple[Any, Any]:
    """Samples along the last axis, and the distances between them."""
    y = np.moveaxis(_array(y), axis, -1)
    n = y.shape[-1]
    if x is None:
        return y, dx * np.ones(max(n - 1, 0), y.real.dtype)
    x = _array(x)
    if x.ndim == 1:
        if x.shape[0] != n:
            raise ValueError("If given, length of x along axis must be the same as y.")
        return y, np.diff(x)
    if x.ndim != y.ndim:
        raise ValueError("If given, shape of x must be 1-D or the same as y.")
    return y, np.diff(np.moveaxis(x, axis, -1), axis=-1)


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """``scipy.integrate.trapezoid``: the integral of the straight lines between samples, as ``np.trapezoid``."""
    y, h = _samples(y, x, dx, axis)
    return np.sum(h * (y[..., 1:] + y[..., :-1]) / 2.0, axis=-1)


def _cumulative_trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None) -> Any:
    """``scipy.integrate.cumulative_trapezoid``: the integrals up to each sample."""
    if initial is not None and initial != 0:
        raise ValueError("`initial` must be `None` or `0`.")
    y, h = _samples(y, x, dx, axis)
    if not y.shape[-1]:
        raise ValueError("At least one point is required along `axis`.")
    found = np.cumsum(h * (y[..., 1:] + y[..., :-1]) / 2.0, axis=-1)
    if initial is not None:
        found = np.concatenate([np.zeros((*found.shape[:-1], 1), found.dtype), found], -1)
    return np.moveaxis(found, -1, axis)


def _parabolas(y: Any, h: Any) -> Any:
    """Simpson's rule over an even number of intervals, which may differ."""
    h0, h1 = h[..., ::2], h[..., 1::2]
    both = h0 + h1
    terms = (2.0 - h1 / h0) * y[..., :-2:2] + both**2 / (h0 * h1) * y[..., 1::2] + (2.0 - h0 / h1) * y[..., 2::2]
    return np.sum(both / 6.0 * terms, axis=-1)


def _simpson(y: Any, x: Any = None, *, dx: Any = 1.0, axis: int = -1) -> Any:
    """``scipy.integrate.simpson``: the integral of the parabolas through three samples each.

    Of an odd number of intervals the last one goes by Cartwright's correction (Simpson's rule cumulative integration
    with MS Excel and irregularly-spaced data, 2017, equation 8).
    """
    y, h = _samples(y, x, dx, axis)
    n = y.shape[-1]
    if n < 2:
        return np.sum(0.0 * y, axis=-1)
    if n == 2:
        return 0.5 * h[..., 0] * (y[..., 0] + y[..., 1])
    if n % 2:
        return _parabolas(y, h)
    a, b = h[..., -2], h[..., -1]
    last = (
        (2.0 * b**2 + 3.0 * a * b) / (6.0 * (a + b)) * y[..., -1]
        + (b**2 + 3.0 * a * b) / (6.0 * a) * y[..., -2]
        - b**3 / (6.0 * a * (a + b)) * y[..., -3]
    )
    return _parabolas(y[..., :-1], h[..., :-1]) + last


def _romb(y: Any, dx: Any = 1.0, axis: int = -1, show: Any = False) -> Any:
    """``scipy.integrate.romb``: Romberg's integration of 2ᵏ + 1 samples."""
    y = np.moveaxis(_array(y), axis, -1)
    count = y.shape[-1] - 1
    if count < 1 or count & (count - 1):
        raise ValueError("Number of samples must be one plus a non-negative power of 2.")
    row = [(y[..., 0] + y[..., -1]) / 2.0 * (count * dx)]
    step = count
    while step > 1:
        half = step // 2
        below = 0.5 * row[0] + half * dx * np.sum(y[..., half:count:step], axis=-1)
        following = [below]
        for j, other in enumerate(row):
            following.append(following[j] + (following[j] - other) / (4.0 ** (j + 1) - 1.0))
        row, step = following, half
    return row[-1]


def _fixed_quad(func: Any, a: Any, b: Any, args: Any = (), n: int = 5) -> Any:
    """``scipy.integrate.fixed_quad``: Gauss's rule of order n, differentiated through the integrand as it stands."""
    from scipy.special import roots_legendre

    x, w = roots_legendre(n)
    if np.isinf(a) or np.isinf(b):
        raise ValueError("Gaussian quadrature is only available for finite limits.")
    half = (b - a) / 2.0
    return half * np.sum(w * func(half * (x + 1.0) + a, *args), axis=-1), None


def _register(name: str, function: Any) -> None:
    def traced(trace: Any, frame: Any, *args: Any, **keywords: Any) -> Any:
        return function(*args, **keywords)

    traced.__doc__ = function.__doc__
    special[f"scipy.integrate:{name}"] = traced


for _name, _function in (
    ("trapezoid", _trapezoid), ("cumulative_trapezoid", _cumulative_trapezoid), ("simpson", _simpson), ("romb", _romb),
    ("fixed_quad", _fixed_quad),
):  # fmt: skip
    _register(_name, _function)

_OF_FUNCTIONS = {
    "cubature": "use quad in each dimension, or a rule of your own with np.sum",
    "dblquad": "use quad of quad",
    "nquad": "use quad of quad",
    "tplquad": "use quad of quad",
    "quad_vec": "use quad of each component",
    "qmc_quad": "take the mean of your own points",
    "tanhsinh": "use quad",
    "nsum": "use np.sum of the terms",
    "solve_bvp": "there is no derivative of it yet",
    "cumulative_simpson": "use cumulative_trapezoid",
}
refusals.update({f"scipy.integrate:{name}": cure for name, cure in _OF_FUNCTIONS.items()})
