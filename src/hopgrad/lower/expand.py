"""Hops made of simpler ones (`Hop.parts`) written out, before a graph is simplified and fused."""

from __future__ import annotations

from collections.abc import Container, Sequence

from hopgrad.aval import Several
from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import reachable


def expanded(
    builder: Builder, outputs: Sequence[int], inputs: Container[int]
) -> tuple[Builder, list[int], dict[int, int]]:
    """(new builder, the outputs there, for those given values that are needed the inputs there)."""
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
            plain = hop.parts is not None and not isinstance(like, Several) and like.size and new.avals[args[0]].size
            # Kernels compute with real numbers only.
            if plain and all(new.avals[a].dtype.kind != "c" for a in args):
                assert hop.parts is not None
                with new.passing("expand"):
                    found = hop.parts(*[new.expr(a) for a in args], **dict(params))
                moved[node] = found.id
                assert new.avals[found.id] is like, (hop, new.avals[found.id], like)
            else:
                moved[node] = new.emit(hop, args, params)
    return new, [moved[n] for n in outputs], given
