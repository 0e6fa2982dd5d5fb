"""Native code that leaves supports out until a zero meets an infinity: always the interpreter's result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import hopgrad as hg


@pytest.fixture(autouse=True)
def kept_kernels(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "kernels"))


UNTAKEN: dict[str, Callable[[Any], Any]] = {
    "where": lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0)),
    "slice": lambda x: np.sum(np.sqrt(x)[1:]),
    "max": lambda x: np.max(np.sqrt(x)),
    "sort": lambda x: np.sort(np.sqrt(x))[-1],
    "product": lambda x: np.sum(np.where(np.zeros(len(x), bool), np.outer(x, x) @ np.sqrt(x), 0.0)),
    "sums": lambda x: np.sum(np.where(x > 0, x, 0.0) * np.where(x > 0, np.log(x), 0.0)),
    "padded": lambda x: np.sum(np.pad(np.sqrt(x)[1:], 2) ** 2),
}


@pytest.mark.parametrize("name", UNTAKEN)
@pytest.mark.parametrize("transform", [hg.grad, hg.value_and_grad])
def test_what_was_not_taken_counts_nothing(name: str, transform: Any) -> None:
    f = UNTAKEN[name]
    fine, corner = np.array([1.0, 4.0, 9.0]), np.array([0.0, 4.0, 9.0])
    with np.errstate(all="ignore"), hg.use_backend("numpy"):
        expected = [transform(f)(x) for x in (fine, corner)]
    assert np.isfinite(expected[1][-1]).all()
    g = transform(f)
    with np.errstate(all="ignore"), hg.use_backend("native"):
        for k in (0, 0, 1, 1, 0, 1, 0):
            np.testing.assert_allclose(g((fine, corner)[k])[-1], expected[k][-1], rtol=1e-13)


def relu_network(W: Any, x: Any) -> Any:
    return np.sum(np.maximum(x @ W, 0.0) ** 2)


def test_lean_code_is_made_first_and_whole_code_where_it_is_needed() -> None:
    gradient = hg.grad(UNTAKEN["where"])
    fine, corner = np.array([1.0, 4.0]), np.array([0.0, 4.0])
    with hg.use_backend("native"):
        for _ in range(3):
            gradient(fine)
        made = gradient._replays.latest()  # type: ignore[attr-defined]
        assert made.native.lean
        gradient(corner)
        assert not made.native.lean
        (entry,) = gradient.entries  # type: ignore[attr-defined]
        assert entry is made.entry
        before = made.native.runs
        gradient(corner)
        assert made.native.runs == before + 1
        assert made.interpreted == 1


def test_supports_cost_nothing_in_a_network() -> None:
    gradient = hg.grad(relu_network)
    W, x = np.linspace(-1, 1, 12).reshape(3, 4), np.linspace(-2, 1, 15).reshape(5, 3)
    with hg.use_backend("native"):
        for _ in range(2):
            found = gradient(W, x)
        (program,) = gradient._replays.latest().native.programs  # type: ignore[attr-defined]
    assert not any("any(" in kernel for kernel in gradient.kernels)  # type: ignore[attr-defined]
    assert len(program.schedule.steps) <= 5  # two products, the loop between them, and whether all is finite
    np.testing.assert_allclose(found, 2 * x.T @ np.maximum(x @ W, 0), rtol=1e-14)


def test_gradients_within_functions_are_lean_too() -> None:
    def step(W: Any, x: Any) -> Any:
        gradient = hg.grad(relu_network)(W, x)
        return W - 0.1 * np.where(np.isfinite(gradient), gradient, 0.0)

    compiled = hg.compile(step)
    W, x = np.linspace(-1, 1, 12).reshape(3, 4), np.linspace(-2, 1, 15).reshape(5, 3)
    infinite = x.copy()
    infinite[1] = np.inf
    with np.errstate(all="ignore"):
        with hg.use_backend("numpy"):
            expected = [hg.compile(step)(W, v) for v in (x, infinite)]
        with hg.use_backend("native"):
            for k in (0, 0, 1, 1, 0):
                np.testing.assert_allclose(compiled(W, (x, infinite)[k]), expected[k], rtol=1e-13)


def made_by(compiled: Any) -> Any:
    """The native plan of the latest trace of a function."""
    return compiled._replays.latest().native


def test_gradients_that_are_used_further_are_lean() -> None:
    def plain(W: Any, V: Any, x: Any) -> Any:
        hidden = lambda W: np.maximum(x @ W, 0.0)  # noqa: E731
        loss = lambda W, V: np.sum((hidden(W) @ V - hg.stop_gradient(np.max(V))) ** 2)  # noqa: E731
        value, (dW, dV) = hg.value_and_grad(loss, (0, 1))(W, V)
        W -= 1e-4 * dW
        V -= 1e-4 * dV
        return value

    rng = np.random.default_rng(0)
    start = rng.normal(size=(30, 40)), rng.normal(size=(40, 3))
    x = rng.normal(size=(5, 30))
    infinite = x.copy()
    infinite[2] = np.inf

    def after(step: Any, name: Any, *batches: Any) -> Any:
        W, V = (p.copy() for p in start)
        with hg.use_backend(name), np.errstate(all="ignore"):
            return [step(W, V, batch) for batch in batches], W, V

    for batches in ((x, x, x), (x, x, infinite, x)):
        step = hg.compile(plain)
        found, expected = after(step, "native", *batches), after(hg.compile(plain), "numpy", *batches)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        assert made_by(step).lean == (batches[2] is x)


LOOPS: dict[str, Callable[[Any, Any], Any]] = {
    "last": lambda w, x: last_result(lambda h, row: np.tanh(h * w + row), x),
    "root": lambda w, x: last_result(lambda h, row: np.where(row > 0, np.sqrt(np.abs(row)) * w, 0.5 * h), x),
    "clipped": lambda w, x: last_result(lambda h, row: np.maximum(h, row) * w, x),
}


def last_result(step: Callable[[Any, Any], Any], x: Any) -> Any:
    """The last row of a loop's results, of which the backward loop knows all others to be unused."""
    _, rows = hg.scan(lambda h, row: (step(h, row),) * 2, np.ones(3), x)
    return np.sum(np.sqrt(rows[-1][1:] + 2.0))


