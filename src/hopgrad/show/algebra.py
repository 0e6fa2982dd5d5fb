"""Simplifying a scalar formula for reading: collect factors and terms, fold numbers. For display, never for computing.

A formula is brought to a normal form: sums of products of powers, over atoms (inputs and function values), without
multiplying anything out. Equal forms are one entry in a table, so shared subexpressions are simplified once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hopgrad.errors import NotDifferentiableError
from hopgrad.graph.builder import Expr, catalogue, ones
from hopgrad.graph.graph import reachable
from hopgrad.graph.hop import Elementwise
from hopgrad.notation import (
    Fraction,
    Infix,
    Number,
    Prefix,
    Root,
    Term,
    Word,
    negated,
    number,
    power,
    product,
    quotient,
    total,
    write,
)

if TYPE_CHECKING:
    from hopgrad.show.analysis import Analysis, Edge

_MAX_HOPS = 2000
_MAX_EDGES = 20_000

Powers = tuple[tuple[int, float], ...]  # (form, exponent), sorted


def simplified(analysis: Analysis, node: int, limit: int) -> Term | None:
    """A short form of the result's derivative by `node` in terms of the inputs; None beyond `limit` symbols.

    The local derivatives of all edges are multiplied and added up as the chain rule says.
    """
    builder = analysis.graph.builder
    edges = [edge for edge in analysis.active_edges if edge.source >= node]
    if len(edges) > _MAX_EDGES:
        return None
    try:
        locals_ = [_local(analysis, edge) for edge in edges]
    except NotDifferentiableError:  # a rule that the user gave for one mode only
        return None
    order = reachable(builder, [expr.id for expr in locals_])
    if len(order) > _MAX_HOPS or any(builder.avals[n].shape for n in order):
        return None
    table = _Table(analysis)
    forms: dict[int, int] = {}
    for value in order:
        forms[value] = table.form(value, [forms[a] for a in builder.args(value)])
    adjoints = {analysis.output: table.number(1.0)}
    for edge, local in zip(edges, locals_, strict=True):
        share = table.product([(adjoints[edge.target], 1.0), (forms[local.id], 1.0)])
        before = adjoints.get(edge.source)
        adjoints[edge.source] = share if before is None else table.sum([(before, 1.0), (share, 1.0)])
    return table.term(adjoints[node], limit)


def _local(analysis: Analysis, edge: Edge) -> Expr:
    """The local derivative of a scalar edge as one value, with its condition if it has one."""
    builder, operator = analysis.graph.builder, edge.operator
    assert operator is not None
    factor = operator.factor
    with builder.passing("gradient"):
        if factor is None:
            factor = operator.push(ones(builder, operator.source))
        elif not isinstance(factor, Expr):
            factor = builder.constant(factor, operator.source.dtype)
        born = getattr(operator, "born", None)
        return factor if born is None else catalogue["where"](born, factor, builder.constant(0, factor.dtype))


class _Table:
    """Normal forms by their number in the table.

    A form is ("number", v), ("atom", node), ("apply", kind, arguments), ("product", coefficient, powers) or
    ("sum", constant, weights).
    """

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.builder = analysis.graph.builder
        self.forms: list[tuple[Any, ...]] = []
        self.ids: dict[tuple[Any, ...], int] = {}

    def put(self, form: tuple[Any, ...]) -> int:
        found = self.ids.get(form)
        if found is None:
            found = self.ids[form] = len(self.forms)
            self.forms.append(form)
        return found

    def number(self, value: float) -> int:
        return self.put(("number", float(value)))

    def form(self, node: int, args: list[int]) -> int:
        """The normal form of a hop over its operands' forms."""
        builder = self.builder
        hop, params = builder.kinds[builder.kind[node]]
        if node in builder.constants:
            value = builder.constants[node].item()
            return self.put(("atom", node)) if isinstance(value, complex) else self.number(float(value))
        match hop.name:
            case "input":
                return self.put(("atom", node))
            case "convert" | "broadcast_to" | "reshape" | "sum" | "mean":
                return args[0]
            case "add":
                return self.sum([(args[0], 1.0), (args[1], 1.0)])
            case "subtract":
                return self.sum([(args[0], 1.0), (args[1], -1.0)])
            case "negative":
                return self.sum([(args[0], -1.0)])
            case "multiply":
                return self.product([(args[0], 1.0), (args[1], 1.0)])
            case "divide":
                return self.product([(args[0], 1.0), (args[1], -1.0)])
            case "constant_power":
                return self.product([(args[0], float(dict(params)["exponent"]))])
            case "sqrt":
                return self.product([(args[0], 0.5)])
            case "where":
                condition, then, otherwise = args
                args = [condition, self.given(then, condition, 1), self.given(otherwise, condition, 2)]
                if args[1] == args[2]:
                    return args[1]
        if all(self.forms[a][0] == "number" for a in args) and isinstance(hop, Elementwise):
            folded = hop.function(*[self.forms[a][1] for a in args], **dict(params))
            return self.number(float(folded))
        return self.put(("apply", builder.kind[node], tuple(args)))

    def given(self, form: int, condition: int, branch: int) -> int:
        """The form where a condition is known: inner cases on the same condition are decided."""
        match self.forms[form]:
            case ("apply", kind, args) if self.builder.kinds[kind][0].name == "where" and args[0] == condition:
                return int(args[branch])
            case ("product", coefficient, powers):
                known = [(self.given(base, condition, branch), e) for base, e in powers]
                return self.product([(self.number(coefficient), 1.0), *known])
        return form

    def as_powers(self, form: int) -> tuple[float, Powers]:
        match self.forms[form]:
            case ("number", value):
                return value, ()
            case ("product", coefficient, powers):
                return coefficient, powers
            case ("sum", constant, ((only, weight),)) if constant == 0:
                inner, powers = self.as_powers(only)
                return weight * inner, powers
        return 1.0, ((form, 1.0),)

    def product(self, factors: Iterable[tuple[int, float]]) -> int:
        coefficient, collected = 1.0, dict[int, float]()
        for form, exponent in factors:
            inner, powers = self.as_powers(form)
            scaled = _power(inner, exponent)
            if scaled is None:  # a power of a negative number that is not real stays as it stands
                collected[form] = collected.get(form, 0.0) + exponent
                continue
            coefficient *= scaled
            for base, e in powers:
                # (x²)^½ is |x|, not x: only whole exponents may be multiplied.
                if not float(exponent).is_integer() and e != 1:
                    base, e = self.put(("product", 1.0, ((base, e),))), 1.0
                collected[base] = collected.get(base, 0.0) + e * exponent
        powers = tuple(sorted((b, e) for b, e in collected.items() if e))
        if not powers or coefficient == 0:
            return self.number(coefficient)
        if coefficient == 1 and len(powers) == 1 and powers[0][1] == 1:
            return powers[0][0]
        return self.put(("product", coefficient, powers))

    def sum(self, terms: Iterable[tuple[int, float]]) -> int:
        constant, collected = 0.0, dict[int, float]()

        def take(form: int, weight: float) -> None:
            nonlocal constant
            match self.forms[form]:
                case ("number", value):
                    constant += weight * value
                case ("sum", inner, weights):
                    constant += weight * inner
                    for base, w in weights:
                        collected[base] = collected.get(base, 0.0) + weight * w
                case ("product", coefficient, powers):
                    bare = (
                        powers[0][0] if len(powers) == 1 and powers[0][1] == 1 else self.put(("product", 1.0, powers))
                    )
                    collected[bare] = collected.get(bare, 0.0) + weight * coefficient
                case _:
                    collected[form] = collected.get(form, 0.0) + weight

        for form, weight in terms:
            take(form, weight)
        weights = tuple(sorted((b, w) for b, w in collected.items() if w))
        if not weights:
            return self.number(constant)
        if not constant and len(weights) == 1:
            base, weight = weights[0]
            inner, powers = self.as_powers(base)
            if weight * inner == 1 and len(powers) == 1 and powers[0][1] == 1:
                return powers[0][0]
            return self.put(("product", weight * inner, powers))
        return self.put(("sum", constant, weights))

    # -- writing -----------------------------------------------------------------------------------------------------

    def term(self, top: int, limit: int) -> Term | None:
        """The form as a term, or None where it is too large."""
        done: dict[int, Term] = {}
        stack = [top]
        while stack:
            form = stack[-1]
            if form in done:
                stack.pop()
                continue
            missing = [f for f in self.children(form) if f not in done]
            if missing:
                stack.extend(missing)
                continue
            done[form] = self.write(form, done)
            if done[form].size > limit:
                return None
        return done[top]

    def children(self, form: int) -> list[int]:
        match self.forms[form]:
            case ("apply", _, args):
                return list(args)
            case ("product", _, powers) | ("sum", _, powers):
                return [base for base, _ in powers]
        return []

    def write(self, form: int, done: dict[int, Term]) -> Term:
        match self.forms[form]:
            case ("number", value):
                return number(value)
            case ("atom", node):
                return self.analysis.symbol(node)
            case ("apply", kind, args):
                hop, params = self.builder.kinds[kind]
                return write(hop, [done[a] for a in args], dict(params))
            case ("product", coefficient, powers):
                return self.write_product(coefficient, powers, done)
            case ("sum", constant, weights):
                order = sorted(weights, key=lambda w: (-self.degree(w[0]), w[0]))
                parts = [self.scaled(done[base], weight, base, done) for base, weight in order]
                if constant:
                    parts.append(number(constant))
                if isinstance(parts[0], Prefix) and any(not isinstance(p, Prefix) for p in parts):
                    first = next(k for k, p in enumerate(parts) if not isinstance(p, Prefix))
                    parts.insert(0, parts.pop(first))
                return total(parts)
        raise AssertionError(self.forms[form])

    def scaled(self, term: Term, weight: float, base: int, done: dict[int, Term]) -> Term:
        if weight == 1:
            return term
        inner, powers = self.as_powers(base)
        return self.write_product(weight * inner, powers, done)

    def degree(self, form: int) -> float:
        """For the order of a sum's terms: higher powers first, functions last."""
        match self.forms[form]:
            case ("product", _, powers):
                return sum(self.degree(b) * e for b, e in powers)
            case ("atom", _):
                return 1.0
            case ("sum", _, _):
                return 1.0
        return 0.5

    def rank(self, form: int) -> tuple[int, int]:
        """For the order of a product's factors: symbols, then sums, then functions."""
        return ({"atom": 0, "product": 1, "sum": 1, "apply": 2}.get(self.forms[form][0], 3), form)

    def write_product(self, coefficient: float, powers: Powers, done: dict[int, Term]) -> Term:
        above = [self.raised(done[b], e) for b, e in sorted(powers, key=lambda p: self.rank(p[0])) if e > 0]
        below = [self.raised(done[b], -e) for b, e in sorted(powers, key=lambda p: self.rank(p[0])) if e < 0]
        size = abs(coefficient)
        # A coefficient like 1/3 reads better below the line.
        if below and 0 < size < 1 and float(1 / size).is_integer():
            below.insert(0, number(1 / size))
            size = 1.0
        if size != 1 or not above:
            above.insert(0, number(size))
        term = _product(above) if not below else quotient(_product(above), _product(below))
        return negated(term) if coefficient < 0 else term

    @staticmethod
    def raised(base: Term, exponent: float) -> Term:
        if exponent == 1:
            return base
        if exponent == 0.5:
            return Root(base)
        return power(base, number(exponent))


def _product(factors: list[Term]) -> Term:
    """Juxtaposed where that reads well: 2(x+1) cos(x)."""
    if len(factors) == 1:
        return factors[0]
    if isinstance(factors[0], Number):
        rest = _product(factors[1:])
        return product([factors[0], rest]) if not isinstance(rest, Infix) else _led(factors[0], rest)
    return product(factors, keep=True)


def _led(lead: Number, rest: Infix) -> Term:
    if rest.level != 2 or isinstance(rest.items[0], (Number, Fraction, Word)):
        return product([lead, rest])
    first = product([lead, rest.items[0]])
    return Infix(rest.operator, rest.tex, (first, *rest.items[1:]), rest.level)


def _power(value: float, exponent: float) -> float | None:
    try:
        found = value**exponent
    except (OverflowError, ZeroDivisionError):
        return math.inf if value else None
    return None if isinstance(found, complex) else found
