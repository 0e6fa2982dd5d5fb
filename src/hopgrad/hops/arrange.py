"""NumPy's functions that only move elements about: the plan is worked out by NumPy itself, on the elements' numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.aval import normalize_axis
from hopgrad.graph.builder import Expr
from hopgrad.graph.operators import broadcast_to as to_shape
from hopgrad.hops import functions as fn
from hopgrad.hops import shape as sh
from hopgrad.hops.surface import cast, find_builder, lift, refused, surface


def planned(rearrange: Callable[..., Any], *operands: Expr) -> Expr:
    """What `rearrange` makes of the operands, if it only moves their elements: it is called on their numbers."""
    numbers, start = [], 0
    for x in operands:
        numbers.append(np.arange(start, start + x.size).reshape(x.shape))
        start += x.size
    plan = np.asarray(rearrange(*numbers), dtype=np.intp)
    line = fn.concatenate([fn.reshape(x, (x.size,)) for x in operands])
    return sh.index(line, line.builder.constant(plan), items=(sh.Operand(0),))


def _static(value: Any, what: str) -> Any:
    if isinstance(value, Expr):
        raise refused(what, "it must not depend on differentiated values")
    return value


@surface(np.delete, array=True)
def delete(arr: Any, obj: Any, axis: Any = None) -> Expr:
    _static(obj, "np.delete at traced places")
    return planned(lambda a: np.delete(a, obj, axis), lift(arr))


@surface(np.insert, array=True)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Expr:
    _static(obj, "np.insert at traced places")
    builder = find_builder([arr, values])
    x = lift(arr, builder)
    new = cast(lift(values, builder), x.dtype)
    return planned(lambda a, v: np.insert(a, obj, v, axis), x, new)


@surface(np.resize, array=True)
def resize(a: Any, new_shape: Any) -> Expr:
    return planned(lambda x: np.resize(x, new_shape), lift(a))


@surface(np.repeat, array=True)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Expr:
    _static(repeats, "np.repeat with traced counts")
    x = lift(a)
    if axis is None:
        x, axis = fn.reshape(x, (x.size,)), 0
    axis = normalize_axis(axis, x.ndim)
    return fn.take(x, np.repeat(np.arange(x.shape[axis]), repeats), axis)


@surface(np.lib.stride_tricks.sliding_window_view, array=True, aliasing="view")
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Expr:
    if writeable:
        raise refused("sliding_window_view(writeable=True)", "write to the array itself")
    out = lift(x)
    lengths = tuple(window_shape) if np.iterable(window_shape) else (window_shape,)
    axes = list(range(out.ndim)) if axis is None else [
        normalize_axis(k, out.ndim) for k in (axis if np.iterable(axis) else (axis,))]  # fmt: skip
    if len(lengths) != len(axes):
        raise ValueError("Must provide matching length window_shape and axis")
    for length, k in zip(lengths, axes, strict=True):
        count = out.shape[k] - length + 1
        if count < 1:
            raise ValueError("window shape cannot be larger than input array shape")
        places = np.arange(count)[:, None] + np.arange(length)
        items = (*[sh.Slice(None, None, None)] * k, sh.Operand(0))
        out = fn.moveaxis(sh.index(out, out.builder.constant(places), items=items), k + 1, -1)
    return out


@surface(np.tile, array=True)
def tile(A: Any, reps: Any) -> Expr:
    x = lift(A)
    counts = fn.full_shape(reps, 0)
    n = len(counts) if len(counts) > x.ndim else x.ndim
    counts = (1,) * (n - len(counts)) + counts
    shape = (1,) * (n - x.ndim) + x.shape
    wide = fn.reshape(x, tuple(v for m in shape for v in (1, m)))
    wide = to_shape(wide, tuple(v for c, m in zip(counts, shape, strict=True) for v in (c, m)))
    return fn.reshape(wide, tuple(c * m for c, m in zip(counts, shape, strict=True)))


@surface(np.roll, array=True)
def roll(a: Any, shift: Any, axis: Any = None) -> Expr:
    _static(shift, "np.roll by a traced number")
    x = lift(a)
    if axis is None:
        return fn.reshape(roll(fn.reshape(x, (x.size,)), shift, 0), x.shape)
    for by, k in np.broadcast(np.asarray(shift), np.asarray(axis)):
        k = normalize_axis(int(k), x.ndim)
        n = x.shape[k]
        cut = int(by) % n if n else 0
        if cut:
            x = sh.concatenate(sh.slice_axis(x, k, n - cut, n, 1), sh.slice_axis(x, k, 0, n - cut, 1), axis=k)
    return x
