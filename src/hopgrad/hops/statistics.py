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
from hopgrad.hops import products
from hopgrad.hops import shape as sh
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
    def variables(value: Any) -> Expr:
        x = fn.atleast_2d(value)
        return fn.transpose(x) if not rowvar and x.shape[0] != 1 else x

    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    x = fn.concatenate([variables(v) for v in join([m] if y is None else [m, y])])
    x = cast(x, np.result_type(x.dtype, np.float64) if dtype is None else dtype)
    ddof = (0 if bias else 1) if ddof is None else ddof
    weights = _weights(fweights, aweights, x)
    mean, total = fn.average(x, 1, weights, True, keepdims=True)
    deviation = ew.subtract(x, cast(mean, x.dtype) if weights is None else mean)
    other = deviation
    if weights is None:
        degrees: Any = x.shape[1] - ddof
        scale: Any = 1 / degrees if degrees > 0 else np.inf
    else:
        degrees = sh.index(total, items=(0, 0))
        if ddof and aweights is not None:
            degrees = degrees - ddof * (fn.sum(weights * cast(lift(aweights, x.builder), np.float64)) / degrees)
        elif ddof:
            degrees = degrees - ddof
        # As in NumPy: what is left of no degrees of freedom is 0.
        scale = 1 / ew.maximum(degrees, np.zeros((), degrees.dtype))
        other = ew.multiply(*promote([deviation, weights]))
    found = fn.matmul(deviation, fn.transpose(ew.conj(other))) * scale
    return fn.squeeze(found)


def _weights(fweights: Any, aweights: Any, x: Expr) -> Any:
    """How much each observation counts: how often it was made, times its importance."""
    if fweights is not None:
        counts = lift(fweights, x.builder)
        data = counts.constant
        if counts.aval.is_float and data is None:
            raise refused("np.cov with traced fweights", "they count observations: use aweights")
        if data is not None and not np.all(data == np.around(data)):
            raise TypeError("fweights must be integer")
        counts = cast(counts, np.float64)
        _check_weights(counts, "fweights", x)
    if aweights is not None:
        importance = cast(lift(aweights, x.builder), np.float64)
        _check_weights(importance, "aweights", x)
    if fweights is None:
        return None if aweights is None else importance
    return counts if aweights is None else ew.multiply(counts, importance)


def _check_weights(weights: Expr, name: str, x: Expr) -> None:
    if weights.ndim > 1:
        raise RuntimeError(f"cannot handle multidimensional {name}")
    if weights.shape[0] != x.shape[1]:
        raise RuntimeError(f"incompatible numbers of samples and {name}")
    data = weights.constant
    if data is not None and (data < 0).any():
        raise ValueError(f"{name} cannot be negative")


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
    return fn.sum(as_float(ew.multiply(*promote([width, pair], builder))) / 2.0, axis)


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
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * pi) -> Expr:
    """The corrections are whole periods, so the derivative is that of the phases."""
    x = lift(p, find_builder([p, discont, period]))
    if not x.aval.is_float:
        if isinstance(period, int) and x.dtype != bool:
            raise refused("np.unwrap of integers that are differentiated")  # flat, and so left to NumPy
        x = cast(x, np.float64)
    axis = normalize_axis(axis, x.ndim)
    jump = fn.diff(x, axis=axis)
    whole = cast(lift(period, jump.builder), jump.dtype)
    half = whole / 2
    small = ew.remainder(jump + half, whole) - half
    small = ew.where(ew.logical_and(small == -half, jump > 0), half, small)
    limit = half if discont is None else cast(lift(discont, jump.builder), jump.dtype)
    turns = ew.where(ew.absolute(jump) < limit, zeros(x.builder, jump.aval), small - jump)
    late = ew.add(sh.slice_axis(x, axis, 1, None, 1), fn.cumsum(turns, axis))
    return fn.concatenate([sh.slice_axis(x, axis, 0, 1, 1), late], axis)


# -- sequences and polynomials ---------------------------------------------------------------------------------------


def _line(x: Expr) -> Expr:
    if x.ndim > 1:
        raise ValueError("object too deep for desired array")
    return x if x.ndim == 1 else fn.reshape(x, (1,))


_MODES = ("valid", "same", "full")


def _window(n: int, m: int, mode: Any) -> tuple[int, int]:
    """The first one and the count of all sums of lines of these lengths that a mode takes."""
    low, high = sorted((n, m))
    mode = mode if isinstance(mode, str) else _MODES[mode]
    return {"full": (0, n + m - 1), "same": ((low - 1) // 2, high), "valid": (low - 1, high - low + 1)}[mode]


@surface(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Expr:
    x, y = (_line(z) for z in join([a, v]))
    if not x.size or not y.size:
        raise ValueError("a cannot be empty")
    start, length = _window(x.size, y.size, mode)
    return products.convolve(x, y, start=start, length=length)


@surface(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Expr:
    x, y = (_line(z) for z in join([a, v]))
    start, length = _window(x.size, y.size, mode)
    if x.size < y.size:  # NumPy exchanges the operands, and turns the result round
        start = x.size + y.size - 1 - start - length
    return products.convolve(x, fn.flip(ew.conj(y)), start=start, length=length)


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
        x = ew.multiply(*promote([sh.slice_axis(x, 0, None, -1, 1), np.arange(x.size - 1, 0, -1)]))
    return x


@surface(np.polyint, array=True)
def polyint(p: Any, m: int = 1, k: Any = None) -> Expr:
    builder = find_builder([p, k])
    x = fn.atleast_1d(lift(p, builder))
    x = cast(x, np.result_type(x.dtype, np.float64)) if m else x
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
    x = cast(x, np.promote_types(x.dtype, int))
    if not count:
        return sh.slice_axis(fn.reshape(x, (x.size, 1)), 1, 0, 0, 1)
    columns = [ones(x.builder, x.aval), *[x**k for k in range(1, count)]][:count]
    return fn.stack(columns if increasing else columns[::-1], 1)
