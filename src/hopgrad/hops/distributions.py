"""Probability distributions: the functions of ``scipy.stats`` as formulas made of hops.

A distribution is a class with formulas for its standard form (location 0, scale 1). What it does not define follows
from what it does: a density from its logarithm, a survival function from the distribution function, and so on.
Location, scale, the support and wrong parameters are dealt with once, in `Continuous` and `Discrete`.

Formulas are those of the textbooks (Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions, 1994;
Johnson, Kemp and Kotz, Univariate Discrete Distributions, 2005), in the parameters of ``scipy.stats`` and in forms that
keep their digits in the tails. They compute with handles or with plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log as ln
from math import pi
from math import sqrt as root
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.hops import bessel
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops import incomplete as inc
from hopgrad.hops import special as sp
from hopgrad.hops.custom import STOP_GRADIENT
from hopgrad.hops.elementwise import absolute, arctan2, exp, expm1, log, log1p, power, sqrt, tan
from hopgrad.hops.surface import cast, find_builder, lift, refused

Either = Any  # a handle or a plain array

_EULER = float(np.euler_gamma)
_LOG_2PI = ln(2 * pi)

# -- values that may be handles ----------------------------------------------------------------------------------------


def number(value: Any, builder: Any) -> Either:
    """A double: a handle, or a plain array where nothing traced is in it."""
    if find_builder(value) is None:
        data = np.asarray(value)
        if data.dtype.kind in "fiub":
            return data.astype(np.float64)
    return cast(lift(value, builder), np.float64)


def choose(condition: Either, first: Either, second: Either) -> Either:
    """`first` where a condition holds, `second` elsewhere. What is not taken contributes nothing to a gradient."""
    if isinstance(condition, np.bool_ | bool) and condition:
        return first
    builder = find_builder([condition, first, second])
    if builder is None:
        return np.where(condition, first, second)
    mask = condition if isinstance(condition, Expr) else builder.constant(np.asarray(condition, bool))
    return ew.where(mask, *(v if isinstance(v, Expr) else builder.constant(v, np.float64) for v in (first, second)))


def every(*conditions: Either) -> Either:
    """Whether all conditions hold: True where that is known beforehand."""
    found: Either = np.True_
    for condition in conditions:
        if isinstance(condition, Expr):
            found = condition if not isinstance(found, Expr) and np.all(found) else ew.logical_and(condition, found)
        elif not np.all(condition):
            found = ew.logical_and(found, condition)
    return found


def fixed(value: Either) -> Either:
    """A value that is not differentiated."""
    return STOP_GRADIENT(value) if isinstance(value, Expr) else value


# -- continuous --------------------------------------------------------------------------------------------------------


class Distribution:
    """What all distributions have: a name, shape parameters, and which of them are allowed."""

    name: str
    shapes: tuple[str, ...] = ()
    positions: tuple[str, ...] = ("loc", "scale")
    harmless: tuple[float, ...] = (1.0, 1.0, 1.0)
    """Shape parameters that stand for wrong ones while a formula is computed, so that it neither fails nor warns."""

    def check(self, *shapes: Either) -> Either:
        """Whether the shape parameters are allowed."""
        return every(*(s > 0 for s in shapes))

    def named(self, method: str) -> str:
        """A method's public name."""
        return f"scipy.stats.{self.name}.{method}"

    def formula(self, method: str) -> Any:
        """How a method is computed, or a refusal by name."""
        found = getattr(self, method, None)
        if found is None:
            raise refused(self.named(method), cure_of(method))
        return found

    def safe(self, shapes: tuple[Either, ...]) -> tuple[Either, tuple[Either, ...]]:
        """Whether the parameters are allowed, and such that are."""
        good = self.check(*shapes)
        if not isinstance(good, Expr) and np.all(good):
            return np.True_, shapes
        return good, tuple(choose(good, s, h) for s, h in zip(shapes, self.harmless, strict=False))


_CURES = {
    "fit": "minimize -np.sum(logpdf(x, ...)) with scipy.optimize.minimize and hopgrad.value_and_grad",
    "rvs": "draw standard numbers outside, and compute loc + scale * numbers, or ppf(uniform numbers, ...)",
    "cdf": "integrate the density by scipy.integrate",
    "expect": "integrate by a rule of your own: np.sum(weights * f(points) * pdf(points, ...))",
    "moment": "mean and var are there, and scipy.stats has formulas for others in its documentation",
}
"""What to do instead of methods without a formula."""


