"""Hypergeometric functions, orthogonal polynomials, elliptic and exponential integrals, zeta, and what is made of them.

By the argument the derivatives are those of the NIST Digital Library of Mathematical Functions (DLMF). By the
parameters of hypergeometric functions and by degrees there are none here: these must be constants.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log as ln
from math import pi
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import COMPLEX, POSITIVE, REAL, Case, Elementwise, Function, Interval, On, elementwise
from hopgrad.hops.bessel import spherical_in, spherical_jn
from hopgrad.hops.elementwise import absolute, cos, cosh, exp, floor, log, log1p, parts_of, power, sin, where
from hopgrad.hops.elementwise import sqrt as root
from hopgrad.hops.special import (
    SCIPY,
    UNIT,
    Definition,
    constant,
    digamma,
    gamma,
    in_blocks,
    like,
    marked,
    no_slope,
    one_result,
    square,
    word,
)
from hopgrad.hops.surface import hops_of_results

Array = np.ndarray[Any, Any]

# -- hypergeometric functions ------------------------------------------------------------------------------------------


def _parameters(name: str, count: int) -> tuple[Callable[[], Any], ...]:
    return (no_slope(name, "its parameters"),) * count


@elementwise(SCIPY + "hyp0f1", Function("₀F₁", "{}_0F_1", "hypergeometric function"), domain=(REAL, REAL), degrees=1,
             sample=lambda draw: Case(np.array([[1], [2]]), (3,)))  # fmt: skip
def hyp0f1(v: Expr, z: Expr) -> Any:
    """DLMF 16.3.1."""
    return *_parameters("hyp0f1", 1), lambda: hyp0f1(v + 1, z) / like(v, z)


@elementwise(SCIPY + "hyp1f1", Function("₁F₁", "{}_1F_1", "hypergeometric function"), domain=(REAL,) * 3, degrees=2,
             sample=lambda draw: Case(np.array([[1], [2]]), np.array([3, 2, 5]), (3,)))  # fmt: skip
def hyp1f1(a: Expr, b: Expr, z: Expr) -> Any:
    """DLMF 13.3.15."""
    return *_parameters("hyp1f1", 2), lambda: hyp1f1(a + 1, b + 1, z) * (like(a, z) / like(b, z))


@elementwise(SCIPY + "hyp2f1", Function("₂F₁", "{}_2F_1", "hypergeometric function"),
             domain=(REAL, REAL, REAL, Interval(-0.9, 0.9)), degrees=3,
             sample=lambda draw: Case(np.array([[1], [2]]), np.array([3]), np.array([3, 4, 5]), (3,)))  # fmt: skip
def hyp2f1(a: Expr, b: Expr, c: Expr, z: Expr) -> Any:
    """DLMF 15.5.1."""
    factor = like(a, z) * like(b, z) / like(c, z)
    return *_parameters("hyp2f1", 3), lambda: hyp2f1(a + 1, b + 1, c + 1, z) * factor


@elementwise(SCIPY + "hyperu", Function("U", "U", "hypergeometric function"), domain=(REAL, REAL, POSITIVE), degrees=2,
             sample=lambda draw: Case(np.array([[1], [2]]), np.array([3, 2, 1]), (3,)))  # fmt: skip
def hyperu(a: Expr, b: Expr, z: Expr) -> Any:
    """DLMF 13.3.22."""
    return *_parameters("hyperu", 2), lambda: hyperu(a + 1, b + 1, z) * -like(a, z)


@elementwise(SCIPY + "exprel", word("exprel"))
def exprel(x: Expr) -> Any:
    """From (exp x − 1)/x; near 0 as 1F1(2; 3; x)/2 (DLMF 13.6.5), without a quotient 0/0."""
    near = absolute(x) < 1
    small, away = where(near, x, constant(0, x)), where(near, constant(1, x), x)
    return where(near, hyp1f1(2.0, 3.0, small) / 2, (exp(away) * (away - 1) + 1) / square(away))


def _box_cox(logarithm: Expr, power: Expr) -> Expr:
    """By λ: boxcox is L exprel(λL), where L is the logarithm."""
    found: Expr = square(logarithm) * exprel.body(power * logarithm)
    return found


@elementwise(SCIPY + "boxcox", word("boxcox"), domain=(POSITIVE, REAL), kink="x = 0: NaN to λ")
def boxcox(x: Expr, p: Expr) -> Any:
    """From (x^λ − 1)/λ, which is log x at λ = 0."""
    return lambda: power(x, p - 1), lambda: _box_cox(log(x), p)


@elementwise(SCIPY + "boxcox1p", word("boxcox1p"), domain=(POSITIVE, REAL), kink="x = −1: NaN to λ")
def boxcox1p(x: Expr, p: Expr) -> Any:
    """As boxcox, of 1 + x."""
    return lambda: exp((p - 1) * log1p(x)), lambda: _box_cox(log1p(x), p)


def _inverse_box_cox(y: Expr, p: Expr, out: Expr) -> Any:
    """By λ: the logarithm is y g(λy) with g(u) = log(1+u)/u = 2F1(1, 1; 2; −u)."""
    u = p * y
    near = absolute(u) < 0.5
    small = hyp2f1(2.0, 2.0, 3.0, -where(near, u, constant(0, u))) * -0.5
    away = where(near, constant(1, u), u)
    slope = where(near, small, (1 / (1 + u) - log1p(away) / away) / away)
    return lambda: out / (1 + u), lambda: out * square(y) * slope


@elementwise(SCIPY + "inv_boxcox", word("inv_boxcox"), domain=(Interval(-0.3, 1.0), Interval(-0.5, 1.0)))
def inv_boxcox(y: Expr, p: Expr, *, out: Expr) -> Any:
    """From (1 + λy)^(1/λ), which is exp y at λ = 0."""
    return _inverse_box_cox(y, p, out)


@elementwise(SCIPY + "inv_boxcox1p", word("inv_boxcox1p"), domain=(Interval(-0.3, 1.0), Interval(-0.5, 1.0)))
def inv_boxcox1p(y: Expr, p: Expr, *, out: Expr) -> Any:
    """As inv_boxcox, less 1."""
    return _inverse_box_cox(y, p, out + 1)


# -- orthogonal polynomials --------------------------------------------------------------------------------------------


def _polynomial(name: str, symbol: str, tex: str, parameters: int = 0, domain: Interval = REAL) -> Definition:
    shapes = [np.array([2])] * parameters

    def decorate(body: Callable[..., Any]) -> Elementwise:
        """The body gives the factor by the argument, from the degree and one less; at degree 0 it is 0."""

        def local(*operands: Expr) -> Any:
            degree, *rest = operands

            def slope() -> On:
                lower = where(degree == 0, constant(1, degree), degree) - 1
                return On(degree != 0, body(degree, lower, *rest))

            return *[no_slope(name, "its degree or parameters")] * (parameters + 1), slope

        local.__name__, local.__module__, local.__doc__ = body.__name__, body.__module__, body.__doc__
        notation = Function(symbol, tex, "orthogonal polynomial")
        return elementwise(SCIPY + name, notation, domain=(*[REAL] * (parameters + 1), domain), degrees=parameters + 1,
                           sample=lambda draw: Case(np.array([[0], [1], [4]]), *shapes, (2,)))(local)  # fmt: skip

    return decorate


def _real(value: float, x: Expr) -> Expr:
    """A parameter of a polynomial, which is real where x is complex."""
    return x.builder.constant(value, parts_of(x.dtype))


@_polynomial("eval_legendre", "P", "P")
def eval_legendre(n: Expr, lower: Expr, x: Expr) -> Any:
    """DLMF 18.9.19, as of a Gegenbauer polynomial with α = ½."""
    return eval_gegenbauer(lower, _real(1.5, x), x)


@_polynomial("eval_chebyt", "T", "T")
def eval_chebyt(n: Expr, lower: Expr, x: Expr) -> Any:
    """DLMF 18.9.21."""
    return like(n, x) * eval_chebyu(lower, x)


@_polynomial("eval_chebyu", "U", "U")
def eval_chebyu(n: Expr, lower: Expr, x: Expr) -> Any:
    """DLMF 18.9.19, as of a Gegenbauer polynomial with α = 1."""
    return 2 * eval_gegenbauer(lower, _real(2, x), x)


@_polynomial("eval_chebyc", "C", "C")
def eval_chebyc(n: Expr, lower: Expr, x: Expr) -> Any:
    """2 T(x/2)."""
    return like(n, x) * eval_chebyu(lower, x / 2)


@_polynomial("eval_chebys", "S", "S")
def eval_chebys(n: Expr, lower: Expr, x: Expr) -> Any:
    """U(x/2)."""
    return eval_gegenbauer(lower, _real(2, x), x / 2)


@_polynomial("eval_sh_legendre", "P*", "P^*")
def eval_sh_legendre(n: Expr, lower: Expr, x: Expr) -> Any:
    """P(2x − 1)."""
    return 2 * eval_gegenbauer(lower, _real(1.5, x), 2 * x - 1)


@_polynomial("eval_sh_chebyt", "T*", "T^*")
def eval_sh_chebyt(n: Expr, lower: Expr, x: Expr) -> Any:
    """T(2x − 1)."""
    return 2 * like(n, x) * eval_chebyu(lower, 2 * x - 1)


@_polynomial("eval_sh_chebyu", "U*", "U^*")
def eval_sh_chebyu(n: Expr, lower: Expr, x: Expr) -> Any:
    """U(2x − 1)."""
    return 4 * eval_gegenbauer(lower, _real(2, x), 2 * x - 1)


@_polynomial("eval_gegenbauer", "C", "C", 1)
def eval_gegenbauer(n: Expr, lower: Expr, alpha: Expr, x: Expr) -> Any:
    """DLMF 18.9.19."""
    return 2 * like(alpha, x) * eval_gegenbauer(lower, alpha + 1, x)


@_polynomial("eval_jacobi", "P", "P", 2)
def eval_jacobi(n: Expr, lower: Expr, alpha: Expr, beta: Expr, x: Expr) -> Any:
    """DLMF 18.9.15."""
    factor = (like(n, x) + like(alpha, x) + like(beta, x) + 1) / 2
    return factor * eval_jacobi(lower, alpha + 1, beta + 1, x)


@_polynomial("eval_sh_jacobi", "G", "G", 2)
def eval_sh_jacobi(n: Expr, lower: Expr, p: Expr, q: Expr, x: Expr) -> Any:
    """P(2x − 1) with α = p − q and β = q − 1, made monic: G_n′ = n G_{n−1} with p + 2 and q + 1 (DLMF 18.9.15)."""
    return like(n, x) * eval_sh_jacobi(lower, p + 2, q + 1, x)


@_polynomial("eval_hermite", "H", "H")
def eval_hermite(n: Expr, lower: Expr, x: Expr) -> Any:
    """DLMF 18.9.25."""
    return 2 * like(n, x) * eval_hermite(lower, x)


@_polynomial("eval_hermitenorm", "He", r"\mathit{He}")
def eval_hermitenorm(n: Expr, lower: Expr, x: Expr) -> Any:
    """DLMF 18.9.27."""
    return like(n, x) * eval_hermitenorm(lower, x)


@_polynomial("eval_laguerre", "L", "L")
def eval_laguerre(n: Expr, lower: Expr, x: Expr) -> Any:
    """DLMF 18.9.23."""
    return -eval_genlaguerre(lower, _real(1, x), x)


@_polynomial("eval_genlaguerre", "L", "L", 1)
def eval_genlaguerre(n: Expr, lower: Expr, alpha: Expr, x: Expr) -> Any:
    """DLMF 18.9.23."""
    return -eval_genlaguerre(lower, alpha + 1, x)


@elementwise(SCIPY + "lpmv", Function("P", "P", "associated Legendre function"), domain=(REAL, REAL, UNIT), degrees=2,
             sample=lambda draw: Case(np.array([[0], [1]]), np.array([2]), (3,)), kink="x = ±1: NaN")  # fmt: skip
def lpmv(m: Expr, v: Expr, x: Expr, *, out: Expr) -> Any:
    """DLMF 14.10.5."""
    order, degree = like(m, x), like(v, x)

    def slope() -> Any:
        return ((order + degree) * lpmv(m, v - 1, x) - degree * x * out) / (1 - square(x))

    return *[no_slope("lpmv", "its order or degree")] * 2, slope


# -- elliptic integrals ------------------------------------------------------------------------------------------------


def _carlson(*z: Any, halves: tuple[int, ...], weight: int) -> Any:
    """∫ t^(c−1) Π (t + z_j)^(−b_j) dt over t > 0, over s = log t by the trapezoidal rule; halves are 2b_j, weight is c.

    Trefethen and Weideman, The exponentially convergent trapezoidal rule, 2014: the poles lie π off the real axis.
    """
    exponents = [half / 2 for half in halves]
    total = sum(exponents)

    def integral(*z: Array) -> Array:
        least = np.min([np.where(v > 0, v, np.inf) for v in z], 0)
        most = np.max(z, 0)
        # Where an argument is 0, or as for all t → ∞, the integrand falls as some power only.
        bare = weight - sum(np.where(v > 0, 0.0, b) for v, b in zip(z, exponents, strict=True))
        low, high = np.log(least) - 40 / bare, np.log(most) + 40 / (total - weight)
        step = 0.4
        count = int(np.ceil(np.max(high - low) / step))
        s = low + step * np.arange(count + 1)
        # (Scaled by the largest argument, so that no power overflows.)
        inner = weight * (s - np.log(most))
        for v, b in zip(z, exponents, strict=True):
            inner = inner - b * np.log(np.exp(s - np.log(most)) + v / most)
        return np.asarray(np.sum(np.exp(inner), 1) * step * most[:, 0] ** (weight - total))

    def valid(*z: Array) -> Array:
        zero = sum(np.where(v == 0, b, 0.0) for v, b in zip(z, exponents, strict=True))
        good = np.all([(v >= 0) & np.isfinite(v) for v in z], 0) & (np.max(z, 0) > 0)
        return np.where(good & (zero >= weight), np.inf, marked(good, np.any([v == np.inf for v in z], 0)))

    return in_blocks(integral, valid, *z)


@elementwise(_carlson, Function("Carlson", r"\operatorname{Carlson}", "elliptic integral"), domain=(POSITIVE,) * 3,
             sample=lambda draw: Case((2, 1), (3,), (), halves=(1, 3, 1), weight=draw([1, 2])),
             kink="an argument 0: ∞, from the right")  # fmt: skip
def carlson(*z: Expr, halves: tuple[int, ...], weight: int) -> Any:
    """Carlson's integrals (DLMF 19.16), without their normalization: a derivative raises one exponent by 1."""

    def by(k: int) -> Callable[[], Any]:
        raised = (*halves[:k], halves[k] + 2, *halves[k + 1 :])
        return lambda: carlson(*z, halves=raised, weight=weight) * (-halves[k] / 2)

    return tuple(by(k) for k in range(len(z)))


