"""Loops and branches as hops: `SCAN`, `WHILE` and `SWITCH` own their bodies as graphs.

A body is a closed graph in a builder of its own: all that it needs comes in as an operand. So a loop is one hop,
whatever its number of steps, and its derivative is a loop again, made of the body's own derivative: the backward loop
gets the values that the loop carried into each step (its *trajectory*), and computes everything else of the step anew.
These derivatives are hops like all others, and so can be differentiated in turn.

Supports pass through loops as well. Where a cotangent that is carried backwards has structurally zero elements (a
result that nobody uses, an untaken ``where``), the backward loop carries a boolean mask beside it, so that the
derivative of a loop is that of the same loop written out, to the last NaN. Masks that nobody needs are not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np

from hopgrad.aval import Aval, Several, aval
from hopgrad.batch import Batch, Part, spread_closed, spread_graph
from hopgrad.differentiate import activity, pull, push, transplant
from hopgrad.errors import GraphError, LoopError, NotDifferentiableError
from hopgrad.evaluate import Plan
from hopgrad.graph.builder import Builder, Expr, Params, catalogue, zeros
from hopgrad.graph.graph import Graph, Node, reachable
from hopgrad.graph.hop import ITEM, Compound, Notation
from hopgrad.graph.operators import Cotangent, Support, broadcast_to, join
from hopgrad.hops.shape import Slice, concatenate, index, reshape, transposed

# -- graphs as parts ---------------------------------------------------------------------------------------------------


def inline(graph: Graph, inputs: Sequence[Expr], builder: Builder) -> list[Expr]:
    """The outputs of a closed graph, emitted into a builder where `inputs` stand for its own."""
    known = {node: given.id for node, given in zip(graph.inputs, inputs, strict=True)}
    return [Expr(builder, node) for node in transplant(graph.builder, graph.outputs, builder, known)]


def closed(avals: Sequence[Aval], make: Callable[[Builder, list[Expr]], Sequence[Expr]]) -> Graph:
    """The closed graph that `make` builds from inputs of these kinds."""
    builder = Builder()
    inputs = [builder.input(like, "x") for like in avals]
    with builder.passing("gradient"):
        outputs = make(builder, inputs)
    return Graph(builder, [x.id for x in inputs], [x.id for x in outputs])


def dependencies(graph: Graph) -> list[set[int]]:
    """For each output of a graph the positions of the inputs that it needs."""
    found = graph.cache.get("dependencies")
    if found is None:
        builder = graph.builder
        bits = {node: 1 << k for k, node in enumerate(graph.inputs)}
        for node in graph.order:
            if node not in bits:
                mark = 0
                for a in builder.args(node):
                    mark |= bits[a]
                bits[node] = mark
        found = graph.cache["dependencies"] = [
            {k for k in range(len(graph.inputs)) if bits[node] >> k & 1} for node in graph.outputs
        ]
    return list(found)


def looped(builder: Builder) -> float:
    """How many hops are computed within the loops of a graph; infinity if that depends on values."""
    total = 0.0
    for node, like in enumerate(builder.avals):
        if type(like) is not Several:
            continue
        hop, params = builder.hop(node), dict(builder.params(node))
        if hop is WHILE:
            return inf
        if hop is SCAN:
            inner = params["body"].builder
            total += params["length"] * (len(inner) + looped(inner))
        elif hop is SWITCH:
            total += max(looped(branch.builder) for branch in _branches(builder.params(node)))
    return total


def reached(graph: Graph, active: Sequence[bool]) -> list[bool]:
    """Which outputs change, differentiably, with the inputs marked in `active`."""
    key = ("reached", tuple(active))
    found = graph.cache.get(key)
    if found is None:
        wrt = [node for node, flag in zip(graph.inputs, active, strict=True) if flag]
        marks = activity(graph.builder, wrt, max(graph.outputs, default=0))
        found = graph.cache[key] = [bool(wrt) and bool(marks[node]) for node in graph.outputs]
    return list(found)


def pull_graph(
    graph: Graph,
    builder: Builder,
    inputs: Sequence[Expr],
    cotangents: Sequence[Cotangent | None],
    active: Sequence[bool],
) -> list[Cotangent | None]:
    """The cotangents of a graph's inputs. `inputs` are fresh inputs of `builder`, where all of it is emitted."""
    seeds: dict[int, Expr] = {}
    supports: dict[int, Support] = {}
    for out, cotangent in zip(inline(graph, inputs, builder), cotangents, strict=True):
        if cotangent is None:
            continue
        if out.id in seeds:
            seeds[out.id] = seeds[out.id] + cotangent[0]
            supports[out.id] = join(supports[out.id], cotangent[1])
        else:
            seeds[out.id], supports[out.id] = cotangent
    wrt = [x.id for x, flag in zip(inputs, active, strict=True) if flag]
    back = pull(builder, seeds, wrt, supports=supports)
    return [
        (back.adjoints[x.id], back.supports[x.id]) if flag and x.id in back.adjoints else None
        for x, flag in zip(inputs, active, strict=True)
    ]


def push_graph(
    graph: Graph, builder: Builder, inputs: Sequence[Expr], tangents: Sequence[Expr | None]
) -> tuple[list[Expr], list[Expr | None]]:
    """The outputs of a graph and their tangents. `inputs` are fresh inputs of `builder`."""
    outputs = inline(graph, inputs, builder)
    seeds = {x.id: t for x, t in zip(inputs, tangents, strict=True) if t is not None}
    found = push(builder, seeds, [out.id for out in outputs])
    return outputs, [found.get(out.id) for out in outputs]


def as_mask(support: Support, like: Aval, builder: Builder) -> Expr:
    """A support as a boolean value of the shape of the cotangent that it belongs to."""
    if support is None:
        return broadcast_to(builder.constant(True), like.shape)
    mask = support if isinstance(support, Expr) else builder.constant(support)
    return broadcast_to(mask, like.shape)


def no_mask(like: Aval, builder: Builder) -> Expr:
    """A mask that is nowhere true."""
    return zeros(builder, aval(like.shape, bool))


def _float(like: Aval) -> bool:
    return like.dtype.kind in "fc"


