"""Order: sorting, ranks, medians and quantiles, positions in sorted arrays, counts in bins.

What sorting does is split in two: a flat hop that gives positions (integers), and indexing with these. So the gradient
of a sort is a permutation, and an element that is not used gets a structural zero.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod as product
from typing import Any

import numpy as np

from hopgrad.aval import Aval, Shape, aval, normalize_axes, normalize_axis
from hopgrad.batch import along_axis, last_alone, rest_alone
from hopgrad.errors import ShapeError
from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import REAL, Case, Function, On, elementwise, general
from hopgrad.graph.operators import Operator
from hopgrad.graph.operators import broadcast_to as to_shape
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops import shape as sh
from hopgrad.hops.functions import NONE
from hopgrad.hops.surface import as_float, cast, find_builder, join, lift, promote, refused, rows, surface

INTEGER = np.dtype(np.intp)
"""Of positions."""

# -- positions -------------------------------------------------------------------------------------------------------


def _argsort(x: Any, *, axis: int, kind: Any, dtype: np.dtype[Any]) -> Any:
    return np.argsort(x, axis=axis, kind=kind)


def _positions(x: Aval, *, dtype: np.dtype[Any], **_: Any) -> Aval:
    return aval(x.shape, dtype)


@general(_argsort, Function("argsort", r"\operatorname{argsort}"), infer=_positions, traits=("flat",), batch=along_axis,
         sample=lambda draw: Case(axis=draw([0, 1]), kind="stable", dtype=INTEGER))  # fmt: skip
def argsort(x: Expr) -> Operator | None:
    """Integers, so the derivative is 0."""
    return None


def _argpartition(x: Any, *, axis: int, kth: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    return np.argpartition(x, kth, axis)


def _partition_order(x: Any, *, axis: int, kth: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    # np.partition and np.argpartition leave the elements on either side in orders of their own. Sorted, the elements
    # before and after are the same.
    found = np.empty(np.shape(x), dtype)
    there = np.argsort(np.partition(x, kth, axis), axis, kind="stable")
    np.put_along_axis(found, there, np.argsort(x, axis, kind="stable"), axis)
    return found


def _parted(x: Aval, *, axis: int, kth: tuple[int, ...], dtype: np.dtype[Any]) -> Aval:
    n = x.shape[axis]
    for k in kth:
        if not -n <= k < n:
            raise ShapeError(f"kth(={k}) out of bounds ({n})")
    return aval(x.shape, dtype)


_PARTS = [Case((2, 5), axis=1, kth=(2,), dtype=INTEGER), Case((4, 2), axis=0, kth=(1, -1), dtype=INTEGER)]


@general(_argpartition, Function("argpartition", r"\operatorname{argpartition}"), infer=_parted, traits=("flat",),
         batch=along_axis, sample=lambda draw: draw(_PARTS))  # fmt: skip
def argpartition(x: Expr) -> Operator | None:
    """Integers, so the derivative is 0."""
    return None


@general(_partition_order, Function("parts", r"\operatorname{parts}"), infer=_parted, traits=("flat",),
         batch=along_axis, sample=lambda draw: draw(_PARTS))  # fmt: skip
def partition_order(x: Expr) -> Operator | None:
    """Positions in the order of ``np.partition``: integers, so the derivative is 0."""
    return None


def _lexsort(*keys: Any, axis: int, dtype: np.dtype[Any]) -> Any:
    return np.lexsort(keys, axis)


def _lexsorted(*keys: Aval, axis: int, dtype: np.dtype[Any]) -> Aval:
    for key in keys[1:]:
        if key.shape != keys[0].shape:
            raise ShapeError(f"lexsort: all keys need the same shape, not {keys[0].shape} and {key.shape}")
    return aval(keys[0].shape, dtype)


@general(_lexsort, Function("lexsort", r"\operatorname{lexsort}"), infer=_lexsorted, traits=("flat",), batch=along_axis,
         sample=lambda draw: draw([Case((2, 3), (2, 3), axis=1, dtype=INTEGER),
                                   Case((4,), axis=0, dtype=INTEGER)]))  # fmt: skip
def lexsort_(*keys: Expr) -> Operator | None:
    """Integers, so the derivative is 0."""
    return None


def _searchsorted(a: Any, v: Any, *, side: str, dtype: np.dtype[Any]) -> Any:
    return np.searchsorted(a, v, side)  # type: ignore[call-overload]  # "left" or "right"


def _searched(a: Aval, v: Aval, *, side: str, dtype: np.dtype[Any]) -> Aval:
    if a.ndim != 1:
        raise ShapeError("object too deep for desired array" if a.ndim else "object of too small depth")
    return aval(v.shape, dtype)


@general(_searchsorted, Function("searchsorted", r"\operatorname{searchsorted}"), infer=_searched, traits=("flat",),
         batch=rest_alone,
         sample=lambda draw: draw([Case((4,), (2, 3), side="left", dtype=INTEGER),
                                   Case((3,), (), side="right", dtype=INTEGER)]))  # fmt: skip
def searchsorted_(a: Expr, v: Expr) -> tuple[None, None]:
    """Integers, so the derivative is 0."""
    return None, None


def _isin(x: Any, among: Any, *, invert: bool) -> Any:
    return np.isin(x, among, invert=invert)


def _asked(x: Aval, among: Aval, *, invert: bool) -> Aval:
    return aval(x.shape, bool)


def _isin_parts(x: Expr, among: Expr, *, invert: bool) -> Any:
    if not among.size:
        return isin_(x, among, invert=invert)
    line = fn.reshape(among, (among.size,))
    line = sh.index(line, ordered(line, 0), items=(sh.Operand(0),))
    # Where an element is, if it is there. (The last place is taken for those that are larger than all.)
    places = ew.minimum(searchsorted_(line, x, side="left", dtype=INTEGER), among.size - 1)
    found = sh.index(line, places, items=(sh.Operand(0),))
    return ew.not_equal(x, found) if invert else ew.equal(x, found)


@general(_isin, Function("isin", r"\operatorname{isin}"), infer=_asked, traits=("flat", "predicate"), parts=_isin_parts,
         batch=last_alone, sample=lambda draw: Case((2, 3), (4,), invert=draw([False, True])))  # fmt: skip
def isin_(x: Expr, among: Expr) -> tuple[None, None]:
    """Yes or no, so the derivative is 0."""
    return None, None


def _histogram(x: Any, *edges: Any, bins: int, between: tuple[Any, Any] | None, dtype: np.dtype[Any]) -> Any:
    return np.histogram(x, edges[0] if edges else bins, between)[0]


def _counted(x: Aval, *edges: Aval, bins: int, between: Any, dtype: np.dtype[Any]) -> Aval:
    if any(e.ndim != 1 for e in edges):
        raise ShapeError("`bins` must be 1d, when an array")
    return aval((edges[0].size - 1 if edges else bins,), dtype)


@general(_histogram, Function("histogram", r"\operatorname{histogram}"), infer=_counted, traits=("flat",),
         sample=lambda draw: Case((2, 3), bins=4, between=(-1, 1), dtype=np.dtype(np.int64)))  # fmt: skip
def histogram_counts(x: Expr, *edges: Expr) -> Operator | None:
    """How many elements lie in each bin: integers, so the derivative is 0."""
    return None


def ordered(x: Expr, axis: int, kind: Any = "stable") -> Expr:
    """The positions of an array's elements from the smallest to the largest one along an axis, NaN last."""
    return argsort(x, axis=axis, kind=kind, dtype=INTEGER)


