"""Incomplete gamma and beta functions, and the distribution functions that are made of them.

SciPy has no derivatives of these by their parameters (shapes). Both densities have the form exp(θ·T(t) − A(θ)) dm(t),
so that the n-th derivative by a parameter is an integral of the density times a polynomial in T, the complete Bell
polynomial of the derivatives of the exponent. That is one hop for each of the two families, closed under
differentiation. Against mpmath, 1e-11 of the largest part for shapes from 1e-4 to 1e5.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from math import comb, pi, prod
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import POSITIVE, REAL, Case, Draw, Function, Interval, On, elementwise
from hopgrad.hops.elementwise import convert, exp, floor, log, log1p, logical_and, sign, where
from hopgrad.hops.elementwise import sqrt as root
from hopgrad.hops.special import (
    SCIPY,
    UNIT,
    betaln,
    constant,
    digamma,
    in_blocks,
    like,
    marked,
    ndtri,
    polygamma,
    square,
)

Array = np.ndarray[Any, Any]

# -- densities ---------------------------------------------------------------------------------------------------------


def _stirling(z: Array) -> Array:
    """ln Γ(z) − ((z − ½) ln z − z + ½ ln 2π): the remainder in Stirling's formula (DLMF 5.11.1)."""
    from scipy.special import gammaln

    large = np.maximum(z, 12)
    t = 1 / large**2
    series = ((((-691 / 360360 * t + 1 / 1188) * t - 1 / 1680) * t + 1 / 1260) * t - 1 / 360) * t + 1 / 12
    direct = gammaln(z) - ((z - 0.5) * np.log(z) - z + 0.5 * np.log(2 * pi))
    return np.asarray(np.where(z < 12, direct, series / large))


def _deviance(ratio: Array, excess: Array) -> Array:
    """log r − (r − 1), where r − 1 is given more precisely."""
    return np.asarray(np.where(np.abs(excess) < 0.5, np.log1p(excess), np.log(ratio)) - excess)


def _gamma_density(a: Any, x: Any) -> Any:
    """By the saddle point: Loader, Fast and accurate computation of binomial probabilities, 2000."""
    dtype = np.result_type(a, x)
    a, x = np.asarray(a, float), np.asarray(x, float)
    with np.errstate(all="ignore"):
        inside = np.sqrt(a / (2 * pi)) / x * np.exp(a * _deviance(x / a, (x - a) / a) - _stirling(a))
        edge = np.where(a < 1, np.inf, np.where(a == 1, 1.0, 0.0))
        found = np.where(x > 0, np.where(np.isinf(x), 0, inside), np.where(x == 0, edge, 0))
        found = np.where((a > 0) & ~np.isnan(x), found, np.nan)
    return found.astype(dtype)[()]


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    """By the saddle point, as the gamma density."""
    dtype = np.result_type(a, b, x)
    a, b, x = np.asarray(a, float), np.asarray(b, float), np.asarray(x, float)
    with np.errstate(all="ignore"):
        n, excess = a + b, b * x - a * (1 - x)
        exponent = a * _deviance(n * x / a, excess / a) + b * _deviance(n * (1 - x) / b, -excess / b)
        exponent += _stirling(n) - _stirling(a) - _stirling(b)
        inside = np.sqrt(a / n * b / (2 * pi)) * np.exp(exponent) / x / (1 - x)
        shape = np.where(x == 0, a, b)
        edge = np.where(shape < 1, np.inf, np.where(shape == 1, np.where(x == 0, b, a), 0.0))
        found = np.where((x > 0) & (x < 1), inside, np.where((x == 0) | (x == 1), edge, 0))
        found = np.where((a > 0) & (b > 0) & ~np.isnan(x), found, np.nan)
    return found.astype(dtype)[()]


_THREE = [Case((), (), ()), Case((2, 1), (3,), ())]


def _three(draw: Draw) -> Case:
    return draw(_THREE)


@elementwise(_gamma_density, Function("gammapdf", r"\operatorname{gammapdf}", "gamma density"),
             domain=(POSITIVE, POSITIVE), kink="x = 0: NaN",
             sample=lambda draw: draw([Case((), ()), Case((2, 1), (3,))]))  # fmt: skip
