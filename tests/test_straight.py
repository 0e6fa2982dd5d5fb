"""Loops as one function: random small loops against the interpreter, and what is left to programs."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from agreeing import both
from test_native_loops import as_programs

import hopgrad as hg
from hopgrad.backend import NativePlan
from hopgrad.evaluate import evaluate

Array = np.ndarray[Any, Any]

UNARY = [
    np.tanh, np.abs, np.square, np.negative, np.floor, np.sign,
    lambda x: np.sqrt(np.abs(x)), lambda x: 1 / (2 + np.cos(x)), lambda x: np.maximum(x, 0.25), lambda x: -x,
    lambda x: np.where(x > 0, x, 0.1 * x), lambda x: x[::-1], lambda x: x * x.sum(), lambda x: x - np.max(x),
    lambda x: np.concatenate([x[1:], x[:1]]), lambda x: x.reshape(1, -1).T[:, 0], lambda x: np.minimum(x, 3.0) ** 3,
    lambda x: np.outer(x, x) @ x, lambda x: np.where(np.any(x > 1), x, -x), lambda x: x[:1] - x, lambda x: x + x[0],
]  # fmt: skip
BINARY = [np.add, np.subtract, np.multiply, np.maximum, np.hypot, lambda x, y: np.where(x < y, x, y)]


def written(random: Random, values: list[Any], depth: int) -> Any:
    """Some value computed from others, of the same shape as the first one; bounded."""
    pool = list(values)
    for _ in range(random.randint(1, 5)):
        one, other = random.choice(pool), random.choice(pool)
        if random.random() < 0.5:
            pool.append(random.choice(UNARY)(one))
        elif depth and random.randint(0, 3) == 0:
            pool.append(inner_loop(random, one, other, depth - 1))
        elif random.randint(0, 4) == 0:
            changed = one + 0.0
            changed[random.randrange(len(one))] = other[0]
            pool.append(changed)
        else:
            pool.append(random.choice(BINARY)(one, other))
        pool[-1] = np.clip(pool[-1], -4.0, 4.0)
    return pool[-1]


def inner_loop(random: Random, x: Any, y: Any, depth: int) -> Any:
    """A loop that begins with x and captures y."""
    if random.random() < 0.5:
        return hg.fori_loop(
            0, random.randint(0, 3), lambda k, z: written(random, [z, y, np.where(k > 1, z, y)], depth), x
        )
    bound = random.uniform(0.5, 6.0)

    def goes_on(state: Any) -> Any:
        z, count = state
        return (np.sum(np.abs(z)) < bound) & (count < 5)

    step = lambda state: (written(random, [state[0], y], depth) + 0.25, state[1] + 1)  # noqa: E731
    return hg.while_loop(goes_on, step, (x, 0), max_steps=9)[0]


def looped(random: Random, dtype: Any) -> Any:
    """A function with a loop over rows, which is made up while it is traced."""
    steps, reverse = random.randint(1, 6), random.random() < 0.5

    def f(x: Any, start: Any) -> Any:
        rows = np.sin(np.arange(steps, dtype=dtype)[:, None] + x)

        def step(state: Any, row: Any) -> Any:
            a, b, count = state
            new = written(random, [a, b, x, row], 2)
            return (new, a + 0.5 * row, count + 1), (np.sum(new * b), new > 0.5)

        (a, b, count), (sums, flags) = hg.scan(step, (start, start * 0.5, 0), rows, reverse=reverse)
        return np.sum(a) + np.sum(b) * count + np.sum(np.where(np.any(flags, axis=1), sums, -sums))

    return f


def values(f: Any, *args: Array) -> tuple[list[Any], list[list[Any]], str]:
    """What the interpreter finds, what native code does in each of its ways, and what is in the notes of the first."""
    graph = hg.graph_of(f)(*args)
    inputs = dict(zip(graph.inputs, args, strict=True))
    with np.errstate(all="ignore"):
        wanted = evaluate(graph.builder, graph.outputs, inputs)
    plan = NativePlan(graph.builder, graph.outputs, list(inputs))
    found = both(plan, inputs)
    with as_programs():
        others = both(NativePlan(graph.builder, graph.outputs, list(inputs)), inputs)
    steps = [getattr(step, "native", None) for program in plan.programs for step in program.schedule.steps]
    return wanted, [found, others], " ".join(step.note for step in steps if step is not None)


@pytest.mark.parametrize("differentiated", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(20))
def test_random_loops(seed: int, dtype: Any, differentiated: bool) -> None:
    random = Random(seed)
    x, start = np.random.default_rng(seed).normal(size=(2, random.randint(1, 4))).astype(dtype)
    f = looped(random, dtype)
    wanted, ways, note = values(hg.value_and_grad(f) if differentiated else f, x, start)
    assert differentiated or "as one function" in note  # values before each step of an inner loop are no registers
    close = 1e-9 if dtype == np.float64 else 2e-3
    for found in ways:
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == np.asarray(other).dtype
            np.testing.assert_allclose(one, other, close, close * max(1.0, float(np.max(np.abs(other)))))


def test_loops_within_loops_are_one_function() -> None:
    def f(x: Array) -> Any:
        def outer(state: Any) -> Any:
            y, total = state
            z, steps = hg.while_loop(lambda s: s[0] < 10, lambda s: (s[0] * 1.5 + y, s[1] + 1), (y, 0))
            return y * 1.25, total + z * steps

        return hg.while_loop(lambda s: s[1] < 100, outer, (x, 0.0))

    wanted, ways, note = values(f, np.array(0.75))
    for found in ways:
        np.testing.assert_allclose(found, wanted, 1e-13)
    assert note.count("as one function") == 1


@pytest.mark.parametrize(
    "step",
    [
        lambda c, row: (np.tanh(c), None),  # vectors of functions are faster
        lambda c, row: (c + np.sum(np.outer(c, c)), None),  # many elements on the way
        lambda c, row: (np.sort(c), None),
        lambda c, row: (c + hg.scan(lambda a, b: (a + b, a), 0.0, c)[1], None),  # rows within
    ],
)
def test_what_is_left_to_programs(step: Any) -> None:
    wanted, ways, note = values(lambda x: hg.scan(step, x, np.ones(3))[0], np.linspace(0.0, 1.0, 7))
    for found in ways:
        np.testing.assert_allclose(found, wanted, 1e-13)
    assert "as one function" not in note.split(" each of ")[0]


def test_a_loop_without_an_end_is_left_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopgrad.lower.straight.LONGEST", 1000)
    graph = hg.graph_of(lambda x: hg.while_loop(lambda y: y > 0, lambda y: y - 1.0, x))(5.0)
    plan = NativePlan(graph.builder, graph.outputs, list(graph.inputs))
    assert both(plan, {graph.inputs[0]: np.float64(999.5)})[0] == -0.5
    assert plan.run({graph.inputs[0]: np.float64(1000.5)}) is None
