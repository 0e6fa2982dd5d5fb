"""``scipy.interpolate`` for functions that are to be differentiated, under SciPy's own names.

Interpolants are differentiable by the place, by the values, and by the knots where they depend on these smoothly; at a
knot, where a derivative may jump, it is that of the piece that SciPy takes. Within a trace the classes here are made,
outside SciPy's own. What fits or smooths is refused when a traced value reaches it.

>>> import numpy as np
>>> import hopgrad as hg
>>> from hopgrad.scipy.interpolate import CubicSpline
>>> round(hg.grad(lambda t: CubicSpline(np.arange(4.0), np.arange(4.0) ** 3)(t))(1.5), 6)
6.75
"""

from __future__ import annotations

import importlib
import operator
import sys
from itertools import product
from typing import Any

import numpy as np

from hopgrad.errors import NotDifferentiableError
from hopgrad.hops.surface import refused
from hopgrad.scipy import linalg
from hopgrad.scipy._namespace import namespace
from hopgrad.trace import context
from hopgrad.trace.tracer import Tracer, array, has_traced, special, with_place

__all__ = [
    "Akima1DInterpolator", "BSpline", "CubicHermiteSpline", "CubicSpline", "PPoly", "PchipInterpolator",
    "RegularGridInterpolator", "interp1d",
]  # fmt: skip


def _own(name: str) -> Any:
    return getattr(importlib.import_module("scipy.interpolate"), name)


def __dir__() -> list[str]:
    return dir(importlib.import_module("scipy.interpolate"))


class _OfTrace:
    """Within a trace an object of these classes, outside one of SciPy's."""

    def __new__(cls, *args: Any, **keywords: Any) -> Any:
        """SciPy's own object where no trace is in progress."""
        if context.current() is None and not has_traced((args, keywords)):
            return _own(cls.__name__)(*args, **keywords)
        return super().__new__(cls)


def _refuse(what: str, cure: str = "") -> NotDifferentiableError:
    """The error, which stays with the trace."""
    error = refused(f"scipy.interpolate.{what}", cure)
    frame = sys._getframe(2)
    trace = context.current()
    if trace is not None:
        trace.refuse(with_place(error, frame))
    return error


def _array(value: Any) -> Any:
    """An array, traced or not, of floating-point numbers."""
    made = array(value, copy=None) if type(value) is Tracer or has_traced(value) else np.asarray(value)
    return made if made.dtype.kind in "fc" else made.astype(np.float64)


def _is(condition: Any) -> bool:
    """Whether something holds for the actual inputs, on which what is traced next depends."""
    return bool(condition)


def _column(x: Any, like: Any) -> Any:
    """Numbers along the first axis beside an array."""
    return np.reshape(x, (x.shape[0], *[1] * (like.ndim - 1)))


def _data(x: Any, y: Any, axis: int) -> tuple[Any, Any, int]:
    """Knots, values along the first axis, and where that was; as SciPy checks them."""
    x, y = _array(x), _array(y)
    if x.dtype.kind == "c":
        raise ValueError("`x` must contain real values.")
    if not -y.ndim <= axis < y.ndim:
        raise ValueError(f"axis {axis} is out of bounds for array of dimension {y.ndim}")
    axis = axis % y.ndim
    if x.ndim != 1:
        raise ValueError("`x` must be 1-dimensional.")
    if x.shape[0] < 2:
        raise ValueError("`x` must contain at least 2 elements.")
    if x.shape[0] != y.shape[axis]:
        raise ValueError(f"The length of `y` along `axis`={axis} doesn't match the length of `x`")
    if not _is(np.all(np.isfinite(x))):
        raise ValueError("`x` must contain only finite values.")
    if not _is(np.all(np.diff(x) > 0)):
        raise ValueError("`x` must be strictly increasing sequence.")
    return x, np.moveaxis(y, axis, 0), axis


def _placed(found: Any, shape: tuple[int, ...], axis: int) -> Any:
    """Results with the axes of the places where the axis of interpolation was."""
    if not axis:
        return found
    n = len(shape)
    order = [*range(n, n + axis), *range(n), *range(n + axis, found.ndim)]
    return np.transpose(found, order)


def _as_wide(mask: Any, like: Any) -> Any:
    return np.reshape(mask, (*mask.shape, *[1] * (like.ndim - mask.ndim)))


# -- piecewise polynomials -------------------------------------------------------------------------------------------


