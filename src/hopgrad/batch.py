"""Many values of some inputs at once: what depends on these is computed for all of them, along a first axis of its own.

A Jacobian is one sweep for each unit vector, and `vmap` is one call for each row. Batched, all of them are one graph,
a few hops longer than that of a single one, and native code for it has no more steps. How a hop is batched is part of
its definition (`Hop.batch`), and for most hops follows from their class. A hop that has no form for many values is
computed for one value after the other, by a loop in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hopgrad.aval import Aval, Several, aval
from hopgrad.differentiate import transplant
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.graph.graph import Graph, Node, reachable
from hopgrad.graph.hop import ITEM, Compound, Elementwise, Hop, Reduction
from hopgrad.graph.operators import broadcast_to

ELEMENTS = 1 << 22
"""How many elements the largest value of a batch may have."""

Part = tuple[Expr, bool]
"""A value, and whether it has the batch's axis in front."""


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

    @property
    def builder(self) -> Builder:
        """Holds the values."""
        return self.args[0].builder

    def aligned(self, number: int, ndim: int) -> Expr:
        """An operand with its own axes behind so many, to be broadcast."""
        x = self.args[number]
        missing = ndim + 1 - x.ndim
        if not self.along[number] or not missing:
            return x
        return catalogue["reshape"](x, shape=(self.count, *[1] * missing, *x.shape[1:]))

    def whole(self, number: int) -> Expr:
        """An operand with the first axis, repeated if it is not there."""
        x = self.args[number]
        return x if self.along[number] else broadcast_to(x, (self.count, *x.shape))

    def single(self, number: int) -> tuple[int, ...]:
        """The shape of an operand for one value."""
        return self.args[number].shape[int(self.along[number]) :]

    def shaped(self, x: Expr) -> Expr:
        """The results in their shape."""
        shape = (self.count, *self.like.shape)
        return x if x.shape == shape else catalogue["reshape"](x, shape=shape)


Rule = Callable[[Batch], Any]
"""The results of a hop along a first axis, or None if they have to be computed one after the other.

Of a `Compound` hop, a `Part` for each result.
"""


# -- rules that several hops have --------------------------------------------------------------------------------------


def stacked(batch: Batch) -> Any:
    """For hops of stacks (of matrices, of numbers): the batch is one more axis of the stack."""
    args = [batch.whole(k) for k in range(len(batch.args))]
    if isinstance(batch.hop, Compound):
        return items(batch.hop, args, batch.params)
    return batch.hop(*args, **batch.params)


def along_axis(batch: Batch) -> Expr:
    """For hops along one axis, which stands behind the batch's."""
    args = [batch.whole(k) for k in range(len(batch.args))]
    return batch.hop(*args, **{**batch.params, "axis": batch.params["axis"] + 1})


def along_axes(batch: Batch) -> Expr:
    """As `along_axis`, for hops along several axes."""
    axes = tuple(k + 1 for k in batch.params["axes"])
    return batch.hop(batch.args[0], **{**batch.params, "axes": axes})


def rest_alone(batch: Batch) -> Expr | None:
    """For hops that take one operand as a whole and the other element by element."""
    if batch.along[0]:
        return None
    return batch.hop(*batch.args, **batch.params)


def last_alone(batch: Batch) -> Expr | None:
    """As `rest_alone`, with the operand that is taken as a whole last."""
    if batch.along[-1]:
        return None
    return batch.hop(*batch.args, **batch.params)


def items(hop: Compound, args: Sequence[Expr], params: Mapping[str, Any]) -> list[Part]:
    """All results of a hop with several, with the batch's axis."""
    builder = args[0].builder
    whole = builder.expr(builder.emit(hop, [x.id for x in args], tuple(sorted(params.items()))))
    assert isinstance(whole.aval, Several)
    return [(ITEM(whole, index=k), True) for k in range(len(whole.aval.avals))]


