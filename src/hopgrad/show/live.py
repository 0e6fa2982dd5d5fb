"""The numbers of an explanation as a graph: values, adjoints and local derivatives, to be computed at other inputs.

A page evaluates it with a small interpreter of its own. Derivatives are those that hopgrad derived, hops that are made
of simpler ones are written out, and elementwise hops come with their lowering, so that an interpreter has no rules to
know and few hops to compute. The form is described in ``docs/schema.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from hopgrad.aval import Several
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.graph.graph import Graph
from hopgrad.graph.hop import Reduction
from hopgrad.graph.schema import MAX_LISTED, Data, graph_to_data
from hopgrad.lower.expand import expanded_graph
from hopgrad.lower.scalar import REDUCERS
from hopgrad.show.analysis import Analysis, Edge

MAX_NODES = 4_000
MAX_ELEMENTS = 200_000
"""Bounds on the graph of all numbers, so that a page follows a dragged input at once."""
_TOO_LARGE = "the graph of the values and their derivatives is too large to follow the inputs"


def live(analysis: Analysis, number: Mapping[int, int]) -> Data:
    """The entry ``live``: the graph of all numbers of the document, or why they are recorded only.

    Args:
        analysis: What is explained.
        number: For each value that the document lists its number there, in their order.
    """
    builder = analysis.graph.builder
    large = [n for n in analysis.graph.inputs if builder.avals[n].size > MAX_LISTED]
    if large:
        return {"recorded": f"{analysis.names[large[0]]} has more than {MAX_LISTED} elements"}
    if len(number) > MAX_NODES:
        return {"recorded": _TOO_LARGE}
    wanted = _columns(analysis, number)
    nodes = list(dict.fromkeys(n for column in wanted.values() for n in column if n is not None))
    graph = Graph(builder, analysis.graph.inputs, nodes)
    if _fits(graph):
        graph = expanded_graph(graph)
    if not _fits(graph):
        return {"recorded": _TOO_LARGE}
    data = graph_to_data(graph, names={}, sites=False)
    place = dict(zip(nodes, data["outputs"], strict=True))
    return {
        "graph": data,
        "lowerings": dict(sorted(lowerings(graph))),
        "inputs": [number[n] for n in analysis.graph.inputs],
        **{key: [None if n is None else place[n] for n in column] for key, column in wanted.items()},
    }


def _fits(graph: Graph) -> bool:
    avals = graph.builder.avals
    return len(graph) <= MAX_NODES and sum(avals[n].size for n in graph.order) <= MAX_ELEMENTS


Column = list[int | None]


def _columns(analysis: Analysis, number: Mapping[int, int]) -> dict[str, Column]:
    """The values that are the document's numbers: for each of its nodes and uses, None where it has none."""
    builder, back = analysis.graph.builder, analysis.back
    adjoints = [back.adjoints.get(n) for n in number]
    shares = [back.shares.get((edge.target, edge.number)) for edge in analysis.edges]
    return {
        "values": [None if isinstance(builder.avals[n], Several) else n for n in number],
        "adjoints": [None if a is None else a.id for a in adjoints],
        "locals": [_local(builder, edge) for edge in analysis.edges],
        "shares": [None if s is None else s.id for s in shares],
    }


def _local(builder: Builder, edge: Edge) -> int | None:
    """The local derivative of an edge as a value of the graph, as `Analysis.local_value` gives its number."""
    operator = edge.operator
    if operator is None or operator.factor is None:
        return None
    factor = operator.factor
    if not isinstance(factor, Expr):
        factor = builder.constant(factor, np.float64)
    born = getattr(operator, "born", None)
    return factor.id if born is None else catalogue["where"](born, factor, builder.constant(0, factor.dtype)).id


def lowerings(graph: Graph) -> Iterator[tuple[str, str]]:
    """How the hops of a graph compute one element, or of a reduction put two together."""
    for node in graph.hops:
        hop = graph.builder.hop(node)
        if isinstance(hop, Reduction) and hop.lowering:
            yield hop.name, REDUCERS[hop.lowering].lowering
        elif hop.lowering:
            yield hop.name, hop.lowering
    for inner in graph.subgraphs:
        yield from lowerings(inner)
