"""Hops made of simpler ones (`Hop.parts`) written out, before a graph is simplified and fused."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

from hopgrad.aval import Several
from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import Graph, reachable


def expanded(
    builder: Builder,
    outputs: Sequence[int],
    inputs: Container[int],
    inner: Callable[[Graph], Graph] | None = None,
    lean: bool = False,
) -> tuple[Builder, list[int], dict[int, int]]:
    """(new builder, the outputs there, for those given values that are needed the inputs there).

    Graphs that hops own stay as they are, or become what `inner` makes of them. With `lean` cotangents are taken for
    zero where they have no support, without looking: see `boundary`.
    """
    new = Builder()
    moved: dict[int, int] = {}
    given: dict[int, int] = {}
    for node in reachable(builder, outputs, known=inputs):
        like = builder.avals[node]
        hop, params = builder.hop(node), builder.params(node)
        if node in inputs:
            name = dict(params).get("name", f"v{node}")
            given[node] = moved[node] = new.input(like, name).id
        elif node in builder.constants:
            moved[node] = new.constant(builder.constants[node]).id
        else:
            args = [moved[a] for a in builder.args(node)]
            if lean and hop.name == "supported":
                moved[node] = args[1]
                continue
            plain = hop.parts is not None and not isinstance(like, Several) and like.size and new.avals[args[0]].size
            # Kernels compute with real numbers only.
            if plain and all(new.avals[a].dtype.kind != "c" for a in args):
                assert hop.parts is not None
                with new.passing("expand"):
                    found = hop.parts(*[new.expr(a) for a in args], **dict(params))
                moved[node] = found.id
                assert new.avals[found.id] is like, (hop, new.avals[found.id], like)
            else:
                if inner is not None:
                    params = tuple((name, _mapped(value, inner)) for name, value in params)
                moved[node] = new.emit(hop, args, params)
    return new, [moved[n] for n in outputs], given


def boundary(builder: Builder, outputs: Sequence[int], inputs: frozenset[int]) -> list[int] | None:
    """The cotangents that tell whether supports made a difference: if all of them are finite, they made none.

    Without its support a cotangent is zero, too, unless that zero met an infinity: then it is NaN. Reverse
    sweeps are linear, so a NaN stays one up to their end, or up to where it is dropped as the zero would be. None if
    there are no supports, or where that cannot be told because a rule of a user stands between.
    """
    order = reachable(builder, outputs, known=inputs)
    behind: set[int] = set()
    for node in order:
        hop = builder.hop(node)
        if hop.name == "supported" or not behind.isdisjoint(builder.args(node)):
            behind.add(node)
        if hop.__module__ == "hopgrad.hops.custom":
            return None
    ends = behind & builder.adjoints
    rest = [node for node in reachable(builder, outputs, known=inputs | ends) if node not in ends]
    if not behind or any(builder.hop(node).name == "supported" for node in rest):
        return None
    return sorted(ends)


def _mapped(param: Any, inner: Callable[[Graph], Graph]) -> Any:
    """A parameter with each graph, alone or in a tuple, in its new form."""
    if isinstance(param, Graph):
        return inner(param)
    return tuple(map(inner, param)) if isinstance(param, tuple) and any(isinstance(p, Graph) for p in param) else param


def expanded_graph(graph: Graph) -> Graph:
    """The graph with all such hops written out, in the graphs that hops own as well."""
    new, outputs, given = expanded(graph.builder, graph.outputs, frozenset(graph.inputs), expanded_graph)
    names = {n: str(dict(graph.builder.params(n)).get("name", f"v{n}")) for n in graph.inputs if n not in given}
    given |= {n: new.input(graph.builder.avals[n], name).id for n, name in names.items()}
    return Graph(new, [given[n] for n in graph.inputs], outputs)
