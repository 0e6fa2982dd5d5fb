"""The transforms: what may be differentiated by what, what comes back, nesting, errors, threads, long chains."""

from __future__ import annotations

import threading
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, note
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sampling import DIFFERENTIABLE_UFUNCS, inside

import hopgrad as hg
from hopgrad import tree
from hopgrad.errors import DtypeError, HopgradError, ShapeError
from hopgrad.graph.hop import Plane
from hopgrad.trace import context

X = np.array([0.5, -1.5, 2.0])


@pytest.fixture(autouse=True)
def no_state_is_left() -> Iterator[None]:
    yield
    assert context.current() is None


def same(got: Any, want: Any) -> None:
    """Equal in structure, in the kind of every leaf, in dtype and (nearly) in value."""
    got_leaves, got_structure = tree.flatten(got)
    want_leaves, want_structure = tree.flatten(want)
    assert got_structure == want_structure
    for a, b in zip(got_leaves, want_leaves, strict=True):
        assert type(a) is type(b)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)
        assert np.shape(a) == np.shape(b)
        assert_allclose(a, b, rtol=1e-6 if getattr(a, "dtype", None) == np.float32 else 1e-13)


# -- which arguments ---------------------------------------------------------------------------------------------------


def weighted(x: float, y: float, z: float = 5.0, *, scale: float = 1.0) -> float:
    """A function of everything."""
    return (x * x + x * y * 10 + z * z * 100) * scale


@pytest.mark.parametrize(
    ("argnums", "want"),
    [
        (0, 34.0),
        (1, 20.0),
        (2, 1000.0),
        (-1, 1000.0),
        (-3, 34.0),
        ("x", 34.0),
        ("z", 1000.0),
        ((0, 1), (34.0, 20.0)),
        ([0, -1], (34.0, 1000.0)),
        (("y", 0), (20.0, 34.0)),
        ((0,), (34.0,)),
    ],
    ids=repr,
)
def test_argnums(argnums: Any, want: Any) -> None:
    assert hg.grad(weighted, argnums)(2.0, 3.0, 5.0) == want
    assert hg.value_and_grad(weighted, argnums)(2.0, 3.0, 5.0) == (2564.0, want)


def test_arguments_given_by_keyword() -> None:
    assert hg.grad(weighted, "scale")(2.0, 3.0, scale=1.0) == 2564
    assert hg.grad(weighted, "y")(2.0, y=3.0) == 20
    assert hg.grad(weighted, 1)(2.0, y=3.0) == 20
    assert hg.grad(weighted, (0, "scale"))(2.0, 3.0, scale=2.0) == (68.0, 2564.0)
    assert hg.grad(lambda **settings: settings["a"] ** 2, "a")(a=3.0, b="unused") == 6
    assert hg.grad(lambda *values: values[0] * values[2], 2)(3.0, None, 5.0) == 3


