"""``np.nditer`` over traced arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import numpy

from hopgrad.hops.surface import refused
from hopgrad.numpy._arrays import asarray
from hopgrad.trace import context
from hopgrad.trace.context import Trace
from hopgrad.trace.tracer import ARRAY, Tracer, real, strides_of, with_place

_FLAGS = frozenset({"c_index", "f_index", "multi_index", "refs_ok", "zerosize_ok"})
_PARTS = frozenset({"readonly", "readwrite", "writeonly", "no_broadcast"})


def nditer(op: Any, flags: Any = (), op_flags: Any = None, *args: Any, **keywords: Any) -> Any:
    """As ``np.nditer``; over traced arrays without chunks, buffers and conversions.

    >>> import hopgrad as hg
    >>> import hopgrad.numpy as np
    >>> def f(x):
    ...     a = x.copy()
    ...     with np.nditer(a, op_flags=["readwrite"]) as places:
    ...         for place in places:
    ...             place[...] = place**2
    ...     return a.sum()
    >>> hg.grad(f)(numpy.array([1.0, 2.0]))
    array([2., 4.])
    """
    operands = list(op) if isinstance(op, (list, tuple)) else [op]
    trace = context.current()
    if trace is None or not any(type(v) is Tracer for v in operands):
        return numpy.nditer(op, flags, op_flags, *args, **keywords)
    return _Places(trace, operands, flags, op_flags, args, keywords, sys._getframe(1))


class _Places:
    """NumPy's iterator over the numbers of the elements, which gives the elements as arrays without axes."""

    def __init__(
        self, trace: Trace, operands: list[Any], flags: Any, op_flags: Any, args: Any, keywords: Any, frame: FrameType
    ) -> None:
        order = keywords.pop("order", "K")
        each = _each(op_flags, operands)
        if args or keywords or not _FLAGS.issuperset(flags) or not _PARTS.issuperset(v for part in each for v in part):
            error = refused("np.nditer with these options", "loop over np.ndindex(x.shape)")
            trace.refuse(with_place(error, frame))
        given = [v for v in operands if v is not None]
        if len(given) < len(operands):
            shape = numpy.broadcast_shapes(*map(numpy.shape, given))
            dtype = numpy.result_type(*[v.dtype if isinstance(v, numpy.ndarray) else v for v in given])
            operands = [real(trace, numpy.empty(shape, dtype)) if v is None else v for v in operands]
        self.operands: tuple[Any, ...] = tuple(v if isinstance(v, numpy.ndarray) else asarray(v) for v in operands)
        self._fixed = ["readonly" in part for part in each]
        numbered = [_numbered(v, frame) for v in self.operands]
        self._plain: Any = numpy.nditer(numbered, flags, order=order)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_plain"], name)

    @property
    def multi_index(self) -> Any:
        """Where the iterator is."""
        return self._plain.multi_index

    @multi_index.setter
    def multi_index(self, value: Any) -> None:
        self._plain.multi_index = value

    def __getitem__(self, k: int) -> Any:
        operand = self.operands[k]
        place = numpy.unravel_index(int(self._plain[k]), numpy.shape(operand))
        found = operand[(*map(int, place), Ellipsis)]
        if self._fixed[k]:
            found.flags.writeable = False
        return found

    def __setitem__(self, k: int, value: Any) -> None:
        self[k][...] = value

    def __len__(self) -> int:
        return len(self.operands)

    @property
    def value(self) -> Any:
        """The elements where the iterator is; alone if there is one array."""
        found = tuple(self[k] for k in range(len(self.operands)))
        return found[0] if len(found) == 1 else found

    def __iter__(self) -> Iterator[Any]:
        for _ in self._plain:
            yield self.value

    def __next__(self) -> Any:
        next(self._plain)
        return self.value

    def __enter__(self) -> _Places:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _each(op_flags: Any, operands: list[Any]) -> list[list[str]]:
    """The flags of each operand. NumPy takes those of one for all, and has its own for what is None."""
    if op_flags is None:
        return [["readonly"] if v is not None else ["writeonly"] for v in operands]
    if all(isinstance(v, str) for v in op_flags):
        return [list(op_flags) for _ in operands]
    return [[v for v in part if v != "allocate"] for part in op_flags]


def _numbered(operand: Any, frame: FrameType) -> Any:
    """The numbers of an array's elements, in an array whose elements lie as those do: their order depends on that."""
    shape = numpy.shape(operand)
    numbers = numpy.arange(operand.size).reshape(shape)
    strides = strides_of(operand) if type(operand) is Tracer and operand._kind == ARRAY else None
    if type(operand) is not Tracer:
        strides = tuple(s // operand.itemsize for s in operand.strides)
    if strides is None:
        if len(shape) > 1:
            operand._refuse("the memory layout (the order of np.nditer)", "loop over np.ndindex(x.shape)", frame)
        return numbers
    span = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    if not numbers.size:
        return numbers
    room = numpy.empty(1 + sum(map(abs, span)), numbers.dtype)[-sum(v for v in span if v < 0) :]
    laid = numpy.lib.stride_tricks.as_strided(room, shape, [s * room.itemsize for s in strides])
    laid[...] = numbers
    return laid
