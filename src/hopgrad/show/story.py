"""The story of a gradient as data: sections of lines, each a formula or a sentence, with what belongs beside it.

The order is the same for every function: the steps; the chain rule in Leibniz form; the same with every factor spelled
out; the parts; the whole, simplified, as a number, checked; the branches that it holds for, if the code took any; the
sum over paths as dynamic programming; the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np

from hopgrad.graph.hop import ITEM
from hopgrad.graph.operators import Weighted
from hopgrad.notation import (
    Apply,
    Derivative,
    Indexed,
    Infix,
    Number,
    Symbol,
    Term,
    Word,
    equation,
    index_text,
    number,
    product,
    rewritten,
    text,
    total,
    value_text,
)
from hopgrad.show.algebra import simplified
from hopgrad.show.analysis import Analysis, Edge
from hopgrad.show.guards import HOLDS, kept

MAX_PATHS = 16
MAX_SYMBOLS = 200
MAX_SPELLED = 1000
MAX_LINES = 60
"""A section with more lines shows this many, from both ends, and counts the rest."""


@dataclass(frozen=True)
class Line:
    """A line of a story: a formula (or a sentence in `prose`), its value, and a remark such as the rule's name."""

    formula: Term | None = None
    prose: str = ""
    value: str = ""
    note: str = ""
    node: int | None = None


@dataclass
class Section:
    """A titled part of a story."""

    key: str
    title: str
    lines: list[Line] = field(default_factory=list)
    intro: str = ""


def tell(analysis: Analysis) -> list[Section]:
    """The whole story."""
    sections = [_layers(analysis)] if analysis.layers else []
    sections.append(_steps(analysis))
    if analysis.troubles:
        sections.append(troubles(analysis))
    live = [n for n in analysis.wrt if analysis.path_counts.get(n, (0, 0))[0]]
    if live:
        sections += [_layers_chain(analysis)] if analysis.layers else [_chain(analysis, live), _spelled(analysis, live)]
        sections.append(_parts(analysis))
    sections.append(_whole(analysis, live))
    if analysis.conditions:
        sections.append(_guards(analysis))
    if live:
        sections += [_adjoints(analysis), _cost(analysis)]
    return [section for section in sections if section.lines or section.intro]


def exact(count: int) -> str:
    """All digits of a count, in groups of three; int's own formatting stops at 4300 digits."""
    return format(Decimal(count), ",f")


def shortened(lines: list[Line], what: str) -> list[Line]:
    """The lines, or the first and last of them with a count of the rest between."""
    if len(lines) <= MAX_LINES:
        return lines
    half = MAX_LINES // 2
    left = len(lines) - 2 * half
    return [*lines[:half], Line(prose=f"… {left:,} more {what} …"), *lines[-half:]]


def _shape_note(analysis: Analysis, node: int) -> str:
    like = analysis.graph.builder.avals[node]
    return "×".join(map(str, like.shape)) if like.shape else ""


# -- the layers of a network -----------------------------------------------------------------------------------------


def _layers(analysis: Analysis) -> Section:
    """What each layer gives, and the derivative of the result by that."""
    section = Section("layers", "The layers", intro="What each gives, and the derivative of the result by that.")
    for depth, group in analysis.layers.outline:
        result = analysis.layers.result(group)
        value = "" if group in analysis.layers.opened else value_text(analysis.value(result), 4)
        note = ""
        if value and analysis.back.adjoints.get(result) is not None:
            note = text(equation(bar(analysis, result), Word(value_text(analysis.adjoint(result), 4))))
        section.lines.append(Line(Word("\u2003" * depth + group.title), value=value, note=note, node=result))
    section.lines = shortened(section.lines, "layers")
    return section


