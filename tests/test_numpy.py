"""The drop-in namespaces: hopgrad.numpy and hopgrad.scipy.special."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import scipy.special

import hopgrad as hg
import hopgrad.numpy as np
import hopgrad.scipy.special as special
from hopgrad.errors import HopgradError, NotDifferentiableError, TraceError

x3 = numpy.array([0.4, -1.2, 2.3])


def check(f: Callable[..., Any], *args: Any) -> None:
    """The value as without a trace, where everything is NumPy's own, and the gradient against finite differences."""
    value, _ = hg.value_and_grad(lambda *a: numpy.sum(f(*a)), tuple(range(len(args))))(*args)
    numpy.testing.assert_allclose(value, numpy.sum(f(*args)), 1e-12, 1e-14)
    hg.check_grads(lambda *a: numpy.sum(f(*a)), args)


# -- outside a trace -------------------------------------------------------------------------------------------------


def test_offers_all_of_numpy() -> None:
    assert set(numpy.__all__) <= set(dir(np))
    assert np.__all__ == numpy.__all__
    for name in numpy.__all__:
        assert hasattr(np, name)
    for name in (
        "linalg",
        "random",
        "fft",
        "testing",
        "ma",
        "polynomial",
        "float_",
        "newaxis",
        "pi",
        "ndarray",
        "dtype",
    ):
        if hasattr(numpy, name):
            assert getattr(np, name) is getattr(numpy, name)
    with pytest.raises(AttributeError):
        np.no_such_name
    namespace: dict[str, Any] = {}
    exec("from hopgrad.numpy import *", namespace)
    assert set(numpy.__all__) <= set(namespace)


def test_outside_a_trace_everything_is_numpy_s() -> None:
    for made in (
        np.zeros(3), np.array([1, 2]), np.full(2, 1.5), np.eye(2), np.arange(3), np.linspace(0, 1, 3), np.copy(x3),
        np.asarray([1.0]), np.r_[x3, 1.0], np.c_[x3, x3], np.fromiter(range(3), float), np.vectorize(abs)(x3),
    ):  # fmt: skip
        assert type(made) is numpy.ndarray
    assert np.asarray(x3) is x3
    assert np.ascontiguousarray(x3) is x3
    assert type(np.float64(3)) is numpy.float64
    assert type(np.float32("1.5")) is numpy.float32
    assert np.sum([1, 2]) == 3
    assert np.add.reduce([1, 2]) == 3
    assert [*np.ndenumerate([5.0])] == [((0,), 5.0)]


def test_its_number_types_stand_for_numpy_s() -> None:
    assert numpy.dtype(np.float64) == numpy.float64
    assert np.float64 == numpy.float64
    assert numpy.float64 == np.float64
    assert {numpy.float32: 1}[np.float32] == 1
    assert isinstance(numpy.float64(1), np.float64)
    assert not isinstance(1.0, np.float32)
    assert issubclass(numpy.float64, np.float64)
    assert numpy.issubdtype(numpy.float64, np.float64)
    assert numpy.issubdtype(np.float32, numpy.floating)
    assert numpy.zeros(2, np.float32).dtype == np.float32
    assert numpy.finfo(np.float16).bits == 16
    assert np.double is np.float64


def test_its_functions_stand_for_numpy_s() -> None:
    assert np.sum == numpy.sum
    assert {numpy.sum: 1}[np.sum] == 1
    assert np.sum.__name__ == "sum"
    assert np.add.nin == 2
    assert pickle.loads(pickle.dumps(np.sum)) == numpy.sum
    assert "ufunc" in repr(np.sin)


# -- what NumPy does not dispatch ------------------------------------------------------------------------------------

