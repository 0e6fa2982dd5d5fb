"""Loops and branches as native steps: every test of loops again, with native code beside the interpreter."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import test_control
from agreeing import both
from numpy.testing import assert_allclose, assert_array_equal
from test_control import *  # noqa: F403 - all of them

import hopgrad as hg
from hopgrad.backend import NativePlan
from hopgrad.evaluate import Plan, evaluate
from hopgrad.graph.graph import reachable
from hopgrad.lower import straight

LOOPS = {"scan", "while_loop", "switch"}
SLOW = {"test_many_steps_take_seconds", "test_a_plain_loop_of_many_steps"}


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Whatever the interpreter computes of graphs with loops, native code computes too, once a plan."""
    interpreted = Plan.run
    seen: set[int] = set()
    kept: list[Plan] = []
    busy = threading.local()

    def run(self: Plan, inputs: Mapping[int, Any]) -> list[Any]:
        values = interpreted(self, inputs)
        if id(self) in seen or getattr(busy, "here", False):
            return values
        seen.add(id(self))
        kept.append(self)
        builder = self.builder
        if LOOPS.isdisjoint({builder.hop(n).name for n in reachable(builder, self.outputs, known=inputs)}):
            return values
        busy.here = True
        try:
            every = [both(NativePlan(builder, self.outputs, list(inputs)), inputs)]
            with as_programs():
                every.append(both(NativePlan(builder, self.outputs, list(inputs)), inputs))
        finally:
            busy.here = False
        for found in every:
            for one, other in zip(found, values, strict=True):
                assert np.shape(one) == np.shape(other)
                single = np.asarray(other).dtype == np.float32
                assert_allclose(one, other, 1e-4 if single else 1e-10, 1e-5 if single else 1e-12)
        return values

    if request.node.originalname not in SLOW:
        monkeypatch.setattr(Plan, "run", run)


