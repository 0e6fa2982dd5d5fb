"""Elementwise special functions of SciPy: error functions, gamma functions, powers and logarithms.

A hop whose value is named "scipy.special:name" *is* that ufunc of SciPy, which is imported when one is first computed.
Where no other source is named, the derivatives are those of the NIST Digital Library of Mathematical Functions (DLMF).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from math import factorial, pi, sqrt
from math import log as ln
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import COMPLEX, POSITIVE, REAL, Case, Elementwise, Function, Interval, Notation, On, elementwise
from hopgrad.graph.operators import broadcast_to
from hopgrad.hops.elementwise import (
    absolute,
    cartesian,
    constant_power,
    convert,
    cos,
    exp,
    hypot,
    imag,
    log,
    log1p,
    logical_and,
    power,
    real,
    real_part,
    sign,
    sin,
    where,
)
from hopgrad.hops.surface import refused

SCIPY = "scipy.special:"

UNIT = Interval(0.0, 1.0)

Definition = Callable[[Callable[..., Any]], Elementwise]
"""What makes a hop of a body."""


def square(x: Any) -> Any:
    """x², of handles and of arrays."""
    return constant_power(x, exponent=2)


def no_slope(name: str, what: str) -> Any:
    """The factor of an operand by which SciPy has no function for the derivative: a refusal, if it is asked for."""

    def refuse() -> Any:
        raise refused(f"the derivative of scipy.special.{name} by {what}", "let it be a constant")

    return refuse


def like(n: Expr, x: Expr) -> Expr:
    """An order, a degree or a count in the dtype of x."""
    return n if n.dtype == x.dtype else convert(n, dtype=x.dtype)


def constant(value: float, x: Expr) -> Expr:
    """A number in the dtype of x."""
    return x.builder.constant(value, x.dtype)


def one_result(name: str, number: int) -> Callable[..., Any]:
    """The function that computes one of the results of a ufunc that has several."""

    def value(*operands: Any) -> Any:
        return np.asarray(getattr(import_module("scipy.special"), name)(*operands)[number])[()]

    return value


def in_blocks(integral: Callable[..., Any], valid: Callable[..., Any], *operands: Any) -> Any:
    """Integrals for all elements, some at a time, since each takes a row of nodes; where not `valid`, its 0 or NaN."""
    dtype = np.result_type(*operands)
    wide = np.broadcast_arrays(*[np.asarray(v, float) for v in operands])
    flat = [v.ravel() for v in wide]
    with np.errstate(all="ignore"):
        found = valid(*flat)
        places = np.flatnonzero(found == 1)
        for some in np.array_split(places, 1 + places.size // 2048) if places.size else []:
            found[some] = integral(*[v[some, None] for v in flat])
    return found.reshape(wide[0].shape).astype(dtype)[()]


def marked(inside: Any, outside: Any) -> Any:
    """1 where there is something to integrate, 0 where the result is 0, else NaN."""
    return np.where(inside, 1.0, np.where(outside, 0.0, np.nan))


def word(name: str) -> Notation:
    """Written by its name in SciPy, which is as known as any symbol."""
    return Function(name, rf"\operatorname{{{name.replace('_', chr(92) + '_')}}}")


# -- error functions ---------------------------------------------------------------------------------------------------


@elementwise(SCIPY + "erf", Function("erf", r"\operatorname{erf}", "error function"), traits=("odd", "bounded"),
             lowering="erf(x)")  # fmt: skip
def erf(x: Expr) -> Any:
    """The Gaussian under the integral."""
    return (2 / sqrt(pi)) * exp(-constant_power(x, exponent=2))


@elementwise(SCIPY + "erfc", Function("erfc", r"\operatorname{erfc}", "error function"), traits=("bounded",),
             lowering="erfc(x)")  # fmt: skip
def erfc(x: Expr) -> Any:
    """1 − erf."""
    return (-2 / sqrt(pi)) * exp(-constant_power(x, exponent=2))


@elementwise(SCIPY + "erfi", Function("erfi", r"\operatorname{erfi}", "error function"), traits=("odd",))
def erfi(x: Expr) -> Any:
    """erfi x = −i erf(ix)."""
    return (2 / sqrt(pi)) * exp(square(x))


def _of_far(x: Expr, turn: int) -> Expr:
    """Σ (±1)^k (2k−1)!!/(2x²)^k from k = 1 on (DLMF 7.12.1), for |x| > 50, where six terms are all that counts."""
    t = turn / (2 * square(x))
    found: Any = 0.0
    for k in range(6, 0, -1):
        found = (2 * k - 1) * t * (1 + found)
    return found


@elementwise(SCIPY + "erfcx", Function("erfcx", r"\operatorname{erfcx}", "error function"))
def erfcx(x: Expr, *, out: Expr) -> Any:
    """From exp(x²) erfc x. For large x its two terms cancel, but for their asymptotic series."""
    near = 2 * x * out - 2 / sqrt(pi)
    return near if x.dtype.kind == "c" else where(x > 50, (2 / sqrt(pi)) * _of_far(x, -1), near)


@elementwise(SCIPY + "dawsn", Function("D", "D", "Dawson's integral"), traits=("odd", "bounded"))
def dawsn(x: Expr, *, out: Expr) -> Any:
    """From exp(−x²) times the integral of exp(t²). For large x the terms cancel, but for their asymptotic series."""
    near = 1 - 2 * x * out
    return near if x.dtype.kind == "c" else where(absolute(x) > 50, -_of_far(x, 1), near)


@elementwise(SCIPY + "wofz", Function("w", "w", "Faddeeva function"), domain=(COMPLEX,),
             traits=("bounded",))  # fmt: skip
def wofz(z: Expr) -> Any:
    """DLMF 7.10.2; far out in the upper half plane its two terms cancel, but for their asymptotic series."""
    far = logical_and(imag(z) >= 0, absolute(real(z)) + imag(z) > 70)
    return where(far, (-2j / sqrt(pi)) * _of_far(z, 1), (2j / sqrt(pi)) - 2 * z * wofz(z))


@elementwise(SCIPY + "erfinv", Function("erf⁻¹", r"\operatorname{erf}^{-1}", "error function"),
             domain=(Interval(-1.0, 1.0),), traits=("odd",), kink="at ±1: ∞, from inside")  # fmt: skip
def erfinv(x: Expr, *, out: Expr) -> Any:
    """One over the error function's derivative."""
    return (sqrt(pi) / 2) * exp(square(out))


