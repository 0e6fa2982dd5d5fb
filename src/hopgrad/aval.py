"""Abstract values: the shape and dtype that every value of a graph has."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from hopgrad.errors import AxisError, ShapeError

Shape = tuple[int, ...]


class Aval:
    """Shape and dtype of a value. Equal abstract values are one object, so compare them with ``is``.

    Make one with `aval`, never directly.

    >>> aval((2, 3), "float32")
    float32[2, 3]
    """

    __slots__ = ("dtype", "is_float", "ndim", "shape", "size")

    def __init__(self, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self.is_float = dtype.kind in "fc"
        """Whether values of this kind can carry a derivative (floating or complex)."""
        self.ndim = len(shape)
        self.size = 1
        for n in shape:
            self.size *= n

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]" if self.shape else self.dtype.name

    def __reduce__(self) -> tuple[Any, ...]:
        return aval, (self.shape, self.dtype)


class Several(Aval):
    """What a hop with several results gives: a tuple of values, each with an abstract value of its own.

    Make one with `several`. Shape and dtype are those of one Python object; nothing computes with them.

    >>> several([aval((), float), aval((3,), int)])
    (float64, int64[3])
    """

    __slots__ = ("avals",)

    def __init__(self, avals: tuple[Aval, ...]) -> None:
        super().__init__((), np.dtype(object))
        self.avals = avals
        self.is_float = any(one.is_float for one in avals)

    def __repr__(self) -> str:
        return f"({', '.join(map(repr, self.avals))}{',' if len(self.avals) == 1 else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        return several, (self.avals,)


# The one place where abstract values are made; never emptied, because identity is their equality.
_interned: dict[tuple[Shape, np.dtype[Any]], Aval] = {}


def aval(shape: Shape, dtype: Any) -> Aval:
    """The abstract value of this shape and dtype.

    >>> aval((), float) is aval((), "float64")
    True
    """
    key = (shape, np.dtype(dtype))
    found = _interned.get(key)
    if found is None:
        # NumPy's integers would come back as those of all values of this shape from then on.
        key = (tuple([int(n) for n in shape]), key[1])
        found = _interned.setdefault(key, Aval(*key))
    return found


_tuples: dict[tuple[Aval, ...], Several] = {}


def several(avals: Iterable[Aval]) -> Several:
    """The abstract value of a tuple of values.

    >>> several([aval((), int)]) is several([aval((), int)])
    True
    """
    key = tuple(avals)
    found = _tuples.get(key)
    if found is None:
        found = _tuples.setdefault(key, Several(key))
    return found


def aval_of(value: Any) -> Aval:
    """The abstract value of a NumPy array or scalar."""
    array = np.asarray(value)
    return aval(array.shape, array.dtype)


@lru_cache(maxsize=65536)
def broadcast_shapes(*shapes: Shape) -> Shape:
    """The shape that NumPy's broadcasting gives, or a `ShapeError`.

    >>> broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        listed = " and ".join(map(str, shapes))
        raise ShapeError(f"shapes {listed} do not broadcast together") from None


def broadcast_axes(small: Shape, large: Shape) -> tuple[int, ...]:
    """The axes of `large` along which a value of shape `small` is repeated by broadcasting.

    >>> broadcast_axes((3, 1), (2, 3, 4))
    (0, 2)
    """
    lead = len(large) - len(small)
    return tuple(range(lead)) + tuple(lead + k for k, n in enumerate(small) if n == 1 and large[lead + k] != 1)


def normalize_axis(axis: Any, ndim: int) -> int:
    """One axis number as a non-negative int.

    >>> normalize_axis(-1, 3)
    2
    """
    number = axis.__index__()
    if not -ndim <= number < ndim:
        raise AxisError(f"axis {number} is out of bounds for an array of {ndim} dimensions")
    return int(number % ndim)


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """An ``axis`` argument as NumPy takes it (None, int or tuple) as a sorted tuple of axes.

    >>> normalize_axes((-1, 0), 3)
    (0, 2)
    """
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    out = tuple(sorted(normalize_axis(a, ndim) for a in axes))
    if len(set(out)) != len(out):
        raise ShapeError(f"axis {axis} names an axis twice")
    return out