def _symmetric(scale: float, *z: Expr, halves: tuple[int, ...]) -> Any:
    """The slopes of a multiple of such an integral."""
    slopes = carlson.body(*z, halves=halves, weight=1)
    return tuple(lambda slope=slope: slope() * scale for slope in slopes)


def _elliptic(name: str, symbol: str, tex: str, arity: int) -> Definition:
    return elementwise(SCIPY + name, Function(symbol, tex, "elliptic integral"), domain=(POSITIVE,) * arity,
                       traits=("real",), sample=lambda draw: Case((2, 1), (3,), *[()] * (arity - 2)))  # fmt: skip


@_elliptic("elliprc", "R_C", "R_C", 2)
def elliprc(x: Expr, y: Expr) -> Any:
    """DLMF 19.16.6, for y > 0."""
    return _symmetric(0.5, x, y, halves=(1, 2))


@_elliptic("elliprf", "R_F", "R_F", 3)
def elliprf(x: Expr, y: Expr, z: Expr) -> Any:
    """DLMF 19.16.1."""
    return _symmetric(0.5, x, y, z, halves=(1, 1, 1))


@_elliptic("elliprd", "R_D", "R_D", 3)
def elliprd(x: Expr, y: Expr, z: Expr) -> Any:
    """DLMF 19.16.5."""
    return _symmetric(1.5, x, y, z, halves=(1, 1, 3))


