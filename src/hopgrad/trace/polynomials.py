"""NumPy's functions of polynomials whose results' lengths depend on values, or which keep the class ``np.poly1d``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.hops.surface import surfaces
from hopgrad.trace.context import Trace
from hopgrad.trace.special import fillable
from hopgrad.trace.tracer import as_array, has_traced, on_real, perform, special


def _line(value: Any) -> Any:
    value = as_array(value)
    return np.atleast_1d(value if has_traced(value) else np.asarray(value))


def _coefficients(value: Any) -> Any:
    """As ``np.poly1d`` takes them."""
    line = _line(value)
    if np.ndim(line) > 1:
        raise ValueError("Polynomial must be 1d only.")
    shorter = np.trim_zeros(line, "f")
    return shorter if len(shorter) else np.zeros(1, line.dtype)


def _polymul(trace: Trace, frame: Any, a1: Any, a2: Any) -> Any:
    return np.convolve(_coefficients(a1), _coefficients(a2))


def _polydiv(trace: Trace, frame: Any, u: Any, v: Any) -> Any:
    """Long division, as in NumPy: what is left over has no leading zeros."""
    u, v = _line(u) + 0.0, _line(v) + 0.0
    dtype = np.result_type(u.dtype, v.dtype)
    scale = 1.0 / v[0]
    n = len(v) - 1
    count = len(u) - n
    quotient, rest = [], fillable(trace, u.astype(dtype))
    for k in range(count):
        quotient.append(scale * rest[k])
        rest[k : k + n + 1] -= quotient[-1] * v
    while bool(np.allclose(rest[0], 0, rtol=1e-14)) and len(rest) > 1:
        rest = rest[1:]
    return (np.stack(quotient).astype(dtype) if quotient else np.zeros(1, dtype)), rest


def _polyfit(
    trace: Trace, frame: Any, x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None,
    cov: Any = False,
) -> Any:  # fmt: skip
    """With all that NumPy tells beside the coefficients; see its own documentation for what each is."""
    if not has_traced((x, y, deg, w)):
        return on_real(trace, np.polyfit, (x, y, deg, rcond, full, w, cov), {})
    if not has_traced((x, deg, w)) and not full and not cov:
        return perform(surfaces[np.polyfit], (x, y, deg), {"rcond": rcond, "w": w}, frame, np.polyfit)
    x, y = _line(x) + 0.0, _line(y) + 0.0
    if np.ndim(deg) or int(deg) < 0:
        raise ValueError("expected deg >= 0")
    if np.ndim(x) != 1 or np.ndim(y) not in (1, 2) or len(x) != len(y):
        raise TypeError("expected x and y to have same length")
    order = int(deg) + 1
    rcond = len(x) * np.finfo(x.dtype).eps if rcond is None else rcond
    lines = np.vander(x, order)
    if w is not None:
        w = _line(w) + 0.0
        lines, y = lines * w[:, None], y * (w if np.ndim(y) == 1 else w[:, None])
    sizes = np.sqrt(np.sum(lines * lines, 0))
    lines = lines / sizes
    found, residuals, rank, values = np.linalg.lstsq(lines, y, rcond)
    found = np.transpose(np.transpose(found) / sizes)
    if full:
        return found, residuals, rank, values, rcond
    if rank != order:
        warnings.warn("Polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=2)
    if not cov:
        return found
    base = np.linalg.inv(np.transpose(lines) @ lines) / np.outer(sizes, sizes)
    if cov == "unscaled":
        return found, base if np.ndim(y) == 1 else base[:, :, None] * 1
    if len(x) <= order:
        raise ValueError("the number of data points must exceed order to scale the covariance matrix")
    factor = residuals / (len(x) - order)
    return found, base * factor if np.ndim(y) == 1 else base[:, :, None] * factor


def _adapted(function: Any) -> Callable[..., Any]:
    """The function's surface."""
    return lambda trace, frame, *args, **keywords: perform(surfaces[function], args, keywords, frame, function)


def _of_class(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Of ``np.poly1d``, NumPy's functions make the same."""

    def ask(trace: Trace, frame: Any, *args: Any, **keywords: Any) -> Any:
        lines = [v.coeffs if isinstance(v, np.poly1d) else v for v in args]
        found = compute(trace, frame, *lines, **keywords)
        if not any(isinstance(v, np.poly1d) for v in args):
            return found
        return tuple(map(np.poly1d, found)) if isinstance(found, tuple) else np.poly1d(found)

    return ask


special.update({np.polymul: _of_class(_polymul), np.polydiv: _of_class(_polydiv), np.polyfit: _polyfit})
for _function in (np.polyadd, np.polysub, np.polyder, np.polyint):
    special[_function] = _of_class(_adapted(_function))
