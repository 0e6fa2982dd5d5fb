"""``scipy.stats`` with traced values: SciPy's values, derivatives by every parameter, tails, ends, refusals."""

from __future__ import annotations

import doctest
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose
from scipy import stats
from scipy.stats import gamma, norm, zscore

import hopgrad as hg
import hopgrad.scipy.stats as drop_in
from hopgrad.errors import HopgradError, NotDifferentiableError
from hopgrad.hops.distributions import UNIVARIATE, Discrete, takes
from hopgrad.hops.multivariate import MULTIVARIATE
from hopgrad.hops.surface import surfaces

inf = np.inf

SHAPES: dict[str, tuple[float, ...]] = {
    "t": (3.3,), "lognorm": (0.7,), "gamma": (2.3,), "invgamma": (4.5,), "beta": (2.3, 1.7), "chi2": (3.7,),
    "chi": (3.2,), "f": (3.3, 6.2), "weibull_min": (1.7,), "pareto": (3.1,), "truncnorm": (-1.2, 2.1),
    "vonmises": (1.9,), "skewnorm": (2.1,), "gennorm": (1.6,), "poisson": (3.7,), "binom": (9.0, 0.37),
    "bernoulli": (0.37,), "geom": (0.37,), "nbinom": (4.4, 0.37), "betabinom": (9.0, 2.3, 1.7),
}  # fmt: skip

# The logarithms of the densities in standard form, and where they begin and end.
L2PI = mp.log(2 * mp.pi)


def log_beta(a: Any, b: Any) -> Any:
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def log_normal(x: Any) -> Any:
    return -x * x / 2 - L2PI / 2


DENSITIES: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "norm": (log_normal, -mp.inf, mp.inf),
    "t": (
        lambda x, v: mp.loggamma((v + 1) / 2) - mp.loggamma(v / 2) - mp.log(v * mp.pi) / 2
        - (v + 1) / 2 * mp.log(1 + x * x / v), -mp.inf, mp.inf,
    ),
    "cauchy": (lambda x: -mp.log(mp.pi * (1 + x * x)), -mp.inf, mp.inf),
    "laplace": (lambda x: -abs(x) - mp.log(2), -mp.inf, mp.inf),
    "logistic": (lambda x: -x - 2 * mp.log(1 + mp.exp(-x)), -mp.inf, mp.inf),
    "lognorm": (lambda x, s: log_normal(mp.log(x) / s) - mp.log(s * x), 0, mp.inf),
    "expon": (lambda x: -x, 0, mp.inf),
    "gamma": (lambda x, a: (a - 1) * mp.log(x) - x - mp.loggamma(a), 0, mp.inf),
    "invgamma": (lambda x, a: -(a + 1) * mp.log(x) - 1 / x - mp.loggamma(a), 0, mp.inf),
    "beta": (lambda x, a, b: (a - 1) * mp.log(x) + (b - 1) * mp.log(1 - x) - log_beta(a, b), 0, 1),
    "chi2": (
        lambda x, k: (k / 2 - 1) * mp.log(x) - x / 2 - k / 2 * mp.log(2) - mp.loggamma(k / 2), 0, mp.inf,
    ),
    "chi": (
        lambda x, k: (k - 1) * mp.log(x) - x * x / 2 - (k / 2 - 1) * mp.log(2) - mp.loggamma(k / 2), 0, mp.inf,
    ),
    "f": (
        lambda x, n, m: n / 2 * mp.log(n / m) + (n / 2 - 1) * mp.log(x) - (n + m) / 2 * mp.log(1 + n * x / m)
        - log_beta(n / 2, m / 2), 0, mp.inf,
    ),
    "uniform": (lambda x: mp.mpf(0) * x, 0, 1),
    "weibull_min": (lambda x, c: mp.log(c) + (c - 1) * mp.log(x) - x**c, 0, mp.inf),
    "pareto": (lambda x, b: mp.log(b) - (b + 1) * mp.log(x), 1, mp.inf),
    "gumbel_r": (lambda x: -x - mp.exp(-x), -mp.inf, mp.inf),
    "gumbel_l": (lambda x: x - mp.exp(x), -mp.inf, mp.inf),
    "halfnorm": (lambda x: log_normal(x) + mp.log(2), 0, mp.inf),
    "truncnorm": (lambda x, a, b: log_normal(x) - mp.log(mp.ncdf(b) - mp.ncdf(a)), "a", "b"),
    "vonmises": (lambda x, k: k * mp.cos(x) - mp.log(2 * mp.pi * mp.besseli(0, k)), -mp.pi, mp.pi),
    "skewnorm": (lambda x, a: mp.log(2) + log_normal(x) + mp.log(mp.ncdf(a * x)), -mp.inf, mp.inf),
    "gennorm": (lambda x, b: mp.log(b / 2) - mp.loggamma(1 / b) - abs(x) ** b, -mp.inf, mp.inf),
    "poisson": (lambda k, m: k * mp.log(m) - m - mp.loggamma(k + 1), 0, mp.inf),
    "binom": (
        lambda k, n, p: mp.log(mp.binomial(n, k)) + k * mp.log(p) + (n - k) * mp.log(1 - p), 0, 9,
    ),
    "bernoulli": (lambda k, p: k * mp.log(p) + (1 - k) * mp.log(1 - p), 0, 1),
    "geom": (lambda k, p: (k - 1) * mp.log(1 - p) + mp.log(p), 1, mp.inf),
    "nbinom": (
        lambda k, n, p: mp.loggamma(n + k) - mp.loggamma(k + 1) - mp.loggamma(n) + n * mp.log(p)
        + k * mp.log(1 - p), 0, mp.inf,
    ),
    "betabinom": (
        lambda k, n, a, b: mp.log(mp.binomial(n, k)) + log_beta(k + a, n - k + b) - log_beta(a, b), 0, 9,
    ),
}  # fmt: skip