@_elliptic("elliprj", "R_J", "R_J", 4)
def elliprj(x: Expr, y: Expr, z: Expr, p: Expr) -> Any:
    """DLMF 19.16.2, for p > 0."""
    return _symmetric(1.5, x, y, z, p, halves=(1, 1, 1, 2))


@_elliptic("elliprg", "R_G", "R_G", 3)
def elliprg(x: Expr, y: Expr, z: Expr) -> Any:
    """DLMF 19.16.9 with a = −½: by an argument x it is R_{½} with its exponent raised, over 6."""

    def by(k: int) -> Callable[[], Any]:
        raised = tuple(3 if j == k else 1 for j in range(3))
        return lambda: carlson(x, y, z, halves=raised, weight=2) / 8

    return by(0), by(1), by(2)


def _by_modulus(m: Expr) -> Expr:
    """∫ sin²θ (1 − m sin²θ)^(−3/2) dθ to π/2, which is R_D(0, 1, 1−m)/3."""
    found: Expr = elliprd(0.0, 1.0, 1 - m) / 3
    return found


@elementwise(SCIPY + "ellipk", Function("K", "K", "elliptic integral"), domain=(Interval(-2.0, 1.0),),
             kink="at 1: ∞, from the left")  # fmt: skip
def ellipk(m: Expr) -> Any:
    """DLMF 19.25.1: no quotient 0/0 at m = 0."""
    return _by_modulus(m) / 2


