"""Loops that were written out are put together again: which ones, and that their values stay the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from agreeing import both
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import hopgrad as hg
from hopgrad.backend import NativePlan
from hopgrad.evaluate import evaluate
from hopgrad.graph.graph import Graph
from hopgrad.simplify import roll, rolled, simplify


@pytest.fixture(autouse=True)
def short_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs need not be long to be looked through."""
    monkeypatch.setattr(roll, "LEAST", 0)


def scans(graph: Graph) -> list[int]:
    """The numbers of steps of a graph's scans, inner ones too."""
    found = [node.params["length"] for node in graph if node.hop.name == "scan"]
    for inner in graph.subgraphs:
        found += scans(inner)
    return found


def check(f: Callable[..., Any], *args: Any, loops: int | None = None) -> list[int]:
    """A function of arrays: the same values as before, by the interpreter and by native code."""
    graph = hg.graph_of(f)(*args)
    leaves = [np.asarray(v) for v in hg.tree.flatten(args)[0] if np.asarray(v).dtype.kind == "f"]
    actual = dict(zip(graph.inputs, leaves, strict=True))
    made = rolled(simplify(graph.builder, graph.outputs, list(actual)))
    after = Graph(made.builder, list(made.inputs.values()), made.outputs)
    after.check()
    with np.errstate(all="ignore"):
        wanted = evaluate(graph.builder, graph.outputs, actual)
        moved = {new: actual[old] for old, new in made.inputs.items()}
        found = evaluate(made.builder, made.outputs, moved)
    native = both(NativePlan(graph.builder, graph.outputs, list(actual)), actual)
    for one, two, three in zip(wanted, found, native, strict=True):
        assert np.shape(one) == np.shape(two) == np.shape(three)
        assert_allclose(two, one, 1e-12, 1e-13)
        assert_allclose(three, one, 1e-11, 1e-12)
    lengths = scans(after)
    if loops is not None:
        assert len(lengths) == loops, after.text(10_000)
    return lengths


def derivatives(f: Callable[..., Any], *argnums: int) -> Callable[..., Any]:
    """Value and gradient."""
    return hg.value_and_grad(f, argnums or 0)


RNG = np.random.default_rng(0)
W = RNG.normal(size=(3, 3)) * 0.4
V = RNG.normal(size=(3,))


def euler(x: Any, w: Any, steps: int = 40) -> Any:
    for _ in range(steps):
        x = x + 0.01 * np.sin(w * x)
    return np.sum(x * x)


def test_a_loop_and_its_gradient_are_two_scans() -> None:
    lengths = check(derivatives(euler, 0, 1), V, V + 1.0, loops=2)
    assert min(lengths) >= 36


def test_with_second_derivatives() -> None:
    check(lambda x, w: hg.grad(lambda x: np.sum(np.cos(hg.grad(euler)(x, w))))(x), V, V + 1.0)


def test_short_loops_stay() -> None:
    assert check(derivatives(lambda x, w: euler(x, w, 9)), V, V) == []


def test_numbers() -> None:
    def f(x: Any) -> Any:
        y = x
        for _ in range(50):
            y = np.cos(y * x) + 0.1
        return y

    check(derivatives(f), 0.7, loops=2)


def test_steps_that_reach_further_back() -> None:
    def leapfrog(x: Any, v: Any) -> Any:
        before, now = x, x + 0.1 * v
        for _ in range(40):
            before, now = now, 2.0 * now - before - 0.01 * np.sin(now)
        return np.sum(now * before)

    check(derivatives(leapfrog, 0, 1), V, V + 0.5, loops=2)

    def third(x: Any) -> Any:
        values = [x, x * 2.0, x * 3.0]
        for k in range(3, 50):
            values.append(0.3 * values[k - 1] + np.tanh(values[k - 3]) * 0.5)
        return np.sum(values[-1] * values[-2])

    check(derivatives(third), V, loops=2)


@pytest.mark.parametrize("way", ["rows", "columns", "from the end", "every other", "middle"])
def test_rows_of_an_array(way: str) -> None:
    def network(xs: Any, w: Any) -> Any:
        h = np.zeros(3)
        for t in range(30):
            place: Any = {
                "rows": t, "columns": (slice(None), t), "from the end": -1 - t, "every other": 2 * t,
                "middle": (1, t, slice(None, None, -1)),
            }[way]  # fmt: skip
            h = np.tanh(w @ h + xs[place])
        return np.sum(h**2)

    shape = {"columns": (3, 30), "every other": (60, 3), "middle": (2, 30, 3)}.get(way, (30, 3))
    lengths = check(network, RNG.normal(size=shape), W, loops=1)
    assert lengths[0] >= 28
    check(derivatives(network, 0, 1), RNG.normal(size=shape), W, loops=2)


def test_results_of_all_steps() -> None:
    def f(xs: Any, w: Any) -> Any:
        h, seen = np.zeros(3), []
        for row in xs:
            h = np.tanh(w @ h + row)
            seen.append(h * 2.0)
        states = np.stack(seen)
        return np.sum(states**2 * np.arange(90.0).reshape(30, 3)) + np.sum(seen[-1])

    check(derivatives(f, 0, 1), RNG.normal(size=(30, 3)), W, loops=2)
    assert len(check(f, RNG.normal(size=(30, 3)), W)) == 1


def test_numbers_that_depend_on_the_step() -> None:
    def f(x: Any) -> Any:
        total = x * 0.0
        for k in range(40):
            total = total * 0.9 + np.sin(x * (0.1 * k)) * (k + 0.3)
        return np.sum(total * total)

    check(derivatives(f), V, loops=2)


