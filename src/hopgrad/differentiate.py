"""Differentiation, graph to graph: pull cotangents back or push tangents forward through local gradients.

Both sweeps only append hops to the builder, so a gradient is a graph like any other: it can be differentiated again,
evaluated, explained, drawn. Each visits every hop once, which is the dynamic programming that makes
backpropagation cheap: the adjoint of a value is added up over all its uses before it is passed on.

An exponential under a fraction bar needs care: in 1/(1 + exp(−x)) at x = −800 the denominator overflows, and so its
derivative is infinite, times 0. But its *relative* change, that of its logarithm, is just 1 for each unit of x. So on
the way between a hop that grows exponentially and one that falls with it, both sweeps carry relative changes
(cotangents times the value, tangents divided by it), by the factors in ``growth`` and ``elasticity`` of each hop.
Nothing is decided by value, and what is made are hops again, so this holds to every order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from hopgrad.aval import Several
from hopgrad.graph.builder import Builder, Expr, Params, catalogue
from hopgrad.graph.graph import Node, reachable
from hopgrad.graph.hop import ITEM, Compound, Hop
from hopgrad.graph.operators import Cotangent, Operator, Scale, Support, join


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
    supports: dict[int, Support] = field(default_factory=dict)
    """Which elements of an adjoint are structurally nonzero, where that is known."""


def activity(builder: Builder, wrt: Sequence[int], top: int) -> bytearray:
    """Marks (1) all values up to `top` that a change of `wrt` can reach through hops that have derivatives."""
    active = bytearray(top + 1)
    for node in wrt:
        if node <= top:
            active[node] = 1
    args, start, kind, avals = builder.args_flat, builder.start, builder.kind, builder.avals
    differentiable = [hop.differentiable for hop, _ in builder.kinds]
    several = [isinstance(hop, Compound) or hop is ITEM for hop, _ in builder.kinds]
    reached: dict[int, Sequence[bool]] = {}
    for node in range(min(wrt, default=top), top + 1):
        if active[node] or not differentiable[kind[node]] or not avals[node].is_float:
            continue
        for k in range(start[node], start[node + 1]):
            if active[args[k]]:
                if several[kind[node]]:
                    _reach(builder, node, active, reached)
                else:
                    active[node] = 1
                break
    return active


def analytic(builder: Builder, wrt: int, output: int) -> bool:
    """Whether a complex value depends on another one as an analytic function does, as far as the hops tell."""
    active = activity(builder, [wrt], output)
    return all(
        builder.avals[node].dtype.kind == "c" and "conjugating" not in builder.hop(node).traits
        for node in reachable(builder, [output], wrt)
        if active[node] and node != wrt
    )


def _reach(builder: Builder, node: int, active: bytearray, reached: dict[int, Sequence[bool]]) -> None:
    """Mark a hop with several results, and note which of them are reached, or one of its items."""
    hop, params = builder.kinds[builder.kind[node]]
    ids = builder.args(node)
    if isinstance(hop, Compound):
        reached[node] = hop.reach(params, [bool(active[a]) for a in ids])
        active[node] = any(reached[node])
    else:
        active[node] = reached[ids[0]][params[0][1]]


def pull(
    builder: Builder,
    seeds: Mapping[int, Expr],
    wrt: Sequence[int],
    *,
    record: bool = False,
    why: bool = False,
    units: bool = False,
    supports: Mapping[int, Support] | None = None,
) -> Pullback:
    """Reverse mode: from cotangents of some values (`seeds`) to the adjoints of everything between them and `wrt`.

    Args:
        builder: Holds the values; the sweep appends to it.
        seeds: Cotangent of each result, of the result's shape and dtype.
        wrt: The values to differentiate with respect to.
        record: Keep each edge's operator and share.
        why: Give a `Zero` with its reason for each of `wrt` that has no adjoint.
        units: The seeds will be unit vectors: their zeros mean "not asked for", so they are no support.
        supports: Which elements of a seed are structurally nonzero, where not all are.
    """
    out = Pullback()
    if wrt and seeds:
        top = max(seeds)
        active = activity(builder, wrt, top)
        bottom = min(wrt)
        pending: dict[int, Cotangent] = {}
        for node, cotangent in seeds.items():
            if active[node]:
                asked = catalogue["not_equal"](cotangent, 0) if units and cotangent.shape else None
                pending[node] = (cotangent, supports.get(node) if supports else asked)
        with builder.passing("gradient"):
            _sweep(builder, active, pending, bottom, top, out, record, set(wrt))
        builder.adjoints.update([out.adjoints[node].id for node in wrt if node in out.adjoints])
    if why:
        for node in wrt:
            if node not in out.adjoints:
                out.zeros[node] = reason_for_zero(builder, node, list(seeds))
    return out


def _sweep(
    builder: Builder,
    active: bytearray,
    pending: dict[int, Cotangent],
    bottom: int,
    top: int,
    out: Pullback,
    record: bool,
    wrt: set[int],
) -> None:
    wanted = _overflowing(builder, active, range(bottom, top + 1))
    relative: dict[int, Cotangent] = {}
    several: dict[int, dict[int, Cotangent]] = {}
    for node in range(top, bottom - 1, -1):
        if node in several:
            _pull_all(builder, node, several.pop(node), active, pending, out, record)
            continue
        plain, scaled = pending.pop(node, None), relative.pop(node, None)
        if plain is None and scaled is None:
            continue
        result = builder.expr(node)
        if record or node in wrt:
            builder.made_for(node)
            out.adjoints[node] = _total(plain, scaled, result)
            if plain is None or scaled is None:
                out.supports[node] = (plain or scaled)[1]  # type: ignore[index]  # one of them is there
            else:
                out.supports[node] = join(plain[1], scaled[1])
        ids = builder.args(node)
        flags = [bool(active[a]) for a in ids]
        if not any(flags):
            continue
        builder.made_for(node)
        hop, params = builder.kinds[builder.kind[node]]
        if hop is ITEM:
            assert plain is not None
            several.setdefault(ids[0], {})[params[0][1]] = plain
            continue
        args = [builder.expr(a) for a in ids]
        for number, (arg, flag) in enumerate(zip(ids, flags, strict=True)):
            if not flag:
                continue
            operator = hop.operator(number, args, result, params, flags)
            if operator is None:
                continue
            own: list[tuple[Operator, Cotangent]] = []
            growing: list[tuple[Operator, Cotangent]] = []
            if plain is not None:
                if arg in wanted and number in hop.falling(params):
                    growing.append((_relative(hop, number, args, result, params, result), plain))
                else:
                    own.append((operator, plain))
            if scaled is not None:
                step = _relative(hop, number, args, result, params)
                (own if hop.growth else growing).append((step, scaled))
            share = _collect(own)
            grown = _collect(growing)
            if record:
                out.operators[node, number] = operator
                out.shares[node, number] = _total(share, grown, args[number])
            _add(pending, arg, share)
            _add(relative, arg, grown)


def _pull_all(
    builder: Builder,
    node: int,
    given: Mapping[int, Cotangent],
    active: bytearray,
    pending: dict[int, Cotangent],
    out: Pullback,
    record: bool,
) -> None:
    """The sweep at a hop with several results, once the cotangents of all its items are known."""
    builder.made_for(node)
    hop, params = builder.kinds[builder.kind[node]]
    result, ids = builder.expr(node), builder.args(node)
    assert isinstance(hop, Compound)
    assert isinstance(result.aval, Several)
    cotangents = [given.get(k) for k in range(len(result.aval.avals))]
    flags = [bool(active[a]) for a in ids]
    shares = hop.pull_all([builder.expr(a) for a in ids], result, params, cotangents, flags)
    for number, (arg, flag, share) in enumerate(zip(ids, flags, shares, strict=True)):
        if not flag or share is None:
            continue
        if record:
            out.shares[node, number] = share[0]
        _add(pending, arg, share)


def _collect(steps: list[tuple[Operator, Cotangent]]) -> Cotangent | None:
    total: Cotangent | None = None
    for operator, (cotangent, support) in steps:
        total = _sum(total, (operator.pull(cotangent, support), operator.support(support)))
    return total


def _sum(first: Cotangent | None, second: Cotangent | None) -> Cotangent | None:
    if first is None or second is None:
        return second if first is None else first
    return first[0] + second[0], join(first[1], second[1])


def _add(pending: dict[int, Cotangent], node: int, share: Cotangent | None) -> None:
    total = _sum(pending.get(node), share)
    if total is not None:
        pending[node] = total


def _total(plain: Cotangent | None, scaled: Cotangent | None, value: Expr) -> Expr:
    """The whole adjoint: the relative one is the adjoint times the value."""
    if scaled is None:
        assert plain is not None
        return plain[0]
    return scaled[0] / value if plain is None else plain[0] + scaled[0] / value


def push(builder: Builder, seeds: Mapping[int, Expr], outputs: Sequence[int]) -> dict[int, Expr]:
    """Forward mode: from tangents of some values (`seeds`) to those of `outputs`; a missing one is zero."""
    if not seeds or not outputs:
        return {}
    top = max(outputs)
    active = activity(builder, list(seeds), top)
    tangents: dict[int, Expr] = dict(seeds)
    relative: dict[int, Expr] = {}
    several: dict[int, Sequence[Expr | None]] = {}
    with builder.passing("tangent"):
        order = reachable(builder, outputs, min(seeds))
        wanted = _overflowing(builder, active, order)
        for node in order:
            if not active[node] or node in seeds:
                continue
            ids = builder.args(node)
            builder.made_for(node)
            hop, params = builder.kinds[builder.kind[node]]
            if hop is ITEM:
                tangent = several[ids[0]][params[0][1]] if ids[0] in several else None
                if tangent is not None:
                    tangents[node] = tangent
                continue
            given = [tangents.get(a) for a in ids]
            if all(t is None for t in given):
                continue
            args, result = [builder.expr(a) for a in ids], builder.expr(node)
            if isinstance(hop, Compound):
                several[node] = hop.push_all(args, result, params, given)
                continue
            tangent = None
            for number in hop.falling(params) if not wanted.isdisjoint(ids) else ():
                if ids[number] in relative:
                    step = _relative(hop, number, args, result, params, result).push(relative[ids[number]])
                    tangent = step if tangent is None else tangent + step
                    given[number] = None
            if any(t is not None for t in given):
                rest = hop.push(args, result, params, given)
                tangent = rest if tangent is None or rest is None else tangent + rest
            if tangent is not None:
                tangents[node] = tangent
            if node in wanted:
                changes = given if hop.growth else [relative.get(a) for a in ids]
                steps = [
                    _relative(hop, number, args, result, params).push(change)
                    for number, change in enumerate(changes)
                    if change is not None
                ]
                for step in steps:
                    relative[node] = relative[node] + step if node in relative else step
    return {node: tangents[node] for node in outputs if node in tangents}


# -- relative changes ------------------------------------------------------------------------------------------------


def _overflowing(builder: Builder, active: bytearray, nodes: Sequence[int]) -> set[int]:
    """Values under a fraction bar, or some negative power, that overflow because exponentials are in them."""
    rules = [(hop, hop.falling(params)) for hop, params in builder.kinds]
    if not any(hop.growth for hop, _ in rules) or not any(falling for _, falling in rules):
        return set()
    args, start, kind = builder.args_flat, builder.start, builder.kind
    steep: list[int] = []
    known: set[int] = set()
    wanted: set[int] = set()
    for node in nodes:
        hop, falling = rules[kind[node]]
        if not active[node] or (hop.growth is None and hop.elasticity is None):
            continue
        ids = args[start[node] : start[node + 1]]
        if hop.growth or (len(ids) and all(a in known or not active[a] for a in ids)):
            steep.append(node)
            known.add(node)
        wanted.update(ids[number] for number in falling if ids[number] in known)
    for node in reversed(steep):
        if node in wanted and not rules[kind[node]][0].growth:
            wanted.update(a for a in args[start[node] : start[node + 1]] if a in known)
    return wanted


def _relative(
    hop: Hop, number: int, args: Sequence[Expr], result: Expr, params: Params, value: Expr | None = None
) -> Operator:
    """The map from an operand's (relative) change to the result's relative change; with `value`, to its change."""
    factor = hop.relative(number, args, params)
    if value is not None:
        factor = -value if isinstance(factor, int) and factor == -1 else value * factor
    return Scale(args[number].aval, result.aval, factor)


# -- reasons and replacement -----------------------------------------------------------------------------------------


def reason_for_zero(builder: Builder, node: int, outputs: Sequence[int]) -> Zero:
    """Why `outputs` have no derivative with respect to `node`: never used, or where the path was cut."""
    order = reachable(builder, outputs, node)
    if not order or order[0] != node:
        return Zero("the result does not use it")
    touched = {node}
    cuts = []
    reached: dict[int, Sequence[bool]] = {}
    for value in order[1:]:
        ids = builder.args(value)
        if not any(a in touched for a in ids):
            continue
        hop, params = builder.kinds[builder.kind[value]]
        if isinstance(hop, Compound):
            reached[value] = hop.reach(params, [a in touched for a in ids])
        elif hop is ITEM and builder.avals[value].is_float and not reached[ids[0]][params[0][1]]:
            continue  # a result that does not depend on it
        if hop.differentiable and builder.avals[value].is_float:
            touched.add(value)
        else:
            cuts.append(value)
    if not cuts:
        return Zero("its coefficient is zero" if touched.intersection(outputs) else "the result does not use it")
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
            if node in builder.adjoints:
                builder.adjoints.add(new)
            moved[node] = new
    return [moved.get(n, n) for n in outputs]


def transplant(
    source: Builder,
    outputs: Sequence[int],
    target: Builder,
    known: Mapping[int, int],
    *,
    start: int = 0,
    places: bool = False,
) -> list[int]:
    """Emit again in another builder what `outputs` need, given the values there that stand for `known` ones.

    All values below `start` that are needed must be known, unless they are constants. With `places` the values keep
    their pass and their place in the user's code; the two builders share their `sites`.
    """
    moved = dict(known)

    def place(node: int) -> int:
        if node not in moved and node in source.constants:
            moved[node] = target.constant(source.constants[node]).id
        return moved[node]

    for node in reachable(source, outputs, start, known=moved):
        if node not in moved and node not in source.constants:
            hop, params = source.kinds[source.kind[node]]
            before = len(target)
            with target.passing(source.stages[source.stage[node]]) if places else nullcontext():
                new = moved[node] = target.emit(hop, [place(a) for a in source.args(node)], params)
            if places and new >= before:
                target.site[new] = source.site[node]
    return [place(n) for n in outputs]