def gamma_density(a: Expr, x: Expr, *, out: Expr) -> Any:
    """x^(a−1) e^(−x) / Γ(a), so by its logarithm."""
    return lambda: out * (log(x) - digamma(a)), lambda: out * ((a - 1) / x - 1)


@elementwise(_beta_density, Function("betapdf", r"\operatorname{betapdf}", "beta density"),
             domain=(POSITIVE, POSITIVE, UNIT), sample=_three, kink="x = 0 and x = 1: NaN")  # fmt: skip
def beta_density(a: Expr, b: Expr, x: Expr, *, out: Expr) -> Any:
    """x^(a−1) (1−x)^(b−1) / B(a, b), so by its logarithm."""
    return (
        lambda: out * (log(x) - digamma(a) + digamma(a + b)),
        lambda: out * (log1p(-x) - digamma(b) + digamma(a + b)),
        lambda: out * ((a - 1) / x - (b - 1) / (1 - x)),
    )


# -- derivatives by parameters -----------------------------------------------------------------------------------------


def _bell(orders: tuple[int, ...], cumulant: Callable[[tuple[int, ...]], Any]) -> Any:
    """exp(−h) ∂^orders exp(h), where `cumulant` gives the derivatives of h: a complete Bell polynomial.

    One derivative is split off, and the rest is Leibniz's rule for ∂ exp(h) = exp(h) ∂h.
    """
    found: dict[tuple[int, ...], Any] = {tuple(0 for _ in orders): 1.0}
    for wanted in itertools.product(*[range(n + 1) for n in orders]):
        if wanted in found:
            continue
        first = next(k for k, n in enumerate(wanted) if n)
        rest = tuple(n - (k == first) for k, n in enumerate(wanted))
        total: Any = 0.0
        for split in itertools.product(*[range(n + 1) for n in rest]):
            other = tuple(n - m for n, m in zip(rest, split, strict=True))
            ways = prod(comb(n, m) for n, m in zip(rest, split, strict=True))
            total = total + found[other] * cumulant(tuple(m + (k == first) for k, m in enumerate(split))) * ways
        found[wanted] = total
    return found[orders]


@cache
def _ray() -> tuple[Array, ...]:
    """Nodes u = dα + wβ and weights dμ + wν for integrals over u > 0: tanh-sinh up to d, and exp(v − exp(−v)) beyond.

    Both are the double exponential formulas of Takahasi and Mori, 1974. They resolve all scales near their ends, and
    so each of the two parts of an integrand that turns at d: a flat piece and what is beyond.
    """
    step = 1 / 16
    v = np.arange(-4.0, 6.0, step)
    far = np.exp(v - np.exp(-v))
    t = np.arange(-48, 49, 1.5) * step
    near = 1 / (1 + np.exp(-pi * np.sinh(t)))
    ones, none = np.ones_like(far), np.zeros_like(near)
    slopes = pi * np.cosh(t) * near * (1 - near) * (1.5 * step), far * (1 + np.exp(-v)) * step
    return (
        np.concatenate([near, ones]),
        np.concatenate([none, far]),
        np.concatenate([slopes[0], 0 * far]),
        np.concatenate([none, slopes[1]]),
    )


def _gammainc_by_shape(a: Any, x: Any, *, order: int) -> Any:
    from scipy.special import digamma as psi
    from scipy.special import polygamma as psi_n

    def integral(a: Array, x: Array) -> Array:
        # Over s = ln t, away from the mode ln a: so below or above x, whatever is less.
        side = np.where(x <= a, -1.0, 1.0)
        knee = np.where(side < 0, x, np.maximum(x, 1.0))
        reach = 1 / (np.abs(a - knee) + np.sqrt(knee))
        reach = np.where(side < 0, np.maximum(reach, 0.3 / a), reach)
        turn = np.log(knee / x)
        alpha, beta_, mu, nu = _ray()
        u = side * (turn * alpha + reach * beta_)
        shape = [None, *[np.asarray(-psi_n(k, a)) for k in range(1, order)]]

        def cumulant(n: tuple[int, ...]) -> Array:
            return np.log(x) + u - psi(a) if n == (1,) else shape[n[0] - 1]  # type: ignore[return-value]

        decay = np.exp(a * u - x * np.expm1(u))
        inner = np.where(decay > 0, decay * _bell((order,), cumulant), 0) * (turn * mu + reach * nu)
        return np.asarray(-side[:, 0] * np.sum(inner, 1) * _gamma_density(a, x)[:, 0] * x[:, 0])

    def valid(a: Array, x: Array) -> Array:
        return marked((a > 0) & (x > 0) & np.isfinite(x), (a > 0) & ((x == 0) | np.isinf(x)))

    return in_blocks(integral, valid, a, x)


