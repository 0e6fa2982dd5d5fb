"""Recursive digital filters as hops: a filter, and the products of two signals at several lags.

The derivatives of each are made of both, so there are those of all orders.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.aval import Aval, aval
from hopgrad.errors import DtypeError, ShapeError
from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import Case, Function, Interval, general
from hopgrad.graph.operators import Linear, Operator, Support, spread
from hopgrad.hops.shape import slice_axis


def _reversed(x: Any) -> Any:
    return slice_axis(x, x.ndim - 1, None, None, -1)


def _unit(like: Any) -> Any:
    """The coefficient 1 alone."""
    return like.builder.constant(np.ones(1, like.dtype))


def _filter(b: Any, a: Any, x: Any) -> Any:
    import scipy.signal

    dtype = np.result_type(x.dtype, np.float64)
    if not x.size:
        return x.copy()
    with np.errstate(all="ignore"):
        return np.asarray(scipy.signal.lfilter(b.astype(dtype), a.astype(dtype), x.astype(dtype)), x.dtype)


def _filtered(b: Aval, a: Aval, x: Aval) -> Aval:
    if b.ndim != 1 or a.ndim != 1 or not b.size or not a.size or not x.ndim:
        raise ShapeError(f"filter: coefficients of shapes {b.shape} and {a.shape} for an array of shape {x.shape}")
    if not b.dtype == a.dtype == x.dtype:
        raise DtypeError(f"filter: operands have dtypes {b.dtype}, {a.dtype} and {x.dtype}")
    return x


_SAMPLES = [Case((2,), (3,), (5,)), Case((3,), (1,), (2, 4)), Case((1,), (2,), (0,))]

_MILD = Interval(0.5, 1.0)
"""Coefficients of which the sampled filters do not grow much over a few steps."""


@general(_filter, Function("filter", r"\operatorname{filter}", "filter"), infer=_filtered,
         domain=(Interval(), _MILD, Interval()),
         sample=lambda draw: draw(_SAMPLES))  # fmt: skip
def linear_filter(b: Expr, a: Expr, x: Expr, *, out: Expr) -> Any:
    """y with Σ aₖ yₙ₋ₖ = Σ bₖ xₙ₋ₖ along the last axis, from rest.

    By its definition, dy is dx filtered, plus the filter 1/a of Σ dbₖ xₙ₋ₖ − Σ daₖ yₙ₋ₖ. The transpose of a filter is
    the same filter, with the time turned round.
    """

    def back(ct: Expr) -> Any:
        """The transpose of 1/a."""
        return _reversed(linear_filter(_unit(ct), a, _reversed(ct)))

    one = np.ones(1, out.dtype)
    lasting = np.array([1, -1], out.dtype) if a.size > 1 else one  # the sum of all before, which only grows

    def earlier(m: Any) -> Any:
        """Where a support comes from through 1/a, as numbers."""
        return _reversed(linear_filter(one, lasting, _reversed(m)))

    def of_coefficients(count: int) -> Callable[[Support], Support]:
        def mask(support: Support) -> Support:
            if support is None:
                return None
            return spread(support, lambda m: lags(earlier(m), np.ones(x.shape, m.dtype), count=count), out.dtype)

        return mask

    def of_numerator() -> Operator:
        return Linear(
            b.aval, out.aval,
            lambda t: linear_filter(t, a, x), lambda ct: lags(back(ct), x, count=b.size),
            of_coefficients(b.size), infinite=True,
        )  # fmt: skip

    def of_denominator() -> Operator:
        return Linear(
            a.aval, out.aval,
            lambda t: -linear_filter(t, a, out), lambda ct: -lags(back(ct), out, count=a.size),
            of_coefficients(a.size), infinite=True,
        )  # fmt: skip

    def of_signal() -> Operator:
        def mask(support: Support) -> Support:
            if support is None:
                return None
            width = np.ones(b.size, out.dtype)
            return spread(support, lambda m: _reversed(linear_filter(width, one, _reversed(earlier(m)))), out.dtype)

        return Linear(
            x.aval, out.aval,
            lambda t: linear_filter(b, a, t), lambda ct: _reversed(linear_filter(b, a, _reversed(ct))),
            mask, infinite=True,
        )  # fmt: skip

    return of_numerator, of_denominator, of_signal


def _lags(w: Any, x: Any, *, count: int) -> Any:
    n = x.shape[-1]
    found = [np.sum(w[..., k:] * x[..., : n - k]) if k < n else 0 for k in range(count)]
    return np.array(found, x.dtype)


def _lagged(w: Aval, x: Aval, *, count: int) -> Aval:
    if w is not x or not x.ndim:
        raise ShapeError(f"lags: {w!r} and {x!r} differ")
    return aval((count,), x.dtype)


@general(_lags, Function("lags", r"\operatorname{lags}", "correlation"), infer=_lagged,
         sample=lambda draw: draw([Case((4,), (4,), count=2), Case((2, 3), (2, 3), count=4)]))  # fmt: skip
def lags(w: Expr, x: Expr, *, count: int) -> Any:
    """Σₙ wₙ xₙ₋ₖ for k = 0, …, count − 1, over all lines. Linear in both; the transposes are filters without memory."""

    def moved(turn: Callable[[Any], Any]) -> Callable[[Support], Support]:
        def mask(support: Support) -> Support:
            if support is None:
                return None
            unit = np.ones(1, x.dtype)
            return spread(support, lambda m: turn(linear_filter(m, unit, np.ones(x.shape, x.dtype))), x.dtype)

        return mask

    def of_later() -> Operator:
        return Linear(
            w.aval, aval((count,), w.dtype),
            lambda t: lags(t, x, count=count), lambda ct: linear_filter(ct, _unit(ct), x),
            moved(lambda m: m), infinite=True,
        )  # fmt: skip

    def of_earlier() -> Operator:
        return Linear(
            x.aval, aval((count,), x.dtype),
            lambda t: lags(w, t, count=count),
            lambda ct: _reversed(linear_filter(ct, _unit(ct), _reversed(w))),
            moved(_reversed), infinite=True,
        )  # fmt: skip

    return of_later, of_earlier