def _layers_chain(analysis: Analysis) -> Section:
    """The chain rule over what layers give, each derivative by those of the layers that use the value."""
    section = Section("chain", "The chain rule, from layer to layer")
    gives: dict[int, int] = {}  # for a value, the result of the layer that it is in
    for item in analysis.layers.links:
        inside = [item] if isinstance(item, int) else list(item.nodes)
        gives |= dict.fromkeys(inside, item if isinstance(item, int) else analysis.layers.result(item))
    sources = sorted({*gives.values(), *analysis.wrt} & analysis.outgoing.keys())
    for source in sorted(sources, key=lambda n: (n not in analysis.graph.inputs, n), reverse=True):
        terms = []
        for result in dict.fromkeys(gives[edge.target] for edge in analysis.outgoing[source]):
            local = Derivative(analysis.symbol(result), analysis.symbol(source), True)
            above = [total_derivative(analysis, result)] if result != analysis.output else []
            terms.append(_path_product([*above, local]))
        if terms and not (len(terms) == 1 and terms[0] == total_derivative(analysis, source)):
            section.lines.append(Line(equation(total_derivative(analysis, source), total(terms)), node=source))
    section.lines = shortened(section.lines, "values")
    return section


# -- a. the steps ----------------------------------------------------------------------------------------------------