NOT_DISPATCHED: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "array": (lambda x, y: np.array([x, 2.0, y]) ** 2, (1.5, 0.5)),
    "array nested": (lambda x: np.array([[x[0], 1], (x[1], x[2])]) @ np.array([[1.0, 2], [3, 4]]), (x3,)),
    "array of arrays": (lambda x: np.array([x, x * 2, numpy.ones(3)]) ** 2, (x3,)),
    "array dtype": (lambda x: np.array([x, 1], dtype=float) * 2, (1.5,)),
    "array of array": (lambda x: np.array(x) ** 2, (x3,)),
    "array ndmin": (lambda x: np.array(x, ndmin=2).T * x, (x3,)),
    "asarray": (lambda x: np.asarray(x) ** 2 + np.asarray(x[0]) * np.asarray(2), (x3,)),
    "asanyarray": (lambda x: np.asanyarray([x, 1.0]) ** 2, (1.5,)),
    "ascontiguousarray": (lambda x: np.ascontiguousarray(x.T) ** 2, (numpy.outer(x3, x3),)),
    "full": (lambda x: np.full((2, 3), x) ** 2, (1.5,)),
    "full of array": (lambda x: np.full((2, 3), x) ** 2, (x3,)),
    "full_like": (lambda x: np.full_like(numpy.ones(3), x) ** 2, (1.5,)),
    "r_": (lambda x: np.r_[x, x[0], 1.0, 0:3, [x[1], 2.0]] ** 2, (x3,)),
    "r_ numbers": (lambda x: np.r_[x, 2.0] ** 2, (1.5,)),
    "c_": (lambda x: np.c_[x, x**2] @ np.array([1.0, 2.0]), (x3,)),
    "sum": (lambda x: np.sum([x[0], x[1] ** 2, 1.0]), (x3,)),
    "max": (lambda x: np.max([x[0], x[1]]) ** 2, (x3,)),
    "sin": (lambda x: np.sin([x[0], x[1]]), (x3,)),
    "dot": (lambda x: np.dot([x[0], x[1]], [x[2], 3.0]), (x3,)),
    "einsum": (lambda x: np.einsum("i,i->", x, np.array([x[0], 1.0, 2.0])), (x3,)),
    "stack": (lambda x: np.stack([x[0], 1.0, x[1]]) ** 2, (x3,)),
    "block": (lambda x: np.block([[x[0], 1.0], [2.0, x[1]]]) ** 2, (x3,)),
    "where": (lambda x: np.where([True, False, True], x, [x[0], x[1], 1.0]) ** 2, (x3,)),
    "vectorize": (lambda x: np.vectorize(lambda t, k: t**k)(x, 2), (x3,)),
    "vectorize two": (lambda x, y: np.vectorize(lambda t, s: t * s)(x[:, None], y), (x3, x3[:2])),
    "vectorize results": (lambda x: sum(np.vectorize(lambda t: (t, t * t))(x)), (x3,)),
    "vectorize keyword": (lambda x: np.vectorize(lambda t, power=1: t**power, excluded=["power"])(x, power=3), (x3,)),
    "float64": (lambda x: np.float64(x) * np.float64([x, 2.0]), (1.5,)),
    "fromiter": (lambda x: np.fromiter((t * t for t in x), float), (x3,)),
    "ndenumerate": (lambda x: sum(v * k[0] for k, v in np.ndenumerate(x)), (x3,)),
    "linspace": (lambda x: np.linspace(0.0, x, 5) ** 2, (1.5,)),
    "insert": (lambda x: np.insert(numpy.ones(3), 1, x) ** 2, (1.5,)),
}


@pytest.mark.parametrize("name", NOT_DISPATCHED)
def test_takes_traced_values(name: str) -> None:
    f, args = NOT_DISPATCHED[name]
    check(f, *args)


def test_dtypes_are_those_that_numpy_would_find() -> None:
    for f in (
        lambda x: np.array([x, 1]), lambda x: np.array([np.float32(x), np.float32(2)]),
        lambda x: np.full(2, np.float32(x)),
        lambda x: np.array([x > 1, True]), lambda x: np.array([x > 1, 2]), lambda x: np.array([x], dtype=int),
        lambda x: np.float32(x) * 2.0, lambda x: np.float32(x) * np.float64(2), lambda x: np.full(2, x, np.float32),
        lambda x: np.array([np.float32(x), 1]), lambda x: np.asarray(x), lambda x: np.float64(np.array([x, x])),
        lambda x: np.vectorize(lambda t: t * 2)(np.array([x, x])), lambda x: np.vectorize(round)(np.array([x, x])),
        lambda x: np.r_[x, 1], lambda x: np.r_[np.float32(x), np.ones(2, "f4")],
        lambda x: np.array([[x, 2], [3, 4]])[0, 1],
    ):  # fmt: skip
        (_, found), _ = hg.value_and_grad(lambda x, f=f: (x * 1.0, f(x)), has_aux=True)(1.75)
        wanted = f(1.75)
        assert type(found) is type(wanted)
        assert found.dtype == wanted.dtype
        numpy.testing.assert_array_equal(found, wanted)


def test_a_list_that_is_no_array_raises_as_in_numpy() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        hg.grad(lambda x: np.sum(np.array([[x, 1.0], [x]])))(1.5)


# -- arrays to fill --------------------------------------------------------------------------------------------------

