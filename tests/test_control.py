"""Loops and branches of one hop: they give what the same Python code gives, and so do their derivatives."""

from __future__ import annotations

import doctest
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hopgrad as hg
from hopgrad.evaluate import Plan, evaluate
from hopgrad.graph.graph import Graph
from hopgrad.show.schema import from_json

RNG = np.random.default_rng(0)
W = RNG.normal(size=(3, 3))
ROWS = RNG.normal(size=(5, 3))


def loop(f: Callable[..., Any], init: Any, xs: Any = None, length: int | None = None, reverse: bool = False) -> Any:
    """What scan does, in Python."""
    rows, structure = hg.tree.flatten(xs)
    steps = len(rows[0]) if rows else length
    assert steps is not None
    found = []
    for t in range(steps)[:: -1 if reverse else 1]:
        init, y = f(init, hg.tree.unflatten(structure, [row[t] for row in rows]))
        found.append(y)
    found = found[::-1] if reverse else found
    return init, hg.tree.map(lambda *parts: np.stack(parts), *found)


def agree(
    first: Callable[..., Any], second: Callable[..., Any], *args: Any, rtol: float = 1e-10, order: int = 2
) -> None:
    """Two functions have the same value and the same derivatives, in both modes."""
    with np.errstate(all="ignore"):
        assert_allclose(first(*args), second(*args), rtol)
        places = tuple(range(len(args)))
        want = hg.grad(second, places)(*args)
        for got, wanted, arg in zip(hg.grad(first, places)(*args), want, args, strict=True):
            assert np.shape(got) == np.shape(arg)
            assert np.asarray(got).dtype == np.asarray(arg).dtype
            assert_allclose(got, wanted, rtol, 1e-12)
        for place in places:
            forward = hg.jacobian(first, place, mode="forward")(*args)
            assert_allclose(forward, want[place], rtol, 1e-12)
        if order > 1:
            for mode in ("forward", "reverse"):
                got = hg.jacobian(hg.grad(first), mode=mode)(*args)
                assert_allclose(got, hg.jacobian(hg.grad(second), mode=mode)(*args), rtol, 1e-10)
            got = hg.jacobian(hg.jacobian(first, mode="forward"), mode="reverse")(*args)
            assert_allclose(got, hg.hessian(second)(*args), rtol, 1e-10)


def hops(graph: Graph) -> list[str]:
    return [node.hop.name for node in graph]


# -- scan --------------------------------------------------------------------------------------------------------------


