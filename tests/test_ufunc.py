"""Inner loops of ufuncs, called natively."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.special
from test_blas import as_view, laid_out, numbers, run

import hopgrad as hg
from hopgrad.lower import ufunc

FLOATS = pytest.mark.parametrize("dtype", [np.float64, np.float32])
SHAPES: list[tuple[tuple[int, ...], ...]] = [
    ((), (), ()), ((5,), (5,), (5,)), ((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), (3, 4)), ((), (2, 3, 4), (2, 3, 4)),
    ((2, 1, 4), (3, 1), (2, 3, 4)),
]  # fmt: skip


@FLOATS
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_loops(shapes: tuple[tuple[int, ...], ...], dtype: Any) -> None:
    """With broadcasting and in all layouts."""
    for steps, order in itertools.product((1, -1, 2), (False, True)):
        a, b, out = (
            laid_out(numbers(s, dtype, k), range(len(s))[::-1] if order else None, [steps] * len(s))
            for k, s in enumerate(shapes)
        )
        for function in (np.logaddexp2, np.arctan2):
            step = ufunc.call(function, [as_view(0, a), as_view(1, b)], as_view(2, out), [out.dtype] * 3)
            assert step is not None
            assert run(step, [a, b, out]) == 0
            # Which loop NumPy takes depends on the layout, and their last digits differ.
            np.testing.assert_allclose(out, function(a, b), 4 * np.finfo(dtype).eps)
        if a.shape == out.shape:
            step = ufunc.call(scipy.special.psi, [as_view(0, a)], as_view(1, out), [out.dtype] * 2)
            assert step is not None
            assert run(step, [a, out]) == 0
            np.testing.assert_array_equal(out, scipy.special.psi(a))


def test_those_without_a_loop() -> None:
    view = as_view(0, np.ones(3))
    whole, real = np.dtype(np.int64), np.dtype(np.float64)
    assert ufunc.call(np.power, [view, view], view, [whole] * 3) is None  # it raises exceptions
    assert ufunc.call(np.gcd, [view, view], view, [real] * 3) is None
    assert ufunc.call(np.add, [view, view], view, [real, np.dtype(np.float32), real]) is None
    assert ufunc.call(np.frompyfunc(abs, 1, 1), [view], view, [real] * 2) is None


@FLOATS
def test_derivatives_of_the_gamma_function(dtype: Any) -> None:
    x = np.random.default_rng(0).uniform(0.2, 5, (3, 7)).astype(dtype)

    def likelihood(x: Any) -> Any:
        return np.sum(scipy.special.gammaln(x) * x - scipy.special.gammaln(np.sum(x, 1, keepdims=True)))

    fast = hg.value_and_grad(likelihood, backend="native")
    wanted = hg.value_and_grad(likelihood, backend="numpy")(x)
    for _ in range(3):
        found = fast(x)
    close = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(found[0], wanted[0], close)
    np.testing.assert_allclose(found[1], wanted[1], close)
    assert "by NumPy" not in fast.report()


def test_operations_of_users() -> None:
    """Their values are ufuncs often: then they are native, too."""

    @hg.custom.elementwise(scipy.special.itstruve0, "S")
    def struve_area(x: Any) -> Any:
        return scipy.special.struve(0, x)

    fast = hg.value_and_grad(lambda x: np.sum(struve_area(x) ** 2), backend="native")
    x = np.linspace(1, 3, 9)
    value = scipy.special.itstruve0(x)
    for _ in range(3):
        found = fast(x)
    np.testing.assert_allclose(found[0], np.sum(value**2), 1e-14)
    np.testing.assert_allclose(found[1], 2 * value * scipy.special.struve(0, x), 1e-12)
    assert "by NumPy" not in fast.report()