def _lined(a: Any, axis: Any) -> tuple[Expr, int]:
    x = lift(a)
    if axis is None:
        return fn.reshape(x, (x.size,)), 0
    return x, normalize_axis(axis, x.ndim)


def _kind(kind: Any, order: Any, stable: Any) -> str | None:
    if order is not None:
        raise ValueError("Cannot specify order when the array has no fields.")
    if stable is not None and kind is not None:
        raise ValueError("`kind` and keyword parameters can't be provided at the same time. Use only one of them.")
    return "stable" if stable else kind


def _running_positions(x: Any, *, axis: int, largest: bool, skipping: bool, dtype: np.dtype[Any]) -> Any:
    pairwise = (np.fmax if largest else np.fmin) if skipping else (np.maximum if largest else np.minimum)
    x = np.moveaxis(x, axis, 0)
    found = pairwise.accumulate(x)
    new = np.ones(x.shape, bool)
    new[1:] = ~((found[1:] == found[:-1]) | (np.isnan(found[1:]) & np.isnan(found[:-1])))
    places = np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1))
    return np.moveaxis(np.maximum.accumulate(np.where(new, places, 0)).astype(dtype), 0, axis)


@general(_running_positions, Function("argmax so far", r"\operatorname{argmax\,so\,far}"), infer=_positions,
         traits=("flat",), batch=along_axis,
         sample=lambda draw: Case(axis=draw([0, 1]), largest=draw([True, False]), skipping=draw([False, True]),
                                  dtype=INTEGER))  # fmt: skip