class Continuous(Distribution):
    """A continuous distribution by its standard form.

    Subclasses define `logpdf` or `pdf`, and as far as there are formulas `cdf`, `sf`, their logarithms, `ppf`, `isf`,
    `entropy`, `mean` and `var`, of standard arguments and shape parameters.
    """

    inner = 0.5
    """A point inside the support, which stands for points outside while a formula is computed."""
    closed = True
    """Whether the formulas also hold at the ends of the support."""

    def support(self, *shapes: Either) -> tuple[Either, Either]:
        """The ends of the support."""
        return -np.inf, np.inf

    def pdf(self, x: Either, *shapes: Either) -> Either:
        return exp(self.logpdf(x, *shapes))

    def through_zero(self, x: Either, shapes: tuple[Either, ...], power_law: Callable[[Either], Either]) -> Either:
        """``pdf`` where the density ends in a power: its logarithm is infinite there, but its slope need not be."""
        low, high = self.support(*shapes)
        at = ew.logical_or(ew.equal(x, low), ew.equal(x, high))
        away = exp(self.logpdf(choose(at, self.inner, x), *shapes))
        return choose(at, power_law(choose(at, x, low)), away)

    def logpdf(self, x: Either, *shapes: Either) -> Either:
        raise NotImplementedError

    def of_density(self, method: str, x: Either, shapes: tuple[Either, ...], loc: Either, scale: Either) -> Either:
        """``pdf`` or ``logpdf``."""
        good, shapes = self.safe(shapes)
        good, scale = _scale(good, scale)
        z = (x - loc) / scale
        low, high = self.support(*shapes)
        outside = _beyond(z, low, high, self.closed)
        found = self.formula(method)(z if outside is None else choose(outside, self.within(*shapes), z), *shapes)
        found = found - log(scale) if method == "logpdf" else found / scale
        if outside is not None:
            found = choose(outside, -np.inf if method == "logpdf" else 0.0, found)
        return choose(good, found, np.nan)

    def of_probability(self, method: str, x: Either, shapes: tuple[Either, ...], loc: Either, scale: Either) -> Either:
        """``cdf``, ``sf`` and their logarithms."""
        good, shapes = self.safe(shapes)
        good, scale = _scale(good, scale)
        z = (x - loc) / scale
        low, high = self.support(*shapes)
        # (The logarithm of a probability that is 0 is known without computing it.)
        closed = self.closed and not method.startswith("log")
        below, above = _beyond(z, low, None, closed), _beyond(z, None, high, closed)
        inside = z
        for outside in (below, above):
            if outside is not None:
                inside = choose(outside, self.within(*shapes), inside)
        found = self.probability(method, inside, shapes)
        none, whole = (-np.inf, 0.0) if method.startswith("log") else (0.0, 1.0)
        ends = (none, whole) if method.endswith("cdf") else (whole, none)
        for outside, end in zip((below, above), ends, strict=True):
            if outside is not None:
                found = choose(outside, end, found)
        return choose(good, found, np.nan)

    def probability(self, method: str, z: Either, shapes: tuple[Either, ...]) -> Either:
        """By the formula, or by those for the others."""
        found = getattr(self, method, None)
        if found is not None:
            return found(z, *shapes)
        if method.startswith("log"):
            # Near 1, from what is missing.
            part = self.probability(method[3:], z, shapes)
            rest = self.probability("sf" if method == "logcdf" else "cdf", z, shapes)
            most = part > 0.5
            return choose(most, log1p(-choose(most, rest, 0.5)), log(choose(most, 1.0, part)))
        if method == "sf" and getattr(self, "cdf", None) is not None:
            return 1 - self.probability("cdf", z, shapes)
        return self.formula(method)

    def of_quantile(self, method: str, q: Either, shapes: tuple[Either, ...], loc: Either, scale: Either) -> Either:
        """``ppf`` and ``isf``."""
        good, shapes = self.safe(shapes)
        good, scale = _scale(good, scale)
        wrong = _beyond(q, 0.0, 1.0, True)
        assert wrong is not None
        q = choose(wrong, 0.5, q)
        formula = getattr(self, method, None)
        if formula is None and method == "isf" and getattr(self, "ppf", None) is not None:
            q, formula = 1 - q, self.formula("ppf")
        found = (formula or self.formula(method))(q, *shapes) * scale + loc
        found = choose(wrong, np.nan, found)
        return choose(good, found, np.nan)

    def of_parameters(self, method: str, shapes: tuple[Either, ...], loc: Either, scale: Either) -> Either:
        """``mean``, ``var``, ``std``, ``median`` and ``entropy``."""
        if method == "median":
            return self.of_quantile("ppf", np.float64(0.5), shapes, loc, scale)
        if method == "std":
            return sqrt(self.of_parameters("var", shapes, loc, scale))
        good, shapes = self.safe(shapes)
        good, scale = _scale(good, scale)
        found = self.formula(method)(*shapes)
        if method == "mean":
            found = found * scale + loc
        elif method == "var":
            found = found * (scale * scale) + 0.0 * loc
        else:
            found = found + log(scale) + 0.0 * loc
        return choose(good, found, np.nan)

    def within(self, *shapes: Either) -> Either:
        """A point inside the support."""
        return self.inner


def _scale(good: Either, scale: Either) -> tuple[Either, Either]:
    """Whether the scale is positive, too; and one that is."""
    positive = scale > 0
    if not isinstance(positive, Expr) and np.all(positive):
        return good, scale
    return every(good, positive), choose(positive, scale, 1.0)


def _beyond(z: Either, low: Either | None, high: Either | None, closed: bool) -> Either | None:
    """Where z lies outside of an interval; None if it cannot."""
    found: Either | None = None
    for end, sign in ((low, -1), (high, 1)):
        if end is None or (not isinstance(end, Expr) and np.all(np.isinf(end))):
            continue
        beyond = (z < end if closed else z <= end) if sign < 0 else (z > end if closed else z >= end)
        found = beyond if found is None else ew.logical_or(found, beyond)
    return found


class _Positive(Continuous):
    """On the positive numbers."""

    inner = 1.0

    def support(self, *shapes: Either) -> tuple[Either, Either]:
        return 0.0, np.inf


class _Unit(Continuous):
    """Between 0 and 1."""

    def support(self, *shapes: Either) -> tuple[Either, Either]:
        return 0.0, 1.0


def _log1p_square(z: Either) -> Either:
    """log(1 + z²) without overflow."""
    large = absolute(z) > 1e10
    small = choose(large, 0.0, z)
    return choose(large, 2 * log(absolute(choose(large, z, 1.0))), log1p(small * small))


class Norm(Continuous):
    """The normal distribution."""

    name = "norm"

    def pdf(self, x: Either) -> Either:
        return exp(-x * x / 2) / root(2 * pi)

    def logpdf(self, x: Either) -> Either:
        return -x * x / 2 - _LOG_2PI / 2

    def cdf(self, x: Either) -> Either:
        return sp.ndtr(x)

    def sf(self, x: Either) -> Either:
        return sp.ndtr(-x)

    def logcdf(self, x: Either) -> Either:
        return sp.log_ndtr(x)

    def logsf(self, x: Either) -> Either:
        return sp.log_ndtr(-x)

    def ppf(self, q: Either) -> Either:
        return sp.ndtri(q)

    def isf(self, q: Either) -> Either:
        return -sp.ndtri(q)

    def mean(self) -> Either:
        return 0.0

    def var(self) -> Either:
        return 1.0

    def entropy(self) -> Either:
        return (_LOG_2PI + 1) / 2


class T(Continuous):
    """Student's t distribution."""

    name, shapes = "t", ("df",)

    def logpdf(self, x: Either, df: Either) -> Either:
        constant = log(sp.poch(df / 2, 0.5)) - log(df * pi) / 2
        return constant - (df + 1) / 2 * _log1p_square(x / sqrt(df))

    def cdf(self, x: Either, df: Either) -> Either:
        return inc.stdtr(df, x)

    def sf(self, x: Either, df: Either) -> Either:
        return inc.stdtr(df, -x)

    def ppf(self, q: Either, df: Either) -> Either:
        return inc.stdtrit(df, q)

    def isf(self, q: Either, df: Either) -> Either:
        return -inc.stdtrit(df, q)

    def mean(self, df: Either) -> Either:
        return choose(df > 1, 0.0 * df, np.inf)

    def var(self, df: Either) -> Either:
        large = choose(df > 2, df, 3.0)
        return choose(df > 2, large / (large - 2), choose(df > 1, np.inf, np.nan))

    def entropy(self, df: Either) -> Either:
        half, more = df / 2, (df + 1) / 2
        beta = sp.gammaln(half) + sp.gammaln(0.5) - sp.gammaln(more)
        return more * (sp.digamma(more) - sp.digamma(half)) + log(df) / 2 + beta