@elementwise(SCIPY + "ellipkm1", Function("ellipkm1", r"\operatorname{ellipkm1}", "elliptic integral"),
             domain=(Interval(0.0, 3.0),), kink="at 0: −∞, from the right")  # fmt: skip
def ellipkm1(p: Expr) -> Any:
    """K(1 − p)."""
    return elliprd(0.0, 1.0, p) / -6


@elementwise(SCIPY + "ellipe", Function("E", "E", "elliptic integral"), domain=(Interval(-2.0, 1.0),),
             kink="at 1: −∞, from the left")  # fmt: skip
def ellipe(m: Expr) -> Any:
    """DLMF 19.25.1: no quotient 0/0 at m = 0."""
    return elliprd(0.0, 1 - m, 1.0) / -6


def _sides(phi: Expr, m: Expr) -> tuple[Expr, Expr, Expr, Expr]:
    """The number of half turns in the amplitude, and sin, cos² and Δ² = 1 − m sin² of what is left."""
    turns = floor(phi / pi + 0.5)
    s, c = sin(phi - turns * pi), cos(phi - turns * pi)
    return turns, s, square(c), 1 - m * square(s)


@elementwise(SCIPY + "ellipkinc", Function("F", "F", "elliptic integral"), domain=(REAL, Interval(-1.0, 1.0)))
def ellipkinc(phi: Expr, m: Expr) -> Any:
    """Legendre's definition; by m DLMF 19.25.5, half turn by half turn."""

    def by_m() -> Any:
        turns, s, c2, d2 = _sides(phi, m)
        return s * square(s) * elliprd(c2, 1.0, d2) / 6 + turns * _by_modulus(m)

    return lambda: 1 / root(1 - m * square(sin(phi))), by_m