@elementwise(SCIPY + "erfcinv", Function("erfc⁻¹", r"\operatorname{erfc}^{-1}", "error function"),
             domain=(Interval(0.0, 2.0),), kink="at 0 and 2: −∞, from inside")  # fmt: skip
def erfcinv(x: Expr, *, out: Expr) -> Any:
    """One over the complementary error function's derivative."""
    return (-sqrt(pi) / 2) * exp(square(out))


@elementwise(SCIPY + "ndtr", Function("Φ", r"\Phi", "normal distribution"), traits=("bounded",))
def ndtr(x: Expr) -> Any:
    """The normal density."""
    return exp(-square(x) / 2) * (1 / sqrt(2 * pi))


@elementwise(SCIPY + "log_ndtr", Function("log Φ", r"\log\Phi", "normal distribution"))
def log_ndtr(x: Expr) -> Any:
    """The density divided by Φ, both times exp(x²/2): neither underflows in the left tail."""
    return sqrt(2 / pi) / erfcx(x * -sqrt(0.5))


@elementwise(SCIPY + "ndtri", Function("Φ⁻¹", r"\Phi^{-1}", "normal distribution"), domain=(UNIT,),
             kink="at 0 and 1: ∞, from inside")  # fmt: skip
def ndtri(x: Expr, *, out: Expr) -> Any:
    """One over the normal density."""
    return sqrt(2 * pi) * exp(square(out) / 2)


@elementwise(SCIPY + "ndtri_exp", Function("ndtri_exp", r"\operatorname{ndtri\_exp}", "normal distribution"),
             domain=(Interval(-np.inf, 0.0),), kink="at 0: ∞, from inside")  # fmt: skip
def ndtri_exp(x: Expr, *, out: Expr) -> Any:
    """It inverts log Φ."""
    return sqrt(pi / 2) * erfcx(out * -sqrt(0.5))


@elementwise(SCIPY + "owens_t", Function("T", "T", "Owen's T"), domain=(REAL, REAL), traits=("bounded",))
def owens_t(h: Expr, a: Expr) -> Any:
    """Owen, Tables for computing bivariate normal probabilities, 1956: by h the integral is an error function."""
    width = 1 + square(a)
    return (
        lambda: erf(a * h * sqrt(0.5)) * exp(-square(h) / 2) * (-1 / (2 * sqrt(2 * pi))),
        lambda: exp(-square(h) * width / 2) / (2 * pi * width),
    )


