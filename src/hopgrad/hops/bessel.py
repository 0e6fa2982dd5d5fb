"""Bessel, Hankel, Airy, Struve and Kelvin functions, and integrals over them.

By the argument the derivatives are the recurrences of the NIST Digital Library of Mathematical Functions (DLMF). By the
order there is one for K (as in Matérn's covariances), where the integral that defines it has no cancellation; the order
of the others must be a constant.
"""

from __future__ import annotations

from importlib import import_module
from math import pi, sqrt
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import COMPLEX, POSITIVE, REAL, Case, Function, elementwise
from hopgrad.hops.elementwise import absolute, constant_power, cos, isinf, power, sign, sin, where
from hopgrad.hops.elementwise import sqrt as root
from hopgrad.hops.special import SCIPY, Definition, constant, in_blocks, like, marked, no_slope, one_result, rgamma
from hopgrad.hops.surface import hops_of_results

Array = np.ndarray[Any, Any]

_ORDERS = np.array([[0], [1], [3]])


def _sample(draw: Any) -> Case:
    return Case(_ORDERS, (2,))


def _bessel(symbol: str, tex: str, kind: str = "Bessel function") -> Any:
    return Function(symbol, tex, kind)


# -- J and Y -----------------------------------------------------------------------------------------------------------


@elementwise(SCIPY + "j0", _bessel("J₀", "J_0"), traits=("even", "bounded"))
def j0(x: Expr) -> Any:
    """DLMF 10.6.3."""
    return -j1(x)


@elementwise(SCIPY + "j1", _bessel("J₁", "J_1"), traits=("odd", "bounded"))
def j1(x: Expr) -> Any:
    """DLMF 10.6.1, the form without a division by x."""
    return (j0(x) - jv(2.0, x)) / 2


@elementwise(SCIPY + "y0", _bessel("Y₀", "Y_0"), domain=(POSITIVE,), kink="at 0: ∞, from the right")
def y0(x: Expr) -> Any:
    """DLMF 10.6.3."""
    return -y1(x)


@elementwise(SCIPY + "y1", _bessel("Y₁", "Y_1"), domain=(POSITIVE,))
def y1(x: Expr) -> Any:
    """DLMF 10.6.1."""
    return (y0(x) - yv(2.0, x)) / 2


@elementwise(SCIPY + "jv", _bessel("J", "J"), domain=(REAL, POSITIVE), degrees=1, sample=_sample)
def jv(v: Expr, x: Expr) -> Any:
    """DLMF 10.6.1."""
    return no_slope("jv", "its order"), lambda: (jv(v - 1, x) - jv(v + 1, x)) / 2


@elementwise(SCIPY + "yv", _bessel("Y", "Y"), domain=(REAL, POSITIVE), degrees=1, sample=_sample)
def yv(v: Expr, x: Expr) -> Any:
    """DLMF 10.6.1."""
    return no_slope("yv", "its order"), lambda: (yv(v - 1, x) - yv(v + 1, x)) / 2


@elementwise(SCIPY + "jve", _bessel("J", "J"), domain=(REAL, POSITIVE), degrees=1, traits=("real",), sample=_sample)
def jve(v: Expr, x: Expr) -> Any:
    """J itself, since x is real."""
    return no_slope("jve", "its order"), lambda: (jv(v - 1, x) - jv(v + 1, x)) / 2


@elementwise(SCIPY + "yve", _bessel("Y", "Y"), domain=(REAL, POSITIVE), degrees=1, traits=("real",), sample=_sample)
def yve(v: Expr, x: Expr) -> Any:
    """Y itself, since x is real."""
    return no_slope("yve", "its order"), lambda: (yv(v - 1, x) - yv(v + 1, x)) / 2


@elementwise(SCIPY + "yn", _bessel("Y", "Y"), domain=(REAL, POSITIVE), degrees=1, sample=_sample)
def yn(n: Expr, x: Expr) -> Any:
    """DLMF 10.6.1."""
    return None, lambda: (yn(n - 1, x) - yn(n + 1, x)) / 2


@elementwise(SCIPY + "hankel1", _bessel("H⁽¹⁾", "H^{(1)}", "Hankel function"), domain=(REAL, COMPLEX), degrees=1,
             sample=_sample)  # fmt: skip
def hankel1(v: Expr, z: Expr) -> Any:
    """DLMF 10.6.1."""
    return no_slope("hankel1", "its order"), lambda: (hankel1(v - 1, z) - hankel1(v + 1, z)) / 2


