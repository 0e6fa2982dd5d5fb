"""The drop-in namespaces: hopgrad.numpy and hopgrad.scipy.special."""

from __future__ import annotations

import operator
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import scipy.special

import hopgrad as hg
import hopgrad.numpy as np
import hopgrad.scipy.special as special
from hopgrad.errors import HopgradError, NotDifferentiableError, TraceError
from hopgrad.hops.surface import refusals, surfaces

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
    for name in ("float_", "newaxis", "pi", "ndarray", "dtype", "lib"):
        if hasattr(numpy, name):
            assert getattr(np, name) is getattr(numpy, name)
    for name in ("linalg", "random", "fft", "testing", "ma", "polynomial", "emath"):
        assert set(getattr(numpy, name).__all__) <= set(dir(getattr(np, name)))
        for member in getattr(numpy, name).__all__:
            assert hasattr(getattr(np, name), member)
    with pytest.raises(AttributeError):
        np.no_such_name
    namespace: dict[str, Any] = {}
    exec("from hopgrad.numpy import *", namespace)
    assert set(numpy.__all__) <= set(namespace)


@pytest.mark.parametrize("call", [
    "np.matrix(x)", "np.asmatrix(x)", "np.bmat([[x, x]])", "np.ma.array(x)", "np.ma.masked_where(x > 0, x)",
    "np.ma.MaskedArray(x, x > 0)", "np.ma.masked_invalid(x)", "np.broadcast(x, x)",
])  # fmt: skip
def test_masked_arrays_and_matrices_are_refused_with_a_cure(call: str) -> None:
    f = eval(f"lambda x: np.sum({call})", {"np": numpy})
    name = re.escape(call.partition("(")[0])
    with pytest.raises(HopgradError, match=rf"{name} is not supported on traced values: .+\n  at "):
        hg.grad(f)(numpy.ones((2, 2)))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_masked_arrays_and_matrices_of_data_are_plain_values() -> None:
    w, m = numpy.array([1.0, 2.0]), numpy.array([True, False])

    def f(x: Any) -> Any:
        data = numpy.ma.masked_array(w, m)
        assert isinstance(data, numpy.ma.MaskedArray)
        assert isinstance(numpy.asmatrix(w), numpy.matrix)
        assert not isinstance(x, numpy.matrix | numpy.ma.MaskedArray)
        return numpy.sum(x) * data.sum() * numpy.broadcast(w, m).size

    transform = hg.grad(f)
    for _ in range(2):
        numpy.testing.assert_allclose(transform(x3), numpy.full(3, 4.0))


OF_LISTS = """
np.histogram2d([x[0], x[1]], [x[2], x[0]], 2, weights=[x[1], 1.0])[0]
np.histogramdd(([x[0], x[1]], [x[2], x[0]]), 2, weights=[x[1], 1.0])[0]
np.emath.sqrt([x[0], 2.0])
np.emath.log([x[0], 2.0])
np.cov([x, x * x], aweights=[x[0], 1.0, 2.0])
np.setxor1d([x[0], x[1]], [x[1], 1.0])
np.quantile([x[0], x[1], 1.0], 0.3, weights=[1, 2, 3], method="inverted_cdf")
np.polydiv([x[0], 1.0, x[1]], [1.0, x[2]])[1]
np.frexp([x[0], x[1]])[0]
np.hypot.reduce([x[0], x[1]])
np.pad([x[0], x[1]], 1, "linear_ramp", end_values=[x[2], 1.0])
"""


@pytest.mark.parametrize("call", OF_LISTS.strip().splitlines())
def test_lists_in_place_of_arrays(call: str) -> None:
    check(eval(f"lambda x: {call}", {"np": np}), x3)