class PPoly(_OfTrace):
    """``scipy.interpolate.PPoly``: between breakpoints the polynomials Σ c[k, i] (x − x[i])^(K−k)."""

    def __init__(self, c: Any, x: Any, extrapolate: Any = None, axis: int = 0) -> None:
        c, x = _array(c), _array(x)
        if not 0 <= axis < c.ndim - 1:
            raise ValueError(f"axis={axis} must be between 0 and {c.ndim - 1}")
        if axis:
            c = np.moveaxis(np.moveaxis(c, axis + 1, 0), axis + 1, 0)
        if x.ndim != 1 or x.shape[0] < 2:
            raise ValueError("x must be 1-dimensional and at least two breakpoints are needed")
        if c.ndim < 2 or c.shape[1] != x.shape[0] - 1:
            raise ValueError("number of coefficients != len(x)-1")
        if not _is(np.all(np.diff(x) >= 0)):
            raise _refuse("PPoly with breakpoints that are not ascending", "turn them round")
        self._set(c, x, True if extrapolate is None else extrapolate, axis)

    def _set(self, c: Any, x: Any, extrapolate: Any, axis: int) -> None:
        self.c, self.x, self.extrapolate, self.axis = c, x, extrapolate, axis

    def _like(self, c: Any, extrapolate: Any = None) -> PPoly:
        made: PPoly = object.__new__(PPoly)
        made._set(c, self.x, self.extrapolate if extrapolate is None else extrapolate, self.axis)
        return made

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
        """The value, or the derivative number `nu`; NaN beyond the ends unless it is to be extrapolated."""
        extrapolate = self.extrapolate if extrapolate is None else extrapolate
        if nu < 0:
            return self.antiderivative(-nu)(x, 0, extrapolate)
        x = _array(x)
        shape, x = x.shape, np.ravel(x)
        first, last = self.x[0], self.x[-1]
        if extrapolate == "periodic":
            x = first + (x - first) % (last - first)
        pieces = self.c.shape[1]
        place = np.clip(np.searchsorted(self.x, x, "right") - 1, 0, pieces - 1)
        t = _column(x - np.take(self.x, place), self.c[0])
        degree = self.c.shape[0] - 1
        found = np.zeros((x.shape[0], *self.c.shape[2:]), self.c.dtype)
        for k in range(degree + 1 - nu):
            factor = 1.0
            for j in range(nu):
                factor *= degree - k - j
            found = found * t + factor * np.take(self.c[k], place, 0)
        found = found + 0.0 * t  # no number, where the place is none
        if not extrapolate:
            inside = _as_wide((x >= first) & (x <= last), found)
            found = np.where(inside, found, np.nan)
        found = np.reshape(found, (*shape, *self.c.shape[2:]))
        return _placed(found, shape, self.axis)

    def derivative(self, nu: int = 1) -> PPoly:
        """The derivative, as a piecewise polynomial."""
        if nu < 0:
            return self.antiderivative(-nu)
        c = self.c
        for _ in range(nu):
            degree = c.shape[0] - 1
            if not degree:
                return self._like(0.0 * c)
            c = c[:-1] * np.arange(degree, 0, -1.0).reshape(-1, *[1] * (c.ndim - 1))
        return self._like(c)

    def antiderivative(self, nu: int = 1) -> PPoly:
        """The antiderivative, 0 at the first breakpoint and continuous."""
        if nu < 0:
            return self.derivative(-nu)
        c = self.c
        for _ in range(nu):
            degree = c.shape[0]
            c = c / np.arange(degree, 0, -1.0).reshape(-1, *[1] * (c.ndim - 1))
            widths = _column(np.diff(self.x), c[0])
            total = np.zeros(c.shape[1:], c.dtype)
            for k in range(degree):
                total = (total + c[k]) * widths
            start = np.concatenate([0.0 * total[:1], np.cumsum(total, 0)[:-1]])
            c = np.concatenate([c, np.expand_dims(start, 0)])
        return self._like(c, False if self.extrapolate == "periodic" else None)

    def integrate(self, a: Any, b: Any, extrapolate: Any = None) -> Any:
        """The integral from a to b."""
        extrapolate = self.extrapolate if extrapolate is None else extrapolate
        if extrapolate == "periodic":
            raise _refuse("PPoly.integrate(extrapolate='periodic')", "integrate the parts of each period")
        whole = self.antiderivative()
        return whole(b, 0, extrapolate) - whole(a, 0, extrapolate)

    def roots(self, *args: Any, **keywords: Any) -> Any:
        """Refused: the number of roots depends on the values."""
        raise _refuse("PPoly.roots", "improve plain roots by a step of Newton's method")

    solve = roots


class CubicHermiteSpline(PPoly):
    """``scipy.interpolate.CubicHermiteSpline``: cubics with given values and slopes at the knots."""

    def __init__(self, x: Any, y: Any, dydx: Any, axis: int = 0, extrapolate: Any = None) -> None:
        x, y, axis = _data(x, y, axis)
        dydx = np.moveaxis(_array(dydx), axis, 0)
        if dydx.shape != y.shape:
            raise ValueError("The shapes of `y` and `dydx` must be identical.")
        self._of_slopes(x, y, dydx, axis, True if extrapolate is None else extrapolate)

    def _of_slopes(self, x: Any, y: Any, slopes: Any, axis: int, extrapolate: Any) -> None:
        h = _column(np.diff(x), y)
        chord = np.diff(y, axis=0) / h
        left, right = slopes[:-1], slopes[1:]
        bend = (left + right - 2 * chord) / h
        self._set(np.stack([bend / h, (chord - left) / h - bend, left, y[:-1]]), x, extrapolate, axis)