@elementwise(SCIPY + "voigt_profile", Function("V", "V", "Voigt profile"), domain=(REAL, POSITIVE, POSITIVE),
             sample=lambda draw: draw([Case((), (), ()), Case((2, 1), (3,), ())]),
             kink="σ = 0: NaN")  # fmt: skip
def voigt_profile(x: Expr, sigma: Expr, gamma: Expr, *, out: Expr) -> Any:
    """V = Re w(z) / (σ √(2π)) with z = (x + iγ)/(σ √2); by σ from V's being homogeneous of degree −1."""

    def slope(part: Any) -> Expr:
        shape = out.shape
        spread = broadcast_to(sigma, shape)
        z = cartesian(broadcast_to(x, shape) / spread * sqrt(0.5), broadcast_to(gamma, shape) / spread * sqrt(0.5))
        found: Expr = part(wofz.body(z)) / (2 * sqrt(pi)) / square(spread)
        return found

    return (
        lambda: slope(real),
        lambda: -(out + x * slope(real) - gamma * slope(imag)) / sigma,
        lambda: -slope(imag),
    )


# -- logistic functions ------------------------------------------------------------------------------------------------


@elementwise(SCIPY + "expit", Function("σ", r"\sigma", "logistic function"), traits=("bounded",),
             lowering="e = exp(-fabs(x)); r = 1 / (1 + e); select(x < 0, e * r, r)")  # fmt: skip
def expit(x: Expr, *, out: Expr) -> Any:
    """σ(x) σ(−x) rather than σ (1 − σ), which loses all digits for large x."""
    return out * expit(-x)


@elementwise(SCIPY + "logit", Function("logit", r"\operatorname{logit}", "log odds"), domain=(Interval(0.0, 1.0),),
             kink="at 0 and 1: ∞, from inside",
             lowering="d = 2 * (x - 0.5); select(fabs(d) < 0.4, log1p(d) - log1p(-d), log(x / (1 - x)))")  # fmt: skip
def logit(x: Expr) -> Any:
    """From log x − log(1 − x)."""
    return 1 / (x * (1 - x))


@elementwise(SCIPY + "log_expit", Function("log σ", r"\log\sigma", "log of the logistic function"),
             lowering="minimum(x, 0) - log1p(exp(-fabs(x)))")  # fmt: skip
def log_expit(x: Expr) -> Any:
    """1 − σ(x), written without the cancellation."""
    return expit(-x)


# -- gamma functions ---------------------------------------------------------------------------------------------------


@elementwise(SCIPY + "gammaln", Function("ln Γ", r"\ln\Gamma", "log gamma"), domain=(POSITIVE,),
             lowering="lgamma(x)")  # fmt: skip
def gammaln(x: Expr) -> Any:
    """The digamma function, by definition."""
    return digamma(x)


@elementwise(SCIPY + "gamma", Function("Γ", r"\Gamma", "gamma"), domain=(POSITIVE,),
             kink="at 0, −1, −2, …: NaN", lowering="tgamma(x)")  # fmt: skip
def gamma(x: Expr, *, out: Expr) -> Any:
    """The derivative of its logarithm, times itself."""
    return out * digamma(x)


@elementwise(SCIPY + "digamma", Function("ψ", r"\psi", "digamma"), domain=(POSITIVE,))
def digamma(x: Expr) -> Any:
    """The trigamma function, by definition."""
    return polygamma(x, order=1)


_BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330]
"""B₂, B₄, … B₂₀."""


def _polygamma(x: Any, *, order: int) -> Any:
    if np.iscomplexobj(x):
        return _polygamma_of_complex(np.asarray(x, complex), order).astype(np.asarray(x).dtype)
    from scipy.special import polygamma as function

    return np.asarray(function(order, x)).astype(np.asarray(x).dtype)


def _polygamma_of_complex(z: Any, order: int) -> Any:
    """By the recurrence (DLMF 5.15.5) to where Re z > 16, and there the asymptotic series (5.15.8)."""
    steps = np.where(np.isfinite(z), np.ceil(np.maximum(16 - z.real, 0)), 0)
    below = np.zeros_like(z)
    for k in range(int(min(np.max(steps, initial=0), 10_000))):
        below += np.where(k < steps, (z + k) ** (-order - 1.0), 0)
    z = z + np.where(steps > 10_000, np.nan, steps)
    total = factorial(order - 1) / z**order + factorial(order) / (2 * z ** (order + 1))
    for k, number in enumerate(_BERNOULLI, 1):
        total += number * (factorial(2 * k + order - 1) / factorial(2 * k)) / z ** (2 * k + order)
    return (-1) ** (order + 1) * (total + factorial(order) * below)


