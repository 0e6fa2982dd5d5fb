"""``scipy.interpolate``: values as SciPy's, derivatives by places, values and knots, and what is refused."""

from __future__ import annotations

import inspect
import types
from typing import Any

import numpy as np
import pytest
import scipy.interpolate
from numpy.testing import assert_allclose, assert_array_equal
from scipy.interpolate import CubicSpline as PlainSpline
from scipy_calls import check_curvature, check_native, check_slopes, check_value, parametrize

import hopgrad as hg
from hopgrad.errors import NotDifferentiableError, TraceError
from hopgrad.scipy import interpolate

MODULE = "scipy.interpolate"

KNOTS = "np.array([0.0, 0.7, 1.9, 3.0, 4.2, 4.9, 6.0]) + 0.01 * L[:7]"
PLACES = "np.array([0.4, 1.2, 2.5, 3.3, 4.5, 5.2]) + 0.02 * L[:6]"
OUTSIDE = "np.array([-0.7, 1.2, 7.1]) + 0.02 * L[:3]"
MANY = "np.stack([Q, np.sin(3.0 * Q), Q**2], -1)"

CALLS = f"""
interpolate.CubicSpline({KNOTS}, Q)({PLACES})
interpolate.CubicSpline({KNOTS}, Q)({PLACES}, 1)
interpolate.CubicSpline({KNOTS}, Q)({OUTSIDE}, 2)
interpolate.CubicSpline({KNOTS}, Q, bc_type="natural")({PLACES})
interpolate.CubicSpline({KNOTS}, Q, bc_type="clamped")({OUTSIDE})
interpolate.CubicSpline({KNOTS}, Q, bc_type=((1, s), (2, 0.3 * s)))({PLACES})
interpolate.CubicSpline({KNOTS}, Q, bc_type=("not-a-knot", "clamped"))({PLACES})
interpolate.CubicSpline({KNOTS}, np.concatenate([Q[:6], Q[:1]]), bc_type="periodic")({OUTSIDE})
interpolate.CubicSpline(({KNOTS})[:3], np.concatenate([y[:2], y[:1]]), bc_type="periodic")(np.array([0.3, 1.1, 5.0]))
interpolate.CubicSpline(({KNOTS})[:4], np.concatenate([y, y[:1]]), bc_type="periodic")(np.array([0.3, 1.1, 2.2]))
interpolate.CubicSpline({KNOTS}, {MANY})({PLACES})
interpolate.CubicSpline({KNOTS}, ({MANY}).T, axis=1)(({PLACES}).reshape(2, 3))
interpolate.CubicSpline({KNOTS}, ({MANY}).T, axis=-1, bc_type="natural")(s)
interpolate.CubicSpline(({KNOTS})[:3], x)({OUTSIDE})
interpolate.CubicSpline(({KNOTS})[:3], x, bc_type=("not-a-knot", "natural"))(s)
interpolate.CubicSpline(({KNOTS})[:2], x[:2])({OUTSIDE})
interpolate.CubicSpline(({KNOTS})[:3], Z)(s)
interpolate.CubicSpline({KNOTS}, Q).integrate(0.3 * s, 2.0 * s + 3.0)
interpolate.CubicSpline({KNOTS}, Q).derivative()({PLACES})
interpolate.CubicSpline({KNOTS}, Q).antiderivative(2)({PLACES})
interpolate.CubicHermiteSpline({KNOTS}, Q, np.cos(Q))({PLACES})
interpolate.PchipInterpolator({KNOTS}, np.cumsum(Q**2))({PLACES})
interpolate.PchipInterpolator(({KNOTS})[:2], Q[:2])(s)
interpolate.PchipInterpolator({KNOTS}, {MANY})(s, 1)
interpolate.Akima1DInterpolator({KNOTS}, Q)({PLACES})
interpolate.Akima1DInterpolator({KNOTS}, Q, method="makima", extrapolate=True)({OUTSIDE})
interpolate.Akima1DInterpolator({KNOTS}, {MANY})({PLACES})
interpolate.PPoly(M[:3, :4], ({KNOTS})[:5])(({PLACES})[:3])
interpolate.PPoly(M[:3, :4], ({KNOTS})[:5], extrapolate="periodic")({OUTSIDE})
interpolate.PPoly(U, ({KNOTS})[:3])({OUTSIDE}, 1)
interpolate.BSpline(np.cumsum(1.2 + np.sin(L)), M[:5, 0], 3)(5.3 + 0.02 * y)
interpolate.BSpline({KNOTS}, M[:4], 2, extrapolate=True)({PLACES})
interpolate.BSpline({KNOTS}, M[:4], 2)({PLACES}, 1)
interpolate.BSpline({KNOTS}, Q[:4], 2, extrapolate="periodic")({OUTSIDE})
interpolate.make_interp_spline({KNOTS}, Q)({PLACES})
interpolate.make_interp_spline({KNOTS}, Q, k=1)({PLACES})
interpolate.make_interp_spline({KNOTS}, Q, k=2)({OUTSIDE})
interpolate.make_interp_spline({KNOTS}, {MANY}, k=5)({PLACES})
interpolate.make_interp_spline({KNOTS}, ({MANY}).T, axis=1).derivative()({PLACES})
interpolate.interp1d({KNOTS}, Q)({PLACES})
interpolate.interp1d({KNOTS}, {MANY}, axis=0)({PLACES})
interpolate.interp1d({KNOTS}, ({MANY}).T)(({PLACES}).reshape(2, 3))
interpolate.interp1d({KNOTS}, Q, fill_value="extrapolate")({OUTSIDE})
interpolate.interp1d({KNOTS}, Q, bounds_error=False, fill_value=(0.5, 1.5))({OUTSIDE})
interpolate.interp1d({KNOTS}, Q, "slinear")({PLACES})
interpolate.interp1d({KNOTS}, Q, "quadratic")({PLACES})
interpolate.interp1d({KNOTS}, Q, "cubic")(s)
interpolate.interp1d({KNOTS}, Q, 2, fill_value="extrapolate")({OUTSIDE})
interpolate.interp1d(({KNOTS})[::-1], Q)({PLACES})
interpolate.RegularGridInterpolator((({KNOTS})[:5], ({KNOTS})[:6]), M)(np.stack([{PLACES}, ({PLACES})[::-1]], -1)[1:4])
interpolate.RegularGridInterpolator((np.arange(2.0), np.arange(2.0), np.arange(3.0)), U)([[0.3 * s, s, 1.5 * s]])
interpolate.RegularGridInterpolator((np.arange(5.0),), M)([[0.7 * s], [3.4]])
interpolate.RegularGridInterpolator((np.arange(3.0),), x, bounds_error=False, fill_value=None)([3.2 * s, 0.4])
interpolate.interpn((np.arange(5.0), np.arange(6.0)), M, np.stack([p, p + 0.2], -1))
"""

