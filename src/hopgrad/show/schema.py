"""Explanations as JSON, and back: graph, values, adjoints, local derivatives, sources and story in one document.

The form is described in ``docs/schema.md``. Reading never executes anything that stands in a file, and a file that is
not as it must be is refused with a `ValueError` that names the place.
"""

from __future__ import annotations

import json
import linecache
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np

from hopgrad.aval import Several
from hopgrad.graph.graph import Graph
from hopgrad.graph.schema import (
    MAX_LISTED,
    Data,
    Summary,
    array_from_data,
    array_to_data,
    entries,
    entry,
    expect,
    graph_from_data,
    graph_to_data,
    listed_nodes,
    number_to_data,
    position,
    wrong,
)
from hopgrad.graph.sites import Location
from hopgrad.hops.shape import Operand, Slice
from hopgrad.notation import PRODUCT, Term, Word, fit, latex, mathml, text
from hopgrad.show import story
from hopgrad.show.analysis import Analysis, Edge
from hopgrad.show.guards import Writer, known_guards
from hopgrad.show.live import live

__all__ = [
    "SCHEMA",
    "VERSION",
    "Document",
    "DocumentGuard",
    "DocumentLine",
    "DocumentSection",
    "Use",
    "from_json",
    "to_json",
]

SCHEMA, VERSION = "hopgrad.explanation", 1

PARAM_TYPES = {"Slice": Slice, "Operand": Operand}

_MAX_TEXT = 2**30
_BUDGET = 200_000
"""Elements written in full; when a document has so many, arrays are given by summaries unless they are tiny."""
_TINY = 8
_MAX_FORMS = 600
"""Of so many values and of so many uses all formulas are written; of more, only names and local derivatives in text."""
_MAX_TEXTS = 20_000
"""Of so many uses the local derivatives are written in text; of more, only their rules and numbers."""
_MAX_EXPANDED = 200


@dataclass(frozen=True)
class Use:
    """One use of a value: `target` is computed from `source` as its operand `operand`.

    Where the gradient flows (`active`), ``text`` and ``latex`` are the local derivative, or for arrays what this use
    adds to the source's adjoint; ``value`` is the value of the local derivative, if it has factors.
    """

    source: int
    target: int
    operand: int
    active: bool
    text: str = ""
    latex: str = ""
    value: Any = None


@dataclass(frozen=True)
class DocumentLine:
    """A line of a story: a formula in text and LaTeX, or prose, with its value, a remark, and the value it is about."""

    text: str = ""
    latex: str = ""
    prose: str = ""
    value: str = ""
    note: str = ""
    node: int | None = None


@dataclass(frozen=True)
class DocumentGuard:
    """An answer that the code got when it branched on values: everything in the document holds where it is the same.

    ``node`` is the value that was asked for and ``value`` what it was; ``text`` and ``latex`` say it as a formula or in
    words; ``location`` is where in the code; ``boundary`` says that the value lies at a jump of the answer.
    """

    node: int
    value: Any
    text: str = ""
    latex: str = ""
    location: Location | None = None
    boundary: bool = False


@dataclass(frozen=True)
class DocumentSection:
    """A titled part of a story."""

    key: str
    title: str
    intro: str
    lines: tuple[DocumentLine, ...]


@dataclass(frozen=True)
class Document:
    """What a file says: see ``docs/schema.md``. Values are known by their ids in `graph`, which is rebuilt.

    Attributes:
        title: What is explained.
        order: 1 for a gradient, 2 for the derivative of a derivative, and so on.
        graph: The traced graph, with its names, sources and origins.
        output: The result.
        wrt: The inputs that it is differentiated by.
        values: Every value: a scalar, an array, or a `Summary` of a large array.
        adjoints: The derivative of the result by each value that the gradient passes through, likewise.
        zeros: Why the derivative by an input is structurally zero.
        uses: All uses of values by others, with local derivatives.
        guards: The branches that the code took.
        sections: The story.
        paths: Number of paths from the result to the inputs.
        naive_cost: Multiplications for the sum over all paths.
        cost: Multiplications done.
    """

    title: str
    order: int
    graph: Graph
    output: int
    wrt: tuple[int, ...]
    values: Mapping[int, Any]
    adjoints: Mapping[int, Any]
    zeros: Mapping[int, str]
    uses: tuple[Use, ...]
    guards: tuple[DocumentGuard, ...]
    sections: tuple[DocumentSection, ...]
    paths: int
    naive_cost: int
    cost: int

    @property
    def inputs(self) -> dict[int, Any]:
        """The values of the graph's inputs, with which it can be evaluated.

        Raises:
            ValueError: if one of them is a large array, of which a file keeps a summary only.
        """
        for node in self.graph.inputs:
            if isinstance(self.values[node], Summary):
                raise ValueError(f"{self.graph.names[node]} is a large array, of which the file keeps a summary only")
        return {node: self.values[node] for node in self.graph.inputs}