class Cauchy(Continuous):
    """The Cauchy distribution."""

    name = "cauchy"

    def logpdf(self, x: Either) -> Either:
        return -ln(pi) - _log1p_square(x)

    def cdf(self, x: Either) -> Either:
        return arctan2(1.0, -x) / pi

    def sf(self, x: Either) -> Either:
        return arctan2(1.0, x) / pi

    def ppf(self, q: Either) -> Either:
        # From the nearer end, where 1 - q would lose digits.
        low, high = q < 0.25, q > 0.75
        middle = choose(ew.logical_or(low, high), 0.5, q)
        found = choose(low, -1 / tan(pi * choose(low, q, 0.25)), tan(pi * (middle - 0.5)))
        return choose(high, 1 / tan(pi * (1 - choose(high, q, 0.75))), found)

    def isf(self, q: Either) -> Either:
        return -self.ppf(q)

    def mean(self) -> Either:
        return np.nan

    def var(self) -> Either:
        return np.nan

    def entropy(self) -> Either:
        return ln(4 * pi)


class Laplace(Continuous):
    """The two-sided exponential distribution."""

    name = "laplace"

    def logpdf(self, x: Either) -> Either:
        return -ln(2) - absolute(x)

    def cdf(self, x: Either) -> Either:
        tail = exp(-absolute(x)) / 2
        return choose(x > 0, 1 - tail, tail)

    def sf(self, x: Either) -> Either:
        return self.cdf(-x)

    def logcdf(self, x: Either) -> Either:
        return choose(x > 0, log1p(-exp(-absolute(x)) / 2), x - ln(2))

    def logsf(self, x: Either) -> Either:
        return self.logcdf(-x)

    def ppf(self, q: Either) -> Either:
        high = q > 0.5
        return choose(high, -log(2 * (1 - choose(high, q, 0.5))), log(2 * choose(high, 0.5, q)))

    def isf(self, q: Either) -> Either:
        return -self.ppf(q)

    def mean(self) -> Either:
        return 0.0

    def var(self) -> Either:
        return 2.0

    def entropy(self) -> Either:
        return ln(2) + 1


class Logistic(Continuous):
    """The logistic distribution."""

    name = "logistic"

    def logpdf(self, x: Either) -> Either:
        return sp.log_expit(x) + sp.log_expit(-x)

    def cdf(self, x: Either) -> Either:
        return sp.expit(x)

    def sf(self, x: Either) -> Either:
        return sp.expit(-x)

    def logcdf(self, x: Either) -> Either:
        return sp.log_expit(x)

    def logsf(self, x: Either) -> Either:
        return sp.log_expit(-x)

    def ppf(self, q: Either) -> Either:
        return sp.logit(q)

    def isf(self, q: Either) -> Either:
        return -sp.logit(q)

    def mean(self) -> Either:
        return 0.0

    def var(self) -> Either:
        return pi**2 / 3

    def entropy(self) -> Either:
        return 2.0


class Lognorm(_Positive):
    """The exponential of a normal variable with standard deviation s."""

    name, shapes, closed = "lognorm", ("s",), False

    def logpdf(self, x: Either, s: Either) -> Either:
        y = log(x)
        return -((y / s) ** 2) / 2 - log(s) - y - _LOG_2PI / 2

    def cdf(self, x: Either, s: Either) -> Either:
        return sp.ndtr(log(x) / s)

    def sf(self, x: Either, s: Either) -> Either:
        return sp.ndtr(-log(x) / s)

    def logcdf(self, x: Either, s: Either) -> Either:
        return sp.log_ndtr(log(x) / s)

    def logsf(self, x: Either, s: Either) -> Either:
        return sp.log_ndtr(-log(x) / s)

    def ppf(self, q: Either, s: Either) -> Either:
        return exp(s * sp.ndtri(q))

    def isf(self, q: Either, s: Either) -> Either:
        return exp(-s * sp.ndtri(q))

    def mean(self, s: Either) -> Either:
        return exp(s * s / 2)

    def var(self, s: Either) -> Either:
        return exp(s * s) * expm1(s * s)

    def entropy(self, s: Either) -> Either:
        return (1 + _LOG_2PI) / 2 + log(s)


class Expon(_Positive):
    """The exponential distribution."""

    name = "expon"

    def logpdf(self, x: Either) -> Either:
        return -x

    def cdf(self, x: Either) -> Either:
        return -expm1(-x)

    def sf(self, x: Either) -> Either:
        return exp(-x)

    def logsf(self, x: Either) -> Either:
        return -x

    def ppf(self, q: Either) -> Either:
        return -log1p(-q)

    def isf(self, q: Either) -> Either:
        return -log(q)

    def mean(self) -> Either:
        return 1.0

    def var(self) -> Either:
        return 1.0

    def entropy(self) -> Either:
        return 1.0


class Gamma(_Positive):
    """The gamma distribution of shape a."""

    name, shapes = "gamma", ("a",)

    def logpdf(self, x: Either, a: Either) -> Either:
        return sp.xlogy(a - 1, x) - x - sp.gammaln(a)

    def pdf(self, x: Either, a: Either) -> Either:
        return self.through_zero(x, (a,), lambda x: power(x, a - 1) * exp(-sp.gammaln(a)))

    def cdf(self, x: Either, a: Either) -> Either:
        return inc.gammainc(a, x)

    def sf(self, x: Either, a: Either) -> Either:
        return inc.gammaincc(a, x)

    def ppf(self, q: Either, a: Either) -> Either:
        return inc.gammaincinv(a, q)

    def isf(self, q: Either, a: Either) -> Either:
        return inc.gammainccinv(a, q)

    def mean(self, a: Either) -> Either:
        return a

    def var(self, a: Either) -> Either:
        return a

    def entropy(self, a: Either) -> Either:
        return a + (1 - a) * sp.digamma(a) + sp.gammaln(a)


