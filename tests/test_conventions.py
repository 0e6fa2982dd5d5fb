"""Right answers in odd corners: points without a derivative, untaken branches, overflow.

Every table lists (function, point, gradient); each line is checked in both modes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special

import hopgrad as hg

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
