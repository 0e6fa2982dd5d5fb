"""Reductions."""

from __future__ import annotations

from math import prod

import numpy as np

from hopgrad.aval import Shape
from hopgrad.simplify.draft import Call, Draft
from hopgrad.simplify.rules import rule
from hopgrad.simplify.shapes import padded

Axes = tuple[int, ...]

# Reductions whose value for a single element is that element.
_OF_ONE = ("sum", "mean", "prod", "max", "min", "any", "all")

SHORT = 4
"""How long an axis is at most that native code writes out instead of looping over it."""


def is_short(shape: Shape, axes: Axes) -> bool:
    """Whether a sum has so few terms that they are added up one after the other: branches may depend on its rounding.

    Rules leave the terms of such sums as they are. Of several axes NumPy takes first which lies closest in memory.
    """
    return prod(shape[k] for k in axes) <= SHORT and sum(shape[k] > 1 for k in axes) < 2


@rule(_OF_ONE)
def reduction_of_one(draft: Draft, call: Call, x: int, *, axes: Axes, keepdims: bool) -> int | None:
    """Along axes of length 1 there is nothing to reduce.

    Not products of complex numbers, in which NumPy multiplies by 1 + 0i: times infinity that is NaN.
    """
    shape = draft.shape(x)
    if draft.aval(x).dtype != call.aval.dtype or (call.hop.name == "prod" and call.kind == "c"):
        return None
    return draft.reshape(x, call.shape) if all(shape[k] == 1 for k in axes) else None


@rule(("sum", "mean", "max", "min", "any", "all"), "broadcast_to")
def reduction_of_broadcast(draft: Draft, call: Call, x: int, *, axes: Axes, keepdims: bool) -> int | None:
    """A sum over n repetitions is n times one of them (rounded once), their mean or largest one is any of them.

    Not where n is 0, or too large for the dtype, and not for complex numbers, where n·(∞ + 0i) has a NaN part.
    """
    (inner,) = draft.args(x)
    shape = draft.shape(x)
    small = (1,) * (len(shape) - draft.aval(inner).ndim) + draft.shape(inner)
    repeated = tuple(k for k in axes if small[k] == 1 != shape[k])
    count = prod(shape[k] for k in repeated)
    if call.hop.name == "sum" and call.kind == "f" and count > 3 and is_short(shape, axes):
        return None  # x + x + x + x may differ from 4x, which x + x and x + x + x do not from 2x and 3x
    if not repeated or not count or draft.aval(x).dtype != call.aval.dtype:
        return None
    if call.hop.name in ("max", "min") and any(shape[k] != 1 for k in axes if k not in repeated):
        return None  # which zero is taken of zeros of both signs depends on the order
    kept = tuple(1 if k in repeated else n for k, n in enumerate(shape))
    once = draft.broadcast(padded(draft, inner, len(shape)), kept)
    total = draft.make(call.hop.name, once, axes=axes, keepdims=keepdims)
    if call.hop.name != "sum":
        return total
    if call.kind not in "fiu" or (call.kind == "f" and count > np.finfo(call.aval.dtype).max):
        return None
    return draft.make("multiply", total, draft.constant(count, call.aval.dtype))


@rule("sum", "sum")
def sum_of_sums(draft: Draft, call: Call, x: int, *, axes: Axes, keepdims: bool) -> int | None:
    """One sum over the axes of both, if nobody else wants the inner one."""
    (inner,), first = draft.args(x), draft.params(x)
    if not draft.single(x) or (is_short(draft.shape(x), axes) and is_short(draft.shape(inner), first["axes"])):
        return None
    left = tuple(k for k in range(draft.aval(inner).ndim) if first["keepdims"] or k not in first["axes"])
    both = tuple(sorted({*first["axes"], *[left[k] for k in axes]}))
    return draft.reshape(draft.make("sum", inner, axes=both, keepdims=False), call.shape)


@rule(("sum", "mean", "all", "any"), ("reshape", "transpose"))
def sum_of_everything(draft: Draft, call: Call, x: int, *, axes: Axes, keepdims: bool) -> int | None:
    """The sum or mean of all elements, or whether they hold, wherever they stand."""
    (inner,) = draft.args(x)
    if len(axes) != draft.aval(x).ndim or keepdims:
        return None
    return draft.make(call.hop.name, inner, axes=tuple(range(draft.aval(inner).ndim)), keepdims=False)


@rule(("sum", "mean"), "transpose")
def sum_of_transpose(draft: Draft, call: Call, x: int, *, axes: Axes, keepdims: bool) -> int | None:
    """A sum over other axes, if those that stay keep their order."""
    (inner,), order = draft.args(x), draft.params(x)["axes"]
    left = [order[k] for k in range(len(order)) if k not in axes]
    if left != sorted(left) or keepdims:
        return None
    return draft.make(call.hop.name, inner, axes=tuple(sorted(order[k] for k in axes)), keepdims=False)


@rule("sum", "multiply")
def sum_of_multiples(draft: Draft, call: Call, x: int, *, axes: Axes, keepdims: bool) -> int | None:
    """Σ c·x → c·Σ x for a constant 1 ≤ c < ∞: where Σ x overflows, Σ c·x does. A smaller c might have prevented it."""
    a, b = draft.args(x)
    if draft.name(a) == "number":
        a, b = b, a
    if draft.name(b) != "number" or call.kind != "f" or not draft.single(x):
        return None
    if not 1 <= draft.number(b) < np.inf or draft.shape(a) != draft.shape(x) or is_short(draft.shape(x), axes):
        return None
    return draft.make("multiply", draft.make("sum", a, axes=axes, keepdims=keepdims), b)


@rule("cumsum")
def running_sum_of_one(draft: Draft, call: Call, x: int, *, axis: int) -> int | None:
    """Along an axis of length 1 there is nothing to add."""
    return x if call.shape[axis] == 1 else None