WIDENED = """
np.emath.sqrt(x - 1.0)
np.emath.sqrt((x - 1.0).astype(np.float32))
np.emath.log(-x)
np.emath.log2(x - 1.0)
np.emath.log10([-x[0], x[1]])
np.emath.logn(2.0, x - 1.0)
np.emath.logn(-x, 3.0)
np.emath.power(x - 1.0, 2.5)
np.emath.power(x - 1.0, -2)
np.emath.power(-x, x)
np.emath.arccos(x * 2 + 1)
np.emath.arcsin(-2 * x - 1)
np.emath.arctanh(x * 2 + 1)
np.emath.sqrt(x - 1j)
np.emath.sqrt(np.array(-2.0)) * x
"""


@pytest.mark.parametrize("call", WIDENED.strip().splitlines())
def test_functions_that_become_complex(call: str) -> None:
    f = eval(f"lambda x: {call}", {"np": np})
    single = "float32" in call
    for x in (x3, numpy.array([0.3, 1.7, -0.4])):
        found, _ = hg.vjp(f, x)
        numpy.testing.assert_allclose(found, f(x), rtol=1e-6 if single else 1e-14)
        assert numpy.asarray(found).dtype == f(x).dtype
        for part in (numpy.real, numpy.imag) if not single else ():
            hg.check_grads(lambda x, part=part: part(f(x)) + 0.0 * x[0], (x,))


def test_whether_a_root_becomes_complex_is_a_guard() -> None:
    slope = hg.grad(lambda x: np.abs(np.emath.sqrt(x)))
    for x in (4.0, -4.0, 9.0, -9.0):
        numpy.testing.assert_allclose(slope(x), numpy.sign(x) / (2 * numpy.sqrt(abs(x))), rtol=1e-14)


@pytest.mark.parametrize("points", [0, 1, 2, 5, 8])
def test_kaisers_window(points: int) -> None:
    f = lambda beta: np.kaiser(points, beta)  # noqa: E731
    for beta in (0.0, 1.5, 14.0):
        found, _ = hg.vjp(f, beta)
        numpy.testing.assert_allclose(found, numpy.kaiser(points, beta), rtol=1e-13)
        assert found.dtype == numpy.kaiser(points, beta).dtype
    hg.check_grads(f, (1.5,), order=2)
    assert type(np.kaiser(3, 2.0)) is numpy.ndarray


REQUIRED = "x | x, float | x, None, ['C', 'W'] | x.T, None, 'F' | x * 1, None, ['O', 'E']"


@pytest.mark.parametrize("arguments", REQUIRED.split(" | "))
def test_require(arguments: str) -> None:
    f = eval(f"lambda x: np.require({arguments}) * 2.0", {"np": np})
    check(f, numpy.arange(6.0).reshape(2, 3))


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
    assert pickle.loads(pickle.dumps(np.sum)) is np.sum
    assert pickle.loads(pickle.dumps(np.linalg.norm)) is np.linalg.norm
    assert pickle.loads(pickle.dumps(np.float64)) is numpy.float64
    assert isinstance(np.add, numpy.ufunc)
    assert np.add.reduce([1, 2]) == 3
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


# -- all of NumPy's namespace -----------------------------------------------------------------------------------------

ROW, SQUARE, PLACES, MASK = [0.4, 1.2, 2.3], [[1.0, 0.5], [0.25, 2.0]], [1, 0, 2], [True, False, True]
ARGUMENTS: list[tuple[Any, ...]] = [
    (ROW,), (SQUARE,), (ROW, ROW), (SQUARE, SQUARE), (ROW, 2), (SQUARE, 1), (3,), (4, 2), ((2, 3),), (PLACES,),
    (PLACES, PLACES), (ROW, PLACES), (0.5, ROW), (ROW, 0.5), ((2, 2), 0.5), ([ROW, ROW],), ([SQUARE, SQUARE],),
    (MASK, ROW, ROW), (1.0, 2.0, 3), ("i,i", ROW, ROW), (ROW, 1, 2.0), (SQUARE, ROW[:2]), (PLACES, ROW), (2, SQUARE),
]  # fmt: skip
"""A function is called with all of these that it takes."""

