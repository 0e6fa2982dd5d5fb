"""Local gradients as objects: the linear map from a change of one operand to the change of a hop's result.

One object has both readings: `push` (forward: tangent to tangent) and `pull` (reverse: cotangent to cotangent, the
transposed map). Forward mode, reverse mode and the labels on the edges of a picture all read the same one.

A cotangent also has a *support*: which of its elements are structurally nonzero (None: all). A zero that stands
for "this element was never used" must stay zero even where the local derivative is infinite, whereas a zero that was
computed must not hide an infinity. So a support is carried beside the value, and applied after each multiplication.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.aval import Aval, Shape, broadcast_axes
from hopgrad.graph.builder import Expr, catalogue

Support = np.ndarray[Any, Any] | Expr | None
"""Which elements of a cotangent are structurally nonzero: a fixed mask, one computed at run time, or None for all."""

Cotangent = tuple[Expr, Support]
"""A cotangent and its support."""

Either = Any  # a handle or an array: what goes in comes out


def sum_to(value: Either, shape: Shape) -> Either:
    """The transpose of broadcasting: sum over the axes along which `shape` was repeated ("any" for booleans).

    Example: a value of shape (2, 3) summed to (3,) or (2, 1). Takes handles and arrays, as all helpers here do.
    """
    if value.shape == shape:
        return value
    axes = broadcast_axes(shape, value.shape)
    if axes:
        value = catalogue["any" if value.dtype == bool else "sum"](value, axes=axes, keepdims=False)
    return value if value.shape == shape else catalogue["reshape"](value, shape=shape)


def broadcast_to(value: Either, shape: Shape) -> Either:
    """Broadcast, if the shape is not the right one already."""
    return value if value.shape == shape else catalogue["broadcast_to"](value, shape=shape)


def expand(value: Either, axes: tuple[int, ...], like: Aval, keepdims: bool) -> Either:
    """The transpose of summing over `axes`: put the axes back with length 1 and broadcast to `like`."""
    if not keepdims and axes:
        shape = tuple(1 if k in axes else n for k, n in enumerate(like.shape))
        if shape != value.shape:
            value = catalogue["reshape"](value, shape=shape)
    return broadcast_to(value, like.shape)


def join(first: Support, second: Support) -> Support:
    """The support of a sum of two cotangents."""
    if first is None or second is None:
        return None
    if isinstance(first, Expr) or isinstance(second, Expr):
        a, b = (first, second) if isinstance(first, Expr) else (second, first)
        return catalogue["logical_or"](a, b)
    mask = first | second
    return None if mask.all() else mask


def all_finite(value: Expr) -> Expr:
    """Whether all elements of a value are finite."""
    fine = catalogue["isfinite"](value)
    return catalogue["all"](fine, axes=tuple(range(fine.ndim)), keepdims=False)


def spread(support: Either, move: Callable[[Either], Either], dtype: np.dtype[Any]) -> Either:
    """A support moved by a map that adds up elements, all with positive weights: as numbers, then asked for nonzero."""
    return catalogue["not_equal"](move(catalogue["convert"](support, dtype=dtype)), 0)


def restrict(value: Expr, born: Expr | None) -> Expr:
    """`value` where a mask says so and an exact zero elsewhere."""
    return value if born is None else catalogue["where"](born, value, value.builder.constant(0, value.dtype))


def cleared(value: Expr, support: Support) -> Expr:
    """`restrict` to a support, without which the value is zero anyway, unless that zero met an infinity."""
    if not isinstance(support, Expr):
        if support is None or support.all():
            return value
        support = value.builder.constant(support)
    return catalogue["supported"](support, value)


class Operator:
    """The local gradient of one hop with respect to one operand. Subclasses define `push` and `pull`.

    Attributes: ``source`` and ``result`` are the abstract values of operand and result; ``factor`` is the elementwise
    factor (an expression, a number) where there is one, else None.
    """

    factor: Expr | float | None = None

    def __init__(self, source: Aval, result: Aval) -> None:
        self.source = source
        self.result = result

    def push(self, tangent: Expr) -> Expr:
        """Tangent of the operand → its share in the tangent of the result."""
        raise NotImplementedError

    def pull(self, cotangent: Expr, support: Support = None) -> Expr:
        """Cotangent of the result, nonzero on `support` only → its share in the cotangent of the operand."""
        raise NotImplementedError

    def support(self, support: Support) -> Support:
        """Support of the result's cotangent → support of the operand's share. None (all) is always safe."""
        return None


def _scaled(value: Expr, factor: Expr | float) -> Expr:
    if isinstance(factor, Expr):
        # The seed of a sweep is 1: leaving it out is exact and keeps gradients readable.
        data = value.constant
        return factor if data is not None and not data.shape and data == 1 else value * factor
    if factor == 1:
        return value
    return -value if factor == -1 else value * factor


def _may_be_infinite(factor: Expr | float | None) -> bool:
    if isinstance(factor, Expr):
        data = factor.constant
        return data is None or not bool(np.isfinite(data).all())
    return factor is not None and not np.isfinite(factor)


class Scale(Operator):
    """Elementwise: multiply by a factor that broadcasts against the result; broadcasting is undone by summing."""

    def __init__(self, source: Aval, result: Aval, factor: Expr | float, born: Expr | None = None) -> None:
        super().__init__(source, result)
        self.factor = factor
        self.born = born

    def push(self, tangent: Expr) -> Expr:
        out = broadcast_to(_scaled(tangent, self._factor), self.result.shape)
        return restrict(out, self.born)

    def pull(self, cotangent: Expr, support: Support = None) -> Expr:
        out = restrict(_scaled(cotangent, self._factor), self.born)
        if support is not None and _may_be_infinite(self.factor):
            out = cleared(out, support)
        return sum_to(out, self.source.shape)

    @property
    def _factor(self) -> Expr | float:
        assert self.factor is not None
        return self.factor

    def support(self, support: Support) -> Support:
        if self.born is not None:
            mask = broadcast_to(self.born, self.result.shape)
            support = mask if support is None else _and(support, mask)
        return None if support is None else sum_to(support, self.source.shape)


def _and(first: np.ndarray[Any, Any] | Expr, second: Expr) -> Expr:
    return catalogue["logical_and"](second, first)


class Weighted(Operator):
    """A reduction: multiply by weights of the operand's shape, then sum over axes.

    With `born`, a mask of the operand's shape, only the elements that it marks contribute (as in max).
    """

    def __init__(
        self,
        source: Aval,
        result: Aval,
        weights: Expr | float,
        axes: tuple[int, ...],
        keepdims: bool,
        born: Expr | None = None,
    ) -> None:
        super().__init__(source, result)
        self.factor = weights
        self.axes = axes
        self.keepdims = keepdims
        self.born = born

    def push(self, tangent: Expr) -> Expr:
        assert self.factor is not None
        weighted = restrict(_scaled(tangent, self.factor), self.born)
        return catalogue["sum"](weighted, axes=self.axes, keepdims=self.keepdims)

    def pull(self, cotangent: Expr, support: Support = None) -> Expr:
        assert self.factor is not None
        spread = expand(cotangent, self.axes, self.source, self.keepdims)
        out = restrict(_scaled(spread, self.factor), self.born)
        return cleared(out, self._spread(support)) if _may_be_infinite(self.factor) else out

    def support(self, support: Support) -> Support:
        support = self._spread(support)
        if self.born is None:
            return support
        return self.born if support is None else _and(support, self.born)

    def _spread(self, support: Support) -> Support:
        return None if support is None else expand(support, self.axes, self.source, self.keepdims)


class Linear(Operator):
    """A structural map (reshape, slice, gather, cumulative sum, …) given by its two readings.

    `mask` maps a support backwards; without it the support is taken as everything. With `infinite` the map has
    factors that may be infinite, so the support is applied after pulling.
    """

    def __init__(
        self,
        source: Aval,
        result: Aval,
        push: Callable[[Expr], Expr],
        pull: Callable[[Expr], Expr],
        mask: Callable[[Support], Support] | None = None,
        infinite: bool = False,
    ) -> None:
        super().__init__(source, result)
        self._push = push
        self._pull = pull
        self._mask = mask
        self._infinite = infinite

    def push(self, tangent: Expr) -> Expr:
        return self._push(tangent)

    def pull(self, cotangent: Expr, support: Support = None) -> Expr:
        out = self._pull(cotangent)
        return cleared(out, self.support(support)) if self._infinite and support is not None else out

    def support(self, support: Support) -> Support:
        return None if self._mask is None else self._mask(support)