def recurrent(scan: Callable[..., Any]) -> Callable[..., Any]:
    def f(w: Any, h: Any, rows: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = np.tanh(w @ h + x)
            return h, np.sum(h**2)

        h, ys = scan(step, h, rows)
        return np.sum(ys * np.arange(1.0, len(rows) + 1)) + h[0]

    return f


def test_a_recurrent_network() -> None:
    agree(recurrent(hg.scan), recurrent(loop), W, np.ones(3), ROWS)


def test_against_finite_differences() -> None:
    hg.check_grads(recurrent(hg.scan), (W, np.ones(3), ROWS), order=2)


def test_the_result_has_the_kinds_of_numpy() -> None:
    carry, ys = hg.scan(lambda c, x: (c + x, {"y": c * x, "n": (c > 1, None)}), 0.0, np.array([1.0, 2.0]))
    assert carry == 3.0
    assert_array_equal(ys["y"], [0.0, 2.0])
    assert_array_equal(ys["n"][0], [False, False])
    assert ys["n"][1] is None


@pytest.mark.parametrize("reverse", [False, True])
def test_nested_structures(reverse: bool) -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(a: Any, b: Any) -> Any:
            def step(carry: Any, x: Any) -> Any:
                u, (v, n) = carry["u"], carry["rest"]
                u = np.sin(u) * x["p"] + a[0]
                v = v * 0.5 + u * x["q"][0]
                return {"u": u, "rest": (v, n + 1)}, (u * v, [n])

            init = {"u": a[1], "rest": (b * 2.0, 3)}
            carry, (products, [numbers]) = scan(step, init, {"p": a, "q": (np.cos(b),)}, reverse=reverse)
            return carry["u"] * 3.0 + np.sum(carry["rest"][0]) + np.sum(products * numbers[:, None])

        return f

    agree(with_(hg.scan), with_(loop), np.array([0.3, 0.8, -0.5]), np.array([0.1, 0.9, 0.7]))


def test_without_xs() -> None:
    def f(x: Any) -> Any:
        return hg.scan(lambda c, _: (np.sin(c) + x, c), x, length=4)[0]

    def g(x: Any) -> Any:
        return loop(lambda c, _: (np.sin(c) + x, c), x, length=4)[0]

    agree(f, g, 0.7)


def test_without_carry() -> None:
    def f(x: Any) -> Any:
        return np.sum(hg.scan(lambda _, row: (None, np.prod(row)), None, x)[1])

    agree(f, lambda x: np.sum(np.prod(x, 1)), ROWS)


def test_without_anything_that_changes() -> None:
    assert hg.scan(lambda c, x: (c, x), None, None, length=3) == (None, None)
    carry, ys = hg.scan(lambda c, x: (None, 2.0), None, None, length=3)
    assert carry is None
    assert_array_equal(ys, [2.0, 2.0, 2.0])


def test_no_steps() -> None:
    def f(x: Any) -> Any:
        carry, ys = hg.scan(lambda c, row: (np.sqrt(c) * row[0], row * c), x, np.zeros((0, 2)))
        assert ys.shape == (0, 2)
        return carry * 2.0 + np.sum(ys)

    assert f(3.0) == 6.0
    assert hg.grad(f)(3.0) == 2.0
    assert hg.jvp(f, (3.0,), (1.0,)) == (6.0, 2.0)
    assert hg.hessian(f)(3.0) == 0.0


def test_no_steps_and_an_infinite_slope_upstream() -> None:
    def f(x: Any) -> Any:
        r = np.sqrt(x)
        return hg.scan(lambda c, row: (c * r + row, None), x, np.zeros(0))[0]

    assert hg.grad(f)(0.0) == 1.0


def test_all_elements_come_back() -> None:
    def f(x: Any) -> Any:
        return hg.scan(lambda c, row: (c * row, c), 1.0, x)

    (carry, ys), pullback = hg.vjp(f, np.array([2.0, 3.0, 4.0]))
    assert (carry, list(ys)) == (24.0, [1.0, 2.0, 6.0])
    assert_allclose(pullback((1.0, np.zeros(3)))[0], [12.0, 8.0, 6.0])
    assert_allclose(pullback((0.0, np.array([0.0, 0.0, 1.0])))[0], [3.0, 2.0, 0.0])


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobians_of_the_stacked_results(mode: Any) -> None:
    def f(x: Any) -> Any:
        return hg.scan(lambda c, row: (np.sin(c * row), c * row), x[0], x)[1]

    def g(x: Any) -> Any:
        return loop(lambda c, row: (np.sin(c * row), c * row), x[0], x)[1]

    x = np.array([0.5, 1.5, -0.7, 2.0])
    assert_allclose(hg.jacobian(f, mode=mode)(x), hg.jacobian(g, mode=mode)(x), 1e-12)


def test_integers_and_booleans_are_carried_along() -> None:
    def f(x: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            total, best, seen, count = carry
            better = row > best
            return (total + np.where(better, row**2, 0.0), np.maximum(best, row), seen | better, count + better), count

        (total, best, seen, count), counts = hg.scan(step, (0.0, 0.5, False, 0), x)
        assert seen.dtype == bool
        assert count.dtype == counts.dtype == np.int64
        return total + best * count

    x = np.array([0.1, 0.9, 0.3, 1.2])
    assert_allclose(f(x), 0.9**2 + 1.2**2 + 2.4)
    assert_allclose(hg.grad(f)(x), [0, 1.8, 0, 4.4])


def test_float32() -> None:
    def f(x: Any) -> Any:
        carry, ys = hg.scan(lambda c, row: (c * np.float32(0.5) + row, c * 2), np.float32(1.0), x)
        assert carry.dtype == ys.dtype == np.float32
        return carry + np.sum(ys)

    x = np.array([1.0, 2.0, 3.0], np.float32)
    gradient = hg.grad(f)(x)
    assert gradient.dtype == np.float32
    assert_allclose(gradient, [3.25, 2.5, 1.0])
    hg.check_grads(f, (x,))


def test_python_numbers_adapt() -> None:
    single = np.ones(3, np.float32)
    carry, _ = hg.scan(lambda c, x: (c + x, None), 0.0, single)
    assert carry.dtype == np.float32
    carry, _ = hg.scan(lambda c, x: (c + 0.5, None), 0, None, length=3)
    assert type(carry) is float
    assert carry == 1.5
    carry, _ = hg.scan(lambda c, x: (0.0, None), single[0], None, length=3)
    assert carry.dtype == np.float32
    carry, _ = hg.scan(lambda c, x: (c + 1, None), 0, None, length=3)
    assert type(carry) is int
    assert carry == 3


def test_captured_values_and_loop_invariants() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any, scale: Any) -> Any:
            big = np.exp(scale)
            return scan(lambda c, row: (c + row * np.sin(big * 2.0) * scale, None), 0.0, x)[0] * big

        return f

    agree(with_(hg.scan), with_(loop), np.array([0.5, 1.0]), 0.3)


def test_a_body_is_traced_once() -> None:
    calls = []

    def step(c: Any, x: Any) -> Any:
        calls.append(1)
        return c * x, c

    hg.scan(step, np.float64(1.0), np.ones(50))
    assert len(calls) == 1


def sizes(graph: Graph) -> int:
    return len(graph) + sum(map(sizes, graph.subgraphs))


@pytest.mark.parametrize("f", [hg.graph_of, lambda f: hg.graph_of(hg.grad(f))])
def test_the_graph_does_not_grow_with_the_steps(f: Any) -> None:
    def g(x: Any, n: int) -> Any:
        return hg.fori_loop(0, n, lambda i, c: np.sin(c) * x + i, x)

    few, many = f(lambda x: g(x, 3))(0.5), f(lambda x: g(x, 3000))(0.5)
    few.check()
    assert sizes(few) == sizes(many)
    assert "scan" in hops(many)


def test_many_steps_take_seconds() -> None:
    n = 100_000
    rows = np.linspace(0.0, 1.0, n)

    def f(x: Any) -> Any:
        return hg.scan(lambda c, row: (0.999 * c + x * row, None), 0.0, rows)[0]

    start = time.perf_counter()
    value, slope = hg.value_and_grad(f)(2.0)
    assert time.perf_counter() - start < 20
    assert_allclose(value, 2 * slope, 1e-12)


def test_a_plain_loop_of_many_steps() -> None:
    def f(x: Any) -> Any:
        c = 0.0
        for k in range(100_000):
            c = c * 0.999 + x * (k & 3)
        return c

    value, slope = hg.value_and_grad(f)(2.0)
    assert_allclose(value, 2 * slope, 1e-12)


# -- zeros that must stay zeros ----------------------------------------------------------------------------------------


def test_unused_results_do_not_meet_infinite_slopes() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            def step(carry: Any, row: Any) -> Any:
                a, b = carry
                return (a * row + 1.0, np.sqrt(b)), np.sqrt(b)

            (a, _), _ = scan(step, (x, x - 1.0), np.array([2.0, 3.0]))
            return a

        return f

    agree(with_(hg.scan), with_(loop), 1.0)


def test_untaken_elements_stay_zero_through_a_loop() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            def step(c: Any, row: Any) -> Any:
                root = np.sqrt(c)
                return np.where(row > 0, c * row, root), root[1]

            c, roots = scan(step, x, np.array([1.0, 0.5, 2.0]))
            return np.sum(c) + np.sum(roots)

        return f

    x = np.array([0.0, 4.0])
    agree(with_(hg.scan), with_(loop), x, order=1)
    assert_allclose(hg.grad(with_(hg.scan))(x)[0], 1.0)


def test_a_value_that_is_overwritten_later() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            def step(c: Any, row: Any) -> Any:
                return np.where(row > 0, np.array([row, 2.0]), np.sqrt(c)), None

            return np.sum(scan(step, x, np.array([-1.0, 1.0]))[0])

        return f

    agree(with_(hg.scan), with_(loop), np.array([0.0, 1.0]), order=1)


def test_captured_values_that_only_some_elements_use() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            root = np.sqrt(x)
            return scan(lambda c, row: (c + root[1] * row, None), 0.0, np.array([1.0, 2.0]))[0]

        return f

    agree(with_(hg.scan), with_(loop), np.array([0.0, 4.0]), order=1)
    assert_allclose(hg.grad(with_(hg.scan))(np.array([0.0, 4.0])), [0.0, 0.75])


def test_rows_that_only_some_elements_use() -> None:
    def f(x: Any) -> Any:
        return hg.scan(lambda c, row: (c + row[1], None), 0.0, np.sqrt(x))[0]

    assert_allclose(hg.grad(f)(np.array([[0.0, 1.0], [0.0, 4.0]])), [[0.0, 0.5], [0.0, 0.25]])


def test_forward_mode_of_a_carry_that_starts_as_a_constant() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x: scan(lambda c, row: (np.sqrt(c) + x * row, None), 0.0, np.array([1.0, 2.0, 3.0]))[0]

    agree(with_(hg.scan), with_(loop), 2.0)


def test_forward_mode_of_a_carry_that_loses_its_tangent() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            (a, b, c), _ = scan(lambda s, row: ((s[1], np.exp(s[1]), s[2] + s[0] * row), None), (x, 1.0, x), np.ones(4))
            return a * 2.0 + c + np.cos(b)

        return f

    with np.errstate(all="ignore"):
        assert_allclose(*[hg.jvp(f, (2.0,), (1.0,))[1] for f in (with_(hg.scan), with_(loop))])
        assert_allclose(*[hg.grad(f)(2.0) for f in (with_(hg.scan), with_(loop))])


@pytest.mark.parametrize("reverse", [False, True])
def test_ties_with_a_carry_that_starts_as_a_constant(reverse: bool) -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            def step(best: Any, row: Any) -> Any:
                best = np.maximum(best, row * x[0])
                return best, best * row

            best, ys = scan(step, 0.0, x, reverse=reverse)
            return best + np.sum(ys * np.arange(1.0, 5.0))

        return f

    for x in (np.zeros(4), np.array([1.0, 1.0, 0.0, 1.0]), np.array([0.0, 2.0, 2.0, 0.0])):
        agree(with_(hg.scan), with_(loop), x)


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_carries_that_become_active_one_after_the_other(length: int) -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            def step(s: Any, row: Any) -> Any:
                a, b, c, d = s
                return (np.maximum(x * row, a * 0.9), np.hypot(a, b), np.minimum(b, c) * x, c * d), (b * c, d)

            s, ys = scan(step, (0.5, 2.0, 3.0, x * x), np.linspace(0.3, 1.5, length))
            return sum(np.sin(v) for v in s) + np.sum(ys[0]) + np.sum(np.cos(ys[1]))

        return f

    agree(with_(hg.scan), with_(loop), 0.8)


def test_carries_without_any_cotangent() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            (a, _), ys = scan(lambda s, row: ((row, np.minimum(s[1], row)), row), (x, x * 2.0), np.array([1.0, 2.0]))
            return a + x + np.sum(ys)

        return f

    agree(with_(hg.scan), with_(loop), 0.5)


def test_carries_that_take_turns() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x: scan(lambda s, row: ((s[1] * row, np.sin(s[0])), None), (x, 2.0), np.arange(1.0, 6.0))[0][0]

    agree(with_(hg.scan), with_(loop), 0.7)


def test_overflow_under_a_fraction_bar() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x: scan(lambda c, row: (1 / (1 + np.exp(-c * row)), None), x, np.array([-800.0, 2.0]))[0]

    agree(with_(hg.scan), with_(loop), 1.0)


# -- fori_loop ---------------------------------------------------------------------------------------------------------


def test_fori_loop() -> None:
    def f(x: Any) -> Any:
        return hg.fori_loop(
            2, 6, lambda i, c: {"a": c["a"] * x + i, "b": c["b"] + np.sin(c["a"] * i)}, {"a": x, "b": 0.0}
        )["b"]

    def g(x: Any) -> Any:
        a, b = x, 0.0
        for i in range(2, 6):
            a, b = a * x + i, b + np.sin(a * i)
        return b

    agree(f, g, 0.3)


def test_the_counter_acts_as_a_python_int() -> None:
    value = hg.fori_loop(0, 3, lambda i, c: c * i + i, np.float32(1.0))
    assert value.dtype == np.float32
    assert hg.fori_loop(5, 2, lambda i, c: c * 2, 1.5) == 1.5
    rows = np.arange(6.0).reshape(3, 2)
    assert_allclose(hg.fori_loop(0, 3, lambda i, c: c + rows[i] * 2, np.zeros(2)), [12.0, 18.0])


def test_indexing_by_the_counter_is_differentiable() -> None:
    def f(x: Any) -> Any:
        return hg.fori_loop(0, 4, lambda i, c: c * 0.5 + np.sin(x[i]), 0.0)

    def g(x: Any) -> Any:
        c = 0.0
        for i in range(4):
            c = c * 0.5 + np.sin(x[i])
        return c

    agree(f, g, np.array([0.1, 0.2, 0.3, 0.4]))


def test_writing_to_the_carry_by_the_counter() -> None:
    def f(x: Any) -> Any:
        def step(i: Any, c: Any) -> Any:
            c[i] = x * i
            return c

        start = np.ones(4)
        found = hg.fori_loop(0, 3, step, start)
        assert_array_equal(start, np.ones(4))
        return np.sum(found**2)

    agree(f, lambda x: 5 * x**2 + 1, 0.7)


def test_traced_bounds() -> None:
    def f(x: Any) -> Any:
        return hg.fori_loop(0, np.argmax(x), lambda i, c: c * x[0], 1.0)

    x = np.array([3.0, 1.0, 5.0, 2.0])
    assert f(x) == 9.0
    assert_allclose(hg.grad(f)(x), [6.0, 0, 0, 0])


def test_bounds_that_an_outer_loop_decides() -> None:
    def f(x: Any) -> Any:
        return hg.scan(lambda n, row: (n + 1, hg.fori_loop(0, n, lambda i, c: c * row, 1.0)), 0, x)[1]

    x = np.array([2.0, 3.0, 4.0])
    assert_allclose(f(x), [1.0, 3.0, 16.0])
    assert_allclose(hg.jvp(f, (x,), (np.ones(3),))[1], [0.0, 1.0, 8.0])
    with pytest.raises(hg.NotDifferentiableError, match="max_steps"):
        hg.vjp(f, x)[1](np.ones(3))


# -- while_loop --------------------------------------------------------------------------------------------------------


def newton(while_loop: Callable[..., Any]) -> Callable[..., Any]:
    def f(a: Any) -> Any:
        def step(carry: Any) -> Any:
            x, n = carry
            return 0.5 * (x + a / x), n + 1

        x, n = while_loop(lambda carry: np.abs(carry[0] ** 2 - a) > 1e-3, step, (a, 0))
        return x * n

    return f


def plain_while(cond: Any, body: Any, init: Any) -> Any:
    while cond(init):
        init = body(init)
    return init


def bounded(cond: Any, body: Any, init: Any) -> Any:
    return hg.while_loop(cond, body, init, max_steps=50)


def test_while_loop() -> None:
    agree(newton(bounded), newton(plain_while), 7.3)


def test_while_loop_forward() -> None:
    f, g = newton(hg.while_loop), newton(plain_while)
    assert f(7.3) == g(7.3)
    assert_allclose(hg.jvp(f, (7.3,), (1.0,)), hg.jvp(g, (7.3,), (1.0,)))
    forward = hg.jacobian(hg.jacobian(f, mode="forward"), mode="forward")(7.3)
    assert_allclose(forward, hg.hessian(g)(7.3), 1e-9)


def test_while_loop_backwards_needs_a_bound() -> None:
    with pytest.raises(hg.NotDifferentiableError, match=r"max_steps.*fori_loop.*scan[\s\S]*test_control\.py"):
        hg.grad(newton(hg.while_loop))(7.3)


def test_a_while_loop_that_needs_more_steps() -> None:
    def f(x: Any) -> Any:
        return hg.while_loop(lambda c: c < 100.0, lambda c: c * 2.0, x, max_steps=3)

    assert f(60.0) == 120.0
    assert f(13.0) == 104.0
    assert hg.grad(f)(13.0) == 8.0
    with pytest.raises(hg.LoopError, match="max_steps=3"):
        f(1.0)
    with pytest.raises(hg.LoopError, match="max_steps=3"):
        hg.grad(f)(1.0)


def test_a_while_loop_without_a_step() -> None:
    def f(x: Any) -> Any:
        root = np.sqrt(x)
        return hg.while_loop(lambda c: c > 1.0, lambda c: c * root, x, max_steps=5)

    assert hg.grad(f)(0.0) == 1.0
    assert f(0.5) == 0.5
    assert hg.hessian(f)(0.5) == 0.0


def test_a_while_loop_with_arrays_and_captured_values() -> None:
    def with_(while_loop: Callable[..., Any]) -> Callable[..., Any]:
        def f(w: Any, x: Any) -> Any:
            found = while_loop(lambda c: np.sum(c["x"]) < 50.0, lambda c: {"x": np.exp(0.2 * w) @ c["x"]}, {"x": x})
            return np.sum(found["x"] ** 2)

        return f

    agree(with_(bounded), with_(plain_while), np.array([[0.1, 0.4], [0.3, 0.2]]), np.array([1.0, 2.0]))


def test_a_large_bound_costs_nothing() -> None:
    def f(x: Any) -> Any:
        return hg.while_loop(lambda c: c < 10.0, lambda c: c * x, x, max_steps=10**9)

    assert_allclose(hg.grad(f)(2.0), 4 * 2.0**3)


# -- cond and switch ---------------------------------------------------------------------------------------------------


def test_cond() -> None:
    def f(x: Any) -> Any:
        return hg.cond(x > 1.0, lambda x: np.sin(x) * x, lambda x: np.cos(x), x)

    def g(x: Any) -> Any:
        return np.sin(x) * x if x > 1.0 else np.cos(x)

    for x in (0.5, 2.0):
        agree(f, g, x)


def test_cond_of_captured_values() -> None:
    def f(x: Any, y: Any) -> Any:
        z = x * y
        return hg.cond(z > 1.0, lambda: z * x, lambda: np.sqrt(y))

    def g(x: Any, y: Any) -> Any:
        z = x * y
        return z * x if z > 1.0 else np.sqrt(y)

    agree(f, g, 0.5, 0.7)
    agree(f, g, 1.5, 0.7)


def test_only_the_taken_branch_is_run() -> None:
    def f(x: Any, flag: Any) -> Any:
        return hg.cond(flag, lambda: np.log(x - 1.0), lambda: x * 2.0)

    with np.errstate(divide="raise"):
        assert f(1.0, False) == 2.0
        assert hg.grad(f)(1.0, False) == 2.0
        assert hg.value_and_grad(lambda x: f(x, x < 0))(1.0) == (2.0, 2.0)
        assert hg.grad(hg.grad(lambda x: f(x, x < 0)))(1.0) == 0.0
        with pytest.raises(FloatingPointError):
            f(1.0, True)
        with pytest.raises(FloatingPointError):
            hg.value_and_grad(lambda x: f(x, x > 0))(1.0)


def test_an_untaken_branch_does_not_meet_infinite_slopes() -> None:
    def f(x: Any) -> Any:
        root = np.sqrt(x)
        return hg.cond(x > 0.0, lambda: root, lambda: x * 3.0)

    assert hg.grad(f)(0.0) == 3.0
    assert hg.grad(f)(4.0) == 0.25


def test_untaken_branches_in_loops() -> None:
    def with_(scan: Callable[..., Any], cond: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            root = np.sqrt(x)

            def step(c: Any, row: Any) -> Any:
                return cond(row > 1.0, lambda c: c * x[1] + row, lambda c: c + root[1], c), c

            c, ys = scan(step, x[1], np.array([0.5, 2.0, 3.0]))
            return c + np.sum(ys)

        return f

    def plain(pred: Any, yes: Any, no: Any, *args: Any) -> Any:
        return yes(*args) if pred else no(*args)

    agree(with_(hg.scan, hg.cond), with_(loop, plain), np.array([0.0, 2.0]), order=1)


def test_switch() -> None:
    def f(x: Any) -> Any:
        branches: list[Any] = [lambda x: x**2, np.sin, lambda x: (x + 1.0) ** 3]
        return sum(hg.switch(k, branches, x) for k in (-3, 0, 1, 2, 7)) + hg.switch(np.argmax([x, x + 1]), branches, x)

    def g(x: Any) -> Any:
        return 2 * x**2 + 2 * np.sin(x) + 2 * (x + 1.0) ** 3

    agree(f, g, 0.7)


def test_branches_with_nested_results() -> None:
    def f(x: Any) -> Any:
        found = hg.cond(
            np.sum(x) > 0, lambda d: {"a": d["a"] * 2, "b": 1}, lambda d: {"a": d["b"], "b": 2.5}, {"a": x, "b": x**2}
        )
        return np.sum(found["a"]) * found["b"]

    assert_allclose(hg.grad(f)(np.array([1.0, 2.0])), [2.0, 2.0])
    assert_allclose(hg.grad(f)(np.array([-1.0, -2.0])), [-5.0, -10.0])


def test_python_numbers_in_branches_adapt() -> None:
    def f(x: Any) -> Any:
        first = hg.cond(x > 1, lambda: x, lambda: 0.0)
        second = hg.cond(x > 9, lambda: x, lambda: 0)
        third = hg.cond(x > 1, lambda: 1, lambda: 0.5)
        assert first.dtype == second.dtype == np.float32
        assert isinstance(third, float)
        return first + second + third * x

    assert hg.grad(f)(np.float32(2.0)) == 2.0


def test_a_plain_condition_is_a_plain_call() -> None:
    log = []
    assert hg.cond(np.array([True]), lambda x: log.append(x), lambda x: log.append(-x), 3) is None
    assert hg.switch(np.int8(5), [log.append, lambda x: log.append(x + 1)], 3) is None
    assert log == [3, 4]


# -- nesting -----------------------------------------------------------------------------------------------------------


def test_a_loop_in_a_loop() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any, w: Any) -> Any:
            def outer(c: Any, row: Any) -> Any:
                inner, ys = scan(lambda d, e: (np.sin(d * e) + w * c, d * row), c, x)
                return inner * w, np.sum(ys)

            c, ys = scan(outer, 0.3, x)
            return c + np.sum(ys)

        return f

    agree(with_(hg.scan), with_(loop), np.array([0.5, 1.5, -0.4]), 0.8)


def test_a_gradient_in_a_loop() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def f(x: Any, rate: Any) -> Any:
            def step(p: Any, row: Any) -> Any:
                return p - rate * hg.grad(lambda p: np.sum((np.sin(p) * row - x) ** 2))(p), None

            return np.sum(scan(step, x * 0.5, np.array([1.0, 2.0, 0.5]))[0] ** 2)

        return f

    agree(with_(hg.scan), with_(loop), np.array([0.5, 0.2]), 0.1)


def test_a_loop_in_a_gradient_in_a_loop() -> None:
    def with_(scan: Callable[..., Any]) -> Callable[..., Any]:
        def energy(p: Any, x: Any) -> Any:
            return scan(lambda c, row: (c * p + np.cos(row * p), None), p, x)[0]

        def f(x: Any) -> Any:
            return scan(lambda p, row: (p - 0.1 * hg.grad(energy)(p, x * row), p), x[0], x)[0]

        return f

    agree(with_(hg.scan), with_(loop), np.array([0.5, 0.2, 0.3]))


def test_a_while_loop_in_a_scan_in_a_cond() -> None:
    def with_(scan: Any, while_loop: Any, cond: Any) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            def step(c: Any, row: Any) -> Any:
                return while_loop(lambda v: v < 3.0, lambda v: v * (1.0 + row**2), c) * 0.25, None

            return cond(x[0] > 0, lambda x: scan(step, x[0], x)[0], lambda x: x[1] * 2.0, x)

        return f

    def plain(pred: Any, yes: Any, no: Any, *args: Any) -> Any:
        return yes(*args) if pred else no(*args)

    for x in (np.array([0.5, 0.9, 0.7]), np.array([-0.5, 0.9, 0.7])):
        agree(with_(hg.scan, bounded, hg.cond), with_(loop, plain_while, plain), x)


def test_third_derivatives() -> None:
    def f(x: Any) -> Any:
        return hg.fori_loop(0, 3, lambda i, c: c * x, x)

    assert_allclose(hg.grad(hg.grad(hg.grad(f)))(2.0), 24 * 2.0)


def test_products_with_the_hessian() -> None:
    f, g = recurrent(hg.scan), recurrent(loop)
    v = np.ones((3, 3))
    assert_allclose(hg.hvp(f)(W, v, np.ones(3), ROWS), hg.hvp(g)(W, v, np.ones(3), ROWS), 1e-10)


# -- writing, keeping, asking ------------------------------------------------------------------------------------------


def test_arrays_made_in_the_body_can_be_filled() -> None:
    def f(x: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            both = np.zeros(2)
            both[0] = c
            both[1] = row * x
            return both[0] * both[1], both

        return np.sum(hg.scan(step, 1.0, np.array([1.0, 2.0]))[1])

    agree(f, lambda x: 1 + x + x + 2 * x, 0.5)


@pytest.mark.parametrize("value", [1.0, "x"])
def test_arrays_from_outside_cannot_be_written_to(value: Any) -> None:
    def f(x: Any) -> Any:
        buffer = np.zeros(3)

        def step(i: Any, c: Any) -> Any:
            buffer[0] = x if value == "x" else value
            return c + buffer[0]

        return hg.fori_loop(0, 3, step, x)

    with pytest.raises(hg.TraceError, match="made outside of it"):
        hg.grad(f)(1.0)


def test_outer_views_and_copies() -> None:
    def f(x: Any, copied: bool) -> Any:
        def step(c: Any, row: Any) -> Any:
            part = x.copy()[:2] if copied else x[:2]
            part[0] = c
            return np.sum(part), None

        return hg.scan(step, 0.5, np.ones(2))[0]

    x = np.array([1.0, 2.0, 3.0])
    assert_allclose(hg.grad(lambda x: f(x, True))(x), [0.0, 2.0, 0.0])
    with pytest.raises(hg.TraceError, match="made outside of it"):
        hg.grad(lambda x: f(x, False))(x)


def test_rows_and_operands_are_read_only() -> None:
    def step(c: Any, row: Any) -> Any:
        row[0] = c
        return c, None

    with pytest.raises(hg.TraceError, match="a row of xs is not supported: copy it"):
        hg.scan(step, 1.0, np.ones((2, 2)))


def test_branching_in_a_body_is_refused() -> None:
    with pytest.raises(hg.TraceError, match="cond"):
        hg.scan(lambda c, x: (c if c > 0 else x, None), 1.0, np.ones(3))


def test_values_kept_from_a_body_are_refused() -> None:
    kept = []

    def f(x: Any) -> Any:
        def step(i: Any, c: Any) -> Any:
            kept.append(c * x)
            return c * x

        hg.fori_loop(0, 3, step, x)
        return kept[0] * 2.0

    with pytest.raises(hg.TraceError, match="return it from the body"):
        hg.grad(f)(1.0)


def test_printing_in_a_body(capsys: Any) -> None:
    def step(c: Any, x: Any) -> Any:
        print(c)
        return c + x, None

    hg.scan(step, 1.0, np.ones(3))
    assert "float64" in capsys.readouterr().out


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "init", "error", "match"),
    [
        (lambda c, x: ({"h": [c["h"][0] * x]}, 0), {"h": [np.ones(())]}, hg.ShapeError, r'carry\["h"\]\[0\] has shape'),
        (lambda c, x: (c + np.float64(1), None), np.float32(1), hg.DtypeError, "float32 before a step, but float64"),
        (lambda c, x: (c * 0.5, None), np.int64(1), hg.DtypeError, "int64 before a step, but float64"),
        (lambda c, x: ((c, c), None), 1.0, hg.ShapeError, r"is \* before a step, but \(\*, \*\)"),
        (lambda c, x: c, 1.0, TypeError, r"pair \(carry, y\)"),
        (lambda c, x: (c, "text"), 1.0, hg.DtypeError, "y is of type str"),
        (lambda c, x: (c, None), "text", hg.DtypeError, "carry is of type str"),
        (lambda c, x: (c * 1j, None), 1.0 * np.ones(2), hg.DtypeError, "float64 before a step, but complex128"),
    ],
)  # fmt: skip
def test_what_scan_refuses(f: Any, init: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        hg.scan(f, init, np.ones((2, 2)))


def test_lengths_must_agree() -> None:
    def step(c: Any, x: Any) -> Any:
        return c, None

    with pytest.raises(hg.ShapeError, match=r'xs\["b"\] has 3 rows, but xs\["a"\] has 2'):
        hg.scan(step, 0.0, {"a": np.ones(2), "b": np.ones(3)})
    with pytest.raises(hg.ShapeError, match="length is 4"):
        hg.scan(step, 0.0, np.ones(2), length=4)
    with pytest.raises(hg.ShapeError, match="single number"):
        hg.scan(step, 0.0, 1.0)
    with pytest.raises(ValueError, match="say length"):
        hg.scan(step, 0.0)
    with pytest.raises(ValueError, match="fewer than 0"):
        hg.scan(step, 0.0, length=-1)


def test_what_the_others_refuse() -> None:
    def branch(yes: Any, no: Any) -> None:
        hg.grad(lambda x: hg.cond(x > 0, yes, no))(1.0)

    with pytest.raises(hg.ShapeError, match="different structures"):
        branch(lambda: 1.0, lambda: (1.0,))
    with pytest.raises(hg.ShapeError, match="result of true_fun has"):
        branch(lambda: np.ones(2), lambda: np.ones(3))
    with pytest.raises(hg.DtypeError, match="convert one of them"):
        branch(lambda: np.ones(2), lambda: np.ones(2, np.float32))
    with pytest.raises(hg.ShapeError, match="single value"):
        hg.cond(np.ones(2), np.sin, np.cos, 1.0)
    with pytest.raises(hg.ShapeError, match="single value"):
        hg.jacobian(lambda x: hg.cond(x > 0, np.sin, np.cos, x))(np.ones(2))
    with pytest.raises(hg.DtypeError, match="integer"):
        hg.switch(0.5, [np.sin], 1.0)
    with pytest.raises(ValueError, match="no branches"):
        hg.switch(0, [], 1.0)
    with pytest.raises(hg.ShapeError, match="single value"):
        hg.while_loop(lambda c: c > 0, lambda c: c, np.ones(2))
    with pytest.raises(hg.ShapeError, match="value has shape"):
        hg.while_loop(lambda c: False, lambda c: np.stack([c, c]), np.ones(2))
    with pytest.raises(hg.DtypeError, match="lower"):
        hg.fori_loop(0.5, 3, lambda i, c: c, 1.0)
    with pytest.raises(hg.ShapeError, match=r"value\[0\] has shape"):
        hg.fori_loop(0, 3, lambda i, c: [c[0][:, None]], [np.ones(2)])
    with pytest.raises(TypeError, match="must be a function"):
        hg.scan(3, 0.0, np.ones(2))  # type: ignore[arg-type]


def test_the_documentation_gives_what_it_shows() -> None:
    page = Path(__file__).parents[1] / "docs" / "loops.md"
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.attempted
    assert not found.failed


# -- showing -----------------------------------------------------------------------------------------------------------


def shown(x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        return np.sin(c) * row, c

    carry, ys = hg.scan(step, x, np.array([1.0, 2.0]))
    low = hg.while_loop(lambda v: v > 1.0, lambda v: v / 2.0, np.abs(carry), max_steps=9)
    return hg.cond(low > 0.1, np.sin, np.cos, low) + np.sum(ys)


def test_the_graph_as_text() -> None:
    text = str(hg.graph_of(shown)(0.5))
    assert "scan(" in text
    assert "body=graph" in text
    assert "branches=2 graphs" in text
    assert "    graph(" in text


def test_explain(tmp_path: Path) -> None:
    explanation = hg.explain(shown)(0.5)
    text = explanation.text()
    assert "scan" in text
    assert re.search(r"carry += scan\(x, c\)\[0\]", text)
    assert re.search(r"ys += scan\(x, c\)\[1\]", text)
    document = from_json(explanation.json())
    again = document.graph
    again.check()
    assert str(again) == str(explanation.graph)
    assert evaluate(again.builder, again.outputs, {again.inputs[0]: np.float64(0.5)}) == [shown(0.5)]
    for form in ("html", "svg", "tex", "dot"):
        assert explanation.save(tmp_path / f"shown.{form}").stat().st_size


# -- other ways to run -------------------------------------------------------------------------------------------------


def test_warnings_are_those_of_the_users_own_hops() -> None:
    def f(x: Any) -> Any:
        return hg.scan(lambda c, row: (np.sqrt(c) * row, None), x, np.ones(2))[0]

    assert hg.grad(f)(0.0) == np.inf
    with pytest.warns(RuntimeWarning, match="invalid value encountered in sqrt"):
        assert np.isnan(f(-1.0))
    with np.errstate(invalid="ignore"):
        assert np.isnan(f(-1.0))
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError):
        f(-1.0)


def test_a_kept_trace_reads_captured_arrays_again() -> None:
    rows, scale = np.array([1.0, 2.0]), np.array([3.0])

    def f(x: Any, n: Any) -> Any:
        c = hg.scan(lambda c, row: (c * x + row * scale[0], None), 0.0, rows)[0]
        return hg.fori_loop(0, n, lambda i, c: c * 2.0, c)

    gradient = hg.value_and_grad(f)
    for x, n, k in ((2.0, 1, 1.0), (2.0, 1, 5.0), (3.0, 2, 5.0), (3.0, 0, 7.0)):
        rows[0] = k
        scale[0] = k + 1
        assert_allclose(gradient(x, n), [2**n * (x * k + 2) * (k + 1), 2**n * k * (k + 1)])


def test_pullbacks_outlive_their_trace() -> None:
    f, g = recurrent(hg.scan), recurrent(loop)
    value, pullback = hg.vjp(f, W, np.ones(3), ROWS)
    assert_allclose(value, g(W, np.ones(3), ROWS))
    for got, want in zip(pullback(2.0), hg.grad(g, (0, 1, 2))(W, np.ones(3), ROWS), strict=True):
        assert_allclose(got, 2 * want, 1e-10, 1e-12)
    assert_allclose(hg.grad(lambda s: np.sum(pullback(s * s)[1]))(3.0), 6 * np.sum(pullback(1.0)[1]))


def test_results_have_memory_of_their_own() -> None:
    init, rows = np.ones(2), np.ones((3, 2))
    (a, b), ys = hg.scan(lambda c, x: (c, x), (init, init), rows)
    for made in (a, b, ys):
        made[...] = 7.0
    assert_array_equal(init, np.ones(2))
    assert_array_equal(rows, np.ones((3, 2)))
    a[0] = 5.0
    assert_array_equal(b, [7.0, 7.0])


def test_results_can_be_written_to_in_a_trace() -> None:
    def f(x: Any) -> Any:
        ys = hg.scan(lambda c, row: (c, row * 2.0), 0.0, np.ones(3))[1]
        ys[1] = x
        zs = hg.scan(lambda c, row: (c, row * x), 0.0, np.ones(3))[1]
        zs[0] = 5.0
        return np.sum(ys) + np.sum(zs)

    assert hg.value_and_grad(f)(3.0) == (18.0, 3.0)


def test_only_what_is_needed_is_kept_on_the_way() -> None:
    # The trajectory of a linear loop is not used by its gradient, so the graph of that does not ask for it.
    def linear(x: Any) -> Any:
        return hg.scan(lambda c, row: (c * 0.5 + row, None), x, np.ones(4))[0]

    def trajectories(f: Any) -> int:
        graph = hg.graph_of(hg.grad(f))(1.0)
        return sum(node.hop.name == "item" and node.aval.shape == (4,) for node in graph)

    assert trajectories(linear) == 0
    assert trajectories(lambda x: hg.scan(lambda c, row: (c * c, None), x, np.ones(4))[0]) == 1


# -- random bodies -----------------------------------------------------------------------------------------------------

ONE: list[Callable[..., Any]] = [
    np.sin, np.sqrt, np.abs, np.exp, np.tanh, np.cumsum, lambda v: v * 0.5, lambda v: 1 / (1 + np.exp(-v)),
    lambda v: np.maximum(v, 0.0), lambda v: v[::-1], lambda v: np.where(v > 0, np.sqrt(v), 0.0),
    lambda v: v / (1.0 + np.sum(v * v)), lambda v: np.max(v) * v,
]  # fmt: skip
TWO: list[Callable[..., Any]] = [
    lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a - b, lambda a, b: np.where(a > b, a, b), np.minimum,
    lambda a, b: a / (1.0 + b * b), np.hypot, lambda a, b: np.concatenate([a[:1], b[1:]]),
    lambda a, b: np.sqrt(np.abs(a)) * b[0],
]  # fmt: skip


def plain_cond(pred: Any, yes: Any, no: Any, *args: Any) -> Any:
    return yes(*args) if pred else no(*args)


def plain_fori(lower: int, upper: int, body: Any, value: Any) -> Any:
    for i in range(lower, upper):
        value = body(i, value)
    return value


def random_loop(seed: int, steps: int, scan: Any, cond: Any, while_loop: Any, fori_loop: Any) -> Callable[..., Any]:
    """A loop whose body is made of random operations on carries, rows and captured values."""
    rows = np.linspace(-1, 2, 2 * steps).reshape(steps, 2)

    def f(x: Any, y: Any) -> Any:
        draw = np.random.default_rng(seed)
        both = np.sqrt(np.abs(x)) * y
        starts = [x, y, np.zeros(2), np.ones(2), both]
        init = [starts[k] for k in draw.integers(0, 5, draw.integers(1, 4))]
        state = draw.bit_generator.state

        def step(carry: Any, row: Any) -> Any:
            draw.bit_generator.state = state
            values = [*carry, row, row * y, x, both]
            for _ in range(draw.integers(1, 6)):
                g, h = ONE[draw.integers(len(ONE))], TWO[draw.integers(len(TWO))]
                a, b = values[draw.integers(len(values))], values[draw.integers(len(values))]
                values.append(operation(int(draw.integers(9)), g, h, a, b))
            return [values[k] for k in draw.integers(0, len(values), len(init))], [values[draw.integers(len(values))]]

        def operation(kind: int, g: Any, h: Any, a: Any, b: Any) -> Any:
            if kind < 3:
                return g(a)
            if kind < 6:
                return h(a, b)
            if kind == 6:
                return cond(a[0] > b[1], lambda a: g(a) * y, lambda a: h(b, a), a)
            if kind == 7:
                carry, ys = scan(lambda c, row: (h(c, b) * row, g(c)), a, y)
                return carry + np.sum(ys, 0) + fori_loop(0, 2, lambda i, c: h(c, b) * (i + 0.5), a)
            return while_loop(lambda c: (c[1] < 2) & (np.sum(c[0]) < 5.0), lambda c: (h(g(c[0]), b), c[1] + 1), (a, 0))[
                0
            ]

        carry, ys = scan(step, init, rows, reverse=bool(seed % 3 == 0))
        used = [v for k, v in enumerate([*carry, *ys]) if (seed + k) % 3]
        return sum((np.sum(v * np.cos(v)) for v in used), np.sum(x) * 0.1)

    return f


@pytest.mark.parametrize("seed", range(12))
def test_random_bodies(seed: int) -> None:
    steps = (1, 2, 4)[seed % 3]
    f = random_loop(seed, steps, hg.scan, hg.cond, bounded, hg.fori_loop)
    g = random_loop(seed, steps, loop, plain_cond, plain_while, plain_fori)
    tangents = np.array([1.0, -0.3]), np.array([0.2, 2.0])
    for args in ((np.array([0.7, 1.3]), np.array([0.4, -0.9])), (np.array([0.0, 1.0]), np.array([1.0, 0.0]))):
        with np.errstate(all="ignore"):
            for derive in (
                lambda h: h,
                lambda h: hg.grad(h, (0, 1)),
                lambda h: lambda *primals: hg.jvp(h, primals, tangents)[1],
                lambda h: hg.jacobian(hg.grad(h), mode="forward"),
                lambda h: hg.jacobian(hg.grad(h), mode="reverse"),
            ):
                assert_allclose(derive(f)(*args), derive(g)(*args), 1e-7, 1e-9, equal_nan=True)


# -- plans -------------------------------------------------------------------------------------------------------------


def test_a_plan_can_be_run_again_and_compiled() -> None:
    graph = hg.graph_of(shown)(0.5)
    (x,), (y,) = graph.inputs, graph.outputs
    plan = Plan(graph.builder, [y, x], [x])
    compiled = plan.compiled([x])
    assert compiled is not None
    for value in (0.5, 0.7, 1.0, -2.0):
        want = shown(value)
        assert plan.run({x: np.float64(value)}) == [want, value]
        assert compiled(np.float64(value)) == (want, value)
    assert plan.compiled([x], limit=2) is None


def test_a_plan_starts_from_given_values() -> None:
    graph = hg.graph_of(lambda x: np.sin(x * 2.0) / x)(0.5)
    middle = next(node.id for node in graph if node.hop.name == "sin")
    plan = Plan(graph.builder, graph.outputs, [middle, *graph.inputs])
    assert sorted(plan.inputs) == sorted([middle, *graph.inputs])
    assert plan.run({middle: 6.0, graph.inputs[0]: 2.0}) == [3.0]
    with np.errstate(divide="ignore"):
        assert plan.run({middle: 6.0, graph.inputs[0]: 0.0}) == [np.inf]


def test_results_that_nobody_takes_are_not_computed() -> None:
    graph = hg.graph_of(lambda x: hg.scan(lambda c, row: (c * row, np.log(c)), x, np.ones(3))[0])(1.0)
    with np.errstate(divide="raise"):
        assert evaluate(graph.builder, graph.outputs, {graph.inputs[0]: 0.0}) == [0.0]


def test_errors_name_the_line_of_the_loop() -> None:
    for wrong in (
        lambda x: hg.scan(lambda c, v: (np.stack([c, c]), None), x[0], x)[0].sum(),  # here
        lambda x: hg.cond(x[0] > 0, lambda: x[0], lambda: x),  # here
        lambda x: hg.while_loop(lambda c: c, lambda c: c * 2, x)[0],  # here
    ):
        with pytest.raises(hg.ShapeError, match=r"test_control.py:\d+ in .*# here"):
            hg.grad(wrong)(np.array([0.5, 1.0]))