NOT_FILLED = {
    "broadcast_arrays", "broadcast_to", "diagonal", "imag", "linalg.diagonal",
}  # fmt: skip
"""Their results are read-only in NumPy, or share memory with one another."""

NOT_ON_VALUES = {"result_type", "mintypecode", "typename", "issubdtype", "base_repr", "binary_repr", "block",
                 "einsum_path"} | {
    name for name in numpy.__all__
    if name.startswith(("set", "get", "save", "show", "load", "from", "format_", "print"))
}  # fmt: skip
"""They do not make arrays of numbers."""


def members() -> list[str]:
    found = [*numpy.__all__, *(f"linalg.{n}" for n in numpy.linalg.__all__), *(f"fft.{n}" for n in numpy.fft.__all__)]
    return sorted({
        name for name in found
        if callable(member(numpy, name)) and not isinstance(member(numpy, name), type) and name not in NOT_ON_VALUES
        | {"test", "info", "asmatrix", "bmat", "empty", "empty_like", "genfromtxt"}
    })  # fmt: skip


def member(namespace: Any, name: str) -> Any:
    for part in name.split("."):
        namespace = getattr(namespace, part)
    return namespace


def calls_of(name: str) -> list[tuple[tuple[Any, ...], Any]]:
    """Arguments that NumPy's function takes, and what it gives."""
    found = []
    for args in ARGUMENTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found.append((args, member(numpy, name)(*args)))
            except Exception:  # whatever: these arguments are not for this function
                continue
    return found


def first_array(result: Any) -> Any:
    return next(
        (v for v in (result if isinstance(result, tuple | list) else (result,)) if type(v) is numpy.ndarray), None
    )


def write_into(function: Any, args: tuple[Any, ...], t: Any) -> tuple[bool, Any]:
    """Whether the first array that `function` makes can be filled, and what it held before."""
    made = function(*args)
    array = next(v for v in (made if isinstance(made, tuple | list) else (made,)) if isinstance(v, numpy.ndarray))
    before = array.copy()
    try:
        array[(0,) * array.ndim] = t if array.dtype.kind == "f" else t > 0
    except ValueError:
        return False, before
    except TraceError:
        return False, before
    return bool(numpy.all(array[(0,) * array.ndim] == (t if array.dtype.kind == "f" else t > 0))), before


@pytest.mark.parametrize("name", members())
def test_new_arrays_can_be_filled(name: str) -> None:
    function = member(np, name)
    for args, wanted in calls_of(name):
        like = first_array(wanted)
        if like is None or like.dtype.kind not in "fiub" or not like.size:
            continue
        if name not in NOT_FILLED and not like.flags.writeable:
            continue
        if name in NOT_FILLED:
            with pytest.raises((ValueError, TraceError, DeprecationWarning)):
                hg.grad(lambda t, a=args: operator.setitem(first_array(function(*a)), ..., t) or t)(0.5)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (_, (filled, before)), _ = hg.value_and_grad(
                lambda t, a=args: (t * 1.0, write_into(function, a, t)), has_aux=True
            )(0.5)
        assert filled, args
        assert before.dtype == like.dtype, args
        numpy.testing.assert_array_equal(before, like)


def some_traced(value: Any, t: Any) -> Any:
    """A list with every other float a traced one of the same value as at t = 0.5."""
    if isinstance(value, list):
        return [some_traced(v, t) if isinstance(v, list) or k % 2 == 0 else v for k, v in enumerate(value)]
    return t * (value / 0.5) if isinstance(value, float) else value


