"""Functions of NumPy that need some answers about values before their hops can be recorded: distinct elements, bins.

How many distinct elements there are depends on values. Their positions are integers, so they are asked for as guards,
and the elements are read from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.hops.surface import surfaces
from hopgrad.trace.context import Trace
from hopgrad.trace.special import fillable, flat, plain
from hopgrad.trace.tracer import as_array, has_traced, is_traced, on_real, on_values, perform, settled, special

# -- distinct elements -----------------------------------------------------------------------------------------------


class _Groups:
    """Equal elements of a traced array: ``first`` are the positions of the distinct ones, in ascending order of these.

    ``group`` tells for each element which of them it is equal to, ``counts`` how many are.
    """

    def __init__(self, line: Any, equal_nan: bool, frame: Any) -> None:
        # Rows of a matrix are ordered as words are: by their first elements, then by the second.
        order = np.argsort(line, kind="stable") if np.ndim(line) == 1 else np.lexsort(np.transpose(line)[::-1])
        ascending = np.take(line, order, 0)
        new = np.not_equal(ascending[1:], ascending[:-1])
        if np.ndim(line) > 1:
            new = np.any(new, 1)
        elif equal_nan:
            new = np.logical_and(new, np.logical_not(np.logical_and(np.isnan(ascending[1:]), np.isnan(ascending[:-1]))))
        places, starts = np.asarray(plain(order, frame)), np.asarray(plain(new, frame))
        begins = np.flatnonzero(np.concatenate([[True] * (places.size > 0), starts]))
        self.first = places[begins]
        self.counts = np.diff([*begins, places.size])
        self.group = np.empty_like(places)
        self.group[places] = np.repeat(np.arange(begins.size), self.counts)


def _unique(
    trace: Trace, frame: Any, ar: Any, return_index: bool = False, return_inverse: bool = False,
    return_counts: bool = False, axis: Any = None, *, equal_nan: bool = True, **keywords: Any,
) -> Any:  # fmt: skip
    ar = as_array(ar)
    if not is_traced(ar):
        asked = {"axis": axis, "equal_nan": equal_nan, **keywords}
        return on_real(trace, np.unique, (ar, return_index, return_inverse, return_counts), asked)
    shape = np.shape(ar) if axis is None else np.shape(ar)[axis : axis + 1 or None]
    lines = np.ravel(ar) if axis is None else np.reshape(moved := np.moveaxis(ar, axis, 0), (len(moved), -1))
    groups = _Groups(lines, equal_nan, frame)
    found = [np.take(ar, groups.first, axis)]
    if return_index:
        found.append(fillable(trace, groups.first))
    if return_inverse:
        found.append(fillable(trace, groups.group.reshape(shape)))
    if return_counts:
        found.append(fillable(trace, groups.counts))
    return found[0] if len(found) == 1 else tuple(found)


def _named(function: Any, **asked: bool) -> Callable[..., Any]:
    """``np.unique_all`` and its sisters, to which every NaN is another one."""

    def ask(trace: Trace, frame: Any, x: Any) -> Any:
        if not is_traced(x):
            return on_real(trace, function, (x,), {})
        if x.dtype.kind in "iub":
            return flat(function)(trace, frame, x)
        kind = type(function(np.zeros(1)))
        if kind is np.ndarray:
            return _unique(trace, frame, x, equal_nan=False)
        return kind(*_unique(trace, frame, x, **asked, equal_nan=False))

    return ask


def _union1d(trace: Trace, frame: Any, ar1: Any, ar2: Any) -> Any:
    return _unique(trace, frame, np.concatenate((ar1, ar2), axis=None))


def _setdiff1d(trace: Trace, frame: Any, ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    line = np.ravel(ar1) if assume_unique else np.unique(ar1)
    return line[np.isin(line, ar2, invert=True)]


def _intersect1d(
    trace: Trace, frame: Any, ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    if return_indices:
        return _positions_of_both(ar1, ar2, assume_unique)
    line = np.sort(ar1, axis=None) if assume_unique else np.unique(ar1)
    found = line[np.isin(line, ar2)]
    return found.astype(np.result_type(ar1, ar2), copy=False)


def _positions_of_both(ar1: Any, ar2: Any, assume_unique: bool) -> tuple[Any, Any, Any]:
    """The elements that two arrays have in common, with the place of each in both."""
    sides = [np.ravel(ar) if assume_unique else np.unique(ar, return_index=True) for ar in (ar1, ar2)]
    lines = [side if assume_unique else side[0] for side in sides]
    both = np.concatenate(lines)
    order = np.argsort(both, kind="stable")
    ascending = np.take(both, order)
    same = ascending[1:] == ascending[:-1]
    places = [order[:-1][same], order[1:][same] - np.size(lines[0])]
    if not assume_unique:
        places = [np.take(side[1], place) for side, place in zip(sides, places, strict=True)]
    return ascending[:-1][same], places[0], places[1]


def _setxor1d(trace: Trace, frame: Any, ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """What stands alone when both are sorted together."""
    lines = [np.ravel(ar) if assume_unique else np.unique(ar) for ar in (ar1, ar2)]
    line = np.sort(np.concatenate(lines))
    if not np.size(line):
        return line
    new = line[1:] != line[:-1]
    edge = np.ones(1, bool)
    return line[np.logical_and(np.concatenate([edge, new]), np.concatenate([new, edge]))]


special.update({
    np.unique: _unique,
    np.unique_all: _named(np.unique_all, return_index=True, return_inverse=True, return_counts=True),
    np.unique_counts: _named(np.unique_counts, return_counts=True),
    np.unique_values: _named(np.unique_values),
    np.unique_inverse: _named(np.unique_inverse, return_inverse=True),
    np.union1d: _union1d,
    np.setdiff1d: _setdiff1d,
    np.intersect1d: _intersect1d,
    np.setxor1d: _setxor1d,
})  # fmt: skip

# -- what must hold --------------------------------------------------------------------------------------------------


def _digitize(trace: Trace, frame: Any, x: Any, bins: Any, right: bool = False) -> Any:
    if not has_traced((x, bins)):
        return on_real(trace, np.digitize, (x, bins), {"right": right})
    bins = as_array(bins)
    if np.ndim(bins) != 1:
        raise ValueError("object of too small depth for desired array" if not np.ndim(bins) else "object too deep for"
                         " desired array")  # fmt: skip
    bins = bins if isinstance(bins, np.ndarray) else np.asarray(bins)
    side: Any = "left" if right else "right"
    if bool(np.all(bins[1:] >= bins[:-1])):
        return np.searchsorted(bins, x, side)
    if not bool(np.all(bins[1:] <= bins[:-1])):
        raise ValueError("bins must be monotonically increasing or decreasing")
    return len(bins) - np.searchsorted(bins[::-1], x, side)


special[np.digitize] = _digitize


def _binned(function: Any) -> Callable[..., Any]:
    """Histograms where the number of bins is estimated from the values. It is flat, and the edges are not."""

    def ask(trace: Trace, frame: Any, a: Any, bins: Any = 10, range: Any = None, *args: Any, **keywords: Any) -> Any:
        if isinstance(bins, str) and has_traced(a):
            if (args[1] if len(args) > 1 else keywords.get("weights")) is not None:
                raise TypeError("Automated estimation of the number of bins is not supported for weighted data")
            edges = on_values(trace, np.histogram_bin_edges, (a, bins, range), {}, frame, flat=True)
            bins = bins if edges is None else np.size(edges[0]) - 1  # what is not known is refused
        return perform(surfaces[function], (a, bins, range, *args), keywords, frame, function)

    return ask


special.update({f: _binned(f) for f in (np.histogram, np.histogram_bin_edges)})


def _within_range(function: Any, whole: int, message: str) -> Callable[..., Any]:
    """Quantiles at traced places, which have to be between 0 and 1."""

    def ask(trace: Trace, frame: Any, a: Any, q: Any, *args: Any, **keywords: Any) -> Any:
        q = as_array(q)
        if not has_traced((a, q, args, keywords)):
            return on_real(trace, function, (a, q, *args), keywords)
        if is_traced(q):
            inside: Any = np.all(np.logical_and(q >= 0, q <= whole))
            if not settled(inside, frame):
                raise ValueError(message)
        found = surfaces[function]
        if keywords.get("weights") is not None:
            found = found._replace(array=True)  # as NumPy has it
        return perform(found, (a, q, *args), keywords, frame, function)

    return ask


for _function, _whole in ((np.quantile, 1), (np.nanquantile, 1), (np.percentile, 100), (np.nanpercentile, 100)):
    _what = "Quantiles" if _whole == 1 else "Percentiles"
    special[_function] = _within_range(_function, _whole, f"{_what} must be in the range [0, {_whole}]")