def test_an_lstm() -> None:
    def lstm(params: Any, xs: Any) -> Any:
        w, u, b = params["w"], params["u"], params["b"]
        h = c = np.zeros(4)
        loss = 0.0
        for row in xs:
            z = w @ row + u @ h + b
            i, f, o, g = (
                1 / (1 + np.exp(-z[:4])),
                1 / (1 + np.exp(-z[4:8])),
                1 / (1 + np.exp(-z[8:12])),
                np.tanh(z[12:]),
            )
            c = f * c + i * g
            h = o * np.tanh(c)
            loss = loss + np.sum((h - row) ** 2)
        return loss

    params = {"w": RNG.normal(size=(16, 4)), "u": RNG.normal(size=(16, 4)) * 0.3, "b": RNG.normal(size=16)}
    lengths = check(derivatives(lstm), params, RNG.normal(size=(40, 4)))
    assert len(lengths) >= 2
    assert max(lengths) >= 36


def test_two_loops_one_after_the_other() -> None:
    def f(x: Any) -> Any:
        y = x
        for _ in range(30):
            y = np.sin(y) + x
        for k in range(40):
            y = y * 0.5 + np.tanh(y) * (k % 1 + 1.0)
        return np.sum(y * y)

    assert len(check(derivatives(f), V)) == 4


def test_loops_within_loops() -> None:
    def f(x: Any) -> Any:
        for _ in range(20):
            y = x
            for _ in range(20):
                y = np.sin(y) * 1.1 + 0.1
            x = x * 0.9 + y * y * 0.05
        return np.sum(x)

    check(derivatives(f), V)


def test_what_does_not_change_is_the_same_in_all_steps() -> None:
    def f(x: Any, w: Any) -> Any:
        for _ in range(30):
            x = x * np.exp(w) + np.sum(w**2) * np.cos(x)
            x = x / np.sqrt(np.sum(x * x))
        return np.sum(x * w)

    check(derivatives(f, 0, 1), V, V * 0.3)


def test_a_loop_with_questions() -> None:
    def f(x: Any) -> Any:
        steps = 0
        while np.sum(x * x) > 1e-3 and steps < 100:
            x = x * 0.8 - 0.01 * np.sin(x)
            steps += 1
        return np.sum(np.exp(x)) * steps

    g = hg.value_and_grad(f)
    with hg.use_backend("native"):
        for v in (V, V * 2.0, V * 1.001, V):
            slow = hg.value_and_grad(f, backend="numpy")(v)
            for _ in range(2):
                value, gradient = g(v)
                assert_allclose(value, slow[0], 1e-12)
                assert_allclose(gradient, slow[1], 1e-11)


def test_writing_in_place_stays_as_it_is() -> None:
    def f(x: Any) -> Any:
        out = np.zeros(30)
        for k in range(30):
            out[k] = np.sum(np.sin(x * k))
        return np.sum(out**2)

    check(derivatives(f), V)


def test_large_traces_compile_at_once() -> None:
    def f(x: Any) -> Any:
        for _ in range(3000):
            x = x + 0.001 * np.sin(x) * np.cos(x)
        return np.sum(x)

    with hg.use_backend("native"):
        g = hg.grad(f)
        first = g(V)
        for _ in range(3):
            assert_allclose(g(V), first, 1e-12)
        assert "scan" in g.plan


# -- random loops ------------------------------------------------------------------------------------------------------

UNARY = [np.sin, np.tanh, np.cos, lambda v: v * v * 0.5, lambda v: v[::-1] * 0.9, lambda v: np.exp(-v * v), np.arctan]
BINARY = [np.add, np.multiply, np.subtract, np.maximum, lambda a, b: a / (2.0 + b * b), lambda a, b: np.sum(a * b) * a]


@settings(max_examples=int(os.environ.get("HOPGRAD_EXAMPLES", "40")) // 2, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1))
def test_random_loops(seed: int) -> None:
    random = Random(seed)
    carried, steps, size = random.randint(1, 3), random.randint(17, 33), random.randint(1, 4)
    body: list[tuple[Any, ...]] = []
    for _ in range(random.randint(2, 7)):
        ways = ["unary", "binary", "binary", "row", "column", "before", "captured", "step", "matrix"]
        body.append((random.choice(ways), random.randrange(99), random.randrange(99), random.randrange(99)))
    keep = random.random() < 0.5

    def f(x: Any, xs: Any) -> Any:
        values, history, kept = [x * (k + 1.0) for k in range(carried)], [x, x * 0.5, x * 0.25], []
        for k in range(steps):
            here = list(values)
            for way, a, b, which in body:
                one, two = here[a % len(here)], here[b % len(here)]
                if way == "unary":
                    new = UNARY[which % len(UNARY)](one)
                elif way == "binary":
                    new = BINARY[which % len(BINARY)](one, two)
                elif way == "row":
                    new = one + xs[k if which % 3 else -1 - k]
                elif way == "column":
                    new = one * xs.T[:, k] if which % 2 else one * xs.T[which % size, k]
                elif way == "before":
                    new = one * 0.5 + history[-1 - which % 3]
                elif way == "captured":
                    new = one * np.cos(x) + two
                elif way == "step":
                    new = one * (0.1 * k) + two
                else:
                    new = np.tanh(W[:size, :size] @ one) if size <= 3 else np.tanh(one)
                here.append(new)
            values = [np.tanh(v) for v in here[-carried:]]
            values += [x] * (carried - len(values))
            history.append(values[0])
            kept.append(here[-1])
        total = sum(np.sum(v * v) for v in values)
        return total + np.sum(np.sin(np.stack(kept))) if keep else total + np.sum(history[-2])

    x, xs = np.linspace(0.2, 0.9, size), np.random.default_rng(seed).normal(size=(steps, size))
    check(f, x, xs)
    check(derivatives(f, 0, 1), x, xs)