class Columns:
    """Operands or results of several kinds in a row, found again by (kind, number)."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, int]] = []
        self.place: dict[tuple[str, int], int] = {}

    def add(self, kind: str, number: int) -> None:
        self.place[kind, number] = len(self.keys)
        self.keys.append((kind, number))

    def pick(self, values: Sequence[Any], kind: str, number: int) -> Any:
        """The value of this kind and number, or None."""
        place = self.place.get((kind, number))
        return None if place is None else values[place]


# -- how loops run -----------------------------------------------------------------------------------------------------


_WORTH_COMPILING = 64


class Stepper:
    """One step of a loop, ready to run: what does not change from step to step is computed once."""

    def __init__(self, graph: Graph, outputs: Sequence[int], consts: int, varied: Sequence[int]) -> None:
        builder = graph.builder
        self.fixed_inputs = graph.inputs[:consts]
        varying = set(graph.inputs[consts:])
        depends = set(varying)
        fixed: set[int] = {node for node in outputs if node not in depends}
        for node in reachable(builder, outputs):
            args = builder.args(node)
            if not depends.isdisjoint(args):
                depends.add(node)
                fixed.update(args)
        once = sorted(node for node in fixed - depends if node not in builder.constants)
        self.once = Plan(builder, once, set(self.fixed_inputs))
        self.plan = Plan(builder, outputs, set(once) | varying)
        self.varied = varied
        self._tried = False
        self.steps = 0
        self._function: Callable[..., tuple[Any, ...]] | None = None

    def start(self, consts: Sequence[Any], quiet: bool) -> Callable[[Sequence[Any]], Sequence[Any]]:
        """The function that makes a step: from the values of `varied` inputs to the outputs.

        `quiet` says that NumPy is silent already, and all hops shall be. Many `steps` are worth a compilation.
        """
        step = self._start(consts)
        if quiet or not self.plan.silent:
            return step

        def silenced(given: Sequence[Any]) -> Sequence[Any]:
            with np.errstate(all="ignore"):
                return step(given)

        return silenced

    def _start(self, consts: Sequence[Any]) -> Callable[[Sequence[Any]], Sequence[Any]]:
        common = self.once.run(dict(zip(self.fixed_inputs, consts, strict=True)))
        plan, varied, outputs = self.plan, self.varied, self.plan.outputs
        if self.steps >= _WORTH_COMPILING and not self._tried:
            self._tried = True
            self._function = plan.compiled([*varied, *self.once.outputs])
        function = self._function
        if function is not None:
            return lambda given: function(*given, *common)
        known = {**plan.constants, **dict(zip(self.once.outputs, common, strict=True))}

        def step(given: Sequence[Any]) -> Sequence[Any]:
            values = known.copy()
            values.update(zip(varied, given, strict=True))
            plan.fill(values, plan.silent)
            return [values[node] for node in outputs]

        return step


def needed_carries(carried: list[set[int]], first: int, wanted: set[int]) -> list[int]:
    """The carries that have to be computed, given input positions that are needed; ``carried`` as `dependencies`."""
    needed: set[int] = set()
    todo = [k - first for k in wanted if 0 <= k - first < len(carried)]
    while todo:
        one = todo.pop()
        if one not in needed:
            needed.add(one)
            todo += [k - first for k in carried[one] if 0 <= k - first < len(carried)]
    return sorted(needed)


# -- scan --------------------------------------------------------------------------------------------------------------


class Scan(Compound):
    """``length`` steps of ``body``, which maps (constants, carries, slices) to (carries, results of the step).

    Operands: the constants, the carries' first values, arrays whose first axis is the steps; before them all, with
    ``counted``, how many of the steps are really made (the first ones; the other rows of the results are zeros).
    Results: the carries' last values, the results of all steps stacked, and for derivatives the carries' values before
    each step, stacked. With ``reverse`` the steps are made from the last to the first.
    """

    takes = frozenset({"body", "consts", "carries", "counted", "length", "reverse"})

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        loop = Loop(tuple(sorted(params.items())))
        _, consts, carries, xs = loop.split(avals)
        expected = [*consts, *carries, *[aval(x.shape[1:], x.dtype) for x in xs]]
        inner, _ = _outputs(loop.body)
        _agree("scan", loop.body, expected)
        if inner[: len(carries)] != list(carries):
            raise GraphError(f"scan: the body turns carries {list(carries)} into {inner[: len(carries)]}")
        if any(not x.ndim or x.shape[0] != loop.length for x in xs):
            raise GraphError(f"scan: not all of {list(xs)} have {loop.length} rows")
        return [*carries, *[aval((loop.length, *v.shape), v.dtype) for v in (*inner[len(carries) :], *carries)]]

    def shown(self, params: Params) -> int:
        return len(dict(params)["body"].outputs)

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        loop = Loop(params)
        marks, outputs = loop.spread(active[loop.counted :])
        carries = marks[loop.consts : loop.consts + loop.carries]
        return [*outputs, *carries]

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        loop = Loop(params)
        key = ("scan", loop.consts, loop.carries, tuple(wanted))
        made = loop.body.cache.get(key)
        if made is None:
            made = loop.body.cache[key] = _ScanRun(loop, wanted)
        run: _ScanRun = made
        return lambda *args: run(loop, args)

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        loop = Loop(params)
        count, consts, carries, xs = loop.split(args)
        shown = self.shown(params)
        flags = active[loop.counted :]

        def trajectory(number: int) -> Expr:
            return ITEM(out, index=shown + number)

        found = _pull_steps(
            loop, count[0] if count else None, consts, carries, xs, trajectory,
            cotangents[: loop.carries], cotangents[loop.carries : shown], cotangents[shown:], flags, loop.carries,
        )  # fmt: skip
        return [*[None for _ in count], *found]

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        # Which carries have tangents may change from step to step, but settles after a few, or else alternates.
        return self._push(args, params, tangents, Loop(params).carries)

    def _push(
        self, args: Sequence[Expr], params: Params, tangents: Sequence[Expr | None], peels: int
    ) -> Sequence[Expr | None]:
        loop = Loop(params)
        count, consts, carries, xs = loop.split(args)
        given = tangents[loop.counted :]
        if not loop.length:
            _, _, dlast, _ = loop.split(tangents)
            return [*dlast, *[None] * len(loop.body.outputs)]
        if peels and not loop.counted and _changes(loop, given):
            return self._push_peeled(args, params, tangents, peels - 1)
        joint = _push_loop(loop, given)
        dconsts, dcarries, dxs = joint.given(loop, tangents[loop.counted :], args[loop.counted :])
        operands = [*count, *consts, *dconsts, *carries, *dcarries, *xs, *dxs]
        more = {"consts": len(consts) + len(dconsts), "carries": len(carries) + len(dcarries), "body": joint.body}
        whole = emit(self, operands, {**dict(params), **more})
        ys = len(loop.body.outputs) - loop.carries
        first = [len(carries) + k for k in range(len(dcarries))]
        base = len(carries) + len(dcarries) + ys
        pushed: list[Expr | None] = [None] * (loop.carries + ys + loop.carries)
        for place, number in zip(first, joint.carries, strict=True):
            pushed[number] = ITEM(whole, index=place)
            trajectory = base + len(joint.ys) + place
            pushed[loop.carries + ys + number] = ITEM(whole, index=trajectory)
        for k, number in enumerate(joint.ys):
            pushed[loop.carries + number] = ITEM(whole, index=base + k)
        return pushed

    def _push_peeled(
        self, args: Sequence[Expr], params: Params, tangents: Sequence[Expr | None], peels: int
    ) -> Sequence[Expr | None]:
        """The first step by itself, where other carries have tangents than later on.

        A zero tangent in place of a missing one could meet an infinite slope, which in the loop written out it never
        does.
        """
        loop = Loop(params)
        builder = args[0].builder
        _, consts, carries, xs = loop.split(args)
        _, dconsts, dcarries, dxs = loop.split(tangents)
        ys = len(loop.body.outputs) - loop.carries
        single, moved = _first_step(loop, tangents)
        first = _rows(loop, True)
        rest = _rows(loop, False)
        before = [t for t in (*dconsts, *dcarries) if t is not None]
        operands = [*consts, *carries, *before, *map(first, xs), *[first(t) for t in dxs if t is not None]]
        whole = emit(self, operands, {
            **dict(params), "body": single, "consts": len(operands) - len(xs) - sum(t is not None for t in dxs),
            "carries": 0, "length": 1,
        })  # fmt: skip
        values = [ITEM(whole, index=k) for k in range(len(single.outputs))]
        after = [reshape(v, shape=c.shape) for v, c in zip(values, carries, strict=False)]
        found: dict[int, Expr] = {k: values[loop.carries + place] for place, k in enumerate(moved)}
        dafter = [reshape(found[k], shape=carries[k].shape) if k in found else None for k in range(loop.carries)]
        dy = [found.get(loop.carries + k) for k in range(ys)]
        dbefore = [None if t is None else reshape(t, shape=(1, *t.shape)) for t in dcarries]
        if loop.length == 1:
            return [*dafter, *dy, *dbefore]
        shorter = {**dict(params), "length": loop.length - 1}
        later = [*consts, *after, *map(rest, xs)]
        dlater = [*dconsts, *dafter, *[None if t is None else rest(t) for t in dxs]]
        pushed = self._push(later, tuple(sorted(shorter.items())), dlater, peels)

        def joined(head: Expr | None, tail: Expr | None) -> Expr | None:
            if head is None and tail is None:
                return None
            like = head if tail is None else tail
            assert like is not None
            row = like.shape[1:]
            head = zeros(builder, aval((1, *row), like.dtype)) if head is None else head
            tail = zeros(builder, aval((loop.length - 1, *row), like.dtype)) if tail is None else tail
            return concatenate(*((tail, head) if loop.reverse else (head, tail)), axis=0)

        tails = pushed[loop.carries :]
        return [*pushed[: loop.carries], *[joined(h, t) for h, t in zip((*dy, *dbefore), tails, strict=True)]]


def _changes(loop: Loop, tangents: Sequence[Expr | None]) -> bool:
    """Whether other carries have tangents after the first step, apart from sums, to which a zero does no harm."""
    body = loop.body
    _, moved = _first_step(loop, tangents)
    for k in range(loop.carries):
        before, after = tangents[loop.consts + k] is not None, k in moved
        if before and not after:
            return True
        uses = body.uses.get(body.inputs[loop.consts + k], [])
        if after and not before and any(body.builder.hop(user).name != "add" or body.uses[user] for user, _ in uses):
            return True
    return False


def _rows(loop: Any, first: bool) -> Callable[[Expr], Expr]:
    """The rows of the first step that is made, or of all others."""
    if loop.reverse:
        part = Slice(loop.length - 1, loop.length, 1) if first else Slice(0, loop.length - 1, 1)
    else:
        part = Slice(0, 1, 1) if first else Slice(1, loop.length, 1)

    def take(x: Expr) -> Expr:
        found: Expr = index(x, items=(part,))
        return found

    return take


def emit(hop: Compound, operands: Sequence[Expr], params: dict[str, Any], builder: Builder | None = None) -> Expr:
    """The tuple of all results of a hop with several."""
    builder = operands[0].builder if builder is None else builder
    return Expr(builder, builder.emit(hop, [x.id for x in operands], tuple(sorted(params.items()))))


def _outputs(graph: Graph) -> tuple[list[Aval], list[Aval]]:
    avals = graph.builder.avals
    return [avals[n] for n in graph.outputs], [avals[n] for n in graph.inputs]


def _agree(name: str, graph: Graph, expected: Sequence[Aval]) -> None:
    have = [graph.builder.avals[n] for n in graph.inputs]
    if have != list(expected):
        raise GraphError(f"{name}: a body takes {have}, but gets {list(expected)}")


class Loop:
    """The parameters of a loop by name, and what follows from them."""

    def __init__(self, params: Params) -> None:
        self.given = given = dict(params)
        self.body: Graph = given["body"]
        self.consts: int = given["consts"]
        self.carries: int = given["carries"]
        self.counted: bool = given.get("counted", False)
        counts = self.consts, self.carries
        if type(self.body) is not Graph or any(type(n) is not int or n < 0 for n in counts):
            raise GraphError("a loop needs a body, and the numbers of its constants and carries")
        length = given["length"] if "length" in given else given["max_steps"]
        self.endless = length is None
        self.length: int = -1 if length is None else length
        """The number of steps, or the bound on it."""
        if type(self.length) is not int or (self.length < 0 and not self.endless):
            raise GraphError(f"a loop cannot have {length!r} steps")
        self.reverse: bool = given.get("reverse", False)

    def cut(self, length: int) -> Loop:
        """The same loop with another number of steps."""
        return Loop(tuple({**self.given, "length": length}.items()))

    def split(self, values: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Operands as (number of steps, constants, carries, arrays)."""
        a = int(self.counted)
        b, c = a + self.consts, a + self.consts + self.carries
        return values[:a], values[a:b], values[b:c], values[c:]

    def spread(self, active: Sequence[bool]) -> tuple[list[bool], list[bool]]:
        """Which of the body's inputs, and which of its outputs, change with the marked operands in some step."""
        marks = list(active)
        while True:
            outputs = reached(self.body, marks)
            more = list(marks)
            for k in range(self.carries):
                more[self.consts + k] = marks[self.consts + k] or outputs[k]
            if more == marks:
                return marks, [marks[self.consts + k] for k in range(self.carries)] + outputs[self.carries :]
            marks = more