_NAMED = {"clamped": (1, 0.0), "natural": (2, 0.0)}


def _end(condition: Any, shape: tuple[int, ...]) -> Any:
    """A boundary condition as a word or a pair of an order and a value."""
    if isinstance(condition, str):
        if condition == "not-a-knot":
            return condition
        if condition not in _NAMED:
            raise ValueError(f"bc_type={condition} is not allowed.")
        order, value = _NAMED[condition]
        return order, np.zeros(shape) + value
    try:
        order, value = condition
    except (TypeError, ValueError) as error:
        raise ValueError("A specified derivative value must be given in the form (order, value).") from error
    if order not in (1, 2):
        raise ValueError("The specified derivative order must be 1 or 2.")
    value = _array(value)
    if value.shape != shape:
        raise ValueError(f"`deriv_value` shape {value.shape} is not the expected one {shape}.")
    return order, value


class CubicSpline(CubicHermiteSpline):
    """``scipy.interpolate.CubicSpline``: the cubic spline through all points, with these conditions at the ends.

    The slopes at the knots solve a tridiagonal system (de Boor, A Practical Guide to Splines, 1978, chapter IV), so
    time and memory grow with the number of knots.
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, bc_type: Any = "not-a-knot", extrapolate: Any = None) -> None:
        x, y, axis = _data(x, y, axis)
        periodic = isinstance(bc_type, str) and bc_type == "periodic"
        if extrapolate is None:
            extrapolate = "periodic" if periodic else True
        h = np.diff(x)
        chord = np.diff(y, axis=0) / _column(h, y)
        if periodic:
            if not _is(np.allclose(y[0], y[-1], rtol=1e-15, atol=1e-15)):
                raise ValueError(
                    "The first and last `y` point along axis 0 must be identical (within machine precision) when"
                    " bc_type='periodic'."
                )
            slopes = _periodic_slopes(h, chord)
        else:
            ends = [bc_type, bc_type] if isinstance(bc_type, str) else list(bc_type)
            if len(ends) != 2:
                raise ValueError("`bc_type` must contain 2 elements to specify start and end conditions.")
            slopes = _slopes(h, chord, [_end(end, y.shape[1:]) for end in ends])
        self._of_slopes(x, y, slopes, axis, extrapolate)


def _tridiagonal(below: Any, middle: Any, above: Any, right: Any) -> Any:
    """Solve the system whose row i is below[i − 1], middle[i], above[i]."""
    zero = np.zeros(1, middle.dtype)
    band = np.stack([np.concatenate([zero, above]), middle, np.concatenate([below, zero])])
    flat = np.reshape(right, (right.shape[0], -1))
    if flat.dtype.kind == "c":
        band = band + 0j
    return np.reshape(linalg.solve_banded((1, 1), band, flat), right.shape)


def _slopes(h: Any, chord: Any, ends: list[Any]) -> Any:
    """The slopes at the knots of a spline with conditions at its ends."""
    n = h.shape[0] + 1
    wide = _column(h, chord)
    if n == 2:
        ends = [(1, chord[0]) if isinstance(end, str) else end for end in ends]
    if n == 3 and all(isinstance(end, str) for end in ends):  # a parabola
        bend = (chord[1] - chord[0]) / (wide[0] + wide[1])
        middle = chord[0] + bend * wide[0]
        return np.stack([chord[0] - bend * wide[0], middle, chord[1] + bend * wide[1]])
    one, zero = np.ones(1, h.dtype), np.zeros(1, h.dtype)
    rows: list[list[Any]] = [[], [], [], []]

    def add(below: Any, middle: Any, above: Any, right: Any) -> None:
        for row, part in zip(rows, (below, middle, above, right), strict=True):
            row.append(part)

    def at_end(end: Any, first: Any, second: Any, near: Any, far: Any, sign: float) -> tuple[Any, Any, Any]:
        """Diagonal, its neighbour and right-hand side, by the two widths and chords that are nearest."""
        if isinstance(end, str):  # the third derivative is continuous at the second knot
            both = first + second
            value = ((first + 2 * both) * second * near + first**2 * far) / both
            return np.reshape(second, 1), np.reshape(both, 1), value
        order, value = end
        if order == 1:
            return one, zero, value
        return 2 * one, one, 3 * near - sign * 0.5 * value * first

    last = n - 2
    middle, beside, value = at_end(ends[0], h[0], h[min(1, last)], chord[0], chord[min(1, last)], 1.0)
    add(zero[:0], middle, beside, np.expand_dims(value, 0))
    if n > 2:
        inner = 3 * (wide[1:] * chord[:-1] + wide[:-1] * chord[1:])
        add(h[1:], 2 * (h[:-1] + h[1:]), h[:-1], inner)
    middle, beside, value = at_end(ends[1], h[last], h[max(last - 1, 0)], chord[last], chord[max(last - 1, 0)], -1.0)
    add(beside, middle, zero[:0], np.expand_dims(value, 0))
    return _tridiagonal(*[np.concatenate(row) for row in rows])


def _periodic_slopes(h: Any, chord: Any) -> Any:
    """Those of a periodic spline: a cyclic system, of which the last unknown is put aside."""
    n = h.shape[0]
    if n == 1:
        return np.concatenate([chord, chord])
    before = np.concatenate([h[-1:], h[:-1]])  # row i: h[i] d[i − 1] + 2 (before + h)[i] d[i] + before[i] d[i + 1]
    wide, behind = _column(h, chord), _column(before, chord)
    right = 3 * (wide * np.concatenate([chord[-1:], chord[:-1]]) + behind * chord)
    if n == 2:
        # Both neighbours of each knot are the other one.
        matrix = np.stack([np.stack([2 * (h[0] + h[1]), h[0] + h[1]]), np.stack([h[0] + h[1], 2 * (h[0] + h[1])])])
        found = np.reshape(linalg.solve(matrix, np.reshape(right, (2, -1))), right.shape)
        return np.concatenate([found, found[:1]])
    middle = 2 * (before + h)
    m = n - 1
    zero = np.zeros(max(m - 2, 0), h.dtype)
    aside = np.concatenate([h[:1], zero, before[m - 1 : m]]) if m > 1 else h[:1] + before[:1]
    bands = (h[1:m], middle[:m], before[: m - 1])
    first = _tridiagonal(*bands, right[:m])
    second = _tridiagonal(*bands, -aside)
    beside = _column(second, first)
    # Row m: h[m] d[m − 1] + middle[m] d[m] + before[m] d[0]
    free = right[m] - h[m] * first[m - 1] - before[m] * first[0]
    last = free / (middle[m] + h[m] * second[m - 1] + before[m] * second[0])
    found = first + beside * np.expand_dims(last, 0)
    return np.concatenate([found, np.expand_dims(last, 0), found[:1]])


class PchipInterpolator(CubicHermiteSpline):
    """``scipy.interpolate.PchipInterpolator``: cubics that keep the data's monotonicity.

    Source: Fritsch and Butland, A method for constructing local monotone piecewise cubic interpolants, 1984. Where a
    chord is flat, the slope has a corner: its derivative is that of 0.
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, extrapolate: Any = None) -> None:
        x, y, axis = _data(x, y, axis)
        if y.dtype.kind == "c":
            raise ValueError("`PchipInterpolator` only works with real values for `y`.")
        h = _column(np.diff(x), y)
        chord = np.diff(y, axis=0) / h
        if x.shape[0] == 2:
            slopes = np.concatenate([chord, chord])
        else:
            left, right = chord[:-1], chord[1:]
            flat = (np.sign(left) != np.sign(right)) | (left == 0) | (right == 0)
            one, two = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
            mean = (one / np.where(flat, 1.0, left) + two / np.where(flat, 1.0, right)) / (one + two)
            inner = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, mean))
            first = _pchip_end(h[0], h[1], chord[0], chord[1])
            last = _pchip_end(h[-1], h[-2], chord[-1], chord[-2])
            slopes = np.concatenate([np.expand_dims(first, 0), inner, np.expand_dims(last, 0)])
        self._of_slopes(x, y, slopes, axis, True if extrapolate is None else extrapolate)