class Invgamma(_Positive):
    """The reciprocal of a gamma variable."""

    name, shapes, closed = "invgamma", ("a",), False

    def logpdf(self, x: Either, a: Either) -> Either:
        return -(a + 1) * log(x) - sp.gammaln(a) - 1 / x

    def cdf(self, x: Either, a: Either) -> Either:
        return inc.gammaincc(a, 1 / x)

    def sf(self, x: Either, a: Either) -> Either:
        return inc.gammainc(a, 1 / x)

    def ppf(self, q: Either, a: Either) -> Either:
        return 1 / inc.gammainccinv(a, q)

    def isf(self, q: Either, a: Either) -> Either:
        return 1 / inc.gammaincinv(a, q)

    def mean(self, a: Either) -> Either:
        return choose(a > 1, 1 / (choose(a > 1, a, 2.0) - 1), np.inf)

    def var(self, a: Either) -> Either:
        large = choose(a > 2, a, 3.0)
        return choose(a > 2, 1 / ((large - 1) * (large - 1) * (large - 2)), np.inf)

    def entropy(self, a: Either) -> Either:
        return a - (a + 1) * sp.digamma(a) + sp.gammaln(a)


class Beta(_Unit):
    """The beta distribution."""

    name, shapes = "beta", ("a", "b")

    def logpdf(self, x: Either, a: Either, b: Either) -> Either:
        return sp.xlog1py(b - 1, -x) + sp.xlogy(a - 1, x) - sp.betaln(a, b)

    def pdf(self, x: Either, a: Either, b: Either) -> Either:
        return self.through_zero(x, (a, b), lambda x: power(x, a - 1) * power(1 - x, b - 1) * exp(-sp.betaln(a, b)))

    def cdf(self, x: Either, a: Either, b: Either) -> Either:
        return inc.betainc(a, b, x)

    def sf(self, x: Either, a: Either, b: Either) -> Either:
        return inc.betaincc(a, b, x)

    def ppf(self, q: Either, a: Either, b: Either) -> Either:
        return inc.betaincinv(a, b, q)

    def isf(self, q: Either, a: Either, b: Either) -> Either:
        return inc.betainccinv(a, b, q)

    def mean(self, a: Either, b: Either) -> Either:
        return a / (a + b)

    def var(self, a: Either, b: Either) -> Either:
        total = a + b
        return a * b / (total * total * (total + 1))

    def entropy(self, a: Either, b: Either) -> Either:
        rest = (a - 1) * sp.digamma(a) + (b - 1) * sp.digamma(b)
        return sp.betaln(a, b) - rest + (a + b - 2) * sp.digamma(a + b)


class Chi2(_Positive):
    """The sum of squares of df normal variables."""

    name, shapes = "chi2", ("df",)

    def logpdf(self, x: Either, df: Either) -> Either:
        return sp.xlogy(df / 2 - 1, x) - x / 2 - sp.gammaln(df / 2) - ln(2) / 2 * df

    def pdf(self, x: Either, df: Either) -> Either:
        half = df / 2
        return self.through_zero(x, (df,), lambda x: power(x, half - 1) * exp(-sp.gammaln(half) - ln(2) * half))

    def cdf(self, x: Either, df: Either) -> Either:
        return inc.gammainc(df / 2, x / 2)

    def sf(self, x: Either, df: Either) -> Either:
        return inc.gammaincc(df / 2, x / 2)

    def ppf(self, q: Either, df: Either) -> Either:
        return 2 * inc.gammaincinv(df / 2, q)

    def isf(self, q: Either, df: Either) -> Either:
        return 2 * inc.gammainccinv(df / 2, q)

    def mean(self, df: Either) -> Either:
        return df

    def var(self, df: Either) -> Either:
        return 2 * df

    def entropy(self, df: Either) -> Either:
        half = df / 2
        return half + ln(2) + sp.gammaln(half) + (1 - half) * sp.digamma(half)


class Chi(_Positive):
    """The root of a χ² variable."""

    name, shapes = "chi", ("df",)

    def logpdf(self, x: Either, df: Either) -> Either:
        return ln(2) - ln(2) / 2 * df - sp.gammaln(df / 2) + sp.xlogy(df - 1, x) - x * x / 2

    def pdf(self, x: Either, df: Either) -> Either:
        half = df / 2
        return self.through_zero(x, (df,), lambda x: power(x, df - 1) * exp(ln(2) * (1 - half) - sp.gammaln(half)))

    def cdf(self, x: Either, df: Either) -> Either:
        return inc.gammainc(df / 2, x * x / 2)

    def sf(self, x: Either, df: Either) -> Either:
        return inc.gammaincc(df / 2, x * x / 2)

    def ppf(self, q: Either, df: Either) -> Either:
        return sqrt(2 * inc.gammaincinv(df / 2, q))

    def isf(self, q: Either, df: Either) -> Either:
        return sqrt(2 * inc.gammainccinv(df / 2, q))

    def mean(self, df: Either) -> Either:
        return root(2) * exp(sp.gammaln((df + 1) / 2) - sp.gammaln(df / 2))

    def var(self, df: Either) -> Either:
        return df - self.mean(df) ** 2

    def entropy(self, df: Either) -> Either:
        half = df / 2
        return sp.gammaln(half) + (df - ln(2) - (df - 1) * sp.digamma(half)) / 2


