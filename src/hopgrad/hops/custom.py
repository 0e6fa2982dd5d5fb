"""Hops whose derivative is what the user says it is: rules of one's own, black boxes, and derivatives that stop.

A function with a rule is recorded as what it computes, in ordinary hops, and then one hop that joins the results: its
value is its first operands, its derivative is the rule. The rule itself is recorded too, as a graph of its own: from
the cotangents (or tangents) and from whatever the rule needs that does not depend on these. The latter are values of
the surrounding program and operands of the joining hop. So a rule is data: it can be moved to other graphs, used at any
time, and differentiated in turn.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.aval import Aval, Shape
from hopgrad.batch import Batch, Part, items, spread_closed, stacked
from hopgrad.differentiate import pull, push, transplant
from hopgrad.errors import NotDifferentiableError, ShapeError
from hopgrad.graph.builder import Builder, Expr, Params, catalogue, ones, zeros
from hopgrad.graph.graph import Graph, reachable
from hopgrad.graph.hop import Compound, Hop, Notation, Structural
from hopgrad.graph.operators import Cotangent, Linear, Operator, broadcast_to

# -- identities ------------------------------------------------------------------------------------------------------


def _same(x: Any, **params: Any) -> Any:
    return x


def _unchanged(cotangent: Expr, x: Expr) -> Expr:
    """What goes in comes out."""
    return cotangent


class Identity(Structural):
    """A value passed on as it is."""

    def shape(self, *avals: Aval, **params: Any) -> Shape:
        return avals[0].shape

    def operator(
        self, index: int, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]
    ) -> Operator | None:
        return Linear(out.aval, out.aval, lambda t: t, lambda t: t, lambda support: support)

    def push(self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]) -> Expr | None:
        return tangents[0]


def _itself(x: Expr) -> Expr:
    """What is left of it once everything is differentiated."""
    return x


STOP_GRADIENT = Identity(
    "stop_gradient", _same, _unchanged, Notation("function", "stop", r"\operatorname{stop}"),
    traits=frozenset({"flat"}), batch=stacked, parts=_itself,
)  # fmt: skip
"""The identity, through which no derivative passes."""

ENTER = Identity("enter", _same, _unchanged, Notation("convert"), traits=frozenset({"hidden"}), batch=stacked)
"""An argument of a function with a rule, inside of it: a value of its own, so that others can be told from it."""


# -- rules -----------------------------------------------------------------------------------------------------------


class Rule:
    """The derivative rule of one call.

    ``body`` is the rule as a graph. Its inputs are, in reverse mode, the cotangents of the floating-point results
    (``floats`` are their numbers) and in forward mode the tangents of the floating-point arguments (``moving``); then
    the residuals, values that do not depend on these. Its outputs are the cotangents of arguments, or the tangents of
    results; ``places`` tells for each argument (each result) which output it is, None for none.

    ``first`` is the way from the arguments to the residuals, for calls of the function in its own rule: these have no
    residuals as operands, since they come before them.
    """

    def __init__(self, title: str, forward: bool, results: int, args: int) -> None:
        self.title = title
        self.forward = forward
        self.results = results
        self.args = args
        self.calls = 0
        """How often arguments were passed inside: what belongs to one call is to be told from the others."""
        self.floats: list[int] = []
        self.moving: list[int] = []
        self.places: list[int | None] = []
        self._maps: dict[Any, Graph] = {}
        self.body: Graph | None = None
        self.first: Graph | None = None
        self.held: list[int] = []
        """Inputs of ``first`` besides the arguments: values of the program that no transform replaces."""
        self.home: Builder | None = None
        self.late: Callable[[Builder, Sequence[int], Sequence[int]], list[int | None]] | None = None
        """In place of ``body``: a rule that asks for values of cotangents, and so runs when they are there."""
        self.reason = ""
        """Why there is no ``first``, if a call in the rule was recorded."""

    def __repr__(self) -> str:
        return self.title

    @property
    def kind(self) -> str:
        """The decorator that made it."""
        return "custom_jvp" if self.forward else "custom_vjp"

    @property
    def told(self) -> range:
        """The operands of the joining hop that stand for arguments."""
        return range(self.results, self.results + self.args)

    def check(self, active: Sequence[bool], captured: int) -> None:
        """Refuse to differentiate by values that the function uses but does not get as arguments."""
        end = self.results + self.args
        if any(active[end : end + captured]):
            raise NotDifferentiableError(
                f"{self.title} uses a value that is differentiated and that is not one of its arguments, so its"
                f" {self.kind} rule says nothing about it: pass it as an argument"
            )

    @cached_property
    def linear(self) -> bool:
        """Whether what the rule gives is linear in what it gets; a rule may clip cotangents, for instance."""
        if self.forward:
            return True
        if self.body is None:
            return False
        scratch = Builder()
        known = {n: scratch.input(self.body.builder.avals[n], "r").id for n in self.body.inputs}
        given = list(known.values())[: len(self.floats)]
        outs = transplant(self.body.builder, self.body.outputs, scratch, known)
        moved = push(scratch, {n: scratch.input(scratch.avals[n], "d") for n in given}, outs)
        return set(given).isdisjoint(reachable(scratch, [e.id for e in moved.values()]))

    def residuals(self, builder: Builder, ids: Sequence[int], params: Params) -> list[int]:
        """The residuals as values of `builder`, for a call with these operands."""
        call = dict(params)
        if not call["inner"]:
            return list(ids[self.results + self.args + call["captured"] :])
        if self.first is None or (self.held and builder is not self.home):
            raise NotDifferentiableError(
                f"{self.title} is called in its own {self.kind} rule, which"
                f" {self.reason or 'uses arrays from outside'}: derivatives of this order need all values that the rule"
                " uses as arguments of the function"
            )
        given = [*ids[self.results : self.results + self.args], *self.held]
        return _inlined(self.first, self.first.outputs, builder, given)

    def widened(self, along: Sequence[bool], residuals: Sequence[bool], inner: bool, count: int) -> Rule:
        """The rule for many calls at once.

        `along` tells which of the results and arguments differ between the calls, `residuals` which of the residuals.
        Of an argument that does not, the cotangents of all calls are added up.
        """
        wide = Rule(self.title, self.forward, self.results, self.args)
        wide.floats, wide.moving, wide.reason, wide.home = self.floats, self.moving, self.reason, self.home
        of_args = along[self.results : self.results + self.args]
        if self.first is not None:
            wide.held = self.held
            given = [*of_args, *[False] * len(self.held)]
            wide.first, found = spread_closed(self.first, given, count)
            residuals = found if inner else residuals
        if self.late is not None:
            wide.late = self._refuse_late
        if self.body is None:
            return wide
        entering = [of_args[k] for k in self.moving] if self.forward else [True] * len(self.floats)

        def leaving(parts: list[Part]) -> list[Expr]:
            found = []
            for number, place in enumerate(self.places):
                if place is None:
                    continue
                x, flag = parts[place]
                whole = x if flag else broadcast_to(x, (count, *x.shape))
                shared = not self.forward and not of_args[number]
                found.append(catalogue["sum"](whole, axes=(0,), keepdims=False) if shared else whole)
            return found

        wide.body, _ = spread_closed(self.body, [*entering, *residuals], count, leaving)
        numbers = iter(range(len(self.places)))
        wide.places = [None if place is None else next(numbers) for place in self.places]
        return wide

    def _refuse_late(self, builder: Builder, residuals: Sequence[int], given: Sequence[int]) -> list[int | None]:
        raise NotDifferentiableError(
            f"the custom_vjp rule of {self.title} asks for values of cotangents, which under vmap are those of many"
            " calls: choose by np.where instead of if"
        )

    def pulled(
        self,
        builder: Builder,
        ids: Sequence[int],
        params: Params,
        cotangents: Sequence[Expr | None],
        wanted: Sequence[int],
    ) -> list[Expr | None]:
        """Cotangents of the results → those of the arguments numbered in `wanted`."""
        residuals = self.residuals(builder, ids, params)
        if self.forward:
            mapped = self._mapped(True, builder, residuals, cotangents, wanted)
            return [mapped.get(k) for k in wanted]
        given = []
        for k in self.floats:
            cotangent = cotangents[k]
            given.append(zeros(builder, builder.avals[ids[k]]).id if cotangent is None else cotangent.id)
        if self.late is not None:
            made = self.late(builder, residuals, given)
            return [None if (node := made[k]) is None else builder.expr(node) for k in wanted]
        assert self.body is not None
        chosen = [place for k in wanted if (place := self.places[k]) is not None]
        outputs = [self.body.outputs[place] for place in chosen]
        found = iter(_inlined(self.body, outputs, builder, [*given, *residuals]))
        return [None if self.places[k] is None else builder.expr(next(found)) for k in wanted]

    def _linear_map(self, reverse: bool, given: tuple[int, ...], wanted: tuple[int, ...]) -> Graph:
        """The rule for tangents (of the arguments numbered in `given`), or transposed for cotangents, as a graph.

        Its inputs are these and the residuals, its outputs belong to `wanted`; what is structurally zero is no output,
        and ``wanted`` of the graph's cache lists the others. It is worked out in a builder of its own, since the cost
        of a sweep grows with the program in which it is made.
        """
        key = reverse, given, wanted
        if key in self._maps:
            return self._maps[key]
        assert self.body is not None
        body, scratch = self.body, Builder()
        known = {n: scratch.input(body.builder.avals[n], "r").id for n in body.inputs}
        inputs = list(known.values())
        outs = transplant(body.builder, body.outputs, scratch, known)
        moving = dict(zip(self.moving, inputs, strict=False))
        results = {n: outs[p] for n, p in zip(self.floats, self.places, strict=True) if p is not None}
        found: dict[int, Expr] = {}
        if reverse:
            seeds = [scratch.input(scratch.avals[results[k]], "ct") if k in results else None for k in given]
            total: dict[int, Expr] = {}
            for k, seed in zip(given, seeds, strict=True):
                if seed is not None:
                    total[results[k]] = total[results[k]] + seed if results[k] in total else seed
            back = pull(scratch, total, [moving[k] for k in wanted if k in moving]).adjoints
            found = {k: back[moving[k]] for k in wanted if k in moving and moving[k] in back}
        else:
            # The rule is linear, so it is its own derivative. Pushing through it, instead of putting the tangents in,
            # keeps tangents that are zero for structural reasons from meeting infinite factors.
            seeds = [scratch.input(scratch.avals[moving[k]], "d") if k in moving else None for k in given]
            total = {moving[k]: seed for k, seed in zip(given, seeds, strict=True) if seed is not None}
            moved = push(scratch, total, list(results.values()))
            found = {k: moved[results[k]] for k in wanted if k in results and results[k] in moved}
        ends = [e.id for e in found.values()]
        if not set(moving.values()).isdisjoint(reachable(scratch, ends)):
            raise NotDifferentiableError(
                f"the custom_jvp rule of {self.title} is not linear in the tangents: a derivative is a linear map"
            )
        # A seed that nothing takes is an input all the same.
        fresh = [scratch.constant(0.0).id if seed is None else seed.id for seed in seeds]
        graph = Graph(scratch, [*fresh, *inputs[len(self.moving) :]], ends)
        graph.cache["wanted"] = list(found)
        self._maps[key] = graph
        return graph

    def _mapped(
        self,
        reverse: bool,
        builder: Builder,
        residuals: Sequence[int],
        values: Sequence[Expr | None],
        wanted: Sequence[int],
    ) -> dict[int, Expr]:
        """What a linear map makes of the values that are there."""
        given = tuple(k for k, v in enumerate(values) if v is not None)
        graph = self._linear_map(reverse, given, tuple(wanted))
        ids = [v.id for v in values if v is not None]
        outs = _inlined(graph, graph.outputs, builder, [*ids, *residuals])
        return {k: builder.expr(node) for k, node in zip(graph.cache["wanted"], outs, strict=True)}

    def pushed(
        self, builder: Builder, ids: Sequence[int], params: Params, tangents: Sequence[Expr | None]
    ) -> list[Expr | None]:
        """Tangents of the arguments → those of the results."""
        if not self.forward:
            raise NotDifferentiableError(
                f"{self.title} has a custom_vjp rule, which says nothing about forward mode (jvp,"
                " jacobian(mode='forward')): use reverse mode (grad, vjp, jacobian(mode='reverse')), or give it a"
                " custom_jvp rule, which serves both"
            )
        residuals = self.residuals(builder, ids, params)
        found = self._mapped(False, builder, residuals, tangents, range(self.results))
        return [found.get(k) for k in range(self.results)]


def _inlined(graph: Graph, outputs: Sequence[int], builder: Builder, given: Sequence[int]) -> list[int]:
    """Values of a graph in another builder, for given inputs.

    The seed of a sweep is 1: multiplying by it is left out, as elsewhere.
    """
    known = dict(zip(graph.inputs, given, strict=True))
    source = graph.builder
    units = {n for n in known if (data := builder.constants.get(known[n])) is not None and not data.shape and data == 1}
    if units:
        for node in reachable(source, outputs):
            ids = source.args(node)
            if source.hop(node).name == "multiply" and not units.isdisjoint(ids):
                other = ids[1] if ids[0] in units else ids[0]
                if source.avals[other] is source.avals[node]:
                    known[node] = known[other] if other in known else transplant(source, [other], builder, known)[0]
    return transplant(source, outputs, builder, known)


def _rule(params: Params, active: Sequence[bool] = ()) -> Rule:
    """The rule, which must not be asked about captured values in `active`."""
    given = dict(params)
    rule: Rule = given["rule"]
    rule.check(active, given["captured"])
    return rule


def _first(*args: Any, rule: Rule, inner: bool, captured: int) -> Any:
    return args[0]


def _no_body() -> None:
    return None


class _Slope(Linear):
    """The rule with respect to one argument. Between numbers it has a factor, if it is linear."""

    def __init__(
        self,
        rule: Rule,
        source: Aval,
        out: Expr,
        push: Callable[[Expr], Expr],
        pull: Callable[[Expr], Expr],
    ) -> None:
        super().__init__(source, out.aval, push, pull)
        self._rule = rule
        self._out = out

    @property
    def factor(self) -> Expr | None:  # type: ignore[override]  # worked out when somebody asks
        """The local derivative between numbers."""
        if self.source.shape or self.result.shape or not self._rule.linear:
            return None
        builder = self._out.builder
        with builder.passing("gradient"):
            builder.made_for(self._out.id)
            return self._pull(ones(builder, self.result))


class Ruled(Hop):
    """One result of a function with a rule. Operands: the result, arguments, captured values, residuals."""

    def infer(self, *avals: Aval, **params: Any) -> Aval:
        return avals[0]

    def operator(
        self, index: int, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]
    ) -> Operator | None:
        rule = _rule(params, active)
        if index not in rule.told or not args[index].aval.is_float:
            return None
        ids = [a.id for a in args]
        number = index - rule.results
        if not rule.forward and rule.late is None and rule.places[number] is None:
            return None

        def pulled(cotangent: Expr) -> Expr:
            (found,) = rule.pulled(out.builder, ids, params, [cotangent], [number])
            return zeros(out.builder, args[index].aval) if found is None else found

        def pushed(tangent: Expr) -> Expr:
            tangents: list[Expr | None] = [None] * rule.args
            tangents[number] = tangent
            (found,) = rule.pushed(out.builder, ids, params, tangents)
            return zeros(out.builder, out.aval) if found is None else found

        return _Slope(rule, args[index].aval, out, pushed, pulled)

    def told(self, params: Params, count: int) -> Sequence[int]:
        return _rule(params).told

    def push(self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]) -> Expr | None:
        rule = _rule(params, [t is not None for t in tangents])
        told = rule.told
        (found,) = rule.pushed(out.builder, [a.id for a in args], params, tangents[told.start : told.stop])
        return found


def _ruled_batch(batch: Batch) -> Any:
    """The results are those of the function's hops; the rule is batched, too."""
    rule: Rule = batch.params["rule"]
    start = rule.results + rule.args + batch.params["captured"]
    along = [True] * rule.results + list(batch.along[rule.results :])
    args = [batch.whole(k) if k < rule.results else x for k, x in enumerate(batch.args)]
    params = {**batch.params, "rule": rule.widened(along, along[start:], batch.params["inner"], batch.count)}
    if isinstance(batch.hop, Compound):
        return items(batch.hop, args, params)
    return batch.hop(*args, **params)


