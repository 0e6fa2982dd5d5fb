"""Derivatives of one's own: rules, black boxes, stopped derivatives and new hops."""

from __future__ import annotations

import ctypes
import ctypes.util
import doctest
import functools
import math
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from numpy.testing import assert_allclose, assert_array_equal

import hopgrad as hg
import hopgrad.numpy as hnp
from hopgrad.custom import Function, Map, On, aval, elementwise, general, reduction
from hopgrad.errors import DtypeError, GraphError, NotDifferentiableError, ShapeError, TraceError
from hopgrad.graph.builder import catalogue
from hopgrad.trace import ufuncs

Array = np.ndarray[Any, Any]
X = np.array([0.3, -0.7, 1.2])


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Hops that a test defines go when it is over."""
    hops, known = dict(catalogue), dict(ufuncs.hop_of_ufunc)
    yield
    for before, now in ((hops, catalogue), (known, ufuncs.hop_of_ufunc)):
        now.clear()
        now.update(before)


def test_the_page_about_it_is_right() -> None:
    page = Path(__file__).parents[1] / "docs" / "custom.md"
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.testfile(str(page), module_relative=False, optionflags=flags, encoding="utf-8")
    assert found.attempted > 30
    assert not found.failed


# -- stop_gradient -----------------------------------------------------------------------------------------------------


def test_stop_gradient_is_the_identity() -> None:
    value = {"a": X, "b": [1.5, None, "text"], "c": np.float32(2)}
    same = hg.stop_gradient(value)
    assert_array_equal(same["a"], X)
    assert same["b"] == [1.5, None, "text"]
    assert type(same["c"]) is np.float32
    same["a"][0] = 9
    assert X[0] == 0.3, "arrays are copies, as in a traced function"


def test_stop_gradient_cuts_the_derivative_and_is_named() -> None:
    assert hg.grad(lambda x: x * hg.stop_gradient(x))(3.0) == 3.0
    assert hg.grad(lambda p: p["a"] * hg.stop_gradient(p)["b"] + p["b"])({"a": 2.0, "b": 5.0}) == {"a": 5.0, "b": 1.0}
    assert hg.jvp(hg.stop_gradient, (X,), (X,))[1].tolist() == [0, 0, 0]
    assert hg.grad(hg.grad(lambda x: hg.stop_gradient(x) * x**2))(3.0) == 6.0
    story = str(hg.explain(lambda x: hg.stop_gradient(np.sin(x)))(0.5))
    assert "stop(sin(x))" in story
    assert "cut by stop_gradient" in story


def test_stop_gradient_keeps_dtypes_kinds_and_writes_apart() -> None:
    def f(x: Any) -> Any:
        y = hg.stop_gradient(x)
        assert y.dtype == np.float32
        y[0] = 100.0
        return np.sum(x * x) + np.sum(y)

    got = hg.grad(f)(X.astype(np.float32))
    assert got.dtype == np.float32
    assert_allclose(got, 2 * X, rtol=1e-6)
    assert type(hg.vjp(hg.stop_gradient, 2.0)[0]) is float
    assert hg.grad(lambda x: x * hg.stop_gradient(hnp.ones(3)).sum())(2.0) == 3.0


# -- custom_vjp --------------------------------------------------------------------------------------------------------


def twice_sine() -> Any:
    """sin x y with a rule that doubles the derivative by x, so that it can be told from the real one."""

    @hg.custom_vjp
    def f(x: Any, y: Any = 2.0) -> Any:
        """Documented."""
        return np.sin(x) * y

    f.defvjp(lambda x, y: (f(x, y), (x, np.cos(x), y)), lambda r, ct: (2 * r[1] * r[2] * ct, np.sum(np.sin(r[0]) * ct)))
    return f


def test_plain_calls_are_the_functions_own() -> None:
    f = twice_sine()
    assert f(0.5) == math.sin(0.5) * 2.0
    assert f(x=0.5, y=3.0) == f(0.5, y=3.0) == f(0.5, 3.0)
    assert f.__doc__ == "Documented."
    assert f.__name__ == "f"
    assert repr(f) == "<custom_vjp f>"


def test_the_rule_is_used_by_every_reverse_transform() -> None:
    f = twice_sine()
    c, s = np.cos(0.5), np.sin(0.5)
    assert_allclose(hg.grad(f, (0, 1))(0.5, 2.0), (4 * c, s))
    assert_allclose(hg.grad(f)(0.5), 4 * c)
    assert_allclose(hg.grad(f, "y")(0.5, y=3.0), s)
    assert_allclose(hg.value_and_grad(lambda x: f(x) ** 2)(0.5), (4 * s * s, 16 * s * c))
    assert_allclose(hg.vjp(f, X, 2.0)[1](np.ones(3))[0], 4 * np.cos(X))
    assert_allclose(hg.jacobian(f)(X), np.diag(4 * np.cos(X)))
    assert_allclose(hg.elementwise_grad(f)(X), 4 * np.cos(X))


def test_derivatives_of_higher_order() -> None:
    f = twice_sine()
    assert_allclose(hg.grad(hg.grad(f))(0.5), -4 * np.sin(0.5))
    # Where the rule calls the function, as it may, its derivative is the rule's again.
    g = hg.custom_vjp(lambda x: np.exp(x))
    g.defvjp(lambda x: (g(x), g(x)), lambda y, ct: (2 * y * ct,))
    assert_allclose([hg.grad(g)(0.0), hg.grad(hg.grad(g))(0.0), hg.grad(hg.grad(hg.grad(g)))(0.0)], [2, 4, 8])
    assert_allclose(hg.hessian(lambda x: np.sum(f(x)))(X), np.diag(-4 * np.sin(X)))
    assert_allclose(hg.hvp(lambda x: np.sum(f(x) ** 2))(X, np.ones(3)),
                    16 * (2 * np.cos(X) ** 2 - np.sin(X) ** 2))  # fmt: skip


def test_a_rule_of_a_value_that_is_used_beside_its_gradient() -> None:
    f = twice_sine()

    def g(x: Any) -> Any:
        value, slope = hg.value_and_grad(f)(x)
        return value * slope

    x = 0.5
    assert_allclose(hg.grad(g)(x), 16 * np.cos(x) ** 2 - 8 * np.sin(x) ** 2)


def test_forward_mode_is_refused_with_the_cure() -> None:
    f = twice_sine()
    for call in (lambda: hg.jvp(f, (0.5,), (1.0,)), lambda: hg.jacobian(f, mode="forward")(0.5)):
        with pytest.raises(NotDifferentiableError, match=r"f has a custom_vjp rule.* custom_jvp"):
            call()
    assert_allclose(hg.jacobian(lambda x: np.stack([f(x), x]))(0.5), [4 * np.cos(0.5), 1])


def test_nested_structures_and_none_for_zero() -> None:
    @dataclass
    class Params:
        w: Any
        b: Any

    @hg.custom_vjp
    def f(p: Any, more: Any) -> Any:
        return {"sum": np.sum(p.w) * p.b, "rest": (more[0] * 2, None)}

    def fwd(p: Any, more: Any) -> Any:
        return f(p, more), {"w": p.w, "more": more}

    def bwd(r: Any, ct: Any) -> Any:
        assert set(ct) == {"sum", "rest"}
        return Params(w=10 * ct["sum"] * np.ones_like(r["w"]), b=None), [ct["rest"][0], None]

    f.defvjp(fwd, bwd)

    def loss(p: Any, more: Any) -> Any:
        out = f(p, more)
        assert out["rest"][1] is None
        return out["sum"] + 3 * out["rest"][0]

    got, rest = hg.grad(loss, (0, 1))(Params(X, 2.0), [4.0, 5.0])
    assert_array_equal(got.w, [10, 10, 10])
    assert got.b == 0.0
    assert rest == [3.0, 0.0]
    f.defvjp(fwd, lambda r, ct: (None, [1.0, 2.0]))
    assert hg.grad(loss, 1)(Params(X, 2.0), [4.0, 5.0]) == [1.0, 2.0]


def test_several_results_come_to_the_rule_together() -> None:
    """Even where it is not linear in the cotangents, as clipping is."""

    @hg.custom_vjp
    def f(x: Any) -> Any:
        return x, 2 * x

    f.defvjp(lambda x: (f(x), None), lambda _, ct: (np.clip(ct[0] + ct[1], -1, 1),))
    assert hg.grad(lambda x: sum(f(x)))(5.0) == 1.0
    assert hg.grad(lambda x: f(x)[1] * 0.25)(5.0) == 0.25
    assert hg.grad(lambda x: hg.grad(lambda y: f(y)[0] * y)(x))(0.125) == 2.0


def test_arguments_that_are_not_differentiated() -> None:
    @functools.partial(hg.custom_vjp, nondiff_argnums=(0, 2))
    def apply(g: Any, x: Any, mode: str) -> Any:
        assert mode == "fast"
        return g(x)

    def bwd(g: Any, mode: str, x: Any, ct: Any) -> Any:
        assert mode == "fast"
        return (ct * g(x) * 100,)

    apply.defvjp(lambda g, x, mode: (g(x), x), bwd)
    assert_allclose(hg.grad(lambda x: apply(np.exp, x, "fast"))(0.5), 100 * np.exp(0.5))

    @hg.custom_vjp
    def scaled(x: Any, n: int, text: str) -> Any:
        return x * n

    scaled.defvjp(lambda x, n, text: (x * n, n), lambda n, ct: (ct * n * 10, None, None))
    assert hg.grad(scaled)(1.5, 3, "as it is") == 30.0


def test_branches_are_taken_by_value_and_guarded() -> None:
    @hg.custom_vjp
    def f(x: Any) -> Any:
        return x if x > 0 else -x

    def fwd(x: Any) -> Any:
        return (f(x), 1.0) if x > 0 else (f(x), -2.0)

    f.defvjp(fwd, lambda sign, ct: (sign * ct * 5,))
    g = hg.grad(lambda x: f(x) * 2)
    assert [g(3.0), g(-3.0), g(4.0), g(-4.0)] == [10.0, -20.0, 10.0, -20.0]


def test_a_rule_that_asks_for_the_cotangents_value() -> None:
    """It runs when the derivative is taken, where the value is known then."""
    f = hg.custom_vjp(lambda x: x * 1.0)
    f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct if abs(ct) < 1 else ct / abs(ct),))
    g = hg.grad(lambda x, y: f(x) * y)
    assert [g(2.0, 0.5), g(2.0, 5.0), g(2.0, -5.0), g(2.0, 0.25)] == [0.5, 1.0, -1.0, 0.25]
    with pytest.raises(HG_ERRORS, match="not known"):
        hg.vjp(f, 2.0)


HG_ERRORS = (TraceError, NotDifferentiableError)


def test_a_rule_is_kept_with_the_trace_that_used_it() -> None:
    calls = []
    scale = 3.0

    @hg.custom_vjp
    def f(x: Any) -> Any:
        return x * scale

    f.defvjp(lambda x: (f(x), None), lambda _, ct: (ct * scale,))
    g = hg.grad(lambda x: f(x) ** 2)
    assert [g(1.0), g(2.0)] == [18.0, 36.0]
    assert "replayed 1 times" in g.report()  # type: ignore[attr-defined]
    scale = 4.0  # read again
    assert g(1.0) == 32.0
    f.defvjp(lambda x: (f(x), None), lambda _, ct: (0 * ct,))
    assert g(1.0) == 0.0
    assert not calls


def test_transforms_inside_rules_and_rules_inside_rules() -> None:
    inner = twice_sine()
    f = hg.custom_vjp(lambda x: inner(x, 1.0) ** 2)
    f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * hg.grad(lambda t: inner(t, 1.0) ** 2)(x),))
    assert_allclose(hg.grad(f)(0.5), 4 * np.sin(0.5) * np.cos(0.5))
    assert_allclose(hg.grad(hg.grad(f))(0.5), 8 * np.cos(0.5) ** 2 - 4 * np.sin(0.5) ** 2)


def test_a_rule_in_the_body_of_a_loop() -> None:
    f = twice_sine()

    def loss(x: Any) -> Any:
        return hg.fori_loop(0, 3, lambda _, h: f(h, 1.0), x)

    def plain(x: Any) -> Any:
        for _ in range(3):
            x = f(x, 1.0)
        return x

    for k in (hg.grad, lambda g: hg.grad(hg.grad(g))):
        assert_allclose(k(loss)(0.5), k(plain)(0.5))
    g = hg.custom_jvp(lambda x: np.sin(x))
    g.defjvp(lambda p, t: (g(*p), 2 * np.cos(p[0]) * t[0]))

    def tower(h: Any) -> Any:
        return hg.scan(lambda c, _: (g(c), c), h, None, length=3)[0]

    def by_hand(h: Any) -> Any:
        return g(g(g(h)))

    for k in (hg.grad, hg.jacobian, hg.hessian):
        assert_allclose(k(tower)(0.5), k(by_hand)(0.5))
    assert_allclose(hg.jvp(tower, (0.5,), (1.0,)), hg.jvp(by_hand, (0.5,), (1.0,)))


def test_captured_values() -> None:
    """What a function uses without having it as an argument has no derivative by the rule: that is told, not lost."""

    def loss(x: Any, w: Any) -> Any:
        f = hg.custom_vjp(lambda t: t * w)
        f.defvjp(lambda t: (t * w, w), lambda w, ct: (ct * w,))
        return f(x)

    assert hg.grad(loss)(2.0, 3.0) == 3.0
    assert hg.grad(lambda x: hg.grad(loss)(x, 3.0) * x)(2.0) == 3.0
    with pytest.raises(NotDifferentiableError, match=r"uses a value .* pass it as an argument"):
        hg.grad(loss, 1)(2.0, 3.0)
    with pytest.raises(NotDifferentiableError, match="pass it as an argument"):
        hg.grad(lambda w: loss(2.0, w))(3.0)
    with pytest.raises(NotDifferentiableError, match="pass it as an argument"):
        hg.grad(lambda w: loss(w, w))(3.0)


def test_captured_arrays_in_rules() -> None:
    weights = np.array([1.0, 2.0, 4.0])
    f = hg.custom_vjp(lambda x: np.sum(weights * x))
    f.defvjp(lambda x: (f(x), None), lambda _, ct: (ct * weights * 2,))
    g = hg.grad(lambda x: f(x) ** 2)
    assert_allclose(g(np.ones(3)), 2 * 7 * weights * 2)
    assert_allclose(hg.hessian(lambda x: f(x) ** 2)(np.ones(3)), 8 * np.outer(weights, weights))
    weights[0] = 0.0
    assert_allclose(g(np.ones(3)), 2 * 6 * np.array([0, 2, 4]) * 2)


def test_methods_and_float32() -> None:
    class Model:
        def __init__(self, k: float) -> None:
            self.k = k

        @hg.custom_vjp
        def f(self, x: Any) -> Any:
            return self.k * x

    Model.f.defvjp(lambda self, x: (self.f(x), self.k), lambda k, ct: (None, 10 * k * ct))
    assert hg.grad(Model(2.0).f)(1.0) == 20.0
    f = hg.custom_vjp(lambda x: np.sum(x))
    f.defvjp(lambda x: (f(x), None), lambda _, ct: (np.array([1.0, 2.0, 3.0]) * ct,))
    got = hg.grad(f)(X.astype(np.float32))
    assert got.dtype == np.float32
    assert_array_equal(got, [1, 2, 3])


def test_results_share_no_memory_with_arguments() -> None:
    f = hg.custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, None), lambda _, ct: (ct,))

    def loss(x: Any) -> Any:
        y = f(x)
        y[0] = 7.0
        return np.sum(x * 2) + np.sum(y)

    assert loss(X) == np.sum(2 * X) + 7.0 + X[1] + X[2]
    assert X[0] == 0.3
    assert_array_equal(hg.grad(loss)(X), [2, 3, 3])


def test_values_that_are_computed_once() -> None:
    """The value comes from fwd, so that nothing is computed twice."""
    calls: list[float] = []

    def slow(x: float) -> float:
        calls.append(x)
        return math.exp(x)

    f = hg.custom_vjp(hg.external(slow))

    def fwd(x: Any) -> Any:
        y = hg.external(slow)(x)
        return y, y

    f.defvjp(fwd, lambda y, ct: (ct * y,))
    assert_allclose(hg.value_and_grad(lambda x: f(x) ** 2)(0.5), (math.exp(1), 2 * math.exp(1)))
    assert calls == [0.5]


def test_arrays_made_inside_can_be_filled_and_arguments_cannot() -> None:
    @hg.custom_vjp
    def squares(x: Any) -> Any:
        out = np.zeros(3)
        for k in range(3):
            out[k] = x[k] ** 2
        return out

    squares.defvjp(lambda x: (squares(x), x), lambda x, ct: (2 * x * ct,))
    assert_allclose(hg.hessian(lambda x: np.sum(squares(x) ** 2))(X), np.diag(12 * X**2))

    @hg.custom_vjp
    def fill(x: Any) -> Any:
        x[0] = 1.0
        return x * 2

    fill.defvjp(lambda x: (fill(x), None), lambda _, ct: (2 * ct,))
    with pytest.raises(TraceError, match=r"fill or its custom_vjp rule writes into an argument.* copy it first"):
        hg.grad(lambda x: np.sum(fill(x)))(X)


def test_an_implicit_function() -> None:
    """The fixed point of x = g(a, x), differentiated by the implicit function theorem, twice."""

    @functools.partial(hg.custom_vjp, nondiff_argnums=(0,))
    def fixed(g: Any, a: Any, x: Any) -> Any:
        while abs(g(a, x) - x) > 1e-14:
            x = g(a, x)
        return x

    def fwd(g: Any, a: Any, x: Any) -> Any:
        x = fixed(g, a, x)
        return x, (a, x)

    def bwd(g: Any, residuals: Any, ct: Any) -> Any:
        a, x = residuals
        _, by_x = hg.vjp(lambda x: g(a, x), x)
        _, by_a = hg.vjp(lambda a: g(a, x), a)
        u = ct
        for _ in range(60):
            u = ct + by_x(u)[0]
        return by_a(u)[0], None

    fixed.defvjp(fwd, bwd)
    root = hg.grad(lambda a: fixed(lambda a, x: 0.5 * (x + a / x), a, 1.0))
    assert_allclose([root(2.0), root(9.0)], [0.5 / np.sqrt(2.0), 1 / 6])
    assert_allclose(hg.grad(root)(2.0), -0.25 * 2.0**-1.5)

    @hg.custom_jvp
    def sqrt(a: Any) -> Any:
        x = 1.0
        while abs(x * x - a) > 1e-12:
            x = 0.5 * (x + a / x)
        return x

    @sqrt.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        x = sqrt(*primals)
        return x, tangents[0] / (2 * x)

    assert_allclose(hg.hessian(sqrt)(2.0), -0.25 * 2.0**-1.5)


@pytest.mark.parametrize(
    ("fwd", "bwd", "error", "words"),
    [
        (lambda x, y: (x * y).sum(), None, TraceError, r"custom_vjp rule of f: fwd must return \(out, residuals\)"),
        (None, lambda r, ct: ct, ShapeError, "custom_vjp rule of f: bwd must return a tuple of 2 cotangents"),
        (None, lambda r, ct: (ct,), ShapeError, "a tuple of 2 cotangents, one for each argument, not 1 of them"),
        (None, lambda r, ct: (ct, None), ShapeError,
         r"bwd gave a cotangent of shape \(\) for x, which has shape \(3,\)"),
        (None, lambda r, ct: ([np.ones(3)], None), ShapeError, r"of structure \[\*\] for x, which has structure \*"),
        (None, lambda r, ct: ("text", None), DtypeError, "of type str for x"),
        (None, lambda r, ct: (np.ones(3) * 1j, None), DtypeError, "of dtype complex128 for x"),
    ],
)  # fmt: skip
def test_errors_name_rule_argument_and_shapes(fwd: Any, bwd: Any, error: Any, words: str) -> None:
    @hg.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return np.sum(x * y)

    f.defvjp(fwd or (lambda x, y: (f(x, y), None)), bwd or (lambda r, ct: (None, None)))
    with pytest.raises(error, match=words) as caught:
        hg.grad(f)(X, 2.0)
    assert "test_custom.py" in str(caught.value)


def test_misuse() -> None:
    with pytest.raises(TypeError, match=r"call <lambda>.defvjp\(fwd, bwd\) first"):
        hg.custom_vjp(lambda x: x)(1.0)
    with pytest.raises(TypeError, match=r"call <lambda>.defjvp\(rule\) first"):
        hg.custom_jvp(lambda x: x)(1.0)
    with pytest.raises(TypeError, match="needs a function"):
        hg.custom_vjp(3)  # type: ignore[arg-type]
    f = hg.custom_vjp(lambda x, *, k=1: x)
    f.defvjp(lambda x: (x, None), lambda _, ct: (ct,))
    with pytest.raises(TypeError, match="takes k by keyword only"):
        f(1.0)
    g = hg.custom_vjp(lambda x: x, nondiff_argnums=(1,))
    g.defvjp(lambda x: (x, None), lambda _, ct: (ct,))
    with pytest.raises(ValueError, match="do not fit a call with 1 arguments"):
        hg.grad(g)(1.0)


def test_integers_among_arguments_and_results() -> None:
    @hg.custom_vjp
    def f(x: Any, n: Any) -> Any:
        return x * n, np.argmax(x)

    def bwd(n: Any, ct: Any) -> Any:
        assert ct[1] == 0.0
        return ct[0] * n * 10, None

    f.defvjp(lambda x, n: (f(x, n), n), bwd)

    def loss(x: Any) -> Any:
        y, k = f(x, np.argmax(x))
        return np.sum(y) + x[k]

    assert_array_equal(hg.grad(loss)(X), [20, 20, 21])


def test_explain_shows_one_hop() -> None:
    f = twice_sine()

    def loss(x: Any) -> Any:
        z = x**2
        h = f(z, x)
        return h**2

    told = hg.explain(loss)(0.5)
    story = str(told)
    assert "h = f(z, x)" in story
    assert "own rule" in story
    steps = story.split("The chain rule")[0]
    assert "sin" not in steps, "how f computes is its own business"
    for drawn in (told.svg(), told.dot(), told.mermaid(), told.tikz()):
        assert "f(z, x)" in drawn or "f" in drawn
    assert "rule=f" in str(hg.graph_of(loss)(0.5))
    hg.graph_of(loss)(0.5).check()


def test_explain_where_the_rule_is_not_linear() -> None:
    clip = hg.custom_vjp(lambda x: x * 1.0)
    clip.defvjp(lambda x: (clip(x), None), lambda _, ct: (np.clip(ct, -1, 1),))
    story = str(hg.explain(lambda x: clip(x) ** 2)(3.0))
    assert "= 1" in story
    array = str(hg.explain(lambda x: np.sum(clip(x) ** 2))(X))
    assert "clip" in array


# -- custom_jvp --------------------------------------------------------------------------------------------------------


def thrice_sine() -> Any:
    @hg.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return np.sin(x) * y

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x, y), (dx, dy) = primals, tangents
        return f(x, y), 3 * np.cos(x) * y * dx + np.sin(x) * dy

    return f


def test_a_rule_for_tangents_serves_both_modes() -> None:
    f = thrice_sine()
    c, s = np.cos(0.5), np.sin(0.5)
    assert f(0.5, 2.0) == 2.0 * s
    assert_allclose(hg.jvp(f, (0.5, 2.0), (1.0, 10.0)), (2 * s, 6 * c + 10 * s))
    assert_allclose(hg.grad(f, (0, 1))(0.5, 2.0), (6 * c, s))
    assert_allclose(hg.jacobian(f)(X, 2.0), np.diag(6 * np.cos(X)))
    assert_allclose(hg.jacobian(f, mode="reverse")(X, 2.0), np.diag(6 * np.cos(X)))
    assert_allclose(hg.jacobian(f, 1)(X, 2.0), np.sin(X))
    assert_allclose(hg.grad(lambda x: f(x, x))(0.5), 1.5 * c + s)


def test_second_order_in_all_orders_of_modes() -> None:
    f = thrice_sine()
    want = -6 * np.sin(0.5)

    def g(x: Any) -> Any:
        return f(x, 2.0)

    assert_allclose(hg.grad(hg.grad(g))(0.5), want)
    assert_allclose(hg.hessian(g)(0.5), want)
    assert_allclose(hg.hvp(g)(0.5, 1.0), want)
    assert_allclose(hg.jacobian(hg.jacobian(g, mode="forward"), mode="forward")(0.5), want)
    assert_allclose(hg.jacobian(hg.jacobian(g, mode="forward"), mode="reverse")(0.5), want)
    assert_allclose(hg.grad(hg.grad(hg.grad(g)))(0.5), -6 * np.cos(0.5))
    # By y first, then by x: each time by the rule.
    assert_allclose(hg.grad(lambda x: hg.grad(f, 1)(x, 2.0))(0.5), np.cos(0.5))


def test_a_rule_whose_value_overflows_in_its_gradient() -> None:
    @hg.custom_jvp
    def log1pexp(x: Any) -> Any:
        return np.log(1.0 + np.exp(x))

    @log1pexp.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return log1pexp(x), (1 - 1 / (1 + np.exp(x))) * t

    with np.errstate(over="ignore"):
        assert hg.grad(log1pexp)(1000.0) == 1.0
    hg.check_grads(log1pexp, (0.5,), order=2)


def test_one_rule_for_each_argument() -> None:
    @hg.custom_jvp
    def f(x: Any, y: Any, z: Any) -> Any:
        return {"out": x * y + z}

    f.defjvps(lambda t, out, x, y, z: {"out": 10 * t * y}, lambda t, out, x, y, z: {"out": t * x + 0 * out["out"]},
              None)  # fmt: skip
    assert hg.grad(lambda *a: f(*a)["out"], (0, 1, 2))(2.0, 3.0, 4.0) == (30.0, 2.0, 0.0)
    f.defjvps(None, None, None)
    assert hg.grad(lambda *a: f(*a)["out"], (0, 1, 2))(2.0, 3.0, 4.0) == (0.0, 0.0, 0.0)
    f.defjvps(None)
    with pytest.raises(ShapeError, match="defjvps got 1 rules for 3 arguments"):
        hg.grad(lambda *a: f(*a)["out"])(2.0, 3.0, 4.0)
    with pytest.raises(TypeError, match="cannot be used with nondiff_argnums"):
        hg.custom_jvp(lambda n, x: x, nondiff_argnums=(0,)).defjvps(None)


def test_tangents_that_do_not_move_meet_nothing_infinite() -> None:
    """√x has an infinite derivative at 0, but x is not differentiated."""
    f = hg.custom_jvp(lambda x, y: np.sqrt(x) + y)
    f.defjvp(lambda p, t: (f(*p), t[0] / np.sqrt(p[0]) + t[1]))

    def g(x: Any, y: Any) -> Any:
        return hg.jvp(lambda y: f(x, y), (y,), (1.0,))[1]

    assert hg.value_and_grad(g, 1)(0.0, 1.0) == (1.0, 0.0)


def test_several_results_and_structures_with_tangents() -> None:
    @functools.partial(hg.custom_jvp, nondiff_argnums=(0,))
    def f(n: int, p: Any) -> Any:
        return [p["a"] ** n, np.argmax(p["b"])], np.sum(p["b"])

    @f.defjvp
    def rule(n: int, primals: Any, tangents: Any) -> Any:
        (p,), (t,) = primals, tangents
        assert n == 3
        return f(n, p), ([3 * p["a"] ** 2 * t["a"], 0.0], 5 * np.sum(t["b"]))

    def loss(p: Any) -> Any:
        (cube, k), total = f(3, p)
        return cube * total + p["b"][k]

    got = hg.grad(loss)({"a": 2.0, "b": X})
    assert_allclose(got["a"], 12 * X.sum())
    assert_allclose(got["b"], 8 * 5 + np.array([0, 0, 1.0]))
    assert_allclose(hg.jvp(loss, ({"a": 2.0, "b": X},), ({"a": 0.0, "b": np.ones(3)},))[1], 8 * 15 + 1)


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        (lambda p, t: (p[0], t[0] ** 2), NotDifferentiableError, "rule of <lambda> is not linear in the tangents"),
        (lambda p, t: (p[0], np.sum(t[0])), ShapeError, r"a tangent of shape \(\) for the result, which has shape"),
        (lambda p, t: (np.sum(p[0]), t[0]), ShapeError, r"it returned out of shape \(\) for the result"),
        (lambda p, t: ([p[0]], t[0]), ShapeError, r"it returned out of structure \[\*\], but the result is \*"),
        (lambda p, t: t[0], TraceError, r"must return \(out, tangent of out\)"),
    ],
)
def test_errors_of_tangent_rules(rule: Any, error: Any, words: str) -> None:
    f = hg.custom_jvp(lambda x: x * 1.0)
    f.defjvp(rule)
    with pytest.raises(error, match=words):
        hg.grad(lambda x: np.sum(f(x)))(X)
    with pytest.raises(error, match=words):
        hg.jvp(f, (X,), (X,))


def test_rules_that_call_the_function_with_other_arguments_end() -> None:
    f = hg.custom_vjp(lambda x: x * 1.0)
    f.defvjp(lambda x: (f(x + 0.0), f(x * 2.0)), lambda r, ct: (ct * r,))
    assert hg.grad(f)(3.0) == 6.0
    assert hg.grad(hg.grad(f))(3.0) == 24.0


def test_threads() -> None:
    f, g = twice_sine(), thrice_sine()
    loss = hg.grad(lambda x: np.sum(f(x, 1.0) ** 2) + np.sum(g(x, 1.0)))

    def run(seed: int) -> bool:
        x = np.random.default_rng(seed).standard_normal(3 + seed % 4)
        return np.allclose(loss(x), 4 * np.sin(x) * np.cos(x) + 3 * np.cos(x))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(64)))


# -- external ----------------------------------------------------------------------------------------------------------


def libm(name: str) -> Any:
    """A function of the C library."""
    function = getattr(ctypes.CDLL(ctypes.util.find_library("m")), name)
    function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double]
    return function


def bessel() -> Any:
    """J₀ by the C library, with the derivative −J₁."""
    j0, j1 = hg.external(libm("j0")), hg.external(libm("j1"))

    @hg.custom_vjp
    def f(x: Any) -> Any:
        return j0(x)

    f.defvjp(lambda x: (f(x), x), lambda x, ct: (-ct * j1(x),))
    return f


def test_a_c_function_with_a_rule() -> None:
    f = bessel()
    assert_allclose(f(1.5), scipy.special.j0(1.5))
    g = hg.value_and_grad(lambda x: f(x) ** 2)
    for x in (1.5, 2.5, 0.25):
        j0, j1 = scipy.special.j0(x), scipy.special.j1(x)
        assert_allclose(g(x), (j0**2, -2 * j0 * j1))
    assert "replayed 2 times" in g.report()  # type: ignore[attr-defined]
    with pytest.raises(NotDifferentiableError, match="the external function j1 has no derivative"):
        hg.grad(hg.grad(f))(1.5)


def simulate(p: dict[str, Any], steps: int) -> tuple[float, list[float]]:
    """An explicit Euler scheme in plain Python, with its tape. It would fail on traced values."""
    assert type(p["rate"]) is float
    assert type(p["start"]) is np.ndarray
    x = float(p["start"][0])
    tape = []
    for _ in range(steps):
        tape.append(x)
        x += 0.1 * math.sin(x) * p["rate"]
    return x, tape


def adjoint(p: dict[str, Any], tape: list[float], ct: float) -> dict[str, Any]:
    """Its adjoint, backwards along the tape."""
    rate, by_rate = p["rate"], 0.0
    for x in reversed(tape):
        by_rate += ct * 0.1 * math.sin(x)
        ct *= 1 + 0.1 * math.cos(x) * rate
    return {"rate": by_rate, "start": np.array([ct])}


def simulator(like: Any) -> Any:
    @functools.partial(hg.custom_vjp, nondiff_argnums=(1,))
    def run(p: Any, steps: int) -> Any:
        return hg.external(simulate)(p, steps)[0]

    def fwd(p: Any, steps: int) -> Any:
        out, tape = hg.external(simulate)(p, steps)
        return out, (p, tape)

    def bwd(steps: int, residuals: Any, ct: Any) -> Any:
        p, tape = residuals
        return (hg.external(adjoint, like)(p, tape, ct),)

    run.defvjp(fwd, bwd)
    return run


@pytest.mark.parametrize("like", [None, lambda p, tape, ct: p], ids=["called", "told"])
def test_a_simulator_with_an_adjoint_solver(like: Any) -> None:
    run = simulator(like)

    def loss(p: Any) -> Any:
        return run(p, 20) ** 2

    def plain(p: Any) -> Any:
        x = p["start"][0]
        for _ in range(20):
            x = x + 0.1 * np.sin(x) * p["rate"]
        return x**2

    g = hg.grad(loss)
    for rate in (0.7, 0.3):
        p = {"rate": rate, "start": np.array([0.4])}
        got, want = g(p), hg.grad(plain)(p)
        assert_allclose(got["rate"], want["rate"])
        assert_allclose(got["start"], want["start"])


def test_shapes_where_values_are_not_known() -> None:
    p = {"rate": 0.7, "start": np.array([0.4])}
    told = simulator(lambda p, tape, ct: p)
    (got,) = hg.vjp(lambda p: told(p, 5), p)[1](1.0)
    assert_allclose(got["rate"], hg.grad(lambda p: told(p, 5))(p)["rate"])
    with pytest.raises(TraceError, match=r"adjoint cannot be called to find out the shape .* like="):
        hg.vjp(lambda p: simulator(None)(p, 5), p)

    sine = hg.custom_vjp(lambda x: hg.external(math.sin, like=0.0)(x))
    sine.defvjp(lambda x: (sine(x), x), lambda x, ct: (ct * hg.external(math.cos, like=0.0)(x),))

    def loop(x: Any) -> Any:
        return hg.fori_loop(0, 3, lambda _, h: sine(h), x)

    assert_allclose(hg.grad(loop)(0.5), hg.grad(lambda x: np.sin(np.sin(np.sin(x))))(0.5))
    with pytest.raises(TraceError, match=r"sin cannot be called .* like="):
        hg.grad(lambda x: hg.fori_loop(0, 3, lambda _, h: hg.external(math.sin)(h), x))(0.5)


def test_what_the_result_is_like() -> None:
    def f(x: Any) -> Any:
        return {"a": np.outer(x, x), "n": len(x), "m": np.float32(1.5)}

    for like in (None, f(X), lambda x: {"a": aval((len(x), len(x)), float), "n": 0, "m": aval((), np.float32)}):
        found = []

        def g(x: Any, like: Any = like, found: list[Any] = found) -> Any:
            out = hg.external(f, like)(x)
            found.append((out["a"].shape, type(out["n"]), out["m"].dtype, out["n"] * 2))
            assert list(range(out["n"])) == [0, 1, 2]
            return np.sum(hg.stop_gradient(out["a"]) @ x)

        g(X)
        assert_allclose(hg.grad(g)(X), np.outer(X, X).sum(axis=0))
        assert found[1][:3] == ((3, 3), int, np.float32)
    small = {"a": np.ones((2, 2)), "n": 0, "m": np.float32(0)}
    with pytest.raises(ShapeError, match=r"f returned shape \(3, 3\), where \(2, 2\) is expected"):
        hg.grad(lambda x: np.sum(x[:2] @ hg.stop_gradient(hg.external(f, small)(x)["a"])))(X)
    with pytest.raises(ShapeError, match=r"f returned \{.*\}, where \* is expected"):
        hg.grad(lambda x: np.sum(x * hg.stop_gradient(hg.external(f, 0.0)(x))))(X)


def test_black_boxes_get_plain_values_and_are_called_again() -> None:
    seen = []

    def f(x: Any, k: Any = 1) -> Any:
        seen.append((type(x), type(k)))
        return x * k

    box = hg.external(f)
    assert box(2.0, k=3) == 6.0
    g = hg.value_and_grad(lambda x, a: x * hg.stop_gradient(box(x, k=2)) + np.sum(a * hg.stop_gradient(box(a))))
    seen.clear()
    assert [g(1.0, X)[1], g(2.0, X)[1]] == [2.0, 4.0]
    assert set(seen) == {(float, int), (np.ndarray, int)}
    assert len(seen) == 4


def test_random_black_boxes_are_drawn_once_a_call() -> None:
    """Value and gradient see the same number; the next call another one, also where the trace is replayed."""
    source = random.Random(0)
    noise = hg.external(lambda x: source.random())
    g = hg.value_and_grad(lambda x: hg.stop_gradient(noise(x)) * x)
    pairs = [g(2.0) for _ in range(5)]
    assert all(value == 2.0 * slope for value, slope in pairs)
    assert len({slope for _, slope in pairs}) == 5


def test_black_boxes_on_plain_values_inside_a_trace() -> None:
    """What depends on nothing traced is called at each call, since it may have changed."""
    state = [1.0]
    box = hg.external(lambda n: np.full(n, state[0]))

    def f(x: Any) -> Any:
        a = box(2)
        a[0] = x
        return np.sum(a * x)

    g = hg.grad(f)
    assert g(3.0) == 7.0
    state[0] = 5.0
    assert g(3.0) == 11.0


def test_black_boxes_refuse_what_would_be_lost() -> None:
    def fill(x: Any) -> Any:
        x[0] = 5.0
        return 1.0

    with pytest.raises(TraceError, match="fill writes into an argument"):
        hg.grad(lambda x: np.sum(x * hg.stop_gradient(hg.external(fill)(x))))(X)
    with pytest.raises(TraceError, match="refers to the traced value x"):
        hg.grad(lambda x: x * hg.stop_gradient(hg.external(lambda y: float(x) * y)(x)))(2.0)
    with pytest.raises(TraceError, match="returned a str"):
        hg.grad(lambda x: x * hg.external(lambda y: "text")(x))(2.0)
    with pytest.raises(TraceError, match="returned a complex: its result must be real numbers"):
        hg.grad(lambda x: x * hg.external(lambda y: 1j * y)(x))(2.0)
    with pytest.raises(DtypeError, match="complex128"):
        hg.grad(lambda x: np.sum(hg.external(lambda y: 1j * y)(x)))(X)
    with pytest.raises(TypeError, match="needs a function"):
        hg.external(3)  # type: ignore[arg-type]
    for mode in (hg.grad, lambda f: hg.jacobian(f, mode="forward")):
        with pytest.raises(NotDifferentiableError, match="the external function <lambda> has no derivative of its own"):
            mode(lambda x: x * hg.external(lambda y: y)(x))(2.0)


def test_explain_names_black_boxes() -> None:
    story = str(hg.explain(lambda x: x * hg.stop_gradient(hg.external(math.gamma)(x)))(3.0))
    assert "gamma(x)" in story
    assert "= 2" in story


# -- new hops ----------------------------------------------------------------------------------------------------------


def test_a_hop_of_a_plain_function() -> None:
    @elementwise(lambda x, y: x * np.exp(-y * y), Function("g"))
    def gauss(x: Any, y: Any, *, out: Any) -> Any:
        """With the value used again."""
        return lambda: np.exp(-y * y), lambda: -2 * y * out

    assert gauss.__doc__ == "With the value used again."
    assert_allclose(gauss(X, 0.5), X * np.exp(-0.25))
    assert type(gauss(1, 2)) is np.float64
    assert gauss(X.astype(np.float32), 2.0).dtype == np.float32
    hg.check_grads(lambda x, y: gauss(x, y), (X, np.array([[0.1], [0.2]])), order=2)
    hg.check_grads(lambda x: np.sum(gauss(x, x) * gauss(2.0, x)), (X,), order=2)
    got = hg.grad(lambda x: np.sum(gauss(x, 2)))(X.astype(np.float32))
    assert got.dtype == np.float32
    story = str(hg.explain(lambda x: gauss(x, 2.0))(0.5))
    assert "g(x, 2)" in story
    assert "gauss" in str(hg.graph_of(lambda x: gauss(x, 2.0))(0.5))
    assert hg.explain(lambda x: gauss(x, 2.0))(0.5).latex()


def test_a_hop_of_a_ufunc_that_users_call_by_its_own_name() -> None:
    with pytest.raises(NotDifferentiableError, match=r"scipy.special.it2struve0"):
        hg.grad(scipy.special.it2struve0)(0.5)

    @elementwise(scipy.special.it2struve0, "S")
    def struve_tail(x: Any) -> Any:
        return -scipy.special.struve(0, x) / x

    for f in (struve_tail, scipy.special.it2struve0):
        assert_allclose(f(0.5), scipy.special.it2struve0(0.5))
        hg.check_grads(f, (np.abs(X),), order=2)
        assert hg.grad(lambda x, f=f: np.sum(f(x)))(np.abs(X).astype(np.float32)).dtype == np.float32
        assert_allclose(hg.grad(lambda x, f=f: f(x) * f(1))(0.5), struve_tail(1) * -scipy.special.struve(0, 0.5) / 0.5)
        assert "S(x)" in str(hg.explain(f)(0.5))


def test_a_hop_of_a_python_function_made_a_ufunc() -> None:
    gamma = np.frompyfunc(math.gamma, 1, 1)

    @elementwise(gamma, "Γ", domain=[(0.0, np.inf)])
    def gamma_function(x: Any, *, out: Any) -> Any:
        return out * scipy.special.digamma(x)

    x = np.array([1.5, 2.5])
    for f in (gamma, gamma_function):
        assert_allclose(hg.vjp(f, x)[0], scipy.special.gamma(x))
        hg.check_grads(f, (x,), order=2) if f is gamma_function else None
        assert_allclose(hg.grad(lambda x, f=f: np.sum(f(x)))(x), scipy.special.gamma(x) * scipy.special.digamma(x))
    assert_allclose(gamma_function(x), scipy.special.gamma(x))
    assert gamma_function(x).dtype == float


def test_a_hop_of_a_c_function() -> None:
    j0, j1 = (np.vectorize(libm(name), otypes=[float]) for name in ("j0", "j1"))

    @elementwise(j1, "J₁")
    def bessel1(x: Any) -> Any:
        return bessel0(x) - bessel1(x) / x

    @elementwise(j0, "J₀")
    def bessel0(x: Any) -> Any:
        return -bessel1(x)

    hg.check_grads(bessel0, (X,), order=3)
    assert_allclose(hg.grad(hg.grad(bessel0))(0.5), scipy.special.jvp(0, 0.5, 2))


def test_parameters_and_masks() -> None:
    @elementwise(lambda x, *, slope: np.where(x > 0, x, slope * x), "leaky")
    def leaky(x: Any, *, slope: float = 0.1) -> Any:
        return np.where(x > 0, 1.0, slope)

    assert_allclose(leaky(X), np.where(X > 0, X, 0.1 * X))
    assert_allclose(hg.elementwise_grad(leaky)(X), [1, 0.1, 1])
    assert_allclose(hg.elementwise_grad(lambda x: leaky(x, slope=0.5))(X), [1, 0.5, 1])
    with pytest.raises(TypeError, match=r"leaky\(\) got an unexpected keyword argument 'slop'"):
        leaky(X, slop=1)
    with pytest.raises(TypeError, match="the parameter slope must be a plain, hashable value"):
        leaky(X, slope=X)
    with pytest.raises(TypeError, match="takes 1 operand but 2 were given"):
        leaky(X, X)

    @elementwise(lambda x: np.sqrt(np.maximum(x, 0)), "root")
    def root(x: Any) -> Any:
        with np.errstate(all="ignore"):
            return On(x > 0, 0.5 / np.sqrt(x))

    assert_array_equal(hg.elementwise_grad(root)(np.array([4.0, 0.0, -1.0])), [0.25, 0, 0])


def test_flat_and_constant_factors() -> None:
    @elementwise(lambda x, y: np.round(x) + 3 * y, "q", domain=[(-1, 1), (-1, 1)])
    def rounded(x: Any, y: Any) -> Any:
        return None, 3

    assert hg.grad(rounded, (0, 1))(0.4, 2.0) == (0.0, 3.0)
    assert hg.jvp(rounded, (0.4, 2.0), (1.0, 1.0))[1] == 3.0


def test_a_body_cannot_branch_on_values() -> None:
    @elementwise(np.abs, "A")
    def branchy(x: Any) -> Any:
        return 1.0 if x > 0 else -1.0

    with pytest.raises(TraceError, match=r"formula for all values.* use np.where"):
        hg.grad(branchy)(0.5)


def test_reductions() -> None:
    @reduction(lambda x, axis, keepdims: np.exp(np.mean(np.log(x), axis=axis, keepdims=keepdims)), "gm")
    def geometric_mean(x: Any, *, out: Any, axes: Any) -> Any:
        return out / x / np.prod([x.shape[k] for k in axes])

    a = np.array([[1.0, 2.0, 4.0], [0.5, 3.0, 1.5]])
    assert_allclose(geometric_mean(a), np.exp(np.log(a).mean()))
    for axis in (None, 0, 1, (0, 1), -1):
        for keepdims in (False, True):

            def f(x: Any, axis: Any = axis, keepdims: bool = keepdims) -> Any:
                return geometric_mean(x, axis=axis, keepdims=keepdims)

            assert f(a).shape == np.mean(a, axis=axis, keepdims=keepdims).shape
            hg.check_grads(f, (a,), order=2)
    assert hg.grad(geometric_mean)(a.astype(np.float32)).dtype == np.float32
    assert "gm(x)" in str(hg.explain(geometric_mean)(a))


def test_general_hops() -> None:
    @general(np.cross, "cross", infer=lambda a, b: a)
    def cross(a: Any, b: Any) -> Any:
        return (
            Map(lambda t: np.cross(t, b), lambda ct: np.cross(b, ct)),
            lambda: Map(lambda t: np.cross(a, t), lambda ct: np.cross(ct, a)),
        )

    a, b = X, np.array([1.0, 0.5, -2.0])
    assert_allclose(cross(a, b), np.cross(a, b))
    hg.check_grads(cross, (a, b), order=2)
    assert_allclose(hg.jacobian(cross)(a, b), hg.jacobian(np.cross)(a, b))

    @general(np.cumsum, "c", infer=lambda x: aval((7,), float))
    def wrong(x: Any) -> Any:
        return None

    with pytest.raises(ShapeError, match=r"the value function of wrong gave shape \(3,\), where \(7,\)"):
        hg.grad(lambda x: np.sum(wrong(x) * x[0]))(X)


def test_definitions_that_cannot_be() -> None:
    def sin(x: Any) -> Any:
        return x

    with pytest.raises(GraphError, match=r"a hop 'sin' is defined in hopgrad.hops.elementwise already: .* name="):
        elementwise(np.cos, "s")(sin)
    assert catalogue["sin"].function is np.sin
    elementwise(np.cbrt, "s", name="my sin")(sin)
    with pytest.raises(GraphError, match="unknown traits: smoothish"):
        elementwise(np.cos, "t", traits=["smoothish"], name="t")(sin)
    assert "t" not in catalogue
    with pytest.raises(GraphError, match="1 operands, but domain 2 intervals"):
        elementwise(np.cos, "t", domain=[(0, 1), (0, 1)], name="t")(sin)
    with pytest.raises(TypeError, match="must be a function of arrays"):
        elementwise(3, "t")(sin)  # type: ignore[arg-type]


def test_a_definition_may_be_made_again() -> None:
    """As a cell of a notebook does that is run twice."""
    made = []
    for slope in (2.0, 3.0):

        @elementwise(lambda x, slope=slope: x * slope, "again")
        def again(x: Any, *, out: Any) -> Any:
            return out / x

        made.append(again)
    assert catalogue["again"] is made[1].hop
    assert [hg.grad(f)(2.0) for f in made] == [2.0, 3.0]


def test_a_value_function_of_another_shape_is_told() -> None:
    @elementwise(lambda x: np.ones(5), "five")
    def five(x: Any) -> Any:
        return x

    with pytest.raises(ShapeError, match=r"the value function of five gave shape \(5,\), where \(3,\)"):
        five(X)


def test_defined_hops_in_loops_traces_and_threads() -> None:
    @elementwise(lambda x: x**3, "cube")
    def cube(x: Any) -> Any:
        return 3 * x**2

    assert_allclose(hg.grad(lambda x: hg.fori_loop(0, 2, lambda _, h: cube(h), x))(1.1), 9 * 1.1**8)
    g = hg.grad(lambda x: cube(x) * 2)
    assert [g(1.0), g(2.0)] == [6.0, 24.0]
    assert "replayed 1 times" in g.report()  # type: ignore[attr-defined]

    def filled(x: Any) -> Any:
        a = cube(hnp.ones(3))
        a[0] = x
        return np.sum(a * x)

    assert hg.grad(filled)(3.0) == 8.0
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(g, np.arange(1.0, 33.0))) == [6.0 * x**2 for x in range(1, 33)]