def _betainc_by_shapes(a: Any, b: Any, x: Any, *, orders: tuple[int, int]) -> Any:
    from scipy.special import digamma as psi
    from scipy.special import polygamma as psi_n

    def integral(a: Array, b: Array, x: Array) -> Array:
        # Over the log odds s of t, away from the mode; in terms of the smaller side's r = t or 1 − t and its shape.
        n = a + b
        below = x <= a / n
        own, r = np.where(below, a, b), np.where(below, x, 1 - x)
        turn = np.maximum(np.log(r / (1 - r)) - np.log(np.maximum(own, 1)), 0)
        knee = r * np.exp(-turn) / (1 + r * np.expm1(-turn))
        reach = np.maximum(1 / (np.abs(own - n * knee) + np.sqrt(n * knee * (1 - knee))), 0.3 / own)
        alpha, beta_, mu, nu = _ray()
        u = turn * alpha + reach * beta_
        shrunk = np.log1p(r * np.expm1(-u))
        near, other = np.log(r) - u - shrunk, np.log1p(-r) - shrunk
        log_t, log_rest = np.where(below, near, other), np.where(below, other, near)

        @cache
        def cumulant(m: tuple[int, ...]) -> Array:
            total = sum(m)
            found = psi(n) if total == 1 else np.asarray(psi_n(total - 1, n))
            for shape, logarithm, alone in ((a, log_t, m[1] == 0), (b, log_rest, m[0] == 0)):
                if alone:
                    found = found - (psi(shape) - logarithm if total == 1 else psi_n(total - 1, shape))
            return np.asarray(found)

        decay = np.exp(-own * u - n * shrunk)
        inner = np.where(decay > 0, decay * _bell(orders, cumulant), 0) * (turn * mu + reach * nu)
        weight = np.where(below, 1, -1) * _beta_density(a, b, x) * x * (1 - x)
        return np.asarray(np.sum(inner, 1) * weight[:, 0])

    def valid(a: Array, b: Array, x: Array) -> Array:
        shapes = (a > 0) & (b > 0)
        return marked(shapes & (x > 0) & (x < 1), shapes & ((x == 0) | (x == 1)))

    return in_blocks(integral, valid, a, b, x)


@elementwise(_gammainc_by_shape, Function("∂P", r"\partial P", "derivative of the incomplete gamma function"),
             domain=(POSITIVE, POSITIVE), kink="x = 0: 0",
             sample=lambda draw: Case((2, 1), (3,), order=draw([1, 2])))  # fmt: skip
def gammainc_by_shape(a: Expr, x: Expr, *, order: int) -> Any:
    """The n-th derivative of P(a, x) by a, for all a and x; by x it is that of the density."""

    def by_x() -> Expr:
        def cumulant(n: tuple[int, ...]) -> Any:
            return log(x) - digamma(a) if n == (1,) else -polygamma(a, order=n[0] - 1)

        found: Expr = gamma_density(a, x) * _bell((order,), cumulant)
        return found

    return lambda: gammainc_by_shape(a, x, order=order + 1), lambda: On(_within(x), by_x())


@elementwise(_betainc_by_shapes, Function("∂I", r"\partial I", "derivative of the incomplete beta function"),
             domain=(POSITIVE, POSITIVE, UNIT), kink="x = 0 and x = 1: 0",
             sample=lambda draw: Case((2, 1), (3,), (), orders=draw([(1, 0), (0, 1), (1, 1)])))  # fmt: skip
