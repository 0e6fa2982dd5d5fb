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
            elif isinstance(value, tuple) and value and hasattr(value[0], "outputs"):
                inner += [f"    {line}" for part in value for line in _lines(part, limit)]
                words.append(f"{key}={len(value)} graphs")
            else:
                words.append(f"{key}={value}")
        lines.append(f"  {names[node]}: {builder.avals[node]!r} = {builder.hop(node).name}({', '.join(words)})")
        lines += inner
    return lines + _guard_lines(graph, limit)


_WIDE = 100  # letters; a longer part of a guard is left out


def _guard_lines(graph: Graph, limit: int) -> list[str]:
    """What the graph depends on, over its names: no line of a hop shows values that only guards need."""
    builder, names = graph.builder, graph.names
    known = dict(names)

    def spelled(node: int, whole: bool) -> str:
        hop, args = builder.hop(node), builder.args(node)
        if node in builder.constants:
            data = builder.constants[node]
            return literal(data) if not data.ndim else "constant"
        if hop.notation.form == "infix" and "predicate" in hop.traits:
            both = f" {hop.notation.symbol} ".join(known[a] for a in args)
            return both if whole else f"({both})"
        words = [*[known[a] for a in args], *[f"{key}={value}" for key, value in builder.params(node)]]
        return f"{hop.name}({', '.join(words)})" if args else names.get(node, f"%{node}")

    lines = []
    for guard in graph.guards[:limit]:
        stack = [*builder.args(guard.node)]
        while stack:
            node = stack[-1]
            missing = [] if node in known else [a for a in builder.args(node) if a not in known]
            stack += missing
            if not missing:
                stack.pop()
                words = known.get(node) or spelled(node, False)
                known[node] = words if len(words) <= _WIDE else "…"
        data = np.asarray(guard.value)
        answer = str(data.item()) if data.size == 1 else np.array2string(data, threshold=6, edgeitems=3)
        lines.append(f"  guard: {spelled(guard.node, True)} is {' '.join(answer.split())}")
    if len(graph.guards) > limit:
        lines.append(f"  … {len(graph.guards) - limit} more guards …")
    return lines