def running_positions(x: Expr) -> Operator | None:
    """Integers, so the derivative is 0."""
    return None


def running(largest: bool, skipping: bool) -> Any:
    """``accumulate`` of maximum, minimum, fmax and fmin (`skipping` NaN): the extreme of the elements so far.

    Elements that tie with it share its derivative evenly, as in ``np.max`` of the elements so far.
    """

    def adapter(array: Any, axis: int = 0, dtype: Any = None) -> Expr:
        x = lift(array) if dtype is None else cast(lift(array), dtype)
        axis = normalize_axis(axis, x.ndim)
        if not x.size:
            return x
        first = running_positions(x, axis=axis, largest=largest, skipping=skipping, dtype=INTEGER)
        found = fn.take_along_axis(x, first, axis)
        if not x.aval.is_float:
            return found
        # What ties with the first one adds a difference that is 0, and takes its share of the derivative with it.
        place = np.arange(x.shape[axis], dtype=INTEGER).reshape([-1 if k == axis else 1 for k in range(x.ndim)])
        ties = ew.logical_and(ew.logical_and(ew.equal(x, found), ew.isfinite(x)), ew.not_equal(first, place))
        more = ew.where(ties, x - found, np.zeros((), x.dtype))
        count = cast(ties, INTEGER)
        both = [fn.cumsum(v, axis) for v in (more, count)]
        since = [ew.subtract(v, fn.take_along_axis(v, first, axis)) for v in both]
        return found + since[0] / (cast(since[1], x.dtype) + 1)

    return adapter


