"""Structural hops: reshaping, moving axes, broadcasting, joining, indexing. Linear, each with its transposed map.

An index is a tuple of items, one for each axis that it consumes or makes: an int, ``None`` (new axis), a `Slice`, or
an `Operand`, which stands for one of the hop's integer-array operands (indexing with arrays).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np

from hopgrad.aval import Aval, Shape
from hopgrad.batch import Batch, stacked
from hopgrad.errors import ShapeError
from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import Case, Notation, structural
from hopgrad.graph.operators import sum_to

# -- axes ------------------------------------------------------------------------------------------------------------


def _reshape(x: Any, *, shape: Shape) -> Any:
    return np.reshape(x, shape)


def _reshaped(x: Aval, *, shape: Shape) -> Shape:
    if x.size != int(np.prod(shape, dtype=object)):
        raise ShapeError(f"cannot reshape {x.shape} into {shape}")
    return shape


def _reshape_batch(batch: Batch) -> Expr:
    return batch.shaped(batch.args[0])


@structural(_reshape, Notation("call", "reshape"), shape=_reshaped, batch=_reshape_batch,
            sample=lambda draw: Case(shape=draw([(6,), (3, 2), (1, 6, 1)])))  # fmt: skip
def reshape(ct: Any, x: Expr, *, shape: Shape) -> Any:
    """Elements keep their order, so reshaping back undoes it."""
    return reshape(ct, shape=x.shape)


def _transpose(x: Any, *, axes: tuple[int, ...]) -> Any:
    return np.transpose(x, axes)


def _permuted(x: Aval, *, axes: tuple[int, ...]) -> Shape:
    return tuple(x.shape[k] for k in axes)


def _transpose_batch(batch: Batch) -> Expr:
    return transpose(batch.args[0], axes=(0, *[k + 1 for k in batch.params["axes"]]))


@structural(_transpose, Notation("transpose", "ᵀ", r"^{\top}"), shape=_permuted, batch=_transpose_batch,
            sample=lambda draw: draw([Case(axes=(1, 0)), Case(axes=(0, 1)),
                                      Case((2, 3, 4), axes=(2, 0, 1))]))  # fmt: skip
def transpose(ct: Any, x: Expr, *, axes: tuple[int, ...]) -> Any:
    """The inverse permutation."""
    return transpose(ct, axes=tuple(int(k) for k in np.argsort(axes)))


def transposed(x: Any, axes: tuple[int, ...]) -> Any:
    """Transposed, unless that changes nothing."""
    return x if axes == tuple(range(x.ndim)) else transpose(x, axes=axes)


def _broadcast_to(x: Any, *, shape: Shape) -> Any:
    return np.broadcast_to(x, shape)


def _broadcasted(x: Aval, *, shape: Shape) -> Shape:
    try:
        fits = np.broadcast_shapes(x.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"cannot broadcast {x.shape} to {shape}")
    return shape


def _broadcast_batch(batch: Batch) -> Expr:
    return broadcast_to(batch.aligned(0, len(batch.like.shape)), shape=(batch.count, *batch.like.shape))


@structural(_broadcast_to, Notation("call", "broadcast"), shape=_broadcasted, batch=_broadcast_batch,
            sample=lambda draw: draw([Case(shape=(2, 3)), Case(shape=(4, 2, 3)), Case((2, 1), shape=(3, 2, 3)),
                                      Case((), shape=(2,)), Case((1, 1), shape=(1, 2))]))  # fmt: skip
def broadcast_to(ct: Any, x: Expr, *, shape: Shape) -> Any:
    """An element is used many times: its cotangents add up."""
    return sum_to(ct, x.shape)


# -- joining ---------------------------------------------------------------------------------------------------------


def _concatenate(*xs: Any, axis: int) -> Any:
    return np.concatenate(xs, axis=axis)


def _joined(*xs: Aval, axis: int) -> Shape:
    first = xs[0].shape
    for x in xs[1:]:
        if x.ndim != len(first) or any(
            a != b for k, (a, b) in enumerate(zip(first, x.shape, strict=True)) if k != axis
        ):
            raise ShapeError(f"cannot join shapes {', '.join(str(a.shape) for a in xs)} along axis {axis}")
    return tuple(sum(x.shape[axis] for x in xs) if k == axis else n for k, n in enumerate(first))


def _concatenate_batch(batch: Batch) -> Expr:
    return concatenate(*[batch.whole(k) for k in range(len(batch.args))], axis=batch.params["axis"] + 1)


@structural(_concatenate, Notation("call", "concat"), shape=_joined, batch=_concatenate_batch,
            sample=lambda draw: draw([Case((2, 3), axis=0), Case((2, 3), (1, 3), axis=0),
                                      Case((2, 3), (2, 0), (2, 1), axis=1)]))  # fmt: skip
def concatenate(ct: Any, *xs: Expr, index: int, axis: int) -> Any:
    """Each operand gets its own stretch back."""
    start = sum(x.shape[axis] for x in xs[:index])
    return slice_axis(ct, axis, start, start + xs[index].shape[axis], 1)


# -- indexing --------------------------------------------------------------------------------------------------------


class Slice(NamedTuple):
    """A slice as hashable data."""

    start: int | None
    stop: int | None
    step: int | None


class Operand(NamedTuple):
    """The k-th index array of the hop."""

    number: int


Items = tuple[int | Slice | Operand | EllipsisType | None, ...]
"""An ellipsis stands for no axis; between index arrays it says that their axes come first, as NumPy has it."""


def selection(items: Items, arrays: Sequence[Any] = ()) -> tuple[Any, ...]:
    """The index as NumPy takes it."""
    return tuple(
        slice(*item) if isinstance(item, Slice) else arrays[item.number] if isinstance(item, Operand) else item
        for item in items
    )


def _index(x: Any, *arrays: Any, items: Items) -> Any:
    return x[selection(items, arrays)]


def _picked(x: Aval, *arrays: Aval, items: Items) -> Shape:
    return _selected(x.shape, *arrays, items=items)


def _selected(shape: Shape, *arrays: Aval, items: Items) -> Shape:
    # An array without memory answers shape questions with NumPy's own rules, errors included.
    probe = np.broadcast_to(np.int8(0), shape)
    zeros = [np.zeros(a.shape, np.intp) for a in arrays]
    try:
        return np.shape(probe[selection(items, zeros)])
    except IndexError as error:
        raise ShapeError(f"index does not fit shape {shape}: {error}") from None


class _Places:
    """An index with arrays, for many values at once: the index, and where the arrays' axes come to lie.

    With index arrays that differ from value to value, the number of the value is an index array, too, in front of all
    others, so that the arrays' axes come first: the batch's one, and then `rank` others. For a single value they stand
    behind `before` other axes.
    """

    def __init__(self, batch: Batch, first: int) -> None:
        items: Items = batch.params["items"]
        numbers = range(first, len(batch.args))
        self._count = batch.count
        self.rank = max([len(batch.single(k)) for k in numbers], default=0)
        self.each = any(batch.along[first:])
        self.arrays = [batch.aligned(k, self.rank) for k in numbers]
        places = [k for k, item in enumerate(items) if isinstance(item, (int, Operand))]
        self._side_by_side = bool(places) and places == list(range(places[0], places[-1] + 1))
        # An index array that stands apart from others makes the axes of all come first.
        self.before = sum(not isinstance(i, EllipsisType) for i in items[: places[0]]) if self._side_by_side else 0
        self.items = (Slice(None, None, None), *items)
        if self.each:
            number = batch.builder.constant(np.arange(batch.count).reshape(-1, *[1] * self.rank))
            self.items = (Operand(len(self.arrays)), *items)
            self.arrays = [*self.arrays, number]

    def in_front(self, x: Expr) -> Expr:
        """What was read, its axes in order: the batch's one first."""
        if self.each:
            rest = range(1 + self.rank, x.ndim)
            return transposed(x, (0, *rest[: self.before], *range(1, 1 + self.rank), *rest[self.before :]))
        moved = 0 if self._side_by_side or not self.arrays else self.rank
        return transposed(x, (moved, *range(moved), *range(moved + 1, x.ndim)))

    def in_place(self, v: Expr) -> Expr:
        """What is to be written, whose batch axis is the first, with its axes as the index has them."""
        if self.each:
            order = (0, *range(1 + self.before, 1 + self.before + self.rank), *range(1, 1 + self.before))
            return transposed(v, (*order, *range(1 + self.before + self.rank, v.ndim)))
        moved = 0 if self._side_by_side or not self.arrays else self.rank
        return transposed(v, (*range(1, moved + 1), 0, *range(moved + 1, v.ndim)))


