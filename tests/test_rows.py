"""Arrays of a few long rows computed by rows: the interpreter's values, and only where a program takes rows apart."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from agreeing import agreeing
from hypothesis import given, settings
from hypothesis import strategies as st

import hopgrad as hg
from hopgrad.graph.graph import Graph
from hopgrad.simplify import by_rows, rows


@pytest.fixture(autouse=True)
def short_rows(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "kernels"))
    monkeypatch.setattr(rows, "LEAST", 5)


def check(f: Callable[..., Any], *args: Any) -> tuple[int, Graph]:
    """The interpreter's values, from the graph by rows and natively; how many values are rows, and the graph."""
    with np.errstate(all="ignore"):
        made = agreeing(by_rows, f, *args, double=1e-11, single=1e-4)
    assert made.origins.keys() == set(range(len(made.builder)))
    after = Graph(made.builder, list(made.inputs.values()), made.outputs)
    return dict(made.passes).get("arrays by rows", 0), after


def cross(a: Any, b: Any, axis: int) -> Any:
    a, b = (np.moveaxis(x, axis, 0) for x in (a, b))
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], axis=axis)


def turned(x: Any, v: Any, axis: int) -> Any:
    angle = np.sqrt(np.sum(v * v, axis=axis, keepdims=True))
    along = np.sum(v * x, axis=axis, keepdims=True)
    return x * np.cos(angle) + cross(v, x, axis) * np.sin(angle) + v * along * (1 - np.cos(angle))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("shape", "axis"), [((3, 20), 0), ((20, 3), 1), ((3, 4, 5), 0), ((6, 5, 3), 2)])
def test_turns(shape: tuple[int, ...], axis: int, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x, v = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    count, graph = check(lambda x, v: turned(x, v, axis), x, v)
    assert count > 5
    hops = {graph.builder.hop(n).name for n in graph.order if graph.builder.avals[n].shape == shape}
    assert not hops & {"add", "subtract"}
    assert check(hg.grad(lambda x, v: np.sum(np.sin(turned(x, v, axis))), (0, 1)), x, v)[0] > 10


def test_where_no_row_is_taken_nothing_is_split() -> None:
    x = np.random.default_rng(0).normal(size=(3, 20))
    assert check(lambda x: np.sum(np.exp(x) * x, axis=0), x)[0] == 0
    assert check(lambda x: np.exp(x)[:, 2] + 1, x)[0] == 0
    assert check(lambda x: np.exp(x) * np.concatenate([x[1:], x[:1] + 1]), x)[0] > 0


@pytest.mark.parametrize("shape", [(3, 4), (5, 20), (1, 20), (3, 0), (3,)])
def test_others_are_left_alone(shape: tuple[int, ...]) -> None:
    assert check(lambda x: np.exp(x)[0] * np.sin(x), np.ones(shape))[0] == 0


def test_reductions_over_rows() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    x[1, 2, 3] = np.nan
    for axes in (0, (0, 1), (0, 2), None, (0, 1, 2), 1):
        for keepdims in (False, True):
            for reduce in (np.sum, np.max, np.min, np.any, np.all, np.prod, np.argmax):
                if reduce is np.argmax and isinstance(axes, tuple):
                    continue

                def f(x: Any, reduce: Any = reduce, axes: Any = axes, keepdims: Any = keepdims) -> Any:
                    y = x * 2
                    return y[1] + y, reduce(y > 1 if reduce in (np.any, np.all) else y, axis=axes, keepdims=keepdims)

                check(f, x)


def test_what_is_a_result_is_put_together_again() -> None:
    x = np.random.default_rng(0).normal(size=(2, 30))

    def f(x: Any) -> Any:
        y = np.sin(x)
        z = y * y[0]
        return y, z, y[1], z.T * 2, (z.T * 2)[:, 1], np.concatenate([y, z])

    assert check(f, x)[0] >= 3


def program(random: Random, axis: int) -> Callable[..., Any]:
    """Elementwise hops, rows taken, changed and put together, views, sums."""
    plan = [(random.randrange(9), random.randrange(99), random.randrange(99), random.randrange(99)) for _ in range(12)]

    def f(x: Any, y: Any, v: Any) -> Any:
        found = [x, y]
        for what, i, j, k in plan:
            a, b = found[i % len(found)], found[j % len(found)]
            n = x.shape[axis]
            row = np.take(a, k % n, axis=axis)
            match what:
                case 0:
                    c = a * b
                case 1:
                    c = np.sin(a) + v
                case 2:
                    c = a * np.expand_dims(row, axis)
                case 3:
                    c = np.stack([np.take(b if (k >> m) & 1 else a, m, axis=axis) for m in range(n)], axis=axis)
                case 4:
                    c = np.where(a > b, a, 0.5 * row if axis == 0 else b)
                case 5:
                    c = np.flip(a, axis) - b
                case 6:
                    c = a / (1 + np.sum(b * b, axis=axis, keepdims=True))
                case 7:
                    c = np.moveaxis(np.tanh(np.moveaxis(a, axis, 0 if axis else -1)), 0 if axis else -1, axis) + b
                case _:
                    c = np.tanh(np.reshape(a.ravel() * 2, x.shape))
            found.append(c)
        return found[-1], np.sum(np.tanh(found[-2]))

    return f


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_random_programs(random: Random) -> None:
    axis = random.choice([0, 1])
    count, n = random.choice([2, 3, 4]), random.choice([5, 8, 33])
    shape = (count, n) if axis == 0 else (n, count)
    rng = np.random.default_rng(random.randrange(10**6))
    dtype = random.choice([np.float64, np.float32])
    args = [rng.uniform(-1, 1, size=s).astype(dtype) for s in (shape, shape, shape[1:])]
    f = program(random, axis)
    check(f, *args)
    check(hg.grad(lambda *args: sum(np.sum(np.sin(one)) for one in f(*args)), (0, 1, 2)), *args)