def _pchip_end(h0: Any, h1: Any, m0: Any, m1: Any) -> Any:
    """The slope of the parabola through three points, held to the shape of the data."""
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    wrong = np.sign(d) != np.sign(m0)
    steep = (np.sign(m0) != np.sign(m1)) & (np.abs(d) > 3.0 * np.abs(m0))
    return np.where(wrong, 0.0, np.where(steep, 3.0 * m0, d))


class Akima1DInterpolator(CubicHermiteSpline):
    """``scipy.interpolate.Akima1DInterpolator``: cubics with slopes between those of the neighbouring chords.

    Source: Akima, A new method of interpolation and smooth curve fitting based on local procedures, 1970.
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, *, method: str = "akima", extrapolate: Any = None) -> None:
        if method not in ("akima", "makima"):
            raise NotImplementedError(f"`method`={method} is unsupported.")
        x, y, axis = _data(x, y, axis)
        if y.dtype.kind == "c":
            raise ValueError("`Akima1DInterpolator` only works with real values for `y`.")
        m = np.diff(y, axis=0) / _column(np.diff(x), y)
        if x.shape[0] == 2:
            slopes = np.concatenate([m, m])
        else:
            before = 2.0 * m[:1] - m[1:2]
            after = 2.0 * m[-1:] - m[-2:-1]
            m = np.concatenate([2.0 * before - m[:1], before, m, after, 2.0 * after - m[-1:]])
            weights = np.abs(np.diff(m, axis=0))
            if method == "makima":
                weights = weights + 0.5 * np.abs(m[1:] + m[:-1])
            one, two = weights[2:], weights[:-2]
            total = one + two
            plain = total <= 1e-9 * np.max(total, initial=0.0)
            between = m[1:-2] + two / np.where(plain, 1.0, total) * (m[2:-1] - m[1:-2])
            slopes = np.where(plain, 0.5 * (m[3:] + m[:-3]), between)
        self._of_slopes(x, y, slopes, axis, False if extrapolate is None else extrapolate)


# -- B-splines -------------------------------------------------------------------------------------------------------


class BSpline(_OfTrace):
    """``scipy.interpolate.BSpline``: Σ c[i] B[i, k] with the B-splines of degree k on the knots t.

    Evaluated by de Boor's recurrence (A Practical Guide to Splines, 1978, chapter X).
    """

    def __init__(self, t: Any, c: Any, k: int, extrapolate: Any = True, axis: int = 0) -> None:
        t, c, k = _array(t), _array(c), operator.index(k)
        if k < 0:
            raise ValueError("Spline order cannot be negative.")
        if t.ndim != 1:
            raise ValueError("Knot vector must be one-dimensional.")
        axis = axis % c.ndim
        c = np.moveaxis(c, axis, 0)
        n = t.shape[0] - k - 1
        if n < k + 1:
            raise ValueError(f"Need at least {2 * k + 2} knots for degree {k}")
        if not _is(np.all(np.diff(t) >= 0)):
            raise ValueError("Knots must be in a non-decreasing order.")
        if c.shape[0] < n:
            raise ValueError("Knots, coefficients and degree are inconsistent.")
        self.t, self.c, self.k, self.axis = t, c, k, axis
        self.extrapolate = extrapolate if extrapolate == "periodic" else bool(extrapolate)

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
        """The value, or the derivative number `nu`; NaN beyond the ends unless it is to be extrapolated."""
        extrapolate = self.extrapolate if extrapolate is None else extrapolate
        spline = self.derivative(nu) if nu else self
        return spline._at(x, extrapolate)

    def _at(self, x: Any, extrapolate: Any) -> Any:
        t, c, k = self.t, self.c, self.k
        n = t.shape[0] - k - 1
        x = _array(x)
        shape, x = x.shape, np.ravel(x)
        first, last = t[k], t[n]
        if extrapolate == "periodic":
            x = first + (x - first) % (last - first)
        place = np.clip(np.searchsorted(t[k : n + 1], x, "right") - 1, 0, n - k - 1) + k
        # The last of several equal knots at the end begins no piece.
        place = np.minimum(place, np.searchsorted(t[: n + 1], last, "left") - 1)
        place = np.maximum(place, k)
        found = [np.take(c, place - k + j, 0) for j in range(k + 1)]
        for r in range(1, k + 1):
            for j in range(k, r - 1, -1):
                low, high = np.take(t, place - k + j), np.take(t, place + 1 + j - r)
                width = high - low
                a = _column(np.where(width > 0, x - low, 0.0) / np.where(width > 0, width, 1.0), c)
                found[j] = (1.0 - a) * found[j - 1] + a * found[j]
        value = found[k] + 0.0 * _column(x, c)
        if not extrapolate:
            value = np.where(_as_wide((x >= first) & (x <= last), value), value, np.nan)
        return _placed(np.reshape(value, (*shape, *c.shape[1:])), shape, self.axis)

    def _like(self, t: Any, c: Any, k: int) -> BSpline:
        made: BSpline = object.__new__(BSpline)
        made.t, made.c, made.k, made.axis, made.extrapolate = t, c, k, self.axis, self.extrapolate
        return made

    def derivative(self, nu: int = 1) -> BSpline:
        """The derivative, as a spline of a lower degree."""
        t, k = self.t, self.k
        c = self.c[: t.shape[0] - k - 1]
        for _ in range(nu):
            if not k:
                return self._like(t, 0.0 * c, 0)
            width = t[k + 1 : -1] - t[1 : -k - 1]
            scale = np.where(width > 0, k / np.where(width > 0, width, 1.0), 0.0)
            c = np.diff(c, axis=0) * _column(scale, c)
            t, k = t[1:-1], k - 1
        return self._like(t, c, k)


def _make_interp_spline(x: Any, y: Any, k: int = 3, t: Any = None, bc_type: Any = None, axis: int = 0,
                       check_finite: bool = True) -> Any:  # fmt: skip
    """``scipy.interpolate.make_interp_spline``: the spline of degree k through all points.

    The coefficients solve a system with k diagonals on each side, whose elements are B-splines at the points.
    Conditions at the ends are refused by name (`CubicSpline` has them).
    """
    k = operator.index(k)
    if bc_type not in (None, "not-a-knot"):
        raise _refuse(f"make_interp_spline(bc_type={bc_type!r})", "use scipy.interpolate.CubicSpline")
    x, y = _array(x), _array(y)
    y = np.moveaxis(y, axis, 0)
    axis = axis % y.ndim
    if x.ndim != 1 or x.shape[0] != y.shape[0]:
        raise ValueError(f"Shapes of x {x.shape} and y {y.shape} are incompatible")
    if not _is(np.all(np.diff(x) > 0)):
        raise ValueError("Expect x to be a 1D strictly increasing sequence.")
    n = x.shape[0]
    if k < 0:
        raise ValueError("Expect non-negative k.")
    if t is None:
        t = _knots(x, k)
    elif k == 0:
        raise ValueError("Too much info for k=0: t and bc_type can only be None.")
    t = _array(t)
    if t.shape[0] != n + k + 1:
        raise ValueError(f"Got {t.shape[0]} knots, need {n + k + 1}.")
    c = _coefficients(x, y, t, k) if k else y
    made: BSpline = object.__new__(BSpline)
    made.t, made.c, made.k, made.axis, made.extrapolate = t, c, k, axis, True
    return made


def _knots(x: Any, k: int) -> Any:
    """Those of a spline without a knot next to the ends (de Boor, chapter XIII)."""
    if k == 0:
        return np.concatenate([x, x[-1:]])
    if k == 1:
        return np.concatenate([x[:1], x, x[-1:]])
    if x.shape[0] < k + 1:
        raise ValueError(f"{x.shape[0]} points are too few for a spline of degree {k}")
    left = (k + 1) // 2 if k % 2 else k // 2
    middle = x if k % 2 else 0.5 * (x[1:] + x[:-1])
    return np.concatenate([*[x[:1]] * (k + 1), middle[left:-left], *[x[-1:]] * (k + 1)])


def _coefficients(x: Any, y: Any, t: Any, k: int) -> Any:
    """By the collocation matrix as a band, of which column j has the j-th B-spline at the points."""
    n = x.shape[0]
    place = np.clip(np.searchsorted(t[k : n + 1], x, "right") - 1, 0, n - k - 1) + k
    values = [np.ones_like(x)]
    for r in range(1, k + 1):  # the recurrence for all B-splines that are not 0 there
        above: list[Any] = [0.0 * x for _ in range(r + 1)]
        for j in range(r):
            low, high = np.take(t, place + 1 + j - r), np.take(t, place + 1 + j)
            part = values[j] / (high - low)
            above[j] = above[j] + (high - x) * part
            above[j + 1] = above[j + 1] + (x - low) * part
        values = above
    # Point i: columns place − k … place. In the band, (i, j) stands at (k + i − j, j).
    start = place - k
    rows = np.arange(n)
    lines = []
    for r in range(2 * k + 1):
        column = rows - (k - r)  # of row i and diagonal r: j = i + k − r, so i = j + r − k
        inside = (column >= 0) & (column < n)
        i = np.clip(column, 0, n - 1)
        offset = rows - np.take(start, i)
        line: Any = 0.0
        for m in range(k + 1):
            line = line + np.where(inside & (offset == m), np.take(values[m], i), 0.0)
        lines.append(line)
    band = np.stack(lines)
    flat = np.reshape(y, (n, -1))
    if flat.dtype.kind == "c":
        band = band + 0j
    return np.reshape(linalg.solve_banded((k, k), band, flat), y.shape)


# -- one dimension, by name ------------------------------------------------------------------------------------------


class interp1d(_OfTrace):  # noqa: N801 - SciPy's name
    """``scipy.interpolate.interp1d``: linear, constant or spline interpolation, all kinds that SciPy has.

    Whether a place lies within the range is asked when it is traced, if SciPy would raise an error there.
    """

    def __init__(self, x: Any, y: Any, kind: Any = "linear", axis: int = -1, copy: Any = True, bounds_error: Any = None,
                 fill_value: Any = np.nan, assume_sorted: bool = False) -> None:  # fmt: skip
        orders = {"zero": 0, "slinear": 1, "quadratic": 2, "cubic": 3}
        known = ("linear", "nearest", "nearest-up", "previous", "next")
        order = orders.get(kind) if isinstance(kind, str) else operator.index(kind)
        if order is None and kind not in known:
            raise NotImplementedError(f"{kind} is unsupported: Use fitpack routines for other types.")
        x, y = _array(x), _array(y)
        if x.ndim != 1:
            raise ValueError("the x array must have exactly one dimension.")
        if not y.ndim:
            raise ValueError("the y array must have at least one dimension.")
        axis = axis % y.ndim
        y = np.moveaxis(y, axis, 0)
        if x.shape[0] != y.shape[0]:
            raise ValueError(f"x and y arrays must be equal in length along interpolation axis, but {x.shape[0]} and"
                             f" {y.shape[0]} were found")  # fmt: skip
        least = 1 if order is None else order + 1
        if x.shape[0] < least:
            raise ValueError(f"x and y arrays must have at least {least} entries")
        if not assume_sorted:
            ascending = np.argsort(x, kind="stable")
            x, y = np.take(x, ascending), np.take(y, ascending, 0)
        self._extrapolate = isinstance(fill_value, str) and fill_value == "extrapolate"
        if self._extrapolate and bounds_error:
            raise ValueError("Cannot extrapolate and raise at the same time.")
        self.x, self._y, self.axis, self._kind, self._fill = x, y, axis, kind, fill_value
        self.y = np.moveaxis(y, 0, axis)
        self.bounds_error = False if self._extrapolate else (True if bounds_error is None else bool(bounds_error))
        self._spline = None if order is None else _make_interp_spline(x, y, order)

    def __call__(self, x: Any) -> Any:
        """The interpolated values."""
        x = _array(x)
        shape, x = x.shape, np.ravel(x)
        found = self._spline._at(x, True) if self._spline is not None else self._between(x)
        below, above = x < self.x[0], x > self.x[-1]
        if self.bounds_error:
            for what, wrong in (("below", below), ("above", above)):
                if _is(np.any(wrong)):
                    raise ValueError(f"A value in x_new is {what} the interpolation range.")
        low, high = self._beyond()
        if low is not None:
            found = np.where(_as_wide(below, found), low, found)
        if high is not None:
            found = np.where(_as_wide(above, found), high, found)
        return _placed(np.reshape(found, (*shape, *self._y.shape[1:])), shape, self.axis)

    def _beyond(self) -> tuple[Any, Any]:
        """What stands below and above the range; None for what is extrapolated."""
        if self._extrapolate:
            # Constant pieces go on to one side only.
            ends = {"previous": (np.nan, None), "next": (None, np.nan)}
            return ends.get(self._kind, (None, None)) if isinstance(self._kind, str) else (None, None)
        pair = self._fill if isinstance(self._fill, tuple) and len(self._fill) == 2 else None
        low, high = pair if pair is not None else (self._fill, self._fill)
        return _array(low), _array(high)

    def _between(self, x: Any) -> Any:
        n = self.x.shape[0]
        if self._kind == "linear":
            high = np.clip(np.searchsorted(self.x, x), 1, max(n - 1, 1))
            low = high - 1
            if n == 1:
                return np.take(self._y, low, 0)
            x0, x1 = np.take(self.x, low), np.take(self.x, high)
            y0, y1 = np.take(self._y, low, 0), np.take(self._y, high, 0)
            slope = (y1 - y0) / _column(x1 - x0, y0)
            return slope * _column(x - x0, y0) + y0
        if self._kind in ("nearest", "nearest-up"):
            half = self.x / 2.0
            side = "left" if self._kind == "nearest" else "right"
            place = np.clip(np.searchsorted(half[1:] + half[:-1], x, side), 0, n - 1)  # type: ignore[call-overload]
        elif self._kind == "previous":
            place = np.clip(np.searchsorted(self.x, x, "right") - 1, 0, n - 1)
        else:
            place = np.clip(np.searchsorted(self.x, x, "left"), 0, n - 1)
        return np.take(self._y, place, 0)


def _pchip_interpolate(xi: Any, yi: Any, x: Any, der: Any = 0, axis: int = 0) -> Any:
    """``scipy.interpolate.pchip_interpolate``: `PchipInterpolator` and its derivatives, at once."""
    made = PchipInterpolator(xi, yi, axis=axis)
    if np.ndim(der):
        return [made(x, nu) for nu in der]
    return made(x, der)


# -- grids -----------------------------------------------------------------------------------------------------------


class RegularGridInterpolator(_OfTrace):
    """``scipy.interpolate.RegularGridInterpolator``: linear or nearest interpolation on a rectangular grid.

    Differentiable by places, values and grid. Spline methods are refused by name.
    """

    def __init__(self, points: Any, values: Any, method: str = "linear", bounds_error: bool = True,
                 fill_value: Any = np.nan, *, solver: Any = None, solver_args: Any = None) -> None:  # fmt: skip
        if method not in ("linear", "nearest"):
            if method not in ("slinear", "cubic", "quintic", "pchip"):
                raise ValueError(f"Method '{method}' is not defined")
            raise _refuse(f"RegularGridInterpolator(method={method!r})", "'linear' is")
        self.values = _array(values)
        self.grid = tuple(_array(p) for p in points)
        self.method, self.bounds_error, self.fill_value = method, bounds_error, fill_value
        if len(self.grid) > self.values.ndim:
            raise ValueError(f"There are {len(self.grid)} point arrays, but values has {self.values.ndim} dimensions")
        for k, p in enumerate(self.grid):
            if p.ndim != 1:
                raise ValueError(f"The points in dimension {k} must be 1-dimensional")
            if not _is(np.all(np.diff(p) > 0)):
                raise ValueError(f"The points in dimension {k} must be strictly ascending")
            if self.values.shape[k] != p.shape[0]:
                raise ValueError(f"There are {p.shape[0]} points and {self.values.shape[k]} values in dimension {k}")

    def __call__(self, xi: Any, method: Any = None, *, nu: Any = None) -> Any:
        """The interpolated values at places whose coordinates stand along the last axis."""
        method = self.method if method is None else method
        if nu is not None or method not in ("linear", "nearest"):
            raise _refuse(f"RegularGridInterpolator(…)(method={method!r}, nu={nu!r})", "method='linear' is")
        count = len(self.grid)
        if isinstance(xi, tuple):
            xi = np.stack(np.broadcast_arrays(*[_array(v) for v in xi]), -1)
        xi = _array(xi)
        if not xi.ndim or (xi.shape[-1] != count and xi.ndim > 1):
            raise ValueError(
                f"The requested sample points xi have dimension {xi.shape[-1] if xi.ndim else 0} but this"
                f" RegularGridInterpolator has dimension {count}"
            )
        if xi.ndim == 1 and count == 1:
            xi = np.reshape(xi, (-1, 1))
        shape = xi.shape[:-1]
        places = [np.ravel(xi[..., k]) for k in range(count)]
        outside: Any = False
        for k, (x, p) in enumerate(zip(places, self.grid, strict=True)):
            wrong = (x < p[0]) | (x > p[-1])
            if self.bounds_error and _is(np.any(wrong)):
                raise ValueError(f"One of the requested xi is out of bounds in dimension {k}")
            outside = outside | wrong
        low, weights = [], []
        for x, p in zip(places, self.grid, strict=True):
            i = np.clip(np.searchsorted(p, x, "right") - 1, 0, max(p.shape[0] - 2, 0))
            low.append(i)
            if p.shape[0] < 2:
                weights.append(0.0 * x)
                continue
            x0, x1 = np.take(p, i), np.take(p, i + 1)
            weights.append((x - x0) / (x1 - x0))
        rest = self.values.shape[count:]
        found: Any = 0.0
        if method == "nearest":
            chosen = [np.where(w <= 0.5, i, i + (p.shape[0] > 1))
                      for i, w, p in zip(low, weights, self.grid, strict=True)]  # fmt: skip
            found = self.values[tuple(chosen)]
        else:
            for corner in product(*[(0, 1) if p.shape[0] > 1 else (0,) for p in self.grid]):
                weight: Any = 1.0
                for w, side in zip(weights, corner, strict=True):
                    weight = weight * (w if side else 1.0 - w)
                part = self.values[tuple(i + side for i, side in zip(low, corner, strict=True))]
                found = found + part * np.reshape(weight, (-1, *[1] * len(rest)))
        if not self.bounds_error and self.fill_value is not None:
            found = np.where(_as_wide(outside, found), self.fill_value, found)
        return np.reshape(found, (*shape, *rest))


def _interpn(points: Any, values: Any, xi: Any, method: str = "linear", bounds_error: bool = True,
            fill_value: Any = np.nan) -> Any:  # fmt: skip
    """``scipy.interpolate.interpn``: as `RegularGridInterpolator`, at once."""
    if method not in ("linear", "nearest"):
        raise _refuse(f"interpn(method={method!r})", "'linear' is")
    return RegularGridInterpolator(points, values, method, bounds_error, fill_value)(xi)


# -- SciPy's own objects ---------------------------------------------------------------------------------------------


def of_plain(value: Any) -> Any:
    """What stands for an interpolant that SciPy made; the object itself if there is nothing for it."""
    made: Any
    if type(value) in (_own("interp1d"), _own("RegularGridInterpolator")):
        kind = _KINDS[type(value).__name__]
        made = object.__new__(kind)
        if kind is RegularGridInterpolator:
            made.grid, made.values, made.method = value.grid, value.values, value.method
            made.bounds_error, made.fill_value = value.bounds_error, value.fill_value
            return made
        vars(made).update(vars(value))
        if kind is interp1d:
            made._y = np.moveaxis(np.asarray(value.y), value.axis, 0)
            made._spline = of_plain(value._spline) if value._kind == "spline" else None
            made._fill = value._fill_value_orig
        return made
    if isinstance(value, _own("BSpline")) and isinstance(value.t, np.ndarray):
        made = object.__new__(BSpline)
        made.t, made.c, made.k, made.axis, made.extrapolate = value.t, value.c, value.k, value.axis, value.extrapolate
        return made
    if isinstance(value, _own("PPoly")):
        made = object.__new__(_KINDS.get(type(value).__name__, PPoly))
        made._set(value.c, value.x, value.extrapolate, value.axis)
        return made
    return value


_KINDS = {name: globals()[name] for name in __all__}

# -- the namespace ---------------------------------------------------------------------------------------------------

__getattr__ = namespace("scipy.interpolate", {})


def _register(function: Any) -> None:
    def traced(trace: Any, frame: Any, *args: Any, **keywords: Any) -> Any:
        return function(*args, **keywords)

    traced.__doc__ = function.__doc__
    special[f"scipy.interpolate:{function.__name__}"] = traced


for _function in (_make_interp_spline, _pchip_interpolate, _interpn):
    _function.__name__ = _function.__name__.removeprefix("_")
    _register(_function)