@pytest.mark.parametrize(
    ("argnums", "message"),
    [
        (3, "argument 3 of weighted, but it was called with 2 positional"),
        (-3, "argument -3"),
        ("w", "argument 'w' of weighted"),
        ("scale", "argument 'scale'"),
        ((), "empty"),
        ((0, 0), "twice"),
        ((0, "x"), "twice"),
        ((0, -2), "twice"),
    ],
    ids=repr,
)
def test_wrong_argnums(argnums: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hg.grad(weighted, argnums)(2.0, 3.0)


def test_other_arguments_stay_what_they_are() -> None:
    def f(x: float, n: int, name: str, options: dict[str, Any], missing: None, flag: bool) -> float:
        assert type(n) is int
        assert (name, options, missing, flag) == ("a", {"k": [1]}, None, True)
        for _ in range(n):
            x = x * x
        return x

    assert hg.grad(f)(2.0, 3, "a", {"k": [1]}, None, True) == 8 * 2.0**7


# -- kinds and structures ----------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", ["first", "second"])


@dataclass
class Layer:
    W: Any
    b: Any


@dataclass(frozen=True)
class Frozen:
    value: Any


class Registered:
    def __init__(self, value: Any, label: str) -> None:
        self.value, self.label = value, label


tree.register(Registered, lambda r: ({"value": r.value}, r.label), lambda label, c: Registered(c["value"], label))


@pytest.mark.parametrize(
    "point",
    [
        3.0,
        3,
        np.float64(3),
        np.float32(3),
        np.float16(3),
        np.array(3.0),
        np.array(3.0, np.float32),
        np.array([3.0, 4.0]),
        np.array([[3.0, 4.0]], np.float32),
        np.zeros((0, 2)),
        [3.0, np.float32(4)],
        (3.0, [np.array([1.0, 2.0])]),
        {"a": 3.0, "b": {"c": X}},
        OrderedDict(z=1.0, a=2.0),
        Pair(1.0, X),
        Layer(W=np.eye(2), b=X),
        Frozen((1.0, 2.0)),
        [None, 3.0, ()],
        np.arange(3.0).astype(">f8"),
    ],
    ids=repr,
)
def test_gradients_have_the_kind_of_their_argument(point: Any) -> None:
    """A Python number gives a float, a NumPy scalar one of its dtype, an array an array, in the same containers."""

    def f(x: Any) -> Any:
        return sum((np.sum(leaf * leaf * leaf) for leaf in tree.flatten(x)[0]), 0.0)

    def slope(leaf: Any) -> Any:
        if isinstance(leaf, int) or type(leaf) is float:
            return 3.0 * leaf**2
        found = leaf * leaf * np.asarray(leaf).dtype.type(3)
        if not isinstance(leaf, np.ndarray):
            return found
        return np.asarray(found, leaf.dtype.newbyteorder("="))

    same(hg.grad(f)(point), tree.map(slope, point))
    same(hg.jvp(f, (point,), (tree.map(np.ones_like, point),))[0], hg.value_and_grad(f)(point)[0])


def test_registered_classes() -> None:
    got = hg.grad(lambda r: r.value**2)(Registered(3.0, "kept"))
    assert type(got) is Registered
    assert (got.value, got.label) == (6.0, "kept")


def test_value_and_gradient_have_numpys_kinds() -> None:
    same(hg.value_and_grad(lambda x: x * 2)(3.0), (6.0, 2.0))
    same(hg.value_and_grad(np.sin)(0.0), (np.float64(0), 1.0))
    same(hg.value_and_grad(np.sum)(X), (np.float64(1), np.ones(3)))
    same(hg.value_and_grad(lambda x: np.sum(x) * 2)(X.astype(np.float32)), (np.float32(2), np.full(3, 2, np.float32)))
    same(hg.value_and_grad(lambda x: x[0, ...])(X), (np.array(0.5), np.array([1.0, 0, 0])))
    same(hg.value_and_grad(lambda x: 1.0)(2.0), (1.0, 0.0))


def test_python_floats_are_weak_and_float32_stays() -> None:
    x = np.float32(0.5)
    same(hg.grad(lambda x, p: np.sum(x * p), 1)(x, 2.0), 0.5)
    same(hg.grad(lambda x, p: np.sum(x * p))(x, 2.0), np.float32(2))
    value, gradient = hg.value_and_grad(lambda x, p: x * np.sin(p))(x, 2.0)
    same((value, gradient), (np.float64(0.5 * np.sin(2)), np.float32(np.sin(2))))


def test_unused_inputs_have_zero_gradients() -> None:
    same(hg.grad(lambda p: p["a"] * 2.0)({"a": 1.0, "b": X, "c": np.float32(1)}),
         {"a": 2.0, "b": np.zeros(3), "c": np.float32(0)})  # fmt: skip
    same(hg.grad(lambda x: 7.0)(X), np.zeros(3))
    same(hg.jvp(lambda x: np.ones(2), (X,), (X,)), (np.ones(2), np.zeros(2)))
    same(hg.jacobian(lambda x: np.ones(2))(X), np.zeros((2, 3)))
    same(hg.hessian(lambda x: np.sum(x))(X), np.zeros((3, 3)))
    same(hg.hvp(lambda x: np.sum(x))(X, X), np.zeros(3))
    same(hg.vjp(lambda x, y: x * 2.0, 1.0, X)[1](1.0), (2.0, np.zeros(3)))


# -- auxiliary output --------------------------------------------------------------------------------------------------


def test_auxiliary_output_of_any_kind() -> None:
    def f(x: Any) -> Any:
        y = x * x
        return np.sum(y), {"traced": y, "half": [y[0] / 2], "plain": "text", "array": np.arange(2), "none": None}

    gradient, aux = hg.grad(f, has_aux=True)(X)
    same(gradient, 2 * X)
    assert aux["plain"] == "text"
    del aux["plain"]
    same(aux, {"traced": X * X, "half": [np.float64(0.125)], "array": np.arange(2), "none": None})
    (value, aux), gradient = hg.value_and_grad(f, has_aux=True)(X)
    same((value, gradient), (np.sum(X * X), 2 * X))
    assert aux["none"] is None


def test_auxiliary_output_inside_another_trace() -> None:
    def outer(x: Any) -> Any:
        gradient, aux = hg.grad(lambda y: (y**3, y**2), has_aux=True)(x)
        return gradient * aux

    assert hg.grad(outer)(2.0) == 3 * 4 * 2.0**3


def test_auxiliary_output_must_come_in_a_pair() -> None:
    with pytest.raises(TypeError, match=r"must return a pair \(value, aux\)"):
        hg.grad(lambda x: x, has_aux=True)(1.0)


# -- jvp, vjp, Jacobians -----------------------------------------------------------------------------------------------


def split(x: Any) -> dict[str, Any]:
    return {"s": np.sum(x**2), "v": [x[:2] * 3.0]}


def test_jvp_of_structures() -> None:
    value, tangent = hg.jvp(split, (X,), (np.array([1.0, 0.0, 1.0]),))
    same(value, split(X))
    same(tangent, {"s": np.float64(5.0), "v": [np.array([3.0, 0.0])]})


def test_vjp_of_structures_and_several_arguments() -> None:
    value, pullback = hg.vjp(lambda x, p: {"y": x * p["k"]}, X, {"k": 2.0})
    same(value, {"y": 2 * X})
    for weights in (np.ones(3), X):  # a pullback can be used again
        same(pullback({"y": weights}), (2 * weights, {"k": float(weights @ X)}))


def test_a_result_that_occurs_twice() -> None:
    value, pullback = hg.vjp(lambda x: (x * 2.0, x * 2.0, x), 1.0)
    assert value == (2.0, 2.0, 1.0)
    assert pullback((1.0, 10.0, 100.0)) == (122.0,)


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
def test_jacobians_of_structures(mode: Any) -> None:
    def f(p: Any) -> Any:
        return {"y": p["W"] @ p["x"], "s": p["x"][0] * 2.0}

    W, x = np.arange(6.0).reshape(2, 3), X
    got = hg.jacobian(f, mode=mode)({"W": W, "x": x})
    eye = np.eye(2)
    want = {
        "y": {"W": eye[:, :, None] * x, "x": W},
        "s": {"W": np.zeros((2, 3)), "x": np.array([2.0, 0, 0])},
    }
    same(got, want)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize(
    ("f", "point", "want"),
    [
        (lambda x: x * x, 3.0, 6.0),
        (lambda x: x * x, np.float32(3), np.float32(6)),
        (lambda x: x * x, np.array(3.0), np.float64(6)),
        (lambda x: np.stack([x, x * x]), 3.0, np.array([1.0, 6.0])),
        (np.sum, X, np.ones(3)),
        (lambda x: x[:0], X, np.zeros((0, 3))),
        (lambda x: x * 2.0, np.zeros((0,)), np.zeros((0, 0))),
        (lambda x: x.T, np.ones((1, 2)), np.eye(2).reshape(2, 1, 1, 2)),
    ],
)
def test_jacobian_shapes_and_kinds(f: Any, point: Any, want: Any, mode: Any) -> None:
    got = hg.jacobian(f, mode=mode)(point)
    assert_allclose(got, want)
    assert np.shape(got) == np.shape(want)
    assert np.asarray(got).dtype == np.asarray(want).dtype


def test_jacobian_of_several_arguments() -> None:
    by_x, by_y = hg.jacobian(lambda x, y: x * y, (0, 1))(X, 2.0)
    assert_allclose(by_x, 2 * np.eye(3))
    assert_allclose(by_y, X)


def quartic(x: Any) -> Any:
    return np.sum(x**4) + x[0] * x[1] * x[2]


def quartic_hessian(x: Any) -> Any:
    a, b, c = x
    return np.diag(12 * x**2) + np.array([[0, c, b], [c, 0, a], [b, a, 0]])


def test_hessian_and_its_products() -> None:
    assert_allclose(hg.hessian(quartic)(X), quartic_hessian(X))
    assert_allclose(hg.jacobian(hg.grad(quartic), mode="reverse")(X), quartic_hessian(X))
    assert_allclose(hg.hvp(quartic)(X, np.ones(3)), quartic_hessian(X) @ np.ones(3))
    for number in (1, -1):
        product = hg.hvp(lambda k, x: k * quartic(x), number)(X, np.ones(3), 2.0)
        assert_allclose(product, 2 * quartic_hessian(X) @ np.ones(3))
    same(hg.hvp(lambda p: p["a"] * p["b"] ** 2)({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 10.0}), {"a": 40.0, "b": 24.0})
    assert hg.hessian(lambda x: x**3)(2.0) == 12


def test_hessian_of_several_arguments() -> None:
    def f(p: Any) -> Any:
        return np.sum(np.sin(p["a"]) * np.sum(p["b"] ** 2)) + p["b"][0, 1] * p["a"][2] ** 3

    p = {"a": np.array([0.3, -1.2, 0.7]), "b": np.array([[0.5, 2.0], [-0.4, 1.5]])}
    for backend in ("native", "numpy"):
        h = hg.hessian(f, backend=backend)
        expected = hg.jacobian(hg.grad(f), mode="reverse")(p)
        for _ in range(3):
            found = h(p)
            for row in "ab":
                for column in "ab":
                    assert found[row][column].shape == p[row].shape + p[column].shape
                    np.testing.assert_allclose(found[row][column], expected[row][column], 1e-12, 1e-12)


def test_derivatives_of_a_gradient_that_a_rule_made_up_keep_their_places() -> None:
    @hg.custom_jvp
    def product(x: Any) -> Any:
        return x[0] * x[1]

    @product.defjvp
    def product_jvp(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return x[0] * x[1], x[1] ** 2 * t[0] + x[0] * t[1]

    x = np.array([2.0, 3.0])
    np.testing.assert_allclose(hg.hessian(product)(x), [[0.0, 6.0], [1.0, 0.0]])


def test_hessian_by_another_argument() -> None:
    assert hg.hessian(lambda x, y: x * y**2, 1)(3.0, 5.0) == 6
    assert hg.hessian(lambda x, y: x * y**2, "y")(3.0, y=5.0) == 6


def test_elementwise_grad() -> None:
    same(hg.elementwise_grad(np.sin)(X), np.cos(X))
    same(hg.elementwise_grad(lambda x, y: x * y, 1)(X, 2 * X), X)
    same(hg.elementwise_grad(hg.elementwise_grad(lambda x: x**3))(X), 6 * X)
    same(hg.elementwise_grad(np.sin)(0.0), 1.0)
    same(hg.elementwise_grad(lambda x: (x * x, [x * x, x]))(3.0), 13.0)


# -- checking ----------------------------------------------------------------------------------------------------------


def test_check_grads_accepts_right_and_refuses_wrong_derivatives() -> None:
    hg.check_grads(quartic, (X,), order=3)
    hg.check_grads(lambda p, x: p["a"] * np.sin(x), ({"a": 2.0}, X), order=2)
    hg.check_grads(lambda x: np.sum(np.sin(x)), (X.astype(np.float32),))

    def wrong(x: Any) -> Any:
        return x * np.floor(np.asarray(1e3) * x)  # steps so fine that differences see a slope

    with pytest.raises(AssertionError, match="forward mode against finite differences"):
        hg.check_grads(wrong, (0.7,))
    with pytest.raises(AssertionError, match="reverse mode against finite differences"):
        hg.check_grads(wrong, (0.7,), modes=("reverse",))


# -- nesting -----------------------------------------------------------------------------------------------------------


def forward(f: Callable[[float], Any]) -> Callable[[float], Any]:
    return lambda x: hg.jvp(f, (x,), (1.0,))[1]


def reverse(f: Callable[[float], Any]) -> Callable[[float], Any]:
    return lambda x: hg.vjp(f, x)[1](1.0)[0]


WAYS = {
    "grad": hg.grad,
    "jvp": forward,
    "vjp": reverse,
    "jacobian forward": lambda f: hg.jacobian(f, mode="forward"),
    "jacobian reverse": lambda f: hg.jacobian(f, mode="reverse"),
    "elementwise": hg.elementwise_grad,
}


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_second_order_by_every_pair_of_ways(first: str, second: str) -> None:
    got = WAYS[first](WAYS[second](lambda x: x * np.sin(x) + 3 * x**2))(0.7)
    assert_allclose(got, 2 * np.cos(0.7) - 0.7 * np.sin(0.7) + 6, rtol=1e-14)


@pytest.mark.parametrize("ways", [["grad"] * 4, ["jvp"] * 4, ["grad", "jvp"] * 2, ["jacobian reverse"] * 4], ids=str)
def test_fourth_order(ways: list[str]) -> None:
    def f(x: Any) -> Any:
        return x**5 + 1 / x

    for way in ways:
        f = WAYS[way](f)
    assert_allclose(f(2.0), 120 * 2 + 24 / 2**5, rtol=1e-14)


def test_perturbations_are_not_confused() -> None:
    """Siskind and Pearlmutter, Nesting forward-mode AD in a functional framework, 2008."""
    assert hg.grad(lambda x: x * hg.grad(lambda y: x + y)(x))(3.0) == 1
    assert hg.grad(lambda x: x * hg.grad(lambda y: x + y)(1.0))(3.0) == 1
    assert hg.grad(lambda x: x * hg.grad(lambda y: x * y)(2.0))(3.0) == 6
    assert forward(lambda x: x * forward(lambda y: x + y)(1.0))(1.0) == 1
    assert forward(lambda x: x * hg.grad(lambda y: x * y * y)(x))(2.0) == 24
    assert hg.grad(lambda x: x * forward(lambda y: x * y * y)(x))(2.0) == 24
    assert hg.grad(lambda x: hg.grad(lambda y: hg.grad(lambda z: x * y * z)(1.0))(2.0))(3.0) == 1
    assert hg.grad(lambda x: hg.grad(lambda x: x**2)(x) * x)(3.0) == 12


def test_derivatives_inside_numpy_code() -> None:
    def energy(x: Any) -> Any:
        slope = hg.grad(quartic)(x)
        curvature = hg.hessian(quartic)(x)
        rows = hg.jacobian(lambda y: y * x)(x)
        return np.sum(slope**2) + np.trace(curvature) + np.sum(rows) * 2.0

    hg.check_grads(energy, (X,), order=2)


def test_newton_steps_through_their_own_derivative() -> None:
    def root(a: Any) -> Any:
        x = a
        for _ in range(30):
            x = x - (x * x - a) / hg.grad(lambda y: y * y - a)(x)
        return x

    value, slope = hg.value_and_grad(root)(2.0)
    assert_allclose((value, slope), (2**0.5, 0.5 / 2**0.5), rtol=1e-14)


def test_closed_over_tracers_in_every_transform() -> None:
    def f(x: Any) -> Any:
        a = hg.jvp(lambda y: x * y, (x,), (x,))[1]
        b = hg.vjp(lambda y: x * y, x)[1](x)[0]
        c = hg.jacobian(lambda y: x * y)(x)
        d = hg.hvp(lambda y: x * y**2)(x, x)
        e = hg.elementwise_grad(lambda y: x * y)(x)
        return a + b + c + d + e

    # x² + x² + x + 2x² + x
    assert hg.grad(f)(3.0) == 8 * 3 + 2


def test_a_pullback_kept_and_used_at_another_level() -> None:
    _, pullback = hg.vjp(lambda x: x**2, 3.0)
    assert hg.grad(lambda w: pullback(w * w)[0])(2.0) == 24
    assert hg.grad(lambda x: x * pullback(1.0)[0])(2.0) == 6

    def f(x: Any) -> Any:
        value, pull = hg.vjp(lambda y: x * y**2, x)
        return pull(value)[0]  # 2 x y · x y² at y = x, so 2 x⁵

    assert hg.grad(f)(2.0) == 10 * 2**4


def test_a_pullback_of_a_trace_that_is_over() -> None:
    kept: list[Any] = []
    hg.grad(lambda x: kept.append(hg.vjp(lambda y: x * y, x)[1]) or x * x)(2.0)
    with pytest.raises(HopgradError, match="after its function had returned"):
        kept[0](1.0)


def test_inner_results_that_depend_on_nothing_are_plain() -> None:
    def f(x: Any) -> Any:
        n = hg.grad(lambda y: y**2)(2.0)
        assert type(n) is float
        return x * range(int(n))[-1]

    assert hg.grad(f)(1.0) == 3


# -- what a transform looks like ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transform", [hg.grad, hg.value_and_grad, hg.elementwise_grad, hg.jacobian, hg.hessian, hg.hvp, hg.graph_of]
)
def test_a_transform_wears_the_functions_name(transform: Any) -> None:
    made = transform(weighted)
    assert made.__name__ == "weighted"
    assert made.__wrapped__ is not None
    assert "weighted" in made.__doc__
    assert "A function of everything." in made.__doc__
    assert callable(transform(np.sin))
    assert callable(transform(threading.Thread))


def test_methods_partials_and_callables() -> None:
    class Model:
        k = 3.0

        def loss(self, x: Any) -> Any:
            return self.k * x**2

        def __call__(self, x: Any) -> Any:
            return self.loss(x)

    model = Model()
    assert hg.grad(model.loss)(2.0) == 12
    assert hg.grad(model)(2.0) == 12
    assert hg.grad(Model.loss, 1)(model, 2.0) == 12


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [hg.grad, hg.value_and_grad])
def test_a_result_that_is_no_scalar(transform: Any) -> None:
    with pytest.raises(ShapeError, match=r"returned shape \(3,\). Use jacobian.*vjp.*elementwise_grad"):
        transform(lambda x: x * 2)(X)
    with pytest.raises(TypeError, match=r"one scalar result; <lambda> returned .*has_aux"):
        transform(lambda x: (x, x))(1.0)
    with pytest.raises(TypeError, match="returned str"):
        transform(lambda x: "text")(1.0)
    with pytest.raises(TypeError, match="one scalar result"):
        transform(lambda x: None)(1.0)
    with pytest.raises(DtypeError, match="floating-point result; <lambda> returned bool"):
        transform(lambda x: x > 0)(1.0)


