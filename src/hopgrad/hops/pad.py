"""``np.pad``: an array grown axis by axis, each time by what its mode puts on the two sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.graph.operators import broadcast_to as to_shape
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops import shape as sh
from hopgrad.hops.order import median
from hopgrad.hops.surface import cast, find_builder, lift, surface

_STATISTICS: dict[str, Callable[..., Expr]] = {
    "maximum": fn.max, "mean": fn.mean, "median": median, "minimum": fn.min,
}  # fmt: skip

_OPTIONS = {
    "constant": ("constant_values",), "empty": (), "edge": (), "wrap": (), "linear_ramp": ("end_values",),
    "reflect": ("reflect_type",), "symmetric": ("reflect_type",), **dict.fromkeys(_STATISTICS, ("stat_length",)),
}  # fmt: skip
"""The keywords that each mode takes."""


@surface(np.pad, array=True)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Expr:
    if mode not in _OPTIONS:
        raise ValueError(f"mode '{mode}' is not supported")
    if unknown := kwargs.keys() - set(_OPTIONS[mode]):
        raise ValueError(f"unsupported keyword arguments for mode '{mode}': {unknown}")
    x = lift(array, find_builder([array, *kwargs.values()]))
    widths = pad_widths(pad_width, x.ndim)
    if mode == "empty" or (mode == "constant" and _is_zero(kwargs.get("constant_values", 0))):
        # Zeros around it: what a slice pulls back.
        items = tuple(sh.Slice(low, low + n, 1) for (low, _), n in zip(widths, x.shape, strict=True))
        return sh.scatter(x, items=items, shape=tuple(a + n + b for (a, b), n in zip(widths, x.shape, strict=True)))
    lengths = _pairs(np.asarray(kwargs["stat_length"]), x.ndim) if kwargs.get("stat_length") is not None else None
    ends = kwargs.get("constant_values", kwargs.get("end_values", 0))
    values = _values(cast(lift(ends, x.builder), x.dtype) if mode == "constant" else lift(ends, x.builder), x.ndim)
    for axis, (low, high) in enumerate(widths):
        if not low and not high:
            continue
        if mode == "constant":
            sides = [_filled(v, x, axis, n) for v, n in zip(values[axis], (low, high), strict=True)]
        elif not x.shape[axis]:
            raise ValueError(f"can't extend empty axis {axis} using modes other than 'constant' or 'empty'")
        elif mode == "linear_ramp":
            sides = [_ramp(v, x, axis, n, end) for v, n, end in zip(values[axis], (low, high), (0, -1), strict=True)]
        elif mode in _STATISTICS:
            sides = _statistics(x, axis, (low, high), mode, None if lengths is None else lengths[axis])
        else:
            odd = kwargs.get("reflect_type", "even") == "odd" and x.shape[axis] > 1
            x = _continued(x, axis, low, high, mode, odd)
            continue
        x = fn.concatenate([sides[0], x, sides[1]], axis)
    return x


def _is_zero(value: Any) -> bool:
    return find_builder(value) is None and np.ndim(value) == 0 and value == 0


def _pairs(values: Any, ndim: int) -> Any:
    """What NumPy makes of a number, of a pair and of a pair for each axis: the last."""
    if values.ndim < 3 and (values.size == 1 or (values.size == 2 and values.shape != (2, 1))):
        values = fn.reshape(values, (1, values.size)) if isinstance(values, Expr) else values.reshape(1, -1)
    return to_shape(values, (ndim, 2)) if isinstance(values, Expr) else np.broadcast_to(values, (ndim, 2))


def pad_widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        chosen: list[Any] = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            chosen[axis] = width if np.ndim(width) else (width, width)
        pad_width = chosen
    widths = np.asarray(pad_width)
    if widths.dtype.kind != "i":
        raise TypeError("`pad_width` must be of integral type.")
    if widths.size and widths.min() < 0:
        raise ValueError("index can't contain negative values")
    return [(int(low), int(high)) for low, high in _pairs(widths, ndim).tolist()] if ndim else []


def _values(given: Expr, ndim: int) -> list[tuple[Expr, Expr]]:
    """The values for the two sides of each axis."""
    pairs = _pairs(given, ndim)
    return [(sh.index(pairs, items=(k, 0)), sh.index(pairs, items=(k, 1))) for k in range(ndim)]


def _filled(value: Expr, x: Expr, axis: int, n: int) -> Expr:
    """An area of width n beside the array, made of one value, or of one slice."""
    return to_shape(value, (*x.shape[:axis], n, *x.shape[axis + 1 :]))


def _ramp(value: Expr, x: Expr, axis: int, n: int, end: int) -> Expr:
    """From the outer value to the edge, which is not in it."""
    edge = sh.index(x, items=(*[sh.Slice(None, None, None)] * axis, end))
    ramp: Expr = fn.linspace(value, edge, n, endpoint=False, dtype=x.dtype, axis=axis)
    return fn.flip(ramp, axis) if end else ramp


def _statistics(x: Expr, axis: int, widths: tuple[int, int], mode: str, lengths: Any) -> list[Expr]:
    """On each side a statistic of the elements that are next to it."""
    n = x.shape[axis]
    sides = []
    for side, width in enumerate(widths):
        count = n if lengths is None else min(int(lengths[side]), n)
        if not count and mode in ("maximum", "minimum"):
            raise ValueError("stat_length of 0 yields no value for padding")
        near = sh.slice_axis(x, axis, *((0, count) if side == 0 else (n - count, n)), 1)
        found = _STATISTICS[mode](near, axis, keepdims=True)
        if x.dtype.kind in "iu" and found.dtype != x.dtype:
            found = fn.round(found)
        sides.append(_filled(cast(found, x.dtype), x, axis, width))
    return sides


_RUNS = 8
"""How many slices an array is put together from at most."""


def _taken(x: Expr, places: Any, axis: int) -> Expr:
    """The elements at some places along an axis, put together from slices where these are few."""
    steps = np.diff(places)
    parts: list[Expr] = []
    start = 0
    while start < len(places):
        if len(parts) == _RUNS:
            return fn.take(x, places, axis)
        step = int(steps[start]) if start < len(steps) and abs(steps[start]) < 2 else 1
        others = np.flatnonzero(steps[start:] != step)
        end = start + 1 + (int(others[0]) if len(others) else len(steps) - start)
        first, last = int(places[start]), int(places[end - 1])
        if step:
            span = sh.Slice(first, None if last + step < 0 else last + step, step)
            parts.append(sh.index(x, items=(*[sh.Slice(None, None, None)] * axis, span)))
        else:
            parts.append(_filled(sh.slice_axis(x, axis, first, first + 1, 1), x, axis, end - start))
        start = end
    return sh.concatenate(*parts, axis=axis) if len(parts) > 1 else parts[0]


def _continued(x: Expr, axis: int, low: int, high: int, mode: str, odd: bool) -> Expr:
    """The elements again and again: as they are, or mirrored at the ends; with `odd`, in values as well."""
    n = x.shape[axis]
    where = np.arange(-low, n + high)
    if mode == "edge" or (mode == "reflect" and n == 1):
        return _taken(x, where.clip(0, n - 1), axis)
    if mode == "wrap":
        return _taken(x, where % n, axis)
    period = 2 * n if mode == "symmetric" else 2 * (n - 1)
    turns, place = np.divmod(where, period)
    back = place >= n
    place = np.where(back, (period - 1 if mode == "symmetric" else period) - place, place)
    found = _taken(x, place, axis)
    if not odd:
        return found
    # Mirrored at the ends' values: 2·first − x before, 2·last − x after, and a whole turn adds twice their difference.
    first, last = (sh.slice_axis(x, axis, k, k + 1, 1) for k in (0, n - 1))
    sign, of_last, of_first = np.where(back, -1, 1), 2 * turns + 2 * back, -2 * turns
    wide = (-1,) + (1,) * (x.ndim - 1 - axis)

    def times(factor: Any, value: Expr) -> Expr:
        factor = np.reshape(factor, wide).astype(x.dtype)
        product = ew.multiply(x.builder.constant(factor), value)
        # Where the factor is 0, the value has no share at all.
        return ew.where(x.builder.constant(factor != 0), product, np.zeros((), x.dtype))

    return times(sign, found) + times(of_last, last) + times(of_first, first)