@elementwise(SCIPY + "hankel2", _bessel("H⁽²⁾", "H^{(2)}", "Hankel function"), domain=(REAL, COMPLEX), degrees=1,
             sample=_sample)  # fmt: skip
def hankel2(v: Expr, z: Expr) -> Any:
    """DLMF 10.6.1."""
    return no_slope("hankel2", "its order"), lambda: (hankel2(v - 1, z) - hankel2(v + 1, z)) / 2


@elementwise(SCIPY + "hankel1e", _bessel("hankel1e", r"\operatorname{hankel1e}", "Hankel function"),
             domain=(REAL, COMPLEX), degrees=1, sample=_sample)  # fmt: skip
def hankel1e(v: Expr, z: Expr, *, out: Expr) -> Any:
    """Of exp(−iz) times the Hankel function."""
    return no_slope("hankel1e", "its order"), lambda: (hankel1e(v - 1, z) - hankel1e(v + 1, z)) / 2 - 1j * out


@elementwise(SCIPY + "hankel2e", _bessel("hankel2e", r"\operatorname{hankel2e}", "Hankel function"),
             domain=(REAL, COMPLEX), degrees=1, sample=_sample)  # fmt: skip
def hankel2e(v: Expr, z: Expr, *, out: Expr) -> Any:
    """Of exp(iz) times the Hankel function."""
    return no_slope("hankel2e", "its order"), lambda: (hankel2e(v - 1, z) - hankel2e(v + 1, z)) / 2 + 1j * out


# -- I and K -----------------------------------------------------------------------------------------------------------


@elementwise(SCIPY + "i0", _bessel("I₀", "I_0"), traits=("even",))
def i0(x: Expr) -> Any:
    """DLMF 10.29.3."""
    return i1(x)


@elementwise(SCIPY + "i1", _bessel("I₁", "I_1"), traits=("odd",))
def i1(x: Expr) -> Any:
    """DLMF 10.29.1, the form without a division by x."""
    return (i0(x) + iv(2.0, x)) / 2


_PEAK = "at 0: 0, the least supergradient"


@elementwise(SCIPY + "i0e", _bessel("i0e", r"\operatorname{i0e}"), traits=("even", "bounded", "kink"), kink=_PEAK)
def i0e(x: Expr, *, out: Expr) -> Any:
    """Of exp(−|x|) I₀."""
    return i1e(x) - sign(x) * out


@elementwise(SCIPY + "i1e", _bessel("i1e", r"\operatorname{i1e}"), traits=("odd", "bounded"))
def i1e(x: Expr, *, out: Expr) -> Any:
    """Of exp(−|x|) I₁."""
    return (i0e(x) + ive(2.0, x)) / 2 - sign(x) * out


@elementwise(SCIPY + "k0", _bessel("K₀", "K_0"), domain=(POSITIVE,), kink="at 0: −∞, from the right")
def k0(x: Expr) -> Any:
    """DLMF 10.29.3."""
    return -k1(x)


@elementwise(SCIPY + "k1", _bessel("K₁", "K_1"), domain=(POSITIVE,), kink="at 0: −∞, from the right")
def k1(x: Expr) -> Any:
    """DLMF 10.29.1."""
    return (k0(x) + kv(2.0, x)) * -0.5


@elementwise(SCIPY + "k0e", _bessel("k0e", r"\operatorname{k0e}"), domain=(POSITIVE,))
def k0e(x: Expr, *, out: Expr) -> Any:
    """Of exp(x) K₀."""
    return out - k1e(x)


@elementwise(SCIPY + "k1e", _bessel("k1e", r"\operatorname{k1e}"), domain=(POSITIVE,))
def k1e(x: Expr, *, out: Expr) -> Any:
    """Of exp(x) K₁."""
    return out - (k0e(x) + kve(2.0, x)) / 2


@elementwise(SCIPY + "iv", _bessel("I", "I"), domain=(REAL, POSITIVE), degrees=1, sample=_sample)
def iv(v: Expr, x: Expr) -> Any:
    """DLMF 10.29.1."""
    return no_slope("iv", "its order"), lambda: (iv(v - 1, x) + iv(v + 1, x)) / 2


@elementwise(SCIPY + "ive", _bessel("ive", r"\operatorname{ive}"), domain=(REAL, POSITIVE), degrees=1,
             traits=("real",), sample=_sample)  # fmt: skip
