"""The graph: a read-only view of a builder's columns, from inputs to outputs, with thin nodes."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from hopgrad.aval import Aval
from hopgrad.errors import GraphError
from hopgrad.graph.builder import Builder
from hopgrad.graph.hop import Hop
from hopgrad.graph.names import name_values
from hopgrad.graph.sites import Location
from hopgrad.graph.text import graph_text


def reachable(builder: Builder, outputs: Sequence[int], stop: int = 0, known: Container[int] = ()) -> list[int]:
    """The values that `outputs` need, in topological order (operands first), without recursion.

    Values below `stop` are not entered, nor what `known` values are made of.
    """
    if not outputs:
        return []
    top = max(outputs) + 1
    needed = bytearray(max(top - stop, 0))
    for node in outputs:
        if node >= stop:
            needed[node - stop] = 1
    args, start = builder.args_flat, builder.start
    # Ids are topological, so one sweep downwards marks everything, and no stack is needed.
    node = needed.rfind(1)
    while node >= 0:
        if node + stop in known:
            node = needed.rfind(1, 0, node)
            continue
        for k in range(start[node + stop], start[node + stop + 1]):
            if args[k] >= stop:
                needed[args[k] - stop] = 1
        node = needed.rfind(1, 0, node)
    return [k + stop for k, mark in enumerate(needed) if mark]


class Node:
    """One value of a graph: a view, made when asked for."""

    __slots__ = ("builder", "id")

    def __init__(self, builder: Builder, id: int) -> None:
        self.builder = builder
        self.id = id

    @property
    def hop(self) -> Hop:
        """The hop that makes the value."""
        return self.builder.hop(self.id)

    @property
    def params(self) -> dict[str, Any]:
        """The hop's static parameters."""
        return dict(self.builder.params(self.id))

    @property
    def args(self) -> tuple[int, ...]:
        """Ids of the operands."""
        return self.builder.args(self.id)

    @property
    def aval(self) -> Aval:
        """Shape and dtype."""
        return self.builder.avals[self.id]

    @property
    def location(self) -> Location | None:
        """Where the user's code computes it; for a value made by a pass, where the code is that it was made for."""
        site = self.builder.site[self.id]
        if site:
            return self.builder.sites.location(site)
        origin = self.builder.origin[self.id]
        return Node(self.builder, origin).location if 0 <= origin < self.id else None

    @property
    def locations(self) -> list[Location]:
        """All places that compute this value: equal subexpressions are one value with several places."""
        sites = self.builder.sites
        extra = sorted(site for node, site in sites.hits if node == self.id)
        found = [self.location, *(sites.location(site) for site in extra)]
        return [place for k, place in enumerate(found) if place and place not in found[:k]]

    @property
    def scope(self) -> tuple[str, ...]:
        """The enclosing functions, outermost first."""
        return self.builder.sites.scope(self.builder.site[self.id])

    @property
    def variable(self) -> str | None:
        """The variable to which the user assigned the value, if any."""
        return self.builder.sites.name(self.builder.site[self.id])

    @property
    def made_for(self) -> tuple[str, int] | None:
        """(pass, value) for values made by a pass, such as ("gradient", 7): the gradient of value 7."""
        stage = self.builder.stage[self.id]
        return (self.builder.stages[stage], self.builder.origin[self.id]) if stage else None

    def __repr__(self) -> str:
        return f"Node(%{self.id}: {self.aval!r} = {self.hop.name}({', '.join(f'%{a}' for a in self.args)}))"


class Guard(NamedTuple):
    """A value that the user's Python code asked for (``if x > 0``): the graph holds for inputs that give the same.

    ``node`` is the value, ``value`` what it was (a boolean, an integer, an array), ``site`` where it was asked for, and
    ``before`` the size of the builder then: values from there on were made after the question.
    """

    node: int
    value: Any
    site: int
    before: int


