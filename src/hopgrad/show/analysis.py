"""Everything that a story, a picture or a page says about a gradient, worked out once.

The traced graph is differentiated with every edge's operator and share kept, then evaluated at the actual arguments.
Values are called *nodes*, uses of values *edges*. Conversions of dtype are hidden: their edges are joined into one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hopgrad.aval import Several
from hopgrad.differentiate import Pullback, Zero, pull
from hopgrad.evaluate import Plan, evaluate_all
from hopgrad.graph.builder import Expr, ones
from hopgrad.graph.graph import Graph
from hopgrad.graph.hop import ITEM, Compound
from hopgrad.graph.operators import Operator
from hopgrad.notation import Apply, Cases, Number, Symbol, Term, number, write
from hopgrad.show.guards import Condition, conditions, known_guards
from hopgrad.show.layers import Layers

MAX_CHECKED = 20_000_000
"""So many elements of values are computed, for four differences, to check gradients: a few seconds' work."""


@dataclass(frozen=True)
class Edge:
    """One use of a value: `target` is computed from `source` as its operand `number`.

    ``operator`` is the local gradient, None where nothing flows back (constants, flat hops).
    """

    source: int
    target: int
    number: int
    operator: Operator | None


@dataclass(frozen=True)
class Check:
    """A derivative by finite differences: along a unit direction for arrays. ``error`` is relative."""

    exact: float
    numeric: float
    direction: str

    @property
    def error(self) -> float:
        """Relative difference, against 1 where both are small."""
        return abs(self.exact - self.numeric) / max(abs(self.exact), abs(self.numeric), 1e-300) if (
            np.isfinite(self.exact) and np.isfinite(self.numeric) and (self.exact or self.numeric)
        ) else (0.0 if self.exact == self.numeric else float("nan"))  # fmt: skip


@dataclass(frozen=True)
class Trouble:
    """A hop where something infinite or NaN is born out of finite operands."""

    node: int
    source: int | None
    """The operand whose local derivative it is, or None if the value itself."""
    value: complex