class F(_Positive):
    """Fisher's distribution of a ratio of variances."""

    name, shapes = "f", ("dfn", "dfd")

    def logpdf(self, x: Either, dfn: Either, dfd: Either) -> Either:
        n, m = dfn / 2, dfd / 2
        return m * log(dfd) + n * log(dfn) + sp.xlogy(n - 1, x) - (n + m) * log(dfd + dfn * x) - sp.betaln(n, m)

    def pdf(self, x: Either, dfn: Either, dfd: Either) -> Either:
        n, m = dfn / 2, dfd / 2

        def power_law(x: Either) -> Either:
            return power(x, n - 1) * exp(n * (log(dfn) - log(dfd)) - sp.betaln(n, m))

        return self.through_zero(x, (dfn, dfd), power_law)

    def cdf(self, x: Either, dfn: Either, dfd: Either) -> Either:
        return self._share(dfn, dfd, dfn * x, dfd)

    def sf(self, x: Either, dfn: Either, dfd: Either) -> Either:
        return self._share(dfd, dfn, dfd, dfn * x)

    def _share(self, dfn: Either, dfd: Either, part: Either, rest: Either) -> Either:
        """The beta distribution at part / (part + rest), from the smaller of the two shares."""
        most = part > rest
        total = part + rest
        low = inc.betainc(dfn / 2, dfd / 2, choose(most, 0.5, part / total))
        return choose(most, inc.betaincc(dfd / 2, dfn / 2, choose(most, rest / total, 0.5)), low)

    def ppf(self, q: Either, dfn: Either, dfd: Either) -> Either:
        return dfd / dfn * inc.betaincinv(dfn / 2, dfd / 2, q) / inc.betainccinv(dfd / 2, dfn / 2, q)

    def isf(self, q: Either, dfn: Either, dfd: Either) -> Either:
        return dfd / dfn * inc.betainccinv(dfn / 2, dfd / 2, q) / inc.betaincinv(dfd / 2, dfn / 2, q)

    def mean(self, dfn: Either, dfd: Either) -> Either:
        large = choose(dfd > 2, dfd, 3.0)
        return choose(dfd > 2, large / (large - 2), np.inf) + 0.0 * dfn

    def var(self, dfn: Either, dfd: Either) -> Either:
        m = choose(dfd > 4, dfd, 5.0)
        return choose(dfd > 4, 2 * m * m * (dfn + m - 2) / (dfn * (m - 2) * (m - 2) * (m - 4)), np.inf)

    def entropy(self, dfn: Either, dfd: Either) -> Either:
        n, m = dfn / 2, dfd / 2
        rest = (1 - n) * sp.digamma(n) - (1 + m) * sp.digamma(m) + (n + m) * sp.digamma(n + m)
        return log(dfd) - log(dfn) + sp.betaln(n, m) + rest


class Uniform(_Unit):
    """The uniform distribution."""

    name = "uniform"

    def logpdf(self, x: Either) -> Either:
        return 0.0 * x

    def cdf(self, x: Either) -> Either:
        return x

    def sf(self, x: Either) -> Either:
        return 1 - x

    def ppf(self, q: Either) -> Either:
        return q

    def isf(self, q: Either) -> Either:
        return 1 - q

    def mean(self) -> Either:
        return 0.5

    def var(self) -> Either:
        return 1 / 12

    def entropy(self) -> Either:
        return 0.0


class WeibullMin(_Positive):
    """Weibull's distribution of minima."""

    name, shapes = "weibull_min", ("c",)

    def logpdf(self, x: Either, c: Either) -> Either:
        return log(c) + sp.xlogy(c - 1, x) - power(x, c)

    def pdf(self, x: Either, c: Either) -> Either:
        return self.through_zero(x, (c,), lambda x: c * power(x, c - 1))

    def cdf(self, x: Either, c: Either) -> Either:
        return -expm1(-power(x, c))

    def sf(self, x: Either, c: Either) -> Either:
        return exp(-power(x, c))

    def logsf(self, x: Either, c: Either) -> Either:
        return -power(x, c)

    def ppf(self, q: Either, c: Either) -> Either:
        return power(-log1p(-q), 1 / c)

    def isf(self, q: Either, c: Either) -> Either:
        return power(-log(q), 1 / c)

    def mean(self, c: Either) -> Either:
        return sp.gamma(1 + 1 / c)

    def var(self, c: Either) -> Either:
        return sp.gamma(1 + 2 / c) - sp.gamma(1 + 1 / c) ** 2

    def entropy(self, c: Either) -> Either:
        return -_EULER / c - log(c) + _EULER + 1


class Pareto(Continuous):
    """Pareto's distribution."""

    name, shapes, inner = "pareto", ("b",), 2.0

    def support(self, *shapes: Either) -> tuple[Either, Either]:
        return 1.0, np.inf

    def logpdf(self, x: Either, b: Either) -> Either:
        return log(b) - (b + 1) * log(x)

    def cdf(self, x: Either, b: Either) -> Either:
        return -expm1(-b * log(x))

    def sf(self, x: Either, b: Either) -> Either:
        return power(x, -b)

    def logsf(self, x: Either, b: Either) -> Either:
        return -b * log(x)

    def ppf(self, q: Either, b: Either) -> Either:
        return exp(-log1p(-q) / b)

    def isf(self, q: Either, b: Either) -> Either:
        return power(q, -1 / b)

    def mean(self, b: Either) -> Either:
        large = choose(b > 1, b, 2.0)
        return choose(b > 1, large / (large - 1), np.inf)

    def var(self, b: Either) -> Either:
        large = choose(b > 2, b, 3.0)
        return choose(b > 2, large / ((large - 2) * (large - 1) * (large - 1)), np.inf)

    def entropy(self, b: Either) -> Either:
        return 1 + 1 / b - log(b)


class GumbelR(Continuous):
    """Gumbel's distribution of maxima."""

    name = "gumbel_r"

    def logpdf(self, x: Either) -> Either:
        return -x - exp(-x)

    def cdf(self, x: Either) -> Either:
        return exp(-exp(-x))

    def logcdf(self, x: Either) -> Either:
        return -exp(-x)

    def sf(self, x: Either) -> Either:
        return -expm1(-exp(-x))

    def ppf(self, q: Either) -> Either:
        return -log(-log(q))

    def isf(self, q: Either) -> Either:
        return -log(-log1p(-q))

    def mean(self) -> Either:
        return _EULER

    def var(self) -> Either:
        return pi**2 / 6

    def entropy(self) -> Either:
        return _EULER + 1


class GumbelL(Continuous):
    """Gumbel's distribution of minima."""

    name = "gumbel_l"

    def logpdf(self, x: Either) -> Either:
        return x - exp(x)

    def cdf(self, x: Either) -> Either:
        return -expm1(-exp(x))

    def sf(self, x: Either) -> Either:
        return exp(-exp(x))

    def logsf(self, x: Either) -> Either:
        return -exp(x)

    def ppf(self, q: Either) -> Either:
        return log(-log1p(-q))

    def isf(self, q: Either) -> Either:
        return log(-log(q))

    def mean(self) -> Either:
        return -_EULER

    def var(self) -> Either:
        return pi**2 / 6

    def entropy(self) -> Either:
        return _EULER + 1


