"""Interpolation through points, and polynomials fitted to points."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad.errors import ShapeError
from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import REAL, Case, Function, Interval, On, elementwise
from hopgrad.graph.operators import broadcast_to as to_shape
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops import shape as sh
from hopgrad.hops.order import INTEGER, ordered, searchsorted_
from hopgrad.hops.surface import cast, find_builder, lift, surface

# -- interpolation ---------------------------------------------------------------------------------------------------


def _chord(x: Any, x0: Any, y0: Any, x1: Any, y1: Any) -> Any:
    # In the order of NumPy's interp, exact at the ends, and from the other end where this one gives NaN.
    with np.errstate(all="ignore"):
        slope = (y1 - y0) / (x1 - x0)
        found = slope * (x - x0) + y0
        found = np.where(np.isnan(found), slope * (x - x1) + y1, found)
    found = np.where(np.isnan(found) & (y0 == y1) & ~np.isnan(x), y0, found)
    return np.where(x == x0, y0, np.where(x == x1, y1, found))[()]


@elementwise(_chord, Function("chord", r"\operatorname{chord}", "linear interpolation"), traits=("real",),
             lowering="s = (e - c) / (d - b); f = s * (a - b) + c; f = select(isnan(f), s * (a - d) + e, f);"
             " f = select(isnan(f) & (c == e) & ~isnan(a), c, f); select(a == b, c, select(a == d, e, f))",
             domain=(Interval(-0.5, 0.5), Interval(-2.0, -1.0), REAL, Interval(1.0, 2.0), REAL),
             sample=lambda draw: draw([Case((), (), (), (), ()), Case((3,), (3,), (3,), (3,), (3,)),
                                       Case((2, 1), (3,), (), (2, 3), (3,))]))  # fmt: skip
def chord(x: Expr, x0: Expr, y0: Expr, x1: Expr, y1: Expr) -> Any:
    """The line through (x₀, y₀) and (x₁, y₁). At an end the other point has no share in the value."""

    def slope() -> Expr:
        return (y1 - y0) / (x1 - x0)

    def share(near: Expr, far: Expr) -> Expr:
        return (x - far) / (near - far)

    return (
        slope,
        lambda: On(x != x1, -(slope() * share(x0, x1))),
        lambda: On(x != x1, share(x0, x1)),
        lambda: On(x != x0, -(slope() * share(x1, x0))),
        lambda: On(x != x0, share(x1, x0)),
    )


@surface(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Expr:
    """Piecewise linear. Where two pieces meet, the derivative by x is the least of those between their slopes."""
    builder = find_builder([x, xp, fp, left, right, period])
    if builder is None:
        raise ShapeError("interp needs a traced value")
    if lift(fp, builder).dtype.kind == "c":
        values = [None if v is None else cast(lift(v, builder), np.complex128) for v in (fp, left, right)]
        parts = [[None if v is None else part(v) for v in values] for part in (ew.real, ew.imag)]
        return ew.cartesian(*[interp(x, xp, *given, period) for given in parts])
    at, knots, heights = (cast(lift(v, builder), np.float64) for v in (x, xp, fp))
    if knots.ndim != 1 or heights.ndim != 1:
        raise ValueError(
            "Data points must be 1-D sequences" if period is not None else "object too deep for desired array"
        )
    if not knots.size:
        raise ValueError("array of sample points is empty")
    if knots.size != heights.size:
        raise ValueError("fp and xp are not of the same length.")
    if period is not None:
        if not isinstance(period, Expr) and period == 0:
            raise ValueError("period must be a non-zero value")
        left = right = None
        turn = ew.absolute(cast(lift(period, builder), np.float64))
        at, knots = ew.remainder(at, turn), ew.remainder(knots, turn)
        order = ordered(knots, 0, None)
        knots, heights = fn.take(knots, order), fn.take(heights, order)
        first, last = sh.slice_axis(knots, 0, 0, 1, 1), sh.slice_axis(knots, 0, -1, None, 1)
        knots = fn.concatenate([last - turn, knots, first + turn])
        heights = fn.concatenate([sh.slice_axis(heights, 0, -1, None, 1), heights, sh.slice_axis(heights, 0, 0, 1, 1)])
    n = knots.size
    first, last = sh.index(knots, items=(0,)), sh.index(knots, items=(n - 1,))
    ends = [sh.index(heights, items=(k,)) for k in (0, n - 1)]
    outside = [
        to_shape(ends[k] if given is None else cast(lift(given, builder), np.float64), at.shape)
        for k, given in enumerate((left, right))
    ]
    jumps = left is not None, right is not None
    found = to_shape(ends[0], at.shape) if n == 1 else _between(at, knots, heights, *jumps)
    found = ew.where(at < first if left is not None or n == 1 else at <= first, outside[0], found)
    return ew.where(at > last if right is not None or n == 1 else at >= last, outside[1], found)


def _between(x: Expr, knots: Expr, heights: Expr, left: bool, right: bool) -> Expr:
    """The value on the piece on which x lies. Where two meet, on the one with the smaller slope, if both rise or fall.

    With `left` the function jumps before the first knot, so that its slope there is that of the first piece; with
    `right` after the last one.
    """
    n = knots.size
    zero, final = np.zeros((), INTEGER), np.full((), n - 2, INTEGER)
    right_of = searchsorted_(knots, x, side="right", dtype=INTEGER) - 1
    piece = ew.minimum(ew.maximum(right_of, zero), final)
    before = ew.maximum(piece - 1, zero)
    widths = ew.subtract(sh.slice_axis(knots, 0, 1, None, 1), sh.slice_axis(knots, 0, None, -1, 1))
    rises = ew.subtract(sh.slice_axis(heights, 0, 1, None, 1), sh.slice_axis(heights, 0, None, -1, 1))
    slopes = rises / widths
    slope, other = fn.take(slopes, piece), fn.take(slopes, before)
    meets = ew.logical_and(ew.equal(x, fn.take(knots, piece)), ew.greater(piece, zero))
    meets = ew.logical_and(meets, ew.isfinite(other))  # or it jumps here
    smaller = ew.logical_and(meets, ew.less(ew.absolute(other), ew.absolute(slope)))
    piece = ew.where(smaller, before, piece)
    opposite = ew.logical_and(meets, ew.less_equal(ew.sign(slope) * ew.sign(other), 0))
    after = piece + 1
    line = chord(x, fn.take(knots, piece), fn.take(heights, piece), fn.take(knots, after), fn.take(heights, after))
    # At a top or bottom, and between a slope and a level piece, the derivative is 0.
    peak = fn.take(heights, ew.minimum(ew.maximum(right_of, zero), np.full((), n - 1, INTEGER)))
    return ew.where(opposite, peak, line)


# -- polynomials -----------------------------------------------------------------------------------------------------


@surface(np.polyfit, array=True)
def polyfit(x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False) -> Expr:
    """Least squares at fixed points with fixed weights, which is linear in y."""
    ys = lift(y)
    if ys.ndim < 1 or ys.ndim > 2:
        raise TypeError("expected 1D or 2D array for y")
    given = np.asarray(x) + 0.0
    if given.ndim != 1 or given.shape[0] != ys.shape[0]:
        raise TypeError("expected x and y to have same length")
    map_ = np.polyfit(given, np.eye(given.size), int(deg), rcond, w=w)
    ys = ys if ys.aval.is_float else cast(ys, np.float64)
    kind = np.polyfit(np.arange(2.0, dtype=given.dtype), np.ones(2, ys.dtype), 0, w=None if w is None else [1.0, 1.0])
    return fn.matmul(map_.astype(kind.dtype), cast(ys, kind.dtype))