class Frame:  # stands for a class of pandas, which is not among the requirements
    pass


Frame.__module__ = "pandas.core.frame"


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (np.arange(3), r"^x has integer dtype int64.*x\.astype\(float\)"),
        (np.int32(3), r"^x has integer dtype int32"),
        ({"a": [1.0, np.arange(2)]}, r'^x\["a"\]\[1\] has integer dtype'),
        (np.array([True]), r"^x has dtype bool"),
        (True, r"^x is of type bool"),
        (np.ma.masked_array(X), r"^x is a masked array: pass x\.filled"),
        (np.ones((1, 1)).view(np.matrix), r"^x is an np\.matrix: pass np\.asarray\(x\)"),
        (np.array([1.0, None]), r"^x has dtype object"),
        (np.array(["a"]), r"^x has dtype <U1"),
        (np.array(["2020-01-01"], "datetime64[D]"), r"^x has dtype datetime64"),
        ("text", r"^x is of type str.*float, a NumPy array"),
        (Frame(), r"^x is of type Frame.*x\.to_numpy\(\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_arguments_by_which_nothing_can_be_differentiated(point: Any, message: str) -> None:
    def f(x: Any) -> Any:
        raise AssertionError("the function is not even called")

    for transform in (hg.grad, hg.jacobian, hg.elementwise_grad):
        with pytest.raises(DtypeError, match=message):
            transform(f)(point)
    with pytest.raises(DtypeError, match=message):
        hg.vjp(f, point)


def test_wrong_tangents_and_cotangents() -> None:
    with pytest.raises(ShapeError, match=r"1 primals but 2 tangents"):
        hg.jvp(np.sin, (1.0,), (1.0, 2.0))
    with pytest.raises(ShapeError, match=r"tangent has shape \(2,\), but \(3,\) is needed"):
        hg.jvp(np.sin, (X,), (np.ones(2),))
    with pytest.raises(ShapeError, match="tangent has structure"):
        hg.jvp(lambda x: x[0], ([1.0],), ((1.0,),))
    with pytest.raises(ShapeError, match=r"cotangent has shape \(\), but \(3,\) is needed"):
        hg.vjp(np.sin, X)[1](1.0)
    with pytest.raises(ValueError, match="mode is 'forward', 'reverse' or None"):
        hg.jacobian(np.sin, mode="backward")  # type: ignore[arg-type]


def test_errors_of_the_users_function_pass_through_and_leave_nothing_behind() -> None:
    class OwnError(Exception):
        pass

    def broken(x: Any) -> Any:
        np.sin(x)
        raise OwnError

    for call in (
        lambda: hg.grad(broken)(1.0),
        lambda: hg.jvp(broken, (1.0,), (1.0,)),
        lambda: hg.vjp(broken, 1.0),
        lambda: hg.jacobian(broken)(1.0),
        lambda: hg.hessian(broken)(1.0),
        lambda: hg.grad(lambda x: hg.grad(broken)(x))(1.0),
    ):
        with pytest.raises(OwnError):
            call()
        assert context.current() is None
        assert hg.grad(np.sin)(0.0) == 1


def test_an_error_caught_inside_does_not_disturb_the_rest() -> None:
    def inner(x: Any) -> Any:
        raise KeyError("x")

    def f(x: Any) -> Any:
        try:
            return hg.grad(inner)(x)
        except KeyError:
            return hg.grad(lambda y: y**3)(x)

    assert hg.grad(f)(2.0) == 12


def test_a_value_that_escapes_is_told_about() -> None:
    # Out of sight: lists, dicts and attributes of objects that the function reads itself get the actual value.
    kept: Any = iter([[]]), threading.local()
    hg.grad(lambda x: setattr(kept[1], "value", [[[x]]].copy) or x * x)(1.0)
    value = kept[1].value()[0][0][0]
    with pytest.raises(HopgradError, match="after its function had returned"):
        value + 1
    with pytest.raises(HopgradError, match=r"after its function had returned|two different traces"):
        hg.grad(lambda x: x * value)(1.0)


def test_a_value_that_leaves_an_inner_function_keeps_its_derivative() -> None:
    def f(x: Any) -> Any:
        kept = []

        def inner(t: Any) -> Any:
            kept.append(t * t)
            return t**3

        return hg.grad(inner)(x) + kept[0] * 10

    assert hg.grad(f)(2.0) == 6 * 2.0 + 10 * 2 * 2.0
    assert hg.jvp(f, (2.0,), (1.0,))[1] == 52.0


def test_a_generator_exit_leaves_nothing_behind() -> None:
    def steps(x: Any) -> Iterator[Any]:
        yield x
        yield x * 2

    assert hg.grad(lambda x: next(steps(x)) * 3)(1.0) == 3


# -- threads -----------------------------------------------------------------------------------------------------------


def test_threads_trace_the_same_function_at_the_same_time() -> None:
    start = threading.Barrier(8)
    found: dict[int, Any] = {}

    def f(x: Any) -> Any:
        for _ in range(50):
            x = np.sin(x) + hg.elementwise_grad(lambda y: y * y)(x) * 0.1
        return np.sum(x)

    def work(k: int) -> None:
        start.wait()
        found[k] = [hg.grad(f)(np.full(3, 0.1 * k)) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for k, gradients in found.items():
        for gradient in gradients:
            assert_array_equal(gradient, hg.grad(f)(np.full(3, 0.1 * k)))


def test_values_of_two_threads_do_not_mix() -> None:
    caught: list[Exception] = []

    def f(x: Any) -> Any:
        def other() -> None:
            try:
                hg.grad(lambda y: x * y)(1.0)
            except HopgradError as error:
                caught.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x

    hg.grad(f)(1.0)
    assert "two different traces" in str(caught[0])


# -- aliasing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x,
        lambda x: x[:],
        lambda x: x.T,
        lambda x: x.reshape(3),
        lambda x: x * 1.0,
        lambda x: np.broadcast_to(x, (3,)),
        lambda x: np.asarray(CONSTANT),
    ],
)
def test_results_share_no_memory(f: Any) -> None:
    x = X.copy()
    tangent = np.ones(3)
    value, moved = hg.jvp(f, (x,), (tangent,))
    again, pullback = hg.vjp(f, x)
    weights = np.ones(np.shape(value))
    (pulled,) = pullback(weights)
    jacobian = hg.jacobian(f)(x)
    results = [value, moved, again, pulled, jacobian, hg.elementwise_grad(f)(x)]
    results += hg.grad(lambda x, y: np.sum((x + y) * CONSTANT * x[0]), (0, 1))(x, x)
    for number, result in enumerate(results):
        assert result.flags.writeable
        others = [x, tangent, weights, CONSTANT, *results[:number]]
        assert not any(np.shares_memory(result, other) for other in others)
    for result in results:
        result[...] = 77
    assert_array_equal(x, X)
    same(hg.vjp(f, x)[0], again * 0 + np.asarray(f(X)))