def assert_like(found: Any, wanted: Any) -> None:
    if isinstance(wanted, tuple | list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_like(one, other)
    else:
        assert numpy.shape(found) == numpy.shape(wanted)
        assert numpy.asarray(found).dtype == numpy.asarray(wanted).dtype
        if numpy.asarray(wanted).dtype.kind in "SUO":  # texts, dtypes
            numpy.testing.assert_array_equal(found, wanted)
        else:
            numpy.testing.assert_allclose(found, wanted, 1e-12, 1e-14)


@pytest.mark.parametrize("name", members())
def test_lists_of_traced_values_are_taken_or_refused(name: str) -> None:
    function = member(np, name)
    for args, wanted in calls_of(name):
        if not any(isinstance(v, float) or (isinstance(v, list) and v is not PLACES and v is not MASK) for v in args):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                (_, found), _ = hg.value_and_grad(
                    lambda t, a=args: (t * 1.0, function(*[some_traced(v, t) for v in a])), has_aux=True
                )(0.5)
            except HopgradError:
                continue  # refused, and so never a wrong number
            except (TypeError, ValueError, IndexError):
                continue  # as for an argument that makes no sense, such as a list for keepdims
        assert_like(found, wanted)


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
        plain = a.__array__()
        plain[1] = 5.0
        assert a[1] == 5.0
        a[0] = x[0]
        return np.sum(plain)

    with pytest.raises(TraceError, match="plain NumPy code still refers to"):
        hg.grad(f)(x3)

    def g(x: Any) -> Any:
        a = np.zeros(3)
        norm = numpy.linalg.norm(a.__array__())  # the reference is gone after the call
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
        assert found is getattr(scipy.special, name) or f"scipy.special:{name}" in {**surfaces, **refusals}
    assert set(scipy.special.__all__) <= set(dir(special))
    with pytest.raises(AttributeError):
        special.no_such_name
    assert hg.scipy.constants is __import__("scipy.constants").constants
    with pytest.raises(NotDifferentiableError, match=r"scipy\.special\.polygamma of several orders"):
        hg.grad(lambda x: special.polygamma(x, x))(1.5)


def test_scipy_is_imported_when_it_is_used() -> None:
    code = (
        "import sys, hopgrad, hopgrad.scipy.special as s;"
        " print('scipy' in sys.modules); s.expit; print('scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_nditer_reads_and_writes_in_numpys_order() -> None:
    def in_place(x: Any) -> Any:
        a = x * 2
        for place in numpy.nditer(a, op_flags=["readwrite"]):
            place[...] = place * place
        with numpy.nditer(a.T, flags=["c_index"], op_flags=["readwrite"]) as places:
            for k, place in enumerate(places):
                place[...] = place * (k + places.index)
        return numpy.sum(a * x)

    def in_order(x: Any) -> Any:
        total = 0.0
        for order in "KCFA":
            for view in (x, x.T, x[::-1, ::2], x[:, ::-1]):
                for k, element in enumerate(numpy.nditer(view, order=order)):
                    total = total * 0.9 + k * element
        places = numpy.nditer(x.T, flags=["multi_index"])
        while not places.finished:
            i, j = places.multi_index
            total = total + places[0] ** 2 * (i + 2 * j)
            places.iternext()
        return total

    def several(x: Any) -> Any:
        out = numpy.zeros((2, 3))
        for a, b, place in numpy.nditer([x, x[0], out], op_flags=[["readonly"], ["readonly"], ["writeonly"]]):
            place[...] = a * b
        made = numpy.nditer([x, 2.0, None])
        for a, b, place in made:
            place[...] = a**2 * b
        for element in numpy.nditer(x):
            try:
                element[...] = 0.0
            except ValueError:
                out *= 1.1
        return numpy.sum(out * x) + numpy.sum(made.operands[2])

    x = numpy.array([[0.5, -1.2, 2.0], [0.3, 1.7, -0.4]])
    for f in (in_place, in_order, several):
        value, slope = hg.value_and_grad(f)(x)
        assert value == pytest.approx(f(x), rel=1e-12)
        near = [(f(x + 1e-6 * d.reshape(2, 3)) - f(x - 1e-6 * d.reshape(2, 3))) / 2e-6 for d in numpy.eye(6)]
        numpy.testing.assert_allclose(slope.ravel(), near, rtol=1e-6, atol=1e-8)
    with pytest.raises(HopgradError, match=r"np\.nditer with these options.*np\.ndindex"):
        hg.grad(lambda x: numpy.nditer(x, flags=["external_loop"]))(x)