FILLED: dict[str, Callable[[], Any]] = {
    "zeros": lambda: np.zeros((3, 3)),
    "ones": lambda: np.ones((3, 3)),
    "empty": lambda: np.empty((3, 3)) * 0.0,
    "full": lambda: np.full((3, 3), 2.0),
    "eye": lambda: np.eye(3),
    "identity": lambda: np.identity(3),
    "arange": lambda: np.arange(9.0).reshape(3, 3),
    "linspace": lambda: np.linspace(0, 1, 9).reshape((3, 3)),
    "array": lambda: np.array([[1.0, 2.0, 3.0]] * 3),
    "array of array": lambda: np.array(numpy.ones((3, 3))),
    "copy": lambda: np.copy(numpy.ones((3, 3))),
    "zeros_like": lambda: np.zeros_like(numpy.ones((3, 3))),
    "full_like": lambda: np.full_like(numpy.ones((3, 3)), 2.0),
    "tri": lambda: np.tri(3),
    "diag": lambda: np.diag([1.0, 2.0, 3.0]),
    "tile": lambda: np.tile([1.0, 2.0, 3.0], (3, 1)),
    "concatenate": lambda: np.concatenate([numpy.ones((1, 3)), numpy.zeros((2, 3))]),
    "fromfunction": lambda: np.fromfunction(lambda i, j: i + j, (3, 3)),
    "a computation": lambda: np.sin(np.zeros((3, 3)) + 1.0).T * 2.0,
    "outer": lambda: np.outer([1.0, 2.0, 3.0], numpy.ones(3)),
}


@pytest.mark.parametrize("name", FILLED)
def test_can_be_filled_with_traced_values(name: str) -> None:
    make = FILLED[name]

    def f(x: Any) -> Any:
        a = make()
        before = a[1]
        a[0, 0] = x[0]
        a[1:] += x
        a[:, 2] = x**2
        before *= 2.0
        return a * numpy.arange(9.0).reshape(3, 3)

    check(f, x3)


def test_arrays_of_plain_numbers_are_computed_at_once() -> None:
    def f(x: Any) -> Any:
        a = np.zeros(3)
        for k in np.arange(3):
            a[k] = k * 0.5
        if a.sum() > 1.0 and a[1] == 0.5 and bool(np.any(a)) and len(a) == int(np.array(3)):
            a = a + 1.0
        order = np.array([2, 0, 1])
        assert isinstance(a, numpy.ndarray)
        assert float(a[0]) == 1.0
        assert [*range(np.arange(4)[3])] == [0, 1, 2]
        assert a.tolist() == [1.0, 1.5, 2.0]
        assert numpy.asarray(a).sum() == 4.5
        return np.sum(x[order] * a)

    graph = hg.graph_of(f)(x3)
    assert [graph.builder.hop(n).name for n in graph.hops] == ["index", "multiply", "sum"]
    check(f, x3)


def test_an_array_that_plain_code_refers_to_takes_no_traced_values() -> None:
    def f(x: Any) -> Any:
        a = np.zeros(3)
        plain = numpy.asarray(a)
        plain[1] = 5.0
        assert a[1] == 5.0
        a[0] = x[0]
        return np.sum(plain)

    with pytest.raises(TraceError, match="plain NumPy code still refers to"):
        hg.grad(f)(x3)

    def g(x: Any) -> Any:
        a = np.zeros(3)
        norm = numpy.linalg.norm(numpy.asarray(a))  # the reference is gone after the call
        a[0] = x[0]
        return np.sum(a) + norm

    check(g, x3)


def test_an_array_made_while_tracing_stays_an_array_afterwards() -> None:
    kept: list[Any] = []
    hg.grad(lambda x: [kept.append(np.zeros(2)), np.sum(x)][1])(x3)
    assert numpy.array_equal(numpy.asarray(kept[0]) + 1, [1, 1])
    numpy.testing.assert_array_equal(hg.grad(lambda x: np.sum(x[:2] * kept[0] + x[0]))(x3), [2, 0, 0])


def test_results_are_plain_arrays() -> None:
    (_, aux), _ = hg.value_and_grad(
        lambda x: (np.sum(x), [np.zeros(2), np.arange(3), np.ones(2) * x[:2]]), has_aux=True
    )(x3)
    assert [type(v) for v in aux] == [numpy.ndarray] * 3
    assert type(hg.jvp(lambda x: np.ones(3) * 2.0, (x3,), (x3,))[0]) is numpy.ndarray