@elementwise(_polygamma, Function("ψ⁽ⁿ⁾", r"\psi^{(n)}", "polygamma"), domain=(POSITIVE,),
             sample=lambda draw: Case(order=draw([1, 2])))  # fmt: skip
def polygamma(x: Expr, *, order: int) -> Any:
    """The next of the family, by definition."""
    return polygamma(x, order=order + 1)


@elementwise(SCIPY + "loggamma", Function("ln Γ", r"\ln\Gamma", "log gamma"), domain=(POSITIVE,))
def loggamma(x: Expr) -> Any:
    """The digamma function, by definition."""
    return digamma(x)


@elementwise(SCIPY + "rgamma", Function("1/Γ", r"1/\Gamma", "gamma"), domain=(Interval(-2.4, 2.4),))
def rgamma(x: Expr, *, out: Expr) -> Any:
    """−ψ/Γ; to the left by the reflection formula (DLMF 5.5.3), to which the zeros at Γ's poles are nothing special."""
    turned = pi * x
    left = gamma(1 - x) * (cos(turned) - sin(turned) * digamma(1 - x) / pi)
    return where(real_part(x) < 0.5, left, -out * digamma(x))


def _gammasgn_body(x: Expr) -> None:
    """Constant between the poles, so the derivative is 0."""


gammasgn = elementwise(SCIPY + "gammasgn", word("gammasgn"), traits=("flat", "bounded"))(_gammasgn_body)


@elementwise(SCIPY + "beta", Function("B", r"\mathrm{B}", "beta"), domain=(POSITIVE, POSITIVE),
             traits=("commutative",), kink="at poles of Γ: NaN")  # fmt: skip
def beta(a: Expr, b: Expr, *, out: Expr) -> Any:
    """From Γ(a) Γ(b) / Γ(a+b)."""
    return lambda: out * (digamma(a) - digamma(a + b)), lambda: out * (digamma(b) - digamma(a + b))


@elementwise(SCIPY + "betaln", Function("ln B", r"\ln\mathrm{B}", "beta"), domain=(POSITIVE, POSITIVE),
             traits=("commutative",), kink="at poles of Γ: NaN")  # fmt: skip
def betaln(a: Expr, b: Expr) -> Any:
    """The derivative of ln Γ(a) + ln Γ(b) − ln Γ(a+b)."""
    return lambda: digamma(a) - digamma(a + b), lambda: digamma(b) - digamma(a + b)


@elementwise(SCIPY + "poch", Function("poch", r"\operatorname{poch}", "Pochhammer's symbol"),
             domain=(POSITIVE, POSITIVE), kink="at poles of Γ: NaN")  # fmt: skip
def poch(a: Expr, m: Expr, *, out: Expr) -> Any:
    """From Γ(a+m) / Γ(a)."""
    return lambda: out * (digamma(a + m) - digamma(a)), lambda: out * digamma(a + m)


@elementwise(SCIPY + "binom", Function("binom", r"\operatorname{binom}", "binomial coefficient"),
             domain=(Interval(2.0, 5.0), Interval(0.0, 2.0)), kink="at poles of Γ: NaN")  # fmt: skip
def binom(n: Expr, k: Expr, *, out: Expr) -> Any:
    """From Γ(n+1) / (Γ(k+1) Γ(n−k+1))."""
    return (
        lambda: out * (digamma(n + 1) - digamma(n - k + 1)),
        lambda: out * (digamma(n - k + 1) - digamma(k + 1)),
    )


# -- powers and logarithms ---------------------------------------------------------------------------------------------


@elementwise(SCIPY + "xlogy", Function("xlogy", r"\operatorname{xlogy}"), domain=(REAL, POSITIVE),
             kink="x = 0: 0 to y, since 0 log y is constant",
             lowering="select((a == 0) & ~isnan(b), 0, a * log(b))")  # fmt: skip
def xlogy(x: Expr, y: Expr) -> Any:
    """The product rule; x/y is masked where x = 0, so that 0 log 0 stays flat in y."""
    return lambda: log(y), lambda: On(x != 0, x / y)