def betainc_by_shapes(a: Expr, b: Expr, x: Expr, *, orders: tuple[int, int]) -> Any:
    """The derivative of Iₓ(a, b), `orders` times by a and by b; by x it is that of the density."""

    def by_x() -> Expr:
        def cumulant(m: tuple[int, ...]) -> Any:
            total = sum(m)

            def psi(z: Expr) -> Expr:
                return digamma(z) if total == 1 else polygamma(z, order=total - 1)

            found: Any = psi(a + b)
            if m[1] == 0:
                found = found - psi(a) + (log(x) if total == 1 else 0)
            if m[0] == 0:
                found = found - psi(b) + (log1p(-x) if total == 1 else 0)
            return found

        found: Expr = beta_density(a, b, x) * _bell(orders, cumulant)
        return found

    first, second = orders
    return (
        lambda: betainc_by_shapes(a, b, x, orders=(first + 1, second)),
        lambda: betainc_by_shapes(a, b, x, orders=(first, second + 1)),
        lambda: On(_within(x, 1), by_x()),
    )


def _within(x: Expr, high: float = np.inf) -> Expr:
    """Whether 0 < x < high: at the ends the derivatives by shapes are 0 for all shapes around."""
    found: Expr = logical_and(x > 0, x < high)
    return found


# -- factors of distribution functions ---------------------------------------------------------------------------------

Slopes = tuple[Callable[[], Any], ...]
"""The derivatives of a function by each of its operands, computed when asked for."""


def _minus(slopes: Slopes) -> Slopes:
    """Those of 1 − F."""
    return tuple(_scaled(slope, -1) for slope in slopes)


def _inverse(slopes: Slopes, unknown: int, place: int, inside: Expr | None = None) -> Slopes:
    """Those of the operand `unknown` of F, solved for, where F's value is operand number `place` of the solution.

    The implicit function theorem: −F_θ / F_x by a parameter θ, 1 / F_x by the value. Where `inside` does not hold
    (values 0 and 1) the solution is the same for all parameters.
    """

    def by(slope: Callable[[], Any]) -> Callable[[], Any]:
        def factor() -> Any:
            ratio = -slope() / slopes[unknown]()
            return ratio if inside is None else On(inside, ratio)

        return factor

    found = [by(slope) for k, slope in enumerate(slopes) if k != unknown]
    found.insert(place, lambda: 1 / slopes[unknown]())
    return tuple(found)


def _of_gammainc(a: Expr, x: Expr) -> Slopes:
    return lambda: gammainc_by_shape(a, x, order=1), lambda: gamma_density(a, x)


def _of_betainc(a: Expr, b: Expr, x: Expr) -> Slopes:
    return (
        lambda: betainc_by_shapes(a, b, x, orders=(1, 0)),
        lambda: betainc_by_shapes(a, b, x, orders=(0, 1)),
        lambda: beta_density(a, b, x),
    )


def _named(name: str) -> Any:
    """Written by its name in SciPy."""
    return Function(name, rf"\operatorname{{{name}}}", "distribution function")


def _scaled(slope: Callable[[], Any], factor: Any) -> Callable[[], Any]:
    return lambda: slope() * factor


# -- incomplete gamma functions ----------------------------------------------------------------------------------------

_POISSON = Interval(1.1, 4.0)
_SHAPES = [Case((), ()), Case((2, 1), (3,))]


def _two(draw: Draw) -> Case:
    return draw(_SHAPES)


@elementwise(SCIPY + "gammainc", Function("P", "P", "incomplete gamma function"), domain=(POSITIVE, POSITIVE),
             traits=("bounded",), kink="x = 0: from the right, 0 to a")  # fmt: skip
def gammainc(a: Expr, x: Expr) -> Any:
    """By x the gamma density, by a an integral over it."""
    return _of_gammainc(a, x)


@elementwise(SCIPY + "gammaincc", Function("Q", "Q", "incomplete gamma function"), domain=(POSITIVE, POSITIVE),
             traits=("bounded",), kink="x = 0: from the right, 0 to a")  # fmt: skip