class _ScanRun:
    """A scan made ready to compute some of its results."""

    def __init__(self, loop: Loop, wanted: Sequence[int]) -> None:
        body, avals = loop.body, loop.body.builder.avals
        shown = len(body.outputs)
        needs = dependencies(body)
        self.results = [k for k in wanted if loop.carries <= k < shown]
        self.trajectories = [k - shown for k in wanted if k >= shown]
        asked = set().union(*[needs[k] for k in self.results])
        asked |= {loop.consts + k for k in self.trajectories} | {loop.consts + k for k in wanted if k < loop.carries}
        self.carries = needed_carries(needs[: loop.carries], loop.consts, asked)
        outputs = [body.outputs[k] for k in (*self.carries, *self.results)]
        first = loop.consts + loop.carries
        used = set(reachable(body.builder, outputs))
        self.xs = [k - first for k, node in enumerate(body.inputs) if k >= first and node in used]
        varied = [body.inputs[k] for k in (*[loop.consts + k for k in self.carries], *[first + k for k in self.xs])]
        self.stepper = Stepper(body, outputs, loop.consts, varied)
        self.stacked = [(k, avals[body.outputs[k]]) for k in self.results]
        self.before = [(k, self.carries.index(k), avals[body.inputs[loop.consts + k]]) for k in self.trajectories]
        self.shown = shown

    def __call__(self, loop: Loop, args: Sequence[Any]) -> Sequence[Any]:
        count, consts, carries, xs = loop.split(args)
        steps = int(count[0]) if count else loop.length
        # Steps that are not made leave zeros; pages of zeros that nobody writes to cost nothing.
        room = np.zeros if count else np.empty
        results: list[Any] = [None] * (self.shown + loop.carries)
        stacked = [room((loop.length, *like.shape), like.dtype) for _, like in self.stacked]
        before = [(room((loop.length, *like.shape), like.dtype), place) for _, place, like in self.before]
        state: Sequence[Any] = [carries[k] for k in self.carries]
        if steps:  # else not even the body's constant part is computed
            self.stepper.steps += steps
            step = self.stepper.start(consts, True)
            rows = [xs[k] for k in self.xs]
            count_state = len(state)
            with np.errstate(all="ignore") if self.stepper.plan.silent else _NOTHING:
                for t in range(steps - 1, -1, -1) if loop.reverse else range(steps):
                    for store, place in before:
                        store[t] = state[place]
                    found = step([*state, *[row[t] for row in rows]])
                    state = found[:count_state]
                    for place, store in enumerate(stacked, count_state):
                        store[t] = found[place]
        for k, value in zip(self.carries, state, strict=True):
            results[k] = value
        for (k, _), store in zip(self.stacked, stacked, strict=True):
            results[k] = store
        for (k, _, _), (store, _) in zip(self.before, before, strict=True):
            results[self.shown + k] = store
        return results


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        return None


_NOTHING = _Nothing()


# -- loops backwards ---------------------------------------------------------------------------------------------------


class _Backward(NamedTuple):
    """The body of a backward loop, and what its operands and results are."""

    body: Graph
    consts: Columns
    carries: Columns
    xs: Columns
    ys: Columns