class Halfnorm(_Positive):
    """The size of a normal variable."""

    name = "halfnorm"

    def logpdf(self, x: Either) -> Either:
        return ln(2 / pi) / 2 - x * x / 2

    def cdf(self, x: Either) -> Either:
        return sp.erf(x / root(2))

    def sf(self, x: Either) -> Either:
        return 2 * sp.ndtr(-x)

    def logsf(self, x: Either) -> Either:
        near = x < 0.5
        return choose(near, log1p(-sp.erf(choose(near, x, 0.0) / root(2))), ln(2) + sp.log_ndtr(-x))

    def ppf(self, q: Either) -> Either:
        return root(2) * sp.erfinv(q)

    def isf(self, q: Either) -> Either:
        return -sp.ndtri(q / 2)

    def mean(self) -> Either:
        return root(2 / pi)

    def var(self) -> Either:
        return 1 - 2 / pi

    def entropy(self) -> Either:
        return ln(pi / 2) / 2 + 0.5


def _log_mass(a: Either, b: Either) -> Either:
    """The logarithm of the standard normal probability of [a, b], a < b: in the tail where both lie, by the tail."""
    mirrored = a > 0
    a, b = choose(mirrored, -b, a), choose(mirrored, -a, b)
    left = b <= 0
    upper, lower = sp.log_ndtr(choose(left, b, 0.0)), sp.log_ndtr(choose(left, a, -1.0))
    tail = upper + log1p(-exp(lower - upper))
    middle = log1p(-sp.ndtr(choose(left, -1.0, a)) - sp.ndtr(-choose(left, 1.0, b)))
    return choose(left, tail, middle)


class Truncnorm(Continuous):
    """A normal variable, given that it lies between a and b."""

    name, shapes, harmless, closed = "truncnorm", ("a", "b"), (0.0, 1.0), False

    def check(self, *shapes: Either) -> Either:
        a, b = shapes
        return every(a < b)

    def support(self, *shapes: Either) -> tuple[Either, Either]:
        a, b = shapes
        return a, b

    def within(self, *shapes: Either) -> Either:
        a, b = (fixed(s) for s in shapes)
        # Halfway, or near the end that is finite.
        near = choose(a > -np.inf, a, choose(b < np.inf, b - 1, -0.5)) + 0.5
        both = every(a > -np.inf, b < np.inf)
        return choose(both, choose(both, a, 0.0) / 2 + choose(both, b, 0.0) / 2, near)

    def logpdf(self, x: Either, a: Either, b: Either) -> Either:
        return -x * x / 2 - _LOG_2PI / 2 - _log_mass(a, b)

    def logcdf(self, x: Either, a: Either, b: Either) -> Either:
        return self._share(_log_mass(a, x), _log_mass(x, b), _log_mass(a, b))

    def cdf(self, x: Either, a: Either, b: Either) -> Either:
        return exp(self.logcdf(x, a, b))

    def logsf(self, x: Either, a: Either, b: Either) -> Either:
        return self._share(_log_mass(x, b), _log_mass(a, x), _log_mass(a, b))

    def _share(self, part: Either, rest: Either, whole: Either) -> Either:
        """The logarithm of the share that a part is; from the rest, where that is small."""
        found = part - whole
        most = found > -0.1
        return choose(most, log1p(-exp(choose(most, rest - whole, -1.0))), found)

    def sf(self, x: Either, a: Either, b: Either) -> Either:
        return exp(self.logsf(x, a, b))

    def ppf(self, q: Either, a: Either, b: Either) -> Either:
        # From the end that is nearer to the middle.
        mass, left = _log_mass(a, b), a < 0
        below = sp.ndtri_exp(ew.logaddexp(sp.log_ndtr(choose(left, a, -1.0)), log(q) + mass))
        above = sp.ndtri_exp(ew.logaddexp(sp.log_ndtr(-choose(left, 1.0, b)), log1p(-q) + mass))
        return choose(left, below, -above)

    def isf(self, q: Either, a: Either, b: Either) -> Either:
        mass, left = _log_mass(a, b), b < 0
        below = sp.ndtri_exp(ew.logaddexp(sp.log_ndtr(choose(left, a, -1.0)), log1p(-q) + mass))
        above = sp.ndtri_exp(ew.logaddexp(sp.log_ndtr(-choose(left, 1.0, b)), log(q) + mass))
        return choose(left, below, -above)

    def _ends(self, a: Either, b: Either) -> tuple[Either, ...]:
        """The ends' densities over the whole, and the ends themselves; 0 for ends at infinity."""
        mass = _log_mass(a, b)
        finite = [ew.isfinite(v) for v in (a, b)]
        ends = [choose(there, v, 0.0) for there, v in zip(finite, (a, b), strict=True)]
        shares = [
            choose(there, exp(-v * v / 2 - _LOG_2PI / 2 - mass), 0.0) for there, v in zip(finite, ends, strict=True)
        ]
        return (*shares, *ends)

    def mean(self, a: Either, b: Either) -> Either:
        at_a, at_b, _, _ = self._ends(a, b)
        return at_a - at_b

    def var(self, a: Either, b: Either) -> Either:
        at_a, at_b, a, b = self._ends(a, b)
        return 1 + a * at_a - b * at_b - (at_a - at_b) ** 2

    def entropy(self, a: Either, b: Either) -> Either:
        mass = _log_mass(a, b)
        at_a, at_b, a, b = self._ends(a, b)
        return (_LOG_2PI + 1) / 2 + mass + (a * at_a - b * at_b) / 2


class Vonmises(Continuous):
    """Von Mises' distribution of angles."""

    name, shapes = "vonmises", ("kappa",)

    def check(self, *shapes: Either) -> Either:
        return every(shapes[0] >= 0)

    def logpdf(self, x: Either, kappa: Either) -> Either:
        return -2 * kappa * ew.sin(x / 2) ** 2 - log(2 * pi * bessel.i0e(kappa))

    def mean(self, kappa: Either) -> Either:
        return 0.0 * kappa

    def entropy(self, kappa: Either) -> Either:
        even = bessel.i0e(kappa)
        return -kappa * bessel.i1e(kappa) / even + log(2 * pi * even) + kappa