@surface(np.argsort, array=True)
def argsort_of(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Expr:
    x = lift(a)
    # NumPy sorts numbers as lines of one element here, though not in np.sort.
    x, axis = _lined(fn.reshape(x, (1,)) if not x.ndim else x, axis)
    return ordered(x, axis, _kind(kind, order, stable))


@surface(np.sort_complex, array=True)
def sort_complex(a: Any) -> Expr:
    x = sort(a)
    if x.dtype.kind == "c":
        return x
    return cast(x, np.complex64 if x.dtype.kind in "iu" and x.dtype.itemsize <= 2 else np.complex128)


@surface(np.sort, array=True)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Expr:
    _kind(kind, order, stable)
    x, axis = _lined(a, axis)
    return fn.take_along_axis(x, ordered(x, axis), axis)


def _kth(kth: Any) -> tuple[int, ...]:
    if isinstance(kth, Expr):
        raise refused("np.partition at a traced position", "it must be a plain integer")
    return tuple(operator.index(k) for k in np.ravel(kth))


@surface(np.argpartition, array=True)
def argpartition_of(a: Any, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None) -> Expr:
    _kind(None, order, None)
    x, axis = _lined(a, axis)
    return argpartition(x, axis=axis, kth=_kth(kth), dtype=INTEGER)


@surface(np.partition, array=True)
def partition(a: Any, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None) -> Expr:
    _kind(None, order, None)
    x, axis = _lined(a, axis)
    return fn.take_along_axis(x, partition_order(x, axis=axis, kth=_kth(kth), dtype=INTEGER), axis)


@surface(np.lexsort, array=True)
def lexsort(keys: Any, axis: Any = -1) -> Expr:
    builder = find_builder(keys)
    lines = [lift(key, builder) for key in (rows(keys) if isinstance(keys, Expr) else keys)]
    return lexsort_(*lines, axis=normalize_axis(axis, lines[0].ndim), dtype=INTEGER)


@surface(np.searchsorted)
def searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Expr:
    if side not in ("left", "right", "l", "r"):
        raise ValueError(f"search side must be 'left' or 'right' (got {side!r})")
    builder = find_builder([a, v, sorter])
    line, wanted = (lift(x, builder) for x in (a, v))
    line, wanted = join([line, wanted])
    if sorter is not None:
        line = fn.take(line, lift(sorter, builder))
    return searchsorted_(line, wanted, side="right" if side[0] == "r" else "left", dtype=INTEGER)


@surface(np.isin, array=True)
def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *,
         kind: Any = None) -> Expr:  # fmt: skip
    return isin_(*join([element, test_elements]), invert=bool(invert))


# -- medians and quantiles -------------------------------------------------------------------------------------------


def _lerp(a: Any, b: Any, t: Any) -> Any:
    # As NumPy does it: from the nearer end.
    step = b - a
    return np.where(t >= 0.5, b - step * (1 - t), a + step * t)[()]


@elementwise(_lerp, Function("lerp", r"\operatorname{lerp}", "linear interpolation"), domain=(REAL, REAL, REAL),
             lowering="select(c >= 0.5, b - (b - a) * (1 - c), a + (b - a) * c)")  # fmt: skip
def lerp(a: Expr, b: Expr, t: Expr) -> Any:
    """The two shares 1 − t and t. At an end the other one is not used, whatever it is."""
    return lambda: On(t != 1, 1 - t), lambda: On(t != 0, t), lambda: b - a


def _columns(x: Expr, axis: Any) -> tuple[Expr, Shape]:
    """The axes brought together in front, and the shape with them kept as length 1."""
    axes = normalize_axes(axis, x.ndim)
    rest = tuple(k for k in range(x.ndim) if k not in axes)
    front = sh.transposed(x, axes + rest)
    count = product(x.shape[k] for k in axes)
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    return fn.reshape(front, (count, *[x.shape[k] for k in rest])), kept


def _at(x: Expr, order: Expr, places: Any) -> Expr:
    """The elements that stand at some places of the order along axis 0; traced places are given for each column."""
    if isinstance(places, Expr):
        places = to_shape(places, (places.shape[0], *x.shape[1:]))
        chosen = fn.take_along_axis(order, cast(places, INTEGER), 0)
    else:
        chosen = fn.take(order, np.asarray(places).astype(INTEGER), 0)
    return fn.take_along_axis(x, chosen, 0)


def _with_nan(found: Expr, x: Expr, order: Expr) -> Expr:
    """NaN where an element of the column is, which stands last."""
    if not x.aval.is_float or not x.shape[0]:
        return found
    last = cast(_at(x, order, [x.shape[0] - 1]), found.dtype)
    return ew.where(ew.isnan(last), last, found)


