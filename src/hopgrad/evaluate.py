"""The interpreter: every hop computed by NumPy, in order. The reference that all faster ways must agree with."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import reachable


def evaluate(builder: Builder, outputs: Sequence[int], inputs: Mapping[int, Any]) -> list[Any]:
    """The values of `outputs`, given those of the inputs that they need. Dead values are freed on the way.

    Floating-point warnings follow ``np.errstate`` for the user's own hops, as in plain NumPy; hops made by passes are
    silent, since the user did not write the 1/√x that belongs to a √x.
    """
    values = _run(builder, outputs, inputs, free=True)
    return [values[node] for node in outputs]


def evaluate_all(builder: Builder, outputs: Sequence[int], inputs: Mapping[int, Any]) -> dict[int, Any]:
    """As `evaluate`, keeping every value on the way, by id."""
    return _run(builder, outputs, inputs, free=False)


def evaluate_sweep(
    builder: Builder,
    outputs: Sequence[int],
    inputs: Mapping[int, Any],
    varying: Sequence[int],
    sweep: Iterable[Sequence[Any]],
) -> Iterator[list[Any]]:
    """The values of `outputs` again and again, for other values of the inputs `varying` each time.

    What does not depend on these is computed once.
    """
    values = residuals(builder, outputs, inputs, varying)
    for given in sweep:
        yield evaluate(builder, outputs, {**values, **dict(zip(varying, given, strict=True))})


def residuals(
    builder: Builder, outputs: Sequence[int], inputs: Mapping[int, Any], varying: Sequence[int]
) -> dict[int, Any]:
    """All values that `outputs` can be computed from once the inputs `varying` are known, and that need not these."""
    order = reachable(builder, outputs)
    depends = set(varying)
    fixed: set[int] = set(outputs) - depends
    for node in order:
        args = builder.args(node)
        if not depends.isdisjoint(args):
            depends.add(node)
            fixed.update(args)
    known = sorted(fixed - depends)
    return dict(zip(known, evaluate(builder, known, inputs), strict=True))


def extend(builder: Builder, node: int, known: dict[int, Any], standing: Mapping[int, int]) -> Any:
    """The value of `node`, and into `known` all on the way to it that was missing. `standing` maps inputs to values.

    The cost is that of what is missing, so a program can be followed value by value.

    Raises:
        KeyError: it needs an input that is neither known nor stands for another value; the key is its id.
    """
    args_flat, start = builder.args_flat, builder.start
    missing: set[int] = set()
    stack = [node]
    while stack:
        top = stack.pop()
        if top in known or top in missing:
            continue
        missing.add(top)
        if top in standing:
            stack.append(standing[top])
        elif builder.hop(top).name == "input":
            raise KeyError(top)
        else:
            stack.extend(args_flat[start[top] : start[top + 1]])
    before = np.geterr()
    silent = False
    try:
        for top in sorted(missing):
            if top in standing:
                known[top] = known[standing[top]]
                continue
            if top in builder.constants:
                known[top] = builder.constants[top]
                continue
            if (builder.stage[top] != 0) is not silent:
                silent = not silent
                np.seterr(all="ignore") if silent else np.seterr(**before)
            hop, params = builder.kinds[builder.kind[top]]
            known[top] = hop.function(*[known[a] for a in args_flat[start[top] : start[top + 1]]], **dict(params))
    finally:
        if silent:
            np.seterr(**before)
    return known[node]


def _run(builder: Builder, outputs: Sequence[int], inputs: Mapping[int, Any], free: bool) -> dict[int, Any]:
    order = reachable(builder, outputs, known=inputs)
    values: dict[int, Any] = {}
    kinds, kind, args_flat, start, stage = builder.kinds, builder.kind, builder.args_flat, builder.start, builder.stage
    constants = builder.constants
    uses = _use_counts(builder, order, outputs) if free else None
    silent = False
    before = np.geterr()
    calls: dict[int, tuple[Any, dict[str, Any]]] = {}
    try:
        for node in order:
            if node in inputs:
                values[node] = inputs[node]
                continue
            if node in constants:
                values[node] = constants[node]
                continue
            if (stage[node] != 0) is not silent:
                silent = not silent
                np.seterr(all="ignore") if silent else np.seterr(**before)
            call = calls.get(kind[node])
            if call is None:
                hop, params = kinds[kind[node]]
                call = calls[kind[node]] = (hop.function, dict(params))
            function, keywords = call
            args = args_flat[start[node] : start[node + 1]]
            values[node] = function(*[values[a] for a in args], **keywords)
            if uses is not None:
                for a in args:
                    uses[a] -= 1
                    if not uses[a]:
                        values.pop(a, None)
    finally:
        np.seterr(**before)
    return values


def _use_counts(builder: Builder, order: Sequence[int], outputs: Sequence[int]) -> array[int]:
    counts = array("q", bytes(8 * (order[-1] + 1 if order else 0)))
    for node in order:
        for a in builder.args_flat[builder.start[node] : builder.start[node + 1]]:
            counts[a] += 1
    for node in outputs:
        counts[node] += 1
    return counts
