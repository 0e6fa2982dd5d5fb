"""A graph after some passes against the interpreter: the same values, by the interpreter and by native code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import hopgrad as hg
from hopgrad.backend import NativePlan
from hopgrad.evaluate import evaluate
from hopgrad.graph.graph import Graph
from hopgrad.simplify import Simplified, simplify


def agreeing(
    passes: Callable[[Simplified], Simplified], f: Callable[..., Any], *args: Any, double: float, single: float
) -> Simplified:
    """What the passes make of a function's simplified graph, once its values were seen to be the interpreter's.

    ``double`` and ``single`` are how far values may be off, by their precision.
    """
    graph = hg.graph_of(f)(*args)
    leaves = [np.asarray(v) for v in hg.tree.flatten(args)[0]]
    actual = dict(zip(graph.inputs, leaves, strict=True))
    made = passes(simplify(graph.builder, graph.outputs, list(actual)))
    Graph(made.builder, list(made.inputs.values()), made.outputs).check()
    wanted = evaluate(graph.builder, graph.outputs, actual)
    found = evaluate(made.builder, made.outputs, {new: actual[old] for old, new in made.inputs.items()})
    native = NativePlan(graph.builder, graph.outputs, list(actual)).run(actual)
    assert native is not None
    for one, *others in zip(wanted, found, native, strict=True):
        rtol = single if np.asarray(one).dtype == np.float32 else double
        for other in others:
            assert np.shape(one) == np.shape(other)
            assert np.asarray(one).dtype == np.asarray(other).dtype
            np.testing.assert_allclose(other, one, rtol, rtol)
    return made