ONCE = f"""
interpolate.pchip_interpolate({KNOTS}, np.cumsum(Q**2), {PLACES}, der=1)
interpolate.PchipInterpolator({KNOTS}, Q)({PLACES})
interpolate.interp1d({KNOTS}, Q, "nearest")({PLACES})
interpolate.interp1d({KNOTS}, Q, "nearest-up")({PLACES})
interpolate.interp1d({KNOTS}, Q, "previous")({PLACES})
interpolate.interp1d({KNOTS}, Q, "next")({PLACES})
interpolate.interp1d({KNOTS}, Q, "zero")({PLACES})
interpolate.interp1d({KNOTS}, Q, "previous", fill_value="extrapolate")(s + 6.0)
interpolate.interp1d({KNOTS}, Q, "next", fill_value="extrapolate")(-s)
interpolate.make_interp_spline({KNOTS}, Q, k=0)({PLACES})
interpolate.RegularGridInterpolator((np.arange(5.0), np.arange(6.0)), M, "nearest")([[1.2 * s, 2.3 * s]])
"""
"""Constant between the knots, so that only the values have derivatives, or near a corner of the slopes."""


@parametrize(CALLS + ONCE)
def test_values_are_scipys(text: str) -> None:
    check_value(text, MODULE)


@parametrize(CALLS + ONCE)
def test_first_derivatives(text: str) -> None:
    check_slopes(text, MODULE)