@elementwise(SCIPY + "ellipeinc", Function("E", "E", "elliptic integral"), domain=(REAL, Interval(-1.0, 1.0)))
def ellipeinc(phi: Expr, m: Expr) -> Any:
    """Legendre's definition; by m DLMF 19.25.9, half turn by half turn."""

    def by_m() -> Any:
        turns, s, c2, d2 = _sides(phi, m)
        return s * square(s) * elliprd(c2, d2, 1.0) / -6 + turns * 2 * ellipe.body(m)

    return lambda: root(1 - m * square(sin(phi))), by_m


def _jacobi(number: int, symbol: str) -> Definition:
    notation = Function(symbol, rf"\operatorname{{{symbol}}}", "elliptic function")
    traits = () if symbol == "am" else ("bounded",)
    return elementwise(one_result("ellipj", number), notation, domain=(REAL, UNIT), traits=traits)


def _turned(u: Expr, m: Expr) -> tuple[Expr, Expr, Expr, Expr]:
    """sn, cn, dn, and the amplitude's derivative by m where u is kept: −dn ∂F/∂m, since F(am, m) = u."""
    am, dn = ellipj_am(u, m), ellipj_dn(u, m)
    return ellipj_sn(u, m), ellipj_cn(u, m), dn, -dn * ellipkinc.body(am, m)[1]()


