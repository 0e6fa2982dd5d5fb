"""Simplified graphs: each rule for its form and its meaning, everything else for its meaning."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sampling import RESIZED_USES, USES, Program, Use

from hopgrad.evaluate import evaluate
from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import Graph
from hopgrad.simplify import Simplified, simplify

Array = np.ndarray[Any, Any]


def simplified(builder: Builder, outputs: Sequence[int], inputs: Sequence[int] = ()) -> tuple[Simplified, Graph]:
    found = simplify(builder, outputs, inputs)
    graph = Graph(found.builder, list(found.inputs.values()), found.outputs)
    graph.check()
    for old, new in zip(outputs, found.outputs, strict=True):
        assert builder.avals[old] is found.builder.avals[new]
    assert found.origins.keys() == set(range(len(found.builder)))
    return found, graph


def values(builder: Builder, outputs: Sequence[int], given: dict[int, Any]) -> list[Any]:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return evaluate(builder, outputs, given)


def both(builder: Builder, outputs: Sequence[int], given: dict[int, Any]) -> tuple[list[Any], list[Any]]:
    """The values before and after."""
    found, _ = simplified(builder, outputs, list(given))
    moved = {found.inputs[n]: v for n, v in given.items() if n in found.inputs}
    return values(builder, outputs, given), values(found.builder, found.outputs, moved)


def assert_same(first: Any, second: Any, ulps: float = 4, scale: float = 0.0) -> None:
    """Same dtype, shape, NaN and infinities; the rest up to `ulps` units in the last place (of `scale`, if larger)."""
    a, b = np.asarray(first), np.asarray(second)
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    if a.dtype.kind not in "fc":
        assert_array_equal(a, b)
        return
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(all="ignore"):
        unit = np.finfo(a.dtype).eps * np.maximum(np.maximum(abs(a), abs(b)), scale)
        near = np.isfinite(a) & np.isfinite(b) & (abs(a - b) <= ulps * unit + 4 * np.finfo(a.dtype).smallest_subnormal)
    assert (same | near).all(), (a, b)


@pytest.mark.parametrize("use", USES + RESIZED_USES, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_catalogue_means_the_same(use: Use, dtype: Any) -> None:
    operands = use.draw(dtype)
    program = Program(use, operands)
    first, second = both(program.builder, [program.out.id], program.given)
    scale = max((float(np.max(np.abs(a), initial=0)) for a in operands if a.dtype.kind == "f"), default=0.0)
    assert_same(first[0], second[0], 64, scale)
