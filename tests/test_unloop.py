"""Products taken out of loops: the interpreter's values, and how many products a step still has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from agreeing import both

import hopgrad as hg
from hopgrad.backend import NativePlan
from hopgrad.evaluate import evaluate
from hopgrad.graph.graph import Graph, reachable
from hopgrad.lower.expand import boundary, expanded
from hopgrad.simplify import Simplified, simplify, unlooped


@pytest.fixture(autouse=True)
def kept_kernels(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "kernels"))


def check(f: Callable[..., Any], *args: Any) -> list[tuple[int, int]]:
    """The interpreter's values, also from the changed graph and natively; each loop's products and carries."""
    graph = hg.graph_of(f)(*args)
    leaves = [np.asarray(v) for v in hg.tree.flatten(args)[0]]
    actual = dict(zip(graph.inputs, leaves, strict=True))
    wanted = evaluate(graph.builder, graph.outputs, actual)
    ends = boundary(graph.builder, graph.outputs, frozenset(actual))
    lean, outputs, given = expanded(graph.builder, graph.outputs, frozenset(actual), lean=ends is not None)
    made = unlooped(simplify(lean, outputs, frozenset(given.values())))
    after = Graph(made.builder, list(made.inputs.values()), made.outputs)
    after.check()
    values = {made.inputs[new]: actual[old] for old, new in given.items() if new in made.inputs}
    native = both(NativePlan(graph.builder, graph.outputs, list(actual), lean=True), actual)
    for one, *others in zip(wanted, evaluate(made.builder, made.outputs, values), native, strict=True):
        for other in others:
            assert np.shape(one) == np.shape(other)
            assert np.asarray(one).dtype == np.asarray(other).dtype
            rtol = 2e-4 if np.asarray(one).dtype == np.float32 else 1e-11
            np.testing.assert_allclose(other, one, rtol, rtol * np.max(np.abs(one), initial=1e-3))
    return loops(made)


def loops(made: Simplified) -> list[tuple[int, int]]:
    found = []
    for node in Graph(made.builder, list(made.inputs.values()), made.outputs):
        if node.hop.name == "scan":
            given: Graph = node.params["body"]
            body = simplify(given.builder, given.outputs, frozenset(given.inputs))
            names = [body.builder.hop(n).name for n in reachable(body.builder, body.outputs)]
            carries = [body.builder.avals[n] for n in body.outputs[: node.params["carries"]]]
            found.append((names.count("matmul"), sum(like.dtype.kind == "f" for like in carries)))  # no masks
    return found


def data(batch: int | None, dtype: Any = np.float64, time: int = 9, inside: int = 10, hidden: int = 12) -> Any:
    rng = np.random.default_rng(time)
    shape = (time, inside) if batch is None else (time, batch, inside)
    return [
        rng.normal(size=(hidden, inside)).astype(dtype) / 4,
        rng.normal(size=(hidden, hidden)).astype(dtype) / 4,
        rng.normal(size=hidden).astype(dtype),
        rng.normal(size=shape).astype(dtype),
    ]


def recurrent(W: Any, U: Any, b: Any, x: Any, reverse: bool = False) -> Any:
    driven = x @ W.T

    def step(h: Any, row: Any) -> Any:
        h = np.tanh(row + h @ U.T + b)
        return h, h

    _, hs = hg.scan(step, np.zeros((*x.shape[1:-1], len(U)), x.dtype), driven, reverse=reverse)
    return np.sum(hs[-1] ** 2) + np.sum(hs * hs[::-1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("batch", [None, 1, 3, 7])
def test_recurrent_networks(batch: int | None, reverse: bool, dtype: Any) -> None:
    args = data(batch, dtype)
    found = check(hg.grad(lambda *a: recurrent(*a, reverse=reverse), (0, 1, 2)), *args)
    # Forwards one product; backwards that of the cotangent alone: the state's is read, the gradients are made behind.
    assert found == [(1, 1), (1, 1)]


def test_second_derivatives_and_losses_in_the_loop() -> None:
    W, U, b, x = data(4)

    def gated(U: Any, b: Any, x: Any) -> Any:
        def step(state: Any, row: Any) -> Any:
            h, total = state
            z = 1 / (1 + np.exp(-(h @ U + b)))
            h = z * h + (1 - z) * row
            return (h, total + np.sum(h * h)), None

        (h, total), _ = hg.scan(step, (np.ones((4, 12)), 0.0), x @ W.T)
        return total + np.sum(h)

    assert check(hg.grad(gated, (0, 1)), U, b, x) == [(1, 2), (1, 2)]
    check(lambda U, b, x: hg.grad(lambda U: np.sum(hg.grad(gated, 1)(U, b, x) ** 2))(U), U, b, x)
    check(lambda U, b, x, V: hg.hvp(lambda U: gated(U, b, x))(U, V), U, b, x, np.ones_like(U))
    check(lambda U, b, x: hg.jvp(lambda U: gated(U, b, x), (U,), (U,)), U, b, x)


def test_what_steps_need_stays() -> None:
    _, U, _, x = data(3, inside=12)

    def summed(U: Any, x: Any) -> Any:
        def step(total: Any, row: Any) -> Any:  # the sum is asked for on the way
            total = total + row.T @ row
            return total, np.sum(total @ U)

        total, parts = hg.scan(step, np.eye(12), x)
        return np.sum(total) + np.sum(parts)

    assert check(summed, U, x) == [(2, 1)]

    def plain(U: Any, x: Any) -> Any:
        total, _ = hg.scan(lambda total, row: (total + row.T @ (row @ U), None), np.eye(12), x)
        return total

    # The factor row @ U would take as much memory as x does; four times as much is too much.
    assert check(plain, U, x) == [(1, 0)]
    assert check(plain, np.tile(U, 4)[:, :12] @ np.eye(12), x) == [(1, 0)]

    def wide(U: Any, x: Any) -> Any:
        total, _ = hg.scan(lambda total, row: (total + row.T @ (row @ U), None), np.zeros((12, 48)), x)
        return total

    assert check(wide, np.tile(U, 4), x) == [(2, 1)]

    def scaled(U: Any, x: Any) -> Any:
        total, _ = hg.scan(lambda total, row: (0.5 * total + row.T @ row, None), U, x)
        return total

    assert check(scaled, U, x) == [(1, 1)]


def test_infinite_rows() -> None:
    W, U, b, x = data(3)
    x[4, 1, 2] = np.inf
    with np.errstate(all="ignore"):
        expected = hg.grad(recurrent, (0, 1, 2), backend="numpy")(W, U, b, x)
        gradient = hg.grad(recurrent, (0, 1, 2))
        for _ in range(3):
            for one, two in zip(gradient(W, U, b, x), expected, strict=True):
                np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-10)


def test_steps_of_no_rows_and_single_steps() -> None:
    for time in (1, 2):
        check(hg.grad(recurrent, (0, 1, 2)), *data(3, time=time))
    W, U, b, x = data(3)
    for _ in range(3):
        for part in hg.grad(recurrent, (0, 1, 2))(W, U, b, x[:, :0]):
            assert not part.any()