@_jacobi(0, "sn")
def ellipj_sn(u: Expr, m: Expr) -> Any:
    """The sine of the amplitude (DLMF 22.13.1)."""

    def by_m() -> Any:
        _, cn, _, turn = _turned(u, m)
        return cn * turn

    return lambda: ellipj_cn(u, m) * ellipj_dn(u, m), by_m


@_jacobi(1, "cn")
def ellipj_cn(u: Expr, m: Expr) -> Any:
    """The cosine of the amplitude (DLMF 22.13.2)."""

    def by_m() -> Any:
        sn, _, _, turn = _turned(u, m)
        return -sn * turn

    return lambda: -ellipj_sn(u, m) * ellipj_dn(u, m), by_m


@_jacobi(2, "dn")
def ellipj_dn(u: Expr, m: Expr) -> Any:
    """From dn² = 1 − m sn² (DLMF 22.13.3)."""

    def by_m() -> Any:
        sn, cn, dn, turn = _turned(u, m)
        return -sn * (sn / 2 + m * cn * turn) / dn

    return lambda: -m * ellipj_sn(u, m) * ellipj_cn(u, m), by_m


@_jacobi(3, "am")
def ellipj_am(u: Expr, m: Expr) -> Any:
    """The amplitude, which turns at the speed dn."""
    return lambda: ellipj_dn(u, m), lambda: _turned(u, m)[3]


hops_of_results["scipy.special.ellipj"] = ellipj_sn, ellipj_cn, ellipj_dn, ellipj_am


@elementwise(SCIPY + "agm", word("agm"), domain=(POSITIVE, POSITIVE), traits=("commutative",))
def agm(a: Expr, b: Expr, *, out: Expr) -> Any:
    """1/agm is 2 R_F(0, a², b²)/π (DLMF 19.8.4)."""

    def by(mine: Expr, other: Expr) -> Callable[[], Any]:
        own, rest = square(mine), square(other)
        return lambda: square(out) * mine * elliprd(0.0, rest, own) * (2 / (3 * pi))

    return by(a, b), by(b, a)


# -- exponential integrals and the like --------------------------------------------------------------------------------


@elementwise(SCIPY + "exp1", Function("E₁", "E_1", "exponential integral"), domain=(POSITIVE,),
             kink="at 0: −∞, from the right")  # fmt: skip
def exp1(x: Expr) -> Any:
    """The definition, an integral from x on."""
    return -exp(-x) / x


@elementwise(SCIPY + "expi", Function("Ei", r"\operatorname{Ei}", "exponential integral"), domain=(POSITIVE,),
             kink="at 0: ∞")  # fmt: skip
def expi(x: Expr) -> Any:
    """The definition, an integral up to x."""
    return exp(x) / x


@elementwise(SCIPY + "expn", Function("E", "E", "exponential integral"), domain=(REAL, POSITIVE), degrees=1,
             sample=lambda draw: Case(np.array([[0], [1], [3]]), (2,)))  # fmt: skip
def expn(n: Expr, x: Expr) -> Any:
    """DLMF 8.19.13; that of order 0 is exp(−x)/x."""
    lowest = exp(-x) * (1 / x + 1 / square(x))
    return None, lambda: where(n == 0, -lowest, -expn(where(n == 0, constant(1, n), n) - 1, x))