def test_works_inside_nested_transforms() -> None:
    def inner(t: Any, s: Any) -> Any:
        a = np.zeros(2)
        a[0] = t * s
        a[1] = t**2 * s
        return np.sum(a**2)

    def f(s: Any) -> Any:
        b = np.ones(2)
        b[1] = hg.grad(inner)(1.5, s)
        return np.sum(b**2)

    check(f, 0.7)


def test_refuses_by_name_what_it_cannot_do() -> None:
    with pytest.raises(NotDifferentiableError, match=r"np.r_ with a directive"):
        hg.grad(lambda x: np.sum(np.r_["0,2", x, x]))(x3)
    with pytest.raises(NotDifferentiableError, match=r"np.vectorize\(signature=\)"):
        hg.grad(lambda x: np.sum(np.vectorize(numpy.sum, signature="(n)->()")(x)))(x3)
    with pytest.raises(HopgradError, match=r"size 0|complex"):
        hg.grad(lambda x: np.sum(np.array([x[0], 1j])))(x3)


# -- scipy.special ---------------------------------------------------------------------------------------------------

SPECIAL: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "logsumexp": (lambda m, x: m.logsumexp(x), (x3,)),
    "logsumexp axis": (lambda m, x: m.logsumexp(x * x[:, None], axis=1), (x3,)),
    "logsumexp keepdims": (lambda m, x: m.logsumexp(x * x[:, None], 0, keepdims=True), (x3,)),
    "logsumexp b": (lambda m, x: m.logsumexp(x, b=[1.0, 2.0, 0.5]), (x3,)),
    "logsumexp traced b": (lambda m, x: m.logsumexp(x, b=x**2), (x3,)),
    "logsumexp negative b": (lambda m, x: m.logsumexp(x, b=[1.0, -0.5, 3.0]), (x3,)),
    "logsumexp zero b": (lambda m, x: m.logsumexp(x, b=[1.0, 0.0, 3.0]), (x3,)),
    "logsumexp sign": (lambda m, x: m.logsumexp(x, b=[1.0, -5.0, -3.0], return_sign=True)[0], (x3,)),
    "logsumexp broadcast b": (lambda m, x: m.logsumexp(x, b=numpy.array([[1.0], [2.0]]), axis=1), (x3,)),
    "logsumexp large": (lambda m, x: m.logsumexp(x * 1000), (x3,)),
    "softmax": (lambda m, x: m.softmax(x) * numpy.arange(3.0), (x3,)),
    "softmax axis": (lambda m, x: m.softmax(x * x[:, None], axis=0) ** 2, (x3,)),
    "log_softmax": (lambda m, x: m.log_softmax(x) * numpy.arange(3.0), (x3,)),
    "log_softmax axis": (lambda m, x: m.log_softmax(x * x[:, None], axis=(0, 1)), (x3,)),
    "polygamma": (lambda m, x: m.polygamma(2, x), (numpy.abs(x3) + 1,)),
    "polygamma 0": (lambda m, x: m.polygamma(0, x), (numpy.abs(x3) + 1,)),
    "expit": (lambda m, x: m.expit(x), (x3,)),
    "gammaln": (lambda m, x: m.gammaln(x), (numpy.abs(x3) + 1,)),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_function(name: str) -> None:
    f, args = SPECIAL[name]
    value, _ = hg.vjp(lambda *a: f(special, *a), *args)
    wanted = f(scipy.special, *args)
    numpy.testing.assert_allclose(value, wanted, 1e-12)
    assert numpy.shape(value) == numpy.shape(wanted)
    numpy.testing.assert_array_equal(f(special, *args), wanted)
    hg.check_grads(lambda *a: f(special, *a), args)


def test_special_offers_all_of_scipy_special() -> None:
    for name in scipy.special.__all__:
        found = getattr(special, name)
        assert found is getattr(scipy.special, name) or name in ("logsumexp", "softmax", "log_softmax", "polygamma")
    assert set(scipy.special.__all__) <= set(dir(special))
    with pytest.raises(AttributeError):
        special.no_such_name
    assert hg.scipy.linalg is __import__("scipy.linalg").linalg
    with pytest.raises(NotDifferentiableError, match=r"scipy\.special\.polygamma of several orders"):
        hg.grad(lambda x: special.polygamma(x, x))(1.5)


def test_scipy_is_imported_when_it_is_used() -> None:
    code = (
        "import sys, hopgrad, hopgrad.scipy.special as s; from hopgrad.scipy.special import logsumexp;"
        " print('scipy' in sys.modules); s.expit; print('scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