class Skewnorm(Continuous):
    """Azzalini's skew normal distribution."""

    name, shapes = "skewnorm", ("a",)

    def check(self, *shapes: Either) -> Either:
        return every(ew.isfinite(shapes[0]))

    def logpdf(self, x: Either, a: Either) -> Either:
        return ln(2) - x * x / 2 - _LOG_2PI / 2 + sp.log_ndtr(a * x)

    def cdf(self, x: Either, a: Either) -> Either:
        return sp.ndtr(x) - 2 * sp.owens_t(x, a)

    def sf(self, x: Either, a: Either) -> Either:
        return self.cdf(-x, -a)

    def mean(self, a: Either) -> Either:
        return root(2 / pi) * a / sqrt(1 + a * a)

    def var(self, a: Either) -> Either:
        return 1 - self.mean(a) ** 2


class Gennorm(Continuous):
    """The generalized normal distribution, of which β = 2 is the normal one."""

    name, shapes = "gennorm", ("beta",)

    def logpdf(self, x: Either, beta: Either) -> Either:
        return log(beta / 2) - sp.gammaln(1 / beta) - power(absolute(x), beta)

    def cdf(self, x: Either, beta: Either) -> Either:
        # At 0 the tail's formula is 0·∞; its tangent there is what the density is.
        middle = x == 0
        away = choose(middle, 1.0, x)
        tail = inc.gammaincc(1 / beta, power(absolute(away), beta)) / 2
        flat = 0.5 + x * beta / (2 * sp.gamma(1 / beta))
        return choose(middle, flat, choose(away > 0, 1 - tail, tail))

    def sf(self, x: Either, beta: Either) -> Either:
        return self.cdf(-x, beta)

    def ppf(self, q: Either, beta: Either) -> Either:
        middle, high = q == 0.5, q > 0.5
        away = choose(middle, 0.25, choose(high, 1 - q, q))
        size = power(inc.gammainccinv(1 / beta, 2 * away), 1 / beta)
        flat = (q - 0.5) * (2 * sp.gamma(1 / beta)) / beta
        return choose(middle, flat, choose(high, size, -size))

    def isf(self, q: Either, beta: Either) -> Either:
        return -self.ppf(q, beta)

    def mean(self, beta: Either) -> Either:
        return 0.0 * beta

    def var(self, beta: Either) -> Either:
        return exp(sp.gammaln(3 / beta) - sp.gammaln(1 / beta))

    def entropy(self, beta: Either) -> Either:
        return 1 / beta - log(beta / 2) + sp.gammaln(1 / beta)


# -- discrete ----------------------------------------------------------------------------------------------------------


class Discrete(Distribution):
    """A distribution on the integers. Nothing is differentiated by k, or by a number of trials."""

    positions = ("loc",)
    low: float = 0.0

    def high(self, *shapes: Either) -> Either:
        """The largest value."""
        return np.inf

    def logpmf(self, k: Either, *shapes: Either) -> Either:
        raise NotImplementedError

    def of_density(self, method: str, k: Either, shapes: tuple[Either, ...], loc: Either) -> Either:
        """``pmf`` or ``logpmf``: 0 between the integers."""
        good, shapes = self.safe(shapes)
        k = fixed(k) - fixed(loc)
        wrong = ew.logical_or(k < self.low, ew.not_equal(ew.floor(k), k))
        outside = _beyond(k, None, self.high(*shapes), True)
        wrong = wrong if outside is None else ew.logical_or(wrong, outside)
        found = self.logpmf(choose(wrong, self.low, k), *shapes)
        found = found if method == "logpmf" else exp(found)
        return choose(good, choose(wrong, -np.inf if method == "logpmf" else 0.0, found), np.nan)

    def of_probability(self, method: str, k: Either, shapes: tuple[Either, ...], loc: Either) -> Either:
        """``cdf``, ``sf`` and their logarithms."""
        good, shapes = self.safe(shapes)
        k = ew.floor(fixed(k) - fixed(loc))
        below, above = k < self.low, _beyond(k, None, self.high(*shapes), False)
        inside = choose(below, self.low, k)
        inside = inside if above is None else choose(above, self.low, inside)
        plain = method.removeprefix("log")
        found = self.formula(plain)(inside, *shapes)
        found, ends = (found, (0.0, 1.0)) if plain == method else (log(found), (-np.inf, 0.0))
        before, behind = ends if plain == "cdf" else ends[::-1]
        found = choose(below, before, found)
        return choose(good, found if above is None else choose(above, behind, found), np.nan)

    def of_parameters(self, method: str, shapes: tuple[Either, ...], loc: Either) -> Either:
        """``mean``, ``var``, ``std`` and ``entropy``."""
        if method == "std":
            return sqrt(self.of_parameters("var", shapes, loc))
        good, shapes = self.safe(shapes)
        found = self.formula(method)(*shapes)
        return choose(good, found + (loc if method == "mean" else 0.0 * loc), np.nan)


class Poisson(Discrete):
    """Counts of rare events."""

    name, shapes = "poisson", ("mu",)

    def check(self, *shapes: Either) -> Either:
        return every(shapes[0] >= 0)

    def logpmf(self, k: Either, mu: Either) -> Either:
        return sp.xlogy(k, mu) - sp.gammaln(k + 1) - mu

    def cdf(self, k: Either, mu: Either) -> Either:
        return inc.gammaincc(k + 1, mu)

    def sf(self, k: Either, mu: Either) -> Either:
        return inc.gammainc(k + 1, mu)

    def mean(self, mu: Either) -> Either:
        return mu

    def var(self, mu: Either) -> Either:
        return mu


def _proportion(p: Either, positive: bool = False) -> Either:
    return every(p > 0 if positive else p >= 0, p <= 1)


class Binom(Discrete):
    """Successes in n trials."""

    name, shapes, harmless = "binom", ("n", "p"), (1.0, 0.5)

    def check(self, *shapes: Either) -> Either:
        n, p = fixed(shapes[0]), shapes[1]
        return every(n >= 0, ew.equal(ew.floor(n), n), _proportion(p))

    def high(self, *shapes: Either) -> Either:
        return fixed(shapes[0])

    def logpmf(self, k: Either, n: Either, p: Either) -> Either:
        n = fixed(n)
        ways = sp.gammaln(n + 1) - (sp.gammaln(k + 1) + sp.gammaln(n - k + 1))
        return ways + sp.xlogy(k, p) + sp.xlog1py(n - k, -p)

    def cdf(self, k: Either, n: Either, p: Either) -> Either:
        return inc.betaincc(k + 1, fixed(n) - k, p)

    def sf(self, k: Either, n: Either, p: Either) -> Either:
        return inc.betainc(k + 1, fixed(n) - k, p)

    def mean(self, n: Either, p: Either) -> Either:
        return fixed(n) * p

    def var(self, n: Either, p: Either) -> Either:
        return fixed(n) * p * (1 - p)


