"""Elementwise hops without a lowering, as native steps that call the inner loops of NumPy's and SciPy's ufuncs.

A ufunc has a C function for each combination of dtypes, which goes along one axis of any strides. Where it is stands in
the ufunc's structure, part of NumPy's binary interface; it is only trusted if all that can be asked otherwise agrees.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from math import prod as product
from typing import Any

import numpy as np

from hopgrad.lower.blas import Code
from hopgrad.lower.lines import folded, head, head_size, lines
from hopgrad.lower.machine import Source, Step
from hopgrad.lower.views import View


class _Structure(ctypes.Structure):
    """The beginning of ``PyUFuncObject``, after what all objects have."""

    _fields_ = (
        ("nin", ctypes.c_int), ("nout", ctypes.c_int), ("nargs", ctypes.c_int), ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)), ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int), ("reserved", ctypes.c_int), ("name", ctypes.c_char_p),
        ("types", ctypes.POINTER(ctypes.c_char)),
    )  # fmt: skip


@functools.cache
def _loop(ufunc: np.ufunc, signature: str) -> tuple[int, int] | None:
    """The inner loop for dtypes, as in ``ufunc.types``, and what it is given as its last argument."""
    if signature not in ufunc.types or ufunc.signature is not None:
        return None
    found = _Structure.from_address(id(ufunc) + object.__basicsize__)
    told = found.nin, found.nout, found.nargs, found.ntypes, found.name
    if told != (ufunc.nin, ufunc.nout, ufunc.nargs, ufunc.ntypes, ufunc.__name__.encode()):
        return None
    letters = [np.dtype(found.types[k]).char for k in range(found.ntypes * found.nargs)]
    number = ufunc.types.index(signature)
    if "".join(letters[number * found.nargs :][: found.nargs]) != signature.replace("->", ""):
        return None
    return found.functions[number] or 0, (found.data[number] or 0) if found.data else 0


def call(ufunc: np.ufunc, operands: Sequence[View], out: View, dtypes: Sequence[np.dtype[Any]]) -> Step | None:
    """The step for a ufunc of operands that are broadcast, or None if it has no loop for just these dtypes.

    Loops over integers may raise exceptions of Python (as for powers), so only those over floats are called.
    """
    *given, made = dtypes
    if any(dtype.kind != "f" for dtype in given):
        return None
    loop = _loop(ufunc, f"{''.join(dtype.char for dtype in given)}->{made.char}")
    if loop is None or not loop[0]:
        return None
    rank = len(out.shape)
    strides = [_broadcast(view, rank) for view in operands]
    axes = folded([(out.shape[k], *[s[k] for s in strides], out.strides[k]) for k in range(rank)])
    *batch, inner = axes or [(1, *[0] * len(dtypes))]
    sizes = [dtype.itemsize for dtype in dtypes]
    words = [*head([*operands, out], sizes, batch), *loop, inner[0]]
    words += [stride * size for stride, size in zip(inner[1:], sizes, strict=True)]
    count = product(out.shape)
    return Step(_call(len(dtypes), len(batch)), words, 20 * count, 8 * len(dtypes), f"{ufunc.__name__} {count}")


def _broadcast(view: View, rank: int) -> list[int]:
    """Strides along the axes of a result of this rank."""
    own = [0 if n == 1 else stride for n, stride in zip(view.shape, view.strides, strict=True)]
    return [0] * (rank - len(own)) + own


@functools.cache
def _call(count: int, rank: int) -> Source:
    code = Code()
    start = head_size(count, rank)
    target, data = code.word(start, "ptr"), code.word(start + 1, "ptr")
    size, steps = code.address(start + 2), code.address(start + 3)
    table = code.slot(start + 3 + count)
    with lines(code, count, rank) as places:
        for k, place in enumerate(places):
            code.line(f"store ptr {place}, ptr {code.at(table, str(8 * k))}")
        code.line(f"call void {target}(ptr {table}, ptr {size}, ptr {steps}, ptr {data})")
    return code.source()