# -- writing ---------------------------------------------------------------------------------------------------------


def to_json(analysis: Analysis, title: str, sections: Sequence[story.Section]) -> str:
    """The explanation as JSON text, in the form of ``docs/schema.md``."""
    data = _document(analysis, title, sections)
    words = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        words.encode()
    except UnicodeEncodeError:  # half of a surrogate pair in a name: no encoding takes it as it is
        words = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return words


def _document(analysis: Analysis, title: str, sections: Sequence[story.Section]) -> Data:
    graph = analysis.graph
    graph = Graph(graph.builder, graph.inputs, graph.outputs, known_guards(graph))
    data = graph_to_data(graph, names=analysis.names)
    nodes = listed_nodes(graph)
    number = {node: k for k, node in enumerate(nodes)}
    arrays = _Arrays()
    for node, record in zip(nodes, data["nodes"], strict=True):
        if "constant" not in record and "results" not in record:
            record["value"] = arrays.data(analysis.inputs[node] if node in graph.inputs else analysis.value(node))
        if analysis.back.adjoints.get(node) is not None:
            record["adjoint"] = arrays.data(analysis.adjoint(node))
        if analysis.layers and node in analysis.reached:
            record["path"] = analysis.reached[node]
        zero = analysis.zero(node) if node in analysis.wrt else None
        if zero is not None:
            record["zero"] = str(zero)
        check = analysis.check(node) if node in analysis.wrt else None
        if check is not None:
            record["check"] = {
                "exact": number_to_data(check.exact),
                "numeric": number_to_data(check.numeric),
                "direction": check.direction,
            }
    if len(analysis.nodes) <= _MAX_FORMS:
        for node in analysis.nodes:
            data["nodes"][number[node]]["forms"] = _node_forms(analysis, node)
    for record, words in zip(data.get("guards", ()), _guards(analysis), strict=True):
        record |= words
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "title": title,
        "order": analysis.order,
        "graph": data,
        "output": number[analysis.output],
        "wrt": [number[node] for node in analysis.wrt],
        "shown": [number[node] for node in analysis.nodes],
        "uses": list(_uses(analysis, number, arrays)),
        "live": live(analysis, number),
        "sources": _sources(analysis, data.get("sites", ())),
        "sections": [_section(section, number) for section in sections],
        "cost": {
            "paths": _digits(analysis.path_count),
            "naive": _digits(analysis.naive_cost),
            "done": _digits(analysis.cost),
        },
    }


class _Arrays:
    """Writes arrays, in full while there is room."""

    def __init__(self) -> None:
        self.left = _BUDGET

    def data(self, value: Any) -> Any:
        found = array_to_data(value, limit=MAX_LISTED if self.left > 0 else _TINY)
        self.left -= len(found.get("data", ())) if isinstance(found, dict) else 0
        return found


def _guards(analysis: Analysis) -> Iterable[Data]:
    """What is said about each guard besides its value and place."""
    writer = Writer(analysis)
    for guard in known_guards(analysis.graph):
        found = writer.one(guard)
        tex = latex(Word(found.prose) if found.formula is None else found.formula)
        yield {"text": found.text, "latex": tex} | ({"boundary": True} if found.boundary else {})


def _uses(analysis: Analysis, number: Mapping[int, int], arrays: _Arrays) -> Iterable[Data]:
    active = {(edge.target, edge.number) for edge in analysis.active_edges}
    for edge in analysis.edges:
        on = (edge.target, edge.number) in active
        data: Data = {"source": number[edge.source], "target": number[edge.target], "operand": edge.number}
        yield {**data, "active": on, **(_local(analysis, edge, arrays) if on else {})}


def _local(analysis: Analysis, edge: Edge, arrays: _Arrays) -> Data:
    data: Data = {"rule": story.rule(analysis, edge)}
    if len(analysis.active_edges) <= _MAX_TEXTS:
        factor = None if _arrayed(analysis, edge) else analysis.factor_term(edge)
        if factor is None:
            factor = story.pullback_term(analysis, edge)
        data |= {"text": text(factor), "latex": latex(factor)}
    value = analysis.local_value(edge)
    if value is not None:
        data["value"] = arrays.data(value)
    data["share"] = arrays.data(analysis.share_value(edge))
    if len(analysis.active_edges) <= _MAX_FORMS:
        data["forms"] = _use_forms(analysis, edge)
    return data