class Bernoulli(Discrete):
    """One trial."""

    name, shapes, harmless = "bernoulli", ("p",), (0.5,)

    def check(self, *shapes: Either) -> Either:
        return _proportion(shapes[0])

    def high(self, *shapes: Either) -> Either:
        return 1.0

    def logpmf(self, k: Either, p: Either) -> Either:
        return sp.xlogy(k, p) + sp.xlog1py(1 - k, -p)

    def cdf(self, k: Either, p: Either) -> Either:
        return 1 - p + 0.0 * k

    def sf(self, k: Either, p: Either) -> Either:
        return p + 0.0 * k

    def mean(self, p: Either) -> Either:
        return p

    def var(self, p: Either) -> Either:
        return p * (1 - p)

    def entropy(self, p: Either) -> Either:
        return -sp.xlogy(p, p) - sp.xlog1py(1 - p, -p)


class Geom(Discrete):
    """Trials up to the first success."""

    name, shapes, harmless, low = "geom", ("p",), (0.5,), 1.0

    def check(self, *shapes: Either) -> Either:
        return _proportion(shapes[0], positive=True)

    def logpmf(self, k: Either, p: Either) -> Either:
        return sp.xlog1py(k - 1, -p) + log(p)

    def cdf(self, k: Either, p: Either) -> Either:
        return -expm1(sp.xlog1py(k, -p))

    def sf(self, k: Either, p: Either) -> Either:
        return exp(sp.xlog1py(k, -p))

    def mean(self, p: Either) -> Either:
        return 1 / p

    def var(self, p: Either) -> Either:
        return (1 - p) / (p * p)

    def entropy(self, p: Either) -> Either:
        return -log(p) - sp.xlog1py(1 - p, -p) / p


class Nbinom(Discrete):
    """Failures before the n-th success."""

    name, shapes, harmless = "nbinom", ("n", "p"), (1.0, 0.5)

    def check(self, *shapes: Either) -> Either:
        return every(shapes[0] > 0, _proportion(shapes[1], positive=True))

    def logpmf(self, k: Either, n: Either, p: Either) -> Either:
        ways = sp.gammaln(n + k) - sp.gammaln(k + 1) - sp.gammaln(n)
        return ways + n * log(p) + sp.xlog1py(k, -p)

    def cdf(self, k: Either, n: Either, p: Either) -> Either:
        return inc.betainc(n, k + 1, p)

    def sf(self, k: Either, n: Either, p: Either) -> Either:
        return inc.betaincc(n, k + 1, p)

    def mean(self, n: Either, p: Either) -> Either:
        return n * (1 - p) / p

    def var(self, n: Either, p: Either) -> Either:
        return n * (1 - p) / (p * p)


class Betabinom(Discrete):
    """Successes in n trials whose probability has a beta distribution."""

    name, shapes = "betabinom", ("n", "a", "b")

    def check(self, *shapes: Either) -> Either:
        n = fixed(shapes[0])
        return every(n >= 0, ew.equal(ew.floor(n), n), shapes[1] > 0, shapes[2] > 0)

    def high(self, *shapes: Either) -> Either:
        return fixed(shapes[0])

    def logpmf(self, k: Either, n: Either, a: Either, b: Either) -> Either:
        n = fixed(n)
        ways = -log(n + 1) - sp.betaln(n - k + 1, k + 1)
        return ways + sp.betaln(k + a, n - k + b) - sp.betaln(a, b)

    def mean(self, n: Either, a: Either, b: Either) -> Either:
        return fixed(n) * a / (a + b)

    def var(self, n: Either, a: Either, b: Either) -> Either:
        n, total = fixed(n), a + b
        return n * a * b * (total + n) / (total * total * (total + 1))


UNIVARIATE: dict[str, Continuous | Discrete] = {
    kind.name: kind()
    for kind in (
        Norm, T, Cauchy, Laplace, Logistic, Lognorm, Expon, Gamma, Invgamma, Beta, Chi2, Chi, F, Uniform, WeibullMin,
        Pareto, GumbelR, GumbelL, Halfnorm, Truncnorm, Vonmises, Skewnorm, Gennorm, Poisson, Binom, Bernoulli, Geom,
        Nbinom, Betabinom,
    )
}  # fmt: skip
"""By the name in ``scipy.stats``."""

_KINDS = {
    **dict.fromkeys(("pdf", "logpdf", "pmf", "logpmf"), "of_density"),
    **dict.fromkeys(("cdf", "sf", "logcdf", "logsf"), "of_probability"),
    **dict.fromkeys(("ppf", "isf"), "of_quantile"),
    **dict.fromkeys(("mean", "var", "std", "median", "entropy"), "of_parameters"),
}
"""Which rule computes a method."""


def takes(distribution: Continuous | Discrete, method: str) -> bool:
    """Whether there is a formula for a method of a distribution."""
    kind = _KINDS.get(method)
    if kind is None or not hasattr(distribution, kind):
        return False
    if kind == "of_density":
        return ("pmf" in method) == isinstance(distribution, Discrete)
    base = {"std": "var", "median": "ppf", "logcdf": "cdf", "sf": "cdf", "logsf": "cdf", "isf": "ppf"}
    return hasattr(distribution, method) or hasattr(distribution, base.get(method, method))


def cure_of(method: str) -> str:
    """What to do instead of a method without a formula."""
    return _CURES.get(method, "there is no formula for it here")


def of_univariate(distribution: Continuous | Discrete, method: str) -> Callable[..., Expr]:
    """A method of a distribution as a function of x (k, or q; for moments nothing) and of all its parameters."""
    if not takes(distribution, method):
        raise refused(distribution.named(method), cure_of(method))
    rule = getattr(distribution, _KINDS[method])
    count = len(distribution.positions)

    def compute(*args: Any) -> Expr:
        builder = find_builder(args)
        given = [number(a, builder) for a in args]
        if _KINDS[method] == "of_parameters":
            shapes, rest = tuple(given[:-count]), given[-count:]
            found = rule(method, shapes, *rest)
        else:
            shapes, rest = tuple(given[1:-count]), given[-count:]
            found = rule(method, given[0], shapes, *rest)
        return fn.broadcast_to(lift(found, builder), np.broadcast_shapes(*[v.shape for v in given]))

    return compute