def _integral(name: str, number: int, symbol: str, *traits: str, domain: Interval = REAL) -> Definition:
    return elementwise(one_result(name, number), Function(symbol, rf"\operatorname{{{symbol}}}", "integral"),
                       domain=(domain,), traits=traits)  # fmt: skip


@_integral("sici", 0, "Si", "odd", "bounded")
def sici_si(x: Expr) -> Any:
    """What is integrated, sin(t)/t, without a quotient 0/0."""
    return sin(x) / x if x.dtype.kind == "c" else spherical_jn(x, order=0)


@_integral("sici", 1, "Ci", "even", domain=POSITIVE)
def sici_ci(x: Expr) -> Any:
    """What is integrated, cos(t)/t."""
    return cos(x) / x


@_integral("shichi", 0, "Shi", "odd")
def shichi_shi(x: Expr) -> Any:
    """What is integrated, sinh(t)/t, without a quotient 0/0."""
    return (exp(x) - exp(-x)) / (2 * x) if x.dtype.kind == "c" else spherical_in(x, order=0)


@_integral("shichi", 1, "Chi", "even", domain=POSITIVE)
def shichi_chi(x: Expr) -> Any:
    """What is integrated, cosh(t)/t."""
    return cosh(x) / x


@_integral("fresnel", 0, "S", "odd", "bounded")
def fresnel_s(x: Expr) -> Any:
    """What is integrated."""
    return sin(square(x) * (pi / 2))


@_integral("fresnel", 1, "C", "odd", "bounded")
def fresnel_c(x: Expr) -> Any:
    """What is integrated."""
    return cos(square(x) * (pi / 2))


hops_of_results["scipy.special.sici"] = sici_si, sici_ci
hops_of_results["scipy.special.shichi"] = shichi_shi, shichi_chi
hops_of_results["scipy.special.fresnel"] = fresnel_s, fresnel_c


@elementwise(SCIPY + "spence", Function("Li₂", r"\operatorname{Li}_2", "dilogarithm"), domain=(POSITIVE,),
             traits=("real",), kink="at 0: −∞, from the right")  # fmt: skip
def spence(x: Expr) -> Any:
    """What is integrated, log(t)/(1 − t); near 1 as −2F1(1, 1; 2; 1−t) (DLMF 15.4.1)."""
    near = absolute(x - 1) < 0.3
    inside, away = where(near, 1 - x, constant(0, x)), where(near, constant(2, x), x)
    return where(near, -hyp2f1(1.0, 1.0, 2.0, inside), log(away) / (1 - away))


@elementwise(SCIPY + "wrightomega", Function("ω", r"\omega", "Wright's omega"))
def wrightomega(x: Expr, *, out: Expr) -> Any:
    """ω + log ω = x."""
    return out / (1 + out)


def _lambertw(z: Any, *, branch: int, tolerance: float) -> Any:
    from scipy.special import lambertw as function

    return np.asarray(function(z, branch, tolerance)).astype(np.asarray(z).dtype)[()]


@elementwise(_lambertw, Function("W", "W", "Lambert's W"), domain=(COMPLEX,), kink="at −1/e: ∞",
             sample=lambda draw: Case(branch=draw([0, 1]), tolerance=1e-8))  # fmt: skip
def lambertw(z: Expr, *, out: Expr) -> Any:
    """W exp W = z (DLMF 4.13.4), without a division by z, which may be 0."""
    return exp(-out) / (1 + out)


# -- zeta --------------------------------------------------------------------------------------------------------------

_SUMMED, _CORRECTIONS = 20, 12