def _arrayed(analysis: Analysis, edge: Edge) -> bool:
    avals = analysis.graph.builder.avals
    return bool(avals[edge.source].shape or avals[edge.target].shape)


def _form(term: Term) -> Data:
    return {"text": text(term), "latex": latex(term), "mathml": mathml(term)}


def _node_forms(analysis: Analysis, node: int) -> Data:
    """How a value is called, what it is computed as, and how its adjoint is called."""
    forms = {"name": analysis.symbol(node), "adjoint": story.bar(analysis, node)}
    if analysis.graph.builder.args(node):
        forms["formula"] = analysis.hop_term(node)
    if node in analysis.wrt:
        forms["derivative"] = story.total_derivative(analysis, node)
    return {key: _form(term) for key, term in forms.items()}


def _use_forms(analysis: Analysis, edge: Edge) -> Data:
    """A use as a factor of the chain rule: by names, spelled out, and multiplied out over names or over the inputs."""
    forms = {
        "leibniz": story.local_derivative(analysis, edge.target, edge.source),
        "spelled": story.spelled_out(analysis, edge),
        "share": story.pullback_term(analysis, edge),
    }
    local, expanded = analysis.factor_term(edge), analysis.factor_term(edge, True, _MAX_EXPANDED)
    if local is not None and expanded is not None and not _arrayed(analysis, edge):
        forms |= {"local": fit(local, PRODUCT), "expanded": fit(expanded, PRODUCT)}
    return {key: _form(term) for key, term in forms.items()}


def _sources(analysis: Analysis, sites: Iterable[Data]) -> list[Data]:
    """The lines of the user's code that sites lie in: of each function from its first line on."""
    spans: dict[tuple[str, str], tuple[int, int]] = {}
    for site in sites:
        key, line = (site["file"], site["function"]), site["line"]
        if line > 0:
            first, last = spans.get(key, (line, line))
            spans[key] = min(first, line), max(last, site["line_end"])
    found = []
    for (file, function), (first, last) in spans.items():
        lines = analysis.texts[file].splitlines() if file in analysis.texts else linecache.getlines(file)
        if len(lines) < last:
            continue
        head = re.compile(rf"\s*(async\s+)?def\s+{re.escape(function.rpartition('.')[2])}\b")
        first = next((k for k in range(first, 0, -1) if head.match(lines[k - 1])), first)
        kept = [line.rstrip("\r\n") for line in lines[first - 1 : last]]
        found.append({"file": file, "function": function, "line": first, "lines": kept})
    return found


def _section(section: story.Section, number: Mapping[int, int]) -> Data:
    lines = []
    for line in section.lines:
        data: Data = {}
        if line.formula is not None:
            data |= _form(line.formula)
        data |= {key: words for key in ("prose", "value", "note") if (words := getattr(line, key))}
        if line.node is not None and line.node in number:
            data["node"] = number[line.node]
        lines.append(data)
    return {"key": section.key, "title": section.title, "intro": section.intro, "lines": lines}


def _digits(count: int) -> str:
    """All digits of a count: there may be more of them than Python's own conversion allows."""
    return format(Decimal(count), "f")


# -- reading ---------------------------------------------------------------------------------------------------------


def from_json(words: str) -> Document:
    """Read what `to_json` wrote.

    Raises:
        ValueError: if it is not JSON, of another schema or version, or not as it must be; the message names the place.
    """
    data = _loaded(words)
    graph, ids = graph_from_data(data.get("graph"), PARAM_TYPES)
    values, adjoints, zeros = _values(data["graph"]["nodes"], graph, ids)
    uses = [_use(record, ids, f"uses[{k}]") for k, record in enumerate(entries(data, "uses", dict, ""))]
    guards = entries(data["graph"], "guards", dict, "graph") if "guards" in data["graph"] else []
    sections = entries(data, "sections", dict, "")
    cost = entry(data, "cost", dict, "")
    return Document(
        title=entry(data, "title", str, ""),
        order=entry(data, "order", int, ""),
        graph=graph,
        output=_id(entry(data, "output", int, ""), ids, "output"),
        wrt=tuple(_id(n, ids, f"wrt[{k}]") for k, n in enumerate(entries(data, "wrt", int, ""))),
        values=MappingProxyType(values),
        adjoints=MappingProxyType(adjoints),
        zeros=MappingProxyType(zeros),
        uses=tuple(uses),
        guards=tuple(_guard(record, graph, k) for k, record in enumerate(guards)),
        sections=tuple(_section_from(record, ids, f"sections[{k}]") for k, record in enumerate(sections)),
        paths=_count(cost, "paths"),
        naive_cost=_count(cost, "naive"),
        cost=_count(cost, "done"),
    )