class Graph:
    """An immutable SSA graph: inputs, outputs and the hops between them.

    It is a view of an append-only builder, so it costs nothing to make, and what is appended later does not change it.
    ``guards`` are the answers that the user's code got when it branched on values: the graph holds where they are so.

    >>> import hopgrad as hg
    >>> print(hg.graph_of(lambda x: (x + 1) ** 2)(0.5))
    graph(x: float64) -> y:
      z: float64 = add(x, 1.0)
      y: float64 = constant_power(z, exponent=2)
    """

    __slots__ = ("__dict__", "builder", "guards", "inputs", "outputs")

    def __init__(
        self, builder: Builder, inputs: Sequence[int], outputs: Sequence[int], guards: Sequence[Guard] = ()
    ) -> None:
        self.builder = builder
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.guards = tuple(guards)

    @cached_property
    def order(self) -> list[int]:
        """Ids of all values that the outputs need, operands first."""
        return reachable(self.builder, self.outputs)

    @cached_property
    def hops(self) -> list[int]:
        """As `order`, without inputs and constants."""
        builder = self.builder
        return [n for n in self.order if builder.start[n] != builder.start[n + 1]]

    def node(self, id: int) -> Node:
        """The view of one value."""
        return Node(self.builder, id)

    def __iter__(self) -> Iterator[Node]:
        return (Node(self.builder, n) for n in self.order)

    def __len__(self) -> int:
        return len(self.order)

    @cached_property
    def uses(self) -> dict[int, list[tuple[int, int]]]:
        """For each value the places that use it, as (using value, operand number)."""
        found: dict[int, list[tuple[int, int]]] = {n: [] for n in self.order}
        for node in self.order:
            for number, arg in enumerate(self.builder.args(node)):
                found[arg].append((node, number))
        return found

    @property
    def subgraphs(self) -> Iterator[Graph]:
        """Graphs that hops of this one own as parameters, alone or in tuples."""
        for node in self.order:
            for _, value in self.builder.params(node):
                for part in value if isinstance(value, tuple) else (value,):
                    if isinstance(part, Graph):
                        yield part

    def check(self) -> None:
        """Raise `GraphError` unless this is a well-formed graph: the same shape rules that built it must agree.

        >>> import hopgrad as hg
        >>> hg.graph_of(lambda x: x * x)(3.0).check()
        """
        builder = self.builder
        size = len(builder)
        for node in (*self.inputs, *self.outputs):
            if not 0 <= node < size:
                raise GraphError(f"%{node} is not a value of this graph")
        if len(set(self.inputs)) != len(self.inputs):
            raise GraphError("an input occurs twice")
        for node in self.order:
            hop, args, params = builder.hop(node), builder.args(node), dict(builder.params(node))
            if any(not 0 <= a < node for a in args):
                raise GraphError(f"%{node} = {hop.name} uses {args}, which do not all come before it")
            if hop.name == "input" and node not in self.inputs:
                raise GraphError(f"%{node} is an input that the graph does not list")
            if hop.name == "constant" and not isinstance(builder.constants.get(node), np.ndarray):
                raise GraphError(f"%{node} is a constant without a value")
            inferred = hop.infer(*[builder.avals[a] for a in args], **params)
            if inferred is not builder.avals[node]:
                raise GraphError(f"%{node} = {hop.name} has {builder.avals[node]!r}, but its rule gives {inferred!r}")
        for inner in self.subgraphs:
            inner.check()

    @cached_property
    def cache(self) -> dict[Any, Any]:
        """What others derived from this graph and want to keep with it: plans, its gradient as a graph."""
        return {}

    @cached_property
    def names(self) -> dict[int, str]:
        """A unique name for each value; see ``hopgrad.graph.names``."""
        return name_values(self)

    def text(self, limit: int = 200) -> str:
        """Readable form, one hop a line; beyond `limit` hops the middle is left out and counted."""
        return graph_text(self, limit)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Graph: {len(self.inputs)} inputs, {len(self.hops)} hops, {len(self.outputs)} outputs>"
