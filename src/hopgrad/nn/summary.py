"""A table of a model's layers: shapes, parameters, operations."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.graph.graph import Graph
from hopgrad.nn.module import num_parameters
from hopgrad.nn.watched import watched
from hopgrad.transforms import graph_of

__all__ = ["Row", "Summary", "summary"]

_MOVES = frozenset({
    "input", "constant", "reshape", "transpose", "broadcast_to", "index", "scatter", "concatenate", "item", "convert",
    "stop_gradient", "put",
})  # fmt: skip
"""Hops that compute nothing."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One call of a module.

    Attributes:
        name: Where it is in the model, as `named_parameters` writes it; "" for the model itself.
        kind: The name of its class.
        depth: How many modules it is inside of.
        input: Shape of its first argument.
        output: Shape of its (first) result.
        parameters: How many numbers it holds.
        flops: How many operations a call takes: of products of matrices two for each term, of all else one an element.
    """

    name: str
    kind: str
    depth: int
    input: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    flops: int


@dataclasses.dataclass(frozen=True)
class Summary:
    """What `summary` found: printed, a table.

    Attributes:
        rows: One for each call of a module, in the order of the calls, the model itself first.
    """

    rows: tuple[Row, ...]

    def __str__(self) -> str:
        heads = ("layer", "", "input", "output", "parameters", "flops")
        table = [heads] + [
            ("  " * r.depth + (r.name.rpartition(".")[2] or "model"), r.kind, _shown(r.input), _shown(r.output),
             f"{r.parameters:,}", f"{r.flops:,}")
            for r in self.rows
        ]  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(c.rjust(w) if k > 3 else c.ljust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True)))
            for row in table
        ]
        return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:]])

    def __repr__(self) -> str:
        return str(self)


def _shown(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a number"


def summary(model: Any, *args: Any, **keywords: Any) -> Summary:
    """Call a model and tell, for each module inside it that is called, shapes, parameters and operations.

    Args:
        model: A module, or any nested structure of arrays that can be called.
        args: What to call it with: real arrays, as ``summary(model, x)``.
        keywords: The same.

    >>> from hopgrad import nn
    >>> model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.relu, nn.Linear(8, 2, rng=1))
    >>> summary(model, np.ones((5, 4), np.float32))
    layer              input  output  parameters  flops
    ───────────────────────────────────────────────────
    model  Sequential  5×4    5×2             58    570
      0    Linear      5×4    5×8             40    360
      2    Linear      5×8    5×2             18    170
    """
    rows: list[Row] = []
    names: list[str] = []

    def note(name: str, module: Any, call: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        place = len(rows)
        rows.append(Row(name, type(module).__name__, len(names), _shape(args), (), 0, 0))
        names.append(name)
        try:
            result = call(*args, **keywords)
        finally:
            names.pop()
        flops = _flops_of(module, args, keywords)
        rows[place] = dataclasses.replace(
            rows[place], output=_shape(result), parameters=num_parameters(module), flops=flops
        )
        return result

    watched(model, note)(*args, **keywords)
    return Summary(tuple(rows))


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of the first array in a value."""
    leaves = [leaf for leaf in tree.flatten(value)[0] if isinstance(leaf, (np.ndarray, np.generic))]
    return np.shape(leaves[0]) if leaves else ()


def _flops_of(module: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> int:
    """Operations of a call, as a function of all floating-point arrays that enter it."""
    leaves, structure = tree.flatten((module, args, keywords))
    moving = [k for k, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f"]

    def called(arrays: list[Any]) -> Any:
        given = dict(zip(moving, arrays, strict=True))
        model, inside, named = tree.unflatten(structure, [given.get(k, leaf) for k, leaf in enumerate(leaves)])
        return model(*inside, **named)

    return _flops(graph_of(called, argnums=0)([leaves[k] for k in moving])) if moving else 0


def _flops(graph: Graph) -> int:
    """Operations of a graph, those of loops by their number of rounds."""
    total = 0
    for node in graph:
        hop, params = node.hop.name, node.params
        if hop == "scan":
            total += params["length"] * _flops(params["body"])
        elif hop == "matmul":
            total += 2 * node.aval.size * graph.node(node.args[0]).aval.shape[-1]
        elif hop not in _MOVES and not list(_inner(params.values())):
            sizes = [graph.node(a).aval.size for a in node.args]
            total += max([node.aval.size, *sizes])
    return total


def _inner(values: Any) -> Iterator[Graph]:
    for value in values:
        yield from (part for part in (value if isinstance(value, tuple) else (value,)) if isinstance(part, Graph))