def _index_batch(batch: Batch) -> Expr:
    places = _Places(batch, 1)
    x = batch.args[0]
    if not batch.along[0]:  # one array for all: the batch is one more axis of the index arrays
        found = index(x, *places.arrays[:-1], items=batch.params["items"])
        return transposed(found, (places.before, *[k for k in range(found.ndim) if k != places.before]))
    return places.in_front(index(x, *places.arrays, items=places.items))


def _scatter_batch(batch: Batch) -> Expr:
    places = _Places(batch, 1)
    shape = (batch.count, *batch.params["shape"])
    return batch.hop(places.in_place(batch.whole(0)), *places.arrays, items=places.items, shape=shape)


def _put_batch(batch: Batch) -> Expr:
    places = _Places(batch, 2)
    return batch.hop(batch.whole(0), places.in_place(batch.whole(1)), *places.arrays, items=places.items)


_SAMPLE_INDICES = [
    Case(items=(1,)),
    Case(items=(Slice(None, None, -1),)),
    Case(items=(Slice(1, None, 1), None, 0)),
    Case(items=(Slice(0, 2, 1), 2)),
    Case(items=(Slice(5, 9, 1),)),
    Case(items=()),
    Case((2, 3), np.array([1, 0, 1]), items=(Operand(0),)),
    Case((2, 3), np.array([[2], [-1]]), items=(Slice(None, None, None), Operand(0))),
    Case((2, 3), np.array([0, 1, 1]), np.array([2, 0, 0]), items=(Operand(0), Operand(1))),
    Case((2, 3, 2), np.array([0, 1]), items=(Operand(0), Slice(None, None, 2), 1)),
]