RULED = Ruled("ruled", _first, _no_body, Notation("titled", rule="own rule"), batch=_ruled_batch)
"""A result of a function with a derivative rule of its own."""


class RuledAll(Compound):
    """As `Ruled`, for several results: the rule needs all their cotangents at once."""

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        return avals[: params["rule"].results]

    def shown(self, params: Params) -> int:
        return _rule(params).results

    def told(self, params: Params, count: int) -> Sequence[int]:
        return _rule(params).told

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        count = _rule(params).results
        return lambda *args: args[:count]

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        given = dict(params)
        rule: Rule = given["rule"]
        return [any(active[rule.results : rule.results + rule.args + given["captured"]])] * rule.results

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        rule = _rule(params, active)
        wanted = [k for k in range(rule.args) if active[rule.results + k]]
        given = [None if c is None else c[0] for c in cotangents]
        found = rule.pulled(out.builder, [a.id for a in args], params, given, wanted)
        shares: list[Cotangent | None] = [None] * len(args)
        for k, cotangent in zip(wanted, found, strict=True):
            if cotangent is not None:
                shares[rule.results + k] = cotangent, None
        return shares

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        rule = _rule(params, [t is not None for t in tangents])
        told = rule.told
        return rule.pushed(out.builder, [a.id for a in args], params, tangents[told.start : told.stop])