def gammaincc(a: Expr, x: Expr) -> Any:
    """1 − P."""
    return _minus(_of_gammainc(a, x))


@elementwise(SCIPY + "gammaincinv", Function("P⁻¹", "P^{-1}", "incomplete gamma function"), domain=(POSITIVE, UNIT),
             sample=_two, kink="y = 0 and y = 1: 0 to a, from inside to y")  # fmt: skip
def gammaincinv(a: Expr, y: Expr, *, out: Expr) -> Any:
    """P(a, x) = y, solved for x."""
    return _inverse(_of_gammainc(a, out), 1, 1, _within(y, 1))


@elementwise(SCIPY + "gammainccinv", Function("Q⁻¹", "Q^{-1}", "incomplete gamma function"), domain=(POSITIVE, UNIT),
             sample=_two, kink="y = 0 and y = 1: 0 to a, from inside to y")  # fmt: skip
def gammainccinv(a: Expr, y: Expr, *, out: Expr) -> Any:
    """Q(a, x) = y, solved for x."""
    return _inverse(_minus(_of_gammainc(a, out)), 1, 1, _within(y, 1))


def _chi_squared(v: Expr, x: Expr) -> Slopes:
    by_shape, by_x = _of_gammainc(v / 2, x / 2)
    return _scaled(by_shape, 0.5), _scaled(by_x, 0.5)


@elementwise(SCIPY + "chdtr", _named("chdtr"), domain=(POSITIVE, POSITIVE), sample=_two)
def chdtr(v: Expr, x: Expr) -> Any:
    """P(v/2, x/2)."""
    return _chi_squared(v, x)


@elementwise(SCIPY + "chdtrc", _named("chdtrc"), domain=(POSITIVE, POSITIVE), sample=_two)
def chdtrc(v: Expr, x: Expr) -> Any:
    """Q(v/2, x/2)."""
    return _minus(_chi_squared(v, x))


@elementwise(SCIPY + "chdtri", _named("chdtri"), domain=(POSITIVE, UNIT), sample=_two,
             kink="p = 0 and p = 1: 0 to v, from inside to p")  # fmt: skip
def chdtri(v: Expr, p: Expr, *, out: Expr) -> Any:
    """Q(v/2, x/2) = p, solved for x."""
    return _inverse(_minus(_chi_squared(v, out)), 1, 1, _within(p, 1))


@elementwise(SCIPY + "chdtriv", _named("chdtriv"), domain=(UNIT, POSITIVE), sample=_two)
def chdtriv(p: Expr, x: Expr, *, out: Expr) -> Any:
    """P(v/2, x/2) = p, solved for v."""
    return _inverse(_chi_squared(out, x), 0, 0)


def _gamma_distribution(a: Expr, b: Expr, x: Expr) -> Slopes:
    by_shape, density = _of_gammainc(b, a * x)
    return _scaled(density, x), by_shape, _scaled(density, a)


@elementwise(SCIPY + "gdtr", _named("gdtr"), domain=(POSITIVE, POSITIVE, POSITIVE), sample=_three)
def gdtr(a: Expr, b: Expr, x: Expr) -> Any:
    """P(b, a x)."""
    return _gamma_distribution(a, b, x)


@elementwise(SCIPY + "gdtrc", _named("gdtrc"), domain=(POSITIVE, POSITIVE, POSITIVE), sample=_three)
def gdtrc(a: Expr, b: Expr, x: Expr) -> Any:
    """Q(b, a x)."""
    return _minus(_gamma_distribution(a, b, x))


@elementwise(SCIPY + "gdtria", _named("gdtria"), domain=(UNIT, POSITIVE, POSITIVE), sample=_three)
def gdtria(p: Expr, b: Expr, x: Expr, *, out: Expr) -> Any:
    """P(b, a x) = p, solved for a."""
    return _inverse(_gamma_distribution(out, b, x), 0, 0)


@elementwise(SCIPY + "gdtrib", _named("gdtrib"), domain=(POSITIVE, UNIT, POSITIVE), sample=_three)
def gdtrib(a: Expr, p: Expr, x: Expr, *, out: Expr) -> Any:
    """P(b, a x) = p, solved for b."""
    return _inverse(_gamma_distribution(a, out, x), 1, 1)


