"""SciPy's special functions that are Python over its ufuncs, made of hops: by "scipy.special:name".

Plain SciPy asks these for plain arrays, or calls private ufuncs; ``hopgrad.scipy.special`` offers them.
"""

from __future__ import annotations

import operator
from math import pi
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import Hop
from hopgrad.hops import elementwise as ew
from hopgrad.hops.bessel import i0 as bessel_i0
from hopgrad.hops.bessel import spherical_in, spherical_jn, spherical_kn, spherical_yn
from hopgrad.hops.functions import sum as sum_
from hopgrad.hops.hypergeometric import lambertw as lambert
from hopgrad.hops.hypergeometric import zeta as hurwitz
from hopgrad.hops.hypergeometric import zetac
from hopgrad.hops.special import binom, constant, gamma, gammaln, poch
from hopgrad.hops.surface import as_float, cast, find_builder, lift, promote, refuse, refused, surface


def _plain(value: Any, what: str) -> Any:
    """An order: one fixed number."""
    if isinstance(value, Expr) or np.ndim(value):
        raise refused(what, "call it once for each order, which must be a constant")
    return value


def _floats(*values: Any) -> list[Expr]:
    """Operands of one common dtype, floats or complex numbers."""
    found = promote(list(values), find_builder(list(values)))
    return found if found[0].dtype.kind in "fc" else [cast(v, np.float64) for v in found]


@surface("scipy.special:zeta")
def zeta(x: Any, q: Any = None, out: Any = None) -> Expr:
    """Riemann's zeta function without q, Hurwitz' with it."""
    if q is None:
        (x,) = _floats(x)
        return zetac(x) + 1
    return hurwitz(*_floats(x, q))


@surface("scipy.special:lambertw")
def lambertw(z: Any, k: Any = 0, tol: Any = 1e-8) -> Expr:
    """A branch of Lambert's W, which is complex as in SciPy: take ``.real``."""
    (z,) = _floats(z)
    branch = operator.index(_plain(k, "scipy.special.lambertw of several branches"))
    return lambert(cast(z, np.complex128), branch=branch, tolerance=float(tol))


@surface("scipy.special:multigammaln")
def multigammaln(a: Any, d: Any) -> Expr:
    """The sum of ln Γ(a − j/2) over j < d, and what does not depend on a."""
    (a,) = _floats(a)
    count = operator.index(_plain(d, "scipy.special.multigammaln of several dimensions"))
    total: Any = count * (count - 1) / 4 * np.log(pi)
    for j in range(count):
        total = gammaln(a - j / 2) + total
    return total if isinstance(total, Expr) else a * 0 + total


def _counts(found: Expr, n: Expr, k: Expr) -> Expr:
    """0 where k items cannot be taken out of n."""
    possible = ew.logical_and(ew.logical_and(k <= n, n >= 0), k >= 0)
    masked: Expr = ew.where(possible, found, constant(0, found))
    return masked


@surface("scipy.special:comb")
def comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Expr:
    """Combinations, by the gamma function."""
    if exact:
        raise refused("scipy.special.comb(exact=True)", "leave exact=True out")
    n, k = _floats(N, k)
    if repetition:
        n = n + k - 1
    return _counts(binom(n, k), n, k)


@surface("scipy.special:perm")
def perm(N: Any, k: Any, *, exact: bool = False) -> Expr:
    """Arrangements, by the gamma function."""
    if exact:
        raise refused("scipy.special.perm(exact=True)", "leave exact=True out")
    n, k = _floats(N, k)
    return _counts(poch(n - k + 1, k), n, k)


@surface("scipy.special:factorial")
def factorial(n: Any, exact: bool = False, extend: str = "zero") -> Expr:
    """Γ(n + 1), and 0 for negative numbers."""
    if exact or extend != "zero":
        raise refused("scipy.special.factorial with these options", "use scipy.special.gamma(n + 1)")
    (x,) = _floats(n)
    found: Expr = ew.where(x >= 0, gamma(x + 1), constant(0, x))
    return found


@surface("scipy.special:diric")
def diric(x: Any, n: Any) -> Expr:
    """Dirichlet's kernel sin(nx/2) / (n sin(x/2)), written as the sum of cosines that it is."""
    (x,) = _floats(x)
    count = operator.index(_plain(n, "scipy.special.diric of several orders"))
    if count < 1:
        return x * np.nan
    # exp(i k x) for k from −(n−1)/2 to (n−1)/2: no quotient, so nothing to cancel at multiples of 2π.
    steps = np.arange((count + 1) % 2, count, 2) / 2
    weights = np.where(steps == 0, 1.0, 2.0) / count
    shape = (-1,) + (1,) * x.ndim
    scaled = ew.cos(x * steps.reshape(shape).astype(x.dtype)) * weights.reshape(shape).astype(x.dtype)
    total: Expr = sum_(scaled, 0)
    return total


def _spherical(name: str, hop: Hop) -> None:
    def adapter(n: Any, z: Any, derivative: bool = False) -> Expr:
        (z,) = _floats(z)
        order = operator.index(_plain(n, f"scipy.special.{name} of several orders"))
        if order < 0:
            raise refused(f"scipy.special.{name} of a negative order", "it is defined from order 0 on")
        found: Expr = hop.body(z, order=order) if derivative else hop(z, order=order)
        return found

    adapter.__name__, adapter.__doc__ = name, "SciPy's, for one fixed order."
    surface(f"scipy.special:{name}")(adapter)


for _name, _hop in (
    ("spherical_jn", spherical_jn), ("spherical_yn", spherical_yn),
    ("spherical_in", spherical_in), ("spherical_kn", spherical_kn),
):  # fmt: skip
    _spherical(_name, _hop)


_FORMULA = "write the formula with functions that are differentiated, such as eval_legendre and lpmv"
for _name in (
    "assoc_legendre_p", "assoc_legendre_p_all", "legendre_p", "legendre_p_all", "sph_harm_y", "sph_harm_y_all",
    "sph_legendre_p", "sph_legendre_p_all", "lqmn", "lqn",
):  # fmt: skip
    refuse(_FORMULA, f"scipy.special:{_name}")
refuse("its derivative has no formula", "scipy.special:ellip_harm", "scipy.special:ellip_harm_2")
refuse("use spherical_jn or spherical_yn", "scipy.special:riccati_jn", "scipy.special:riccati_yn")
refuse("use jv", "scipy.special:lmbda")


@surface(np.i0, array=True)
def i0(x: Any) -> Expr:
    """NumPy's, which is SciPy's."""
    return bessel_i0(as_float(lift(x)))
