"""Affine views: how the axes of a value lie over the places of a kernel, or over memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from hopgrad.aval import Aval, Shape
from hopgrad.hops.shape import Operand, Slice


class Axis(NamedTuple):
    """An index as a function of a kernel's: ``offset + step · i_dim``, or just the offset where dim is −1."""

    dim: int
    step: int
    offset: int


Map = tuple[Axis, ...]
"""For each axis of a value: where it lies."""


@dataclass(frozen=True)
class View:
    """A value in memory: the buffer, and the place of its elements there, in elements."""

    buffer: int
    shape: Shape
    strides: tuple[int, ...]
    offset: int = 0

    def mapped(self, places: Map, rank: int) -> tuple[tuple[int, ...], int]:
        """(strides along the axes of a kernel, offset) of the element at the mapped index."""
        strides = [0] * rank
        offset = self.offset
        for axis, stride in zip(places, self.strides, strict=True):
            offset += axis.offset * stride
            if axis.dim >= 0:
                strides[axis.dim] += axis.step * stride
        return tuple(strides), offset


def c_strides(shape: Shape) -> tuple[int, ...]:
    """Strides in elements of an array in C order.

    >>> c_strides((2, 3))
    (3, 1)
    """
    out = []
    stride = 1
    for n in reversed(shape):
        out.append(stride)
        stride *= n
    return tuple(reversed(out))


def identity(rank: int) -> Map:
    """Each axis by itself."""
    return tuple(Axis(d, 1, 0) for d in range(rank))


def broadcast(places: Map, small: Shape, large: Shape) -> Map:
    """The map of an operand of shape `small`, given that of a result of shape `large` with which it is broadcast."""
    lead = len(large) - len(small)
    return tuple(Axis(-1, 0, 0) if n == 1 else places[lead + k] for k, n in enumerate(small))


def through(hop: str, params: dict[str, Any], source: Aval, result: Aval, places: Map) -> Map | None:
    """The map of the operand of a structural hop, given that of its result; None where it is not affine."""
    if hop == "broadcast_to":
        return broadcast(places, source.shape, result.shape)
    if hop == "transpose":
        found: list[Axis] = [Axis(-1, 0, 0)] * source.ndim
        for k, axis in enumerate(params["axes"]):
            found[axis] = places[k]
        return tuple(found)
    if hop == "reshape":
        return _reshaped(source.shape, result.shape, places)
    if hop == "index":
        return _indexed(source.shape, params["items"], places)
    return None


def reduced(source: Shape, places: Map, params: dict[str, Any]) -> list[Map]:
    """The maps of all elements that a reduction puts together, in order, given that of its result.

    >>> for places in reduced((5, 2), (Axis(0, 1, 0),), {"axes": (1,), "keepdims": False}):
    ...     print(places[1])
    Axis(dim=-1, step=0, offset=0)
    Axis(dim=-1, step=0, offset=1)
    """
    axes, rest = params["axes"], list(places)
    if params["keepdims"]:
        rest = [axis for k, axis in enumerate(rest) if k not in axes]
    found = []
    for index in product(*[range(source[k]) for k in sorted(axes)]):
        inner, outer = iter(index), iter(rest)
        found.append(tuple(Axis(-1, 0, next(inner)) if k in axes else next(outer) for k in range(len(source))))
    return found


def _reshaped(source: Shape, result: Shape, places: Map) -> Map | None:
    """Axes of length 1 that come and go."""
    rest = [axis for n, axis in zip(result, places, strict=True) if n != 1]
    if [n for n in source if n != 1] != [n for n in result if n != 1]:
        return None
    following = iter(rest)
    return tuple(next(following) if n != 1 else Axis(-1, 0, 0) for n in source)


def _indexed(source: Shape, items: Any, places: Map) -> Map | None:
    found: list[Axis] = []
    at = 0
    for item in items:
        if item is None:
            at += 1
        elif item is Ellipsis:
            continue
        elif isinstance(item, Slice):
            n = source[len(found)]
            start, _, step = slice(*item).indices(n)
            dim, stride, offset = places[at]
            found.append(Axis(dim, stride * step, start + offset * step))
            at += 1
        elif isinstance(item, int):
            found.append(Axis(-1, 0, item + source[len(found)] if item < 0 else item))
        else:
            return None
    found.extend(places[at:])
    return tuple(found)


