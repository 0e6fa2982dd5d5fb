"""Native steps that go along an axis, against NumPy: to the last bit, in all layouts, with NaN, infinities and ties."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_blas import as_view, laid_out, run

import hopgrad as hg
from hopgrad.lower import along

Array = np.ndarray[Any, Any]

DTYPES = [np.float64, np.float32, np.int64, np.int32, np.bool_]
SHAPES = [(1,), (2,), (7,), (40,), (65,), (1000,), (3, 5), (70, 9), (9, 70), (4, 5, 6), (2, 100, 3), (1, 7, 1)]

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def drawn(shape: tuple[int, ...], dtype: Any) -> Iterator[Array]:
    """Arrays with ties; of floats, ones without, and ones with NaN, infinities and both zeros."""
    random = np.random.default_rng([7, *shape])
    yield random.integers(-3, 4, shape).astype(dtype)
    if np.dtype(dtype).kind == "f":
        yield random.normal(size=shape).astype(dtype)
        yield random.choice(np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1, 2]), shape).astype(dtype)
        yield np.sort(random.normal(size=shape).astype(dtype))
    if np.dtype(dtype).kind == "i":
        limits = np.iinfo(dtype)
        yield random.choice(np.array([limits.min, limits.max, -1, 0, 1], dtype), shape)


def everywhere(shape: tuple[int, ...], dtype: Any) -> Iterator[tuple[Array, int]]:
    """Such arrays in all kinds of memory, with each of their axes."""
    orders = [None, tuple(reversed(range(len(shape))))]
    for values in drawn(shape, dtype):
        for order, step in itertools.product(orders, (1, -1, 2)):
            for axis in range(len(shape)):
                yield laid_out(values, order, [step] * len(shape)), axis


def check(step: Any, operands: list[Array], wanted: Array) -> None:
    assert step is not None
    assert run(step, operands) == 0
    np.testing.assert_array_equal(operands[-1], wanted, strict=True)


@every_dtype
@every_shape
def test_cumulative_sums(shape: tuple[int, ...], dtype: Any) -> None:
    for x, axis in everywhere(shape, dtype):
        with np.errstate(all="ignore"):
            wanted = np.cumsum(x, axis, dtype=dtype)
        out = laid_out(np.zeros(shape, dtype))
        check(along.cumsum(x.dtype, as_view(0, x), as_view(1, out), axis), [x, out], wanted)
        if x.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(out)[out == 0], np.signbit(wanted)[out == 0])


@every_dtype
@every_shape
def test_positions_of_extremes(shape: tuple[int, ...], dtype: Any) -> None:
    for x, axis in everywhere(shape, dtype):
        for function, kept in itertools.product((np.argmax, np.argmin), (False, True)):
            for axes in ((axis,), tuple(range(len(shape)))):
                wanted = np.asarray(function(x, axis if len(axes) == 1 else None, keepdims=kept))
                out = laid_out(np.zeros(wanted.shape, np.int64))
                made = along.position(x.dtype, as_view(0, x), as_view(1, out), axes, function is np.argmax)
                check(made, [x, out], wanted)


@every_dtype
@every_shape
def test_orders(shape: tuple[int, ...], dtype: Any) -> None:
    random = np.random.default_rng(1)
    for x, axis in everywhere(shape, dtype):
        out = laid_out(np.zeros(shape, np.int64))
        wanted = np.argsort(x, axis, kind="stable")
        check(along.order([x.dtype], [as_view(0, x)], as_view(1, out), axis), [x, out], wanted)
        for other in (np.float32, np.bool_):
            y = laid_out(random.integers(0, 2, shape).astype(other))
            made = along.order([x.dtype, y.dtype], [as_view(0, x), as_view(1, y)], as_view(2, out), axis)
            check(made, [x, y, out], np.lexsort((x, y), axis))


@every_dtype
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 1000])
def test_searches(n: int, dtype: Any) -> None:
    random = np.random.default_rng(n)
    line = random.integers(-5, 20, n).astype(dtype)
    wanted = random.integers(-6, 22, (3, 40)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        line[: n // 3] = random.choice([np.nan, -np.inf, np.inf, -0.0], n // 3)
        wanted[1] = random.choice([np.nan, -np.inf, np.inf, -0.0, 0.0], 40)
    line.sort()
    for step, shape, side in itertools.product((1, -1, 2), ((), (40,), (3, 40)), ("left", "right")):
        a, v = laid_out(line, None, [step]), laid_out(wanted[(0,) * (2 - len(shape))], range(len(shape))[::-1])
        out = laid_out(np.zeros(shape, np.int64))
        made = along.search(a.dtype, as_view(0, a), as_view(1, v), as_view(2, out), side == "right")
        check(made, [a, v, out], np.searchsorted(line, np.asarray(v), side))


def test_other_dtypes_have_no_native_form() -> None:
    x, out = np.ones(3, np.complex128), np.zeros(3, np.int64)
    views = as_view(0, x), as_view(1, out)
    assert along.cumsum(x.dtype, *views, 0) is None
    assert along.position(x.dtype, *views, (0,), True) is None
    assert along.order([x.dtype], views[:1], views[1], 0) is None
    assert along.search(x.dtype, views[0], *views, False) is None


@every_dtype
def test_membership(dtype: Any) -> None:
    random = np.random.default_rng(2)
    for count, invert in itertools.product((0, 1, 2, 30), (False, True)):
        x, among = random.integers(-9, 30, (4, 25)).astype(dtype), random.integers(-9, 30, (count, 1)).astype(dtype)
        if x.dtype.kind == "f":
            x[0, :4] = among[:3, 0] = np.nan
            x[1, :3], among[3:4] = (np.inf, -0.0, 0.0), np.inf
        fast = hg.compile(lambda x, among, invert=invert: np.isin(x, among, invert=invert), backend="native")
        for _ in range(2):
            np.testing.assert_array_equal(fast(x, among), np.isin(x, among, invert=invert), strict=True)
        assert not count or "by NumPy" not in fast.report()


# -- in programs -----------------------------------------------------------------------------------------------------


def pooled(x: Any) -> Any:
    best = np.argmax(x, 1)
    return np.sum(np.sin(np.take_along_axis(x, best[:, None], 1))) * x[np.argmin(x[:, 0]), 1]


def ranked(x: Any) -> Any:
    lowest = np.sort(x * x, 0)[:2]
    return np.sum(np.exp(lowest) * np.arange(1.0, 6.0)) + np.median(x) + np.sum(np.quantile(x, [0.2, 0.7], axis=1) ** 2)


def summed(x: Any) -> Any:
    return np.sum(np.cumsum(np.tanh(x), 1) ** 2 * np.cumprod(x, 0)) + np.sum(np.cumsum(x[::-1, ::2].T) ** 3)


def interpolated(x: Any) -> Any:
    places = np.cumsum(np.exp(x[0]))
    return np.sum(np.interp(np.abs(x[1:]) * 3.0, places, x[2] ** 2) * x[1:])


def by_keys(x: Any) -> Any:
    order = np.lexsort((x[0], np.round(x[1])))
    return np.sum(np.cumsum(x[2][order] ** 2)) * x[0, order[0]] + np.sum(
        x[0] ** 2 * np.searchsorted(np.sort(x[1]), x[2])
    )


@pytest.mark.parametrize("function", [pooled, ranked, summed, interpolated, by_keys])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_derivatives(function: Callable[[Any], Any], dtype: Any) -> None:
    """First and second derivatives as the interpreter has them, in programs without any step of NumPy."""
    random = np.random.default_rng(5)
    x, v = random.normal(size=(6, 5)).astype(dtype), random.normal(size=(6, 5)).astype(dtype)
    close = 1e-11 if dtype == np.float64 else 1e-3
    with hg.use_backend("numpy"):
        wanted, turned = hg.value_and_grad(function)(x), hg.hvp(function)(x, v)
    with hg.use_backend("native"):
        fast, faster = hg.value_and_grad(function), hg.hvp(function)
        for _ in range(3):
            found, change = fast(x), faster(x, v)
        assert "by NumPy" not in fast.report()
        assert "by NumPy" not in faster.report()
    np.testing.assert_allclose(found[0], wanted[0], close)
    np.testing.assert_allclose(found[1], wanted[1], close, close * float(np.abs(wanted[1]).max()))
    np.testing.assert_allclose(change, turned, close, close * float(np.abs(turned).max()))


def test_branches_that_depend_on_an_order_without_rule_are_decided_by_numpy() -> None:
    def first(kind: Any) -> Callable[[Any], Any]:
        return lambda x: np.sum(x) * (2.0 if np.argsort(x, kind=kind)[-1] == 11 else 3.0)

    x = np.array([1.0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1])
    for kind in (None, "stable"):
        fast = hg.value_and_grad(first(kind), backend="native")
        for _ in range(3):
            for given in (x, x[::-1].copy(), np.arange(12.0)):
                assert fast(given)[0] == first(kind)(given)