CONSTANT = np.arange(3.0)


def test_a_pullback_keeps_the_values_that_it_was_made_with() -> None:
    x, k = np.array([1.0, 2.0]), np.array([5.0, 5.0])
    value, pullback = hg.vjp(lambda x: np.exp(x * 0) * x**2 * k, x)
    value[...] = x[...] = k[...] = 100.0
    same(pullback(np.ones(2)), (np.array([10.0, 20.0]),))
    assert hg.grad(lambda w: np.sum(pullback(w * np.ones(2))[0]))(1.0) == 30


def test_a_pullback_runs_the_function_once() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(x)
        return x * x

    pullback = hg.vjp(f, 3.0)[1]
    assert pullback(1.0) == (6.0,)
    assert hg.grad(lambda w: pullback(w)[0])(1.0) == 6
    assert len(calls) == 1


def test_an_array_changed_after_its_use_does_not_change_the_gradient() -> None:
    buffer = np.array([3.0])

    def f(x: Any) -> Any:
        y = x * buffer
        buffer[0] = 100.0
        return np.sum(y * 1.0)

    assert hg.grad(f)(2.0) == 3


# -- long chains -------------------------------------------------------------------------------------------------------


def chain(length: int) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        for _ in range(length // 2):
            x = np.sin(x)
            x = x * 1.0001
        return x

    return f


def chain_slope(length: int, x: float) -> float:
    slope = 1.0
    for _ in range(length // 2):
        slope *= np.cos(x) * 1.0001
        x = np.sin(x) * 1.0001
    return slope


def test_a_hundred_thousand_hops_need_no_recursion() -> None:
    assert_allclose(hg.grad(chain(100_000))(0.5), chain_slope(100_000, 0.5), rtol=1e-9)
    assert_allclose(hg.jvp(chain(100_000), (0.5,), (1.0,))[1], chain_slope(100_000, 0.5), rtol=1e-9)


def test_second_derivatives_of_a_long_chain() -> None:
    f = chain(10_000)
    numeric = (hg.grad(f)(0.5 + 1e-6) - hg.grad(f)(0.5 - 1e-6)) / 2e-6
    assert_allclose(hg.grad(hg.grad(f))(0.5), numeric, rtol=1e-6)


@pytest.mark.slow
def test_a_million_hops() -> None:
    assert_allclose(hg.grad(chain(1_000_000))(0.5), chain_slope(1_000_000, 0.5), rtol=1e-8)


def test_a_value_used_a_million_times_over_is_passed_once() -> None:
    """2³⁰ paths from the result to x, one adjoint a value."""

    def f(x: Any) -> Any:
        for _ in range(30):
            x = x + x
        return x

    assert hg.grad(f)(1.0) == 2.0**30


# -- with SciPy --------------------------------------------------------------------------------------------------------


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_scipy_minimizes_with_value_and_gradient() -> None:
    found = scipy.optimize.minimize(hg.value_and_grad(rosenbrock), [-1.2, 1.0, 0.7], jac=True)
    assert found.success
    assert_allclose(found.x, 1, atol=1e-4)


def test_scipy_minimizes_with_hessian_products() -> None:
    found = scipy.optimize.minimize(
        rosenbrock,
        [-1.2, 1.0, 0.7],
        jac=hg.grad(rosenbrock),
        hessp=hg.hvp(rosenbrock),
        method="trust-ncg",
    )
    assert found.success
    assert_allclose(found.x, 1, atol=1e-5)
    x = np.array([0.3, -0.2, 1.1])
    assert_allclose(hg.grad(rosenbrock)(x), scipy.optimize.rosen_der(x), rtol=1e-13)
    assert_allclose(hg.hessian(rosenbrock)(x), scipy.optimize.rosen_hess(x), rtol=1e-13)


# -- random programs ---------------------------------------------------------------------------------------------------

UNARY = [hop for hop in DIFFERENTIABLE_UFUNCS if hop.ufunc.nin == 1 and not isinstance(hop.domain[0], Plane)]
BINARY = [hop for hop in DIFFERENTIABLE_UFUNCS if hop.ufunc.nin == 2]


REARRANGED: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda y: y,
    "reversed": lambda y: y[::-1],
    "with its sum": lambda y: np.sum(y) * y,
    "cut up": lambda y: np.concatenate([y[1:], y[:1] * 2.0]),
    "mixed": lambda y: np.arange(9.0).reshape(3, 3) @ y / 10,
    "outer": lambda y: np.mean(y[:, None] * y, axis=0),
    "summed up": np.cumsum,
    "standardized": lambda y: y - np.mean(y),
    "gathered": lambda y: y[[0, 2, 2]],
}


@st.composite
def programs(draw: Any) -> Callable[[Any], Any]:
    """A function of a vector in (−1, 1): random smooth hops on random earlier values, then a random weighting."""
    steps: list[tuple[Any, ...]] = []
    for k in range(1, draw(st.integers(2, 8))):
        hop = draw(st.sampled_from(UNARY) if draw(st.booleans()) else st.sampled_from(BINARY))
        operands = tuple(draw(st.integers(0, k - 1)) for _ in range(hop.ufunc.nin))
        steps.append((hop, operands, draw(st.sampled_from(sorted(REARRANGED)))))

    def f(x: Any) -> Any:
        values = [x]
        for hop, operands, how in steps:
            # Squashed into the domain, so that every program is defined everywhere.
            args = [squash(values[n], interval) for n, interval in zip(operands, hop.domain, strict=True)]
            values.append(REARRANGED[how](hop.ufunc(*args)))
        return sum((v * w for v, w in zip(values, np.cos(np.arange(len(values))), strict=True)), 0.0)

    f.__doc__ = str(steps)
    return f


def squash(x: Any, interval: Any) -> Any:
    low, high = inside(interval, (2,), Ends())  # type: ignore[arg-type]
    return low + (high - low) / (1 + np.exp(0.3 - x))  # 0 does not go to 0, where some hops have a corner


class Ends:
    """In place of random numbers: the ends of the range."""

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> Any:
        return low, high


@given(programs(), st.integers(0, 2**32 - 1))
def test_random_programs(f: Callable[[Any], Any], seed: int) -> None:
    """Both modes agree with each other, and with differences; so do second derivatives along a direction."""
    note(f.__doc__ or "")
    with np.errstate(over="ignore"):  # a program may overflow on its way to a finite value
        check_program(f, seed)


def check_program(f: Callable[[Any], Any], seed: int) -> None:
    random = np.random.default_rng(seed)
    x, v, w = random.uniform(-1, 1, (3, 3))
    value, tangent = hg.jvp(f, (x,), (v,))
    again, pullback = hg.vjp(f, x)
    assert_allclose(value, f(x), rtol=1e-13)
    assert_array_equal(again, value)
    dot = float(w @ tangent)
    scale = max(1.0, float(np.abs(w) @ np.abs(tangent)))
    assert_allclose(pullback(w)[0] @ v, dot, rtol=0, atol=1e-10 * scale)

    def along(t: float) -> float:
        return float(w @ f(x + t * v))

    def slope(step: float) -> float:
        return (8 * (along(step) - along(-step)) - (along(2 * step) - along(-2 * step))) / (12 * step)

    # Differences are as good as two step lengths agree: a program may turn sharply within a step.
    coarse, fine = slope(1e-3), slope(5e-4)
    assert_allclose(dot, fine, rtol=0, atol=1e-6 * scale + 10 * abs(fine - coarse))
    second = hg.jvp(lambda y: hg.grad(lambda z: w @ f(z))(y), (x,), (v,))[1]
    other = hg.grad(lambda y: w @ hg.jvp(f, (y,), (v,))[1])(x)
    assert_allclose(second, other, rtol=1e-7, atol=1e-7 * float(np.max(np.abs(second), initial=1)))


def test_compiled_functions_inside_derivatives_of_higher_order() -> None:
    x = np.array([0.5, 2.0])
    cubes = hg.compile(lambda x: np.sum(x**3))
    np.testing.assert_allclose(hg.hessian(lambda x: cubes(x))(x), np.diag(6.0 * x))
    np.testing.assert_allclose(hg.grad(hg.grad(hg.grad(lambda x: cubes(x))))(2.0), 6.0)