@elementwise(SCIPY + "gdtrix", _named("gdtrix"), domain=(POSITIVE, POSITIVE, UNIT), sample=_three)
def gdtrix(a: Expr, b: Expr, p: Expr, *, out: Expr) -> Any:
    """P(b, a x) = p, solved for x."""
    return _inverse(_gamma_distribution(a, b, out), 2, 2)


@elementwise(SCIPY + "pdtr", _named("pdtr"), domain=(_POISSON, POSITIVE), sample=_two, traits=("piecewise",))
def pdtr(k: Expr, m: Expr) -> Any:
    """Q(⌊k⌋+1, m), which is constant between integers k."""
    return None, lambda: -gamma_density(floor(k) + 1, m)


@elementwise(SCIPY + "pdtrc", _named("pdtrc"), domain=(_POISSON, POSITIVE), sample=_two, traits=("piecewise",))
def pdtrc(k: Expr, m: Expr) -> Any:
    """P(⌊k⌋+1, m), which is constant between integers k."""
    return None, lambda: gamma_density(floor(k) + 1, m)


@elementwise(SCIPY + "pdtri", _named("pdtri"), domain=(_POISSON, UNIT), degrees=1,
             sample=lambda draw: Case(np.array([[2], [3]]), (3,)))  # fmt: skip
def pdtri(k: Expr, p: Expr, *, out: Expr) -> Any:
    """Q(k+1, m) = p, solved for m; k is an integer."""
    return None, lambda: -1 / gamma_density(like(k, p) + 1, out)


@elementwise(SCIPY + "pdtrik", _named("pdtrik"), domain=(UNIT, Interval(2.0, 5.0)), sample=_two)
def pdtrik(p: Expr, m: Expr, *, out: Expr) -> Any:
    """Q(k+1, m) = p, solved for k, which need not be an integer."""
    return _inverse(_minus(_of_gammainc(out + 1, m)), 0, 0)


# -- incomplete beta functions -----------------------------------------------------------------------------------------

_BETA = (POSITIVE, POSITIVE, UNIT)


@elementwise(SCIPY + "betainc", Function("I", "I", "incomplete beta function"), domain=_BETA, sample=_three,
             kink="x = 0 and x = 1: from inside, 0 to the shapes")  # fmt: skip
def betainc(a: Expr, b: Expr, x: Expr) -> Any:
    """By x the beta density, by the shapes integrals over it."""
    return _of_betainc(a, b, x)


@elementwise(SCIPY + "betaincc", Function("I", r"\bar I", "incomplete beta function"), domain=_BETA, sample=_three,
             kink="x = 0 and x = 1: from inside, 0 to the shapes")  # fmt: skip
def betaincc(a: Expr, b: Expr, x: Expr) -> Any:
    """1 − I."""
    return _minus(_of_betainc(a, b, x))


@elementwise(SCIPY + "betaincinv", Function("I⁻¹", "I^{-1}", "incomplete beta function"), domain=_BETA, sample=_three,
             kink="y = 0 and y = 1: 0 to the shapes, from inside to y")  # fmt: skip
def betaincinv(a: Expr, b: Expr, y: Expr, *, out: Expr) -> Any:
    """Iₓ(a, b) = y, solved for x."""
    return _inverse(_of_betainc(a, b, out), 2, 2, _within(y, 1))


@elementwise(SCIPY + "betainccinv", Function("betainccinv", r"\bar I^{-1}", "incomplete beta function"), domain=_BETA,
             sample=_three, kink="y = 0 and y = 1: 0 to the shapes, from inside to y")  # fmt: skip
def betainccinv(a: Expr, b: Expr, y: Expr, *, out: Expr) -> Any:
    """1 − Iₓ(a, b) = y, solved for x."""
    return _inverse(_minus(_of_betainc(a, b, out)), 2, 2, _within(y, 1))