def _loaded(words: str) -> Data:
    if not isinstance(words, str):
        raise TypeError(f"from_json takes text, not {type(words).__name__}")
    if len(words) > _MAX_TEXT:
        raise ValueError("the file is too large")
    try:
        data = json.loads(words, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_without_doubles)
    except RecursionError:
        raise ValueError("the file is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"this is not a file of {SCHEMA}: {error}") from None
    expect(data, dict, "the file")
    if data.get("schema") != SCHEMA:
        raise wrong("schema", f"must be {SCHEMA!r}, not {str(data.get('schema'))[:40]!r}")
    version = entry(data, "version", int, "")
    if version != VERSION:
        newer = "it was written by a newer hopgrad" if version > VERSION else "there is no such version"
        raise wrong("version", f"{version} cannot be read, only {VERSION}: {newer}")
    return dict(data)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON: it is written as a string")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:40]} is too large")
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> Data:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for k, (key, _) in enumerate(pairs) if key in dict(pairs[:k]))
        raise ValueError(f"the entry {twice[:40]!r} occurs twice in one object")
    return found


def _id(value: int, ids: list[int], place: str) -> int:
    return ids[position(value, len(ids), place)]


def _values(records: list[Data], graph: Graph, ids: list[int]) -> tuple[dict[int, Any], dict[int, Any], dict[int, str]]:
    values: dict[int, Any] = {}
    adjoints: dict[int, Any] = {}
    zeros: dict[int, str] = {}
    for k, (record, node) in enumerate(zip(records, ids, strict=True)):
        place = f"graph.nodes[{k}]"
        constant = graph.builder.constants.get(node)
        if constant is not None:
            values[node] = constant if constant.ndim else constant[()]
        elif not isinstance(graph.builder.avals[node], Several):
            values[node] = _like(graph, node, record.get("value"), f"{place}.value")
        if "adjoint" in record:
            adjoints[node] = _like(graph, node, record["adjoint"], f"{place}.adjoint")
        if "zero" in record:
            zeros[node] = expect(record["zero"], str, f"{place}.zero")
    return values, adjoints, zeros


def _like(graph: Graph, node: int, data: Any, place: str) -> Any:
    """A value of the shape that the graph gives it; its dtype may be another, as Python's own numbers are float64."""
    found = array_from_data(data, place)
    shape = found.shape if isinstance(found, Summary) else np.shape(found)
    if shape != graph.builder.avals[node].shape:
        raise wrong(place, f"has shape {list(shape)}, but the graph says {graph.builder.avals[node]!r}")
    return found


def _use(record: Data, ids: list[int], place: str) -> Use:
    source, target, operand = (entry(record, key, int, place) for key in ("source", "target", "operand"))
    words = [expect(record.get(key, ""), str, f"{place}.{key}") for key in ("text", "latex")]
    return Use(
        _id(source, ids, f"{place}.source"),
        _id(target, ids, f"{place}.target"),
        operand,
        entry(record, "active", bool, place),
        words[0],
        words[1],
        array_from_data(record["value"], f"{place}.value") if "value" in record else None,
    )


def _guard(record: Data, graph: Graph, k: int) -> DocumentGuard:
    guard, place = graph.guards[k], f"graph.guards[{k}]"
    words = [expect(record.get(key, ""), str, f"{place}.{key}") for key in ("text", "latex")]
    location = graph.builder.sites.location(guard.site)
    boundary = entry(record, "boundary", bool, place) if "boundary" in record else False
    return DocumentGuard(guard.node, guard.value, words[0], words[1], location, boundary)


def _section_from(record: Data, ids: list[int], place: str) -> DocumentSection:
    lines = []
    for k, line in enumerate(entries(record, "lines", dict, place)):
        where = f"{place}.lines[{k}]"
        words = {
            key: expect(line.get(key, ""), str, f"{where}.{key}") for key in ("text", "latex", "prose", "value", "note")
        }
        node = _id(entry(line, "node", int, where), ids, f"{where}.node") if "node" in line else None
        lines.append(DocumentLine(**words, node=node))
    key, title, intro = (entry(record, key, str, place) for key in ("key", "title", "intro"))
    return DocumentSection(key, title, intro, tuple(lines))


_DIGITS = re.compile(r"[0-9]{1,1000000}")


def _count(cost: Data, key: str) -> int:
    found = entry(cost, key, str, "cost")
    if not _DIGITS.fullmatch(found):
        raise wrong(f"cost.{key}", f"{found[:40]!r} is not a count")
    return int(Decimal(found))