def _elementwise(batch: Batch) -> Expr:
    ndim = len(batch.like.shape)
    return batch.hop(*[batch.aligned(k, ndim) for k in range(len(batch.args))], **batch.params)


def _rule_of(hop: Hop) -> Rule | None:
    if hop.batch is not None:
        return hop.batch
    if isinstance(hop, Elementwise):
        return _elementwise
    return along_axes if isinstance(hop, Reduction) else None


# -- one after the other -----------------------------------------------------------------------------------------------


def _one_by_one(batch: Batch) -> list[Part]:
    """All results of a hop, by a loop that computes it for one value after the other."""
    hop, args, along = batch.hop, batch.args, batch.along
    body = Builder()
    fresh = [body.input(_one(x, flag), "x").id for x, flag in zip(args, along, strict=True)]
    found = body.expr(body.emit(hop, fresh, tuple(sorted(batch.params.items()))))
    outputs = [found]
    if isinstance(found.aval, Several):
        outputs = [ITEM(found, index=k) for k in range(len(found.aval.avals))]
    order = [k for k, flag in enumerate(along) if not flag] + [k for k, flag in enumerate(along) if flag]
    graph = Graph(body, [fresh[k] for k in order], [x.id for x in outputs])
    graph.cache["one by one"] = hop.name
    loop = {"body": graph, "consts": len(along) - sum(along), "carries": 0, "counted": False, "length": batch.count,
            "reverse": False}  # fmt: skip
    scan = catalogue["scan"]
    assert isinstance(scan, Compound)
    return items(scan, [args[k] for k in order], loop)


def _one(x: Expr, along: bool) -> Aval:
    return aval(x.shape[1:], x.dtype) if along else x.aval


def one_by_one(builder: Builder) -> list[str]:
    """The hops that are computed for one value of a batch after the other, with their places in the user's code."""
    slow: dict[int, str] = {}
    for kind, (hop, params) in enumerate(builder.kinds):
        if hop.name == "scan" and (name := _body(params).cache.get("one by one")):
            slow[kind] = name
    told: dict[str, None] = {}
    if slow:
        for node, kind in enumerate(builder.kind):
            if kind in slow:
                place = Node(builder, node).location
                told[slow[kind] + (f" (line {place.line} of {place.file})" if place else "")] = None
    for hop, params in builder.kinds:  # bodies of loops and branches
        for _, value in params if isinstance(hop, Compound) else ():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Graph) and "one by one" not in part.cache:
                    told.update(dict.fromkeys(one_by_one(part.builder)))
    return list(told)


def _body(params: Any) -> Graph:
    body: Graph = dict(params)["body"]
    return body


# -- whole graphs ------------------------------------------------------------------------------------------------------


def spread(builder: Builder, outputs: Sequence[int], along: Mapping[int, Expr], count: int) -> list[Part]:
    """What `outputs` are for `count` values of some others; those that do not depend on these stay as they are.

    Args:
        builder: Holds the values; what is new is appended to it.
        outputs: What to compute.
        along: For the values that vary (inputs, say) all that they shall be, along a first axis.
        count: The length of that axis.
    """
    moved: dict[int, Part] = {node: (every, True) for node, every in along.items()}
    several: dict[int, Sequence[Part]] = {}
    for node in reachable(builder, outputs, min(along)) if along else ():
        ids = builder.args(node)
        if node in moved or not any(a in moved or a in several for a in ids):
            continue
        hop, params = builder.hop(node), dict(builder.params(node))
        stage, like = builder.stage[node], builder.avals[node]
        with builder.passing(builder.stages[stage]):
            builder.made_for(builder.origin[node] if stage else node)
            before = len(builder)
            if hop is ITEM:
                moved[node] = several[ids[0]][params["index"]]
                continue
            given = [moved.get(a) or (builder.expr(a), False) for a in ids]
            if not any(flag for _, flag in given):  # it depends on a result of a loop that is the same for all
                new = builder.expr(builder.emit(hop, [x.id for x, _ in given], builder.params(node)))
                if isinstance(like, Several):
                    several[node] = [(ITEM(new, index=k), False) for k in range(len(like.avals))]
                else:
                    moved[node] = new, False
                continue
            batch = Batch(hop, [x for x, _ in given], [flag for _, flag in given], params, like, count)
            rule = _rule_of(hop)
            found = rule(batch) if rule else None
            if isinstance(like, Several):
                several[node] = _one_by_one(batch) if found is None else found
            else:
                moved[node] = _one_by_one(batch)[0] if found is None else (found, True)
                assert moved[node][0].shape == (count, *like.shape), hop
            if not stage:
                _sited(builder, before, node, moved[node][0].id if node in moved else -1)
    return [moved.get(n) or (builder.expr(n), False) for n in outputs]


