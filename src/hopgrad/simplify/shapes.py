"""Broadcasting, reshaping, moving axes, joining, changing dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np

from hopgrad.aval import Shape
from hopgrad.graph.hop import Elementwise, Hop
from hopgrad.simplify.draft import Call, Draft
from hopgrad.simplify.rules import rule

# -- broadcasting ----------------------------------------------------------------------------------------------------


def _maps(hop: Hop) -> bool:
    return isinstance(hop, Elementwise) or hop.name == "convert"


@rule(_maps, among=("broadcast_to", "constant", "reshape"))
def broadcast_operand(draft: Draft, call: Call, *args: int, **params: Any) -> int | None:
    """f(broadcast x, y) → f(x, y), broadcast if that is still needed: hops of elements broadcast by themselves.

    Likewise a constant that is the same number everywhere becomes that number, and leading axes of length 1 are left
    out.
    """
    plain = tuple([_unrepeated(draft, a) for a in args])
    if plain == args:
        return None
    return draft.broadcast(draft.again(call.hop, plain, call.params), call.shape)


def _unrepeated(draft: Draft, node: int) -> int:
    name = draft.name(node)
    if name == "constant":
        number = draft.number(node)
        return node if number is None else draft.constant(number)
    if name in ("broadcast_to", "reshape"):
        (x,) = draft.args(node)
        if name == "broadcast_to" or _stripped(draft.shape(node)) == draft.shape(x):
            return x
    return node


def _stripped(shape: Shape) -> Shape:
    """Without leading axes of length 1."""
    k = 0
    while k < len(shape) and shape[k] == 1:
        k += 1
    return shape[k:]


@rule("broadcast_to")
def broadcast_of_nothing(draft: Draft, call: Call, x: int, *, shape: Shape) -> int | None:
    """Broadcasting that repeats nothing is a reshape, or nothing at all."""
    if draft.shape(x) == shape:
        return x
    return draft.reshape(x, shape) if draft.aval(x).size == call.aval.size != 0 else None


@rule("broadcast_to", "broadcast_to")
def broadcast_twice(draft: Draft, call: Call, x: int, *, shape: Shape) -> int:
    """Broadcasting twice is broadcasting once."""
    return draft.broadcast(draft.args(x)[0], shape)


@rule("broadcast_to", "reshape")
def broadcast_with_new_axes(draft: Draft, call: Call, x: int, *, shape: Shape) -> int | None:
    """Leading axes of length 1 need not be made first."""
    (inner,) = draft.args(x)
    return draft.broadcast(inner, shape) if _stripped(draft.shape(x)) == draft.shape(inner) else None


@rule("broadcast_to", "constant")
def broadcast_of_one_number(draft: Draft, call: Call, x: int, *, shape: Shape) -> int | None:
    """A constant that is one number everywhere is broadcast from that number."""
    number = draft.number(x)
    return None if number is None else draft.broadcast(draft.constant(number), shape)


def padded(draft: Draft, node: int, ndim: int) -> int:
    """With leading axes of length 1, up to `ndim` axes."""
    shape = draft.shape(node)
    return draft.reshape(node, (1,) * (ndim - len(shape)) + shape)


# -- reshaping, moving axes ------------------------------------------------------------------------------------------


@rule("reshape", "reshape")
def reshape_twice(draft: Draft, call: Call, x: int, *, shape: Shape) -> int:
    """Only the last of two reshapes counts."""
    return draft.reshape(draft.args(x)[0], shape)


@rule("reshape")
def reshape_of_nothing(draft: Draft, call: Call, x: int, *, shape: Shape) -> int | None:
    """Reshaping to the shape that is there already."""
    return x if draft.shape(x) == shape else None


@rule("reshape", "broadcast_to")
def reshape_of_broadcast(draft: Draft, call: Call, x: int, *, shape: Shape) -> int | None:
    """Axes of length 1 are added to, or taken from, what was broadcast; one number is broadcast to the new shape."""
    (inner,) = draft.args(x)
    if draft.aval(inner).size == 1:
        return draft.broadcast(draft.reshape(inner, ()), shape)
    before = draft.shape(x)
    small = (1,) * (len(before) - draft.aval(inner).ndim) + draft.shape(inner)
    lengths = [(n, m) for n, m in zip(before, small, strict=True) if n != 1]
    if [n for n in shape if n != 1] != [n for n, _ in lengths]:
        return None
    kept = iter(lengths)
    return draft.broadcast(draft.reshape(inner, tuple(1 if n == 1 else next(kept)[1] for n in shape)), shape)


@rule("transpose")
def transpose_of_nothing(draft: Draft, call: Call, x: int, *, axes: Sequence[int]) -> int | None:
    """Moving no axes, or only some of length 1, which is a reshape."""
    shape = draft.shape(x)
    long = [k for k in axes if shape[k] != 1]
    return draft.reshape(x, call.shape) if long == sorted(long) else None


@rule("transpose", "transpose")
def transpose_twice(draft: Draft, call: Call, x: int, *, axes: Sequence[int]) -> int:
    """Two permutations are one."""
    first = draft.params(x)["axes"]
    return draft.transpose(draft.args(x)[0], [first[k] for k in axes])


@rule("transpose", "broadcast_to")
def transpose_of_broadcast(draft: Draft, call: Call, x: int, *, axes: Sequence[int]) -> int:
    """What was broadcast is moved instead."""
    return draft.broadcast(draft.transpose(padded(draft, draft.args(x)[0], len(axes)), axes), call.shape)


@rule(_maps, among=("reshape",))
def map_of_reshaped(draft: Draft, call: Call, *args: int, **params: Any) -> int | None:
    """f(reshape x, c) → reshape f(x, c), for what is computed and lines it up otherwise: only what is stored can be."""
    lined = [a for a in args if draft.shape(a)]
    if not lined or any(draft.name(a) != "reshape" or draft.shape(a) != call.shape for a in lined):
        return None
    sources = {draft.args(a)[0] for a in lined}
    shape = draft.shape(next(iter(sources)))
    if any(draft.shape(x) != shape or not draft.args(x) for x in sources) or _filled(shape) == _filled(call.shape):
        return None
    whole = [draft.args(a)[0] if draft.shape(a) else a for a in args]
    return draft.reshape(draft.again(call.hop, whole, call.params), call.shape)


def _filled(shape: Shape) -> Shape:
    """Without axes of length 1."""
    return tuple([n for n in shape if n != 1])


# -- dtypes ----------------------------------------------------------------------------------------------------------


@rule("convert")
def conversion_of_nothing(draft: Draft, call: Call, x: int, *, dtype: np.dtype[Any]) -> int | None:
    """Converting to the dtype that is there already."""
    return x if draft.aval(x).dtype == dtype else None


@rule("convert", "convert")
def conversion_twice(draft: Draft, call: Call, x: int, *, dtype: np.dtype[Any]) -> int | None:
    """A conversion on the way counts only if it loses something. From floats to integers nothing is said of ∞."""
    (inner,) = draft.args(x)
    source = draft.aval(inner).dtype
    if dtype.kind in "biu" and source.kind not in "biu":
        return None
    return draft.make("convert", inner, dtype=dtype) if _exact(source, draft.aval(x).dtype) else None


def _exact(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    """Whether each number of a dtype is one of the other."""
    if source.kind == "c" or target.kind == "c":
        return False
    if source.kind in "iu" and target.kind == "f":
        return 8 * source.itemsize <= np.finfo(target).nmant + 1
    return np.can_cast(source, target, "safe")


# -- joining ---------------------------------------------------------------------------------------------------------


@rule("concatenate")
def join_of_one(draft: Draft, call: Call, *parts: int, axis: int) -> int | None:
    """Parts without elements are left out; one part alone is the whole; parts that are one number are that number."""
    filled = [draft.shape(a)[axis] != 0 for a in parts]
    rest = tuple(compress(parts, filled)) or parts[:1]
    if len(rest) == 1:
        return rest[0]
    number = draft.number(rest[0])
    if number is not None and all(_alike(draft.number(a), number) for a in rest[1:]):
        return draft.broadcast(draft.constant(number), call.shape)
    return draft.again(call.hop, rest, call.params) if rest != parts else None


def _alike(first: Any, second: Any) -> bool:
    return first is not None and first.tobytes() == second.tobytes()
