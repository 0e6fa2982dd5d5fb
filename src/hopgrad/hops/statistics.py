"""NumPy's functions for statistics, differences, sequences and polynomials, made of hops."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np

from hopgrad.aval import normalize_axes, normalize_axis
from hopgrad.graph.builder import Expr, ones, zeros
from hopgrad.graph.operators import broadcast_to as to_shape
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops import shape as sh
from hopgrad.hops.arrange import sliding_window_view
from hopgrad.hops.functions import NONE
from hopgrad.hops.surface import as_float, cast, find_builder, join, lift, promote, refused, surface

# -- ignoring NaN ----------------------------------------------------------------------------------------------------


def _present(x: Expr, where: Any = NONE) -> Expr | None:
    """Which elements count, or None if all do."""
    mask = ew.logical_not(ew.isnan(x)) if x.aval.is_float else None
    if where is NONE or where is True:
        return mask
    chosen = to_shape(lift(where, x.builder), x.shape)
    return chosen if mask is None else ew.logical_and(mask, chosen)


def _without_nan(function: Any) -> Any:
    def adapter(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NONE,
                initial: Any = NONE, where: Any = NONE) -> Expr:  # fmt: skip
        x = lift(a)
        mask = _present(x, where)
        return function(x, axis, dtype, None, keepdims, initial, NONE if mask is None else mask)

    return adapter


nansum = surface(np.nansum)(_without_nan(fn.sum))
nanprod = surface(np.nanprod)(_without_nan(fn.prod))


def _without_nan_along(function: Any, neutral: float) -> Any:
    def adapter(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Expr:
        x = lift(a)
        mask = _present(x)
        return function(x if mask is None else fn.masked(x, mask, neutral), axis, dtype)

    return adapter


nancumsum = surface(np.nancumsum)(_without_nan_along(fn.cumsum, 0))
nancumprod = surface(np.nancumprod)(_without_nan_along(fn.cumprod, 1))


@surface(np.nanmean)
def nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NONE, *,
            where: Any = NONE) -> Expr:  # fmt: skip
    x = lift(a)
    mask = _present(x, where)
    return fn.mean(x, axis, dtype, None, keepdims, where=NONE if mask is None else mask)


def _nan_spread(function: Any) -> Any:
    def adapter(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = NONE, *,
                where: Any = NONE, mean: Any = NONE, correction: Any = NONE) -> Expr:  # fmt: skip
        x = lift(a)
        mask = _present(x, where)
        return function(x, axis, dtype, None, ddof, keepdims, where=NONE if mask is None else mask,
                        mean=mean, correction=correction)  # fmt: skip

    return adapter


nanvar = surface(np.nanvar)(_nan_spread(fn.var))
nanstd = surface(np.nanstd)(_nan_spread(fn.std))


def _nan_extreme(function: Any, end: float) -> Any:
    def adapter(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NONE, initial: Any = NONE,
                where: Any = NONE) -> Expr:  # fmt: skip
        x = lift(a)
        if not x.aval.is_float:
            return function(x, axis, None, keepdims, initial, where)
        seen = fn.masked(x, _present(x, where), end if initial is NONE else initial)
        found = function(seen, axis, None, keepdims, initial)
        # A line of NaN alone has no largest element.
        some = fn.any(_present(x, where), axis, keepdims=keepdims)
        return ew.where(some, found, x.builder.constant(np.nan, x.dtype)) if initial is NONE else found

    return adapter


nanmax = surface(np.nanmax)(_nan_extreme(fn.max, -np.inf))
nanmin = surface(np.nanmin)(_nan_extreme(fn.min, np.inf))


def _nan_position(function: Any, end: float) -> Any:
    def adapter(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NONE) -> Expr:
        x = lift(a)
        mask = _present(x)
        return function(x if mask is None else fn.masked(x, mask, end), axis, keepdims=keepdims)

    return adapter


nanargmax = surface(np.nanargmax)(_nan_position(fn.argmax, -np.inf))
nanargmin = surface(np.nanargmin)(_nan_position(fn.argmin, np.inf))

# -- covariance ------------------------------------------------------------------------------------------------------


@surface(np.cov, array=True)
def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None,
        aweights: Any = None, *, dtype: Any = None) -> Expr:  # fmt: skip
    if fweights is not None or aweights is not None:
        raise refused("np.cov(fweights=, aweights=)", "weight the deviations yourself")

    def variables(value: Any) -> Expr:
        x = fn.atleast_2d(value)
        return fn.transpose(x) if not rowvar and x.shape[0] != 1 else x

    xs = [as_float(x) for x in join([m] if y is None else [m, y])]
    x = fn.concatenate([variables(v) for v in xs])
    if dtype is not None:
        x = cast(x, dtype)
    ddof = (0 if bias else 1) if ddof is None else ddof
    deviation = ew.subtract(x, fn.mean(x, 1, keepdims=True))
    degrees = x.shape[1] - ddof
    total = fn.matmul(deviation, fn.transpose(ew.conj(deviation))) * (1 / degrees if degrees > 0 else np.inf)
    return fn.squeeze(total)


@surface(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Expr:
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return ew.divide(c, c)
    deviation = cast(ew.sqrt(ew.real_part(fn.diagonal(c))), c.dtype)
    scaled = ew.divide(ew.divide(c, fn.expand_dims(deviation, 1)), fn.expand_dims(deviation, 0))
    return fn.by_parts(lambda part: fn.clip(part, -1, 1), scaled)


# -- differences and integrals ---------------------------------------------------------------------------------------


@surface(np.ediff1d, array=True)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Expr:
    builder = find_builder([ary, to_end, to_begin])
    x = lift(ary, builder)
    middle = fn.diff(fn.reshape(x, (x.size,)))

    def line(value: Any) -> list[Expr]:
        if value is None:
            return []
        end = cast(lift(value, builder), x.dtype)
        return [fn.reshape(end, (end.size,))]

    return fn.concatenate([*line(to_begin), middle, *line(to_end)])


@surface(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Expr:
    builder = find_builder([y, x, dx])
    heights = lift(y, builder)
    axis = normalize_axis(axis, heights.ndim)
    width: Any = dx
    if x is not None:
        places = lift(x, builder)
        width = fn.diff(places, axis=0 if places.ndim == 1 else axis)
        if places.ndim == 1:
            width = fn.reshape(width, (width.size,) + (1,) * (heights.ndim - 1 - axis))
    pair = ew.add(sh.slice_axis(heights, axis, 1, None, 1), sh.slice_axis(heights, axis, None, -1, 1))
    return fn.sum(ew.multiply(*promote([width, pair], builder)) / 2.0, axis) if heights.aval.is_float else fn.sum(
        ew.multiply(*promote([width, as_float(pair)], builder)) / 2.0, axis)  # fmt: skip


@surface(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Central differences inside, one-sided ones at the ends, as in NumPy (Fornberg 1988 for uneven steps)."""
    builder = find_builder([f, list(varargs)])
    x = as_float(lift(f, builder))
    axes = normalize_axes(axis, x.ndim) if not np.iterable(axis) else [normalize_axis(k, x.ndim) for k in axis]
    steps = list(varargs) * len(axes) if len(varargs) == 1 and not _is_line(varargs[0]) else list(varargs)
    steps = steps or [1.0] * len(axes)
    if len(steps) != len(axes):
        raise TypeError("invalid number of arguments")
    if edge_order not in (1, 2):
        raise ValueError("'edge_order' greater than 2 not supported")
    found = [_gradient(x, step, k, edge_order) for step, k in zip(steps, axes, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _is_line(value: Any) -> bool:
    return value.ndim > 0 if isinstance(value, Expr) else np.ndim(value) > 0


def _gradient(x: Expr, step: Any, axis: int, edge_order: int) -> Expr:
    n = x.shape[axis]
    if n < edge_order + 1:
        raise ValueError("Shape of array too small: np.gradient needs at least (edge_order + 1) elements")

    def at(a: int | None, b: int | None) -> Expr:
        found: Expr = sh.slice_axis(x, axis, a, b, 1)
        return found

    def weighted(*terms: tuple[Any, Expr]) -> Expr:
        total: Expr | None = None
        for weight, value in terms:
            share = ew.multiply(*promote([weight, value], x.builder))
            total = share if total is None else ew.add(*promote([total, share]))
        assert total is not None
        return total

    if not _is_line(step):
        step = cast(lift(step, x.builder), x.dtype)
        inside = ew.divide(ew.subtract(at(2, None), at(None, -2)), step * 2)
        if edge_order == 1:
            ends = [ew.divide(ew.subtract(at(1, 2), at(0, 1)), step),
                    ew.divide(ew.subtract(at(n - 1, n), at(n - 2, n - 1)), step)]  # fmt: skip
        else:
            first = weighted((-1.5, at(0, 1)), (2.0, at(1, 2)), (-0.5, at(2, 3)))
            last = weighted((0.5, at(n - 3, n - 2)), (-2.0, at(n - 2, n - 1)), (1.5, at(n - 1, n)))
            ends = [ew.divide(first, step), ew.divide(last, step)]
        return fn.concatenate([ends[0], inside, ends[1]], axis)
    places = cast(lift(step, x.builder), x.dtype)
    if places.shape != (n,):
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")
    gaps = fn.diff(places)
    lined = (-1,) + (1,) * (x.ndim - 1 - axis)

    def gap(a: int | None, b: int | None) -> Expr:
        found: Expr = sh.slice_axis(gaps, 0, a, b, 1)
        return fn.reshape(found, lined)

    before, after = gap(None, -1), gap(1, None)
    inside = weighted(
        (-after / (before * (before + after)), at(None, -2)),
        ((after - before) / (before * after), at(1, -1)),
        (before / (after * (before + after)), at(2, None)),
    )
    if edge_order == 1:
        first = ew.divide(ew.subtract(at(1, 2), at(0, 1)), gap(0, 1))
        last = ew.divide(ew.subtract(at(n - 1, n), at(n - 2, n - 1)), gap(n - 2, n - 1))
        return fn.concatenate([first, inside, last], axis)
    a, b = gap(0, 1), gap(1, 2)
    first = weighted(
        (-(a * 2 + b) / (a * (a + b)), at(0, 1)), ((a + b) / (a * b), at(1, 2)), (-a / (b * (a + b)), at(2, 3))
    )
    a, b = gap(n - 3, n - 2), gap(n - 2, n - 1)
    last = weighted((b / (a * (a + b)), at(n - 3, n - 2)), (-(a + b) / (a * b), at(n - 2, n - 1)),
                    ((b * 2 + a) / (b * (a + b)), at(n - 1, n)))  # fmt: skip
    return fn.concatenate([first, inside, last], axis)


@surface(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * pi) -> Expr:
    """The corrections are whole periods, so the derivative is that of the phases."""
    x = as_float(lift(p))
    axis = normalize_axis(axis, x.ndim)
    half = period / 2
    jump = fn.diff(x, axis=axis)
    small = ew.remainder(jump + half, jump.builder.constant(period, jump.dtype)) - half
    small = ew.where(ew.logical_and(small == -half, jump > 0), jump.builder.constant(half, jump.dtype), small)
    limit = half if discont is None else discont
    turns = ew.where(ew.absolute(jump) < limit, zeros(x.builder, jump.aval), small - jump)
    late = ew.add(sh.slice_axis(x, axis, 1, None, 1), fn.cumsum(turns, axis))
    return fn.concatenate([sh.slice_axis(x, axis, 0, 1, 1), late], axis)


# -- sequences and polynomials ---------------------------------------------------------------------------------------


def _line(x: Expr) -> Expr:
    if x.ndim > 1:
        raise ValueError("object too deep for desired array")
    return fn.reshape(x, (x.size,))


def _full_convolution(a: Expr, v: Expr) -> Expr:
    """All products that overlap: sliding windows times the reversed kernel."""
    if a.size < v.size:
        a, v = v, a
    n, m = a.size, v.size
    wide = sh.scatter(a, items=(sh.Slice(m - 1, m - 1 + n, 1),), shape=(n + 2 * (m - 1),))
    return fn.matmul(sliding_window_view(wide, m), fn.flip(v))


def _trimmed(full: Expr, n: int, m: int, mode: str) -> Expr:
    low, high = sorted((n, m))
    start, length = {"full": (0, n + m - 1), "same": ((low - 1) // 2, high), "valid": (low - 1, high - low + 1)}[mode]
    found: Expr = sh.slice_axis(full, 0, start, start + length, 1)
    return found


@surface(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Expr:
    x, y = (_line(z) for z in join([a, v]))
    if not x.size or not y.size:
        raise ValueError("a cannot be empty")
    return _trimmed(_full_convolution(x, y), x.size, y.size, mode)


@surface(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Expr:
    x, y = (_line(z) for z in join([a, v]))
    full = _full_convolution(x, fn.flip(ew.conj(y)))
    if mode == "same" and x.size < y.size:
        # NumPy exchanges the operands, and turns the result round.
        return fn.flip(_trimmed(fn.flip(full), x.size, y.size, mode))
    return _trimmed(full, x.size, y.size, mode)


@surface(np.polyval)
def polyval(p: Any, x: Any) -> Expr:
    """Horner's rule, as in NumPy, which makes an array of a number."""
    coefficients, at = join([p if isinstance(p, Expr) else np.asarray(p), x])
    total = zeros(at.builder, at.aval)
    for k in range(coefficients.shape[0]):
        total = total * at + sh.index(coefficients, items=(k,))
    return total


@surface(np.polyder, array=True)
def polyder(p: Any, m: int = 1) -> Expr:
    x = fn.atleast_1d(p)
    for _ in range(m):
        x = fn.take(x, range(x.size - 1)) * lift(np.arange(x.size - 1, 0, -1, dtype=x.dtype), x.builder)
    return x


@surface(np.polyint, array=True)
def polyint(p: Any, m: int = 1, k: Any = None) -> Expr:
    builder = find_builder([p, k])
    x = as_float(fn.atleast_1d(lift(p, builder)))
    constants = fn.reshape(cast(lift(np.zeros(m) if k is None else k, builder), x.dtype), -1)
    constants = to_shape(constants, (m,))
    for n in range(m):
        grown = x / lift(np.arange(x.size, 0, -1, dtype=x.dtype), x.builder)
        x = fn.concatenate([grown, sh.slice_axis(constants, 0, n, n + 1, 1)])
    return x


@surface(np.vander, array=True)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Expr:
    x = lift(x)
    if x.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    count = x.size if N is None else int(N)
    if x.dtype.kind in "biu":
        x = cast(x, np.int64)
    columns = [ones(x.builder, x.aval), *[x**k for k in range(1, count)]][:count]
    return fn.stack(columns if increasing else columns[::-1], 1)
