"""Right answers in odd corners: points without a derivative, untaken branches, overflow, protocols, changed state.

Every table lists (function, point, gradient); each line is checked in both modes.
"""

from __future__ import annotations

import copy
import decimal
import os
import re
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import changes
import numpy as np
import protocols
import pytest
import surroundings
import writers
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special

import hopgrad as hg
from hopgrad import optim
from hopgrad.errors import DtypeError, HopgradError
from hopgrad.graph.builder import catalogue

inf, nan, pi = np.inf, np.nan, np.pi

# Lines are written with the names of NumPy, SciPy and these.
NAMES = {"np": np, "special": special, "inf": inf, "nan": nan, "pi": pi, "A": np.array([[1.0, 2.0], [3.0, 4.0]])}

Line = tuple[str, Any, Any]


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """The user's own hops warn as NumPy's do; here it is meant."""
    with np.errstate(all="ignore"):
        yield


def function(text: str) -> Callable[..., Any]:
    found: Callable[..., Any] = eval(f"lambda x: {text}", NAMES)
    return found


def table(*lines: Line) -> Any:
    return pytest.mark.parametrize(
        ("text", "point", "want"), lines, ids=[f"{text} at {point}" for text, point, _ in lines]
    )


def check(text: str, point: Any, want: Any, dtype: Any = np.float64) -> None:
    """The gradient in reverse mode and all partial derivatives in forward mode; 0.0 and -0.0 are equal."""
    f = function(text)
    if isinstance(point, list):
        point = np.array(point, dtype)
    elif dtype != np.float64:
        point = dtype(point)
    reverse = hg.grad(f)(point)
    digits = 1e-14 if dtype == np.float64 else 1e-6
    assert_allclose(reverse, want, rtol=digits, atol=0)
    assert np.asarray(reverse).dtype == dtype
    if np.size(point) > 1 and not np.all(np.isfinite(want)):
        return  # along one axis, the infinite derivative along another is multiplied by a 0 that is not structural
    for unit in np.eye(np.size(point)):
        direction = unit.reshape(np.shape(point)).astype(dtype)
        _, forward = hg.jvp(f, (point,), (direction if np.ndim(point) else direction[()],))
        # Forward mode adds up the elements itself, so that a NaN elsewhere would show.
        assert_allclose(forward, np.asarray(want)[unit.reshape(np.shape(point)) == 1].sum(), rtol=digits, atol=0)


# -- points without a derivative ---------------------------------------------------------------------------------------