@contextlib.contextmanager
def as_programs() -> Iterator[None]:
    """Has no loop written as one function."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(straight, "MOST", 0)
        yield


def natively(f: Any, *args: Any) -> tuple[list[Any], list[Any], NativePlan]:
    """Values by the interpreter and by native code, all of it native."""
    graph = hg.graph_of(f)(*args)
    leaves = [np.asarray(v) for v in hg.tree.flatten(args)[0] if np.asarray(v).dtype.kind == "f"]
    inputs = dict(zip(graph.inputs, leaves, strict=True))
    with np.errstate(all="ignore"):
        wanted = evaluate(graph.builder, graph.outputs, inputs)
    plan = NativePlan(graph.builder, graph.outputs, list(inputs))
    found = both(plan, inputs)
    assert plan.programs[0].is_native
    with as_programs():
        for one, other in zip(both(NativePlan(graph.builder, graph.outputs, list(inputs)), inputs), found, strict=True):
            single = np.asarray(other).dtype == np.float32
            assert_allclose(one, other, 1e-4 if single else 1e-10, 1e-5 if single else 1e-12)
    return wanted, found, plan


def same(f: Any, *args: Any, rtol: float = 1e-12, atol: float = 1e-13) -> NativePlan:
    """Native code agrees with the interpreter."""
    wanted, found, plan = natively(f, *args)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == np.asarray(other).dtype
        assert_allclose(one, other, rtol, atol)
    return plan


def with_gradients(f: Any) -> Any:
    """Value, gradient and a product with the second derivative."""

    def g(x: Any, *rest: Any) -> Any:
        value, first = hg.value_and_grad(f)(x, *rest)
        return value, first, hg.grad(lambda y: np.sum(np.sin(hg.grad(f)(y, *rest))))(x)

    return g


def network(x: Any, w: Any, reverse: bool = False) -> Any:
    def step(h: Any, row: Any) -> Any:
        h = np.tanh(w @ h + row)
        return h, np.sum(h**2)

    h, ys = hg.scan(step, np.zeros(w.shape[0], x.dtype), x, reverse=reverse)
    return np.sum(ys * ys) + np.sum(h)


W = np.array([[0.5, -0.2, 0.1], [0.3, 0.4, -0.6], [0.0, 0.2, 0.9]])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_a_network(steps: int, dtype: Any, reverse: bool) -> None:
    x = np.random.default_rng(steps).standard_normal((steps, 3)).astype(dtype)
    f = with_gradients(lambda x, w: network(x, w, reverse))
    if dtype == np.float64:
        same(f, x, W)
    else:
        same(f, x, W.astype(dtype), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", ["rows", "columns", "reversed", "strided", "Fortran"])
def test_rows_that_lie_anywhere(way: str) -> None:
    x = np.random.default_rng(0).standard_normal((12, 6))
    x = {
        "rows": x[:6, :3], "columns": x.T[:, :3], "reversed": x[::-1, 2::-1], "strided": x[::2, ::2],
        "Fortran": np.asfortranarray(x)[:, 1:4],
    }[way]  # fmt: skip
    same(with_gradients(network), x, W.T)


def test_carries_that_change_places() -> None:
    def f(x: Any) -> Any:
        (a, b, c), ys = hg.scan(lambda s, row: ((s[1], s[2], s[0] * row), s[0] - s[1]), (x[0], x[1], x[2]), x)
        return np.sum(np.sin(ys)) + a * 3.0 + b * c

    for n in (3, 4, 5):
        same(with_gradients(f), np.linspace(0.5, 1.5, n))


def test_carries_that_nothing_reads_or_that_never_change() -> None:
    def f(x: Any) -> Any:
        (a, b, c), _ = hg.scan(lambda s, row: ((s[0], row * 2.0, s[2] + s[0]), None), (x[0], x[1], 0.0), x)
        return a * b + c

    for n in (2, 3):
        same(with_gradients(f), np.linspace(0.5, 1.5, n))


def test_results_that_are_rows_or_constants() -> None:
    def f(x: Any) -> Any:
        c, (rows, ones, before) = hg.scan(lambda c, row: (c + row, (row, np.ones(2), c)), x[0], x)
        return c, rows, ones, before

    same(f, np.arange(6.0).reshape(3, 2))


@pytest.mark.parametrize("bound", [None, 40])
def test_a_loop_that_ends_by_itself(bound: int | None) -> None:
    def root(a: Any) -> Any:
        return hg.while_loop(lambda x: np.abs(x * x - a) > 1e-10, lambda x: (x + a / x) / 2.0, a, max_steps=bound)

    for a in (1.0, 2.0, 1e6):
        if bound is None:
            same(lambda a: hg.jvp(root, (a,), (1.0,)), a)
        else:
            same(with_gradients(root), a)


def test_too_many_steps_are_an_error() -> None:
    f = hg.compile(lambda x: hg.while_loop(lambda s: s[0] > 1.0, lambda s: (s[0] / 2.0,), (x,), max_steps=5)[0])
    with hg.use_backend("native"):
        assert f(8.0) == f(8.0) == 1.0
        with pytest.raises(hg.LoopError, match="after max_steps=5"):
            f(1e9)
        assert f(8.0) == 1.0


@pytest.mark.parametrize("index", [-3, 0, 1, 2, 9])
def test_branches(index: int) -> None:
    def f(x: Any, k: Any) -> Any:
        branches = [lambda x: np.sum(np.sin(x)), lambda x: x[0] * 2.0, lambda x: np.prod(x)]
        return hg.switch(k, branches, x)

    x = np.array([0.3, 0.7, -1.2])

    def g(x: Any, k: Any) -> Any:
        return with_gradients(lambda x: f(x, np.rint(k).astype(int)))(x)

    same(g, x, float(index))


def test_a_branch_inside_a_loop_inside_a_loop() -> None:
    def f(x: Any) -> Any:
        def inner(c: Any, v: Any) -> Any:
            c = hg.cond(c > 1.0, lambda c: np.sqrt(c) * v, lambda c: c + v * v, c)
            return c, c * 0.5

        def outer(c: Any, row: Any) -> Any:
            c, ys = hg.scan(inner, c, row)
            return c, np.sum(ys)

        c, ys = hg.scan(outer, x[0, 0], x)
        return c + np.sum(ys)

    same(with_gradients(f), np.random.default_rng(1).uniform(0.2, 1.0, (5, 4)))


def test_what_does_not_change_is_computed_once() -> None:
    def f(w: Any, x: Any) -> Any:
        return hg.grad(lambda w: np.sum(hg.scan(lambda c, row: (c**w + row, None), np.ones(3), x)[0]))(w)

    with as_programs():
        plan = same(f, np.array([0.5, 2.0, 3.0]), np.ones((4, 3)))
        steps = [getattr(step, "native", None) for step in plan.programs[0].schedule.steps]
    inner = [program for native in steps for program in getattr(native, "programs", ())]
    assert any(once.flops > 0 for once in inner[::2])  # w - 1, of the slope of c**w


def test_a_library_that_fails_in_a_loop_leaves_it_to_numpy() -> None:
    def f(m: Any) -> Any:
        return hg.scan(lambda c, row: (c + np.linalg.solve(row, c), None), np.ones(2), m)[0]

    g = hg.compile(f)
    good = np.stack([np.eye(2) * k for k in (1.0, 2.0, 3.0)])
    bad = good * np.array([1.0, 0.0, 1.0])[:, None, None]
    with hg.use_backend("native"):
        assert_allclose(g(good), g(good))
        with pytest.raises(np.linalg.LinAlgError):
            g(bad)


def test_loops_have_an_entry_point_and_a_report() -> None:
    with hg.use_backend("native"), as_programs():
        g = hg.value_and_grad(network)
        x = np.random.default_rng(3).standard_normal((20, 3))
        first, second = g(x, W), g(x, W)
    assert_allclose(first[0], second[0])
    assert_allclose(first[1], second[1])
    assert len(g.entries) == 1
    assert "called through an entry point" in g.report()
    assert "scan of 20 steps, each of" in g.plan
    assert any("tanh" in text for text in g.kernels)
    assert "call i32" in g.llvm


def test_threads_share_a_loop() -> None:
    g = hg.grad(network)
    rng = np.random.default_rng(4)
    inputs = [rng.standard_normal((30, 3)) for _ in range(8)]
    wrong: list[int] = []
    with hg.use_backend("native"):
        wanted = [hg.grad(network, backend="numpy")(x, W) for x in inputs]
        g(inputs[0], W)

    def work(k: int) -> None:
        with hg.use_backend("native"):
            wrong.extend(k for _ in range(200) if not np.allclose(g(inputs[k], W), wanted[k], 1e-12))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_many_steps_natively() -> None:
    rows = np.linspace(0.0, 1.0, 100_000)

    def f(x: Any) -> Any:
        return hg.scan(lambda c, row: (0.999 * c + x * row, None), 0.0, rows)[0]

    def g(x: Any) -> Any:
        return hg.value_and_grad(f)(x)

    _, found, _ = natively(g, 2.0)
    assert_allclose(found[0], 2 * found[1], 1e-12)


def test_rows_of_steps_that_were_not_made_are_zero() -> None:
    def f(x: Any) -> Any:
        def g(x: Any) -> Any:
            return hg.while_loop(lambda s: s < 10.0, lambda s: s * s, x, max_steps=9)

        return hg.jacobian(hg.grad(g), mode="reverse")(x)

    for x in (1.5, 3.0, 20.0):
        same(f, x)
    assert_array_equal(*[np.shape(v) for v in natively(f, 3.0)[:2]])
    assert test_control.loop is loop  # noqa: F405 - the helper of the tests above