@structural(_index, Notation("index", rule="indexing"), shape=_picked, moved=1, traits=("partial",),
            batch=_index_batch, sample=lambda draw: draw(_SAMPLE_INDICES))  # fmt: skip
def index(ct: Any, x: Expr, *arrays: Expr, items: Items) -> Any:
    """Cotangents go back to where the elements were taken; elements taken twice add up."""
    return scatter(ct, *arrays, items=items, shape=x.shape)


def _scatter(v: Any, *arrays: Any, items: Items, shape: Shape) -> Any:
    out = np.zeros(shape, v.dtype)
    if arrays:
        np.logical_or.at(out, selection(items, arrays), v) if v.dtype == bool else np.add.at(
            out, selection(items, arrays), v
        )
    else:
        out[selection(items)] = v
    return out


def _fit(x: Shape, v: Aval, arrays: Sequence[Aval], items: Items) -> Shape:
    """`x`, if a value of v's shape fits the index."""
    place = _selected(x, *arrays, items=items)
    if place != v.shape:
        raise ShapeError(f"cannot assign a value of shape {v.shape} to a place of shape {place}")
    return x


def _scattered(v: Aval, *arrays: Aval, items: Items, shape: Shape) -> Shape:
    return _fit(shape, v, arrays, items)


@structural(_scatter, Notation("call", "scatter"), shape=_scattered, moved=1, batch=_scatter_batch,
            sample=lambda draw: draw([
                Case((2, 3), items=(Slice(1, 3, 1),), shape=(4, 3)),
                Case((), items=(1, -1), shape=(2, 3)),
                Case((3,), np.array([1, 1, 0]), items=(Operand(0),), shape=(4,)),
                Case((2, 2), np.array([0, 2]), items=(Slice(None, None, None), Operand(0)), shape=(2, 3)),
            ]))  # fmt: skip
def scatter(ct: Any, v: Expr, *arrays: Expr, items: Items, shape: Shape) -> Any:
    """In zeros of shape ``shape``, v is added at the index: read back the places that were written."""
    return index(ct, *arrays, items=items)


def _put(x: Any, v: Any, *arrays: Any, items: Items) -> Any:
    out = x.copy()
    out[selection(items, arrays)] = v
    return out


def _put_shape(x: Aval, v: Aval, *arrays: Aval, items: Items) -> Shape:
    return _fit(x.shape, v, arrays, items)


@structural(_put, Notation("call", "put"), shape=_put_shape, moved=2, traits=("partial",),
            batch=_put_batch,
            sample=lambda draw: draw([
                Case((3, 2), (2, 2), items=(Slice(0, 2, 1),)),
                Case((3,), (), items=(-1,)),
                Case((4, 2), (2, 2), np.array([2, 0]), items=(Operand(0),)),
                Case((2, 3), (2,), np.array([0, 1]), np.array([2, 2]), items=(Operand(0), Operand(1))),
            ]))  # fmt: skip
def put(ct: Any, x: Expr, v: Expr, *arrays: Expr, index: int, items: Items) -> Any:
    """x with v written at the index (no place twice): the old elements there are lost, the new ones count."""
    if index:
        return catalogue_index(ct, *arrays, items=items)
    zero = np.zeros(v.shape, ct.dtype)
    return put(ct, ct.builder.constant(zero) if isinstance(ct, Expr) else zero, *arrays, items=items)


catalogue_index = index  # in put, the name index is a parameter


def slice_axis(x: Any, axis: int, start: int | None, stop: int | None, step: int) -> Any:
    """``x[..., start:stop:step, ...]`` along one axis, for a handle or an array."""
    items = (*[Slice(None, None, None)] * axis, Slice(start, stop, step))
    return index(x, items=items)


def _triangle(x: Any, *, k: int, lower: bool) -> Any:
    return np.tril(x, k) if lower else np.triu(x, k)


@structural(_triangle, Notation("call", "triangle"), shape=lambda x, **_: x.shape, traits=("partial",),
            batch=stacked,
            sample=lambda draw: Case(k=draw([-1, 0, 1]), lower=draw([True, False])))  # fmt: skip
def triangle(ct: Any, x: Expr, *, k: int, lower: bool) -> Any:
    """What was cut off gets nothing."""
    return triangle(ct, k=k, lower=lower)