@parametrize(CALLS)
def test_second_derivatives(text: str) -> None:
    check_curvature(text, MODULE)


@parametrize(CALLS)
def test_native_code_agrees(text: str) -> None:
    check_native(text, MODULE)


# -- odd input ---------------------------------------------------------------------------------------------------------

X, Y = np.arange(5.0), np.array([0.0, 1.0, 0.5, 2.0, 1.5])
PLAIN = {
    "CubicSpline": PlainSpline(X, Y),
    "PchipInterpolator": scipy.interpolate.PchipInterpolator(X, Y),
    "Akima1DInterpolator": scipy.interpolate.Akima1DInterpolator(X, Y),
    "BSpline": scipy.interpolate.make_interp_spline(X, Y),
    "interp1d": scipy.interpolate.interp1d(X, Y),
    "interp1d, cubic": scipy.interpolate.interp1d(X, Y, "cubic"),
    "RegularGridInterpolator": scipy.interpolate.RegularGridInterpolator((X,), Y),
}


@pytest.mark.parametrize("name", PLAIN)
def test_interpolants_that_were_made_before_take_traced_places(name: str) -> None:
    spline = PLAIN[name]
    f = lambda t: np.sum(spline(np.reshape(t, (1, 1)) if name.startswith("Reg") else t))  # noqa: E731
    h = 1e-6
    assert_allclose(hg.grad(f)(1.3), (f(1.3 + h) - f(1.3 - h)) / (2 * h), rtol=1e-7)


def test_a_replaced_coefficient_is_seen() -> None:
    spline = PlainSpline(X, Y)
    f = hg.grad(lambda t: spline(t))
    assert_allclose(f(0.5), spline(0.5, 1))
    spline.c[2] += 1.0
    assert_allclose(f(0.5), spline(0.5, 1))


def test_at_a_knot_it_is_the_piece_on_the_right_and_at_the_end_the_last() -> None:
    f = hg.grad(lambda t: scipy.interpolate.interp1d(X, Y)(t))
    assert f(0.0) == 1.0
    assert f(4.0) == -0.5
    g = hg.grad(lambda t: scipy.interpolate.make_interp_spline(X, Y, k=1)(t))
    assert [g(0.0), g(1.0), g(4.0)] == [1.0, -0.5, -0.5]


def test_places_outside() -> None:
    spline = lambda t: PlainSpline(X, Y, extrapolate=False)(t)  # noqa: E731
    assert np.isnan(hg.value_and_grad(spline)(5.0)[0])
    assert hg.grad(lambda t: np.sum(np.nan_to_num(spline(t))))(5.0) == 0.0
    with pytest.raises(ValueError, match="interpolation range"):
        hg.grad(lambda t: scipy.interpolate.interp1d(X, Y)(t))(5.0)
    with pytest.raises(ValueError, match="out of bounds"):
        hg.grad(lambda t: np.sum(scipy.interpolate.RegularGridInterpolator((X,), Y)([[t]])))(5.0)


def test_a_not_a_number_goes_through() -> None:
    value, slope = hg.value_and_grad(lambda t: PlainSpline(X, Y)(t))(np.nan)
    assert np.isnan(value)
    assert np.isnan(slope)


