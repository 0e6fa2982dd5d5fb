"""Many values of some inputs at once: what depends on these is computed for all of them, along a first axis of its own.

A Jacobian is one sweep for each unit vector. Batched, all sweeps are one graph, a few hops longer than that of one
sweep, and native code for it has no more steps. Sweeps are linear, so few hops occur in them and these have a rule
here; any other is computed for one value after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hopgrad.aval import Aval, Several
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.graph.graph import reachable
from hopgrad.graph.hop import ITEM, Elementwise, Hop, Reduction
from hopgrad.graph.operators import broadcast_to
from hopgrad.hops.shape import Items, Operand, Slice, concatenate, index, reshape, transpose, transposed

ELEMENTS = 1 << 22
"""How many elements the largest value of a batch may have."""
UNROLLED = 2000
"""How many hops a batch may have that are written out for each of its values."""


@dataclass
class Batch:
    """A hop to be computed for `count` values of the operands that are `along`: these have a first axis more."""

    hop: Hop
    args: Sequence[Expr]
    along: Sequence[bool]
    params: dict[str, Any]
    like: Aval
    """The result for one value."""
    count: int

    def aligned(self, number: int, ndim: int) -> Expr:
        """An operand with its own axes behind so many, to be broadcast."""
        x = self.args[number]
        missing = ndim + 1 - x.ndim
        if not self.along[number] or not missing:
            return x
        return reshape(x, shape=(self.count, *[1] * missing, *x.shape[1:]))

    def whole(self, number: int) -> Expr:
        """An operand with the first axis, repeated if it is not there."""
        x = self.args[number]
        return x if self.along[number] else broadcast_to(x, (self.count, *x.shape))

    def shaped(self, x: Expr) -> Expr:
        """The results in their shape."""
        shape = (self.count, *self.like.shape)
        return x if x.shape == shape else reshape(x, shape=shape)


Rule = Callable[[Batch], Expr | None]
"""The results of a hop along a first axis, or None if they have to be computed one after the other."""

_RULES: dict[str, Rule] = {}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def note(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, rule))
        return rule

    return note


def _rule_of(hop: Hop) -> Rule | None:
    if isinstance(hop, Elementwise):
        return _elementwise
    return _reduction if isinstance(hop, Reduction) else _RULES.get(hop.name)


def _elementwise(batch: Batch) -> Expr:
    ndim = len(batch.like.shape)
    return batch.hop(*[batch.aligned(k, ndim) for k in range(len(batch.args))], **batch.params)


def _reduction(batch: Batch) -> Expr | None:
    axes = tuple(k + 1 for k in batch.params["axes"])
    if batch.hop.name in ("argmax", "argmin") and len(axes) > 1:  # these count through all axes, or along one
        return None
    return batch.hop(batch.args[0], **{**batch.params, "axes": axes})


@_rule("cumsum", "fft", "rfft", "irfft")
def _along_axis(batch: Batch) -> Expr:
    return batch.hop(batch.args[0], **{**batch.params, "axis": batch.params["axis"] + 1})


@_rule("convert", "triangle", "real", "imag", "conjugate")
def _as_it_is(batch: Batch) -> Expr:
    return batch.hop(batch.args[0], **batch.params)


@_rule("cartesian")
def _cartesian(batch: Batch) -> Expr:
    return batch.hop(batch.whole(0), batch.whole(1))


@_rule("reshape")
def _reshape(batch: Batch) -> Expr:
    return batch.shaped(batch.args[0])


@_rule("transpose")
def _transpose(batch: Batch) -> Expr:
    return transpose(batch.args[0], axes=(0, *[k + 1 for k in batch.params["axes"]]))


@_rule("broadcast_to")
def _broadcast_to(batch: Batch) -> Expr:
    return broadcast_to(batch.aligned(0, len(batch.like.shape)), (batch.count, *batch.like.shape))


@_rule("concatenate")
def _concatenate(batch: Batch) -> Expr:
    return concatenate(*[batch.whole(k) for k in range(len(batch.args))], axis=batch.params["axis"] + 1)


_ALL = Slice(None, None, None)


def _in_front(items: Items, arrays: Sequence[Expr]) -> int:
    """How many axes come before all others, as index arrays make them that do not stand side by side."""
    places = [k for k, item in enumerate(items) if isinstance(item, (int, Operand))]
    if not arrays or places == list(range(places[0], places[-1] + 1)):
        return 0
    return max(a.ndim for a in arrays)


@_rule("index")
def _index(batch: Batch) -> Expr | None:
    x, *arrays = batch.args
    if any(batch.along[1:]):
        return None
    front = _in_front(batch.params["items"], arrays)
    found = index(x, *arrays, items=(_ALL, *batch.params["items"]))
    return transposed(found, (front, *range(front), *range(front + 1, found.ndim)))


@_rule("scatter")
def _scatter(batch: Batch) -> Expr | None:
    v, *arrays = batch.args
    if any(batch.along[1:]):
        return None
    return batch.hop(
        _moved(v, _in_front(batch.params["items"], arrays)),
        *arrays,
        items=(_ALL, *batch.params["items"]),
        shape=(batch.count, *batch.params["shape"]),
    )


@_rule("put")
def _put(batch: Batch) -> Expr | None:
    _, _, *arrays = batch.args
    if any(batch.along[2:]):
        return None
    v = _moved(batch.whole(1), _in_front(batch.params["items"], arrays))
    return batch.hop(batch.whole(0), v, *arrays, items=(_ALL, *batch.params["items"]))


def _moved(v: Expr, front: int) -> Expr:
    """What is written at an index, its first axis behind those that come before all others."""
    return transposed(v, (*range(1, front + 1), 0, *range(front + 1, v.ndim)))


@_rule("matmul")
def _matmul(batch: Batch) -> Expr:
    ranks = [x.ndim - along for x, along in zip(batch.args, batch.along, strict=True)]
    ndim = max(2, *ranks)

    def matrices(number: int) -> Expr:
        """An operand as matrices: a vector is one row on the left, one column on the right."""
        x = batch.args[number]
        if ranks[number] == 1:
            x = reshape(x, shape=(*x.shape[:-1], 1, x.shape[-1]) if number == 0 else (*x.shape, 1))
        missing = ndim + 1 - x.ndim if batch.along[number] else 0
        return reshape(x, shape=(batch.count, *[1] * missing, *x.shape[1:])) if missing else x

    return batch.shaped(batch.hop(matrices(0), matrices(1)))


@_rule("einsum")
def _einsum(batch: Batch) -> Expr | None:
    left, _, right = batch.params["subscripts"].partition("->")
    free = [c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in left]
    if not free:
        return None
    terms = [free[0] * along + term for term, along in zip(left.split(","), batch.along, strict=True)]
    return batch.hop(*batch.args, subscripts=f"{','.join(terms)}->{free[0]}{right}")


@_rule("solve", "triangular_solve")
def _solve(batch: Batch) -> Expr | None:
    """The right-hand sides of one matrix are columns side by side."""
    a, b = batch.args
    if batch.along[0] or a.ndim > 2 or b.ndim > 3:
        return None
    columns = transpose(b, axes=(1, 0, *range(2, b.ndim)))
    found = batch.hop(a, reshape(columns, shape=(b.shape[1], b.size // max(1, b.shape[1]))), **batch.params)
    return transpose(reshape(found, shape=columns.shape), axes=(1, 0, *range(2, b.ndim)))


def _one_by_one(batch: Batch) -> list[Any]:
    """The results, each by a hop of its own."""
    builder = batch.args[0].builder
    params = tuple(sorted(batch.params.items()))
    found = []
    for k in range(batch.count):
        ids = [index(x, items=(k,)).id if along else x.id for x, along in zip(batch.args, batch.along, strict=True)]
        found.append(builder.expr(builder.emit(batch.hop, ids, params)))
    return found


def _joined(values: Sequence[Expr]) -> Expr:
    return concatenate(*[reshape(v, shape=(1, *v.shape)) for v in values], axis=0)


def batched(builder: Builder, outputs: Sequence[int], along: Mapping[int, Expr]) -> list[Expr]:
    """What `outputs` are for several values of some others, along a first axis.

    Args:
        builder: Holds the values; what is new is appended to it.
        outputs: What to compute.
        along: For the values that vary (inputs, say) all that they shall be, along a first axis.
    """
    count = next(iter(along.values())).shape[0]
    moved = dict(along)
    several: dict[int, list[Expr]] = {}
    for node in reachable(builder, outputs, min(along)):
        ids = builder.args(node)
        if node in moved or not any(a in moved or a in several for a in ids):
            continue
        hop, params = builder.hop(node), dict(builder.params(node))
        stage, like = builder.stage[node], builder.avals[node]
        with builder.passing(builder.stages[stage]):
            builder.made_for(builder.origin[node] if stage else node)
            if hop is ITEM:
                moved[node] = _joined([hop(one, **params) for one in several[ids[0]]])
                continue
            args = [moved[a] if a in moved else builder.expr(a) for a in ids]
            batch = Batch(hop, args, [a in moved for a in ids], params, like, count)
            if isinstance(like, Several):
                several[node] = _one_by_one(batch)
                continue
            rule = _rule_of(hop)
            found = rule(batch) if rule else None
            moved[node] = _joined(_one_by_one(batch)) if found is None else found
        assert moved[node].shape == (count, *like.shape), hop
    return [
        moved[n] if n in moved else broadcast_to(builder.expr(n), (count, *builder.avals[n].shape)) for n in outputs
    ]


def bound(builder: Builder, outputs: Sequence[int], varying: int) -> int:
    """For how many values of `varying` at once `outputs` are best computed: a batch takes memory, and time to make."""
    depends = {varying}
    largest, single = builder.avals[varying].size, 0
    for node in reachable(builder, outputs, varying):
        if node in depends or depends.isdisjoint(builder.args(node)):
            continue
        depends.add(node)
        like = builder.avals[node]
        if isinstance(like, Several):
            single += 1
        else:
            largest = max(largest, like.size)
            single += builder.hop(node) is not ITEM and _rule_of(builder.hop(node)) is None
    return max(1, min(ELEMENTS // max(1, largest), UNROLLED // max(1, single)))


def units(builder: Builder, like: Aval) -> Expr:
    """All unit vectors of a shape, along a first axis."""
    number = builder.constant(np.arange(like.size).reshape(-1, *[1] * len(like.shape)))
    place = builder.constant(np.arange(like.size).reshape(like.shape))
    return catalogue["convert"](catalogue["equal"](number, place), dtype=like.dtype)