@dataclass
class Analysis:
    """A graph with its gradient: see the module."""

    graph: Graph
    output: int
    wrt: tuple[int, ...]
    inputs: Mapping[int, Any]
    order: int = 1
    names: dict[int, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    """Programs that stand in no file, by the name that locations give instead of one."""
    reached: Mapping[int, str] = field(default_factory=dict)
    """For inputs that are parts of an argument, how the user reaches them: ``model[0].weight``."""
    back: Pullback = field(init=False)

    def __post_init__(self) -> None:
        builder = self.graph.builder
        # The tuple of a hop with several results is no value to speak of: its items are.
        told = self._told_order()
        self.names = {
            n: name
            for n, name in self.graph.names.items()
            if not isinstance(builder.avals[n], Several) and (n in told or n in self.graph.inputs)
        }
        shown = [n for n in self.graph.order if n in told and self._shown(n)]
        # Parameters of captured modules became inputs when they were read.
        inputs = set(self.graph.inputs)
        self.nodes = sorted(shown, key=lambda n: n not in inputs)
        seed = ones(builder, builder.avals[self.output])
        self.back = pull(builder, {self.output: seed}, self.wrt, record=True, why=True)

    # -- structure ---------------------------------------------------------------------------------------------------

    def _shown(self, node: int) -> bool:
        """Constants are written at their use, conversions are hidden."""
        builder = self.graph.builder
        if isinstance(builder.avals[node], Several):
            return False
        if node in builder.constants:
            return bool(builder.avals[node].shape)
        return "hidden" not in builder.hop(node).traits or not self.graph.builder.args(node)

    def visible(self, node: int) -> int:
        """The shown value behind hidden conversions."""
        builder = self.graph.builder
        while "hidden" in builder.hop(node).traits:
            (node,) = builder.args(node)
        return node

    def operands(self, node: int) -> tuple[int, ...]:
        """What a shown value is computed from: one of several results of a hop comes from the operands of that hop."""
        builder = self.graph.builder
        args = builder.args(node)
        return builder.args(args[0]) if builder.hop(node) is ITEM else args

    def told(self, node: int) -> Sequence[int]:
        """Which of a value's `operands` the story tells about: a function with a rule hides how it computes."""
        builder = self.graph.builder
        whole = builder.args(node)[0] if builder.hop(node) is ITEM else node
        hop, params = builder.kinds[builder.kind[whole]]
        return hop.told(params, len(builder.args(whole)))

    def _told_order(self) -> set[int]:
        """The values that the result is told to be computed from."""
        found = {self.output}
        for node in reversed(self.graph.order):
            if node in found:
                operands = self.operands(node)
                found.update(operands[k] for k in self.told(node))
        return found

    @cached_property
    def edges(self) -> list[Edge]:
        """All uses of shown values, in the order of computation."""
        builder = self.graph.builder
        found = []
        for node in self.nodes:
            operands = self.operands(node)
            for k in self.told(node):
                source = self.visible(operands[k])
                if source in builder.constants and not builder.avals[source].shape:
                    continue
                found.append(Edge(source, node, k, self._operator(node, k)))
        return found

    def _operator(self, node: int, number: int) -> Operator | None:
        """The local gradient, if anything flows back."""
        builder = self.graph.builder
        if builder.hop(node) is not ITEM:
            return self.back.operators.get((node, number))
        (whole,) = builder.args(node)
        hop, params = builder.kinds[builder.kind[whole]]
        if node not in self.back.adjoints or (whole, number) not in self.back.shares:
            return None
        assert isinstance(hop, Compound)
        args = [builder.expr(a) for a in builder.args(whole)]
        part = hop.part(args, builder.expr(whole), params, dict(builder.params(node))["index"], number)
        if part is not None:
            # The sweep has only the sum over all results.
            with builder.passing("gradient"):
                share = part.pull(self.back.adjoints[node], self.back.supports.get(node))
            self.back.shares[node, number] = share
        return part

    @cached_property
    def active_edges(self) -> list[Edge]:
        """The edges along which the gradient flows, in the order of the backward sweep."""
        flowing = [e for e in self.edges if e.operator is not None and self.back.adjoints.get(e.source) is not None]
        return sorted(flowing, key=lambda e: (-e.target, e.number))

    @cached_property
    def incoming(self) -> dict[int, list[Edge]]:
        """For each value the active edges that it is computed by."""
        found: dict[int, list[Edge]] = {}
        for edge in self.active_edges:
            found.setdefault(edge.target, []).append(edge)
        return found

    @cached_property
    def outgoing(self) -> dict[int, list[Edge]]:
        """For each value the active edges that use it, in the order of the backward sweep."""
        found: dict[int, list[Edge]] = {}
        for edge in self.active_edges:
            found.setdefault(edge.source, []).append(edge)
        return found

    @cached_property
    def scalar(self) -> bool:
        """Whether every value that the gradient passes through is a single number."""
        avals = self.graph.builder.avals
        return all(not avals[e.source].shape and not avals[e.target].shape for e in self.active_edges)

    def is_complex(self, node: int) -> bool:
        """Whether a value is a complex number, or an array of them."""
        return self.graph.builder.avals[node].dtype.kind == "c"

    def takes_real_part(self, edge: Edge) -> bool:
        """Whether of what comes back along an edge only the real part counts: a complex value of a real one."""
        return self.is_complex(edge.target) and not self.is_complex(edge.source)

    @cached_property
    def of_complex(self) -> bool:
        """Whether the gradient passes through complex numbers: not all that is done on its way is multiplying."""
        return any(self.is_complex(node) for edge in self.active_edges for node in (edge.source, edge.target))

    @property
    def several(self) -> bool:
        """Whether there are several inputs to differentiate by, so that derivatives are partial."""
        return len(self.wrt) > 1

    def zero(self, node: int) -> Zero | None:
        """Why the gradient by an input is structurally zero, if it is."""
        return self.back.zeros.get(node)

    @cached_property
    def layers(self) -> Layers:
        """The computation by the layers of a network."""
        return Layers(self)

    @cached_property
    def conditions(self) -> list[Condition]:
        """What the gradient depends on besides the formulas: the branches that the user's code took."""
        return conditions(self)

    # -- values ------------------------------------------------------------------------------------------------------

    @cached_property
    def values(self) -> dict[int, Any]:
        """Every value, adjoint and local factor at the actual arguments, by id."""
        builder = self.graph.builder
        wanted = {self.output, *self.graph.order}
        wanted.update(guard.node for guard in known_guards(self.graph))
        edges = self.active_edges  # their shares are made with them
        wanted.update(e.id for e in self.back.adjoints.values())
        wanted.update(e.id for e in self.back.shares.values())
        for edge in edges:
            if edge.operator is not None and isinstance(edge.operator.factor, Expr):
                wanted.add(edge.operator.factor.id)
                born = getattr(edge.operator, "born", None)
                if born is not None:
                    wanted.add(born.id)
        with np.errstate(all="ignore"):
            return evaluate_all(builder, sorted(wanted), self.inputs)

    def value(self, node: int) -> Any:
        """The value of a node."""
        return self.values[node]

    def adjoint(self, node: int) -> Any:
        """The derivative of the result by a node's value: zeros where nothing flows."""
        found = self.back.adjoints.get(node)
        if found is None:
            like = self.graph.builder.avals[node]
            return np.zeros(like.shape, like.dtype)[()]
        return self.values[found.id]

    def local_value(self, edge: Edge) -> Any:
        """The local derivative of an edge as a number or array of factors; None where it is a map without factors."""
        operator = edge.operator
        if operator is None or operator.factor is None:
            return None
        factor = operator.factor
        value = self.values[factor.id] if isinstance(factor, Expr) else np.float64(factor)
        born = getattr(operator, "born", None)
        return value if born is None else np.where(self.values[born.id], value, 0)[()]

    # -- terms -------------------------------------------------------------------------------------------------------

    def symbol(self, node: int) -> Term:
        """How a value is called in formulas: its name, or a scalar constant's digits."""
        node = self.visible(node)
        if node in self.names:
            return Symbol(self.names[node])
        constants = self.graph.builder.constants
        return number(constants[node].item()) if node in constants else Symbol(f"%{node}")

    def hop_term(self, node: int, arguments: Sequence[Term] | None = None) -> Term:
        """A value written as its hop over its operands' names, or over the given terms."""
        builder = self.graph.builder
        args = builder.args(node)
        if arguments is None:
            arguments = [self.hop_term(a) if isinstance(builder.avals[a], Several) else self.symbol(a) for a in args]
        terms = arguments
        return write(builder.hop(node), terms, dict(builder.params(node)), [builder.avals[a] for a in args])

    def expanded(self, node: int, limit: int = 200) -> Term:
        """A value in terms of the inputs, if that takes at most `limit` symbols; else its name."""
        node = self.visible(node)
        if (node, limit) not in self._expansions:
            self._expand(node, limit)
        return self._expansions[node, limit] or self.symbol(node)

    @cached_property
    def _expansions(self) -> dict[tuple[int, int], Term | None]:
        return {}

    def _expand(self, top: int, limit: int) -> None:
        builder, known = self.graph.builder, self._expansions
        if self._spans_more(top, limit):
            known[top, limit] = None
            return
        stack = [top]
        while stack:
            node = stack[-1]
            if (node, limit) in known:
                stack.pop()
                continue
            args = [self.visible(a) for a in builder.args(node)]
            if not args:
                known[node, limit] = self.symbol(node)
                continue
            hop, params = builder.kinds[builder.kind[node]]
            told = hop.told(params, len(args))
            missing = [args[k] for k in told if (args[k], limit) not in known]
            if missing:
                stack.extend(missing)
                continue
            parts = [known[a, limit] if k in told else Symbol("…") for k, a in enumerate(args)]
            fits = all(part is not None for part in parts) and sum(part.size for part in parts if part) <= limit
            term = self.hop_term(node, [part for part in parts if part]) if fits else None
            known[node, limit] = term if term is not None and term.size <= limit else None

    def _spans_more(self, top: int, limit: int) -> bool:
        """Whether a value is made of more than `limit` others, each of which would take a symbol at least."""
        builder, known = self.graph.builder, self._expansions
        found = {top}
        stack = [top]
        while stack and len(found) <= limit:
            node = stack.pop()
            if (node, limit) in known:
                if known[node, limit] is None:
                    return True
                continue
            args = builder.args(node)
            hop, params = builder.kinds[builder.kind[node]]
            fresh = {self.visible(args[k]) for k in hop.told(params, len(args))} - found
            found |= fresh
            stack.extend(fresh)
        return len(found) > limit

    def factor_term(self, edge: Edge, expand: bool = False, limit: int = 200) -> Term | None:
        """The local derivative of an edge in the names of the graph, or (`expand`) in terms of the inputs."""
        operator = edge.operator
        if operator is None or operator.factor is None:
            return None
        factor = operator.factor
        if self.graph.builder.hop(edge.target).name == "prod":
            whole = self.expanded(edge.source, limit) if expand else self.symbol(edge.source)
            return Apply("Π others", r"\prod\nolimits_{\text{others}}", (whole,))
        term = self.made_term(factor, expand, limit) if isinstance(factor, Expr) else number(factor)
        born = getattr(operator, "born", None)
        if born is not None:
            term = Cases(self.made_term(born, expand, limit), term, Number("0"))
        return term

    def made_term(self, expr: Expr, expand: bool = False, limit: int = 200, bare: bool = False) -> Term:
        """A value made by differentiation, written over values of the traced graph.

        Reshaping and broadcasting that only bring shapes together are left out, unless `bare`.
        """
        builder = self.graph.builder
        memo: dict[int, Term] = {}
        stack = [expr.id]
        while stack:
            node = stack[-1]
            if node in memo:
                stack.pop()
                continue
            hop = builder.hop(node)
            glue = hop.name in ("reshape", "broadcast_to") and builder.stage[node] and not bare
            hidden = "hidden" in hop.traits or glue
            if node in self.names or (node in builder.constants and not builder.avals[node].shape):
                memo[node] = self.expanded(node, limit) if expand and node in self.names else self.symbol(node)
                continue
            args = builder.args(node)
            if not args:
                memo[node] = self._broadcast_constant(node)
                continue
            missing = [a for a in args if a not in memo]
            if missing:
                stack.extend(missing)
                continue
            spread = builder.hop(node).name == "broadcast_to" and args[0] in builder.constants
            if hidden or spread:
                memo[node] = memo[args[0]]
                continue
            term = self.hop_term(node, [memo[a] for a in args])
            memo[node] = term if term.size <= 2 * limit else Symbol("…")
        return memo[expr.id]

    def _broadcast_constant(self, node: int) -> Term:
        data = self.graph.builder.constants.get(node)
        if data is not None and data.size and (data == data.flat[0]).all() and data.dtype.kind in "fiu":
            return number(data.flat[0])
        return Symbol("c")

    # -- counting ----------------------------------------------------------------------------------------------------

    @cached_property
    def path_counts(self) -> dict[int, tuple[int, int]]:
        """For each value (number of paths from the result to it, edges on all of them), exact whatever their size."""
        counts: dict[int, tuple[int, int]] = {self.output: (1, 0)}
        for edge in self.active_edges:
            if edge.target not in counts:
                continue
            paths, length = counts[edge.target]
            before = counts.get(edge.source, (0, 0))
            counts[edge.source] = (before[0] + paths, before[1] + length + paths)
        return counts

    @property
    def path_count(self) -> int:
        """Paths from the result to all inputs."""
        return sum(self.path_counts.get(n, (0, 0))[0] for n in self.wrt)

    @property
    def naive_cost(self) -> int:
        """Multiplications for the sum over all paths: one for each edge of each path."""
        return sum(self.path_counts.get(n, (0, 0))[1] for n in self.wrt)

    @property
    def cost(self) -> int:
        """Multiplications done: one for each edge, ±1 included (for arrays: per element)."""
        return len(self.active_edges)

    def paths(self, node: int, limit: int = 16) -> list[list[Edge]]:
        """The paths from the result down to `node`, at most `limit` of them."""
        if (node, limit) not in self._paths:
            self._paths[node, limit] = self._found_paths(node, limit)
        return self._paths[node, limit]

    @cached_property
    def _paths(self) -> dict[tuple[int, int], list[list[Edge]]]:
        return {}

    def _found_paths(self, node: int, limit: int) -> list[list[Edge]]:
        reaching = self._reaching(node)
        found: list[list[Edge]] = []
        # A path is a linked list from its end back to the result: copying it at each step would be quadratic.
        stack: list[tuple[int, Any]] = [(self.output, None)]
        while stack and len(found) < limit:
            at, link = stack.pop()
            if at == node:
                path = []
                while link is not None:
                    edge, link = link
                    path.append(edge)
                found.append(path[::-1])
                continue
            further = [e for e in reversed(self.incoming.get(at, [])) if e.source in reaching]
            stack.extend((edge.source, (edge, link)) for edge in further)
        return found

    def _reaching(self, node: int) -> set[int]:
        reach = {node}
        for edge in reversed(self.active_edges):
            if edge.source in reach:
                reach.add(edge.target)
        return reach

    def share_value(self, edge: Edge) -> Any:
        """What an active edge adds to its source's adjoint."""
        return self.values[self.back.shares[edge.target, edge.number].id]

    # -- checking ----------------------------------------------------------------------------------------------------

    def check(self, node: int) -> Check | None:
        """The gradient by one input against central differences of fourth order along one direction.

        Of many inputs of a large computation only the first are checked, so that this takes seconds at most.
        """
        if node not in self._checks:
            self._checks[node] = self._checked(node) if node in self._checkable else None
        return self._checks[node]

    @cached_property
    def _checkable(self) -> set[int]:
        avals = self.graph.builder.avals
        cost = sum(avals[n].size for n in self.graph.order if not isinstance(avals[n], Several))
        return set(self.wrt[: max(1, MAX_CHECKED // max(cost, 1))])

    @cached_property
    def _checks(self) -> dict[int, Check | None]:
        return {}

    def _checked(self, node: int) -> Check | None:
        builder = self.graph.builder
        like = builder.avals[node]
        if not like.size or builder.avals[self.output].size == 0:
            return None
        point = np.asarray(self.inputs[node])
        of_complex = like.dtype.kind == "c"
        gradient = np.asarray(self.adjoint(node), np.complex128 if of_complex else np.float64)
        random = np.random.default_rng(0)
        unit: Any = random.standard_normal(like.shape) if like.shape else np.ones(())
        if of_complex:  # along the real axis alone, the derivative by the imaginary part would not show
            unit = unit + 1j * (random.standard_normal(like.shape) if like.shape else np.ones(()))
        unit = unit / np.sqrt(np.sum((unit * np.conj(unit)).real))
        scale = max(1.0, float(np.max(np.abs(point)))) if np.isfinite(point).all() else 1.0
        step = scale * float(np.finfo(like.dtype).eps) ** 0.2 / 4

        plan = Plan(builder, [self.output], self.inputs)

        def along(t: float) -> float:
            moved = np.asarray(point + t * unit, like.dtype)[()]
            with np.errstate(all="ignore"):
                (found,) = plan.run({**self.inputs, node: moved})
            return float(np.sum(found, dtype=np.float64))

        numeric = (8 * (along(step) - along(-step)) - (along(2 * step) - along(-2 * step))) / (12 * step)
        with np.errstate(all="ignore"):
            exact = float(np.sum(gradient * unit).real)
        direction = "a random direction" if like.shape else "(1 + i)/√2" if of_complex else ""
        return Check(exact, numeric, direction)

    @cached_property
    def troubles(self) -> list[Trouble]:
        """Where values or local derivatives first become infinite or NaN."""
        found = []
        for node in self.nodes:
            args = self.operands(node)
            if args and not _finite(self.value(node)) and all(_finite(self.values[a]) for a in args):
                found.append(Trouble(node, None, _worst(self.value(node))))
        for edge in self.active_edges:
            local = self.local_value(edge)
            if local is not None and not _finite(local) and _finite(self.value(edge.source)) and _finite(
                self.value(edge.target)
            ):  # fmt: skip
                found.append(Trouble(edge.target, edge.source, _worst(local)))
        for edge in self.active_edges:
            share = self.share_value(edge)
            local = self.local_value(edge)
            fine = _finite(self.adjoint(edge.target)) and (local is None or _finite(local))
            if fine and not _finite(share):
                found.append(Trouble(edge.target, edge.source, _worst(share)))
        return found


def _finite(value: Any) -> bool:
    if isinstance(value, float):  # most values of a long computation; float64 is one
        return math.isfinite(value)
    array = np.asarray(value)
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def _worst(value: Any) -> complex:
    """The NaN or infinity to report: NaN first."""
    array = np.asarray(value)
    bad = array[~np.isfinite(array)]
    found: complex = float("nan") if np.isnan(bad).any() else bad.flat[0].item()
    return found