@dataclass(frozen=True)
class Picked:
    """How an index with arrays picks elements.

    ``places`` is the map of the source, whose axes with index arrays stand still; ``arrays`` and ``shape`` are the map
    and the shape of what all index arrays are broadcast to.
    """

    places: Map
    operands: tuple[tuple[int, int], ...]
    """(axis of the source, number of the operand)."""
    arrays: Map
    shape: Shape


def picked(source: Shape, items: Any, shapes: Sequence[Shape], places: Map) -> Picked:
    """An index with arrays, given the map of its result. `shapes` are those of the index arrays.

    The axes that all index arrays are broadcast to come where the first of them stands, if they and the integers among
    them stand together, else in front: as in NumPy.
    """
    whole = tuple(np.broadcast_shapes(*shapes))
    advanced = [k for k, item in enumerate(items) if isinstance(item, (int, Operand))]
    together = advanced == list(range(advanced[0], advanced[-1] + 1)) if advanced else True
    first = sum(not isinstance(item, int) for item in items[: advanced[0]] if item is not Ellipsis) if together else 0
    arrays = places[first : first + len(whole)]
    rest = iter((*places[:first], *places[first + len(whole) :]))
    found: list[Axis] = []
    operands = []
    for item in items:
        n = source[len(found)] if len(found) < len(source) else 0
        if item is None:
            next(rest)
        elif item is Ellipsis:
            continue
        elif isinstance(item, Operand):
            operands.append((len(found), item.number))
            found.append(Axis(-1, 0, 0))
        elif isinstance(item, Slice):
            start, _, step = slice(*item).indices(n)
            dim, stride, offset = next(rest)
            found.append(Axis(dim, stride * step, start + offset * step))
        else:
            found.append(Axis(-1, 0, item + n if item < 0 else item))
    found.extend(rest)
    return Picked(tuple(found), tuple(operands), arrays, whole)


def view_through(hop: str, params: dict[str, Any], source: Aval, result: Aval, view: View) -> View | None:
    """The result of a structural hop as a view of its operand's memory; None where it has to be copied."""
    places = through(hop, params, source, result, identity(result.ndim))
    if places is not None:
        strides, offset = view.mapped(places, result.ndim)
        return View(view.buffer, result.shape, strides, offset)
    if hop == "reshape":
        found = reshaped_strides(view.shape, view.strides, result.shape)
        if found is not None:
            return View(view.buffer, result.shape, found, view.offset)
    return None


def outside(view: View, window: Map, lengths: Shape) -> list[View]:
    """A view without a window in it, cut into boxes; the whole view if the window has gaps.

    >>> [(part.offset, part.shape) for part in outside(View(0, (5, 4), (4, 1)), (Axis(0, 1, 1), Axis(-1, 0, 3)), (2,))]
    [(0, (1, 4)), (12, (2, 4)), (4, (2, 3))]
    """
    if any(axis.dim >= 0 and axis.step != 1 and lengths[axis.dim] > 1 for axis in window):
        return [view]
    found = []
    shape, offset = list(view.shape), view.offset
    for k, axis in enumerate(window):
        stop = axis.offset + (lengths[axis.dim] if axis.dim >= 0 else 1)
        for a, b in ((0, axis.offset), (stop, view.shape[k])):
            if a < b:
                part = (*shape[:k], b - a, *shape[k + 1 :])
                found.append(View(view.buffer, part, view.strides, offset + a * view.strides[k]))
        shape[k] = stop - axis.offset
        offset += axis.offset * view.strides[k]
    return found


def reshaped_strides(shape: Shape, strides: tuple[int, ...], new: Shape) -> tuple[int, ...] | None:
    """Strides of a reshaped array over the same memory, or None if there are none.

    >>> reshaped_strides((2, 3, 4), (12, 4, 1), (6, 4))
    (4, 1)
    >>> reshaped_strides((2, 3), (1, 2), (6,)) is None
    True
    """
    if 0 in shape:
        return c_strides(new)
    # Merge axes that are contiguous, then split them as wanted.
    merged: list[list[int]] = []
    for n, s in zip(shape, strides, strict=True):
        if n == 1:
            continue
        if merged and merged[-1][1] == s * n:
            merged[-1] = [merged[-1][0] * n, s]
        else:
            merged.append([n, s])
    out: list[int] = []
    left = [list(m) for m in merged]
    for n in reversed(new):
        if n == 1:
            out.append(0)
            continue
        if not left or left[-1][0] % n:
            return None
        out.append(left[-1][1])
        left[-1][0] //= n
        left[-1][1] *= n
        if left[-1][0] == 1:
            left.pop()
    return tuple(reversed(out)) if not left else None