def ive(v: Expr, x: Expr, *, out: Expr) -> Any:
    """Of exp(−|x|) I."""
    return no_slope("ive", "its order"), lambda: (ive(v - 1, x) + ive(v + 1, x)) / 2 - sign(x) * out


def _kv_by_order(v: Any, x: Any, *, order: int, scaled: bool) -> Any:
    def integral(v: Array, x: Array) -> Array:
        turned = np.where((v < 0) & (order % 2 == 1), -1.0, 1.0)[:, 0]
        return turned * _integral_of_k(np.abs(v), x, order, scaled)

    def valid(v: Array, x: Array) -> Array:
        return marked((x > 0) & np.isfinite(x) & np.isfinite(v), x == np.inf)

    return in_blocks(integral, valid, v, x)


def _integral_of_k(v: Array, x: Array, order: int, scaled: bool) -> Array:
    """½ ∫ tⁿ exp(vt − x cosh t) dt over all t (DLMF 10.32.9), folded to t > 0, where nothing cancels.

    By the trapezoidal rule, which converges geometrically here (Trefethen and Weideman, The exponentially convergent
    trapezoidal rule, 2014), between the points where the integrand has fallen by exp(−50).
    """

    def exponent(t: Array) -> Array:
        return np.asarray(v * t - 2 * x * np.sinh(t / 2) ** 2)

    top = np.arcsinh(v / x)
    least = exponent(top) - 50
    low, first = np.zeros_like(top), top.copy()
    end, last = top.copy(), top + 1
    while np.any(short := exponent(last) > least):
        last = np.where(short, 2 * last - top, last)
    for _ in range(40):
        middle, beyond = (low + first) / 2, (end + last) / 2
        small, large = exponent(middle) < least, exponent(beyond) > least
        low, first = np.where(small, middle, low), np.where(small, first, middle)
        end, last = np.where(large, beyond, end), np.where(large, last, beyond)
    count = 240
    step = (last - low) / count
    t = low + step * np.arange(count + 1)
    folded = 1 + np.exp(-2 * v * t) if order % 2 == 0 else -np.expm1(-2 * v * t)
    inner = t**order * folded * np.exp(exponent(t) - (0 if scaled else x))
    inner[:, 0] /= 2
    return np.asarray(np.sum(inner, 1) * step[:, 0] / 2)


@elementwise(_kv_by_order, _bessel("∂K", r"\partial K", "derivative of the Bessel function by its order"),
             domain=(REAL, POSITIVE),
             sample=lambda draw: Case((2, 1), (3,), order=draw([1, 2]), scaled=draw([False, True])))  # fmt: skip
def kv_by_order(v: Expr, x: Expr, *, out: Expr, order: int, scaled: bool) -> Any:
    """The n-th derivative of K by its order, scaled as in kve; by x the recurrence of K, which holds for all orders."""

    def at(v: Expr) -> Expr:
        found: Expr = kv_by_order(v, x, order=order, scaled=scaled)
        return found

    return (
        lambda: kv_by_order(v, x, order=order + 1, scaled=scaled),
        lambda: (at(v - 1) + at(v + 1)) * -0.5 + (out if scaled else 0),
    )


def _by_order_of_k(name: str, v: Expr, x: Expr, scaled: bool) -> Any:
    def slope() -> Expr:
        if x.dtype.kind == "c":
            no_slope(name, "its order, at complex numbers")()
        found: Expr = kv_by_order(v, x, order=1, scaled=scaled)
        return found

    return slope


@elementwise(SCIPY + "kv", _bessel("K", "K"), domain=(REAL, POSITIVE), degrees=1,
             sample=lambda draw: draw([_sample(draw), Case((2, 1), (3,))]))  # fmt: skip
def kv(v: Expr, x: Expr) -> Any:
    """DLMF 10.29.1; by the order an integral."""
    return _by_order_of_k("kv", v, x, False), lambda: (kv(v - 1, x) + kv(v + 1, x)) * -0.5


@elementwise(SCIPY + "kve", _bessel("kve", r"\operatorname{kve}"), domain=(REAL, POSITIVE), degrees=1,
             sample=lambda draw: draw([_sample(draw), Case((2, 1), (3,))]))  # fmt: skip