@table(
    ("np.sinc(x)", 0.0, 0.0),
    ("np.prod(x)", [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
    ("np.prod(x)", [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    ("np.prod(np.concatenate([x, x]))", [0.0, 2.0], [0.0, 0.0]),
    ("x**1.0", 0.0, 1.0),
    ("x**1", 0.0, 1.0),
    ("x**2.0", 0.0, 0.0),
    ("x**0", 0.0, 0.0),
    ("x**3", -2.0, 12.0),
    ("x**-1", -2.0, -0.25),
    ("x**-2", -2.0, 0.25),
    ("special.xlogy(x, x + 1)", 0.0, 0.0),
    ("np.hypot(x, 0.0)", -3.0, -1.0),
    ("np.cumprod(x)[2]", [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
    ("np.cumprod(x).sum()", [2.0, 0.0, 3.0], [1.0, 8.0, 0.0]),
    ("np.multiply.accumulate(x)[-1]", [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    ("np.multiply.reduce(x)", [0.0, 2.0], [2.0, 0.0]),
    ("np.nanprod(x)", [0.0, nan, 2.0], [2.0, 0.0, 0.0]),
    ("np.frexp(x)[0]", 0.0, 1.0),
    ("np.nextafter(x, 9.0)", 1.0, 1.0),
    ("np.nextafter(1.0, x)", 1.0, 0.0),
    ("np.unwrap(x)[1]", [0.0, 2 * pi], [0.0, 1.0]),
    ("np.poly(x)[2]", [0.0, 2.0], [2.0, 0.0]),
    ("np.polyval(x, 0.0)", [1.0, 2.0], [0.0, 1.0]),
    ("np.polymul(x, [1.0])[-1]", [1.0, 2.0], [0.0, 1.0]),
    ("np.polydiv([1.0, 2.0], x)[1][0]", [2.0, 0.0], [0.0, -0.5]),
)
def test_where_the_derivative_exists_it_is_the_answer(text: str, point: Any, want: Any) -> None:
    """Rule 1, removable singularities included."""
    check(text, point, want)


def test_removable_singularities_in_second_derivatives() -> None:
    """By L'Hôpital, sinc'' = −π²/3 at 0; the product's mixed derivatives are the other elements."""
    assert_allclose(hg.grad(hg.grad(np.sinc))(0.0), -(pi**2) / 3, rtol=1e-13)
    assert_array_equal(hg.hessian(np.prod)(np.array([0.0, 0.0, 3.0])), [[0, 3, 0], [3, 0, 0], [0, 0, 0]])
    assert hg.grad(hg.grad(lambda x: x**2))(0.0) == 2
    assert hg.grad(hg.grad(lambda x: x**2.0))(0.0) == 2
    assert hg.grad(hg.grad(hg.grad(lambda x: x**3)))(0.0) == 6


@table(
    ("np.abs(x)", 0.0, 0.0),
    ("np.abs(x)", -0.0, 0.0),
    ("np.maximum(x, 0.0)", 0.0, 0.0),
    ("np.maximum(0.0, x)", 0.0, 0.0),
    ("np.maximum(x, 0.0)", -0.0, 0.0),
    ("np.fmax(x, 0.0)", 0.0, 0.0),
    ("np.max(x)", [1.0, 1.0, 0.0], [0.5, 0.5, 0.0]),
    ("np.max(x)", [2.0, 2.0, 2.0, 2.0], [0.25] * 4),
    ("np.maximum(x[0], x[1])", [1.0, 1.0], [0.5, 0.5]),
    ("np.linalg.norm(x)", [0.0, 0.0], [0.0, 0.0]),
    ("np.std(x)", [3.0, 3.0, 3.0], [0.0, 0.0, 0.0]),
    ("np.hypot(x[0], x[1])", [0.0, 0.0], [0.0, 0.0]),
    ("np.linalg.norm(x, ord=1)", [0.0, -2.0], [0.0, -1.0]),
    ("np.ptp(x)", [1.0, 1.0], [0.0, 0.0]),
    ("np.hypot.reduce(x)", [0.0, 0.0], [0.0, 0.0]),
    ("np.fmax.reduce(x)", [1.0, 1.0], [0.5, 0.5]),
    ("np.fmax.reduce(x)", [2.0, nan, 2.0, 2.0, 2.0], [0.25, 0.0, 0.25, 0.25, 0.25]),
    ("np.maximum.reduce(x)", [1.0, 1.0, 1.0, 1.0], [0.25] * 4),
    ("np.maximum.accumulate(x)[-1]", [1.0, 1.0, 0.0, 1.0, 1.0], [0.25, 0.25, 0.0, 0.25, 0.25]),
    ("np.maximum.accumulate(x).sum()", [1.0, 1.0, 0.0, 2.0], [2.0, 1.0, 0.0, 1.0]),
    ("np.fmax.accumulate(x)[-1]", [nan, 2.0, nan, 2.0], [0.0, 0.5, 0.0, 0.5]),
    ("np.maximum.accumulate(x)[2]", [1.0, 1.0, inf, inf], [0.0, 0.0, 1.0, 0.0]),
    ("np.linalg.norm(x, 3)", [0.0, 0.0], [0.0, 0.0]),
    ("np.linalg.norm(x, 2)", [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]),
    ("np.linalg.norm(x, 'nuc')", [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]),
    ("np.nanstd(x)", [2.0, 2.0], [0.0, 0.0]),
    ("np.var(x)", [2.0, 2.0], [0.0, 0.0]),
    ("np.nanmax(x)", [1.0, 1.0], [0.5, 0.5]),
    ("np.trim_zeros(np.maximum(x, 0.0)).sum()", [0.0, 2.0], [0.0, 1.0]),
    ("np.linalg.vector_norm(x)", [0.0, 0.0], [0.0, 0.0]),
    ("np.linalg.matrix_norm(x)", [[0.0, 0.0]], [[0.0, 0.0]]),
)
def test_where_it_is_convex_the_least_subgradient(text: str, point: Any, want: Any) -> None:
    """Rule 2."""
    check(text, point, want)


@table(
    ("np.minimum(x, 0.0)", 0.0, 0.0),
    ("np.fmin(x, 0.0)", 0.0, 0.0),
    ("np.min(x)", [1.0, 1.0, 5.0], [0.5, 0.5, 0.0]),
    ("np.minimum(x[0], x[1])", [1.0, 1.0], [0.5, 0.5]),
    ("-np.abs(x)", 0.0, 0.0),
    ("np.minimum.accumulate(x)[-1]", [1.0, 0.0, 0.0, 2.0, 0.0, 0.0], [0.0, 0.25, 0.25, 0.0, 0.25, 0.25]),
    ("np.fmin.reduce(x)", [1.0, 1.0, 1.0, 1.0], [0.25] * 4),
    ("np.fmin.accumulate(x).sum()", [[1.0], [1.0]], [[1.5], [0.5]]),
)
def test_where_it_is_concave_the_least_supergradient(text: str, point: Any, want: Any) -> None:
    """Rule 3."""
    check(text, point, want)


@table(
    ("np.sqrt(x)", 0.0, inf),
    ("x**0.5", 0.0, inf),
    ("x**0.5", -0.0, inf),
    ("np.cbrt(x)", 0.0, inf),
    ("np.log(x)", 0.0, inf),
    ("np.log2(x)", 0.0, inf),
    ("np.log10(x)", 0.0, inf),
    ("np.log1p(x)", -1.0, inf),
    ("np.arcsin(x)", 1.0, inf),
    ("np.arcsin(x)", -1.0, inf),
    ("np.arccos(x)", 1.0, -inf),
    ("np.arccos(x)", -1.0, -inf),
    ("np.arccosh(x)", 1.0, inf),
    ("np.arctanh(x)", 1.0, inf),
    ("np.arctanh(x)", -1.0, inf),
    ("special.logit(x)", 0.0, inf),
    ("special.logit(x)", 1.0, inf),
    ("special.xlogy(2.0, x)", 0.0, inf),
    ("x**1.5", 0.0, 0.0),
    ("np.emath.sqrt(x)", 0.0, inf),
    ("np.emath.arcsin(x)", 1.0, inf),
)
def test_where_one_side_is_finite_or_defined_that_side(text: str, point: Any, want: Any) -> None:
    """Rule 4."""
    check(text, point, want)


@table(
    ("np.sqrt(x)", -0.0, -inf),
    ("np.log(x)", -0.0, -inf),
)
def test_at_negative_zero_the_infinity_has_the_sign_that_division_gives(text: str, point: Any, want: Any) -> None:
    check(text, point, want)


@table(
    ("np.sqrt(x) ** 2", 0.0, nan),
    ("np.exp(np.log(x))", 0.0, nan),
    ("np.arctan2(x, 0.0 * x)", 0.0, nan),
    ("np.average(np.sqrt(x), weights=[0.0, 1.0])", [0.0, 4.0], [nan, 0.25]),
)
def test_zero_times_infinity_is_nan(text: str, point: Any, want: Any) -> None:
    """Rule 5: rules hold for each hop at its own input, and nothing hides an infinity by value."""
    check(text, point, want)


@table(
    *[(f"np.{name}(x) * x", 2.5, float(getattr(np, name)(2.5))) for name in ("floor", "ceil", "trunc", "rint", "sign")],
    ("x // 1.0 * x", 2.5, 2.0),
    ("(x > 1) * x", 2.5, 1.0),
    ("np.heaviside(x, 0.5) * x", 0.0, 0.5),
    ("np.round(x, 1) * x", 2.52, 2.5),
    ("x % 1.0", 2.5, 1.0),
    ("np.mod(7.5, x)", 2.0, -3.0),
    ("np.fmod(x, 1.0)", -2.5, 1.0),
    ("np.sign(x)", 0.0, 0.0),
    ("np.spacing(x) * x", 1.0, 2.0**-52),
)
def test_flat_functions_have_derivative_zero(text: str, point: Any, want: Any) -> None:
    """Rule 6."""
    check(text, point, want)


@table(
    ("np.clip(x, -1.0, 1.0)", 0.5, 1.0),
    ("np.clip(x, -1.0, 1.0)", 1.0, 1.0),
    ("np.clip(x, -1.0, 1.0)", -1.0, 1.0),
    ("np.clip(x, -1.0, 1.0)", 1.5, 0.0),
    ("np.clip(2.0, -1.0, x)", 1.0, 1.0),
    ("np.clip(2.0, -1.0, x)", 2.0, 0.0),
    ("np.clip(-2.0, x, 1.0)", -1.0, 1.0),
    ("np.clip(x, None, 1.0)", 1.0, 1.0),
    ("np.clip(x, 0.0, None)", -1.0, 0.0),
    ("np.clip(x, 0.0, 0.0)", 0.0, 1.0),
)
def test_clip_passes_inside_and_on_the_bound(text: str, point: Any, want: Any) -> None:
    check(text, point, want)


def test_a_value_that_is_nan_has_a_nan_derivative() -> None:
    assert np.isnan(hg.grad(lambda x: np.maximum(x, 0.0) * x)(nan))
    assert np.isnan(hg.grad(lambda x: x * x)(nan))


# -- what was not taken or not used ------------------------------------------------------------------------------------


@table(
    ("np.where(x > 0, np.sqrt(x), 0.0)", 0.0, 0.0),
    ("np.where(x > 0, np.log(x), 0.0)", 0.0, 0.0),
    ("np.where(x > 0, 1 / x, 0.0)", 0.0, 0.0),
    ("np.where(x < 0, np.exp(x), 1.0)", 800.0, 0.0),
    ("np.where(x < 0, np.exp(x) ** 2, x)", 800.0, 1.0),
    ("np.where(x > 0, x / x, 0.0)", 0.0, 0.0),
    ("np.where(x > 0, np.arcsin(x), x)", -1.0, 1.0),
    ("np.sum(np.where(x > 0, np.sqrt(x), 0.0))", [0.0, 4.0], [0.0, 0.25]),
    ("np.sum(np.where(x > 0, np.log(x), x))", [-1.0, 0.0, 4.0], [1.0, 1.0, 0.25]),
    ("np.sum(np.where(np.isnan(x), 0.0, x) ** 2)", [nan, 3.0], [0.0, 6.0]),
    ("np.nan_to_num(1 / x)", 0.0, 0.0),
    ("np.sum(np.sqrt(x)[1:])", [0.0, 4.0], [0.0, 0.25]),
    ("np.sqrt(x)[1]", [0.0, 4.0], [0.0, 0.25]),
    ("np.sqrt(x)[[1, 1]].sum()", [0.0, 4.0], [0.0, 0.5]),
    ("np.take(np.sqrt(x), 1)", [0.0, 4.0], [0.0, 0.25]),
    ("np.max(np.sqrt(x))", [0.0, 4.0], [0.0, 0.25]),
    ("np.min(-np.sqrt(x))", [0.0, 4.0], [0.0, -0.25]),
    ("np.sum(np.maximum(np.sqrt(x), 1.0))", [0.0, 4.0], [0.0, 0.25]),
    ("np.sum(np.clip(np.sqrt(x), 1.0, 9.0))", [0.0, 4.0], [0.0, 0.25]),
    ("np.sum(np.triu(np.sqrt(x)))", [[1.0, 1.0], [0.0, 4.0]], [[0.5, 0.5], [0.0, 0.25]]),
    ("np.sum(np.diag(np.sqrt(x)))", [[1.0, 0.0], [0.0, 4.0]], [[0.5, 0.0], [0.0, 0.25]]),
    ("np.sum(np.where(False, A @ np.sqrt(x), 0.0))", [0.0, 4.0], [0.0, 0.0]),
    ("np.sum(np.where([True, False], np.sqrt(x) @ A, 0.0))", [1.0, 4.0], [0.5, 0.75]),
    ("(np.eye(2) @ np.sqrt(x)[:, None])[1, 0]", [1.0, 4.0], [0.0, 0.25]),
    ("np.einsum('ii->', np.sqrt(x)[1:, 1:])", [[0.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [0.0, 0.25]]),
    ("np.where(False, np.einsum('i,i->', np.sqrt(x), x), 0.0)", [0.0, 4.0], [0.0, 0.0]),
    ("np.where(x[0] > 0, np.sum(np.sqrt(x)), 0.0)", [0.0, 4.0], [0.0, 0.0]),
    ("np.where(x[0] > 0, np.mean(np.sqrt(x)), 1.0)", [0.0, 4.0], [0.0, 0.0]),
    ("np.where(x[0] > 0, np.prod(np.sqrt(x)), 1.0)", [0.0, 4.0], [0.0, 0.0]),
    ("np.where(x[0] > 0, np.logaddexp.reduce(np.log(x)), 1.0)", [0.0, 4.0], [0.0, 0.0]),
    ("np.sum(np.where(x[0] > 0, np.cumsum(np.sqrt(x)), 1.0))", [0.0, 4.0], [0.0, 0.0]),
    ("np.cumsum(np.sqrt(x)[::-1])[0]", [0.0, 4.0], [0.0, 0.25]),
    ("np.concatenate([np.sqrt(x), x])[1:].sum()", [0.0, 4.0], [1.0, 1.25]),
    ("np.sqrt(x).reshape(2, 1).T[0, 1]", [0.0, 4.0], [0.0, 0.25]),
    ("np.broadcast_to(np.sqrt(x), (3, 2))[:, 1].sum()", [0.0, 4.0], [0.0, 0.75]),
    ("np.sqrt(x.astype(np.float32).astype(np.float64))[1]", [0.0, 4.0], [0.0, 0.25]),
    ("np.sort(np.sqrt(x))[-1]", [0.0, 4.0], [0.0, 0.25]),
    ("np.partition(np.sqrt(x), 1)[1]", [0.0, 4.0], [0.0, 0.25]),
    ("np.unique(np.sqrt(x))[-1]", [0.0, 4.0], [0.0, 0.25]),
    ("np.trim_zeros(np.sqrt(x))[0]", [0.0, 4.0], [0.0, 0.25]),
    ("np.extract([False, True], np.sqrt(x))[0]", [0.0, 4.0], [0.0, 0.25]),
    ("np.compress([False, True], np.sqrt(x))[0]", [0.0, 4.0], [0.0, 0.25]),
    ("np.select([x > 1], [np.sqrt(x)], 0.0).sum()", [0.0, 4.0], [0.0, 0.25]),
    ("np.piecewise(x, [x > 0], [np.sqrt, 0.0]).sum()", [0.0, 4.0], [0.0, 0.25]),
    ("np.choose([0, 1], [x, np.sqrt(x)]).sum()", [0.0, 4.0], [1.0, 0.25]),
    ("np.nanmax(np.sqrt(x))", [0.0, 4.0], [0.0, 0.25]),
    ("np.fmax.reduce(np.sqrt(x))", [0.0, 4.0], [0.0, 0.25]),
    ("np.maximum.accumulate(np.sqrt(x))[-1]", [0.0, 4.0], [0.0, 0.25]),
    ("np.delete(np.sqrt(x), 0).sum()", [0.0, 4.0], [0.0, 0.25]),
    ("np.resize(np.sqrt(x)[1:], 3).sum()", [0.0, 4.0], [0.0, 0.75]),
    ("np.ldexp(np.sqrt(x), 2)[1]", [0.0, 4.0], [0.0, 1.0]),
    ("np.cumprod(np.sqrt(x)[::-1])[0]", [0.0, 4.0], [0.0, 0.25]),
    ("np.bincount([1, 0], np.sqrt(x))[0]", [0.0, 4.0], [0.0, 0.25]),
    ("np.histogram([0.5, 1.5], [1.0, 2.0], weights=np.sqrt(x))[0][0]", [0.0, 4.0], [0.0, 0.25]),
    ("np.sum(np.sqrt(x), where=[False, True])", [0.0, 4.0], [0.0, 0.25]),
    ("np.mean(np.sqrt(x), where=[False, True])", [0.0, 4.0], [0.0, 0.25]),
    ("np.nansum(np.where(x > 0, np.sqrt(x), nan))", [0.0, 4.0], [0.0, 0.25]),
    ("np.pad(np.sqrt(x), 1, 'maximum')[0]", [0.0, 4.0], [0.0, 0.25]),
    ("np.pad(np.sqrt(x), 1, 'edge')[-1]", [0.0, 4.0], [0.0, 0.25]),
    ("np.pad(np.sqrt(x), (0, 1), 'linear_ramp', end_values=x[1])[-1]", [0.0, 4.0], [0.0, 1.0]),
    ("np.pad(np.sqrt(x), 1, 'mean', stat_length=1)[-1]", [0.0, 4.0], [0.0, 0.25]),
    ("np.pad(np.sqrt(x), (0, 1), 'symmetric', reflect_type='odd')[-1]", [0.0, 4.0], [0.0, 0.25]),
    ("np.quantile(np.sqrt(x), 1.0, method='inverted_cdf', weights=[1.0, 1.0])", [0.0, 4.0], [0.0, 0.25]),
    ("np.quantile(np.sqrt(x), 1.0)", [0.0, 4.0], [0.0, 0.25]),
    ("np.median(np.sqrt(x)[[1, 1, 0]])", [0.0, 4.0], [0.0, 0.25]),
    ("np.interp(3.0, [2.0, 4.0], np.sqrt(x)[[1, 1]])", [0.0, 4.0], [0.0, 0.25]),
    ("np.fmin.reduce(np.sqrt(x))", [0.0, 4.0], [inf, 0.0]),
    ("np.divide(1.0, x, where=x > 0, out=np.zeros(2)).sum()", [0.0, 2.0], [0.0, -0.25]),
    ("np.prod(x, where=[True, False, True])", [0.0, 9.0, 3.0], [3.0, 0.0, 0.0]),
    ("np.gradient(np.sqrt(x))[2]", [0.0, 4.0, 4.0, 4.0], [0.0, -0.125, 0.0, 0.125]),
    ("np.diff(np.sqrt(x))[1]", [0.0, 4.0, 16.0], [0.0, -0.25, 0.125]),
    ("np.convolve(np.sqrt(x), [1.0, 1.0])[2]", [0.0, 4.0], [0.0, 0.25]),
    ("np.trapezoid(np.sqrt(x)[1:], dx=1.0)", [0.0, 4.0, 4.0], [0.0, 0.125, 0.125]),
    ("np.kron(np.sqrt(x), [1.0])[1]", [0.0, 4.0], [0.0, 0.25]),
)
def test_what_was_not_taken_contributes_nothing(text: str, point: Any, want: Any) -> None:
    check(text, point, want)


@table(
    # The element is used by one of the two, so its infinite derivative counts.
    ("np.sum(np.where(x > 1, root, 0.0) + np.where(x < 1, root, 0.0))", [0.0, 4.0], [inf, 0.25]),
    ("np.sum(np.where(x > 1, root, 0.0) + np.where(x > 2, root, 0.0))", [0.0, 4.0], [0.0, 0.5]),
    ("np.sum(np.where(x > 1, root, 0.0)) + root[1]", [0.0, 4.0], [0.0, 0.5]),
    ("np.sum(np.where(x > 1, root, 0.0)) + root[0]", [0.0, 4.0], [inf, 0.25]),
    ("root[1] + root[1:].sum()", [0.0, 4.0], [0.0, 0.5]),
)
def test_one_value_used_twice_joins_its_supports(text: str, point: Any, want: Any) -> None:
    check(text.replace("root", "np.sqrt(x)"), point, want)


def test_zeros_by_value_do_not_hide_an_infinity() -> None:
    """Only what is structurally unused is dropped: here the cotangent merely happens to be 0."""
    assert np.isnan(hg.grad(lambda x: 0.0 * np.sqrt(x))(0.0))
    assert np.isnan(hg.grad(lambda x: np.sqrt(x) ** 2)(0.0))


# -- stability ---------------------------------------------------------------------------------------------------------

ROOT_HALF = 0.5**0.5


@table(
    ("np.hypot(x[0], x[1])", [1e200, 1e200], [ROOT_HALF, ROOT_HALF]),
    ("np.hypot(x[0], x[1])", [1e-200, 1e-200], [ROOT_HALF, ROOT_HALF]),
    ("np.linalg.norm(x)", [3.0, 4.0], [0.6, 0.8]),
    ("np.arctan2(x[0], x[1])", [1e-200, 1e-200], [5e199, -5e199]),
    ("np.arctan2(x[0], x[1])", [1e200, 1e200], [5e-201, -5e-201]),
    ("np.arcsinh(x)", 1e200, 1e-200),
    ("np.arccosh(x)", 1e200, 1e-200),
    ("np.arctan(x)", 1e200, 0.0),
    ("np.tanh(x)", 1000.0, 0.0),
    ("np.tanh(x)", -1000.0, 0.0),
    ("np.expm1(x)", -50.0, np.exp(-50.0)),
    ("special.expit(x)", 800.0, 0.0),
    ("special.expit(x)", 40.0, np.exp(-40.0)),
    ("special.expit(x)", -800.0, 0.0),
    ("special.log_expit(x)", -800.0, 1.0),
    ("special.log_expit(x)", 40.0, np.exp(-40.0)),
    ("np.logaddexp(x, 0.0)", 800.0, 1.0),
    ("np.logaddexp(x, 0.0)", -800.0, 0.0),
    ("np.logaddexp(x[0], x[1])", [-inf, 0.0], [0.0, 1.0]),
    ("np.logaddexp(x[0], x[1])", [-inf, -inf], [0.0, 0.0]),
    ("np.logaddexp2(x[0], x[1])", [-inf, -inf], [0.0, 0.0]),
    ("np.logaddexp.reduce(x)", [-inf, 0.0, 0.0], [0.0, 0.5, 0.5]),
    ("np.logaddexp.reduce(x)", [-inf, -inf], [0.0, 0.0]),
    ("np.logaddexp.reduce(x)", [1000.0, 1000.0], [0.5, 0.5]),
    ("np.logaddexp.reduce(x)", [-1000.0, -1000.0], [0.5, 0.5]),
    ("special.logsumexp(x)", [-inf, -inf], [0.0, 0.0]),
    ("special.logsumexp(x)", [-inf, 0.0], [0.0, 1.0]),
    ("np.logaddexp.accumulate(x)[-1]", [-inf, -inf, 0.0], [0.0, 0.0, 1.0]),
    ("np.logaddexp.accumulate(x)[1]", [-inf, -inf], [0.0, 0.0]),
    ("1 / x", 1e200, 0.0),
    ("x / (1 + x**2)", 1e200, 0.0),
    ("np.log(x)", 1e-310, 1 / 1e-310),
    ("np.tan(x)", 0.0, 1.0),
    ("0.0**x", 2.0, 0.0),
    ("np.power(0.0, x)", 1.0, 0.0),
    ("x[0] ** x[1]", [0.0, 2.0], [0.0, 0.0]),
    ("x[0] ** x[1]", [0.0, 0.0], [0.0, 0.0]),
    ("x[0] ** x[1]", [2.0, 0.0], [0.0, np.log(2.0)]),
    ("x[0] ** x[1]", [0.0, 1.0], [1.0, 0.0]),
    ("(-2.0) ** x", 3.0, nan),
    ("(-x) ** 3", 2.0, -12.0),
    ("np.power(x, np.array([2.0, 3.0])).sum()", -2.0, 8.0),
)
def test_derivatives_do_not_overflow_where_they_are_finite(text: str, point: Any, want: Any) -> None:
    check(text, point, want)


LOGISTICS = [
    "1 / (1 + np.exp(-x))",
    "1.0 / (1.0 + np.exp(-x))",
    "1 / (np.exp(-x) + 1)",
    "(1 + np.exp(-x)) ** -1",
    "np.reciprocal(1 + np.exp(-x))",
    "1 - 1 / (1 + np.exp(x))",
    "0.5 * (1 + (2 / (1 + np.exp(-x)) - 1))",
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("text", LOGISTICS)
def test_logistic_functions_written_out(text: str, dtype: Any) -> None:
    """exp overflows far out, but what it stands in does not: all derivatives there are 0."""
    points = np.array([-800, -100, -3, 0, 2, 100, 800], dtype)
    s = special.expit(points)
    derivatives = [s * special.expit(-points)]
    derivatives.append(derivatives[0] * (1 - 2 * s))
    f = function(text)
    for want in derivatives:
        f = hg.elementwise_grad(f)
        got = f(points)
        assert got.dtype == dtype
        assert_allclose(got, want, rtol=0, atol=1e-15 if dtype == np.float64 else 2e-7)
        _, pushed = hg.jvp(function(text), (points,), (np.ones_like(points),))
        assert_allclose(pushed, derivatives[0], rtol=0, atol=1e-15 if dtype == np.float64 else 2e-7)


@table(
    ("5 / (2 + np.exp(3 * x))", 800.0, 0.0),
    ("x / (1 + np.exp(-x))", -800.0, 0.0),
    ("1 / np.cosh(x)", 800.0, 0.0),
    ("1 / np.cosh(x) ** 2", -800.0, 0.0),
    ("1 / np.sinh(x)", 800.0, 0.0),
    ("1 / (np.exp(x) - 1)", 800.0, 0.0),
    ("1 / np.expm1(x)", 800.0, 0.0),
    ("1 / np.exp(x)", 800.0, 0.0),
    ("1 / (np.exp(x) + np.exp(-x))", 800.0, 0.0),
    ("1 / (1 + 3 * np.exp(-x))", -800.0, 0.0),
    ("1 / (1 + np.exp2(-x))", -2000.0, 0.0),
    ("1 / np.sqrt(1 + np.exp(-x))", -2000.0, 0.0),
    ("np.log(1 + 1 / (1 + np.exp(-x)))", -800.0, 0.0),
    ("np.sum(np.ones((3, 1)) / (1 + np.exp(-x)))", [-800.0, 0.0], [0.0, 0.75]),
    ("np.sum(1 / (np.ones((3, 1)) + np.exp(-x)))", [-800.0, 0.0], [0.0, 0.75]),
    ("np.where(x > 0, 1 / (1 - np.exp(-x)), 0.0)", 0.0, 0.0),
    ("1 / (1 + np.exp(-x)) + 2 / (1 + np.exp(-x)) + 0 * np.exp(-x - 900)", -800.0, 0.0),
)
def test_exponentials_under_a_fraction_bar(text: str, point: Any, want: Any) -> None:
    check(text, point, want)


# -- powers with a fixed exponent of any kind --------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [2, 2.0, np.float64(2), np.int64(2), np.array(2.0)], ids=repr)
def test_a_fixed_exponent_needs_no_logarithm(exponent: Any) -> None:
    assert hg.grad(lambda x: np.power(x, exponent))(-3.0) == -6
    assert hg.grad(lambda x: x**exponent)(0.0) == 0


# -- what was not taken, in Python's own terms -------------------------------------------------------------------------


def branch_not_taken(x: Any) -> Any:
    return np.sqrt(x) if x > 0 else 0.0


def element_not_used(x: Any) -> Any:
    roots = [np.sqrt(v) for v in x]
    return roots[1] + 0.0


def largest_of_all(x: Any) -> Any:
    return max(np.sqrt(v) for v in x)


def last_of_sorted(x: Any) -> Any:
    return sorted(np.sqrt(v) for v in x)[-1]


def filled_where_positive(x: Any) -> Any:
    y = np.zeros_like(x)
    for k, v in enumerate(x):
        if v > 0:
            y[k] = np.sqrt(v)
    return np.sum(y)


def overwritten(x: Any) -> Any:
    y = np.sqrt(x)
    y[0] = 3.0
    return np.sum(y)


def overwritten_through_a_view(x: Any) -> Any:
    y = np.sqrt(x)
    head = y[:1]
    head *= 0.0
    head[...] = x[1]
    return np.sum(y)


def skipped_by_out(x: Any) -> Any:
    return np.sum(np.sqrt(x, out=np.zeros_like(x), where=x > 0))


def skipped_by_a_loop(x: Any) -> Any:
    total = 0.0
    for v in x:
        if v == 0:
            continue
        total += np.log(v) / v
    return total


def copied_where(x: Any) -> Any:
    y = np.zeros_like(x)
    np.copyto(y, np.sqrt(x), where=x > 0)
    return np.sum(y)


@pytest.mark.parametrize(
    ("f", "point", "want"),
    [
        (branch_not_taken, 0.0, 0.0),
        (element_not_used, [0.0, 4.0], [0.0, 0.25]),
        (largest_of_all, [0.0, 4.0], [0.0, 0.25]),
        (last_of_sorted, [0.0, 4.0], [0.0, 0.25]),
        (filled_where_positive, [0.0, 4.0], [0.0, 0.25]),
        (overwritten, [0.0, 4.0], [0.0, 0.25]),
        (overwritten_through_a_view, [0.0, 4.0], [0.0, 1.25]),
        (skipped_by_out, [0.0, 4.0], [0.0, 0.25]),
        (skipped_by_a_loop, [0.0, 1.0], [0.0, 1.0]),
        (copied_where, [0.0, 4.0], [0.0, 0.25]),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_what_python_did_not_take_contributes_nothing(f: Callable[[Any], Any], point: Any, want: Any) -> None:
    point = np.array(point) if isinstance(point, list) else point
    assert_array_equal(hg.grad(f)(point), want)


def test_each_hop_with_a_convention_states_it() -> None:
    for name in (
        "absolute",
        "maximum",
        "min",
        "std",
        "norm",
        "sqrt",
        "log",
        "log1p",
        "arcsin",
        "hypot",
        "clip",
        "xlogy",
    ):
        assert catalogue[name].kink, name


# -- NumPy's protocols -------------------------------------------------------------------------------------------------


def attempt(work: Callable[[], Any]) -> tuple[Any, str]:
    """(result, "") or (None, what the refusal says)."""
    try:
        return work(), ""
    except HopgradError as error:
        return None, str(error)


POINT = np.array([0.4, -1.2, 2.3])


def numeric(f: Callable[[Any], Any], point: Any = POINT) -> Any:
    """The gradient by differences of fourth order, with NumPy alone."""
    found = np.zeros_like(point)
    step = 1e-3
    for k in range(point.size):
        unit = np.zeros_like(point)
        unit[k] = step
        near = f(point + unit) - f(point - unit)
        far = f(point + 2 * unit) - f(point - 2 * unit)
        found[k] = (8 * near - far) / (12 * step)
    return found


@pytest.fixture
def protocol_state() -> Iterator[None]:
    before = dict(vars(protocols))
    protocols.BUFFER[:] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, about what it then does not do
        yield
    for name, value in before.items():
        assert vars(protocols)[name] is value, f"{name} is another object afterwards"
    assert type(protocols.BUFFER) is np.ndarray
    assert_array_equal(protocols.TABLE, np.arange(6.0).reshape(2, 3))


@pytest.mark.usefixtures("protocol_state")
@pytest.mark.parametrize("name", protocols.RIGHT)
def test_what_numpy_does_not_dispatch_is_right_in_plain_numpy(name: str) -> None:
    f = protocols.RIGHT[name]
    wanted = numeric(f)
    plain = f(POINT.copy())
    buffer = protocols.BUFFER.copy()
    protocols.BUFFER[:] = 0.0
    transform = hg.value_and_grad(f)
    for _ in range(3):
        value, gradient = transform(POINT.copy())
        assert_array_equal(value, plain)
        assert type(value) is type(plain)
        assert_allclose(gradient, wanted, rtol=1e-8, atol=1e-9)
        assert_array_equal(protocols.BUFFER, buffer)


@pytest.mark.usefixtures("protocol_state")
@pytest.mark.parametrize("name", protocols.SAFE)
def test_what_cannot_be_right_is_refused_with_its_line(name: str) -> None:
    f = protocols.SAFE[name]
    wanted, plain = numeric(f), f(POINT.copy())
    transform = hg.value_and_grad(f)
    for _ in range(3):
        found, refusal = attempt(lambda: transform(POINT.copy()))
        if refusal:
            assert re.search(r"\n  at \S*protocols.py:\d+ in \S+: ", refusal), refusal
            return
        value, gradient = found
        assert_allclose(value, plain, rtol=1e-12)
        assert_allclose(gradient, wanted, rtol=1e-7, atol=1e-8)


@pytest.mark.usefixtures("protocol_state")
@pytest.mark.parametrize("name", protocols.FOREIGN)
def test_what_looks_at_the_type_itself_raises_or_is_right(name: str) -> None:
    f = protocols.FOREIGN[name]
    wanted = numeric(f)
    try:
        gradient = hg.grad(f)(POINT.copy())
    except (TypeError, AttributeError):
        return
    assert_allclose(gradient, wanted, rtol=1e-7, atol=1e-8)


@pytest.mark.usefixtures("protocol_state")
@pytest.mark.parametrize("name", [*protocols.RIGHT, *protocols.SAFE])
def test_a_swallowed_refusal_does_not_become_a_wrong_number(name: str) -> None:
    f = {**protocols.RIGHT, **protocols.SAFE}[name]

    def swallowing(x: Any) -> Any:
        try:
            return f(x)
        except Exception:
            return np.sum(x)

    wanted = numeric(f)
    protocols.BUFFER[:] = 0.0
    try:
        gradient = hg.grad(swallowing)(POINT.copy())
    except HopgradError:
        return
    assert_allclose(gradient, wanted, rtol=1e-7, atol=1e-8)


def test_a_captured_array_counts_as_it_was_when_used() -> None:
    held = types.SimpleNamespace(w=np.array([1.0, 2.0, 3.0]))
    kept = {"w": held.w}

    def f(x: Any, w: Any = held.w) -> Any:
        y = np.sum(x * held.w) + np.sum(w * x)
        held.w[:] = 100.0
        z = np.sum(x * kept["w"])
        np.multiply(w, 2.0, out=w)
        w[1:] = -1.0
        return y + z + np.sum(kept["w"]) * x[0]

    for _ in range(3):
        held.w[:] = [1.0, 2.0, 3.0]
        assert_allclose(hg.grad(f)(POINT), [2 + 100 + 198, 104, 106])
        assert_array_equal(held.w, [200, -1, -1])


def test_views_of_a_captured_array_see_what_is_written_or_are_refused() -> None:
    w = np.array([1.0, 2.0, 3.0])
    tail, kept = w[1:], [w[:2]]

    def through_a_view(x: Any) -> Any:
        tail[:] = 10.0
        return np.sum(w * x)

    def through_the_whole(x: Any) -> Any:
        w[:] = x
        return np.sum(tail * tail)

    def through_another_view(x: Any) -> Any:
        y = np.sum(tail * x[1:])
        kept[0][1] = 7.0
        return y + np.sum(tail * x[:2])

    for f, want in (
        (through_a_view, [1, 10, 10]),
        (through_the_whole, 2 * POINT * [0, 1, 1]),
        (through_another_view, [7, 2 + 3, 3]),
    ):
        transform = hg.grad(f)
        for _ in range(3):
            w[:] = [1.0, 2.0, 3.0]
            gradient, refusal = attempt(lambda transform=transform: transform(POINT))  # type: ignore[misc]  # the default
            assert not refusal or "elements in common" in refusal
            assert refusal or np.allclose(gradient, want), gradient


def test_a_float32_array_rounds_what_is_written_to_it() -> None:
    def f(x: Any) -> Any:
        y = np.zeros(3, dtype=np.float32)
        y[:] = x
        y[0] += x[1]
        return np.sum(y * y)

    value, gradient = hg.value_and_grad(f)(POINT)
    assert_array_equal(value, f(POINT), strict=True)
    assert gradient.dtype == np.float64
    assert_allclose(gradient, [-1.6, -4.0, 4.6], rtol=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float64, float])
def test_float32_and_weak_numbers(kind: Any) -> None:
    """A Python float stays weak, a NumPy number does not; the gradient has its argument's dtype."""
    x32, p = np.array([1.5, -0.5], np.float32), kind(0.75)
    for f in (
        lambda x, p: x * p,
        lambda x, p: x * np.sin(p),
        lambda x, p: x * (p + 1) ** 2,
        lambda x, p: np.array([x[0] * p, x[1]]),
        lambda x, p: np.full(2, p) * x,
        lambda x, p: x * float(p),
        lambda x, p: np.maximum(x, p),
        lambda x, p: p * x[0],
        lambda x, p: np.zeros(2, np.float32) + p * x,
        lambda x, p: np.float32(p) * x,
        lambda x, p: (0.5 if p > 0 else p) * x,
        lambda x, p: np.sum(x) / 3 + np.mean(p),
    ):
        value = f(x32, p)
        found, (by_x, by_p) = hg.value_and_grad(lambda x, p, f=f: np.sum(f(x, p)), (0, 1))(x32, p)
        assert_array_equal(found, np.sum(value), strict=True)
        assert by_x.dtype == np.float32
        assert type(by_p) is kind
        shown = hg.jvp(f, (x32, p), (np.ones_like(x32), kind(1.0)))
        assert_array_equal(shown[0], value, strict=True)
        assert np.asarray(shown[1]).dtype == np.asarray(value).dtype


def test_a_transform_that_its_own_function_uses() -> None:
    def f(x: Any, n: int) -> Any:
        return x**3 if n == 0 else x * gradient(x, n - 1)

    gradient = hg.grad(f)
    for _ in range(2):
        for n in (0, 1, 2, 3, 1, 0):
            assert_allclose(gradient(HERE, n), 3.0 ** (n + 1) * HERE**2, rtol=1e-13)


def test_one_transform_inside_and_outside_of_other_functions() -> None:
    w = np.array([1.0, 2.0, 3.0])

    def f(x: Any) -> Any:
        return np.sum(w * x**3) if x[0] > 0 else np.sum(x**2)

    kept = hg.grad(f)
    outer = hg.grad(lambda x: np.sum(kept(x) ** 2))
    for k in range(3):
        w[0] = k + 1.0
        for x in (POINT, -POINT, POINT):
            if x[0] > 0:
                assert_allclose(kept(x), 3 * w * x**2, rtol=1e-13)
                assert_allclose(outer(x), 36 * w**2 * x**3, rtol=1e-13)
            else:
                assert_allclose(kept(x), 2 * x, rtol=1e-13)
                assert_allclose(outer(x), 8 * x, rtol=1e-13)


@pytest.mark.filterwarnings("ignore::hopgrad.errors.RetraceWarning")
def test_threads_that_share_a_transform() -> None:
    class Local:
        scale = 2.0

        def power(self, x: Any, n: int) -> Any:
            y = np.ones(len(x))
            for _ in range(n):
                y *= x
            return y

    local = Local()

    def f(x: Any, n: int) -> Any:
        total = local.scale * np.sum(local.power(x, n))
        return total if total > 0 else -3.0 * total

    transform = hg.value_and_grad(f)
    random = np.random.default_rng(0)
    inputs = [(random.normal(size=int(random.integers(1, 4))), int(random.integers(1, 4))) for _ in range(120)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda args: transform(*args), inputs))
    for (x, n), (value, gradient) in zip(inputs, found, strict=True):
        total = 2.0 * np.sum(x**n)
        sign = 1.0 if total > 0 else -3.0
        assert_allclose(value, sign * total, rtol=1e-12)
        assert_allclose(gradient, sign * 2.0 * n * x ** (n - 1), rtol=1e-12)
    assert type(local) is Local


# -- what a function writes --------------------------------------------------------------------------------------------

ONES = np.ones(3)
TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda f, x: hg.grad(f)(x),
    "value_and_grad": lambda f, x: hg.value_and_grad(f)(x)[1],
    "jacobian": lambda f, x: hg.jacobian(f)(x),
    "jacobian in forward mode": lambda f, x: hg.jacobian(f, mode="forward")(x),
    "hessian": lambda f, x: hg.hessian(f)(x),
    "hvp": lambda f, x: hg.hvp(f)(x, ONES),
    "jvp": lambda f, x: hg.jvp(f, (x,), (ONES,))[1],
    "vjp": lambda f, x: hg.vjp(f, x)[1](1.0)[0],
    "grad of grad": lambda f, x: hg.grad(lambda y: np.sum(hg.grad(f)(y) ** 2))(x),
    "grad of a caller": lambda f, x: hg.grad(lambda y: 2.0 * f(y))(x),
    "graph_of": lambda f, x: hg.graph_of(f)(x) and None,
    "explain": lambda f, x: hg.explain(f)(x).gradient,
}


def undisturbed(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function for differences: each call begins with the world as it was."""

    def again(x: Any) -> Any:
        writers.reset()
        return f(x.copy())

    return again


def equal(first: Any, second: Any) -> bool:
    """Whether nested values are equal up to rounding, in type too."""
    if type(first) is not type(second):
        return False
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    if isinstance(first, dict):
        return list(first) == list(second) and equal(list(first.values()), list(second.values()))
    if isinstance(first, np.ndarray | np.generic | float):
        return np.shape(first) == np.shape(second) and np.allclose(first, second, 1e-12)
    return bool(first == second)


@pytest.fixture
def fresh_world() -> Iterator[None]:
    before = dict(vars(writers))
    writers.reset()
    yield
    writers.reset()
    changed = [k for k, v in vars(writers).items() if v is not before.get(k)]
    assert set(changed) <= {"COUNT"}


@pytest.mark.usefixtures("fresh_world")
@pytest.mark.parametrize("name", writers.WRITERS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_what_a_function_writes_is_there_afterwards(transform: str, name: str) -> None:
    """As after a call of the function itself, whatever was asked for; and the next call begins from there."""
    f, way = writers.WRITERS[name], TRANSFORMS[transform]
    error = name == "an array before an error"
    x, y = POINT.copy(), POINT.copy()
    for _ in range(3):
        before = writers.world()
        if error:
            with pytest.raises(ValueError, match="after the writing"):
                f(x)
        else:
            f(x)
        wanted = writers.world()
        writers.reset()
        restore(before)
        if error:
            with pytest.raises(ValueError, match="after the writing"):
                way(f, y)
        else:
            _, refusal = attempt(lambda: way(f, y))
            if refusal:
                assert name in writers.OVERLAPPING, refusal
                assert "elements in common" in refusal
                return
        assert equal(writers.world(), wanted), f"{writers.world()}, but NumPy leaves {wanted}"
        assert_allclose(y, x, rtol=1e-12)
        x[:], y[:] = POINT, POINT


def restore(world: list[Any]) -> None:
    writers.SCRATCH[:] = world[0]
    writers.LOG[:] = world[1]
    writers.TABLE.update(world[2])
    writers.COUNT = world[3]
    machine = writers.MACHINE
    machine.state, machine.last, machine.history = world[4], world[5], world[6]


@pytest.mark.usefixtures("fresh_world")
@pytest.mark.parametrize("name", [name for name in writers.WRITERS if name != "an array before an error"])
def test_the_gradient_of_a_function_that_writes(name: str) -> None:
    f = writers.WRITERS[name]
    wanted = numeric(undisturbed(f))
    kept = hg.value_and_grad(f)
    for transform in (hg.value_and_grad(f), kept, kept, kept):
        writers.reset()
        plain = f(POINT.copy())
        writers.reset()
        found, refusal = attempt(lambda transform=transform: transform(POINT.copy()))  # type: ignore[misc]  # the default
        if refusal:
            assert name in writers.OVERLAPPING, refusal
            return
        value, gradient = found
        assert_allclose(value, plain, rtol=1e-13)
        assert_allclose(gradient, wanted, rtol=1e-7, atol=1e-8)
    writers.reset()
    curvature = hg.hessian(f)(POINT.copy())
    for k, unit in enumerate(1e-4 * np.eye(3)):
        writers.reset()
        above = hg.grad(f)(POINT + unit)
        writers.reset()
        below = hg.grad(f)(POINT - unit)
        assert_allclose(curvature[k], (above - below) / 2e-4, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("fresh_world")
@pytest.mark.parametrize("name", writers.FOREIGN)
def test_what_other_code_writes_is_seen_or_refused(name: str) -> None:
    f = writers.FOREIGN[name]
    plain, left = f(POINT.copy()), writers.world()
    transform = hg.value_and_grad(f)
    for _ in range(3):
        writers.reset()
        try:
            value, gradient = transform(POINT.copy())
        except (TypeError, ValueError, AttributeError):  # a refusal, or C code that asks for the memory itself
            return
        assert_allclose(value, plain, rtol=1e-13)
        assert_allclose(gradient, [plain / POINT[0], 0, 0], rtol=1e-13)
        assert equal(writers.world(), left)


# -- complex -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "want"),
    [
        (lambda z: np.abs(z) ** 2, lambda z: 2 * np.conj(z)),
        (lambda z: np.real(z * z), lambda z: 2 * z),
        (lambda z: np.imag(z * z), lambda z: -2j * z),
        (lambda z: np.real(np.exp(z)), np.exp),
    ],
)
@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_a_complex_argument_has_the_stated_gradient(f: Any, want: Any, backend: Any) -> None:
    """∂f/∂x − i ∂f/∂y."""
    z = 0.7 - 0.4j
    for point in (z, np.complex128(z), np.array(z), np.complex64(z)):
        transform = hg.value_and_grad(f, backend=backend)
        for _ in range(3):
            value, found = transform(point)
            assert_allclose(found, want(z), rtol=1e-6 if point.__class__ is np.complex64 else 1e-12)
            assert type(found) is type(point)
            assert np.asarray(value).dtype == np.asarray(f(point)).dtype


Z = np.array([0.6 + 0.8j, 0.0, -1.5j])


def test_kinks_of_complex_numbers() -> None:
    """The least subgradient of |z| at 0; in a norm that is not 0 there is no kink."""
    assert_allclose(hg.grad(lambda z: np.sum(np.abs(z)))(Z), [0.6 - 0.8j, 0, 1j], rtol=1e-15)
    assert_allclose(hg.grad(np.linalg.norm)(Z), np.conj(Z) / np.linalg.norm(Z), rtol=1e-15)
    assert_array_equal(hg.grad(np.linalg.norm)(0 * Z), 0)
    direction = np.array([0, 1 + 2j, 0])
    assert_allclose(hg.hvp(np.linalg.norm)(Z, direction), np.conj(direction) / np.linalg.norm(Z), rtol=1e-14)
    assert_allclose(hg.hvp(np.std)(Z, Z), 0, atol=1e-14)  # it is homogeneous


CUTS = [2.0, -2.0, complex(2, -0.0), complex(-2, -0.0), 2j, -2j, complex(-0.0, 2), complex(-0.0, -2)]


@pytest.mark.parametrize("z", CUTS, ids=repr)
@pytest.mark.parametrize("f", [np.arcsin, np.arccos, np.arcsinh, np.arccosh, np.sqrt, np.log, np.arctan, np.arctanh])
def test_on_a_cut_the_derivative_is_that_of_the_side(f: Any, z: complex) -> None:
    """The sign of a zero part says which side is meant; differences along the axis do not leave it."""
    z = np.complex128(z)
    h = 1e-5
    ends = [(z.real + s * h, z.imag) if z.imag == 0 else (z.real, z.imag + s * h) for s in (1, -1)]
    after, before = (f(np.complex128(complex(*end))) for end in ends)
    want = (after - before) / (2 * h if z.imag == 0 else 2j * h)
    assert_allclose(hg.jvp(f, (z,), (np.complex128(1),))[1], want, rtol=1e-8, atol=1e-10)
    assert_allclose(hg.jacobian(f)(z), want, rtol=1e-8, atol=1e-10)


def test_jacobians_of_complex_functions() -> None:
    assert_allclose(hg.jacobian(np.exp)(Z), np.diag(np.exp(Z)), rtol=1e-14)
    assert_allclose(hg.jacobian(np.exp, mode="reverse")(Z), np.diag(np.exp(Z)), rtol=1e-14)
    assert_allclose(hg.jacobian(np.abs)(Z[:1]), [[0.6 - 0.8j]], rtol=1e-15)
    x = np.array([0.3, -2.0])
    assert_allclose(hg.jacobian(lambda x: np.exp(1j * x))(x), np.diag(1j * np.exp(1j * x)), rtol=1e-14)
    assert_allclose(hg.elementwise_grad(np.sin)(Z), np.cos(Z), rtol=1e-14)
    assert_allclose(hg.jacobian(np.fft.fft)(Z), np.fft.fft(np.eye(3)), atol=1e-15)


@pytest.mark.parametrize(
    ("transform", "f", "point", "words"),
    [
        (hg.grad, lambda z: z * z, 1j, r"grad needs a real result.*np\.real, np\.imag or np\.abs"),
        (hg.jacobian, np.conj, Z, "not an analytic function"),
        (hg.jacobian, lambda z: z * np.abs(z), Z, "not an analytic function"),
        (hg.jacobian, lambda z: np.linalg.pinv(np.outer(z, z)), Z, "not an analytic function"),
        (hg.hessian, np.linalg.norm, Z, "not an analytic function"),
        (hg.elementwise_grad, lambda x: 1j * x, np.ones(2), "take its real or imaginary part, or use jvp"),
        (lambda f: hg.jacobian(f, mode="forward"), np.abs, Z, "need mode='reverse'"),
        (lambda f: hg.jacobian(f, mode="reverse"), lambda x: 1j * x, np.ones(2), "need mode='forward'"),
        (hg.jacobian, lambda p: (np.abs(p["z"]), 1j * p["x"]), {"z": Z, "x": np.ones(2)}, "one after the other"),
        (lambda f: lambda x: hg.vjp(f, x)[1](1j * x), np.sin, np.ones(2), "the cotangent is complex"),
        (lambda f: lambda x: hg.jvp(f, (x,), (1j * x,)), np.sin, np.ones(2), "the tangent is complex"),
        (lambda f: lambda x: hg.explain(f)(x), lambda x: np.exp(1j * x), 0.3, r"explain a real number made of it"),
    ],
)
def test_what_is_no_number_is_refused(transform: Any, f: Any, point: Any, words: str) -> None:
    with pytest.raises((hg.DtypeError, ValueError), match=words):
        transform(f)(point)


def test_parts_of_complex_arrays_are_views() -> None:
    def f(z: Any) -> Any:
        y = z.copy()
        y.real[0] = z[1].imag
        part = y.imag
        y *= 2
        part += z.real
        y.imag[2] = 1.0
        return np.sum(y * np.array([1, 2j, 3 - 1j])).real + np.sum(part**2)

    assert_allclose(hg.value_and_grad(f)(Z)[0], f(Z), rtol=1e-14)
    hg.check_grads(f, (Z,), order=2)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: abs(complex(x[0], x[1])),
        lambda x: abs(complex(x[0]) * complex(1, x[1])),
        lambda x: abs(complex(complex(x[0], 1.0), complex(x[1], 2.0))),
        lambda x: np.abs(np.complex128(x[0]) + 2j * x[1]),
        lambda x: abs(complex(1, 2)) * x[0] if type(complex(x[0])) is complex else x[1],
    ],
)
def test_complex_as_python_calls_it(f: Any) -> None:
    x = np.array([3.0, -4.0])
    assert hg.value_and_grad(f)(x)[0] == f(x)
    hg.check_grads(f, (x,), order=2)


def test_complex_numbers_are_no_floats() -> None:
    with pytest.raises(TypeError, match="not 'complex'"):
        hg.grad(lambda z: float(z))(1j)


def test_loops_carry_complex_numbers() -> None:
    def f(z: Any) -> Any:
        last, sizes = hg.scan(lambda c, _: (c * c + z, np.abs(c)), z, None, length=3)
        return np.abs(last) + np.sum(sizes)

    z = 0.3 - 0.2j
    hg.check_grads(f, (z,), order=2)
    transform = hg.grad(f)
    assert_allclose([transform(z) for _ in range(3)], [transform(z)] * 3, rtol=1e-12)


def test_descent_follows_the_conjugate() -> None:
    found = optim.descend(lambda z: np.sum(np.abs(z - Z) ** 2), np.zeros(3, complex), 60, 0.2)
    assert_allclose(found.params, Z, atol=1e-9)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_eigenvectors_as_lapack_has_them(n: int) -> None:
    """Of length 1, the largest element real; its sign may jump, so it is taken out here."""

    def f(a: Any) -> Any:
        w, v = np.linalg.eig(a)
        largest = np.take_along_axis(v, np.argmax(np.abs(v), axis=0, keepdims=True), 0)
        return w, v * np.sign(largest.real)

    random = np.random.default_rng(n)
    real, imaginary = random.normal(size=(2, n, n))
    for matrix in (real, real @ real.T + np.eye(n), real + 1j * imaginary):
        hg.check_grads(f, (matrix,), order=2, rtol=1e-4, atol=1e-4)


def test_whether_results_are_real_is_a_guard() -> None:
    """A replay for other values does not take the dtype of the first ones."""
    transform = hg.value_and_grad(lambda a: np.sum(np.abs(np.linalg.eigvals(a)) ** 2))
    turning, symmetric = np.array([[0.0, 1.0], [-2.0, 0.5]]), np.array([[2.0, 1.0], [1.0, -1.0]])
    for matrix in (turning, symmetric, turning, symmetric):
        value, gradient = transform(matrix)
        assert_allclose(value, np.sum(np.abs(np.linalg.eigvals(matrix)) ** 2), rtol=1e-13)
        step = 1e-6 * np.array([[0.3, -1.0], [0.7, 0.2]])
        slope = (transform(matrix + step)[0] - transform(matrix - step)[0]) / 2
        assert_allclose(np.sum(gradient * step), slope, rtol=1e-7)


# -- caching traces ----------------------------------------------------------------------------------------------------


@pytest.fixture
def change_state() -> Iterator[None]:
    """Whatever a case does to the world is undone."""
    before, slots = dict(vars(changes)), dict(vars(changes.Model))
    errors, randoms, limit = np.geterr(), np.random.get_state(), sys.getrecursionlimit()
    with warnings.catch_warnings(), decimal.localcontext():
        yield
    sys.setrecursionlimit(limit)
    for path in Path(tempfile.gettempdir()).glob(f"changes-{os.getpid()}.*"):
        path.unlink()
    vars(changes).clear()
    vars(changes).update(before)
    changes.Model.shared = slots["shared"]
    np.seterr(**errors)
    np.random.set_state(randoms)
    os.environ.pop("CHANGING_FACTOR", None)
    sys.modules.pop("changing_module", None)


HERE = 1.5


def history(f: Callable[[Any], Any], change: Callable[[], Any], calls: int) -> list[Any]:
    """Results of calls with changes between; a change right after the first call, and after calls that were alike."""
    found = [f(HERE)]
    for _ in range(3):
        change()
        found += [f(HERE) for _ in range(calls)]
    return found


def as_value_and_grad(f: Any) -> Any:
    transform = hg.value_and_grad(f)

    def both(x: Any) -> Any:
        value, gradient = transform(x)
        assert_allclose(gradient, 2 * value / x, rtol=1e-6 if np.asarray(value).dtype == np.float32 else 1e-12)
        return value

    return both


def as_gradient(f: Any) -> Any:
    transform = hg.grad(f)
    return lambda x: transform(x) * x / 2


def as_second_derivative(f: Any) -> Any:
    transform = hg.grad(hg.grad(f))
    return lambda x: transform(x) * x**2 / 2


def as_hessian(f: Any) -> Any:
    transform = hg.hessian(f)
    return lambda x: transform(x) * x**2 / 2


def as_jacobian(f: Any) -> Any:
    transform = hg.jacobian(f)
    return lambda x: transform(x) * x / 2


def as_a_helper(f: Any) -> Any:
    transform = hg.grad(lambda x: 3.0 * f(x))
    return lambda x: transform(x) * x / 6


def as_forward_mode(f: Any) -> Any:
    return lambda x: hg.jvp(f, (x,), (1.0,))[1] * x / 2


def as_pullback(f: Any) -> Any:
    return lambda x: hg.vjp(f, x)[1](1.0)[0] * x / 2


def as_array_argument(f: Any) -> Any:
    transform = hg.grad(lambda x: f(x[0]))
    return lambda x: transform(np.array([x, 0.0]))[0] * x / 2


WAYS = [
    as_value_and_grad, as_gradient, as_second_derivative, as_hessian, as_jacobian, as_a_helper, as_forward_mode,
    as_pullback, as_array_argument,
]  # fmt: skip


def no_change_is_missed(way: Callable[[Any], Any], name: str, calls: int) -> None:
    """Check the results of calls with changes between."""
    wanted = history(*changes.CASES[name](), calls)
    vars(changes).pop("abs", None)
    np.seterr(all="ignore")
    f, change = changes.CASES[name]()
    found = history(way(f), change, calls)
    assert_allclose(found, wanted, rtol=1e-6 if "type" in name else 1e-12)
    assert len({float(v) for v in wanted}) > 1 or name in STEADY


@pytest.mark.usefixtures("change_state")
@pytest.mark.parametrize("name", changes.CASES)
@pytest.mark.parametrize("way", WAYS)
def test_a_change_outside_is_never_missed(way: Callable[[Any], Any], name: str) -> None:
    no_change_is_missed(way, name, 3)


@pytest.mark.usefixtures("change_state")
@pytest.mark.parametrize("name", changes.CASES)
@pytest.mark.parametrize("way", [as_gradient, as_hessian, as_jacobian, as_forward_mode, as_pullback])
def test_nor_by_native_code(way: Callable[[Any], Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPGRAD_BACKEND", "native")
    no_change_is_missed(way, name, 4)


# The buffer is overwritten before it is read, whatever was in it.
STEADY = {"scratch buffer reused"}


@pytest.mark.usefixtures("change_state")
@pytest.mark.parametrize("name", changes.ARGUMENTS)
def test_other_arguments_are_never_taken_for_the_same(name: str) -> None:
    f, make = changes.ARGUMENTS[name]
    wanted = [f(HERE, *args) for args in make()]
    transform = hg.value_and_grad(f)
    given = make()
    for k, (args, want) in enumerate(zip(given, wanted, strict=True)):
        found, refusal = attempt(lambda args=args: transform(HERE, *args))  # type: ignore[misc]  # the default
        if refusal:  # writing to one of two arrays that have elements in common
            assert name == "arrays that overlap"
            assert np.shares_memory(*args)
            continue
        value, gradient = found
        assert_allclose(value, want, rtol=1e-12, err_msg=f"at {k}")
        assert_allclose(gradient, 2 * want / HERE, rtol=1e-12, err_msg=f"at {k}")
    for turn in (1, 2):
        for args, want in zip(make(), wanted, strict=True):
            if name == "arrays that overlap" and np.shares_memory(*args):
                continue
            value, gradient = transform(HERE, *args)
            assert_allclose(value, want, rtol=1e-12, err_msg=f"turn {turn}")
            assert_allclose(gradient, 2 * want / HERE, rtol=1e-12, err_msg=f"turn {turn}")


@pytest.mark.filterwarnings("ignore::hopgrad.errors.RetraceWarning")
@pytest.mark.parametrize("f", [surroundings.loss, surroundings.loss_of_layer])
@pytest.mark.parametrize("seed", range(8))
def test_changes_in_any_order(seed: int, f: Callable[..., Any]) -> None:
    """Values to the last bit; gradients as those of a transform that has seen nothing else."""
    wanted = surroundings.story(f, seed, 40)
    kept = hg.value_and_grad(f)

    def call(*args: Any, **keywords: Any) -> Any:
        before = copy.deepcopy(vars(surroundings.layer))
        _, fresh = hg.value_and_grad(lambda *a, **k: f(*a, **k))(*args, **keywords)
        vars(surroundings.layer).update(before)
        value, gradient = kept(*args, **keywords)
        assert_allclose(gradient, fresh, rtol=1e-12, atol=1e-13)
        return value

    found = surroundings.story(call, seed, 40)
    surroundings.reset()
    for one, other in zip(found, wanted, strict=True):
        assert type(one[0]) is type(other[0])
        assert_array_equal(one[0], other[0])
        assert_array_equal(one[1], other[1])
        assert one[2] == other[2]
        assert_array_equal(one[3], other[3])


def test_an_argument_changed_in_place_between_calls() -> None:
    w, model, cfg, parts = np.ones(3), changes.Model(2.0), {"lr": 1.0}, [np.ones(2), [1.0]]

    def f(x: Any, w: Any, model: Any, cfg: Any, parts: Any) -> Any:
        return np.sum(w * x) * model.k * cfg["lr"] * np.sum(parts[0]) * parts[1][0] * x

    transform = hg.value_and_grad(f)
    args = (w, model, cfg, parts)

    def agrees() -> None:
        want = f(HERE, *args)
        assert_allclose(transform(HERE, *args), (want, 2 * want / HERE), rtol=1e-12)

    agrees()
    for change in (
        lambda: w.__setitem__(0, 5.0),
        lambda: setattr(model, "k", 3.0),
        lambda: cfg.__setitem__("lr", 7.0),
        lambda: parts[0].__setitem__(1, 2.0),
        lambda: parts[1].__setitem__(0, 11.0),
        lambda: parts[1].append(1.0),
    ):
        change()
        agrees()
        agrees()


def test_shapes_dtypes_and_kinds_of_the_argument() -> None:
    def f(x: Any) -> Any:
        flat = np.ravel(np.asarray(x))
        return np.sum(flat * flat) * (len(flat) + np.ndim(x)) * (2 if isinstance(x, float) else 3)

    transform = hg.value_and_grad(f)
    points: list[Any] = [
        2.0, 3.0, np.float64(2.0), np.float32(2.0), np.array(2.0), np.array([2.0]), np.array([1.0, 2.0]),
        np.ones((2, 2), order="F"), np.arange(4.0)[::2], np.arange(4.0, dtype=np.float32), np.ones((0, 3)), 2, -0.0,
        0.0, np.ones((2, 2)),
        np.array([np.nan, 1.0]), np.array([np.inf]), np.arange(6.0).reshape(2, 3).T, np.array([2.0], ">f8"),
    ]  # fmt: skip
    for point in [*points, *points[::-1], *points]:
        x = float(point) if type(point) is int else point
        value, gradient = transform(point)
        want, slope = hg.value_and_grad(f)(point)
        assert_array_equal(value, want, strict=True)
        assert_array_equal(value, f(x))
        assert type(gradient) is type(slope)
        assert_array_equal(gradient, slope, strict=True)


@pytest.mark.filterwarnings("ignore::hopgrad.errors.RetraceWarning")
def test_branches_of_all_kinds() -> None:
    def f(x: Any) -> Any:
        y = x if x[0] > 0 else -x
        n = 0
        while np.sum(np.abs(y)) > 1:
            y = y / 2
            n += 1
        k = int(np.argmax(np.abs(x)))
        table = {0: np.sin, 1: np.cos, 2: np.tanh}
        total = table[k](y[k]) * (n + 1)
        for _ in range(k):
            total = total * min(y[0], 0.5)
        if np.any(x > 5) and not np.all(x > 5):
            total += np.sum(x[1:] ** 2)
        try:
            return total if x[1] else total / 0
        except ZeroDivisionError:
            return x[2] * 3

    transform = hg.value_and_grad(f)
    random = np.random.default_rng(5)
    points = [random.normal(size=3) * scale for scale in (0.1, 1.0, 4.0) for _ in range(12)]
    for point in [*points, *points]:
        value, gradient = transform(point)
        assert_array_equal(value, f(point), strict=True)
        assert_allclose(gradient, hg.grad(lambda x: f(x))(point), rtol=1e-14)
        near = numeric(f, point)
        if np.allclose(near, numeric(lambda x: f(x), point * (1 + 1e-9)), rtol=1e-6):
            assert_allclose(gradient, near, rtol=1e-5, atol=1e-6)


def test_the_same_array_given_twice() -> None:
    def f(x: Any, y: Any) -> Any:
        x, y = x * 1.0, y * 2.0
        x += y
        return np.sum(x * y)

    def g(x: Any, y: Any) -> Any:
        y[0] = 3.0
        return np.sum(x * x) + np.sum(y)

    a, b = np.array([1.0, 2.0]), np.array([1.0, 2.0])
    transform = hg.grad(f, (0, 1))
    for args in ((a, b), (a, a), (a, b)):
        assert_allclose(transform(*args), ([2, 4], [10, 20]))
    for argnums in (0, 1, (0, 1)):
        transform = hg.value_and_grad(g, argnums)
        for same in (False, True, False, True):
            one = np.array([1.0, 2.0])
            other = one if same else np.array([1.0, 2.0])
            one_too = np.array([1.0, 2.0])
            other_too = one_too if same else np.array([1.0, 2.0])
            want = g(one_too, other_too)
            try:
                value, _ = transform(one, other)
            except HopgradError:
                assert same  # overlapping arguments that are written to may be refused
                continue
            assert_array_equal(value, want)
            assert_array_equal(one, one_too)
            assert_array_equal(other, other_too)


def test_two_functions_of_the_same_code_are_two_functions() -> None:
    def make(k: float, w: Any) -> Any:
        return lambda x, p=k: k * p * np.sum(w) * x**2

    made = [make(1.0, np.ones(2)), make(2.0, np.ones(3)), make(3.0, np.zeros(2) + 2)]
    transforms = [hg.grad(f) for f in made]
    for _ in range(2):
        for f, transform in zip(made, transforms, strict=True):
            assert_allclose(transform(HERE), 2 * f(HERE) / HERE)
            assert_allclose(hg.grad(f)(HERE), 2 * f(HERE) / HERE)


def test_a_changed_function_object_under_one_transform() -> None:
    def f(x: Any) -> Any:
        return 2.0 * x**2

    transform = hg.grad(f)
    assert transform(1.0) == 4.0
    f.__code__ = (lambda x: 3.0 * x**2).__code__
    assert transform(1.0) == 6.0
    assert transform(1.0) == 6.0


def test_an_exception_is_raised_at_each_call_that_has_it() -> None:
    def f(x: Any) -> Any:
        if x < 0:
            raise ValueError(f"negative: {x}")
        assert x < 10, "too large"
        return x * x

    transform = hg.grad(f)
    for _ in range(2):
        assert transform(2.0) == 4.0
        with pytest.raises(ValueError, match=r"negative: -1\.5"):
            transform(-1.5)
        with pytest.raises(ValueError, match=r"negative: -2\.5"):
            transform(-2.5)
        with pytest.raises(AssertionError, match="too large"):
            transform(11.0)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * len(f"{x:.1f}"),
        lambda x: x * (2 if "-" in repr(x) else 3),
        lambda x: x * len(str(np.float64(1.0) * x)),
        lambda x: x * len("%s" % x),  # noqa: UP031 - that is the case
        lambda x: x * {"1": 2.0, "-": 3.0, "2": 4.0}[str(x)[0]],
        lambda x: x * len("{:g}".format(x)),  # noqa: UP032 - that is the case
        lambda x: x * len(np.array2string(np.array([x, 1.0]), precision=3)),
    ],
)
def test_text_made_of_a_value_is_that_of_the_call(f: Callable[[Any], Any]) -> None:
    transform = hg.value_and_grad(f)
    for x in (1.0, 10.0, -1.0, 1.0, 1.23456, 25.0):
        value, gradient = transform(x)
        assert value == f(x)
        assert_allclose(gradient, f(x) / x, rtol=1e-14)


def test_arguments_that_are_one_object() -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        return np.sum(x * y) * (2.0 if y is z else 3.0)

    one, two = np.ones(2), np.ones(2)
    transform = hg.value_and_grad(f)
    for args in ((one, two, np.ones(2)), (one, two, two), (one, one, two), (one, one, one), (one, two, one)):
        for _ in range(2):
            assert transform(*args)[0] == f(*args)


def test_printing_happens_at_each_call(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        print(f"x = {x:.1f}")
        return x * x

    transform = hg.grad(f)
    for x in (1.0, 2.0, 2.0):
        transform(x)
    assert capsys.readouterr().out == "x = 1.0\nx = 2.0\nx = 2.0\n"


def test_results_kept_from_one_call_are_not_changed_by_the_next() -> None:
    transform = hg.value_and_grad(lambda x: np.sum(x * x))
    first = transform(np.ones(3))
    kept = first[1].copy()
    transform(np.full(3, 5.0))
    first[1][:] += 0.0
    assert_array_equal(first[1], kept)
    again = transform(np.ones(3))
    again[1][:] = 99.0
    assert_array_equal(transform(np.ones(3))[1], [2, 2, 2])


def test_auxiliary_output_is_that_of_the_call() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(len(seen))
        return x * x, {"n": len(seen), "double": 2 * x, "kind": "low" if x < 2 else "high", "w": np.ones(2) * x}

    transform = hg.value_and_grad(f, has_aux=True)
    for n, x in enumerate((1.0, 3.0, 1.0, 1.0), 1):
        (value, aux), gradient = transform(x)
        assert (value, gradient, aux["n"], aux["double"]) == (x * x, 2 * x, n, 2 * x)
        assert aux["kind"] == ("low" if x < 2 else "high")
        assert_array_equal(aux["w"], [x, x])


# -- warnings and entry ------------------------------------------------------------------------------------------------


def test_floating_point_warnings_follow_errstate() -> None:
    # Logarithm and division of arrays: Python's own numbers know no such warnings.
    for f in (lambda x: np.sum(np.log(x)), lambda x: np.sum(1 / x)):
        transform = hg.value_and_grad(f)
        for _ in range(3):
            with np.errstate(divide="ignore"):
                value, _ = transform(np.zeros(2))
                assert np.isinf(value)
            with np.errstate(divide="warn"), pytest.warns(RuntimeWarning, match="divide by zero"):
                transform(np.zeros(2))
            with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
                transform(np.zeros(2))
            problems: list[str] = []
            with np.errstate(divide="call", call=lambda kind, flag, to=problems: to.append(kind)):
                transform(np.zeros(2))
            assert problems


def test_errstate_inside_the_function_is_followed() -> None:
    def f(x: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.where(x > 0, np.log(x), 0.0)
        return np.sum(y)

    transform = hg.value_and_grad(f)
    with np.errstate(all="warn"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            value, gradient = transform(np.array([0.0, 2.0, -1.0]))
            assert value == np.log(2.0)
            assert_array_equal(gradient, [0.0, 0.5, 0.0])


def test_errors_that_errstate_raises_can_be_caught() -> None:
    def f(x: Any) -> Any:
        with np.errstate(all="raise"):
            try:
                return np.sum(np.log(x))
            except FloatingPointError:
                return np.sum(3.0 * x)

    transform = hg.value_and_grad(f)
    for point, want in (([1.0, 2.0], [1.0, 0.5]), ([0.0, 2.0], [3.0, 3.0]), ([4.0, 2.0], [0.25, 0.5])):
        value, gradient = transform(np.array(point))
        assert value == f(np.array(point))
        assert_array_equal(gradient, want)


class Frame:
    """Stands for a table of pandas, which need not be there."""

    __module__ = "pandas.core.frame"
    ndim = 1

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.ones(3)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    STRANGE = {
        "masked": np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0]),
        "matrix": np.matrix([[1.0, 2.0, 3.0]]),
        "pandas": Frame(),
    }


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_strange_arrays_are_converted_or_refused_by_name(kind: str) -> None:
    """At the entry, as another argument, and captured."""
    strange = STRANGE[kind]
    words = {"masked": "[Mm]ask", "matrix": "matrix", "pandas": r"Frame|pandas|to_numpy"}[kind]
    with pytest.raises(HopgradError, match=words):
        hg.grad(lambda x: np.sum(x))(strange)
    for f, args in (
        (lambda x, other: np.sum(x * other), (POINT, strange)),
        (lambda x: np.sum(strange * x), (POINT,)),
        (lambda x: np.sum(np.add(x, strange)), (POINT,)),
        (lambda x: np.sum(np.array(x) * np.asarray(strange)), (POINT,)),
    ):
        gradient, refusal = attempt(lambda f=f, args=args: hg.grad(f)(*args))  # type: ignore[misc]  # the defaults
        if refusal:
            assert re.search(words, refusal), refusal
        else:
            assert_allclose(gradient, np.ravel(np.asarray(strange)), rtol=1e-14)


def test_byte_swapped_arrays_are_converted() -> None:
    swapped = POINT.astype(POINT.dtype.newbyteorder())
    table = swapped * 2
    want = 3 * POINT**2 * 2 * POINT
    for f, args in (
        (lambda x: np.sum(x**3 * 2) / 1.0, (swapped,)),
        (lambda x, other: np.sum(x**3 * other), (POINT, swapped)),
    ):
        value, gradient = hg.value_and_grad(f)(*args)
        assert_allclose(value, f(*args))
        assert gradient.dtype == np.float64
    assert_allclose(hg.grad(lambda x: np.sum(x**3 * table))(POINT), want)
    assert_allclose(hg.grad(lambda x: np.sum(x**3 * table))(swapped), want)


def test_objects_that_are_no_numbers_are_named() -> None:
    for value, words in ((object(), "object"), ("text", "str"), (1j, "complex"), (np.array([1, 2]), "integer")):
        with pytest.raises(DtypeError, match=words):
            hg.grad(lambda x: x)(value)