def _student(x: Any, v: Any) -> Any:
    tail = mp.betainc(v / 2, mp.mpf(1) / 2, 0, v / (v + x * x), regularized=True) / 2
    return 1 - tail if x > 0 else tail


def _lower(a: Any, x: Any) -> Any:
    return mp.gammainc(a, 0, x, regularized=True)


# The distribution functions in standard form.
BELOW: dict[str, Callable[..., Any]] = {
    "norm": mp.ncdf, "t": _student, "cauchy": lambda x: mp.mpf(1) / 2 + mp.atan(x) / mp.pi,
    "laplace": lambda x: mp.exp(x) / 2 if x < 0 else 1 - mp.exp(-x) / 2, "logistic": lambda x: 1 / (1 + mp.exp(-x)),
    "lognorm": lambda x, s: mp.ncdf(mp.log(x) / s), "expon": lambda x: 1 - mp.exp(-x),
    "gamma": lambda x, a: _lower(a, x),
    "invgamma": lambda x, a: 1 - _lower(a, 1 / x), "chi2": lambda x, k: _lower(k / 2, x / 2),
    "beta": lambda x, a, b: mp.betainc(a, b, 0, x, regularized=True), "chi": lambda x, k: _lower(k / 2, x * x / 2),
    "f": lambda x, n, m: mp.betainc(n / 2, m / 2, 0, n * x / (m + n * x), regularized=True), "uniform": lambda x: x,
    "weibull_min": lambda x, c: 1 - mp.exp(-(x**c)), "pareto": lambda x, b: 1 - x ** (-b),
    "gumbel_r": lambda x: mp.exp(-mp.exp(-x)), "gumbel_l": lambda x: 1 - mp.exp(-mp.exp(x)),
    "halfnorm": lambda x: mp.erf(x / mp.sqrt(2)),
    "truncnorm": lambda x, a, b: (mp.ncdf(x) - mp.ncdf(a)) / (mp.ncdf(b) - mp.ncdf(a)),
    "skewnorm": lambda x, a: mp.ncdf(x) - mp.quad(
        lambda t: mp.exp(-x * x * (1 + t * t) / 2) / (1 + t * t) / mp.pi, [0, a]
    ),
    "gennorm": lambda x, b: (1 + mp.sign(x) * _lower(1 / b, abs(x) ** b)) / 2,
}  # fmt: skip

CONTINUOUS = [name for name, kind in UNIVARIATE.items() if not isinstance(kind, Discrete)]
DISCRETE = [name for name, kind in UNIVARIATE.items() if isinstance(kind, Discrete)]
POSITIONS = (0.4, 1.3)


