"""The picture for other programs: Graphviz (DOT), TikZ and Mermaid.

All three say the same. A value shows its name, its hop and what it is; an edge that the gradient flows along shows the
local derivative as a formula and as a number. Kinds are told apart without colour:

=================  ============  =====================  ===================
kind               DOT           TikZ                   Mermaid
=================  ============  =====================  ===================
input              ellipse       round corners          stadium
given input        dashed        round corners, dashed  stadium, dashed
array constant     note          dotted                 parallelogram
hop                box           box                    box
result             two outlines  two outlines           two side lines
inactive edge      dashed        dashed                 dotted
=================  ============  =====================  ===================

Below the picture stands for which branches of the code it holds, if the code took any.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hopgrad.notation import (
    RELATION,
    Apply,
    Cases,
    Derivative,
    Fraction,
    Infix,
    Power,
    Symbol,
    Term,
    Word,
    equation,
    latex,
    latex_width,
    tex_text,
    text,
    value_text,
)
from hopgrad.show import story
from hopgrad.show.analysis import Analysis, Edge
from hopgrad.show.guards import BOUNDARY, HOLDS, listed, sentence
from hopgrad.show.layout import Edge as Line
from hopgrad.show.layout import Layout, layout
from hopgrad.show.render import portable, tex_value

MAX_DRAWN = 200
"""A TikZ picture of a larger graph shows its first and last hops, and a box that counts the others: TeX has no room
for more, as its largest length is less than six metres."""

_LONGEST = 40  # symbols of a formula; what is longer is shortened to its name


class Box(NamedTuple):
    """A value in the picture."""

    node: int
    kind: str  # "input", "given", "constant" or "hop"
    result: bool
    head: Term
    value: str


class Arrow(NamedTuple):
    """A use of a value in the picture; `label` and `value` only where the gradient flows."""

    source: int
    target: int
    active: bool
    label: Term | None
    value: str


def _boxes(analysis: Analysis, nodes: Iterable[int]) -> Iterator[Box]:
    graph = analysis.graph
    inputs, wanted = set(graph.inputs), set(analysis.wrt)
    for node in nodes:
        name = analysis.symbol(node)
        if node in inputs:
            kind, head = ("input" if node in wanted else "given"), name
        elif node in graph.builder.constants:
            kind, head = "constant", name
        else:
            kind, head = "hop", equation(name, _short_hop(analysis, node))
        yield Box(node, kind, node == analysis.output, head, value_text(analysis.value(node)))


def _short_hop(analysis: Analysis, node: int) -> Term:
    term = analysis.hop_term(node)
    if term.size <= _LONGEST:
        return term
    name = analysis.graph.builder.hop(node).name
    return Apply(name, rf"\operatorname{{{tex_text(name)}}}", (Word("…"),))


def _arrows(analysis: Analysis, hidden: Container[int] = ()) -> Iterator[Arrow]:
    """All edges; those to and from `hidden` nodes without labels, which cost most of the time."""
    active = {(edge.target, edge.number) for edge in analysis.active_edges}
    for edge in analysis.edges:
        label, value = None, ""
        on = (edge.target, edge.number) in active
        if on and edge.source not in hidden and edge.target not in hidden:
            label, value = _label(analysis, edge)
        yield Arrow(edge.source, edge.target, on, label, value)


def _label(analysis: Analysis, edge: Edge) -> tuple[Term, str]:
    """The local derivative, dh/dz = 2z, and its number; for arrays what flows back, as in ō Wᵀ."""
    avals = analysis.graph.builder.avals
    factor = analysis.factor_term(edge)
    if factor is None or avals[edge.source].shape or avals[edge.target].shape:
        return _flow(analysis, edge), ""
    local = story.plain_local(analysis, edge)
    value = analysis.local_value(edge)
    number = "" if value is None or story.says_it(factor, value) else value_text(value)
    return (equation(local, factor) if factor.size <= _LONGEST else local), number


def _flow(analysis: Analysis, edge: Edge) -> Term:
    line = story.pullback_line(analysis, edge)
    if line.size > _LONGEST:
        return Word(story.rule(analysis, edge))
    # x̄ += ō Wᵀ: the arrow itself says where it goes, unless that is a part such as x̄[0].
    if isinstance(line, Infix) and line.level == RELATION and isinstance(line.items[0], Symbol):
        return line.items[-1]
    return line


def _printable(words: str) -> str:
    """With a mark in place of each character that has no picture, line breaks included."""
    return words if words.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in words)


def _equals(value: str) -> str:
    return f"= {value}" if value else ""


# -- Graphviz ---------------------------------------------------------------------------------------------------

_SHAPES = {
    "input": "shape=ellipse",
    "given": "shape=ellipse, style=dashed",
    "constant": "shape=note",
    "hop": "shape=box",
}
# Graphviz reads backslashes, and also HTML entities, in its strings.
_DOT_SIGNS = str.maketrans({"\\": "\\\\", '"': '\\"', "&": "&amp;"})


def _dot_string(*rows: str) -> str:
    return '"' + r"\n".join(_printable(row).translate(_DOT_SIGNS) for row in rows if row) + '"'


def dot(analysis: Analysis) -> str:
    """The picture in the language of Graphviz, for ``dot -Tsvg``."""
    out = ["digraph {", "  rankdir=LR", "  node [fontname=serif]", "  edge [fontname=serif, fontsize=11]"]
    for box in _boxes(analysis, analysis.nodes):
        rim = ", peripheries=2" if box.result else ""
        label = _dot_string(text(box.head), box.value)
        out.append(f"  n{box.node} [label={label}, {_SHAPES[box.kind]}{rim}]")
    for arrow in _arrows(analysis):
        style = "style=dashed, arrowhead=empty"
        if arrow.label is not None:
            style = f"label={_dot_string(text(arrow.label), _equals(arrow.value))}"
        out.append(f"  n{arrow.source} -> n{arrow.target} [{style}]")
    if analysis.conditions:
        out += [f"  label={_dot_string(sentence(analysis.conditions))}", "  fontname=serif"]
    return "\n".join([*out, "}", ""])


# -- Mermaid ----------------------------------------------------------------------------------------------------

_BRACKETS = {"input": ("([", "])"), "given": ("([", "])"), "constant": ("[/", "/]"), "hop": ("[", "]")}
_MERMAID_SIGNS = str.maketrans({c: f"#{ord(c)};" for c in '"#&<>;`*_~$|{}[]\\-'})


def _mermaid_string(*rows: str) -> str:
    """Every sign that means something to Mermaid, or to the Markdown and HTML in it, stands by its number."""
    return '"' + "<br/>".join(_printable(row).translate(_MERMAID_SIGNS) for row in rows if row) + '"'


def mermaid(analysis: Analysis) -> str:
    """The picture in the language of Mermaid, which many wikis and code hosts draw.

    Mermaid refuses more than 500 edges, unless the page that it runs in has raised ``maxEdges``.
    """
    out = ["flowchart LR"]
    given = []
    for box in _boxes(analysis, analysis.nodes):
        left, right = ("[[", "]]") if box.result else _BRACKETS[box.kind]
        out.append(f"  n{box.node}{left}{_mermaid_string(text(box.head), box.value)}{right}")
        if box.kind == "given":
            given.append(f"n{box.node}")
    for arrow in _arrows(analysis):
        if arrow.label is None:
            out.append(f"  n{arrow.source} -.-> n{arrow.target}")
        else:
            label = _mermaid_string(text(arrow.label), _equals(arrow.value))
            out.append(f"  n{arrow.source} -->|{label}| n{arrow.target}")
    if given:
        out += ["  classDef given stroke-dasharray: 5 4", f"  class {','.join(given)} given"]
    if analysis.conditions:
        out.append(f"  holds[{_mermaid_string(sentence(analysis.conditions))}]")
        out += ["  classDef caption fill:none,stroke:none", "  class holds caption"]
    return "\n".join([*out, ""])


# -- TikZ -------------------------------------------------------------------------------------------------------

# In points, at TeX's usual 10 points a letter.
_PAD, _ROW, _LETTER = 8.0, 13.0, 5.2
_PAGE = 440.0  # what does not fit across a page is drawn downwards
_LARGEST = 16_000.0  # TeX's lengths end at 16383.99 points

_STYLES = {
    "input": "draw, rounded corners=8pt",
    "given": "draw, rounded corners=8pt, dashed",
    "constant": "draw, densely dotted",
    "value": "draw, rounded corners=1pt",
    "result": "double, double distance=1.5pt",
    "label": "fill=white, inner sep=2pt",
    "gap": "draw=none",
    "caption": "anchor=north",
}


@dataclass
class _Block:
    """Rows of LaTeX in a box or on an edge, and the room they take."""

    rows: list[str]
    width: float
    height: float
    style: str = ""

    @property
    def tex(self) -> str:
        return r" \\[2pt] ".join(self.rows)


def _block(formula: Term, value: str, pad: float, style: str = "", sign: str = "") -> _Block:
    """A formula, and below it its value."""
    rows, width, height = [rf"$\displaystyle {latex(formula)}$"], latex_width(formula), _height(formula) + 3
    if value:
        rows.append(f"${sign}{tex_value(value)}$")
        width, height = max(width, _LETTER * len(sign + value)), height + _ROW
    return _Block([portable(row) for row in rows], width + 2 * pad, height + pad, style)


def _height(term: Term) -> float:
    """About how many points high a formula is set."""
    match term:
        case Derivative():
            return 24.0
        case Fraction(top, bottom):
            return _height(top) + _height(bottom) + 5
        case Cases(_, then, otherwise):
            return _height(then) + _height(otherwise) + 10
        case Power(base, _):
            return _height(base) + 3
    return max(map(_height, term.parts), default=9.0)


def _scene(analysis: Analysis) -> tuple[list[_Block], list[tuple[int, int, _Block | None]]]:
    """Blocks for values, and edges between them; of a large graph its ends, with a block that counts the rest."""
    nodes, half = analysis.nodes, MAX_DRAWN // 2
    hidden = set(nodes[half:-half]) if len(nodes) > MAX_DRAWN else set()
    blocks: list[_Block] = []
    place: dict[int, int] = {}
    for box in _boxes(analysis, [node for node in nodes if node not in hidden]):
        if hidden and len(blocks) == half:
            words = f"… {len(hidden):,} more …"
            blocks.append(_Block([tex_text(words)], _LETTER * len(words), 2 * _ROW, "hop gap"))
        place[box.node] = len(blocks)
        style = f"hop {'value' if box.kind == 'hop' else box.kind}" + (", hop result" if box.result else "")
        blocks.append(_block(box.head, box.value, _PAD, style))
    place.update(dict.fromkeys(hidden, half))
    gap = half if hidden else -1
    edges: dict[object, tuple[int, int, _Block | None]] = {}
    for k, arrow in enumerate(_arrows(analysis, hidden)):
        source, target = place[arrow.source], place[arrow.target]
        if source == target:
            continue
        if gap in (source, target):
            # One edge stands for all between the same two, an active one if there is any.
            before = edges.get((source, target))
            empty = _Block([], 0.0, 0.0) if arrow.active else None
            edges[source, target] = before if before and before[2] else (source, target, empty)
        else:
            label = None if arrow.label is None else _block(arrow.label, arrow.value, 2.0, sign="= ")
            edges[k] = (source, target, label)
    return blocks, list(edges.values())


def tikz(analysis: Analysis) -> str:
    r"""The picture as a tikzpicture environment, for ``\usepackage{amsmath,amssymb,tikz}``."""
    blocks, edges = _scene(analysis)
    plan = _planned(blocks, edges)
    scale = min(1.0, _LARGEST / max(plan.width, plan.height, 1.0))
    caption = _caption(analysis)
    styles = [f"  hop {kind}/.style={{{style}}}" for kind, style in _STYLES.items() if kind != "caption" or caption]
    out = [
        r"\begin{tikzpicture}[x=1pt, y=-1pt, >=stealth, every node/.style={align=center, inner sep=0pt},",
        ",\n".join(styles) + "]",
    ]

    def at(point: tuple[float, float]) -> str:
        return f"({point[0] * scale:.1f},{point[1] * scale:.1f})"

    for (_, _, label), (start, *rest) in zip(edges, plan.paths, strict=True):
        curves = [" .. controls {} and {} .. {}".format(*map(at, rest[k : k + 3])) for k in range(0, len(rest), 3)]
        out.append(rf"\draw[->{'' if label else ', dashed'}] {at(start)}{''.join(curves)};")
    for (_, _, label), middle in zip(edges, plan.labels, strict=True):
        if label and label.rows and middle:
            out.append(rf"\node[hop label] at {at(middle)} {{{label.tex}}};")
    for block, center in zip(blocks, plan.centers, strict=True):
        size = f"minimum width={block.width:.1f}pt, minimum height={block.height:.1f}pt"
        out.append(rf"\node[{block.style}, {size}] at {at(center)} {{{block.tex}}};")
    if caption:
        out.append(rf"\node[hop caption] at {at((plan.width / 2, plan.height + _ROW / scale))} {{{caption}}};")
    return "\n".join([*out, r"\end{tikzpicture}", ""])


def _caption(analysis: Analysis) -> str:
    """Under which conditions the picture holds, a row for each."""
    rows = [rf"${latex(term)}$" for term in listed(analysis.conditions)]
    if not rows:
        return ""
    rows = [f"{HOLDS} {rows[0]}", *[f"and {row}" for row in rows[1:]]]
    if any(condition.boundary for condition in analysis.conditions):
        rows.append(f"({BOUNDARY})")
    return portable(r" \\[2pt] ".join(rows))


def _planned(blocks: Sequence[_Block], edges: Sequence[tuple[int, int, _Block | None]]) -> Layout:
    """Across the page if it fits there, else down the page."""
    sizes = [(block.width, block.height) for block in blocks]
    lines = [Line(s, t, (label.width, label.height) if label and label.rows else None) for s, t, label in edges]
    pinned = [k for k, block in enumerate(blocks) if block.style.startswith(("hop input", "hop given"))]
    across = layout(sizes, lines, direction="right", pinned=pinned)
    return across if across.width <= _PAGE else layout(sizes, lines, direction="down", pinned=pinned)
