"""The pass: every value that is needed, operands first, copied or replaced by what a rule has for it."""

from __future__ import annotations

from collections.abc import Container, Sequence
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
    draft = Draft(builder, outputs)
    given: dict[int, int] = {}
    order = reachable(builder, outputs, known=inputs)
    with np.errstate(all="ignore"):
        moved = _copy(builder, draft, order, inputs, given)
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
    new, origins = draft.builder, draft.origins
    moved = [-1] * (order[-1] + 1 if order else 0)
    kind_ids = [-1] * len(kinds)
    for node in order:
        which = kind[node]
        before = len(new)
        draft.user = not builder.stage[node]
        hop, params = kinds[which]
        if node in inputs or hop.name == "input":
            name = str(dict(params)["name"]) if hop.name == "input" else f"v{node}"
            result = given[node] = new.input(avals[node], name).id
        elif node in builder.constants:
            result = new.share(builder.constants[node])
        else:
            args = tuple([moved[a] for a in args_flat[start[node] : start[node + 1]]])
            found = kind_ids[which]
            if found < 0:
                found = kind_ids[which] = new.kind_of(hop, params)
            result = draft.write(found, args, avals[node])
        moved[node] = result
        for made in range(before, len(new)):
            origins.append(node)
            new.stage[made] = builder.stage[node]
            new.site[made] = builder.site[node]
            new.origin[made] = moved[builder.origin[node]] if 0 <= builder.origin[node] < node else -1
    return moved