@surface(np.median)
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Expr:
    x, kept = _columns(lift(a), axis)
    order = ordered(x, 0)
    n = x.shape[0]
    middle = range((n - 1) // 2, n // 2 + 1) if n else []
    found = _with_nan(fn.mean(_at(x, order, np.array(middle, INTEGER)), 0, keepdims=True), x, order)
    return fn.reshape(found, kept if keepdims else x.shape[1:])


@surface(np.nanmedian)
def nanmedian(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = NONE) -> Expr:
    keep = keepdims is not NONE and bool(keepdims)
    if not lift(a).aval.is_float:
        return median(a, axis, keepdims=keep)
    x, kept = _columns(lift(a), axis)
    if not x.size:
        return fn.mean(a, axis, keepdims=keep)
    order = ordered(x, 0)
    count = fn.sum(ew.logical_not(ew.isnan(x)), 0, keepdims=True)
    low, high = (ew.maximum(ew.floor_divide(count - k, 2), 0) for k in (1, 0))
    first, second = _at(x, order, low), _at(x, order, ew.minimum(high, x.shape[0] - 1))
    found = ew.where(ew.equal(low, high), first, (first + second) / 2)
    return fn.reshape(found, kept if keep else x.shape[1:])


_DISCRETE = frozenset({"lower", "higher", "nearest", "inverted_cdf", "closest_observation"})
"""Methods that take one element."""

_BETWEEN = {
    "linear": (1.0, 1.0), "interpolated_inverted_cdf": (0.0, 1.0), "hazen": (0.5, 0.5), "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3.0, 1 / 3.0), "normal_unbiased": (3 / 8.0, 3 / 8.0),
}  # fmt: skip
"""The parameters α and β of methods that interpolate (Hyndman and Fan, Sample Quantiles in Statistical Packages)."""

_METHODS = frozenset({*_DISCRETE, *_BETWEEN, "midpoint", "averaged_inverted_cdf"})


def _place(method: str, n: Any, q: Any) -> Any:
    """Where in a sorted line of n elements the quantile lies, counted from 0; it may lie between two of them."""
    last = n - 1
    if method in ("averaged_inverted_cdf", "inverted_cdf", "closest_observation"):
        place = q * n - 1
        if method == "averaged_inverted_cdf":
            return place
        place = place - 0.5 if method == "closest_observation" else place
        before = ew.floor(place)
        exact = ew.equal(place, before)
        if method == "closest_observation":
            odd = before - ew.floor(before * 0.5) * 2
            exact = ew.logical_and(exact, ew.equal(odd, 1))
        return ew.where(exact, before, before + 1)
    place = q * last
    if method in ("lower", "higher", "nearest", "midpoint"):
        below, above = ew.floor(place), ew.ceil(place)
        return {"lower": below, "higher": above, "nearest": ew.rint(place), "midpoint": (below + above) * 0.5}[method]
    if method == "linear":
        return place
    alpha, beta = _BETWEEN[method]
    return q * n + (q * (1 - alpha - beta) + alpha) - 1


def _share(method: str, place: Any, before: Any) -> Any:
    """Which share the upper one of two elements has."""
    share = place - before
    if method in _BETWEEN:
        return share
    exact = ew.equal(share, 0)
    at, off = (0.0, 0.5) if method == "midpoint" else (0.5, 1.0)
    return ew.where(exact, *[np.full((), v, share.dtype) for v in (at, off)])


def _quantile(a: Any, q: Any, weak: bool, axis: Any, method: str, keepdims: Any, weights: Any, present: bool) -> Expr:
    """Quantiles of all elements, or of those that are `present`: not NaN."""
    if method not in _METHODS:
        raise ValueError(f"{method!r} is not a valid method. Use one of: {', '.join(sorted(_METHODS))}")
    if weights is not None and method != "inverted_cdf":
        raise ValueError(f"Only method 'inverted_cdf' supports weights. Got: {method}.")
    builder = find_builder([a, q, weights])
    source = lift(a, builder)
    if source.dtype == bool:
        raise refused("np.quantile of booleans", "convert them to integers")
    keep = keepdims is not NONE and bool(keepdims)
    x, kept = _columns(source, axis)
    if present and not x.size:
        return fn.mean(source, axis, keepdims=keep)
    if q.ndim > 2:
        raise ValueError("q must be a scalar or 1d")
    one = method in _DISCRETE or (method == "linear" and q.dtype.kind in "iu")
    level = q if q.dtype.kind == "f" else q.astype(float) if isinstance(q, np.ndarray) else as_float(q)
    level = fn.reshape(level, (q.size, *[1] * (x.ndim - 1))) if isinstance(level, Expr) else level.reshape(-1)
    order = ordered(x, 0)
    end: Any = np.full((), x.shape[0] - 1, level.dtype)
    count: Any = end + 1
    if present and x.aval.is_float:
        if not isinstance(level, Expr):
            level = level.reshape(-1, *[1] * (x.ndim - 1))
        count = cast(fn.sum(ew.logical_not(ew.isnan(x)), 0, keepdims=True), level.dtype)
        end = ew.maximum(count - 1, 0)
    zero = np.zeros((), level.dtype)
    place = _place(method, count, level)
    if weights is not None:
        shares = _shares(lift(weights, builder), source, x, axis)
        found = _at(x, order, _weighed_place(fn.take_along_axis(shares, order, 0), x, order, level, present))
    elif one:
        found = _at(x, order, ew.minimum(ew.maximum(place, zero), end))
    else:
        before = ew.floor(place)
        outside = ew.logical_or(ew.greater_equal(place, end), ew.less(place, zero))
        low = ew.minimum(ew.maximum(before, zero), end)
        high = ew.where(outside, low, before + 1)
        share = ew.where(outside, zero, _share(method, place, before))
        pair = [_at(x, order, low), _at(x, order, high)]
        if not isinstance(share, Expr):
            share = x.builder.constant(np.reshape(share, (-1, *[1] * (x.ndim - 1))))
        kind = pair[0].dtype if weak and x.aval.is_float else np.result_type(pair[0].dtype, share.dtype)
        found = lerp(*[cast(v, kind) for v in (*pair, share)])
    if not present:
        found = _with_nan(found, x, order)
    return fn.reshape(found, (*q.shape, *(kept if keep else x.shape[1:])))


def _shares(weights: Expr, source: Expr, x: Expr, axis: Any) -> Expr:
    """The weight of each element, in columns as the elements are."""
    data = weights.constant
    if data is not None and (data < 0).any():
        raise ValueError("Weights must be non-negative.")
    if weights.shape == source.shape:
        return _columns(weights, axis)[0]
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    axes = [normalize_axis(k, source.ndim) for k in (axis if np.iterable(axis) else (axis,))]
    if weights.shape != tuple(source.shape[k] for k in axes):
        raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
    weights = sh.transposed(weights, tuple(int(k) for k in np.argsort(axes)))
    return to_shape(fn.reshape(weights, (x.shape[0], *[1] * (x.ndim - 1))), x.shape)


def _weighed_place(shares: Expr, x: Expr, order: Expr, level: Any, present: bool) -> Expr:
    """The first place up to which the weights add up to a share `level` of all."""
    if present and x.aval.is_float:
        shares = ew.where(ew.isnan(_at(x, order, np.arange(x.shape[0]))), np.zeros((), shares.dtype), shares)
    total = fn.cumsum(cast(shares, np.float64), 0)
    total = total / sh.slice_axis(total, 0, -1, None, 1)
    level = lift(level, x.builder)
    total = cast(total, level.dtype) if level.aval.is_float else total
    # What comes before the first weight does not count, not even for the share 0.
    low = ew.logical_or(ew.equal(total, 0), ew.less(*promote([fn.expand_dims(total, 0), fn.expand_dims(level, 1)])))
    return ew.minimum(fn.sum(low, 1), np.full((), x.shape[0] - 1, INTEGER))


def _levels(q: Any, whole: int) -> tuple[Any, bool]:
    """The argument q as an array or handle of quantiles, and whether it does not count in promotion."""
    weak = q.weak if isinstance(q, Expr) else type(q) in (int, float)
    if find_builder(q) is not None:
        level: Any = lift(q)
        return (level if whole == 1 else ew.divide(*promote([as_float(level), whole]))), weak
    level = np.asarray(q) if whole == 1 else np.asarray(np.true_divide(q, whole))
    if not ((level >= 0) & (level <= 1)).all():
        named = "Quantiles must be in the range [0, 1]" if whole == 1 else "Percentiles must be in the range [0, 100]"
        raise ValueError(named)
    return level, weak


def _quantiles(whole: int, present: bool, unset: Any) -> Any:
    def adapter(a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
                method: str = "linear", keepdims: Any = unset, *, weights: Any = None) -> Expr:  # fmt: skip
        level, weak = _levels(q, whole)
        return _quantile(a, level, weak, axis, method, keepdims, weights, present)

    return adapter


quantile = surface(np.quantile)(_quantiles(1, False, False))
percentile = surface(np.percentile)(_quantiles(100, False, False))
nanquantile = surface(np.nanquantile)(_quantiles(1, True, NONE))
nanpercentile = surface(np.nanpercentile)(_quantiles(100, True, NONE))

# -- counts in bins --------------------------------------------------------------------------------------------------


def _edges(a: Any, bins: Any, between: Any, weights: Any) -> Expr:
    builder = find_builder([a, bins, weights])
    if isinstance(bins, str):
        raise refused(f"np.histogram(bins={bins!r})", "the number of bins depends on values: give the number")
    if find_builder(between) is not None:
        raise refused("np.histogram with a traced range", "give the edges: bins=np.linspace(low, high, n + 1)")
    if isinstance(bins, Expr) or np.ndim(bins) == 1 or find_builder(bins) is not None:
        return lift(bins, builder)
    count = operator.index(bins)
    x = lift(a, builder)
    if between is not None or x.constant is not None or not x.size:
        data = np.zeros(x.size, x.dtype) if x.constant is None else x.constant
        return lift(np.histogram_bin_edges(data, count, between), builder)
    if count < 1:
        raise ValueError("`bins` must be positive, when an integer")
    x = as_float(x)
    low, high = fn.min(x), fn.max(x)
    same = ew.equal(low, high)
    half = np.full((), 0.5, x.dtype)
    low, high = ew.where(same, low - half, low), ew.where(same, high + half, high)
    # As in NumPy, to the last bit: an element may lie on an edge.
    step = ew.divide(high - low, float(count))
    edges = fn.expand_dims(step, 0) * x.builder.constant(np.arange(count, dtype=x.dtype)) + low
    return fn.concatenate([edges, fn.expand_dims(high, 0)])


@surface(np.histogram_bin_edges, array=True)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Expr:
    """Equal bins between the smallest and the largest element, which the edges move with."""
    return _edges(a, bins, range, weights)


@surface(np.histogram, array=True)
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """Counts are flat; the edges, sums of weights and the density have derivatives."""
    builder = find_builder([a, bins, weights])
    edges = _edges(a, bins, range, weights)
    x = lift(a, builder)
    x = fn.reshape(x if x.dtype != bool else cast(x, np.uint8), -1)
    if weights is None:
        whole = {"bins": 0, "between": None, "dtype": np.dtype(np.int64)}
        if not isinstance(bins, Expr) and np.ndim(bins) == 0:
            between = None if range is None else tuple(v.item() if isinstance(v, np.generic) else v for v in range)
            found = histogram_counts(x, **{**whole, "bins": operator.index(bins), "between": between})
        else:
            found = histogram_counts(x, edges, **whole)
    else:
        found = _weighed(x, edges, fn.reshape(lift(weights, builder), -1))
    if density:
        widths = as_float(fn.diff(edges))
        found, widths = promote([as_float(found), widths])
        found = found / widths / fn.sum(found)
    return found, edges


def _weighed(x: Expr, edges: Expr, weights: Expr) -> Expr:
    """The sum of the weights in each bin."""
    if weights.shape != x.shape:
        raise ValueError("weights should have the same shape as a.")
    return _gathered([_bin(x, edges)], [edges.size - 1], weights)


def _bin(x: Expr, edges: Expr) -> Expr:
    """In which bin each element lies; of those outside, the number of bins."""
    n = edges.size - 1
    x, ends = join([x, edges])
    first, last = sh.index(ends, items=(0,)), sh.index(ends, items=(n,))
    place = searchsorted_(ends, x, side="right", dtype=INTEGER) - 1
    final, none = (np.full((), k, INTEGER) for k in (n - 1, n))
    place = ew.where(ew.equal(x, last), final, place)
    return ew.where(ew.logical_and(x >= first, x <= last), place, none)


def _gathered(places: Sequence[Expr], counts: Sequence[int], weights: Expr) -> Expr:
    """What the weights at each place add up to; those outside go to bins that are left out."""
    items = tuple(sh.Operand(k) for k in range(len(counts)))
    total = sh.scatter(weights, *places, items=items, shape=tuple(n + 1 for n in counts))
    found: Expr = sh.index(total, items=tuple(sh.Slice(0, n, 1) for n in counts))
    return found


@surface(np.histogramdd, array=True)
def histogramdd(sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """Counts are flat; the edges, sums of weights and the density have derivatives."""
    builder = find_builder([sample, bins, weights])
    if isinstance(sample, (list, tuple)) or np.ndim(sample) != 2:
        points = fn.transpose(fn.atleast_2d(lift(sample, builder)))
    else:
        points = lift(sample, builder)
    size, dimensions = points.shape
    each = rows(bins) if isinstance(bins, Expr) else list(bins) if np.iterable(bins) else [bins] * dimensions
    limits = [None] * dimensions if range is None else range
    if len(each) != dimensions:
        raise ValueError("The dimension of bins must be equal to the dimension of the sample x.")
    if len(limits) != dimensions:
        raise ValueError("range argument must have one entry per dimension")
    columns = [sh.index(points, items=(sh.Slice(None, None, None), k)) for k in np.arange(dimensions).tolist()]
    # (Between given limits, the edges are of double precision.)
    edges = [
        _edges(x if limit is None else np.zeros(0), n, limit, x)
        for x, n, limit in zip(columns, each, limits, strict=True)
    ]
    places = [_bin(x, e) for x, e in zip(columns, edges, strict=True)]
    shares = fn.reshape(lift(1.0 if weights is None else weights, builder), -1)
    shares = to_shape(shares, (size,)) if weights is None else cast(shares, np.float64)
    if shares.shape != (size,):
        raise ValueError("The weights and list don't have the same length.")
    found = _gathered(places, [e.size - 1 for e in edges], shares)
    if density:
        total = fn.sum(found)
        for k, e in enumerate(edges):
            wide = (-1,) + (1,) * (dimensions - 1 - k)
            found = found / cast(fn.reshape(fn.diff(e), wide), np.float64)
        found = found / total
    return found, edges


@surface(np.histogram2d, array=True)
def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple[Any, ...]:
    builder = find_builder([x, y, bins, weights])
    both = [lift(v, builder) for v in (x, y)]
    if both[0].shape[0] != both[1].shape[0]:
        raise ValueError("x and y must have the same length.")
    if isinstance(bins, Expr):
        bins = rows(bins) if bins.shape[0] == 2 else [bins]
    if not isinstance(bins, (int, np.generic)) and len(bins) != 2:
        bins = [lift(bins[0] if isinstance(bins[0], Expr) else bins, builder)] * 2
    found, edges = histogramdd(both, bins, range, density, weights)
    return (found, *edges)
