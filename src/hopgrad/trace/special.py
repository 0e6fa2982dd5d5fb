"""NumPy's functions that write in place, make arrays that can be filled, print, or call functions of the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.hops import functions as fn
from hopgrad.hops.surface import surfaces
from hopgrad.trace import memory
from hopgrad.trace.context import Trace
from hopgrad.trace.tracer import (
    ARRAY,
    Tracer,
    array,
    as_array,
    call,
    check_writable,
    fitted,
    has_traced,
    memory_of,
    on_real,
    perform,
    real,
    refuse_plain,
    shown,
    special,
    strides_of,
    write,
)

# -- making ----------------------------------------------------------------------------------------------------------


def _like(function: Any) -> Callable[..., Any]:
    """``np.zeros_like`` and its sisters: nothing of the prototype's values enters, so the new array has real data."""

    def make(trace: Trace, frame: Any, prototype: Any, *args: Any, **keywords: Any) -> Any:
        if has_traced((args, keywords)):  # np.full_like
            return perform(surfaces[function], (prototype, *args), keywords, frame, function)
        if type(prototype) is not Tracer:
            return on_real(trace, function, (prototype, *args), keywords)
        aval, strides = prototype._aval, strides_of(prototype)
        steps = None if strides is None else tuple(s * aval.dtype.itemsize for s in strides)
        # NumPy looks at shape, dtype and strides only.
        probe = np.zeros((), aval.dtype)
        like = np.lib.stride_tricks.as_strided(probe, aval.shape, steps or (0,) * aval.ndim, writeable=False)
        result = real(trace, function(like, *args, **keywords))
        if strides is None and result._aval.ndim > 1:
            # Real data has a layout, and that of this array is not known.
            shared = memory_of(result)
            assert shared.data is not None
            result._id = shared.node = memory.constant(trace.builder, shared.data)
            shared.data = shared.layout = None
        return result

    return make


special.update({f: _like(f) for f in (np.zeros_like, np.ones_like, np.full_like)})
special[np.empty_like] = _like(np.zeros_like)


def _copy(trace: Trace, frame: Any, a: Any, order: Any = "K", subok: bool = False) -> Any:
    return a.copy(order) if type(a) is Tracer and a._kind == ARRAY else array(a)


special[np.copy] = _copy

# -- in place --------------------------------------------------------------------------------------------------------


def _in_place(function: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register how a traced array is written to. Real data NumPy writes to itself, and plain arrays are refused."""

    def decorate(written: Callable[..., Any]) -> Callable[..., Any]:
        def run(trace: Trace, frame: Any, target: Any, *args: Any, **keywords: Any) -> Any:
            if not has_traced((target, args, keywords)):
                return on_real(trace, function, (target, *args), keywords)
            if type(target) is not Tracer:
                refuse_plain(trace, frame)
            args = tuple(as_array(v) for v in args)
            return written(frame, target, *args, **{k: as_array(v) for k, v in keywords.items()})

        special[function] = run
        return written

    return decorate


@_in_place(np.copyto)
def _copyto(frame: Any, dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    given = src._aval.dtype if type(src) is Tracer else np.asarray(src).dtype
    if type(src) not in (int, float, bool) and not np.can_cast(given, dst._aval.dtype, casting):
        raise TypeError(f"Cannot cast from {given} to {dst._aval.dtype} according to the rule {casting!r}")
    check_writable(dst, frame)
    shape = dst._aval.shape

    def copied(x: Expr, v: Any, mask: Any) -> Expr:
        v = fitted(v, x, shape)
        return v if mask is True else fn.where(mask, v, x)

    write(dst, call(copied, (dst, src, where), {}, frame), frame)


@_in_place(np.putmask)
def _putmask(frame: Any, a: Any, mask: Any, values: Any) -> None:
    if np.ndim(values) and np.shape(values) != a._aval.shape:
        a._refuse("repeated values (np.putmask)", "use np.copyto(a, values, where=mask)", frame)
    _copyto(frame, a, values, "unsafe", mask)


@_in_place(np.place)
def _place(frame: Any, arr: Any, mask: Any, vals: Any) -> None:
    if np.size(vals) != 1:
        arr._refuse("the number of chosen elements (np.place)", "use np.where(mask, values, array)", frame)
    _copyto(frame, arr, np.reshape(vals, ()), "unsafe", mask)


@_in_place(np.put)
def _put(frame: Any, a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    if mode != "raise":
        a._refuse(f"assignment with mode={mode!r}", "bring the indices into range first", frame)
    a.flat[np.asarray(ind).ravel()] = v


@_in_place(np.fill_diagonal)
def _fill_diagonal(frame: Any, a: Any, val: Any, wrap: bool = False) -> None:
    shape = a._aval.shape
    if len(shape) < 2:
        raise ValueError("array must be at least 2-d")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise ValueError("All dimensions of input must be of equal length")
    step = shape[1] + 1 if len(shape) == 2 else 1 + sum(np.cumprod(shape[:-1]).tolist())
    a.flat[: None if wrap or len(shape) > 2 else shape[1] * shape[1] : step] = val


@_in_place(np.put_along_axis)
def _put_along_axis(frame: Any, arr: Any, indices: Any, values: Any, axis: Any) -> None:
    if axis is None:
        arr.flat[np.ravel(indices)] = values
    else:
        arr[fn.along_axis(indices, arr._aval.shape, axis)] = values


# -- printing --------------------------------------------------------------------------------------------------------


def _printed(function: Any) -> Callable[..., Any]:
    """Printing shows the value for the actual inputs, and records nothing."""

    def show(trace: Trace, frame: Any, a: Any, *args: Any, **keywords: Any) -> Any:
        return function(np.asarray(shown(a)) if type(a) is Tracer else a, *args, **keywords)

    return show


special.update({f: _printed(f) for f in (np.array_repr, np.array_str, np.array2string)})

# -- functions of functions ------------------------------------------------------------------------------------------


def _apply_along_axis(trace: Trace, frame: Any, func1d: Any, axis: Any, arr: Any, *args: Any, **keywords: Any) -> Any:
    """Each line through `func1d`, which may be any function of NumPy; the results take the line's place."""
    axis = axis.__index__() % np.ndim(arr)
    lines = np.moveaxis(arr, axis, -1)
    lead = np.shape(lines)[:-1]
    found = [func1d(lines[place], *args, **keywords) for place in np.ndindex(*lead)]
    inside = np.shape(found[0])
    stacked = np.reshape(np.stack(found), (*lead, *inside))
    return np.moveaxis(stacked, range(len(lead), len(lead) + len(inside)), range(axis, axis + len(inside)))


def _apply_over_axes(trace: Trace, frame: Any, func: Any, a: Any, axes: Any) -> Any:
    value = a
    for axis in axes if np.iterable(axes) else (axes,):
        axis = axis % np.ndim(a)
        found = func(value, axis)
        value = found if np.ndim(found) == np.ndim(value) else np.expand_dims(found, axis)
    return value


special[np.apply_along_axis] = _apply_along_axis
special[np.apply_over_axes] = _apply_over_axes