@pytest.fixture(autouse=True)
def precise() -> Iterator[None]:
    with mp.workdps(25), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def standard(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The density and the distribution function with location and scale, in many digits."""
    logarithm, _, _ = DENSITIES[name]

    def density(x: Any, *rest: Any) -> Any:
        *shapes, loc, scale = rest
        return mp.exp(logarithm((x - loc) / scale, *shapes)) / scale

    def below(x: Any, *rest: Any) -> Any:
        *shapes, loc, scale = rest
        return BELOW[name]((x - loc) / scale, *shapes)

    return density, below


def gradient_of(f: Callable[..., Any], args: tuple[float, ...]) -> list[float]:
    """All partial derivatives in many digits."""
    orders = np.eye(len(args), dtype=int)
    return [float(mp.diff(f, tuple(map(mp.mpf, args)), tuple(map(int, order)))) for order in orders]


def call(name: str, method: str) -> Callable[..., Any]:
    return lambda *args: getattr(getattr(stats, name), method)(*args)


def test_all_distributions_have_references() -> None:
    assert DENSITIES.keys() == UNIVARIATE.keys()
    assert BELOW.keys() == {name for name in CONTINUOUS if takes(UNIVARIATE[name], "cdf")}


# -- values ------------------------------------------------------------------------------------------------------------

METHODS = (
    "pdf", "logpdf", "pmf", "logpmf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf", "mean", "var", "std", "median",
    "entropy",
)  # fmt: skip


@pytest.mark.parametrize("name", UNIVARIATE)
def test_values_are_scipy_s(name: str) -> None:
    kind, plain = UNIVARIATE[name], getattr(scipy.stats, name)
    parameters = [*SHAPES.get(name, ()), *POSITIONS] if name in CONTINUOUS else [*SHAPES.get(name, ()), 2.0]
    probabilities = np.linspace(0.02, 0.97, 6).reshape(2, 3)
    points = np.linspace(-2.0, 2.0, 6).reshape(2, 3) if name == "vonmises" else plain.ppf(probabilities, *parameters)
    for method in METHODS:
        if not takes(kind, method):
            continue
        first = {"ppf": [probabilities], "isf": [probabilities]}.get(method, [points])
        first = [] if method in ("mean", "var", "std", "median", "entropy") else first
        wanted = getattr(plain, method)(*first, *parameters)
        found = hg.vjp(call(name, method), *first, *map(float, parameters))[0]
        assert type(found) is type(wanted) or np.ndim(found) == 0
        assert np.shape(found) == np.shape(wanted)
        assert np.asarray(found).dtype == np.asarray(wanted).dtype
        assert_allclose(found, wanted, 1e-12, 1e-15, err_msg=method)
        # A parameter for each point; single precision.
        if first and parameters:
            varied = [np.linspace(1.0, 1.1, 3) * p if not (name in ("binom", "betabinom") and k == 0) else p
                      for k, p in enumerate(parameters)]  # fmt: skip
            varied[-1] = parameters[-1]
            wanted = getattr(plain, method)(*first, *varied)
            assert_allclose(hg.vjp(call(name, method), *first, *varied)[0], wanted, 1e-11, 1e-14, err_msg=method)
            single = hg.grad(lambda x, *p: np.sum(getattr(getattr(stats, name), method)(x, *p)))(  # noqa: B023
                first[0].astype(np.float32), *parameters
            )
            assert single.dtype == np.float32


# -- derivatives -------------------------------------------------------------------------------------------------------

POINTS = (0.3, 1.4)


def point_of(name: str, q: float) -> tuple[float, ...]:
    """A point in the middle of the support, with all parameters."""
    parameters = (*SHAPES.get(name, ()), *POSITIONS)
    if name == "vonmises":
        return (q, *parameters)
    return (float(getattr(scipy.stats, name).ppf(q / 2, *parameters)), *parameters)


@pytest.mark.parametrize("q", POINTS)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_densities_by_all_parameters(name: str, q: float) -> None:
    args = point_of(name, q)
    density, _ = standard(name)
    places = tuple(range(len(args)))
    for method, exact in (("pdf", density), ("logpdf", lambda *a: mp.log(density(*a)))):
        found = hg.grad(call(name, method), places)(*args)
        assert_allclose(found, gradient_of(exact, args), 1e-9, 1e-11, err_msg=method)
    if q == POINTS[0]:  # both modes, and second order
        hg.check_grads(call(name, "logpdf"), args, order=2)


@pytest.mark.parametrize("name", BELOW)
def test_probabilities_and_quantiles_by_all_parameters(name: str) -> None:
    args = point_of(name, 0.6)
    places = tuple(range(len(args)))
    _, below = standard(name)
    value, slopes = float(below(*map(mp.mpf, args))), np.array(gradient_of(below, args))
    exact = {"cdf": slopes, "sf": -slopes, "logcdf": slopes / value, "logsf": -slopes / (1 - value)}
    for method, wanted in exact.items():
        found = hg.grad(call(name, method), places)(*args)
        assert_allclose(found, wanted, 1e-9, 1e-11, err_msg=method)
    if takes(UNIVARIATE[name], "ppf"):
        # The quantile x solves F(x, θ) = q, so that dx = (dq − F_θ dθ) / f.
        for method, sign, p in (("ppf", 1, value), ("isf", -1, 1 - value)):
            found = hg.grad(call(name, method), places)(p, *args[1:])
            wanted = np.array([sign, *-slopes[1:]]) / slopes[0]
            assert_allclose(found, wanted, 1e-8, 1e-10, err_msg=method)


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_probabilities_by_their_real_parameters(name: str) -> None:
    kind, (logarithm, low, high) = UNIVARIATE[name], DENSITIES[name]
    shapes = SHAPES[name]
    real = tuple(k for k in range(len(shapes)) if not (name in ("binom", "betabinom") and k == 0))

    def below(k: int) -> Callable[..., Any]:
        return lambda *a: mp.fsum(mp.exp(logarithm(j, *a)) for j in range(int(low), k + 1))

    for k in (int(low), int(low) + 1, 4):
        if k > high:
            continue
        for method, exact in (
            ("logpmf", lambda *a, k=k: logarithm(k, *a)), ("pmf", lambda *a, k=k: mp.exp(logarithm(k, *a))),
            ("cdf", below(k)), ("sf", lambda *a, k=k: 1 - below(k)(*a)),
            ("logcdf", lambda *a, k=k: mp.log(below(k)(*a))),
        ):  # fmt: skip
            if not takes(kind, method) or (k == high and "cdf" in method):
                continue
            found = hg.grad(call(name, method), tuple(1 + r for r in real))(float(k), *shapes)
            # (Whole numbers have no neighbours.)
            wanted = []
            for r in real:
                one = lambda v, r=r, exact=exact: exact(*shapes[:r], v, *shapes[r + 1 :])  # noqa: E731
                wanted += gradient_of(one, (shapes[r],))
            assert_allclose(found, wanted, 1e-9, 1e-11, err_msg=f"{method} {k}")
        assert hg.grad(call(name, "logpmf"))(float(k), *shapes) == 0
    assert call(name, "logpmf")(k + 0.5, *shapes) == -inf
    value, gradient = hg.value_and_grad(call(name, "logpmf"), real[0] + 1)(k + 0.5, *shapes)
    assert (value, gradient) == (-inf, 0)


@pytest.mark.parametrize("name", UNIVARIATE)
def test_moments_by_all_parameters(name: str) -> None:
    shapes = SHAPES.get(name, ())
    args = (*shapes, *POSITIONS) if name in CONTINUOUS else (*shapes, 2.0)
    real = tuple(k for k in range(len(args)) if not (name in ("binom", "betabinom") and k == 0))
    for method in ("mean", "var", "std", "median", "entropy"):
        if not takes(UNIVARIATE[name], method) or (name in ("cauchy", "vonmises") and method in ("mean", "var", "std")):
            continue  # NaN, or integrated by SciPy
        found = hg.grad(call(name, method), real)(*args)
        plain = getattr(getattr(scipy.stats, name), method)
        for place, one in zip(real, found, strict=True):
            step = 1e-3 * max(1.0, abs(args[place]))

            def slope(h: float, place: int = place, plain: Any = plain) -> float:
                moved = [[*args[:place], args[place] + d, *args[place + 1 :]] for d in (h, -h)]
                return float((plain(*moved[0]) - plain(*moved[1])) / (2 * h))

            a, b, c = slope(step), slope(step / 2), slope(step / 4)
            wanted = (16 * (4 * c - b) / 3 - (4 * b - a) / 3) / 15
            assert_allclose(one, wanted, 2e-8, 1e-9, err_msg=f"{method} by argument {place}")


# -- tails and ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x", "value", "slope"),
    [
        (lambda x: norm.logcdf(x), -40.0, "log(ncdf(-40))", "npdf(40)/ncdf(-40)"),
        (lambda x: norm.logsf(x), 40.0, "log(ncdf(-40))", "-npdf(40)/ncdf(-40)"),
        (lambda x: norm.logpdf(x, scale=1e-3), 1e3, "-mpf(10)**12/2-log(2*pi)/2+log(1000)", "-mpf(10)**9"),
        (lambda x: stats.cauchy.logpdf(x), 1e200, "-log(pi)-2*log(mpf(10)**200)", "-2*mpf(10)**-200"),
        (lambda x: stats.cauchy.ppf(x), 1e-300, "-mpf(10)**300/pi", "mpf(10)**600/pi"),
        (lambda x: stats.t.logpdf(x, 3.0), 1e200, "log(6*sqrt(3)/pi)-4*log(mpf(10)**200)", "-4*mpf(10)**-200"),
        (lambda x: stats.logistic.logcdf(x), -800.0, "-800", "1"),
        (lambda x: stats.logistic.logpdf(x), 800.0, "-800", "-1"),
        (lambda x: stats.laplace.logcdf(x), -800.0, "-800-log(2)", "1"),
        (lambda x: stats.expon.logsf(x), 800.0, "-800", "-1"),
        (lambda x: stats.expon.cdf(x), 1e-20, "mpf(10)**-20", "1"),
        (lambda x: stats.halfnorm.logsf(x), 40.0, "log(2*ncdf(-40))", "-npdf(40)/ncdf(-40)"),
        (lambda x: stats.truncnorm.logpdf(x, 30.0, 31.0), 30.5,
         "log(npdf(30.5)/(ncdf(-30)-ncdf(-31)))", "-30.5"),
        (lambda x: stats.truncnorm.cdf(x, -31.0, -30.0), -30.5,
         "(ncdf(-30.5)-ncdf(-31))/(ncdf(-30)-ncdf(-31))", "npdf(30.5)/(ncdf(-30)-ncdf(-31))"),
        (lambda x: stats.truncnorm.logcdf(x, 30.0, 31.0), 30.5,
         "log((ncdf(-30)-ncdf(-30.5))/(ncdf(-30)-ncdf(-31)))", "npdf(30.5)/(ncdf(-30)-ncdf(-30.5))"),
        (lambda x: stats.skewnorm.logpdf(x, 3.0), -20.0,
         "log(2*npdf(20)*ncdf(-60))", "20+3*npdf(60)/ncdf(-60)"),
        (lambda x: stats.gumbel_r.logcdf(x), -5.0, "-exp(5)", "exp(5)"),
        (lambda x: stats.weibull_min.logsf(x, 2.0), 30.0, "-900", "-60"),
        (lambda x: stats.expon.logcdf(x), 50.0, "log1p(-exp(-50))", "exp(-50)/(1-exp(-50))"),
        (lambda x: stats.cauchy.logcdf(x), 1e15, "log1p(-atan(mpf(10)**-15)/pi)", "mpf(10)**-30/pi"),
        (lambda x: stats.halfnorm.logsf(x), 1e-8,
         "log1p(-erf(mpf('1e-8')/sqrt(2)))", "-sqrt(2/pi)*exp(sqrt(2/pi)*mpf('1e-8'))"),
        (lambda x: stats.f.sf(x, 4.0, 6.0), 1e20,
         "betainc(3,2,0,6/(6+4*mpf(10)**20),regularized=True)", "-405*mpf(10)**-81"),
    ],
)  # fmt: skip
def test_tails(f: Any, x: float, value: str, slope: str) -> None:
    with mp.workdps(60), np.errstate(all="ignore"):
        names = {
            k: getattr(mp, k)
            for k in ("log", "log1p", "ncdf", "npdf", "pi", "exp", "mpf", "sqrt", "atan", "erf", "betainc")
        }
        wanted, exact = (float(mp.mpf(1) * eval(text, names)) for text in (value, slope))
        found, gradient = hg.value_and_grad(f)(x)
    assert_allclose(found, wanted, 1e-9)
    assert_allclose(gradient, exact, 1e-9)


ENDS = [
    ("expon.logpdf(x)", -1.0, -inf, 0.0),
    ("expon.logpdf(x)", 0.0, 0.0, -1.0),
    ("gamma.logpdf(x, 2.0)", -1.0, -inf, 0.0),
    ("gamma.logpdf(x, 1.0)", 0.0, 0.0, -1.0),
    ("gamma.pdf(x, 2.0)", 0.0, 0.0, 1.0),
    ("beta.logpdf(x, 2.0, 3.0)", 1.5, -inf, 0.0),
    ("beta.pdf(x, 2.0, 3.0)", 0.0, 0.0, 12.0),
    ("beta.pdf(x, 3.0, 2.0)", 1.0, 0.0, -12.0),
    ("chi2.pdf(x, 4.0)", 0.0, 0.0, 0.25),
    ("weibull_min.pdf(x, 2.0)", 0.0, 0.0, 2.0),
    ("chi.pdf(x, 2.0)", 0.0, 0.0, 1.0),
    ("f.pdf(x, 4.0, 2.0)", 0.0, 0.0, 8.0),
    ("uniform.logpdf(x)", 2.0, -inf, 0.0),
    ("uniform.cdf(x)", 0.0, 0.0, 1.0),
    ("uniform.cdf(x)", 1.5, 1.0, 0.0),
    ("uniform.pdf(x, 0.0, 2.0)", 2.0, 0.5, 0.0),
    ("pareto.logpdf(x, 2.0)", 0.5, -inf, 0.0),
    ("lognorm.logpdf(x, 0.5)", 0.0, -inf, 0.0),
    ("lognorm.cdf(x, 0.5)", -1.0, 0.0, 0.0),
    ("invgamma.sf(x, 2.0)", -1.0, 1.0, 0.0),
    ("norm.logpdf(x)", np.nan, np.nan, np.nan),
    ("norm.cdf(x)", -inf, 0.0, 0.0),
    ("norm.logpdf(0.0, 0.0, x)", -1.0, np.nan, 0.0),
    ("gamma.logpdf(1.0, x)", -1.0, np.nan, 0.0),
    ("norm.ppf(x)", 0.0, -inf, inf),
    ("norm.ppf(x)", 1.5, np.nan, 0.0),
    ("uniform.ppf(x, 1.0, 2.0)", 0.0, 1.0, 2.0),
    ("expon.ppf(x)", 0.0, 0.0, 1.0),
    ("laplace.logpdf(x)", 0.0, -np.log(2.0), 0.0),
    ("gennorm.cdf(x, 2.0)", 0.0, 0.5, 1 / np.sqrt(np.pi)),
    ("gennorm.ppf(x, 2.0)", 0.5, 0.0, np.sqrt(np.pi)),
    ("poisson.logpmf(0, x)", 0.0, 0.0, -1.0),
    ("poisson.logpmf(-1, x)", 2.0, -inf, 0.0),
    ("binom.logpmf(0, 9, x)", 0.0, 0.0, -9.0),
    ("binom.logpmf(9, 9, x)", 1.0, 0.0, 9.0),
    ("binom.cdf(20, 9, x)", 0.3, 1.0, 0.0),
    ("binom.pmf(2, 9, x)", 1.3, np.nan, 0.0),
    ("geom.logpmf(0, x)", 0.4, -inf, 0.0),
    ("truncnorm.pdf(0.0, x, 1.0)", 2.0, np.nan, 0.0),
    ("truncnorm.pdf(x, -1.0, 1.0)", 3.0, 0.0, 0.0),
    ("t.mean(x)", 0.5, inf, 0.0),
    ("t.var(x)", 1.5, inf, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "x", "value", "slope"), ENDS, ids=[f"{e[0]} at {e[1]}" for e in ENDS])
def test_ends_of_the_support_and_wrong_parameters(text: str, x: float, value: float, slope: float) -> None:
    f = eval(f"lambda x: stats.{text}", {"stats": stats})
    with np.errstate(all="ignore"):
        found, gradient = hg.value_and_grad(f)(x)
        assert_allclose(found, f(x), 1e-13)
    assert_allclose(found, value, 1e-13)
    assert_allclose(gradient, slope, 1e-9)


def test_elements_outside_do_not_disturb_others() -> None:
    x = np.array([-1.0, 0.0, 0.5, 2.0])
    gradient = hg.grad(lambda x, a, b: np.sum(stats.beta.pdf(x, a, b)), (0, 1, 2))(x, 2.0, 3.0)
    assert_allclose(gradient[0][[0, 3]], 0)
    inside = hg.grad(lambda a: np.sum(stats.beta.pdf(x[1:3], a, 3.0)))(2.0)
    assert_allclose(gradient[1], inside)
    for empty in (np.zeros(0), np.zeros((2, 0))):
        assert hg.grad(lambda x: np.sum(stats.gamma.logpdf(x, 2.0)))(empty).shape == empty.shape


# -- vectors, matrices, samples ----------------------------------------------------------------------------------------

RANDOM = np.random.default_rng(0)
VALUES: dict[str, Any] = {
    "A": RANDOM.uniform(0.5, 2.0, (7, 3)), "P": np.array([0.2, 0.3, 0.5]), "d": 3.3,
    "S": np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 1.5]]),
}  # fmt: skip
VALUES["x"] = VALUES["A"][:, 0].copy()
VALUES["y"] = VALUES["A"][:, 1] + 0.3 * VALUES["x"]

CALLS = """
multivariate_normal.logpdf(A,P,S) | multivariate_normal.logpdf(A[0],P,S) | multivariate_normal.pdf(A,cov=S) |
multivariate_normal.logpdf(A,P,2.0) | multivariate_normal.logpdf(A,P,np.abs(P)) | multivariate_normal.logpdf(x) |
multivariate_normal(P,S).logpdf(A) | multivariate_normal(P,S).entropy() | multivariate_normal.entropy(P,S) |
multivariate_t.logpdf(A,P,S,df=3.5) | multivariate_t.pdf(A,P,S,d) | multivariate_t.logpdf(A,P,S,np.inf) |
dirichlet.logpdf(np.array([0.2,0.3,0.5]),A[0]) | dirichlet.pdf([0.2,0.3],A[0]) | dirichlet.mean(A[0]) |
dirichlet.logpdf(np.array([[0.2,0.5],[0.3,0.3],[0.5,0.2]]),A[0]) | dirichlet.var(A[0]) | dirichlet.entropy(A[0]) |
dirichlet(A[0]).logpdf([0.2,0.3,0.5]) | wishart.logpdf(S@S,5.5,S) | wishart.logpdf(np.stack([S,S@S],-1),d+3,S) |
wishart.pdf(2.0,d,1.5) | norm(d,2.0).logpdf(x) | norm(loc=d).cdf(x) | gamma(d,scale=x).ppf(.3) |
norm.interval(.9,d,2.) | norm.stats(d,2.) | gamma(d).stats('v') | gamma.stats(d,moments='m') | beta.median(d,x) |
norm(d).interval(.9) | poisson(d).logpmf([0,1,2]) | norm.logpdf([d,2*d],loc=[1.,d]) | zscore(x) |
zscore(A,axis=1,ddof=1) | zscore(A,axis=None) | zmap(x,y) | gzscore(A) | skew(A) | skew(x,bias=False) |
skew(A,axis=None) | skew(A,axis=1,keepdims=True) | kurtosis(A) | kurtosis(A,axis=1,fisher=False) |
kurtosis(x,bias=False) | gmean(A) | gmean(A,axis=1,weights=P) | hmean(A) | hmean(x,weights=y) | pmean(A,3,axis=None)
| pmean(A,0) | pmean(x,-1.5) | moment(A,3) | moment(x,1) | moment(x,2,center=1.0) | moment(A,0) | sem(A) |
sem(A,axis=None,ddof=0) | variation(A,axis=1) | variation(x,ddof=1) | gstd(A) | entropy(A) | entropy(x,y) |
entropy(A,base=2,axis=1) | trim_mean(A,.2) | iqr(A) | iqr(A,axis=0,scale='normal') | median_abs_deviation(A) |
median_abs_deviation(x,scale='normal') | pearsonr(x,y)[0] | pearsonr(x,y).pvalue |
pearsonr(x,y,alternative='less')[1] | ttest_1samp(A,1.0)[0] | ttest_1samp(x,1.0).pvalue | ttest_rel(x,y)[1] |
ttest_ind(x,y)[1] | ttest_ind(x,y[:4],equal_var=False).pvalue | linregress(x,y).slope |
ttest_ind(A,A[:5],alternative='greater').statistic | linregress(x,y)[3] | linregress(x,y).stderr
"""


@pytest.mark.parametrize("text", [c.strip() for c in CALLS.split("|")])
def test_vectors_matrices_and_samples(text: str) -> None:
    used = [name for name in VALUES if any(text[k : k + 1] == name for k in _words(text, name))]
    f = eval(f"lambda {', '.join(used)}: stats.{text}", {"stats": stats, "np": np})
    args = [VALUES[name] for name in used]
    g = f
    if "S" in used:  # both triangles are the same numbers
        place = used.index("S")

        def g(*a: Any) -> Any:
            return f(*[(v + v.T) / 2 if k == place else v for k, v in enumerate(a)])

    wanted = f(*args)
    found = hg.vjp(f, *args)[0]
    for one, other in zip(hg.tree.flatten(found)[0], hg.tree.flatten(wanted)[0], strict=True):
        assert type(one) is type(other) or np.ndim(other) == 0
        assert_allclose(one, other, 1e-12, 1e-14)
    hg.check_grads(g, args, order=2)


def _words(text: str, name: str) -> list[int]:
    """Where a name of one letter stands alone."""
    bare = "." + text + "."
    return [k for k in range(len(text)) if text[k] == name and not (bare[k].isalnum() or bare[k] in "_.'")
            and not (bare[k + 2].isalnum() or bare[k + 2] in "_='(")]  # fmt: skip


def test_counts_by_their_probabilities() -> None:
    p = np.array([0.2, 0.3, 0.5])
    counts = np.array([[1, 2, 3], [0, 6, 0], [1, 1, 1]])
    assert_allclose(
        hg.vjp(lambda p: stats.multinomial.pmf(counts, 6, p), p)[0], stats.multinomial.pmf(counts, 6, p), 1e-12
    )
    # The last probability is what the others leave, as in SciPy.
    gradient = hg.grad(lambda p: stats.multinomial.logpmf([1, 2, 3], 6, p))(p)
    assert_allclose(gradient, [1 / 0.2 - 3 / 0.5, 2 / 0.3 - 3 / 0.5, 0], 1e-13)
    assert_allclose(hg.jacobian(lambda p: stats.multinomial.mean(6, p))(p), [[6, 0, 0], [0, 6, 0], [-6, -6, 0]])


# -- how it is reached -------------------------------------------------------------------------------------------------

frozen = scipy.stats.norm(0.5, 2.0)
method, method_of_frozen = scipy.stats.norm.logpdf, frozen.logpdf


@pytest.mark.parametrize(
    "f",
    [
        lambda x: scipy.stats.norm.logpdf(x, 0.5, 2.0), lambda x: stats.norm.logpdf(x, loc=0.5, scale=2.0),
        lambda x: norm.logpdf(x, scale=2.0, loc=0.5), lambda x: norm(0.5, 2.0).logpdf(x), lambda x: frozen.logpdf(x),
        lambda x: drop_in.norm.logpdf(x, 0.5, 2.0), lambda x: hg.scipy.stats.norm.logpdf(x, 0.5, 2.0),
        lambda x: method(x, 0.5, 2.0), lambda x: method_of_frozen(x), scipy.stats.norm(0.5, 2.0).logpdf, frozen.logpdf,
    ],
)  # fmt: skip
def test_however_it_is_imported(f: Any) -> None:
    derivative = hg.grad(f)
    assert [derivative(1.0) for _ in range(3)] == [-0.125] * 3


def test_traces_with_distributions_are_kept() -> None:
    derivative = hg.grad(lambda x: np.sum(gamma.logpdf(x, 2.0) + zscore(x)))
    for _ in range(3):
        derivative(np.array([1.0, 2.0]))
    assert "1 trace kept" in derivative.report()


def test_outside_of_traces_all_is_scipy_s() -> None:
    assert drop_in.norm(1.0).dist.name == "norm"
    assert isinstance(drop_in.norm, scipy.stats.rv_continuous)
    assert drop_in.norm.logpdf(0.0) == scipy.stats.norm.logpdf(0.0)
    assert drop_in.rankdata([3.0, 1.0])[0] == 2
    assert drop_in.norm.rvs(size=3, random_state=0).shape == (3,)
    assert drop_in.norm.shapes is None


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: stats.vonmises.cdf(x, 1.0), r"scipy.stats.vonmises.cdf is not supported.*: integrate the density"),
        (lambda x: stats.norm.fit(x), r"scipy.stats.norm.fit .*value_and_grad"),
        (lambda x: stats.norm.rvs(x), r"scipy.stats.norm.rvs .*draw standard numbers outside"),
        (lambda x: stats.wald.logpdf(x), r"scipy.stats.wald.logpdf"),
        (lambda x: stats.multivariate_normal.cdf(x), r"scipy.stats.multivariate_normal.cdf"),
        (lambda x: stats.multivariate_normal.logpdf(x, allow_singular=True), "give a positive definite matrix"),
        (lambda x: stats.matrix_normal.logpdf(x), r"scipy.stats.matrix_normal.logpdf"),
        (lambda x: stats.spearmanr(x, x), r"scipy.stats.spearmanr"),
        (lambda x: stats.skew(x, nan_policy="omit"), "take NaN out before"),
        (lambda x: stats.norm.stats(x, moments="mvs"), r"scipy.stats.norm.stats"),
    ],
)  # fmt: skip
def test_what_has_no_formula_is_refused_by_name(f: Any, words: str) -> None:
    with pytest.raises(NotDifferentiableError, match=words) as caught:
        hg.grad(lambda x: np.sum(f(x)))(np.array([0.3, 0.4]))
    assert "test_stats.py" in str(caught.value)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: norm.logpdf(x, mu=2.0), r"arguments \['mu'\]; it takes x, loc, scale"),
        (lambda x: norm.logpdf(x, 1, 2, 3), "it takes x, loc, scale"),
        (lambda x: gamma.logpdf(x), "missing a required argument: 'a'"),
        (lambda x: stats.multivariate_normal.logpdf(x, np.zeros(3), np.eye(2)), r"must be of shape \(3, 3\)"),
        (lambda x: stats.dirichlet.logpdf(x, np.ones(5)), "one entry fewer"),
    ],
)
def test_wrong_arguments_are_named(f: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError, HopgradError), match=words):
        hg.grad(lambda x: np.sum(f(x)))(np.array([0.3, 0.4]))


def test_the_story_of_a_likelihood() -> None:
    story = hg.explain(lambda mu, sigma: np.sum(norm.logpdf(np.array([0.3, 1.7]), mu, sigma)))(0.5, 2.0)
    assert "log" in story.text()
    assert_allclose(
        story.gradient, hg.grad(lambda m, s: np.sum(norm.logpdf(np.array([0.3, 1.7]), m, s)), (0, 1))(0.5, 2.0)
    )


def test_fitting_by_gradients_finds_the_closed_form() -> None:
    from scipy.optimize import minimize

    x = RANDOM.normal(3.0, 0.5, 200)
    loss = hg.value_and_grad(lambda p: -np.sum(norm.logpdf(x, p[0], np.exp(p[1]))))
    found = minimize(loss, np.array([0.0, 0.0]), jac=True)
    assert_allclose(found.x, [np.mean(x), np.log(np.std(x))], 1e-5)


# -- the page ----------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parent.parent / "docs" / "scipy.md"
BEGIN, END = "<!-- made by tests/test_stats.py -->\n", "<!-- end -->\n"


def section() -> str:
    """The table of distributions in docs/scipy.md."""
    densities = ("pdf", "logpdf", "pmf", "logpmf")
    lines = ["| distribution | parameters | without a formula |\n| --- | --- | --- |"]
    for name, kind in UNIVARIATE.items():
        missing = [m for m in METHODS if not takes(kind, m) and m not in densities]
        parameters = ", ".join((*kind.shapes, *kind.positions))
        lines.append(f"| `{name}` | {parameters} | {', '.join(missing)} |")
    for name, methods in MULTIVARIATE.items():
        lines.append(f"| `{name}` | | all but {', '.join(methods)} |")
    names = sorted(key.partition(":")[2] for key in surfaces if str(key).startswith("scipy.stats:"))
    return "\n".join(lines) + "\n\nOf samples: " + ", ".join(f"`{n}`" for n in names) + ".\n"


def test_the_page_s_example_runs() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert found.attempted
    assert not found.failed


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    kept, _, after = rest.partition(END)
    if os.environ.get("HOPGRAD_UPDATE_GOLDEN") == "1":
        PAGE.write_text(before + BEGIN + section() + END + after, encoding="utf-8")
        return
    assert kept == section(), "docs/scipy.md differs: if it is right so, set HOPGRAD_UPDATE_GOLDEN=1 and run this again"
