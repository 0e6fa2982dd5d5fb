"""Indices: from what stands between the brackets to an index of hops."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad.aval import Shape
from hopgrad.graph.builder import Expr
from hopgrad.hops.shape import Items, Operand, Slice, selection
from hopgrad.hops.surface import refused

WHOLE = Slice(None, None, None)


def parse(key: Any, shape: Shape) -> tuple[Items, list[Any]]:
    """An index into an array of this shape as hashable items, and its index arrays, on which `Operand` items call.

    The arrays are NumPy's, or handles of integer values. Without arrays NumPy gives a view, with them a copy. NumPy's
    own errors are raised for a key that does not fit.
    """
    if type(key) is int and shape and -shape[0] <= key < shape[0]:
        return (key,), []
    parts = [_part(p) for p in key] if isinstance(key, tuple) else [_part(key)]
    # An array without memory answers with NumPy's own rules and errors.
    np.broadcast_to(np.int8(0), shape)[tuple(np.zeros(p.shape, np.intp) if isinstance(p, Expr) else p for p in parts)]
    if not any(p is Ellipsis for p in parts):
        parts.append(Ellipsis)
    consumed = sum(_consumed(p) for p in parts)
    items: list[Any] = []
    arrays: list[Any] = []
    for part in parts:
        if part is Ellipsis:
            # Between arrays of indices it has a meaning even where it stands for no axis: their axes come first then.
            items.extend([WHOLE] * (len(shape) - consumed) or ([Ellipsis] if _parts_arrays(parts) else []))
        elif part is None or isinstance(part, int):
            items.append(part)
        elif isinstance(part, slice):
            items.append(
                Slice(*[None if v is None else int(v.__index__()) for v in (part.start, part.stop, part.step)])
            )
        elif isinstance(part, Expr) or part.dtype != bool:
            items.append(Operand(len(arrays)))
            arrays.append(part)
        else:
            for places in part.nonzero():
                items.append(Operand(len(arrays)))
                arrays.append(places)
    while items and items[-1] == WHOLE and Ellipsis not in items:
        items.pop()
    return tuple(items), arrays


def _parts_arrays(parts: list[Any]) -> bool:
    """Whether there are indices on both sides of the ellipsis, and arrays among them."""
    place = next(k for k, part in enumerate(parts) if part is Ellipsis)
    chosen = [
        [p for p in side if not (p is None or isinstance(p, slice))] for side in (parts[:place], parts[place + 1 :])
    ]
    return all(chosen) and any(not isinstance(p, int) and p.ndim for side in chosen for p in side)


def _part(part: Any) -> Any:
    """One part of a key: an int, None, Ellipsis, a slice, an array or a handle."""
    if part is None or part is Ellipsis or isinstance(part, (slice, Expr)):
        return part
    if isinstance(part, (int, np.integer)) and not isinstance(part, bool):
        return int(part)
    array = np.asarray(part)
    if array.ndim == 0 and array.dtype == bool:
        raise refused("indexing with a single bool", "use np.where, or x[np.newaxis]")
    if array.size == 0 and isinstance(part, (list, tuple)):
        return array.astype(np.intp)
    if array.dtype.kind not in "iub":
        raise IndexError("only integers, slices, ellipsis, None and integer or boolean arrays are valid indices")
    return array.copy()  # its elements may be written to later, and NumPy reads them now


def _consumed(part: Any) -> int:
    """How many axes a part takes."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1


def repeated(items: Items, arrays: list[Any], shape: Shape) -> np.ndarray[Any, Any] | None:
    """The elements that an index chooses, numbered in C order, if it chooses one of them twice."""
    size = int(np.prod(shape, dtype=object))
    chosen: np.ndarray[Any, Any] = np.arange(size).reshape(shape)[selection(items, arrays)]
    return chosen if np.unique(chosen).size != chosen.size else None
