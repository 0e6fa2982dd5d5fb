"""The pass: every value that is needed, operands first, copied or replaced by what a rule has for it."""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import reachable
from hopgrad.simplify import arithmetic, indexing, logic, powers, products, shapes, sums
from hopgrad.simplify.draft import Draft

# The order of the table: what makes fewer hops first.
FAMILIES = (logic, powers, arithmetic, shapes, indexing, sums, products)


@dataclass
class Simplified:
    """What `simplify` gives. Ids in `builder` are topological; it may hold values that nobody needs any more."""

    builder: Builder
    outputs: list[int]
    """In order of the given outputs."""
    inputs: dict[int, int]
    """For those of the given inputs that are needed (and all input hops): the new input."""
    origins: dict[int, int]
    """For each new value one of the given builder that it stands for, or was made for."""
    passes: list[tuple[str, int]]
    """What was done, and how often; for rules see `hopgrad.simplify.table`."""


def simplify(builder: Builder, outputs: Sequence[int], inputs: Container[int] = ()) -> Simplified:
    """What `outputs` need, as an equal and cheaper graph in a new builder. See the package's text for "equal".

    Args:
        builder: Holds the values; it is only read.
        outputs: The values that are wanted.
        inputs: Values that will be given, whatever they are made of. They become inputs of the new builder. Input
            hops are always given.
    """
    if isinstance(inputs, Iterable):
        inputs = frozenset(inputs)  # it is asked for each value
    draft = Draft(builder, outputs)
    given: dict[int, int] = {}
    order = reachable(builder, outputs, known=inputs)
    with np.errstate(all="ignore"):
        moved = _copy(builder, draft, order, inputs, given)
    _place(builder, draft, moved)
    left = (max(outputs) + 1 if outputs else 0) - len(order)
    counts = {"dead code": left, "common subexpressions": draft.shared, "constants folded": draft.folded}
    return Simplified(
        draft.builder,
        [moved[n] for n in outputs],
        given,
        dict(enumerate(draft.origins)),
        [(name, count) for name, count in {**counts, **draft.counts}.items() if count],
    )


def _copy(
    builder: Builder, draft: Draft, order: Sequence[int], inputs: Container[int], given: dict[int, int]
) -> list[int]:
    """The new value of each of `order`, at its place in a list; -1 elsewhere."""
    kinds, kind, args_flat, start, avals = builder.kinds, builder.kind, builder.args_flat, builder.start, builder.avals
    new, origins, stage, constants, write = draft.builder, draft.origins, builder.stage, builder.constants, draft.write
    made = new.avals
    moved = [-1] * (order[-1] + 1 if order else 0)
    kind_ids = [-1] * len(kinds)
    for node in order:
        which = kind[node]
        begin, end = start[node], start[node + 1]
        if begin == end or node in inputs:
            hop, params = kinds[which]
            if node in constants and node not in inputs:
                moved[node] = new.share(constants[node])
            elif hop.name == "input" or node in inputs:
                name = str(dict(params)["name"]) if hop.name == "input" else f"v{node}"
                moved[node] = given[node] = new.input(avals[node], name).id
            else:
                moved[node] = write(new.kind_of(hop, params), (), avals[node])
        else:
            found = kind_ids[which]
            if found < 0:
                found = kind_ids[which] = new.kind_of(*kinds[which])
            draft.current, draft.user = node, not stage[node]
            moved[node] = write(found, tuple([moved[a] for a in args_flat[begin:end]]), avals[node])
        while len(origins) < len(made):
            origins.append(node)
    return moved


def _place(builder: Builder, draft: Draft, moved: Sequence[int]) -> None:
    """Give the new values the places in the user's code, passes and origins of those that they stand for."""
    new, origins = draft.builder, draft.origins
    site, stage, origin = builder.site, builder.stage, builder.origin
    new.site = array("i", [site[n] for n in origins])
    new.stage = array("b", [stage[n] for n in origins])
    new.origin = array("i", [moved[origin[n]] if 0 <= origin[n] < n else -1 for n in origins])
    for node in draft.users:
        new.stage[node] = 0
