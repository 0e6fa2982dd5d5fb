"""The transpose of a linear map, read off the map itself: reverse mode through its forward mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hopgrad.aval import Aval
from hopgrad.differentiate import pull
from hopgrad.graph.builder import Builder, Expr, zeros
from hopgrad.hops.control import closed, inline


def transposed_map(
    push: Callable[..., Sequence[Expr | None]],
    sources: Sequence[Aval],
    given: Sequence[Expr],
    cotangents: Sequence[Expr | None],
) -> list[Expr]:
    """What the transpose of a linear map makes of cotangents.

    Args:
        push: The map: tangents of all `sources`, then `given`, to the tangents of the results. It must be made of hops
            alone, so that it can be written down once more in a builder of its own.
        sources: Shapes and dtypes of the tangents.
        given: Values on which the map depends.
        cotangents: One for each result; None for zero.
    """
    there = [c for c in cotangents if c is not None]
    count = len(sources)

    def make(builder: Builder, inputs: list[Expr]) -> list[Expr]:
        tangents, seeds, rest = inputs[:count], inputs[count : count + len(there)], inputs[count + len(there) :]
        results = push(*tangents, *rest)
        left = iter(seeds)
        total: dict[int, Expr] = {}
        for result, cotangent in zip(results, cotangents, strict=True):
            if cotangent is None:
                continue
            seed = next(left)
            if result is not None:
                total[result.id] = total[result.id] + seed if result.id in total else seed
        found = pull(builder, total, [t.id for t in tangents]).adjoints
        return [found[t.id] if t.id in found else zeros(builder, t.aval) for t in tangents]

    graph = closed([*sources, *[c.aval for c in there], *[x.aval for x in given]], make)
    builder = there[0].builder
    # The map is linear: nothing of its transpose depends on the tangents.
    tangents = [zeros(builder, source) for source in sources]
    return inline(graph, [*tangents, *there, *given], builder)
