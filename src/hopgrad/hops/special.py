"""Elementwise special functions of SciPy. SciPy is imported when one is first computed."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import POSITIVE, REAL, Case, Function, Interval, On, elementwise
from hopgrad.hops.elementwise import absolute, constant_power, cos, exp, isinf, log, log1p, sin, where

_SPECIAL = "scipy.special:"


@elementwise(_SPECIAL + "erf", Function("erf", r"\operatorname{erf}", "error function"), traits=("odd", "bounded"),
             lowering="erf(x)")  # fmt: skip
def erf(x: Expr) -> Any:
    """The Gaussian under the integral."""
    return (2 / sqrt(pi)) * exp(-constant_power(x, exponent=2))


@elementwise(_SPECIAL + "erfc", Function("erfc", r"\operatorname{erfc}", "error function"), traits=("bounded",),
             lowering="erfc(x)")  # fmt: skip
def erfc(x: Expr) -> Any:
    """1 − erf."""
    return (-2 / sqrt(pi)) * exp(-constant_power(x, exponent=2))


@elementwise(_SPECIAL + "expit", Function("σ", r"\sigma", "logistic function"), traits=("bounded",),
             lowering="e = exp(-fabs(x)); select(x < 0, e, 1) / (1 + e)")  # fmt: skip
def expit(x: Expr, *, out: Expr) -> Any:
    """σ(x) σ(−x) rather than σ (1 − σ), which loses all digits for large x."""
    return out * expit(-x)


@elementwise(_SPECIAL + "logit", Function("logit", r"\operatorname{logit}", "log odds"), domain=(Interval(0.0, 1.0),),
             kink="at 0 and 1: ∞, from inside",
             lowering="d = 2 * (x - 0.5); select(fabs(d) < 0.4, log1p(d) - log1p(-d), log(x / (1 - x)))")  # fmt: skip
def logit(x: Expr) -> Any:
    """From log x − log(1 − x)."""
    return 1 / (x * (1 - x))


@elementwise(_SPECIAL + "log_expit", Function("log σ", r"\log\sigma", "log of the logistic function"),
             lowering="minimum(x, 0) - log1p(exp(-fabs(x)))")  # fmt: skip
def log_expit(x: Expr) -> Any:
    """1 − σ(x), written without the cancellation."""
    return expit(-x)


@elementwise(_SPECIAL + "gammaln", Function("ln Γ", r"\ln\Gamma", "log gamma"), domain=(POSITIVE,),
             lowering="lgamma(x)")  # fmt: skip
def gammaln(x: Expr) -> Any:
    """The digamma function, by definition."""
    return digamma(x)


@elementwise(_SPECIAL + "gamma", Function("Γ", r"\Gamma", "gamma"), domain=(POSITIVE,),
             traits=("real",), lowering="tgamma(x)")  # fmt: skip
def gamma(x: Expr, *, out: Expr) -> Any:
    """The derivative of its logarithm, times itself."""
    return out * digamma(x)


@elementwise(_SPECIAL + "digamma", Function("ψ", r"\psi", "digamma"), domain=(POSITIVE,), traits=("real",))
def digamma(x: Expr) -> Any:
    """The trigamma function, by definition."""
    return polygamma(x, order=1)


def _polygamma(x: Any, *, order: int) -> Any:
    from scipy.special import polygamma as function

    return np.asarray(function(order, x)).astype(np.asarray(x).dtype)


@elementwise(_polygamma, Function("ψ⁽ⁿ⁾", r"\psi^{(n)}", "polygamma"), domain=(POSITIVE,),
             sample=lambda draw: Case(order=draw([1, 2])))  # fmt: skip
def polygamma(x: Expr, *, order: int) -> Any:
    """The next of the family, by definition."""
    return polygamma(x, order=order + 1)


@elementwise(_SPECIAL + "xlogy", Function("xlogy", r"\operatorname{xlogy}"), domain=(REAL, POSITIVE),
             kink="x = 0: 0 to y, since 0 log y is constant",
             lowering="select((a == 0) & ~isnan(b), 0, a * log(b))")  # fmt: skip
def xlogy(x: Expr, y: Expr) -> Any:
    """The product rule; x/y is masked where x = 0, so that 0 log 0 stays flat in y."""
    return lambda: log(y), lambda: On(x != 0, x / y)


@elementwise(_SPECIAL + "xlog1py", Function("xlog1py", r"\operatorname{xlog1py}"), domain=(REAL, POSITIVE),
             kink="x = 0: 0 to y", lowering="select((a == 0) & ~isnan(b), 0, a * log1p(b))")  # fmt: skip
def xlog1py(x: Expr, y: Expr) -> Any:
    """The product rule, masked as in xlogy."""
    return lambda: log1p(y), lambda: On(x != 0, x / (1 + y))


def _spherical_jn(x: Any, *, order: int) -> Any:
    from scipy.special import spherical_jn as function

    return np.asarray(function(order, x)).astype(np.asarray(x).dtype)


def _spherical_jn_parts(x: Expr, *, order: int) -> Any:
    """Of low orders: the power series up to where the recurrence upwards (DLMF 10.51.1) is stable."""
    if order > 3:
        return spherical_jn(x, order=order)
    t = constant_power(x, exponent=2) * -0.5
    series: Any = 1.0
    for k in range(14, 0, -1):
        series = t * series / (k * (2 * order + 2 * k + 1)) + 1
    for k in range(1, order + 1):
        series = series * x / (2 * k + 1)
    below, found = cos(x) / x, sin(x) / x
    for k in range(order):
        below, found = found, (2 * k + 1) / x * found - below
    zero = x.builder.constant(0, x.dtype)
    return where(absolute(x) < order + 1, series, where(isinf(x), zero, found))


@elementwise(_spherical_jn, Function("jₙ", r"j_n", "spherical Bessel function"), domain=(POSITIVE,),
             parts=_spherical_jn_parts,
             sample=lambda draw: Case(order=draw([0, 1, 2])))  # fmt: skip
def spherical_jn(x: Expr, *, order: int) -> Any:
    """DLMF 10.51.1, the form without a division by x, which is exact at 0 to every order."""
    above = spherical_jn(x, order=order + 1)
    if order == 0:
        return -above
    below = spherical_jn(x, order=order - 1)
    return (order * below - (order + 1) * above) / (2 * order + 1)


def _sinc(x: Any) -> Any:
    return np.sinc(x)


@elementwise(_sinc, Function("sinc", r"\operatorname{sinc}"), traits=("even", "bounded"),
             lowering="y = 3.141592653589793 * select(x == 0, 1e-20, x); sin(y) / y")  # fmt: skip
def sinc(x: Expr) -> Any:
    """sin(πx)/(πx) is the spherical Bessel function j₀(πx), whose derivative is −j₁: no quotient that is 0/0 at 0."""
    return -pi * spherical_jn(pi * x, order=1)