def _steps(analysis: Analysis) -> Section:
    graph = analysis.graph
    section = Section("steps", "The steps")
    lines = [
        Line(
            analysis.symbol(node),
            value=value_text(analysis.value(node)),
            note=_input_note(analysis, node),
            node=node,
        )
        for node in analysis.nodes
        if node in graph.inputs
    ]
    hops = [n for n in analysis.nodes if n not in graph.inputs]
    kept = set(hops) if len(hops) <= MAX_LINES else {*hops[: MAX_LINES // 2], *hops[-MAX_LINES // 2 :]}
    steps = []
    for node in hops:
        if node not in kept:
            steps.append(Line())
            continue
        if node in graph.builder.constants:
            steps.append(
                Line(analysis.symbol(node), value=value_text(analysis.value(node)), note="constant", node=node)
            )
            continue
        sides = [analysis.symbol(node), analysis.hop_term(node)]
        whole = analysis.expanded(node, MAX_SYMBOLS)
        if analysis.scalar and whole not in sides:
            sides.append(whole)
        note = _shape_note(analysis, node)
        steps.append(Line(equation(*sides), value=value_text(analysis.value(node)), note=note, node=node))
    section.lines = shortened(lines, "inputs") + shortened(steps, "steps")
    return section


def _input_note(analysis: Analysis, node: int) -> str:
    shape = _shape_note(analysis, node)
    role = "input" if node in analysis.wrt else "given"
    path = analysis.reached.get(node, "") if analysis.layers else ""
    return ", ".join(filter(None, (role, shape, path)))


def troubles(analysis: Analysis) -> Section:
    """Where values or derivatives become infinite or NaN."""
    section = Section("health", "Where it breaks")
    for trouble in analysis.troubles[:MAX_LINES]:
        place = analysis.graph.node(trouble.node).location
        where = f" ({place})" if place and place.line else ""
        kind = "NaN" if np.isnan(trouble.value) else "infinity"
        args = analysis.operands(trouble.node)
        at = ", ".join(
            f"{text(analysis.symbol(a))} = {value_text(analysis.value(a))}"
            for a in args
            if analysis.visible(a) in analysis.names
        )
        hop = text(equation(analysis.symbol(trouble.node), analysis.hop_term(trouble.node)))
        if trouble.source is None:
            line = f"{kind} is born at {hop}, where {at}{where}"
        else:
            d = text(local_derivative(analysis, trouble.node, trouble.source))
            line = f"in the derivative, {kind} is born at {hop}: {d} = {value_text(trouble.value)}, where {at}{where}"
        section.lines.append(Line(prose=line, node=trouble.node))
    return section


# -- b. and c. the chain rule ----------------------------------------------------------------------------------------


def total_derivative(analysis: Analysis, node: int) -> Term:
    """The derivative of the result by an input."""
    return Derivative(analysis.symbol(analysis.output), analysis.symbol(node), analysis.several)


def local_derivative(analysis: Analysis, target: int, source: int) -> Term:
    """The local derivative of a hop by one operand: partial if it has several."""
    sources = {e.source for e in analysis.incoming.get(target, [])}
    partial = analysis.several or len(sources) > 1
    top = analysis.symbol(target)
    # With several inputs ∂y/∂x means the whole; where y also uses x directly, that use is told by its formula.
    whole = analysis.several and target == analysis.output and source in analysis.wrt
    if whole and analysis.path_counts[source][0] > 1:
        top = analysis.hop_term(target)
    return Derivative(top, analysis.symbol(source), partial)


def plain_local(analysis: Analysis, edge: Edge) -> Term:
    """The local derivative of an edge by name alone, whatever else ∂y/∂x may mean."""
    partial = analysis.several or len({e.source for e in analysis.incoming[edge.target]}) > 1
    return Derivative(analysis.symbol(edge.target), analysis.symbol(edge.source), partial)


def _path_product(factors: Sequence[Term]) -> Term:
    return factors[0] if len(factors) == 1 else Infix("·", r"\cdot", tuple(factors), 2)


def _along(path: Sequence[Edge], write: Callable[[Edge], Term], limit: int) -> list[Term]:
    """One factor for each edge of a path, with an ellipsis in place of the middle of a very long one."""
    if len(path) <= limit:
        return [write(edge) for edge in path]
    ends = [*path[: limit // 2], *path[-limit // 2 :]]
    factors = [write(edge) for edge in ends]
    return [*factors[: limit // 2], Word("…"), *factors[limit // 2 :]]


def _chain(analysis: Analysis, live: list[int]) -> Section:
    section = Section("chain", "The chain rule")
    for node in live:
        count = analysis.path_counts[node][0]
        whole = total_derivative(analysis, node)
        if node == analysis.output:
            section.lines.append(Line(equation(whole, Number("1"))))
            continue
        if count > MAX_PATHS:
            first = equation(whole, _first_step(analysis, node))
            section.lines.append(Line(first, note=f"{exact(count)} paths", node=node))
            continue
        paths = analysis.paths(node, MAX_PATHS)
        terms = [
            _path_product(_along(path, lambda e: local_derivative(analysis, e.target, e.source), 24)) for path in paths
        ]
        right = total(terms)
        if right == whole:
            right = total_derivative(analysis, node)
            section.lines.append(Line(right, note="one hop", node=node))
            continue
        section.lines.append(
            Line(equation(whole, right), note=f"sum over {count} paths" if count > 1 else "", node=node)
        )
    section.lines = shortened(section.lines, "inputs")
    return section


def _first_step(analysis: Analysis, node: int) -> Term:
    """The dynamic-programming form: by the adjoints of the values that use this one."""
    terms = []
    for edge in analysis.outgoing.get(node, [])[:MAX_PATHS]:
        above = Derivative(analysis.symbol(analysis.output), analysis.symbol(edge.target), analysis.several)
        local = local_derivative(analysis, edge.target, edge.source)
        terms.append(_path_product([above, local]) if edge.target != analysis.output else local)
    if len(analysis.outgoing.get(node, [])) > MAX_PATHS:
        terms.append(Word("…"))
    return total(terms)


def _spelled(analysis: Analysis, live: list[int]) -> Section:
    """Every factor as the derivative of its subexpression."""
    section = Section("spelled", "The same, every factor as the derivative of its subexpression")
    for node in live:
        if analysis.path_counts[node][0] > MAX_PATHS or node == analysis.output:
            continue
        paths = analysis.paths(node, MAX_PATHS)
        # The more factors there are, the shorter each one: what is longer goes by its name.
        count = sum(min(len(path), 12) for path in paths)
        limit = min(MAX_SYMBOLS, MAX_SPELLED // max(count, 1))
        write = partial(spelled_out, analysis, limit=limit)
        terms = [_path_product(_along(path, write, 12)) for path in paths]
        section.lines.append(Line(equation(total_derivative(analysis, node), total(terms)), node=node))
    if any(analysis.path_counts[node][0] > MAX_PATHS for node in live) and not section.lines:
        section.intro = "Too many paths to write out; the adjoints below use each of them."
    section.lines = shortened(section.lines, "inputs")
    return section


def spelled_out(analysis: Analysis, edge: Edge, limit: int = MAX_SYMBOLS) -> Term:
    """d sin((x+1)²)/d(x+1)², what takes more than `limit` symbols by its name."""
    partial = analysis.several or len({e.source for e in analysis.incoming[edge.target]}) > 1
    target, source = (analysis.expanded(n, limit) for n in (edge.target, edge.source))
    return Derivative(target, source, partial)


# -- d. the parts ----------------------------------------------------------------------------------------------------


def rule(analysis: Analysis, edge: Edge) -> str:
    """The name under which the local derivative of an edge is taught."""
    builder = analysis.graph.builder
    hop = builder.hop(edge.target)
    if hop is ITEM:
        hop = builder.hop(builder.args(edge.target)[0])
    return hop.notation.rule or hop.name.replace("_", " ")


def _parts(analysis: Analysis) -> Section:
    section = Section("parts", "The parts: each hop's own derivative")
    edges = analysis.active_edges
    if len(edges) > MAX_LINES:
        half = MAX_LINES // 2
        shown: list[Edge | None] = [*edges[:half], None, *edges[-half:]]
    else:
        shown = list(edges)
    avals = analysis.graph.builder.avals
    for edge in shown:
        if edge is None:
            section.lines.append(Line(prose=f"… {len(edges) - MAX_LINES:,} more derivatives …"))
            continue
        arrays = bool(avals[edge.source].shape or avals[edge.target].shape)
        note = rule(analysis, edge)
        twins = [e.number for e in analysis.incoming[edge.target] if e.source == edge.source]
        if len(twins) > 1:
            note += f", operand {twins.index(edge.number) + 1} of {len(twins)}"
        if arrays:
            place = _shape_note(analysis, edge.source)
            spread = isinstance(edge.operator, Weighted) and avals[edge.source].size != avals[edge.target].size
            note += (f", spread to {place}" if spread else f", {place}") if place else ""
            section.lines.append(Line(pullback_line(analysis, edge), note=note, node=edge.target))
            continue
        factor = analysis.factor_term(edge)
        if factor is None and (analysis.is_complex(edge.source) or analysis.is_complex(edge.target)):
            section.lines.append(Line(pullback_line(analysis, edge), note=note, node=edge.target))
            continue
        local = local_derivative(analysis, edge.target, edge.source)
        value = analysis.local_value(edge)
        right = [factor] if factor is not None else []
        kink = analysis.graph.builder.hop(edge.target).kink
        at_kink = value is not None and not np.isfinite(value) and kink
        section.lines.append(
            Line(
                equation(local, *right),
                value="" if value is None or says_it(factor, value) else value_text(value),
                note=note + (f"; {kink}" if at_kink else ""),
                node=edge.target,
            )
        )
    return section


def says_it(factor: Term | None, value: Any) -> bool:
    """Whether the formula is the number already."""
    return factor is not None and not np.ndim(value) and factor == number(np.asarray(value).item())


def bar(analysis: Analysis, node: int) -> Term:
    """The adjoint of a value."""
    term = analysis.symbol(node)
    return Symbol(term.name, bar=True) if isinstance(term, Symbol) else term


def pullback_term(analysis: Analysis, edge: Edge) -> Term:
    """What an edge adds to its source's adjoint, over the target's adjoint: C̄ Bᵀ for C = A B."""
    assert edge.operator is not None
    builder = analysis.graph.builder
    with builder.passing("gradient"):
        stand_in = builder.input(builder.avals[edge.target], "ct")
        pulled = edge.operator.pull(stand_in)
    analysis.names[stand_in.id] = "\x00"
    try:
        term = analysis.made_term(pulled, bare=builder.hop(edge.target).name in ("reshape", "broadcast_to"))
    finally:
        del analysis.names[stand_in.id]
    here = bar(analysis, edge.target)
    if builder.hop(edge.target).name == "prod":
        # The formula that is right through zeros is a tree of products: too long to read.
        return product([here, analysis.factor_term(edge) or Word("…")], "⊙", r"\odot", keep=True)
    if analysis.takes_real_part(edge) and pulled.dtype.kind == "c":
        term = _real_part(term)
    return rewritten(term, lambda part: here if part == Symbol("\x00") else part)


def _real_part(term: Term) -> Term:
    return Apply("Re", r"\operatorname{Re}", (term,))


def pullback_line(analysis: Analysis, edge: Edge) -> Term:
    """Ā += C̄ Bᵀ."""
    source, share = bar(analysis, edge.source), pullback_term(analysis, edge)
    hop = analysis.graph.builder.hop(edge.target)
    if hop.notation.form == "index":
        # x̄[1:] += ȳ says more than x̄ += scatter(ȳ, …).
        builder = analysis.graph.builder
        items = dict(builder.params(edge.target))["items"]
        arrays = [analysis.symbol(a) for a in builder.args(edge.target)[1:]]
        source, share = Indexed(source, f"[{index_text(items, arrays)}]"), bar(analysis, edge.target)
    return Infix("+=", r"\mathrel{+}=", (source, share), 0)


# -- e. the whole ----------------------------------------------------------------------------------------------------


_OF_COMPLEX = (
    "The derivative by a complex number z = a + bi is d/da − i d/db: a small change dz of it changes the result by"
    " the real part of the derivative times dz."
)


def _whole(analysis: Analysis, live: list[int]) -> Section:
    section = Section("whole", "The whole")
    avals = analysis.graph.builder.avals
    if avals[analysis.output].shape:
        section.intro = (
            f"The result has shape {_shape_note(analysis, analysis.output)}: what follows is the gradient of"
            " the sum of its elements (its adjoint is set to 1 everywhere)."
        )
    if any(map(analysis.is_complex, analysis.wrt)):
        section.intro = " ".join(filter(None, (section.intro, _OF_COMPLEX)))
    for node in analysis.wrt:
        left = total_derivative(analysis, node)
        zero = analysis.zero(node)
        if zero is not None:
            section.lines.append(Line(equation(left, Number("0")), note=f"zero: {zero}", node=node))
            continue
        value = value_text(analysis.adjoint(node), 10)
        if analysis.scalar and not analysis.of_complex and node in live:
            paths = analysis.path_counts[node][0]
            if paths <= MAX_PATHS:
                section.lines.append(Line(equation(left, _multiplied(analysis, node)), node=node))
            short = simplified(analysis, node, MAX_SYMBOLS)
            if short is not None:
                section.lines.append(Line(equation(left, short), note=_simplified_note(analysis), node=node))
        section.lines.append(Line(left, value=value, note=_check_note(analysis, node), node=node))
    section.lines = shortened(section.lines, "lines")
    return section


def _simplified_note(analysis: Analysis) -> str:
    return "simplified, where all steps are finite" if analysis.troubles else "simplified"


def _multiplied(analysis: Analysis, node: int) -> Term:
    """The product of the local derivatives along each path, in terms of the inputs: cos(…) · 2(x+1) · 1."""
    terms = []
    for path in analysis.paths(node, MAX_PATHS):
        factors = _along(path, lambda e: analysis.factor_term(e, True, MAX_SYMBOLS) or Word("…"), 24)
        terms.append(product(factors, keep=True) if factors else Number("1"))
    return total(terms) if terms else Number("1")


def _check_note(analysis: Analysis, node: int) -> str:
    check = analysis.check(node)
    if check is None:
        return ""
    along = f" along {check.direction}: {value_text(check.exact, 10)} here and" if check.direction else ""
    found = f"finite differences{along} {value_text(check.numeric, 10)}"
    return found if np.isnan(check.error) else f"{found}, relative difference {check.error:.0e}"


def _guards(analysis: Analysis) -> Section:
    """The branches that the user's code took, as conditions under which the gradient holds."""
    section = Section("guards", "Where it holds", intro=HOLDS)
    shown, more = kept(analysis.conditions)
    for condition in shown:
        if condition.formula is None:
            words = "; ".join(filter(None, (condition.prose, condition.note)))
            section.lines.append(Line(prose=words))
        else:
            section.lines.append(Line(condition.formula, note=condition.note))
    if more:
        section.lines.append(Line(prose=f"… and {more:,} more conditions hold"))
    return section


# -- f. and g. dynamic programming and cost --------------------------------------------------------------------------


def _adjoints(analysis: Analysis) -> Section:
    """Each adjoint once: the sum, over the value's uses, of the use's adjoint times the local derivative."""
    section = Section(
        "adjoints",
        "Dynamic programming: each adjoint once, in the order computed",
        intro="The adjoint of a value is the derivative of the result by it: the sum, over its uses, of the use's"
        " adjoint times the local derivative.",
    )
    avals = analysis.graph.builder.avals
    out = bar(analysis, analysis.output)
    lines = [Line(equation(out, Number("1")), value="", node=analysis.output)]
    sources = sorted(analysis.outgoing, reverse=True)
    kept = set(sources) if len(sources) <= MAX_LINES else {*sources[: MAX_LINES // 2], *sources[-MAX_LINES // 2 :]}
    for source in sources:
        if source not in kept:
            lines.append(Line())
            continue
        terms: list[Term] = []
        numbers: list[Term] = []
        uses = analysis.outgoing[source]
        for edge in uses[:MAX_PATHS]:
            arrays = avals[edge.source].shape or avals[edge.target].shape
            factor = analysis.factor_term(edge)
            if arrays or factor is None:
                terms.append(pullback_term(analysis, edge))
            else:
                counted = _real_part if analysis.takes_real_part(edge) else lambda term: term
                terms.append(counted(product([bar(analysis, edge.target), factor], keep=True)))
                given = [_number(analysis.adjoint(edge.target)), _number(analysis.local_value(edge))]
                numbers.append(counted(product(given, keep=True)))
        if len(uses) > MAX_PATHS:
            terms.append(Word(f"… {len(uses) - MAX_PATHS} more"))
            numbers = []
        sides = [bar(analysis, source), total(terms)]
        if numbers and len(numbers) == len(terms):
            sides.append(total(numbers))
        lines.append(
            Line(equation(*sides), value=value_text(analysis.adjoint(source)), note=_limit(analysis, uses), node=source)
        )
    section.lines = shortened(lines, "adjoints")
    return section


def _limit(analysis: Analysis, uses: Sequence[Edge]) -> str:
    """Says so where the numbers beside an adjoint would give 0·∞, but the adjoint was found another way."""
    for edge in uses:
        local = analysis.local_value(edge)
        share = analysis.share_value(edge)
        if local is None or not np.isfinite(share).all():
            continue
        above = analysis.adjoint(edge.target)
        if isinstance(edge.operator, Weighted) and not edge.operator.keepdims:
            above = np.expand_dims(above, edge.operator.axes)
        with np.errstate(all="ignore"):
            if np.isnan(np.multiply(above, local)).any():
                return "no 0·∞: computed from relative changes"
    return ""


def _number(value: Any) -> Term:
    """A value in few digits, as a factor."""
    return number(np.asarray(value).item(), 6)


def _cost(analysis: Analysis) -> Section:
    per = "" if analysis.scalar else " (per element)"
    paths, naive, done = analysis.path_count, analysis.naive_cost, analysis.cost
    lines = [
        Line(prose=f"paths from the result to the inputs: {exact(paths)}"),
        Line(prose=f"multiplications for the sum over all paths{per}: {exact(naive)}"),
        Line(prose=f"multiplications done, one for each edge{per}: {exact(done)}"),
    ]
    return Section("cost", "The cost", lines)
