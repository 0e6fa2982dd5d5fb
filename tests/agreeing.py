"""A graph after some passes against the interpreter: the same values, by the interpreter and by native code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import hopgrad as hg
from hopgrad.backend import NativePlan
from hopgrad.evaluate import evaluate
from hopgrad.graph.graph import Graph
from hopgrad.simplify import Simplified, simplify


def both(plan: NativePlan, values: Mapping[int, Any]) -> list[Any]:
    """What native code computes, by kernels made with little effort and with all: the same to the last bit."""
    found = plan.run(values)
    for program in plan.programs:
        program.improve()
    again = plan.run(values)
    assert found is not None
    assert again is not None
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)
    return found


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
    native = both(NativePlan(graph.builder, graph.outputs, list(actual)), actual)
    for one, *others in zip(wanted, found, native, strict=True):
        rtol = single if np.asarray(one).dtype == np.float32 else double
        for other in others:
            assert np.shape(one) == np.shape(other)
            assert np.asarray(one).dtype == np.asarray(other).dtype
            np.testing.assert_allclose(other, one, rtol, rtol)
    return made
