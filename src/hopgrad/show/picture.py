"""The picture of a gradient as SVG: values as boxes, uses as arrows with the local derivative on them.

Widths of text are taken from a table of a wide font, so text in any usual font fits its box. Colours follow Okabe and
Ito's palette, which colour-blind readers can tell apart; every meaning has a second sign as well (shape, dashes,
words).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

import numpy as np

from hopgrad.notation import Indexed, Infix, Run, Symbol, Term, Word, equation, runs, text, value_text
from hopgrad.show import story
from hopgrad.show.analysis import Analysis, Edge
from hopgrad.show.guards import BOUNDARY, HOLDS, listed, sentence
from hopgrad.show.layers import Group
from hopgrad.show.layout import Edge as Line
from hopgrad.show.layout import Layout, Point, layout
from hopgrad.show.structure import Part

Direction = Literal["right", "down"]

MAX_NODES = 20_000
"""Larger graphs are drawn by their first and last hops, with a box that counts the others."""
MAX_LABELS = 2_000
"""Above this many edges no labels are drawn."""
_ENDS = 120
_MAX_PARAMETERS, _MAX_TIPS = 4, 8

TITLE, SMALL = 15.0, 12.5
_PAD_X, _PAD_Y = 12.0, 8.0
_LEADING = 1.35

# Widths in ems, from the wider of DejaVu Serif's upright and italic.
_WIDTHS = {
    0.25: "′⁽⁾", 0.3: "'", 0.35: " ,-./:;\\ijl|·", 0.4: "()I[]fι⌊⌋⌈⌉", 0.45: "!Jt₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹ᵀⁿₙ",
    0.5: '"*_`r‖', 0.55: "?szεζ∂⁻", 0.6: "acevxyβγηξρτ", 0.65: "$0123456789bdghknopqu{}δθλμνυχ√∛", 0.7: "FLPSTYZακπσφΓ",
    0.75: "ABEKVXΔΛΞΣ∧∨", 0.8: "CGRψ", 0.85: "#+<=>DOQU^~ωΘΦΩ−×⊙∞≤≥≠=¬←→±", 0.9: "&HNwΠΨ", 0.95: "%m",
    1.0: "@…", 1.05: "MW",
}  # fmt: skip
_WIDTH = {c: w for w, letters in _WIDTHS.items() for c in letters} | {
    "\u0304": 0.0,
    "\u0305": 0.0,
    "\u2061": 0.0,
}
_SHIFT, _SHRINK = 0.38, 0.72


def measure(row: Sequence[Run], size: float) -> float:
    """Width of styled text in pixels, rather too much than too little."""
    return sum(_WIDTH.get(c, 1.0) * size * _SHRINK ** abs(run.rise) for run in row for c in run.text)


@dataclass(frozen=True)
class Row:
    """A line of text in a box: its runs, size, and CSS class."""

    runs: tuple[Run, ...]
    size: float
    role: str

    @property
    def width(self) -> float:
        """Pixels."""
        return measure(self.runs, self.size)

    @property
    def height(self) -> float:
        """Pixels; raised and lowered text needs more."""
        deep = max((abs(run.rise) for run in self.runs), default=0)
        return self.size * (_LEADING + 0.12 * deep)


def _row(term: Term | str, size: float, role: str) -> Row:
    return Row((Run(term),) if isinstance(term, str) else tuple(runs(term)), size, role)


@dataclass
class Box:
    """A node to draw."""

    rows: list[Row]
    kind: str
    tip: str
    node: int | None = None
    size: Point = field(init=False)

    def __post_init__(self) -> None:
        self._measure()

    def say(self, words: str) -> None:
        """Put a remark below the head."""
        self.rows.insert(1, _row(words, SMALL, "value"))
        self._measure()

    def _measure(self) -> None:
        width = max(row.width for row in self.rows) + 2 * _PAD_X
        height = sum(row.height for row in self.rows) + 2 * _PAD_Y
        if self.round:
            width += 0.25 * height  # the ends are round: the first and last rows need room there
        self.size = max(width, 46.0), height

    @property
    def round(self) -> bool:
        """Inputs have round ends."""
        return self.kind.startswith(("input", "given"))

    @property
    def is_layer(self) -> bool:
        """Whether it stands for several hops."""
        return self.kind.startswith("layer")


@dataclass
class Arrow:
    """An edge to draw, with the rows of its label."""

    source: int
    target: int
    rows: list[Row]
    active: bool
    tip: str = ""

    @property
    def label(self) -> Point | None:
        """Width and height of the label."""
        if not self.rows:
            return None
        return max(row.width for row in self.rows) + 8, sum(row.height for row in self.rows) + 4


# -- what is drawn ---------------------------------------------------------------------------------------------------


def _boxes(analysis: Analysis, nodes: Sequence[int], adjoints: bool) -> list[Box]:
    sick = {t.node for t in analysis.troubles if t.source is None}
    return [_box(analysis, node, adjoints, node in sick) for node in nodes]


def _box(analysis: Analysis, node: int, adjoints: bool, sick: bool) -> Box:
    graph = analysis.graph
    name = analysis.symbol(node)
    if node in graph.inputs:
        kind, head = ("input" if node in analysis.wrt else "given"), name
    elif node in graph.builder.constants:
        kind, head = "constant", name
    else:
        kind = "hop"
        term = analysis.hop_term(node)
        short = term if term.size <= 24 else Symbol(f"{graph.builder.hop(node).name}(…)")
        head = equation(name, short)
    if node == analysis.output:
        kind = "result" if kind == "hop" else f"{kind} result"
    value = value_text(analysis.value(node), 6)
    rows = [
        _row(head, TITLE, "name"),
        _row(f"born: {value}" if sick else value, SMALL, "bad" if sick else "value"),
    ]
    if adjoints and analysis.back.adjoints.get(node) is not None:
        rows.append(
            _row(
                equation(story.bar(analysis, node), Word(value_text(analysis.adjoint(node), 5))),
                SMALL,
                "adjoint",
            )
        )
    place = graph.node(node).location
    tip = f"{text(head)} = {value}" + (f"\n{place}: {place.span}" if place and place.line and place.span else "")
    return Box(rows, kind + (" sick" if sick else ""), tip, node)


def _label(analysis: Analysis, edge: Edge, adjoints: bool) -> list[Row]:
    """The local derivative: symbol and formula, then the number; with `adjoints` what flows back."""
    factor = analysis.factor_term(edge)
    rows = []
    if factor is None:
        pulled = story.pullback_term(analysis, edge)
        plain = pulled.size <= 14 and isinstance(pulled, (Infix, Indexed, Symbol))
        rows.append(_row(pulled if plain else story.rule(analysis, edge), SMALL, "local"))
    else:
        local = story.local_derivative(analysis, edge.target, edge.source)
        value = analysis.local_value(edge)
        if local.size > 12:
            local = story.plain_local(analysis, edge)
        if factor.size > 14:
            rows.append(_row(local, SMALL, "local"))
        else:
            rows.append(_row(equation(local, factor), SMALL, "local"))
        if value is not None and not story.says_it(factor, value):
            bad = not np.isfinite(value).all()
            rows.append(_row(f"= {value_text(value, 5)}", SMALL, "bad" if bad else "number"))
    if adjoints:
        share = analysis.share_value(edge)
        rows.append(_row(f"← {value_text(share, 5)}", SMALL, "adjoint"))
    return rows


def _scene(analysis: Analysis, adjoints: bool) -> tuple[list[Box], list[Arrow]]:
    nodes = analysis.nodes
    left_out: set[int] = set()
    if len(nodes) > MAX_NODES:
        left_out = set(nodes[_ENDS:-_ENDS])
        kept = [*nodes[:_ENDS], *nodes[-_ENDS:]]
    else:
        kept = list(nodes)
    boxes = _boxes(analysis, kept[:_ENDS] if left_out else kept, adjoints)
    place = {node: k for k, node in enumerate(kept[:_ENDS] if left_out else kept)}
    if left_out:
        gap = len(boxes)
        boxes.append(Box([_row(f"… {len(left_out):,} more hops …", TITLE, "name")], "constant", "not drawn"))
        for node, box in zip(kept[_ENDS:], _boxes(analysis, kept[_ENDS:], adjoints), strict=True):
            place[node] = len(boxes)
            boxes.append(box)
        place.update(dict.fromkeys(left_out, gap))
    edges = [e for e in analysis.edges if place[e.source] != place[e.target]]
    if left_out:
        edges = list({(place[e.source], place[e.target]): e for e in edges}.values())
    labelled = len(edges) <= MAX_LABELS
    active = set(analysis.active_edges)
    arrows = []
    for edge in edges:
        on = edge in active
        drawn = on and labelled and edge.source not in left_out and edge.target not in left_out
        rows = _label(analysis, edge, adjoints) if drawn else []
        tip = f"{text(analysis.symbol(edge.source))} → {text(analysis.symbol(edge.target))}"
        if drawn:
            tip += ": " + " ".join("".join(run.text for run in row.runs) for row in rows)
        arrows.append(Arrow(place[edge.source], place[edge.target], rows, on, tip))
    return boxes, arrows


def _scene_by_layers(analysis: Analysis, adjoints: bool, opened: Sequence[str]) -> tuple[list[Box], list[Arrow]]:
    """Layers as boxes, with what they give and its adjoint; parameters that only one of them uses are in its box."""
    layers = analysis.layers
    open_ = layers.taken_apart(opened)
    sick = {t.node for t in analysis.troubles if t.source is None}
    boxes: list[Box] = []
    place: dict[int, int] = {}
    told: set[int] = set()
    for item in layers.seen(open_):
        if isinstance(item, Group):
            inside = layers.parameters(item)
            told.update(inside)
            place.update(dict.fromkeys((*item.nodes, *inside), len(boxes)))
            boxes.append(_layer_box(analysis, item, inside, sick))
        else:
            place[item] = len(boxes)
            boxes.append(_box(analysis, item, adjoints or item in analysis.wrt, item in sick))
            if item in analysis.reached:
                boxes[-1].say(analysis.reached[item])
    kept = [k for k, box in enumerate(boxes) if box.node not in told or box.is_layer]
    moved = {old: new for new, old in enumerate(kept)}
    active = set(analysis.active_edges)
    found: dict[tuple[int, int], list[Edge]] = {}
    for edge in analysis.edges:
        ends = place[edge.source], place[edge.target]
        if ends[0] != ends[1]:
            found.setdefault(ends, []).append(edge)
    arrows = []
    for (source, target), edges in found.items():
        on = [edge for edge in edges if edge in active]
        plain = len(edges) == 1 and on and not boxes[source].is_layer and not boxes[target].is_layer
        tip = "; ".join(
            f"{text(analysis.symbol(e.source))} → {text(analysis.symbol(e.target))}" for e in edges[:_MAX_TIPS]
        )
        rows = _label(analysis, edges[0], adjoints) if plain else []
        arrows.append(Arrow(moved[source], moved[target], rows, bool(on), tip))
    return [boxes[k] for k in kept], arrows


def _layer_box(analysis: Analysis, group: Group, inside: Sequence[int], sick: set[int]) -> Box:
    result = analysis.layers.result(group)
    value = value_text(analysis.value(result), 4)
    rows = [_row(group.title, TITLE, "name")]
    rows.append(_row(equation(analysis.symbol(result), Word(value)), SMALL, "value"))
    if analysis.back.adjoints.get(result) is not None:
        rows.append(_row(_adjoint_equation(analysis, result), SMALL, "adjoint"))
    parameters = [n for n in inside if n in analysis.wrt and n not in analysis.back.zeros][:_MAX_PARAMETERS]
    rows += [_row(_adjoint_equation(analysis, node), SMALL, "adjoint") for node in parameters]
    broken = not sick.isdisjoint(group.nodes)
    if broken:
        rows.append(_row("something infinite or NaN is born here", SMALL, "bad"))
    names = ", ".join(text(analysis.symbol(n)) for n in inside)
    tip = f"{group.title}: {value}, {len(list(group.nodes))} hops" + (f"\nwith {names}" if names else "")
    kind = "layer result" if analysis.output in set(group.nodes) else "layer"
    return Box(rows, kind + (" sick" if broken else ""), tip, result)


def _adjoint_equation(analysis: Analysis, node: int) -> Term:
    return equation(story.bar(analysis, node), Word(value_text(analysis.adjoint(node), 4)))


# -- the caption -----------------------------------------------------------------------------------------------------

_CAPTION_WIDTH = 420.0
"""A caption may be this wide even if the picture is not."""
_CAPTION_GAP = 18.0
_BOLD = 1.15  # bold letters are wider


def _caption(analysis: Analysis, room: float) -> list[Row]:
    """For which branches of the code the picture holds, in rows of at most `room` where its conditions allow."""
    if not analysis.conditions:
        return []
    terms = listed(analysis.conditions)
    rows: list[list[Run]] = [[Run(f"{HOLDS} ")]]
    for k, term in enumerate(terms):
        sign = "" if k == len(terms) - 1 else " and " if k == len(terms) - 2 else ", "
        part = [*runs(term), Run(sign)]
        if k and measure([*rows[-1], *part], SMALL) > room:
            rows.append([])
        rows[-1] += part
    found = [Row(tuple(row), SMALL, "caption") for row in rows]
    if any(condition.boundary for condition in analysis.conditions):
        found.append(_row(BOUNDARY, SMALL, "bad"))
    return found


# -- drawing ---------------------------------------------------------------------------------------------------------

_LIGHT = {
    "ink": "#1a1a1a", "soft": "#595959", "paper": "#ffffff", "box": "#f4f6f8", "line": "#4d5a66",
    "input": "#dcecf7", "input-line": "#0072b2", "result": "#fde5d8", "result-line": "#b84c00",
    "local": "#005a8c", "adjoint": "#8f2d6b", "bad": "#b00020",
}  # fmt: skip
_DARK = {
    "ink": "#ececec", "soft": "#b0b6bc", "paper": "#16191d", "box": "#242a31", "line": "#9aa7b3",
    "input": "#12324a", "input-line": "#56b4e9", "result": "#4a2a14", "result-line": "#f0a060",
    "local": "#7cc4f0", "adjoint": "#e79ac6", "bad": "#ff8a8a",
}  # fmt: skip

_RULES = """
text{font-family:"STIX Two Text","Cambria","Georgia","DejaVu Serif",serif;fill:var(--ink);text-anchor:middle}
.paper{fill:var(--paper)}
.node rect,.node path{fill:var(--box);stroke:var(--line);stroke-width:1.2}
.node.input rect{fill:var(--input);stroke:var(--input-line);stroke-width:1.6}
.node.given rect,.node.constant rect{stroke-dasharray:4 3}
.node.layer rect{stroke-width:2.2}
.node.result rect{fill:var(--result);stroke:var(--result-line);stroke-width:1.6}
.node .rim{fill:none!important}
.node.sick rect{stroke:var(--bad);stroke-width:2.4}
.value,.number{fill:var(--soft)}
.local{fill:var(--local)}
.adjoint{fill:var(--adjoint)}
.bad{fill:var(--bad);font-weight:bold}
.edge{fill:none;stroke:var(--line);stroke-width:1.4}
.edge.idle{stroke-dasharray:2 4}
.back{fill:none;stroke:var(--adjoint);stroke-width:1.3;stroke-dasharray:6 3}
.plate{fill:var(--paper)}
.caption{fill:var(--soft)}
.head{fill:var(--line)}
.head.back{fill:var(--adjoint);stroke:none}
"""


def _variables(colours: dict[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in colours.items())


def _style(scope: str, theme: str) -> str:
    base = _DARK if theme == "dark" else _LIGHT
    rules = "\n".join(f".{scope} {line}" for line in _RULES.strip().splitlines())
    out = f".{scope}{{{_variables(base)}}}\n{rules}"
    if theme == "auto":
        out += f"\n@media (prefers-color-scheme:dark){{.{scope}{{{_variables(_DARK)}}}}}"
    return out


def _depth(analysis: Analysis) -> int:
    """Hops on the longest way from an input to the result."""
    depth: dict[int, int] = {}
    for edge in analysis.edges:
        depth[edge.target] = max(depth.get(edge.target, 0), depth.get(edge.source, 0) + 1)
    return max(depth.values(), default=0)


def svg(
    analysis: Analysis,
    title: str,
    direction: Direction | None = None,
    adjoints: bool = False,
    theme: str = "auto",
    layers: bool | None = None,
    opened: Sequence[str] = (),
) -> str:
    """The picture as a self-contained SVG document, which can also stand inside a page.

    Without a direction, a short computation runs to the right and a long one down the page. Networks are drawn by
    layers unless `layers` says otherwise; those whose names are in `opened` hop by hop.
    """
    by_layers = bool(analysis.layers) if layers is None else layers
    if opened and not by_layers:
        raise ValueError("opened names layers, but the picture is not by layers")
    if direction not in ("right", "down", None):
        raise ValueError(f"direction is 'right' or 'down', not {direction!r}")
    if theme not in ("auto", "light", "dark"):
        raise ValueError(f"theme is 'auto', 'light' or 'dark', not {theme!r}")
    if direction is None:
        direction = "right" if _depth(analysis) <= 7 else "down"
    boxes, arrows = _scene_by_layers(analysis, adjoints, opened) if by_layers else _scene(analysis, adjoints)
    lines = [Line(a.source, a.target, a.label) for a in arrows]
    pinned = [k for k, box in enumerate(boxes) if box.round]
    gap = 34.0 if direction == "right" else 26.0
    plan = layout([box.size for box in boxes], lines, direction=direction, layer_gap=gap, node_gap=26.0, pinned=pinned)
    body = _draw(boxes, arrows, plan, direction, adjoints)
    caption = _caption(analysis, max(plan.width, _CAPTION_WIDTH))
    wide = max([plan.width, *[row.width * (_BOLD if row.role == "bad" else 1.0) for row in caption]])
    high = plan.height + (_CAPTION_GAP if caption else 0.0) + sum(row.height for row in caption)
    if caption:
        middle = (plan.height + _CAPTION_GAP + high) / 2
        body.append(f'<g class="conditions">{_rows(caption, plan.width / 2, middle)}</g>')
    left = (plan.width - wide) / 2
    return _document(body, title, _description(analysis, boxes, arrows), (left, wide, high), theme)


def _document(body: Sequence[str], title: str, description: str, extent: tuple[float, float, float], theme: str) -> str:
    """What is drawn as a whole document; `extent` is its left end, width and height."""
    digest = hashlib.blake2b(("".join(body) + theme).encode(), digest_size=4).hexdigest()
    scope = f"hop{digest}"
    margin = 14.0
    left, width, height = extent[0] - margin, extent[1] + 2 * margin, extent[2] + 2 * margin
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{scope}" role="img" aria-labelledby="{scope}t {scope}d"'
        f' width="{width:.0f}" height="{height:.0f}" viewBox="{left:.0f} {-margin:.0f} {width:.1f} {height:.1f}">',
        f'<title id="{scope}t">{escape(title)}</title>',
        f'<desc id="{scope}d">{escape(description)}</desc>',
        f"<style>{_style(scope, theme)}</style>",
        f'<defs><marker id="{scope}h" viewBox="0 0 10 10" refX="9.2" refY="5" markerWidth="7.5" markerHeight="7.5"'
        ' orient="auto-start-reverse"><path class="head" d="M0 0.8L10 5L0 9.2z"/></marker>'
        f'<marker id="{scope}b" viewBox="0 0 10 10" refX="9.2" refY="5" markerWidth="7.5" markerHeight="7.5"'
        ' orient="auto-start-reverse"><path class="head back" d="M0 0.8L10 5L0 9.2z"/></marker></defs>',
        f'<rect class="paper" x="{left:.0f}" y="{-margin:.0f}" width="{width:.1f}" height="{height:.1f}"/>',
    ]
    return "\n".join(head) + "\n" + "\n".join(body).replace("SCOPE", scope) + "\n</svg>\n"


# -- a model without data ------------------------------------------------------------------------------------------

_ROOM = 720.0
"""Layers stand side by side as far as they find room in this width."""
_GAP = 12.0


def svg_of_parts(part: Part, hint: str, theme: str = "auto") -> str:
    """What a model is made of: boxes in boxes, each with the shapes of its own parameters."""
    drawn = _drawn_part(part)
    caption = _row(hint, SMALL, "caption")
    width, height = max(drawn.size[0], caption.width), drawn.size[1] + _CAPTION_GAP + caption.height
    body = [*drawn.at(max(0.0, (width - drawn.size[0]) / 2), 0.0)]
    body.append(_rows([caption], width / 2, height - caption.height / 2))
    words = "; ".join(line.strip() for line in part.text())
    return _document(body, f"{part.layer}, {part.count:,} parameters", words, (0.0, width, height), theme)


@dataclass
class _DrawnPart:
    """A box with others in it, which have their places."""

    part: Part
    head: list[Row]
    inside: list[tuple[float, float, _DrawnPart]]
    size: Point

    def at(self, x: float, y: float) -> Iterator[str]:
        """The box with its upper left corner there."""
        w, h = self.size
        top = sum(row.height for row in self.head)
        tip = next(self.part.text())
        yield (
            f'<g class="node layer"><title>{escape(tip)}</title><rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}"'
            f' height="{h:.1f}" rx="6"/>{_rows(self.head, x + w / 2, y + _PAD_Y + top / 2)}</g>'
        )
        for dx, dy, inner in self.inside:
            yield from inner.at(x + dx, y + dy)


def _drawn_part(part: Part) -> _DrawnPart:
    count = [f"{part.count:,} parameters"] if part.parts and part.count else []
    head = [_row(str(part.layer), TITLE, "name"), *[_row(words, SMALL, "value") for words in (*count, *part.rows)]]
    top = sum(row.height for row in head) + 2 * _PAD_Y
    inside: list[tuple[float, float, _DrawnPart]] = []
    x, y, tall, wide = _GAP, top, 0.0, 0.0
    for inner in map(_drawn_part, part.parts):
        w, h = inner.size
        if x > _GAP and x + w + _GAP > _ROOM:
            x, y, tall = _GAP, y + tall + _GAP, 0.0
        inside.append((x, y, inner))
        x, tall = x + w + _GAP, max(tall, h)
        wide = max(wide, x)
    width = max(wide, 46.0, max(row.width for row in head) + 2 * _PAD_X)
    return _DrawnPart(part, head, inside, (width, y + tall + _GAP if inside else top))


def _description(analysis: Analysis, boxes: Sequence[Box], arrows: Sequence[Arrow]) -> str:
    count = len(analysis.nodes)
    shown = "; ".join(box.tip.partition("\n")[0] for box in boxes[:12])
    more = f"; and {count - 12} more" if count > 12 else ""
    holds = f" {sentence(analysis.conditions)}." if analysis.conditions else ""
    return (
        f"Computation graph of {count} values and {len(arrows)} uses. {shown}{more}."
        f" Arrows run from operands to results and carry the local derivatives.{holds}"
    )


def _draw(
    boxes: Sequence[Box], arrows: Sequence[Arrow], plan: Layout, direction: Direction, adjoints: bool
) -> list[str]:
    out = []
    for arrow, path in zip(arrows, plan.paths, strict=True):
        kind = "edge" if arrow.active else "edge idle"
        out.append(
            f'<path class="{kind}" d="{_path(path)}" marker-end="url(#SCOPEh)">'
            f"<title>{escape(arrow.tip)}</title></path>"
        )
        if adjoints and arrow.active:
            # Beside the edge, and the other way round.
            dx, dy = (0.0, 5.0) if direction == "right" else (5.0, 0.0)
            moved = [(x + dx, y + dy) for x, y in reversed(path)]
            out.append(f'<path class="back" d="{_path(moved)}" marker-end="url(#SCOPEb)"/>')
    for arrow, place in zip(arrows, plan.labels, strict=True):
        if place is None or arrow.label is None:
            continue
        (x, y), (w, h) = place, arrow.label
        out.append(f'<g class="label"><rect class="plate" x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}"'
                   f' height="{h:.1f}" rx="3"/>{_rows(arrow.rows, x, y)}</g>')  # fmt: skip
    for box, (x, y) in zip(boxes, plan.centers, strict=True):
        w, h = box.size
        corner = h / 2 if box.round else 6
        rect = f'x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{corner:.1f}"'
        rim = ""
        if "result" in box.kind:
            rim = (
                f'<rect class="rim" x="{x - w / 2 + 3:.1f}" y="{y - h / 2 + 3:.1f}" width="{w - 6:.1f}"'
                f' height="{h - 6:.1f}" rx="{max(corner - 3, 3):.1f}"/>'
            )
        mark = f' data-node="{box.node}"' if box.node is not None else ""
        out.append(
            f'<g class="node {box.kind}"{mark}><title>{escape(box.tip)}</title><rect {rect}/>{rim}'
            f"{_rows(box.rows, x, y)}</g>"
        )
    return out


def _path(points: Sequence[Point]) -> str:
    start, *rest = points
    curves = ["C" + " ".join(f"{x:.1f},{y:.1f}" for x, y in rest[k : k + 3]) for k in range(0, len(rest) - 2, 3)]
    return f"M{start[0]:.1f},{start[1]:.1f}" + "".join(curves)


def _rows(rows: Sequence[Row], x: float, y: float) -> str:
    """Lines of text, centred on (x, y)."""
    top = y - sum(row.height for row in rows) / 2
    out = []
    for row in rows:
        baseline = top + row.height / 2 + row.size * 0.34
        out.append(
            f'<text class="{row.role}" x="{x:.1f}" y="{baseline:.1f}" font-size="{row.size:g}">{_spans(row)}</text>'
        )
        top += row.height
    return "".join(out)


def _spans(row: Row) -> str:
    out, height = [], 0.0
    for run in row.runs:
        wanted = -run.rise * _SHIFT * row.size
        attributes = ""
        if wanted != height:
            attributes += f' dy="{wanted - height:.1f}"'
            height = wanted
        if run.rise:
            attributes += f' font-size="{row.size * _SHRINK ** abs(run.rise):.1f}"'
        if run.italic:
            attributes += ' font-style="italic"'
        words = escape(run.text)
        out.append(f"<tspan{attributes}>{words}</tspan>" if attributes else words)
    return "".join(out)
