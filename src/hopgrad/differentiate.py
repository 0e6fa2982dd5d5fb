"""Differentiation, graph to graph: pull cotangents back or push tangents forward through local gradients.

Both sweeps only append hops to the builder, so a gradient is a graph like any other: it can be differentiated again,
evaluated, explained, drawn. Each visits every hop once, which is the dynamic programming that makes
backpropagation cheap: the adjoint of a value is added up over all its uses before it is passed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hopgrad.graph.builder import Builder, Expr
from hopgrad.graph.graph import Node, reachable
from hopgrad.graph.operators import Operator, Support, join


@dataclass(frozen=True)
class Zero:
    """Why a derivative is structurally zero. ``cuts`` are the hops that stopped it, if any did."""

    reason: str
    cuts: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.reason


@dataclass
class Pullback:
    """The result of a reverse sweep: the adjoint of each active value, and why others have none."""

    adjoints: dict[int, Expr] = field(default_factory=dict)
    shares: dict[tuple[int, int], Expr] = field(default_factory=dict)
    """For (using value, operand number): what that use adds to the operand's adjoint. Only if asked for."""
    operators: dict[tuple[int, int], Operator] = field(default_factory=dict)
    """For (using value, operand number): the local gradient. Only if asked for."""
    zeros: dict[int, Zero] = field(default_factory=dict)


def activity(builder: Builder, wrt: Sequence[int], top: int) -> bytearray:
    """Marks (1) all values up to `top` that a change of `wrt` can reach through hops that have derivatives."""
    active = bytearray(top + 1)
    for node in wrt:
        if node <= top:
            active[node] = 1
    args, start, kind, avals = builder.args_flat, builder.start, builder.kind, builder.avals
    differentiable = [hop.differentiable for hop, _ in builder.kinds]
    for node in range(min(wrt, default=top), top + 1):
        if active[node] or not differentiable[kind[node]] or avals[node].dtype.kind not in "fc":
            continue
        for k in range(start[node], start[node + 1]):
            if active[args[k]]:
                active[node] = 1
                break
    return active


def pull(
    builder: Builder, seeds: Mapping[int, Expr], wrt: Sequence[int], *, record: bool = False, why: bool = False
) -> Pullback:
    """Reverse mode: from cotangents of some values (`seeds`) to the adjoints of everything between them and `wrt`.

    Args:
        builder: Holds the values; the sweep appends to it.
        seeds: Cotangent of each result, of the result's shape and dtype.
        wrt: The values to differentiate with respect to.
        record: Keep each edge's operator and share.
        why: Give a `Zero` with its reason for each of `wrt` that has no adjoint.
    """
    out = Pullback()
    if wrt and seeds:
        top = max(seeds)
        active = activity(builder, wrt, top)
        bottom = min(wrt)
        pending: dict[int, tuple[Expr, Support]] = {}
        for node, cotangent in seeds.items():
            if active[node]:
                pending[node] = (cotangent, None)
        with builder.passing("gradient"):
            _sweep(builder, active, pending, bottom, top, out, record, set(wrt))
    if why:
        for node in wrt:
            if node not in out.adjoints:
                out.zeros[node] = reason_for_zero(builder, node, list(seeds))
    return out


def _sweep(
    builder: Builder,
    active: bytearray,
    pending: dict[int, tuple[Expr, Support]],
    bottom: int,
    top: int,
    out: Pullback,
    record: bool,
    wrt: set[int],
) -> None:
    for node in range(top, bottom - 1, -1):
        if node not in pending:
            continue
        cotangent, support = pending.pop(node)
        if record or node in wrt:
            out.adjoints[node] = cotangent
        ids = builder.args(node)
        flags = [bool(active[a]) for a in ids]
        if not any(flags):
            continue
        builder.made_for(node)
        hop, params = builder.kinds[builder.kind[node]]
        args, result = [builder.expr(a) for a in ids], builder.expr(node)
        for number, (arg, flag) in enumerate(zip(ids, flags, strict=True)):
            if not flag:
                continue
            operator = hop.operator(number, args, result, params, flags)
            if operator is None:
                continue
            share = operator.pull(cotangent, support)
            if record:
                out.operators[node, number] = operator
                out.shares[node, number] = share
            reach = operator.support(support)
            before = pending.get(arg)
            if before is not None:
                share, reach = before[0] + share, join(before[1], reach)
            pending[arg] = (share, reach)


def push(builder: Builder, seeds: Mapping[int, Expr], outputs: Sequence[int]) -> dict[int, Expr]:
    """Forward mode: from tangents of some values (`seeds`) to those of `outputs`; a missing one is zero."""
    if not seeds or not outputs:
        return {}
    top = max(outputs)
    active = activity(builder, list(seeds), top)
    tangents: dict[int, Expr] = dict(seeds)
    with builder.passing("tangent"):
        for node in reachable(builder, outputs, min(seeds)):
            if not active[node] or node in seeds:
                continue
            ids = builder.args(node)
            builder.made_for(node)
            hop, params = builder.kinds[builder.kind[node]]
            given = [tangents.get(a) for a in ids]
            if all(t is None for t in given):
                continue
            tangent = hop.push([builder.expr(a) for a in ids], builder.expr(node), params, given)
            if tangent is not None:
                tangents[node] = tangent
    return {node: tangents[node] for node in outputs if node in tangents}


def reason_for_zero(builder: Builder, node: int, outputs: Sequence[int]) -> Zero:
    """Why `outputs` have no derivative with respect to `node`: never used, or where the path was cut."""
    order = reachable(builder, outputs, node)
    if not order or order[0] != node:
        return Zero("the result does not use it")
    touched = {node}
    cuts = []
    for value in order[1:]:
        if not any(a in touched for a in builder.args(value)):
            continue
        hop = builder.hop(value)
        if hop.differentiable and builder.avals[value].is_float:
            touched.add(value)
        else:
            cuts.append(value)
    if not cuts:
        return Zero("its coefficient is zero")
    told = []
    for value in cuts[:3]:
        place = Node(builder, value).location
        told.append(f"{builder.hop(value).name}" + (f" ({place})" if place else ""))
    more = f" and {len(cuts) - 3} more" if len(cuts) > 3 else ""
    return Zero(f"cut by {', '.join(told)}{more}, which is flat", tuple(cuts))


def substitute(builder: Builder, outputs: Sequence[int], replaced: Mapping[int, int]) -> list[int]:
    """Re-emit what `outputs` need with some values replaced; what does not depend on them stays as it is.

    This is how a nested transform hands back its result: it differentiates with respect to fresh inputs, then puts
    the actual arguments in their place, so that derivatives of different levels can never be mixed up.
    """
    if not replaced:
        return list(outputs)
    moved = dict(replaced)
    for node in reachable(builder, outputs, min(replaced)):
        if node in moved:
            continue
        ids = builder.args(node)
        if any(a in moved for a in ids):
            hop, params = builder.kinds[builder.kind[node]]
            stage = builder.stage[node]
            with builder.passing(builder.stages[stage]):
                builder.made_for(builder.origin[node] if stage else node)
                before = len(builder)
                new = builder.emit(hop, [moved.get(a, a) for a in ids], params)
                if new >= before:
                    builder.site[new] = builder.site[node]
            moved[node] = new
    return [moved.get(n, n) for n in outputs]