def _pull_steps(
    loop: Loop,
    count: Expr | None,
    consts: Sequence[Expr],
    carries: Sequence[Expr],
    xs: Sequence[Expr],
    trajectory: Callable[[int], Expr],
    last: Sequence[Cotangent | None],
    stacked: Sequence[Cotangent | None],
    before: Sequence[Cotangent | None],
    active: Sequence[bool],
    peels: int,
) -> list[Cotangent | None]:
    """As `_pull_loop`, with the first step by itself where that matters.

    The derivative at a tie, as in ``np.maximum(total, x)``, depends on which operands are differentiated. A carry that
    starts as a constant is not, in the first step.
    """
    a, b = loop.consts, loop.consts + loop.carries
    after = reached(loop.body, active)[: loop.carries]
    if count is not None or not (loop.length and peels) or after == list(active[a:b]) or not _has_ties(loop.body):
        return _pull_loop(loop, count, consts, carries, xs, trajectory, last, stacked, before, active)
    first, rest = _rows(loop, True), _rows(loop, False)

    def part(take: Callable[[Any], Any], given: Sequence[Cotangent | None]) -> list[Cotangent | None]:
        return [None if c is None else (take(c[0]), None if c[1] is None else take(c[1])) for c in given]

    later: list[Cotangent | None] = [None] * len(active)
    between = [c if flag else None for c, flag in zip(last, after, strict=True)]
    if loop.length > 1:
        later = _pull_steps(
            loop.cut(loop.length - 1), None, consts, carries, [rest(x) for x in xs], lambda k: rest(trajectory(k)),
            last, part(rest, stacked), part(rest, before), [*active[:a], *after, *active[b:]], peels - 1,
        )  # fmt: skip
        between = later[a:b]
    head = _pull_loop(
        loop.cut(1), None, consts, carries, [first(x) for x in xs],
        lambda k: first(trajectory(k)), between, part(first, stacked), part(first, before), active,
    )  # fmt: skip
    sums = [c if d is None else _plus(c, d) for c, d in zip(later[:a], head[:a], strict=True)]
    found = [_concatenated(loop, h, t, x) for h, t, x in zip(head[b:], later[b:], xs, strict=True)]
    return [*sums, *head[a:b], *found]


def _concatenated(loop: Loop, head: Cotangent | None, tail: Cotangent | None, x: Expr) -> Cotangent | None:
    """The cotangent of an array from those of its first row in the loop's order and of the others."""
    if loop.length == 1 or (head is None and tail is None):
        return head
    values, masks = [], []
    for given, rows in ((head, 1), (tail, loop.length - 1)):
        like = aval((rows, *x.shape[1:]), x.dtype)
        values.append(zeros(x.builder, like) if given is None else given[0])
        masks.append(no_mask(like, x.builder) if given is None else as_mask(given[1], like, x.builder))
    if loop.reverse:
        values.reverse()
        masks.reverse()
    full = head is not None and tail is not None and head[1] is None and tail[1] is None
    return concatenate(*values, axis=0), None if full else concatenate(*masks, axis=0)


def _has_ties(graph: Graph) -> bool:
    """Whether the local gradient of some hop depends on which operands are differentiated."""
    found = graph.cache.get("ties")
    if found is None:
        builder = graph.builder
        own = any("active" in builder.hop(node).wants for node in graph.order)
        found = graph.cache["ties"] = own or any(_has_ties(inner) for inner in graph.subgraphs)
    return bool(found)


def _pull_loop(
    loop: Loop,
    count: Expr | None,
    consts: Sequence[Expr],
    carries: Sequence[Expr],
    xs: Sequence[Expr],
    trajectory: Callable[[int], Expr],
    last: Sequence[Cotangent | None],
    stacked: Sequence[Cotangent | None],
    before: Sequence[Cotangent | None],
    active: Sequence[bool],
) -> list[Cotangent | None]:
    """Cotangents of a loop's operands (without the count), given those of its results: a scan the other way round.

    `last` belong to the carries' last values, `stacked` to the results of the steps, `before` to the trajectory.
    """
    builder = (*consts, *carries, *xs)[0].builder
    # In a single step, what the carries will be does not matter.
    marks = list(active) if count is None and loop.length == 1 else loop.spread(active)[0]
    if count is None and not loop.length:
        through = [c if flag else None for c, flag in zip(last, active[loop.consts :], strict=False)]
        return [*[None for _ in consts], *through, *[None for _ in xs]]
    pattern = tuple(tuple(None if c is None else c[1] is not None for c in given) for given in (last, stacked, before))
    key = ("pull", loop.consts, loop.carries, count is not None, tuple(marks), pattern)
    made = loop.body.cache.get(key)
    if made is None:
        made = loop.body.cache[key] = _backward(loop, count is not None, marks, *pattern)
    back: _Backward = made
    if not back.body.outputs:
        return [None for _ in active]

    def stored(kind: str, number: int) -> Expr:
        if kind == "carry":
            return trajectory(number)
        if kind == "x":
            return xs[number]
        cotangent = (stacked if kind in ("y", "ymask") else before)[number]
        assert cotangent is not None
        return cotangent[0] if kind in ("y", "before") else as_mask(cotangent[1], cotangent[0].aval, builder)

    def first(kind: str, number: int) -> Expr:
        like = (consts if kind in ("sum", "summask") else carries)[number].aval
        given = last[number] if kind in ("ct", "mask") else None
        if kind == "ct":
            return zeros(builder, like) if given is None else given[0]
        if kind == "mask" and given is not None:
            return as_mask(given[1], like, builder)
        return zeros(builder, like) if kind == "sum" else no_mask(like, builder)

    operands = [] if count is None else [count]
    operands += [consts[k] for _, k in back.consts.keys]
    operands += [first(*key) for key in back.carries.keys]
    operands += [stored(*key) for key in back.xs.keys]
    whole = emit(SCAN, operands, {
        "body": back.body, "consts": len(back.consts.keys), "carries": len(back.carries.keys),
        "counted": count is not None, "length": loop.length, "reverse": not loop.reverse,
    })  # fmt: skip

    def result(columns: Columns, value: str, mask: str, number: int) -> Cotangent | None:
        offset = 0 if columns is back.carries else len(back.carries.keys)
        place = columns.place.get((value, number))
        if place is None:
            return None
        where = columns.place.get((mask, number))
        return ITEM(whole, index=offset + place), None if where is None else ITEM(whole, index=offset + where)

    return [
        *[result(back.carries, "sum", "summask", k) for k in range(len(consts))],
        *[result(back.carries, "ct", "mask", k) for k in range(len(carries))],
        *[result(back.ys, "dx", "dxmask", k) for k in range(len(xs))],
    ]


Pattern = tuple[bool | None, ...]
"""For each result: None where it has no cotangent, else whether this has a support."""


def _backward(
    loop: Loop, counted: bool, marks: Sequence[bool], last: Pattern, stacked: Pattern, before: Pattern
) -> _Backward:
    """The body of the backward loop. Which carries have cotangents, and which of them masks, are least fixed points."""
    of_consts = [k for k in range(loop.consts) if marks[k]]
    of_carries = [k for k in range(loop.carries) if marks[loop.consts + k]]
    after = reached(loop.body, marks)
    carried = {k for k in range(loop.carries) if (marks[loop.consts + k] or after[k]) and last[k] is not None}
    carried |= {k for k in of_carries if before[k] is not None}
    masked = {k for k in carried if last[k] is not False}
    sums: set[int] = set()
    masked_sums: set[int] = set()
    while True:
        made, cts, adjoints = _backward_once(loop, counted, marks, stacked, before, carried, masked, sums, masked_sums)
        more_carried = carried | {k for k in of_carries if cts[k] is not None}
        more_masked = masked | {k for k in more_carried if (c := cts[k]) is None or c[1] is not None}
        more_masked |= {k for k in more_carried if last[k] is not False}
        more_sums = {k for k in of_consts if adjoints[k] is not None}
        more_masked_sums = {k for k in more_sums if counted or (c := adjoints[k]) is None or c[1] is not None}
        if (more_carried, more_masked, more_sums, more_masked_sums) == (carried, masked, sums, masked_sums):
            if not _has_supports(loop.body):
                made.body.cache["sweep"] = True
            return made
        carried, masked, sums, masked_sums = more_carried, more_masked, more_sums, more_masked_sums


