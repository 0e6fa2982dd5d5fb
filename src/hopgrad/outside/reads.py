"""Reads from outside a traced function, and what must hold of them when the trace is replayed."""

from __future__ import annotations

from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

import numpy as np

MISSING: Any = object()
"""In place of a value that is not there."""

SCALARS: frozenset[type] = frozenset({
    bool, int, float, complex, str, bytes, type(None), type(Ellipsis), type(NotImplemented), range,
})  # fmt: skip
"""Immutable values, which are compared."""

Get = Callable[[], Any]
"""Reads again what was read."""

LIMIT = 2000
"""Containers with more items than this are not compared: a function that reads one is traced anew."""


# -- what has to hold ------------------------------------------------------------------------------------------------


class Read:
    """A value that was read from outside, and what must hold of the value there at a replay."""

    __slots__ = ("get", "value")

    def __init__(self, get: Get, value: Any) -> None:
        self.get = get
        self.value = value

    def holds(self, arrays: dict[int, Any]) -> bool:
        """Whether the trace may be replayed; arrays that it takes as inputs are put into `arrays` by node."""
        return self.get() is self.value


class Equal(Read):
    """An immutable value: equal in type and every bit (0.0 is not -0.0, NaN is NaN)."""

    def holds(self, arrays: dict[int, Any]) -> bool:
        now = self.get()
        return now is self.value or same(now, self.value)


class Content(Read):
    """A container, or an array that is no input: equal all through to what it was."""

    __slots__ = ("content",)

    def __init__(self, get: Get, value: Any, content: Any) -> None:
        super().__init__(get, value)
        self.content = content

    def holds(self, arrays: dict[int, Any]) -> bool:
        now = self.get()
        return type(now) is type(self.value) and content_of(now) == self.content


class Input(Read):
    """An array that the trace takes as an input, `node`: another array of the same kind will do."""

    __slots__ = ("node", "token")

    def __init__(self, get: Get, value: Any, node: int) -> None:
        super().__init__(get, None)  # the trace must not keep the array alive
        self.node = node
        self.token = array_token(value)

    def holds(self, arrays: dict[int, Any]) -> bool:
        now = self.get()
        if type(now) is not np.ndarray or array_token(now) != self.token:
            return False
        # The array may have been read in several places.
        return arrays.setdefault(self.node, now) is now


class Window(Read):
    """A view of another array, which is recorded apart: it shows the same part of it."""

    __slots__ = ("token",)

    def __init__(self, get: Get, value: Any) -> None:
        super().__init__(get, None)
        self.token = array_token(value), _offset(value)

    def holds(self, arrays: dict[int, Any]) -> bool:
        now = self.get()
        return (
            type(now) is np.ndarray and type(now.base) is np.ndarray and (array_token(now), _offset(now)) == self.token
        )


def _offset(view: Any) -> int:
    """Bytes from the first element of the array that owns the memory."""
    start: int = view.__array_interface__["data"][0] - view.base.__array_interface__["data"][0]
    return start


def window_of(view: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], tuple[Any, ...]] | None:
    """The array that owns the memory of a view, and the basic index that gives the view; None if there is none.

    >>> a = np.arange(12.0).reshape(3, 4).copy()
    >>> window_of(a[1:, ::2])[1]
    (slice(1, 3, 1), slice(0, 4, 2))
    """
    owner = view.base
    if type(owner) is not np.ndarray or owner.dtype != view.dtype or not owner.flags.c_contiguous or not view.size:
        return None
    if owner.nbytes > max(8 * view.nbytes, 1 << 20):
        return None  # taking part in the trace costs a copy of it
    start = np.unravel_index(_offset(view) // owner.itemsize, owner.shape)
    key: list[Any] = []
    axis = 0
    for n, first, stride in zip(owner.shape, start, owner.strides, strict=True):
        if axis < view.ndim and view.strides[axis] % stride == 0 and 0 < abs(view.strides[axis]) < n * stride:
            step = view.strides[axis] // stride
            stop = int(first) + step * view.shape[axis]
            key.append(slice(int(first), stop if stop >= 0 else None, step))
            axis += 1
        else:
            key.append(int(first))
    found = owner[(*key, ...)]
    same_part = all(found.__array_interface__[k] == view.__array_interface__[k] for k in ("data", "shape", "strides"))
    return (owner, (*key, ...) if any(type(k) is int for k in key) else tuple(key)) if same_part else None


class Parts(Read):
    """A container whose parts are recorded one by one: of the same type, length, keys and members."""

    __slots__ = ("shape",)

    def __init__(self, get: Get, value: Any) -> None:
        super().__init__(get, None)
        self.shape = shape_of(value)

    def holds(self, arrays: dict[int, Any]) -> bool:
        now = self.get()
        return isinstance(now, (tuple, list, dict, set, frozenset)) and shape_of(now) == self.shape


def shape_of(value: Any) -> tuple[Any, ...]:
    """Type and length of a container, the keys of a dict, the members of a set."""
    if isinstance(value, dict):
        return type(value), tuple(value)
    return type(value), frozenset(value) if isinstance(value, (set, frozenset)) else len(value)


class Part:
    """Reads an item of something else that was read."""

    __slots__ = ("_key", "whole")

    def __init__(self, get: Get, key: Any) -> None:
        self.whole = get
        self._key = key

    def __call__(self) -> Any:
        try:
            return self.whole()[self._key]
        except (IndexError, KeyError, TypeError):
            return MISSING


def array_token(array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    """What of an array a trace depends on, besides the numbers in it."""
    flags = array.flags
    return (array.dtype, array.shape, None if flags.c_contiguous else array.strides, flags.writeable)


def same(first: Any, second: Any) -> bool:
    """Whether two immutable values are the same in type and bits."""
    if type(first) is not type(second):
        return False
    if isinstance(first, (float, complex, np.generic)):
        return np.asarray(first).tobytes() == np.asarray(second).tobytes()
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def content_of(value: Any, limit: int = LIMIT) -> Any:
    """Everything in nested containers of plain values, to compare; None if there is anything else or too much."""
    parts: list[Any] = []
    stack = [value]
    while stack:
        item = stack.pop()
        cls = type(item)
        if cls in SCALARS or isinstance(item, np.generic):
            parts.append((cls, np.asarray(item).tobytes() if isinstance(item, (float, complex, np.generic)) else item))
        elif cls in (list, tuple):
            parts.append((cls, len(item)))
            stack.extend(reversed(item))
        elif cls is dict:
            if not all(type(k) in SCALARS for k in item):
                return None
            parts.append((cls, tuple((type(k), k) for k in item)))
            stack.extend(reversed(item.values()))
        elif cls in (set, frozenset) and all(type(k) in SCALARS for k in item):
            parts.append((cls, frozenset((type(k), k) for k in item)))
        elif cls is np.ndarray and item.dtype.kind in "SUmM":
            parts.append((array_token(item), item.tobytes()))
        else:
            return None
        if len(parts) > limit:
            return None
    return tuple(parts)


def contents_of(cell: CellType) -> Any:
    """What a cell holds, if anything."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def attributes_of(f: FunctionType) -> dict[str, Any]:
    """The attributes that a user gave to a function."""
    return {name: value for name, value in f.__dict__.items() if name != "__wrapped__"}