@elementwise(SCIPY + "btdtria", _named("btdtria"), domain=(UNIT, POSITIVE, UNIT), sample=_three)
def btdtria(p: Expr, b: Expr, x: Expr, *, out: Expr) -> Any:
    """Iₓ(a, b) = p, solved for a."""
    return _inverse(_of_betainc(out, b, x), 0, 0)


@elementwise(SCIPY + "btdtrib", _named("btdtrib"), domain=(POSITIVE, UNIT, UNIT), sample=_three)
def btdtrib(a: Expr, p: Expr, x: Expr, *, out: Expr) -> Any:
    """Iₓ(a, b) = p, solved for b."""
    return _inverse(_of_betainc(a, out, x), 1, 1)


def _of_f(n: Expr, d: Expr, x: Expr) -> Slopes:
    """I_w(n/2, d/2) with w = nx/(d + nx)."""
    size = d + n * x
    by_a, by_b, density = _of_betainc(n / 2, d / 2, n * x / size)
    return (
        lambda: by_a() / 2 + density() * d * x / square(size),
        lambda: by_b() / 2 - density() * n * x / square(size),
        lambda: density() * n * d / square(size),
    )


@elementwise(SCIPY + "fdtr", _named("fdtr"), domain=(POSITIVE, POSITIVE, POSITIVE), sample=_three)
def fdtr(n: Expr, d: Expr, x: Expr) -> Any:
    """I_w(n/2, d/2) with w = nx/(d + nx)."""
    return _of_f(n, d, x)


@elementwise(SCIPY + "fdtrc", _named("fdtrc"), domain=(POSITIVE, POSITIVE, POSITIVE), sample=_three)
def fdtrc(n: Expr, d: Expr, x: Expr) -> Any:
    """1 − fdtr."""
    return _minus(_of_f(n, d, x))


@elementwise(SCIPY + "fdtri", _named("fdtri"), domain=(POSITIVE, POSITIVE, UNIT), sample=_three,
             kink="p = 0 and p = 1: 0 to the shapes, from inside to p")  # fmt: skip
def fdtri(n: Expr, d: Expr, p: Expr, *, out: Expr) -> Any:
    """fdtr(n, d, x) = p, solved for x."""
    return _inverse(_of_f(n, d, out), 2, 2, _within(p, 1))


@elementwise(SCIPY + "fdtridfd", _named("fdtridfd"), sample=_three,
             domain=(Interval(2.0, 3.0), Interval(0.5, 0.7), Interval(1.0, 2.0)))  # fmt: skip
def fdtridfd(n: Expr, p: Expr, x: Expr, *, out: Expr) -> Any:
    """fdtr(n, d, x) = p, solved for d."""
    return _inverse(_of_f(n, out, x), 1, 1)


def _of_t(v: Expr, t: Expr) -> Slopes:
    """½ + ½ sign(t) I_w(½, v/2) with w = t²/(v + t²); in w, shape and t move together: w_v/w_t = −t/(2v)."""

    def density() -> Any:
        return exp(log1p(square(t) / v) * (v + 1) * -0.5 - betaln(v / 2, 0.5)) / root(v)

    def by_v() -> Any:
        moved = betainc_by_shapes(0.5, v / 2, square(t) / (v + square(t)), orders=(0, 1))
        return sign(t) * moved / 4 - density() * t / (2 * v)

    return by_v, density


@elementwise(SCIPY + "stdtr", _named("stdtr"), domain=(POSITIVE, REAL), sample=_two)
def stdtr(v: Expr, t: Expr) -> Any:
    """By t Student's density; by the degrees of freedom v through the incomplete beta function."""
    return _of_t(v, t)


@elementwise(SCIPY + "stdtrit", _named("stdtrit"), domain=(POSITIVE, UNIT), sample=_two,
             kink="p = 0 and p = 1: 0 to v, from inside to p")  # fmt: skip
def stdtrit(v: Expr, p: Expr, *, out: Expr) -> Any:
    """stdtr(v, t) = p, solved for t."""
    return _inverse(_of_t(v, out), 1, 1, _within(p, 1))