@pytest.mark.parametrize("name", LOOPS)
def test_backward_loops_are_lean(name: str) -> None:
    f = LOOPS[name]
    w = np.array([0.5, 1.5, 1.0])
    fine = np.random.default_rng(1).uniform(0.1, 0.9, size=(7, 3))
    corner = fine.copy()
    corner[2, 1] = corner[6, 2] = 0.0
    for of_gradient in (False, True):  # the second derivative keeps its supports, in loops of second order
        function = f
        if of_gradient:
            function = lambda w, x: np.sum(hg.grad(f)(w, x) ** 2)  # noqa: E731
        gradient = hg.grad(function, (0, 1))
        with np.errstate(all="ignore"):
            with hg.use_backend("numpy"):
                expected = [gradient(w, x) for x in (fine, corner)]
            with hg.use_backend("native"):
                for k in (0, 0, 1, 1, 0):
                    found = gradient(w, (fine, corner)[k])
                    for a, b in zip(found, expected[k], strict=True):
                        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
                    if k == 0 and not of_gradient and not made_by(gradient).lean:
                        assert name == "root", "it met an infinity"


def test_a_lean_backward_loop_carries_no_masks() -> None:
    gradient = hg.grad(LOOPS["last"])
    w, x = np.linspace(0.5, 1.0, 3), np.linspace(-1.0, 1.0, 21).reshape(7, 3)
    with hg.use_backend("native"):
        for _ in range(3):
            gradient(w, x)
    assert made_by(gradient).lean
    assert not any(" | " in kernel or "any(" in kernel for kernel in gradient.kernels)  # type: ignore[attr-defined]


def test_rules_of_users_see_exact_zeros() -> None:
    @hg.custom_vjp
    def root(x: Any) -> Any:
        return np.sqrt(x)

    root.defvjp(lambda x: (np.sqrt(x), x), lambda x, g: (np.nan_to_num(g / (2 * np.sqrt(x)), nan=7.0),))
    x = np.array([0.0, 4.0])

    def f(x: Any) -> Any:
        return np.sum(np.where(x > 0, root(np.sqrt(x)), 0.0))

    with np.errstate(all="ignore"):
        with hg.use_backend("numpy"):
            expected = hg.grad(f)(x)
        gradient = hg.grad(f)
        with hg.use_backend("native"):
            for _ in range(3):
                np.testing.assert_allclose(gradient(x), expected, rtol=1e-13)


STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "sqrt": lambda a, b: np.sqrt(np.abs(a)),
    "log": lambda a, b: np.log(np.abs(a)),
    "divide": lambda a, b: a / b,
    "multiply": lambda a, b: a * b,
    "where": lambda a, b: np.where(a > b, a, 0.5 * b),
    "chosen": lambda a, b: np.where(b != 0, a, 1.0),
    "maximum": lambda a, b: np.maximum(a, b),
    "matmul": lambda a, b: a @ b,
    "turned": lambda a, b: a.T,
    "shifted": lambda a, b: np.concatenate([a[1:], b[:1]]),
    "sorted": lambda a, b: np.sort(a, axis=1),
    "row": lambda a, b: a - np.max(a, axis=0),
    "upper": lambda a, b: np.triu(a) + b,
    "once": lambda a, b: a[np.array([0, 2, 2])],
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=7),
    st.lists(
        st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.5, -0.3, 0.7]), min_size=9, max_size=9), min_size=2, max_size=3
    ),
    st.booleans(),
)
def test_random_programs_on_corners(steps: list[tuple[str, int, int]], points: list[list[float]], partly: bool) -> None:
    def program(x: Any) -> Any:
        values = [x]
        for name, i, j in steps:
            values.append(STEPS[name](values[i % len(values)], values[j % len(values)]))
        last = values[-1]
        return np.sum(last[1:, :2]) if partly else np.sum(last)

    gradient = hg.grad(program)
    with np.errstate(all="ignore"):
        for point in points:
            x = np.array(point).reshape(3, 3)
            with hg.use_backend("numpy"):
                expected = hg.grad(program)(x)
            for _ in range(2):
                with hg.use_backend("native"):
                    found = gradient(x)
                np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