def kve(v: Expr, x: Expr, *, out: Expr) -> Any:
    """Of exp(x) K."""
    return _by_order_of_k("kve", v, x, True), lambda: out - (kve(v - 1, x) + kve(v + 1, x)) / 2


@elementwise(SCIPY + "kn", _bessel("K", "K"), domain=(REAL, POSITIVE), degrees=1, sample=_sample)
def kn(n: Expr, x: Expr) -> Any:
    """DLMF 10.29.1; below order 0 by symmetry."""
    return None, lambda: (kn(absolute(n - 1), x) + kn(n + 1, x)) * -0.5


# -- Airy functions ----------------------------------------------------------------------------------------------------


@elementwise(one_result("airy", 0), Function("Ai", r"\operatorname{Ai}", "Airy function"), traits=("bounded",))
def airy_ai(x: Expr) -> Any:
    """Its derivative has a name."""
    return airy_aip(x)


@elementwise(one_result("airy", 1), Function("Ai′", r"\operatorname{Ai}'", "Airy function"))
def airy_aip(x: Expr) -> Any:
    """Airy's equation (DLMF 9.2.1)."""
    return x * airy_ai(x)


@elementwise(one_result("airy", 2), Function("Bi", r"\operatorname{Bi}", "Airy function"))
def airy_bi(x: Expr) -> Any:
    """Its derivative has a name."""
    return airy_bip(x)


@elementwise(one_result("airy", 3), Function("Bi′", r"\operatorname{Bi}'", "Airy function"))
def airy_bip(x: Expr) -> Any:
    """Airy's equation (DLMF 9.2.1)."""
    return x * airy_bi(x)


def _scaled_airy(number: int, symbol: str, *traits: str) -> Definition:
    return elementwise(one_result("airye", number), Function(symbol, rf"\operatorname{{{symbol}}}", "Airy function"),
                       domain=(POSITIVE,), traits=("real", *traits))  # fmt: skip


@_scaled_airy(0, "eAi", "bounded")
def airye_ai(x: Expr, *, out: Expr) -> Any:
    """Of exp(⅔ x^{3/2}) Ai, for x ≥ 0."""
    return airye_aip(x) + root(x) * out


@_scaled_airy(1, "eAi′", "bounded")
def airye_aip(x: Expr, *, out: Expr) -> Any:
    """Of exp(⅔ x^{3/2}) Ai′, for x ≥ 0."""
    return x * airye_ai(x) + root(x) * out


@_scaled_airy(2, "eBi", "bounded")
def airye_bi(x: Expr, *, out: Expr) -> Any:
    """Of exp(−⅔ x^{3/2}) Bi; for x < 0 there is no scale."""
    return airye_bip(x) - _root_above(x) * out


@_scaled_airy(3, "eBi′")
def airye_bip(x: Expr, *, out: Expr) -> Any:
    """Of exp(−⅔ x^{3/2}) Bi′; for x < 0 there is no scale."""
    return x * airye_bi(x) - _root_above(x) * out


def _root_above(x: Expr) -> Expr:
    zero = constant(0, x)
    found: Expr = where(x > 0, root(where(x > 0, x, zero)), zero)
    return found


hops_of_results["scipy.special.airy"] = airy_ai, airy_aip, airy_bi, airy_bip
hops_of_results["scipy.special.airye"] = airye_ai, airye_aip, airye_bi, airye_bip


# -- Struve functions --------------------------------------------------------------------------------------------------


def _struve_term(v: Expr, x: Expr) -> Expr:
    """(x/2)^ν / (√π Γ(ν+3/2))."""
    order = like(v, x)
    found: Expr = power(x / 2, order) * rgamma(order + 1.5) / sqrt(pi)
    return found


@elementwise(SCIPY + "struve", Function("H", r"\mathbf{H}", "Struve function"), domain=(REAL, POSITIVE), degrees=1,
             sample=_sample)  # fmt: skip
def struve(v: Expr, x: Expr) -> Any:
    """DLMF 11.4.23."""
    return no_slope("struve", "its order"), lambda: (struve(v - 1, x) - struve(v + 1, x) + _struve_term(v, x)) / 2


@elementwise(SCIPY + "modstruve", Function("L", r"\mathbf{L}", "Struve function"), domain=(REAL, POSITIVE), degrees=1,
             sample=_sample)  # fmt: skip
def modstruve(v: Expr, x: Expr) -> Any:
    """DLMF 11.4.28."""
    return (
        no_slope("modstruve", "its order"),
        lambda: (modstruve(v - 1, x) + modstruve(v + 1, x) + _struve_term(v, x)) / 2,
    )


