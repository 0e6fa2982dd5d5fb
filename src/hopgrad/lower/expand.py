"""Hops made of simpler ones (`Hop.parts`) written out, before a graph is simplified and fused."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from hopgrad.aval import Several
from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import Graph, reachable
from hopgrad.hops import custom
from hopgrad.hops.control import sweeps_with_supports


def expanded(
    builder: Builder,
    outputs: Sequence[int],
    inputs: Container[int],
    inner: Callable[[Graph], Graph] | None = None,
    lean: bool = False,
) -> tuple[Builder, list[int], dict[int, int]]:
    """(new builder, the outputs there, for those given values that are needed the inputs there).

    Graphs that hops own stay as they are, or become what `inner` makes of them. With `lean` cotangents are taken for
    zero where they have no support, without looking, those of backward loops as well: see `boundary`.
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
                if lean and _drops(builder, node):
                    params = tuple((name, _mapped(value, _lean_graph)) for name, value in params)
                elif inner is not None:
                    params = tuple((name, _mapped(value, inner)) for name, value in params)
                moved[node] = new.emit(hop, args, params)
    return new, [moved[n] for n in outputs], given


def boundary(builder: Builder, outputs: Sequence[int], inputs: frozenset[int]) -> list[int] | None:
    """The cotangents that tell whether supports made a difference: if all of them are finite, they made none.

    Without its support a cotangent is zero, too, unless that zero met an infinity: then it is NaN. Reverse
    sweeps are linear, so a NaN stays one up to their end, or up to where it is dropped as the zero would be. A backward
    loop is a part of such a sweep, as long as it is none of second order. None if there are no supports, or where that
    cannot be told because a rule of a user stands between.
    """
    order = reachable(builder, outputs, known=inputs)
    behind: set[int] = set()
    for node in order:
        if not behind.isdisjoint(builder.args(node)) or _drops(builder, node):
            behind.add(node)
        hop = builder.hop(node)
        if hop.__module__ == custom.__name__ and hop is not custom.STOP_GRADIENT:
            return None
    ends = behind & builder.adjoints
    rest = [node for node in reachable(builder, outputs, known=inputs | ends) if node not in ends]
    if not behind or any(_drops(builder, node) for node in rest):
        return None
    return sorted(_before_products(builder, ends))


_MOVES = frozenset({"transpose", "reshape", "supported", "negative"})
"""Hops of which the last operand has as many elements as the result, and is finite if and only if that is."""


def _before_products(builder: Builder, ends: Iterable[int]) -> set[int]:
    """The same with the factors of matrix products in place of the product where these have fewer elements together.

    If they are finite, no zero meets an infinity in the product. And the gradient of a large matrix is updated by the
    loop that reads it first, which could not write in place what it has not looked through yet.
    """

    def moved(node: int) -> int:
        while builder.hop(node).name in _MOVES:
            node = builder.args(node)[-1]
        return node

    found: set[int] = set()
    for end in sorted(ends):
        node = moved(end)
        while builder.hop(node).name == "sum":  # over the products of a stack
            node = moved(builder.args(node)[0])
        factors = {moved(a) for a in builder.args(node)} if builder.hop(node).name in ("matmul", "einsum") else {end}
        fewer = sum(builder.avals[a].size for a in factors - found) < builder.avals[end].size
        found |= factors if fewer else {end}
    return found


def _drops(builder: Builder, node: int) -> bool:
    """Whether lean code leaves something out of a hop: a support, or those within a backward loop."""
    hop = builder.hop(node)
    if hop.name == "scan":
        return sweeps_with_supports(dict(builder.params(node))["body"])
    return hop.name == "supported"


def _mapped(param: Any, inner: Callable[[Graph], Graph]) -> Any:
    """A parameter with each graph, alone or in a tuple, in its new form."""
    if isinstance(param, Graph):
        return inner(param)
    return tuple(map(inner, param)) if isinstance(param, tuple) and any(isinstance(p, Graph) for p in param) else param


def expanded_graph(graph: Graph) -> Graph:
    """The graph with all such hops written out, in the graphs that hops own as well."""
    return _graph(graph, False)


def _lean_graph(graph: Graph) -> Graph:
    return _graph(graph, True)


def _graph(graph: Graph, lean: bool) -> Graph:
    new, outputs, given = expanded(
        graph.builder, graph.outputs, frozenset(graph.inputs), _lean_graph if lean else expanded_graph, lean
    )
    names = {n: str(dict(graph.builder.params(n)).get("name", f"v{n}")) for n in graph.inputs if n not in given}
    given |= {n: new.input(graph.builder.avals[n], name).id for n, name in names.items()}
    return Graph(new, [given[n] for n in graph.inputs], outputs)