RULED_ALL = RuledAll(
    "ruled_all", Notation("titled", rule="own rule"), "Results of a function with a derivative rule of its own.",
    batch=_ruled_batch,
)  # fmt: skip


# -- black boxes -----------------------------------------------------------------------------------------------------


class Box:
    """One call of a function that is not looked into: what it is called with, and what its results are."""

    def __init__(
        self,
        title: str,
        function: Callable[..., Any],
        gather: Callable[[Sequence[Any]], Any],
        args: int,
        trace: Any,
    ) -> None:
        self.title = title
        self.function = function
        self.gather = gather
        """From the operands' values to (positional, keyword) arguments."""
        self.args = args
        self.avals: tuple[Aval, ...] = ()
        self.structure: tree.Structure | None = None
        # During the tracing call the same call of the function is evaluated for several purposes. It must not run
        # again then: it may be slow, and draw random numbers. Later, it may depend on a state that has changed.
        self._trace = weakref.ref(trace)
        self._memo: list[tuple[Sequence[Any], tuple[Any, ...]]] = []

    def __repr__(self) -> str:
        return self.title

    @property
    def told(self) -> range:
        """The operands that stand for arguments: all."""
        return range(self.args)

    def call(self, *values: Any) -> Any:
        """The function's result, nested as it is."""
        positional, named = self.gather(values)
        return self.function(*positional, **named)

    def leaves(self, result: Any) -> tuple[Any, ...]:
        """The result's arrays, checked against what was found or told at first."""
        assert self.structure is not None
        leaves, structure = tree.flatten(result)
        if structure != self.structure:
            raise ShapeError(
                f"the external function {self.title} returned {structure.text}, where {self.structure.text} is expected"
            )
        found = []
        for leaf, like in zip(leaves, self.avals, strict=True):
            array = np.asarray(leaf)
            if array.shape != like.shape:
                raise ShapeError(
                    f"the external function {self.title} returned shape {array.shape}, where {like.shape} is expected"
                )
            if array.dtype != like.dtype and not np.can_cast(array.dtype, like.dtype, "same_kind"):
                raise NotDifferentiableError(
                    f"the external function {self.title} returned {array.dtype}, where {like.dtype} is expected"
                )
            # A copy, since the function may use its memory again.
            own = np.array(array, like.dtype)
            found.append(own if own.shape else own[()])
        return tuple(found)

    def remember(self, values: Sequence[Any], found: tuple[Any, ...]) -> None:
        """Keep results for the tracing call."""
        self._memo.append((values, found))

    def values(self, *values: Any) -> tuple[Any, ...]:
        """The result's arrays for these operands."""
        trace = self._trace()
        if trace is None or trace.closed:
            self._memo.clear()
            return self.leaves(self.call(*values))
        for given, found in self._memo:
            if all(a is b or np.array_equal(a, b, equal_nan=True) for a, b in zip(given, values, strict=True)):
                return found
        found = self.leaves(self.call(*values))
        self.remember(values, found)
        return found


class External(Compound):
    """The results of a black box. It has no derivative, and says so when asked for one."""

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        box: Box = params["box"]
        return box.avals

    def shown(self, params: Params) -> int:
        box: Box = dict(params)["box"]
        return len(box.avals)

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        box: Box = dict(params)["box"]
        return box.values

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        box: Box = dict(params)["box"]
        return [like.is_float and any(active) for like in box.avals]

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        raise self._refusal(params)

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        raise self._refusal(params)

    def _refusal(self, params: Params) -> NotDifferentiableError:
        return NotDifferentiableError(
            f"the external function {dict(params)['box'].title} has no derivative of its own: call it in a function"
            " with a custom_vjp rule (for reverse mode) or a custom_jvp rule (for both modes), which says what the"
            " derivative is; stop_gradient where it is to count as constant"
        )


EXTERNAL = External("external", Notation("titled"), "Results of a function that is not looked into.")