def _backward_once(
    loop: Loop,
    counted: bool,
    marks: Sequence[bool],
    stacked: Pattern,
    before: Pattern,
    carried: set[int],
    masked: set[int],
    sums: set[int],
    masked_sums: set[int],
) -> tuple[_Backward, list[Cotangent | None], list[Cotangent | None]]:
    """A try with these carries. Also the cotangents of the carries, and what the step adds to those of constants."""
    outputs, inputs = _outputs(loop.body)
    body_consts, body_carries, body_xs = (
        inputs[: loop.consts], inputs[loop.consts : loop.consts + loop.carries], inputs[loop.consts + loop.carries :],
    )  # fmt: skip
    builder = Builder()

    def fresh(columns: Columns, kind: str, likes: Sequence[Aval], numbers: Sequence[int]) -> dict[int, Expr]:
        for k in numbers:
            columns.add(kind, k)
        mask = kind.endswith("mask")
        return {k: builder.input(aval(likes[k].shape, bool) if mask else likes[k], kind) for k in numbers}

    consts, state, xs, ys = Columns(), Columns(), Columns(), Columns()
    const = fresh(consts, "const", body_consts, range(loop.consts))
    ct = fresh(state, "ct", body_carries, sorted(carried))
    mask = fresh(state, "mask", body_carries, sorted(masked))
    total = fresh(state, "sum", body_consts, sorted(sums))
    total_mask = fresh(state, "summask", body_consts, sorted(masked_sums))
    carry = fresh(xs, "carry", body_carries, range(loop.carries))
    x = fresh(xs, "x", body_xs, range(len(body_xs)))
    results = outputs[loop.carries :]
    y = fresh(xs, "y", results, [k for k, one in enumerate(stacked) if one is not None and _float(results[k])])
    y_mask = fresh(xs, "ymask", results, [k for k in y if stacked[k]])
    traj = fresh(xs, "before", body_carries, [k for k in sorted(carried) if before[k] is not None])
    traj_mask = fresh(xs, "beforemask", body_carries, [k for k in traj if before[k]])
    with builder.passing("gradient"):
        seeds: list[Cotangent | None] = [(ct[k], mask.get(k)) if k in ct else None for k in range(loop.carries)]
        seeds += [(y[k], y_mask.get(k)) if k in y else None for k in range(len(results))]
        own = [*const.values(), *carry.values(), *x.values()]
        adjoints = pull_graph(loop.body, builder, own, seeds, marks)
        cts = adjoints[loop.consts : loop.consts + loop.carries]
        for k in traj:
            cts[k] = _plus(cts[k], (traj[k], traj_mask.get(k)))
        new: list[Expr] = []
        for kind, k in state.keys:
            value = cts[k] if kind in ("ct", "mask") else adjoints[k]
            like = (body_carries if kind in ("ct", "mask") else body_consts)[k]
            if kind == "ct":
                new.append(zeros(builder, like) if value is None else value[0])
            elif kind == "mask":
                new.append(no_mask(like, builder) if value is None else as_mask(value[1], like, builder))
            elif kind == "sum":
                new.append(total[k] if value is None else total[k] + value[0])
            else:
                new.append(total_mask[k] if value is None else total_mask[k] | as_mask(value[1], like, builder))
        for k, share in enumerate(adjoints[loop.consts + loop.carries :]):
            if share is not None:
                ys.add("dx", k)
                new.append(share[0])
                if counted or share[1] is not None:
                    ys.add("dxmask", k)
                    new.append(as_mask(share[1], body_xs[k], builder))
    fresh_inputs = _ids(const, ct, mask, total, total_mask, carry, x, y, y_mask, traj, traj_mask)
    body = Graph(builder, fresh_inputs, [e.id for e in new])
    made = _Backward(body, consts, state, xs, ys)
    return _without_unused(made), list(cts), adjoints[: loop.consts]


def _ids(*groups: dict[int, Expr]) -> list[int]:
    return [x.id for group in groups for x in group.values()]


def _plus(first: Cotangent | None, second: Cotangent) -> Cotangent:
    return second if first is None else (first[0] + second[0], join(first[1], second[1]))


def _without_unused(made: _Backward) -> _Backward:
    """Constants and arrays that the body does not use need not be handed to it: the trajectory above all."""
    used = set(made.body.order)
    inputs = made.body.inputs
    count, state = len(made.consts.keys), len(made.carries.keys)
    groups = inputs[:count], inputs[count : count + state], inputs[count + state :]
    consts, xs = Columns(), Columns()
    kept: list[int] = []
    for columns, old, nodes in ((consts, made.consts, groups[0]), (None, None, groups[1]), (xs, made.xs, groups[2])):
        if columns is None or old is None:
            kept += nodes
            continue
        for key, node in zip(old.keys, nodes, strict=True):
            if node in used:
                columns.add(*key)
                kept.append(node)
    return made._replace(body=Graph(made.body.builder, kept, made.body.outputs), consts=consts, xs=xs)


def sweeps_with_supports(body: Graph) -> bool:
    """Whether a body is a step of a reverse sweep, with supports, and of nothing else that has any."""
    return "sweep" in body.cache and _has_supports(body)


def _has_supports(graph: Graph) -> bool:
    found = graph.cache.get("supports")
    if found is None:
        own = any(graph.builder.hop(node).name == "supported" for node in graph.order)
        found = graph.cache["supports"] = own or any(_has_supports(inner) for inner in graph.subgraphs)
    return bool(found)


# -- loops forwards ----------------------------------------------------------------------------------------------------


class _Joint(NamedTuple):
    """The body of a loop that computes values and tangents; which of the constants, … have tangents."""

    body: Graph
    consts: list[int]
    carries: list[int]
    xs: list[int]
    ys: list[int]

    def given(
        self, loop: Loop, tangents: Sequence[Expr | None], args: Sequence[Expr]
    ) -> tuple[list[Expr], list[Expr], list[Expr]]:
        """The tangents that the joint loop takes, zeros for those that only later steps have."""

        def of(first: int, numbers: Sequence[int]) -> list[Expr]:
            return [
                zeros(args[first + k].builder, args[first + k].aval) if (t := tangents[first + k]) is None else t
                for k in numbers
            ]

        a, b = loop.consts, loop.consts + loop.carries
        return of(0, self.consts), of(a, self.carries), of(b, self.xs)


def _push_loop(loop: Loop, tangents: Sequence[Expr | None]) -> _Joint:
    """The body that computes values and tangents: the values' own operands and results first in each group."""
    given = [t is not None for t in tangents]
    key = ("push", loop.consts, loop.carries, tuple(given))
    made = loop.body.cache.get(key)
    if made is None:
        carries = [k for k in range(loop.carries) if given[loop.consts + k]]
        while True:
            made, found = _joint(loop, given, carries)
            if found == carries:
                break
            carries = found
        loop.body.cache[key] = made
    joint: _Joint = made
    return joint


def _first_step(loop: Loop, tangents: Sequence[Expr | None]) -> tuple[Graph, list[int]]:
    """A step with its tangents, and which of the body's outputs have some.

    It is a function of constants, carries, their tangents, slices, their tangents. It gives carries, then tangents.
    """
    given = [k for k, t in enumerate(tangents) if t is not None]
    key = ("first", loop.consts, loop.carries, tuple(given))
    made = loop.body.cache.get(key)
    if made is None:
        _, inputs = _outputs(loop.body)
        builder = Builder()
        rows = loop.consts + loop.carries
        values = {k: builder.input(like, "x") for k, like in enumerate(inputs[:rows])}
        moving = {k: builder.input(inputs[k], "dx") for k in given if k < rows}
        slices = {k: builder.input(inputs[k], "x") for k in range(rows, len(inputs))}
        moving_slices = {k: builder.input(inputs[k], "dx") for k in given if k >= rows}
        with builder.passing("tangent"):
            every, dots = {**values, **slices}, {**moving, **moving_slices}
            order = [every[k] for k in range(len(inputs))]
            outputs, found = push_graph(loop.body, builder, order, [dots.get(k) for k in range(len(inputs))])
        fresh = [x.id for group in (values, moving, slices, moving_slices) for x in group.values()]
        moved = [k for k, t in enumerate(found) if t is not None]
        results = [*outputs[: loop.carries], *[t for t in found if t is not None]]
        made = loop.body.cache[key] = Graph(builder, fresh, [x.id for x in results]), moved
    graph, moved = made
    return graph, moved


