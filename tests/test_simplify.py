"""Simplified graphs: each rule for its form and its meaning, everything else for its meaning."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sampling import RESIZED_USES, USES, Program, Use
from simplifying import EXAMPLES, Example

import hopgrad.simplify.draft
from hopgrad.aval import aval
from hopgrad.errors import DtypeError
from hopgrad.evaluate import evaluate
from hopgrad.graph.builder import Builder, Expr
from hopgrad.graph.graph import Graph
from hopgrad.simplify import Simplified, simplify, table

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def rules_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the limit on rules within rules, two that undo each other do not come to an end."""
    monkeypatch.setattr(hopgrad.simplify.draft, "DEPTH", 10**9)


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


# -- each rule ---------------------------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parent / "golden" / "simplify.txt"
every_example = pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=lambda k: f"{k}-{EXAMPLES[k].rule}")


def built(example: Example) -> tuple[Builder, list[int], list[int]]:
    builder = Builder()
    operands = [builder.input(like, name) for like, name in zip(example.operands, "xyzw", strict=False)]
    found = example.build(*operands)
    outputs = [found] if isinstance(found, Expr) else list(found)
    return builder, [x.id for x in operands], [out.id for out in outputs]


def test_every_rule_has_an_example() -> None:
    assert {found.name for found in table} == {example.rule for example in EXAMPLES} - {None}
    assert all(found.text for found in table)


def form(example: Example) -> str:
    builder, inputs, outputs = built(example)
    before = Graph(builder, inputs, outputs).text()
    found, _ = simplified(builder, outputs, inputs)
    after = Graph(found.builder, [found.inputs[n] for n in inputs if n in found.inputs], found.outputs).text()
    return f"## {example.rule or 'stays'}\n{before}\n→ {after}\n"


def test_the_forms_are_these() -> None:
    """After a change that is meant, read the difference and run ``python tests/test_simplify.py``."""
    assert "\n".join(map(form, EXAMPLES)) == GOLDEN.read_text(encoding="utf-8")


@every_example
def test_a_rule_is_tried_where_it_should(number: int) -> None:
    builder, inputs, outputs = built(EXAMPLES[number])
    names = {name for name, _ in simplified(builder, outputs, inputs)[0].passes}
    rule = EXAMPLES[number].rule
    assert rule in names if rule else not names & {found.name for found in table}


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, np.inf, -np.inf, np.nan, 1e-310, -1e-160, 1e160, 1e300, 7.25])


def drawn(like: Any, random: np.random.Generator, wild: bool) -> Array:
    if like.dtype.kind == "b":
        return random.random(like.shape) < 0.5
    if like.dtype.kind in "iu":
        return random.integers(-9, 9, like.shape).astype(like.dtype)
    with np.errstate(all="ignore"):
        tame = random.uniform(-2, 2, like.shape)
        return np.asarray(
            np.where(random.random(like.shape) < 0.6 * wild, random.choice(SPECIAL, like.shape), tame), like.dtype
        )


# Where the contract lets the sign of a zero, overflow on the way or NaN differ.
SUMS = {
    "sum of sums", "sum of everything", "sum of transpose", "reduction of broadcast", "reduction of one",
    "sum of multiples", "product of column and row", "chain from the left", "chain from the right", "einsum of one",
    "einsum of two", "einsum of many", "sum of written", "broadcast of one number", "running sum of one",
}  # fmt: skip


@every_example
@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_rule_keeps_the_meaning(number: int, wild: bool, dtype: Any) -> None:
    example = EXAMPLES[number]
    if wild and example.rule in SUMS:
        pytest.skip("a sum of infinities and huge numbers depends on its order")
    operands = tuple(aval(a.shape, dtype if a.dtype == np.float64 else a.dtype) for a in example.operands)
    example = example._replace(operands=operands)
    try:
        builder, inputs, outputs = built(example)
    except DtypeError:
        pytest.skip("a constant in it is of another dtype")
    random = np.random.default_rng(number)
    for _ in range(20 if wild else 3):
        given = {n: drawn(builder.avals[n], random, wild) for n in inputs}
        for first, second in zip(*both(builder, outputs, given), strict=True):
            assert_same(first, second, 12, 0.0 if wild else 4.0)
            if example.rule not in SUMS and np.asarray(first).dtype.kind == "f":
                assert_array_equal(np.signbit(first) | np.isnan(first), np.signbit(second) | np.isnan(second))


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(map(form, EXAMPLES)), encoding="utf-8")
