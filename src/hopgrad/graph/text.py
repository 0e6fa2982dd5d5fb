"""The readable text form of a graph: one hop a line, as in ``z: float64 = add(x, 1.0)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hopgrad.graph.graph import Graph


def literal(value: np.ndarray[Any, Any]) -> str:
    """A scalar constant in as few digits as give it back.

    >>> literal(np.float64(0.1)), literal(np.float32(0.1)), literal(np.array(3.0))
    ('0.1', '0.1', '3.0')
    """
    return str(value[()])


def graph_text(graph: Graph, limit: int = 200) -> str:
    """One hop a line; beyond `limit` hops the middle is left out and counted."""
    return "\n".join(_lines(graph, limit))


def _lines(graph: Graph, limit: int) -> list[str]:
    builder, names = graph.builder, graph.names

    def name(node: int) -> str:
        return names[node] if node in names else literal(builder.constants[node])

    inputs = ", ".join(f"{names[n]}: {builder.avals[n]!r}" for n in graph.inputs)
    lines = [f"graph({inputs}) -> {', '.join(map(name, graph.outputs)) or 'nothing'}:"]
    shown = [n for n in graph.order if n not in graph.inputs and n in names]
    cut = len(shown) - limit
    for position, node in enumerate(shown):
        if cut > 0 and limit // 2 <= position < limit // 2 + cut:
            if position == limit // 2:
                lines.append(f"  … {cut} more hops …")
            continue
        if node in builder.constants:
            lines.append(f"  {names[node]}: {builder.avals[node]!r} = constant")
            continue
        words = [name(a) for a in builder.args(node)]
        inner: list[str] = []
        for key, value in builder.params(node):
            if hasattr(value, "outputs"):
                inner += [f"    {line}" for line in _lines(value, limit)]
                words.append(f"{key}=graph")
            else:
                words.append(f"{key}={value}")
        lines.append(f"  {names[node]}: {builder.avals[node]!r} = {builder.hop(node).name}({', '.join(words)})")
        lines += inner
    return lines