def _joint(loop: Loop, given: Sequence[bool], carries: list[int]) -> tuple[_Joint, list[int]]:
    """A try with tangents of these carries, and which ones should have been there."""
    _, inputs = _outputs(loop.body)
    a, b = loop.consts, loop.consts + loop.carries
    of_consts = [k for k in range(a) if given[k]]
    of_xs = [k for k in range(len(inputs) - b) if given[b + k]]
    builder = Builder()

    def fresh(likes: Sequence[Aval], name: str) -> list[Expr]:
        return [builder.input(like, name) for like in likes]

    consts, dconsts = fresh(inputs[:a], "const"), fresh([inputs[k] for k in of_consts], "dconst")
    state, dstate = fresh(inputs[a:b], "carry"), fresh([inputs[a + k] for k in carries], "dcarry")
    xs, dxs = fresh(inputs[b:], "x"), fresh([inputs[b + k] for k in of_xs], "dx")
    tangents: list[Expr | None] = [None] * len(inputs)
    for positions, values in (
        (of_consts, dconsts), ([a + k for k in carries], dstate), ([b + k for k in of_xs], dxs),
    ):  # fmt: skip
        for position, value in zip(positions, values, strict=True):
            tangents[position] = value
    with builder.passing("tangent"):
        outputs, moved = push_graph(loop.body, builder, [*consts, *state, *xs], tangents)
        found = sorted({*carries, *[k for k in range(loop.carries) if moved[k] is not None]})
        ys = [k for k in range(len(outputs) - loop.carries) if moved[loop.carries + k] is not None]
        dnew = [
            zeros(builder, inputs[a + k]) if (t := moved[k]) is None else t for k in carries
        ]  # fmt: skip
        dys = [t for k in ys if (t := moved[loop.carries + k]) is not None]
    body = Graph(
        builder,
        [x.id for x in (*consts, *dconsts, *state, *dstate, *xs, *dxs)],
        [x.id for x in (*outputs[: loop.carries], *dnew, *outputs[loop.carries :], *dys)],
    )
    return _Joint(body, of_consts, carries, of_xs, ys), found


# -- while -------------------------------------------------------------------------------------------------------------


class While(Compound):
    """Steps of ``body`` as long as ``cond`` holds: both take (constants, carries).

    Results: the carries' last values, and for derivatives the number of steps and, where ``max_steps`` bounds it, the
    carries' values before each step (as in `Scan`; ``max_steps`` rows).
    """

    takes = frozenset({"body", "cond", "consts", "carries", "max_steps"})

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        loop = Loop(tuple(sorted(params.items())))
        _agree("while_loop", params["cond"], avals)
        _agree("while_loop", loop.body, avals)
        carries = list(avals[loop.consts :])
        if _outputs(loop.body)[0] != carries:
            raise GraphError(f"while_loop: the body turns carries {carries} into {_outputs(loop.body)[0]}")
        if _outputs(params["cond"])[0] != [aval((), bool)]:
            raise GraphError(f"while_loop: the condition gives {_outputs(params['cond'])[0]}")
        stored = [] if loop.endless else [aval((loop.length, *v.shape), v.dtype) for v in carries]
        return [*carries, aval((), np.int64), *stored]

    def shown(self, params: Params) -> int:
        return int(dict(params)["carries"])

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        loop = Loop(params)
        _, carries = loop.spread(active)
        return [*carries, False, *([] if loop.endless else carries)]

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        loop = Loop(params)
        cond: Graph = dict(params)["cond"]
        key = ("while", cond, loop.consts, tuple(wanted))
        made = loop.body.cache.get(key)
        if made is None:
            made = loop.body.cache[key] = _WhileRun(loop, cond, wanted)
        run: _WhileRun = made
        return lambda *args: run(loop, args)

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        loop = Loop(params)
        if loop.endless:
            place = Node(out.builder, out.id).location
            raise NotDifferentiableError(
                "while_loop (or fori_loop with a bound that an outer loop decides) has no gradient in reverse mode"
                " (grad, vjp), because its number of steps is not bounded: say max_steps=…, use fori_loop or scan for a"
                " known number of steps, or forward mode (jvp)" + (f"\n  at {place}" if place else "")
            )
        n = loop.carries
        return _pull_loop(
            loop, ITEM(out, index=n), args[: loop.consts], args[loop.consts :], (),
            lambda k: ITEM(out, index=n + 1 + k), cotangents[:n], (), cotangents[n + 1 :], active,
        )  # fmt: skip

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        loop = Loop(params)
        given = dict(params)
        joint = _push_loop(loop, tangents)
        dconsts, dcarries, _ = joint.given(loop, tangents, args)
        a, n = loop.consts, loop.carries
        operands = [*args[:a], *dconsts, *args[a:], *dcarries]
        cond: Graph = given["cond"]
        key = ("joint", joint.body)
        wider = cond.cache.get(key)
        if wider is None:
            skipped = a + len(dconsts)
            wider = cond.cache[key] = closed(
                [x.aval for x in operands], lambda b, x: inline(cond, [*x[:a], *x[skipped : skipped + n]], b)
            )
        whole = emit(self, operands, {
            "body": joint.body, "cond": wider, "consts": a + len(dconsts), "carries": n + len(dcarries),
            "max_steps": given["max_steps"],
        })  # fmt: skip
        pushed: list[Expr | None] = [None] * (n + 1 + (0 if loop.endless else n))
        for k, number in enumerate(joint.carries):
            pushed[number] = ITEM(whole, index=n + k)
            if not loop.endless:
                pushed[n + 1 + number] = ITEM(whole, index=n + len(dcarries) + 1 + n + k)
        return pushed


class _WhileRun:
    """A while loop made ready to compute some of its results."""

    def __init__(self, loop: Loop, cond: Graph, wanted: Sequence[int]) -> None:
        body, avals = loop.body, loop.body.builder.avals
        n = loop.carries
        needs = dependencies(body)
        asked = {loop.consts + k for k in wanted if k < n} | {loop.consts + k - n - 1 for k in wanted if k > n}
        self.carries = needed_carries(needs, loop.consts, asked | dependencies(cond)[0])
        places = [loop.consts + k for k in self.carries]
        self.test = Stepper(cond, cond.outputs, loop.consts, [cond.inputs[k] for k in places])
        outputs = [body.outputs[k] for k in self.carries]
        self.step = Stepper(body, outputs, loop.consts, [body.inputs[k] for k in places])
        self.before = [
            (k, self.carries.index(k - n - 1), avals[body.inputs[loop.consts + k - n - 1]]) for k in wanted if k > n
        ]

    def __call__(self, loop: Loop, args: Sequence[Any]) -> Sequence[Any]:
        n, limit = loop.carries, loop.length  # a bound of -1 is never met
        consts, carries = args[: loop.consts], args[loop.consts :]
        results: list[Any] = [None] * (n + 1 + (0 if loop.endless else n))
        before = [(np.zeros((limit, *like.shape), like.dtype), place) for _, place, like in self.before]
        state: Sequence[Any] = [carries[k] for k in self.carries]
        quiet = self.test.plan.silent and self.step.plan.silent
        test, step = self.test.start(consts, quiet), None
        t = 0
        with np.errstate(all="ignore") if quiet else _NOTHING:
            while test(state)[0]:
                if t == limit:
                    raise LoopError(
                        f"while_loop: the condition still holds after max_steps={limit} steps: allow more of them"
                    )
                if step is None:
                    step = self.step.start(consts, quiet)
                elif t == _WORTH_COMPILING:
                    self.test.steps = self.step.steps = t
                    test, step = self.test.start(consts, quiet), self.step.start(consts, quiet)
                for store, place in before:
                    store[t] = state[place]
                state = step(state)
                t += 1
        self.test.steps += t
        self.step.steps += t
        for k, value in zip(self.carries, state, strict=True):
            results[k] = value
        results[n] = np.int64(t)
        for (k, _, _), (store, _) in zip(self.before, before, strict=True):
            results[k] = store
        return results


# -- switch ------------------------------------------------------------------------------------------------------------