# -- Kelvin functions --------------------------------------------------------------------------------------------------


def _kelvin(name: str, **fields: Any) -> Definition:
    symbol = name[:-1] + "′" if name.endswith("p") else name
    tex = rf"\operatorname{{{symbol.replace('′', '')}}}" + ("'" if name.endswith("p") else "")
    return elementwise(SCIPY + name, Function(symbol, tex, "Kelvin function"), domain=(POSITIVE,), **fields)


@_kelvin("ber", traits=("even",))
def ber(x: Expr) -> Any:
    """Its derivative has a name."""
    return berp(x)


@_kelvin("bei", traits=("even",))
def bei(x: Expr) -> Any:
    """Its derivative has a name."""
    return beip(x)


_AT_ZERO = "at 0: NaN, since it is divided by x"


@_kelvin("berp", traits=("odd",), kink=_AT_ZERO)
def berp(x: Expr, *, out: Expr) -> Any:
    """Kelvin's equation (DLMF 10.61.3): w″ + w′/x = iw, of which this is the real part."""
    return -bei(x) - out / x


@_kelvin("beip", traits=("odd",), kink=_AT_ZERO)
def beip(x: Expr, *, out: Expr) -> Any:
    """Kelvin's equation, the imaginary part."""
    return ber(x) - out / x


@_kelvin("ker")
def ker(x: Expr) -> Any:
    """Its derivative has a name."""
    return kerp(x)


@_kelvin("kei", traits=("bounded",))
def kei(x: Expr) -> Any:
    """Its derivative has a name."""
    return keip(x)


@_kelvin("kerp", kink=_AT_ZERO)
def kerp(x: Expr, *, out: Expr) -> Any:
    """Kelvin's equation, the real part."""
    return -kei(x) - out / x


@_kelvin("keip", traits=("bounded",), kink=_AT_ZERO)
def keip(x: Expr, *, out: Expr) -> Any:
    """Kelvin's equation, the imaginary part."""
    return ker(x) - out / x


# -- spherical Bessel functions ----------------------------------------------------------------------------------------


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
    return where(absolute(x) < order + 1, series, where(isinf(x), constant(0, x), found))


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


def _spherical(name: str) -> Definition:
    def value(x: Any, *, order: int) -> Any:
        function = getattr(import_module("scipy.special"), f"spherical_{name}")
        return np.asarray(function(order, x)).astype(np.asarray(x).dtype)

    symbol, tex = f"{name[0]}ₙ", f"{name[0]}_n"
    return elementwise(value, Function(symbol, tex, "spherical Bessel function"), domain=(POSITIVE,),
                       sample=lambda draw: Case(order=draw([0, 1, 2])))  # fmt: skip


@_spherical("yn")
def spherical_yn(x: Expr, *, order: int) -> Any:
    """DLMF 10.51.1, the form without a division by x."""
    above = spherical_yn(x, order=order + 1)
    if order == 0:
        return -above
    return (order * spherical_yn(x, order=order - 1) - (order + 1) * above) / (2 * order + 1)


@_spherical("in")
def spherical_in(x: Expr, *, order: int) -> Any:
    """DLMF 10.51.4, the form without a division by x, which is exact at 0."""
    above = spherical_in(x, order=order + 1)
    if order == 0:
        return above
    return (order * spherical_in(x, order=order - 1) + (order + 1) * above) / (2 * order + 1)


@_spherical("kn")
def spherical_kn(x: Expr, *, order: int) -> Any:
    """DLMF 10.51.4, the form without a division by x."""
    above = spherical_kn(x, order=order + 1)
    if order == 0:
        return -above
    return -(order * spherical_kn(x, order=order - 1) + (order + 1) * above) / (2 * order + 1)


def _sinc(x: Any) -> Any:
    return np.sinc(x)


@elementwise(_sinc, Function("sinc", r"\operatorname{sinc}"), traits=("even", "bounded"),
             lowering="y = 3.141592653589793 * select(x == 0, 1e-20, x); sin(y) / y")  # fmt: skip
def sinc(x: Expr) -> Any:
    """sin(πx)/(πx) is the spherical Bessel function j₀(πx), whose derivative is −j₁: no quotient that is 0/0 at 0."""
    return -pi * spherical_jn(pi * x, order=1)