def _zeta(s: Any, q: Any, *, order: int) -> Any:
    from scipy.special import bernoulli, factorial

    numbers = bernoulli(2 * _CORRECTIONS)[2::2] / factorial(np.arange(2, 2 * _CORRECTIONS + 1, 2))

    def integral(s: Array, q: Array) -> Array:
        def powers(base: Array, shift: float) -> list[Array]:
            # The Taylor coefficients of base^(−s−shift) in s.
            found = [base ** (-s - shift)]
            for k in range(order):
                found.append(found[-1] * -np.log(base) / (k + 1))
            return found

        terms = powers(q + np.arange(_SUMMED), 0)
        total = [np.sum(t, 1, keepdims=True) for t in terms]
        end = q + _SUMMED
        # ∫ is end^(1−s)/(s−1), a quotient of series; then ½ end^(−s), and the derivatives with Bernoulli's numbers.
        quotient: list[Array] = []
        for k, term in enumerate(powers(end, -1)):
            quotient.append((term - (quotient[-1] if k else 0)) / (s - 1))
        half = powers(end, 0)
        total = [t + i + h / 2 for t, i, h in zip(total, quotient, half, strict=True)]
        rising = [s, np.ones_like(s)]  # s (s+1) … as a series
        for j, number in enumerate(numbers, 1):
            for k, term in enumerate(powers(end, 2 * j - 1)):
                for m in range(min(order + 1 - k, len(rising))):
                    total[k + m] = total[k + m] + number * rising[m] * term
            for factor in (s + 2 * j - 1, s + 2 * j):
                longer = [*rising, np.zeros_like(s)]
                rising = [factor * c + (rising[m - 1] if m else 0) for m, c in enumerate(longer)][: order + 1]
        return np.asarray(total[order][:, 0] * float(factorial(order)))

    def valid(s: Array, q: Array) -> Array:
        return marked((s > -2) & (s != 1) & (q > 0) & np.isfinite(s) & np.isfinite(q), s == np.inf)

    return in_blocks(integral, valid, s, q)


@elementwise(_zeta, Function("ζ⁽ⁿ⁾", r"\zeta^{(n)}", "zeta function"), domain=(Interval(1.2, 6.0), POSITIVE),
             sample=lambda draw: Case((2, 1), (3,), order=draw([1, 2])), kink="s ≤ −2: NaN")  # fmt: skip
def zeta_by_exponent(s: Expr, q: Expr, *, order: int) -> Any:
    """Hurwitz' zeta function, `order` times differentiated by s; by q DLMF 25.11.17, of which s is a factor."""

    def by_q() -> Any:
        above = zeta_by_exponent(s + 1, q, order=order)
        below = zeta_by_exponent(s + 1, q, order=order - 1) if order > 1 else zeta(s + 1, q)
        return -s * above - order * below

    return lambda: zeta_by_exponent(s, q, order=order + 1), by_q


def _hurwitz(s: Any, q: Any) -> Any:
    from scipy.special import zeta as function

    return np.asarray(function(s, q))[()]


@elementwise(_hurwitz, Function("ζ", r"\zeta", "zeta function"), domain=(Interval(1.2, 6.0), POSITIVE),
             sample=lambda draw: Case((2, 1), (3,)))  # fmt: skip
def zeta(s: Expr, q: Expr) -> Any:
    """By q DLMF 25.11.17; by s the Euler–Maclaurin formula (DLMF 25.11.5), as Johansson has it, 2015."""
    return lambda: zeta_by_exponent(s, q, order=1), lambda: -s * zeta(s + 1, q)


@elementwise(SCIPY + "zetac", word("zetac"), domain=(Interval(-3.0, 4.0),), kink="at 1: NaN")  # fmt: skip
def zetac(x: Expr) -> Any:
    """Riemann's zeta function less 1; left of −½ by the reflection formula (DLMF 25.4.1)."""
    left = x < -0.5
    safe = where(left, 1 - x, constant(2, x))
    angle = x * (pi / 2)
    scale = exp(x * ln(2 * pi)) * gamma(safe) / pi
    value = zetac(safe) + 1
    slope = zeta_by_exponent(safe, 1.0, order=1)
    turned = sin(angle) * ((ln(2 * pi) - digamma(safe)) * value - slope) + cos(angle) * value * (pi / 2)
    return where(left, scale * turned, zeta_by_exponent(where(left, constant(2, x), x), 1.0, order=1))