class Switch(Compound):
    """One of several ``branches``, chosen by the first operand (clamped to their numbers), run on the other operands.

    The others are not run. A branch that does not use an operand makes its cotangent structurally zero.
    """

    takes = frozenset({"branches"})

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        branches: tuple[Graph, ...] = params["branches"]
        if not branches or any(type(branch) is not Graph for branch in branches):
            raise GraphError("switch needs graphs as branches")
        index, *operands = avals
        if index.shape or index.dtype.kind not in "iub":
            raise GraphError(f"switch: the index is {index!r}")
        found = _outputs(branches[0])[0]
        for branch in branches:
            _agree("switch", branch, operands)
            if _outputs(branch)[0] != found:
                raise GraphError(f"switch: the branches give {found} and {_outputs(branch)[0]}")
        return found

    def shown(self, params: Params) -> int:
        return len(_branches(params)[0].outputs)

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        found = [reached(branch, active[1:]) for branch in _branches(params)]
        return [any(column) for column in zip(*found, strict=True)]

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        branches = _branches(params)
        last = len(branches) - 1
        plans = []
        for branch in branches:
            key = ("switch", tuple(wanted))
            if key not in branch.cache:
                branch.cache[key] = Plan(branch.builder, [branch.outputs[k] for k in wanted], branch.inputs)
            plans.append((branch, branch.cache[key]))
        count = len(branches[0].outputs)

        def run(index: Any, *args: Any) -> Sequence[Any]:
            branch, plan = plans[min(max(int(index), 0), last)]
            results: list[Any] = [None] * count
            for k, value in zip(wanted, plan.run(dict(zip(branch.inputs, args, strict=True))), strict=True):
                results[k] = value
            return results

        return run

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        branches = _branches(params)
        index, *operands = args
        builder = index.builder
        given = [k for k, c in enumerate(cotangents) if c is not None]
        masks = [k for k in given if (c := cotangents[k]) is not None and c[1] is not None]
        flags = active[1:]
        key = ("pull", branches, tuple(flags), tuple(given), tuple(masks))
        made = branches[0].cache.get(key)
        if made is None:
            made = branches[0].cache[key] = _pull_branches(branches, flags, given, masks)
        graphs, used, results = made
        there = [(k, c) for k, c in enumerate(cotangents) if c is not None]
        extra = [c[0] for _, c in there] + [as_mask(c[1], c[0].aval, builder) for k, c in there if k in masks]
        everything = [*operands, *extra]
        found: list[Cotangent | None] = [None] * len(args)
        if not results.keys:
            return found
        whole = emit(self, [index, *[everything[k] for k in used]], {"branches": graphs})
        for kind, k in results.keys:
            if kind == "ct":
                mask = results.place.get(("mask", k))
                value = ITEM(whole, index=results.place[kind, k])
                found[1 + k] = value, None if mask is None else ITEM(whole, index=mask)
        return found

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        branches = _branches(params)
        index, *operands = args
        given = [k for k, t in enumerate(tangents[1:]) if t is not None]
        key = ("push", branches, tuple(given))
        made = branches[0].cache.get(key)
        if made is None:
            made = branches[0].cache[key] = _push_branches(branches, given)
        graphs, used, moved = made
        pushed: list[Expr | None] = [None] * len(branches[0].outputs)
        if moved:
            everything = [*operands, *[t for t in tangents[1:] if t is not None]]
            whole = emit(self, [index, *[everything[k] for k in used]], {"branches": graphs})
            for place, k in enumerate(moved):
                pushed[k] = ITEM(whole, index=place)
        return pushed


def _branches(params: Params) -> tuple[Graph, ...]:
    found: tuple[Graph, ...] = dict(params)["branches"]
    return found


def _pull_branches(
    branches: Sequence[Graph], active: Sequence[bool], given: Sequence[int], masks: Sequence[int]
) -> tuple[tuple[Graph, ...], list[int], Columns]:
    """The branches' gradients: graphs of (operands, cotangents, masks), which of these they use, and what they give."""
    outputs, inputs = _outputs(branches[0])
    tries: list[tuple[Builder, list[Expr], list[Cotangent | None]]] = []
    for branch in branches:
        builder = Builder()
        operands = [builder.input(like, "x") for like in inputs]
        values = {k: builder.input(outputs[k], "ct") for k in given}
        supports = {k: builder.input(aval(outputs[k].shape, bool), "mask") for k in masks}
        with builder.passing("gradient"):
            seeds = [(values[k], supports.get(k)) if k in values else None for k in range(len(outputs))]
            found = pull_graph(branch, builder, operands, seeds, active)
        tries.append((builder, [*operands, *values.values(), *supports.values()], found))
    results = Columns()
    for k in range(len(inputs)):
        shares = [found[k] for _, _, found in tries]
        if any(share is not None for share in shares):
            results.add("ct", k)
            if any(share is None or share[1] is not None for share in shares):
                results.add("mask", k)
    graphs = []
    for builder, everything, found in tries:
        made: list[Expr] = []
        with builder.passing("gradient"):
            for kind, k in results.keys:
                share = found[k]
                if kind == "ct":
                    made.append(zeros(builder, inputs[k]) if share is None else share[0])
                else:
                    none = share is None
                    made.append(no_mask(inputs[k], builder) if none else as_mask(share[1], inputs[k], builder))  # type: ignore[index]
        graphs.append(Graph(builder, [x.id for x in everything], [x.id for x in made]))
    return (*_sharing(graphs), results)


def _push_branches(branches: Sequence[Graph], given: Sequence[int]) -> tuple[tuple[Graph, ...], list[int], list[int]]:
    """The branches' tangents: graphs of (operands, tangents), which of these they use, which results have some."""
    outputs, inputs = _outputs(branches[0])
    tries = []
    for branch in branches:
        builder = Builder()
        operands = [builder.input(like, "x") for like in inputs]
        tangents = {k: builder.input(inputs[k], "dx") for k in given}
        with builder.passing("tangent"):
            _, found = push_graph(branch, builder, operands, [tangents.get(k) for k in range(len(inputs))])
        tries.append((builder, [*operands, *tangents.values()], found))
    moved = [k for k in range(len(outputs)) if any(found[k] is not None for _, _, found in tries)]
    graphs = []
    for builder, everything, found in tries:
        with builder.passing("tangent"):
            made = [zeros(builder, outputs[k]) if (t := found[k]) is None else t for k in moved]
        graphs.append(Graph(builder, [x.id for x in everything], [x.id for x in made]))
    return (*_sharing(graphs), moved)


def _sharing(graphs: Sequence[Graph]) -> tuple[tuple[Graph, ...], list[int]]:
    """The same graphs without the inputs that none of them uses, and the positions of the others."""
    used = sorted({k for graph in graphs for needs in dependencies(graph) for k in needs})
    return tuple(Graph(g.builder, [g.inputs[k] for k in used], g.outputs) for g in graphs), used


# -- many values at once -----------------------------------------------------------------------------------------------


def _wide_graph(
    graph: Graph, along: Sequence[bool], count: int, always: Sequence[bool] = ()
) -> tuple[Graph, list[bool]]:
    """A graph for many values of the inputs that are `along`, and which outputs differ between them.

    Those in `always` have the batch's axis in any case.
    """
    key = ("wide", tuple(along), count, tuple(always))
    made = graph.cache.get(key)
    if made is None:
        wanted: list[bool] = []

        def finish(found: list[Part]) -> list[Expr]:
            wanted.extend(flag or asked for (_, flag), asked in zip(found, always or [False] * len(found), strict=True))
            return [_whole(part, count) if asked else part[0] for part, asked in zip(found, wanted, strict=True)]

        made = graph.cache[key] = spread_closed(graph, along, count, finish)[0], wanted
    wide: Graph = made[0]
    return wide, list(made[1])


def _whole(part: Part, count: int) -> Expr:
    x, along = part
    return x if along else broadcast_to(x, (count, *x.shape))