@elementwise(SCIPY + "stdtridf", _named("stdtridf"), domain=(Interval(0.65, 0.75), Interval(1.5, 2.5)), sample=_two)
def stdtridf(p: Expr, t: Expr, *, out: Expr) -> Any:
    """stdtr(v, t) = p, solved for v."""
    return _inverse(_of_t(out, t), 0, 0)


_TRIALS = (REAL, REAL, UNIT)


def _counts(draw: Draw) -> Case:
    return Case(np.array([[2], [1]]), np.array([5, 6, 4]), (3,))


def _of_binomial(k: Expr, n: Expr, p: Expr) -> Expr:
    """I_p(k+1, n−k) by p, for integers 0 ≤ k < n; otherwise it is constant."""
    k, n = floor(like(k, p)), like(n, p)
    inside = logical_and(k >= 0, k < n)
    one = constant(1, p)
    found: Expr = beta_density(where(inside, k + 1, one), where(inside, n - k, one), p) * convert(inside, dtype=p.dtype)
    return found


@elementwise(SCIPY + "bdtr", _named("bdtr"), domain=_TRIALS, degrees=2, sample=_counts)
def bdtr(k: Expr, n: Expr, p: Expr) -> Any:
    """I_{1−p}(n−k, k+1), for integers."""
    return None, None, lambda: -_of_binomial(k, n, p)


@elementwise(SCIPY + "bdtrc", _named("bdtrc"), domain=_TRIALS, degrees=2, sample=_counts)
def bdtrc(k: Expr, n: Expr, p: Expr) -> Any:
    """I_p(k+1, n−k), for integers."""
    return None, None, lambda: _of_binomial(k, n, p)


@elementwise(SCIPY + "bdtri", _named("bdtri"), domain=_TRIALS, degrees=2, sample=_counts)
def bdtri(k: Expr, n: Expr, y: Expr, *, out: Expr) -> Any:
    """bdtr(k, n, p) = y, solved for p."""
    return None, None, lambda: -1 / _of_binomial(k, n, out)


def _of_negative_binomial(k: Expr, n: Expr, p: Expr) -> Expr:
    """I_p(n, k+1) by p, for integers."""
    found: Expr = beta_density(like(n, p), floor(like(k, p)) + 1, p)
    return found


@elementwise(SCIPY + "nbdtr", _named("nbdtr"), domain=_TRIALS, degrees=2, sample=_counts)
def nbdtr(k: Expr, n: Expr, p: Expr) -> Any:
    """I_p(n, k+1), for integers."""
    return None, None, lambda: _of_negative_binomial(k, n, p)


@elementwise(SCIPY + "nbdtrc", _named("nbdtrc"), domain=_TRIALS, degrees=2, sample=_counts)
def nbdtrc(k: Expr, n: Expr, p: Expr) -> Any:
    """I_{1−p}(k+1, n), for integers."""
    return None, None, lambda: -_of_negative_binomial(k, n, p)


@elementwise(SCIPY + "nbdtri", _named("nbdtri"), domain=_TRIALS, degrees=2, sample=_counts)
def nbdtri(k: Expr, n: Expr, y: Expr, *, out: Expr) -> Any:
    """nbdtr(k, n, p) = y, solved for p."""
    return None, None, lambda: 1 / _of_negative_binomial(k, n, out)


# -- normal distributions ----------------------------------------------------------------------------------------------


@elementwise(SCIPY + "nrdtrimn", _named("nrdtrimn"), domain=(UNIT, POSITIVE, REAL), sample=_three)
def nrdtrimn(p: Expr, std: Expr, x: Expr) -> Any:
    """Φ((x − μ)/σ) = p, solved for μ."""
    z = ndtri(p)
    return lambda: -std * ndtri.body(p, out=z), lambda: -z, lambda: 1


@elementwise(
    SCIPY + "nrdtrisd", _named("nrdtrisd"), sample=_three, domain=(REAL, Interval(0.5, 1.0), Interval(3.0, 5.0))
)
def nrdtrisd(mean: Expr, p: Expr, x: Expr, *, out: Expr) -> Any:
    """Φ((x − μ)/σ) = p, solved for σ."""
    z = ndtri(p)
    return lambda: -1 / z, lambda: -out / z * ndtri.body(p, out=z), lambda: 1 / z