def test_many_knots() -> None:
    """The system is solved as a band: 10⁵ knots take no matrix."""
    x = np.linspace(0.0, 100.0, 100_001)
    got = hg.grad(lambda y: PlainSpline(x, y)(50.0005))(np.sin(x))
    near = np.abs(x - 50.0005) < 0.02
    assert_allclose(got.sum(), 1.0, rtol=1e-9)
    assert np.abs(got[~near]).max() < 1e-6


def test_empty_places() -> None:
    assert hg.grad(lambda y: np.sum(PlainSpline(X, y)(np.zeros(0))))(Y).shape == (5,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y: interpolate.CubicSpline(X[::-1], y), "increasing"),
        (lambda y: interpolate.CubicSpline(X[:4], y), "length"),
        (lambda y: interpolate.CubicSpline(X, y, bc_type="round"), "bc_type"),
        (lambda y: interpolate.CubicSpline(X, y, bc_type="periodic"), "identical"),
        (lambda y: interpolate.CubicSpline(X[:1], y[:1]), "at least 2"),
        (lambda y: interpolate.BSpline(X, y, 3), "knots"),
        (lambda y: interpolate.interp1d(X[:4], y), "equal in length"),
        (lambda y: interpolate.RegularGridInterpolator((X[:4],), y), "points"),
        (lambda y: interpolate.RegularGridInterpolator((X,), y, method="round"), "Method"),
    ],
)
def test_bad_input_raises_scipys_errors(call: Any, message: str) -> None:
    def f(y: Any) -> Any:
        call(y)
        return np.sum(y)

    with pytest.raises(ValueError, match=message):
        hg.grad(f)(Y)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda y: interpolate.CubicSpline(X, y).roots(), "PPoly.roots"),
        (lambda y: interpolate.make_interp_spline(X, y, bc_type="natural"), "make_interp_spline"),
        (lambda y: interpolate.RegularGridInterpolator((X,), y, method="cubic"), "RegularGridInterpolator"),
        (lambda y: interpolate.interpn((X,), y, [[1.0]], method="cubic"), "interpn"),
    ],
)
def test_what_is_refused_is_named(call: Any, name: str) -> None:
    def f(y: Any) -> Any:
        call(y)
        return np.sum(y)

    with pytest.raises(NotDifferentiableError, match=rf"scipy\.interpolate\.{name}"):
        hg.grad(f)(Y)


# -- the namespace -----------------------------------------------------------------------------------------------------

NOT_OF_ARRAYS = {"BPoly", "NdBSpline", "NdPPoly", "BivariateSpline", "interp2d"}
"""Pieces in other bases, bases of other classes, and what SciPy itself has given up."""


def _required(made: Any) -> int:
    parameters = inspect.signature(made).parameters.values()
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


@pytest.mark.parametrize("name", [
    name for name in scipy.interpolate.__all__ if not isinstance(getattr(scipy.interpolate, name), types.ModuleType)
])  # fmt: skip
def test_everything_is_differentiated_or_refused(name: str) -> None:
    """By name, except for classes that are compiled, of which the error tells the line."""
    known = {part.split("(")[0] for line in (CALLS + ONCE).split("\n") for part in line.split("interpolate.")[1:]}
    if name in known | NOT_OF_ARRAYS:
        return
    original = getattr(scipy.interpolate, name)
    compiled = name in ("LinearNDInterpolator", "CloughTocher2DInterpolator")
    what = "traced value" if compiled else rf"scipy\.interpolate\.{name}"
    with pytest.raises((NotDifferentiableError, TraceError), match=what):
        hg.grad(lambda y: np.sum(getattr(interpolate, name)(*[y] * (2 if compiled else _required(original) or 3))))(Y)


def test_outside_of_traces_the_objects_are_scipys_own() -> None:
    assert type(interpolate.CubicSpline(X, Y)) is PlainSpline
    assert_array_equal(interpolate.make_interp_spline(X, Y)(X), scipy.interpolate.make_interp_spline(X, Y)(X))