@elementwise(SCIPY + "xlog1py", Function("xlog1py", r"\operatorname{xlog1py}"), domain=(REAL, POSITIVE),
             kink="x = 0: 0 to y", lowering="select((a == 0) & ~isnan(b), 0, a * log1p(b))")  # fmt: skip
def xlog1py(x: Expr, y: Expr) -> Any:
    """The product rule, masked as in xlogy."""
    return lambda: log1p(y), lambda: On(x != 0, x / (1 + y))


@elementwise(SCIPY + "exp10", Notation("exp", "exp10", "10^", rule="exponential"), growth=lambda x: ln(10))
def exp10(x: Expr, *, out: Expr) -> Any:
    """The exponential of x ln 10."""
    return out * ln(10)


@elementwise(SCIPY + "powm1", word("powm1"), domain=(POSITIVE, REAL))
def powm1(x: Expr, y: Expr) -> Any:
    """As of a power: the 1 that is subtracted does not change."""
    return power.body(x, y, out=power(x, y))


@elementwise(SCIPY + "cosm1", word("cosm1"), traits=("even", "bounded"))
def cosm1(x: Expr) -> Any:
    """As of a cosine: the 1 that is subtracted does not change."""
    return -sin(x)


DEGREE = pi / 180


@elementwise(SCIPY + "sindg", word("sindg"), traits=("odd", "bounded"))
def sindg(x: Expr) -> Any:
    """As of a sine, in degrees."""
    return DEGREE * cosdg(x)


@elementwise(SCIPY + "cosdg", word("cosdg"), traits=("even", "bounded"))
def cosdg(x: Expr) -> Any:
    """As of a cosine, in degrees."""
    return -DEGREE * sindg(x)


@elementwise(SCIPY + "tandg", word("tandg"), traits=("odd", "bounded"))
def tandg(x: Expr, *, out: Expr) -> Any:
    """As of a tangent, in degrees."""
    return DEGREE * (1 + square(out))


@elementwise(SCIPY + "cotdg", word("cotdg"), domain=(Interval(10.0, 170.0),))
def cotdg(x: Expr, *, out: Expr) -> Any:
    """As of a cotangent, in degrees."""
    return -DEGREE * (1 + square(out))


@elementwise(SCIPY + "radian", word("radian"), domain=(REAL, REAL, REAL), sample=lambda draw: Case((2, 1), (3,), ()))
def radian(d: Expr, m: Expr, s: Expr) -> Any:
    """Degrees, minutes of arc and seconds of arc, each linear."""
    return DEGREE, DEGREE / 60, DEGREE / 3600


# -- entropies and losses ----------------------------------------------------------------------------------------------


@elementwise(SCIPY + "entr", word("entr"), domain=(POSITIVE,), kink="at 0: ∞, from the right")
def entr(x: Expr) -> Any:
    """From −x log x."""
    return -log(x) - 1


@elementwise(SCIPY + "rel_entr", Function("rel_entr", r"\operatorname{rel\_entr}"), domain=(POSITIVE, POSITIVE),
             kink="x = 0: −∞ to x, from the right")  # fmt: skip
def rel_entr(x: Expr, y: Expr) -> Any:
    """From x log(x/y)."""
    return lambda: log(x / y) + 1, lambda: -x / y


@elementwise(SCIPY + "kl_div", word("kl_div"), domain=(POSITIVE, POSITIVE),
             kink="x = 0: −∞ to x, from the right")  # fmt: skip
def kl_div(x: Expr, y: Expr) -> Any:
    """From x log(x/y) − x + y."""
    return lambda: log(x / y), lambda: 1 - x / y


@elementwise(SCIPY + "huber", word("huber"), domain=(POSITIVE, REAL), traits=("piecewise",))
def huber(delta: Expr, r: Expr) -> Any:
    """A parabola up to |r| = δ, a line beyond; both agree there in value and slope."""
    size = absolute(r)
    inside = size <= delta
    return lambda: where(inside, constant(0, r), size - delta), lambda: where(inside, r, delta * sign(r))


@elementwise(SCIPY + "pseudo_huber", word("pseudo_huber"), domain=(POSITIVE, REAL))
def pseudo_huber(delta: Expr, r: Expr) -> Any:
    """δ² (h − 1) with h = hypot(1, r/δ); by δ written without the cancellation for small r."""
    u = r / delta
    h = hypot(constant(1, u), u)
    return lambda: delta * square(square(u) / (h + 1)) / h, lambda: r / h