def _behind(x: Expr, ndim: int) -> Expr:
    """One value for each of a batch, to be broadcast to values of so many axes each."""
    return x if not ndim else reshape(x, shape=(*x.shape, *[1] * ndim))


def _chosen(mask: Expr, new: Expr, old: Expr) -> Expr:
    """`new` where the mask, one value for each of a batch, holds."""
    found: Expr = catalogue["where"](_behind(mask, new.ndim - 1), new, old)
    return found


def _turned(x: Expr) -> Expr:
    """The first two axes exchanged: rows of a batch, or a batch of rows."""
    return transposed(x, (1, 0, *range(2, x.ndim)))


def _steady_carries(loop: Loop, along: Sequence[bool], step: Callable[[list[bool]], list[bool]]) -> list[bool]:
    """Which operands of a loop differ between the values of a batch, at first or after some steps."""
    flags = list(along)
    while True:
        after = step(flags)
        more = [old or new for old, new in zip(flags[loop.consts :], after[: loop.carries], strict=False)]
        if more == flags[loop.consts : loop.consts + loop.carries]:
            return flags
        flags[loop.consts : loop.consts + loop.carries] = more


def _scan_batch(batch: Batch) -> list[Part]:
    """The same loop, its body for all at once; of different numbers of steps, the largest is made."""
    params = tuple(sorted(batch.params.items()))
    loop, count = Loop(params), batch.count
    each = loop.counted and batch.along[0]
    own = batch.args[loop.counted :]
    along = batch.along[loop.counted :]
    carried = slice(loop.consts, loop.consts + loop.carries)
    if each:
        along = [*along[: loop.consts], *[True] * loop.carries, *along[loop.consts + loop.carries :]]
    flags = _steady_carries(loop, along, lambda flags: _wide_graph(loop.body, flags, count)[1])
    ys = len(loop.body.outputs) - loop.carries
    body, wanted = _wide_graph(loop.body, flags, count, [*flags[carried], *[each] * ys])
    operands = [
        _whole((x, flag), count) if asked and not flag else x
        for x, flag, asked in zip(own, batch.along[loop.counted :], flags, strict=True)
    ]
    rows = loop.consts + loop.carries
    operands[rows:] = [_turned(x) if flag else x for x, flag in zip(operands[rows:], flags[rows:], strict=True)]
    steps = list(batch.args[: loop.counted])
    more: dict[str, Any] = {"body": body}
    if each:
        (counts,) = steps
        steps = [catalogue["max"](counts, axes=(0,), keepdims=False) if count else counts.builder.constant(0)]
        numbers = counts.builder.constant(np.arange(loop.length))
        more = {"body": _while_counting(body, loop, count), "consts": loop.consts + 1}
        operands = [counts, *operands, numbers]
    whole = emit(SCAN, [*steps, *operands], {**batch.params, **more})
    found: list[Part] = [(ITEM(whole, index=k), flags[loop.consts + k]) for k in range(loop.carries)]
    stacked = [*wanted[loop.carries :], *flags[carried]]
    for k, flag in enumerate(stacked, loop.carries):
        rows_of = ITEM(whole, index=k)
        found.append((_turned(rows_of) if flag else rows_of, flag))
    return found


def _while_counting(body: Graph, loop: Loop, count: int) -> Graph:
    """The body of a loop for a batch, in which each value makes a number of steps of its own (the first ones).

    That number is one more constant, in front, and the number of the step one more row, the last.
    """
    likes = [body.builder.avals[n] for n in body.inputs]

    def make(builder: Builder, inputs: list[Expr]) -> list[Expr]:
        counts, *own, number = inputs
        going = catalogue["less"](number, counts)
        found = inline(body, own, builder)
        before = own[loop.consts : loop.consts + loop.carries]
        kept = [_chosen(going, new, old) for new, old in zip(found, before, strict=False)]
        return kept + [_chosen(going, y, zeros(builder, y.aval)) for y in found[loop.carries :]]

    integer = np.dtype(np.int64)
    return closed([aval((count,), integer), *likes, aval((), integer)], make)


def _while_batch(batch: Batch) -> list[Part]:
    """Steps as long as the condition holds for any; where it does not hold any more, nothing changes."""
    params = tuple(sorted(batch.params.items()))
    loop, count, cond = Loop(params), batch.count, batch.params["cond"]
    a, n = loop.consts, loop.carries

    def after(flags: list[bool]) -> list[bool]:
        (asked,) = _wide_graph(cond, flags, count)[1]
        return [True] * n if asked else _wide_graph(loop.body, flags, count)[1]

    flags = _steady_carries(loop, batch.along, after)
    (each,) = _wide_graph(cond, flags, count)[1]
    body, _ = _wide_graph(loop.body, flags, count, flags[a:])
    test, _ = _wide_graph(cond, flags, count)
    operands = [
        _whole((x, flag), count) if asked and not flag else x
        for x, flag, asked in zip(batch.args, batch.along, flags, strict=True)
    ]
    more: dict[str, Any] = {"body": body, "cond": test}
    if each:  # each one's number of steps is one more carry
        likes = [x.aval for x in operands]
        steps = zeros(batch.builder, aval((count,), np.int64))

        def step(builder: Builder, inputs: list[Expr]) -> list[Expr]:
            *own, made = inputs
            (going,) = inline(test, own, builder)
            new = [_chosen(going, y, x) for y, x in zip(inline(body, own, builder), own[a:], strict=True)]
            return [*new, made + catalogue["convert"](going, dtype=made.dtype)]

        def any_goes_on(builder: Builder, inputs: list[Expr]) -> list[Expr]:
            (going,) = inline(test, inputs[:-1], builder)
            return [catalogue["any"](going, axes=(0,), keepdims=False)]

        operands.append(steps)
        likes.append(steps.aval)
        more = {"body": closed(likes, step), "cond": closed(likes, any_goes_on), "carries": n + 1}
    whole = emit(WHILE, operands, {**batch.params, **more})
    found: list[Part] = [(ITEM(whole, index=k), flags[a + k]) for k in range(n)]
    found.append((ITEM(whole, index=n), each))  # with `each`, the carry that counts stands there
    for k in range(0 if loop.endless else n):
        rows = ITEM(whole, index=n + 1 + each + k)
        found.append((_turned(rows), True) if flags[a + k] else (rows, False))
    return found


def _switch_batch(batch: Batch) -> list[Part]:
    """One branch for all; where each has a branch of its own, all are run, and each takes its own results."""
    branches: tuple[Graph, ...] = batch.params["branches"]
    index, *operands = batch.args
    flags, count = batch.along[1:], batch.count
    if not batch.along[0]:
        differ = [any(column) for column in zip(*[_wide_graph(b, flags, count)[1] for b in branches], strict=True)]
        graphs = tuple(_wide_graph(b, flags, count, differ)[0] for b in branches)
        whole = emit(SWITCH, batch.args, {"branches": graphs})
        return [(ITEM(whole, index=k), flag) for k, flag in enumerate(differ)]
    runs = [spread_graph(branch, operands, flags, count, batch.builder) for branch in branches]
    columns = [[_whole(part, count) for part in column] for column in zip(*runs, strict=True)]
    masks = [index if index.dtype == bool else index > k for k in range(len(branches) - 1)]
    found = []
    for chosen, *others in columns:
        for mask, other in zip(masks, others, strict=False):
            chosen = _chosen(mask, other, chosen)
        found.append((chosen, True))
    return found


SCAN = Scan("scan", Notation("loop", "scan"), "A loop of a known number of steps; backwards, the same loop reversed.",
            batch=_scan_batch)  # fmt: skip
WHILE = While("while_loop", Notation("loop", "while"), "Steps as long as a condition holds; backwards, a scan.",
              batch=_while_batch)  # fmt: skip
SWITCH = Switch("switch", Notation("loop", "switch"), "One of several branches; backwards, that branch's gradient.",
                batch=_switch_batch)  # fmt: skip