def _sited(builder: Builder, before: int, node: int, made: int) -> None:
    """Give the new values of a batch the place of the one that they are made of; all but `made` are parts of a call."""
    site = builder.site[node]
    for new in range(before, len(builder)):
        if not builder.site[new]:
            builder.site[new] = site if new == made else -abs(site)


def batched(builder: Builder, outputs: Sequence[int], along: Mapping[int, Expr]) -> list[Expr]:
    """As `spread`, with the batch's axis for all outputs."""
    count = next(iter(along.values())).shape[0]
    return [x if flag else broadcast_to(x, (count, *x.shape)) for x, flag in spread(builder, outputs, along, count)]


def spread_graph(
    graph: Graph, given: Sequence[Expr], along: Sequence[bool], count: int, builder: Builder
) -> list[Part]:
    """The outputs of a closed graph, emitted into a builder for `count` values of the inputs that are `along`."""
    known: dict[int, int] = {}
    wide: dict[int, Expr] = {}
    for node, x, flag in zip(graph.inputs, given, along, strict=True):
        if flag:
            fresh = known[node] = builder.input(graph.builder.avals[node], "x").id
            wide[fresh] = x
        else:
            known[node] = x.id
    return spread(builder, transplant(graph.builder, graph.outputs, builder, known), wide, count)


def spread_closed(
    graph: Graph,
    along: Sequence[bool],
    count: int,
    finish: Callable[[list[Part]], list[Expr]] | None = None,
) -> tuple[Graph, list[bool]]:
    """A closed graph for `count` values of the inputs that are `along`, and which of its outputs have the batch's axis.

    `finish` makes the outputs of what is found, if they are to be others.
    """
    builder = Builder()
    builder.sites = graph.builder.sites
    likes = [graph.builder.avals[n] for n in graph.inputs]
    inputs = [
        builder.input(aval((count, *like.shape), like.dtype) if flag else like, "x")
        for like, flag in zip(likes, along, strict=True)
    ]
    found = spread_graph(graph, inputs, along, count, builder)
    outputs = finish(found) if finish else [x for x, _ in found]
    return Graph(builder, [x.id for x in inputs], [x.id for x in outputs]), [flag for _, flag in found]


def bound(builder: Builder, outputs: Sequence[int], varying: int) -> int:
    """For how many values of `varying` at once `outputs` are best computed: a batch takes memory."""
    depends = {varying}
    largest = builder.avals[varying].size
    for node in reachable(builder, outputs, varying):
        if node in depends or depends.isdisjoint(builder.args(node)):
            continue
        depends.add(node)
        like = builder.avals[node]
        for one in like.avals if isinstance(like, Several) else (like,):
            largest = max(largest, one.size)
    return max(1, ELEMENTS // max(1, largest))


def units(builder: Builder, like: Aval) -> Expr:
    """All unit vectors of a shape, along a first axis."""
    number = builder.constant(np.arange(like.size).reshape(-1, *[1] * len(like.shape)))
    place = builder.constant(np.arange(like.size).reshape(like.shape))
    return catalogue["convert"](catalogue["equal"](number, place), dtype=like.dtype)
