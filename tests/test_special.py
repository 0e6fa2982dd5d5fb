"""SciPy's special functions against mpmath over wide ranges, at odd points, and called as users call them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy
import scipy.special as sp
from calls import words
from covering import listed, table
from numpy.testing import assert_allclose

import hopgrad as hg
from hopgrad.errors import HopgradError, NotDifferentiableError
from hopgrad.graph.hop import Hop
from hopgrad.hops.surface import hops_of_results
from hopgrad.scipy import special
from hopgrad.trace.ufuncs import find_hop

Array = np.ndarray[Any, Any]
UPDATE = os.environ.get("HOPGRAD_UPDATE_GOLDEN") == "1"

# -- against mpmath ----------------------------------------------------------------------------------------------------


def lower(a: Any, x: Any) -> Any:
    return mpmath.gammainc(a, 0, x, regularized=True)


def upper(a: Any, x: Any) -> Any:
    return mpmath.gammainc(a, x, mpmath.inf, regularized=True)


def incomplete_beta(a: Any, b: Any, x: Any) -> Any:
    return mpmath.betainc(a, b, 0, x, regularized=True)


def normal(x: Any) -> Any:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def student(v: Any, t: Any) -> Any:
    return (1 + mpmath.sign(t) * mpmath.betainc(0.5, v / 2, 0, t * t / (v + t * t), regularized=True)) / 2


def poch(a: Any, m: Any) -> Any:
    return mpmath.gamma(a + m) / mpmath.gamma(a)


EXACT: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "erf": (mpmath.erf, [-3.0, -1e-8, 0.7, 5.0]),
    "erfc": (mpmath.erfc, [-3.0, 0.0, 0.7, 5.0, 20.0]),
    "erfi": (mpmath.erfi, [-3.0, 0.0, 0.7, 5.0]),
    "erfcx": (lambda x: mpmath.exp(x * x) * mpmath.erfc(x), [-3.0, 0.0, 0.7, 5.0, 20.0, 51.0, 1e3]),
    "dawsn": (
        lambda x: mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(-x * x) * mpmath.erfi(x),
        [-70.0, -3.0, 0.0, 0.7, 0.92, 5.0, 20.0, 51.0, 1e3],
    ),
    "ndtr": (normal, [-20.0, -3.0, 0.0, 0.7, 5.0]),
    "log_ndtr": (lambda x: mpmath.log(normal(x)), [-1e3, -30.0, -3.0, 0.0, 0.7, 5.0]),
    "gamma": (mpmath.gamma, [-2.5, -0.5, 1e-3, 0.7, 5.0, 20.5]),
    "gammaln": (mpmath.loggamma, [1e-3, 0.7, 5.0, 20.5, 1e6]),
    "loggamma": (mpmath.loggamma, [1e-3, 0.7, 5.0, 20.5, 1e6]),
    "rgamma": (mpmath.rgamma, [-3.0, -2.5, -1.0, 0.0, 1e-3, 0.4999, 0.7, 5.0, 20.5]),
    "digamma": (mpmath.digamma, [-2.5, -0.5, 1e-3, 0.7, 5.0, 20.5]),
    "beta": (mpmath.beta, [(0.2, 3.0), (5.0, 7.5), (1e-3, 1e-2), (30.0, 0.5)]),
    "betaln": (lambda a, b: mpmath.log(mpmath.beta(a, b)), [(0.2, 3.0), (5.0, 7.5), (1e-3, 1e-2), (300.0, 0.5)]),
    "poch": (poch, [(0.2, 3.0), (5.0, -1.5), (10.0, 0.5)]),
    "binom": (mpmath.binomial, [(5.0, 1.5), (0.5, 0.3), (20.0, 4.5)]),
    "exp10": (lambda x: mpmath.mpf(10) ** x, [-3.0, 0.0, 2.5]),
    "cosm1": (lambda x: mpmath.cos(x) - 1, [-3.0, 1e-9, 2.5]),
    "powm1": (lambda x, y: x**y - 1, [(1.1, 1e-9), (0.4, 2.5), (3.0, -1.5)]),
    "entr": (lambda x: -x * mpmath.log(x), [1e-3, 0.3, 7.0]),
    "rel_entr": (lambda x, y: x * mpmath.log(x / y), [(0.3, 2.0), (7.0, 1e-3)]),
    "kl_div": (lambda x, y: x * mpmath.log(x / y) - x + y, [(0.3, 2.0), (7.0, 1e-3)]),
    "pseudo_huber": (
        lambda d, r: d * d * (mpmath.sqrt(1 + (r / d) ** 2) - 1),
        [(0.3, 2.0), (7.0, 1e-3), (1.0, 0.0), (1e-3, 1e3)],
    ),
    "gammainc": (
        lower,
        [
            (1e-3, 1e-20),
            (1e-3, 0.5),
            (0.5, 0.3),
            (0.5, 2.0),
            (2.0, 0.1),
            (2.0, 1.9),
            (2.0, 30.0),
            (50.0, 30.0),
            (50.0, 51.0),
            (50.0, 90.0),
            (1e4, 9.9e3),
            (3.0, 1e-12),
            (1e3, 1.1e3),
        ],
    ),
    "gammaincc": (upper, [(1e-3, 1e-20), (0.5, 2.0), (2.0, 30.0), (50.0, 51.0), (50.0, 90.0), (1e3, 1.1e3)]),
    "betainc": (
        incomplete_beta,
        [
            (0.5, 0.5, 0.3),
            (2.0, 3.0, 1e-10),
            (2.0, 3.0, 0.7),
            (0.01, 0.02, 0.5),
            (30.0, 2.0, 0.95),
            (200.0, 300.0, 0.41),
            (1.0, 1.0, 0.25),
            (0.05, 8.0, 0.9),
            (40.0, 0.03, 0.999),
        ],
    ),
    "betaincc": (lambda a, b, x: 1 - incomplete_beta(a, b, x), [(0.5, 0.5, 0.3), (2.0, 3.0, 0.7), (30.0, 2.0, 0.95)]),
    "stdtr": (student, [(0.5, 0.3), (3.0, -1.5), (30.0, 2.0), (4.5, 20.0)]),
    "ellipk": (mpmath.ellipk, [-3.0, 0.0, 0.3, 0.999]),
    "ellipkm1": (lambda p: mpmath.ellipk(1 - p), [1e-6, 0.3, 2.0]),
    "ellipe": (mpmath.ellipe, [-3.0, 0.0, 0.3, 0.999]),
    "ellipkinc": (mpmath.ellipf, [(0.3, 0.5), (1.5, 0.9), (4.0, 0.3), (-2.0, -1.5), (0.7, 0.0)]),
    "ellipeinc": (mpmath.ellipe, [(0.3, 0.5), (1.5, 0.9), (4.0, 0.3), (-2.0, -1.5), (0.7, 0.0)]),
    "elliprf": (mpmath.elliprf, [(0.3, 0.5, 2.0), (1.0, 1.0, 1.0), (1e-5, 3.0, 1e4)]),
    "elliprc": (mpmath.elliprc, [(0.3, 0.5), (1.0, 1.0), (1e-5, 3.0)]),
    "elliprd": (mpmath.elliprd, [(0.3, 0.5, 2.0), (1.0, 1.0, 1.0), (1e-5, 3.0, 1e4)]),
    "elliprg": (mpmath.elliprg, [(0.3, 0.5, 2.0), (1.0, 2.0, 3.0)]),
    "elliprj": (mpmath.elliprj, [(0.3, 0.5, 2.0, 0.7), (1.0, 2.0, 3.0, 5.0)]),
    "agm": (mpmath.agm, [(1.0, 1.0), (0.2, 3.0), (1e-5, 1.0)]),
    "exp1": (mpmath.e1, [0.1, 1.0, 30.0]),
    "expi": (mpmath.ei, [-2.0, 0.1, 1.0, 30.0]),
    "spence": (lambda x: mpmath.polylog(2, 1 - x), [0.1, 0.9, 1.0, 1.2, 1.9]),
    "exprel": (lambda x: mpmath.expm1(x) / x, [-30.0, -1.0, 1e-9, 0.3, 5.0, 300.0]),
    "boxcox": (lambda x, p: (x**p - 1) / p, [(2.0, 0.5), (0.3, -1.5), (5.0, 1e-9)]),
    "inv_boxcox": (lambda y, p: (1 + p * y) ** (1 / p), [(2.0, 0.5), (0.3, -1.5), (1.5, 1e-9), (3.0, 2.0)]),
    "zetac": (lambda x: mpmath.zeta(x) - 1, [-20.5, -3.0, 0.0, 0.4, 0.6, 1.5, 4.0, 30.0]),
    "j1": (lambda x: mpmath.besselj(1, x), [-3.0, 1e-9, 0.5, 30.0]),
    "i1e": (lambda x: mpmath.exp(-x) * mpmath.besseli(1, x), [1e-9, 0.5, 30.0]),
    "kv": (
        mpmath.besselk,
        [(0.5, 0.1), (2.3, 5.0), (30.0, 2.0), (-1.5, 30.0), (0.0, 1e-8), (20.0, 18.0), (0.1, 600.0)],
    ),
    "kve": (lambda v, x: mpmath.exp(x) * mpmath.besselk(v, x), [(0.5, 0.1), (2.3, 5.0), (30.0, 2.0), (1.5, 1e2)]),
}
"""What SciPy's functions are in mpmath, and points at which both derivatives are compared."""

POINTS = [(name, point) for name, (_, points) in EXACT.items() for point in points]


def partials(f: Callable[..., Any], point: tuple[float, ...]) -> tuple[Array, Array]:
    """Gradient and Hessian by mpmath, to some twenty digits."""
    n = len(point)
    with mpmath.workdps(24):
        values = tuple(map(mpmath.mpf, point))

        def by(*orders: int) -> float:
            return float(mpmath.diff(f, values if n > 1 else values[0], orders if n > 1 else orders[0]))

        units = np.eye(n, dtype=int)
        gradient = [by(*unit) for unit in units]
        hessian = [[by(*(a + b)) for b in units] for a in units]
    return np.array(gradient), np.array(hessian)


@pytest.mark.parametrize(("name", "point"), POINTS, ids=[f"{name}{point}" for name, point in POINTS])
def test_both_orders_agree_with_mpmath(name: str, point: Any) -> None:
    function = getattr(sp, name)
    point = point if isinstance(point, tuple) else (point,)
    gradient, hessian = partials(EXACT[name][0], point)
    argnums = tuple(range(len(point)))
    assert_allclose(hg.grad(function, argnums)(*point), gradient, rtol=1e-9, atol=1e-20)
    found = np.array(hg.hessian(function, argnums)(*point), float)
    size = np.array([abs(x) or 1.0 for x in point])
    scale = np.abs(gradient[:, None] / size) + np.abs(hessian)
    assert np.all(np.abs(found - hessian) <= 1e-9 * scale), (found, hessian)
    # Forward mode, whose formulas are the same.
    pushed = [hg.jvp(function, point, tuple(np.eye(len(point))[k]))[1] for k in argnums]
    assert_allclose(pushed, gradient, rtol=1e-9, atol=1e-20)


# -- the whole namespace -----------------------------------------------------------------------------------------------

X = np.array([0.3, 0.7])
FUNCTIONS = sorted(words("""
assoc_laguerre(x,2,1.0) chebyt(2)(x) comb(5,x) comb(x+3,2) comb(x+3,2,repetition=True) diric(x*9,4) diric(x,3)
factorial(x) gegenbauer(3,0.5)(x) genlaguerre(2,0.5)(x) h1vp(1,x).imag h2vp(1,x).real hermite(3)(x) ivp(1,x)
jacobi(2,0.5,1.5)(x) jvp(1,x) jvp(1.5,x,2) kvp(1,x) lambertw(x).real lambertw(x,-1).imag legendre(3)(x) log_softmax(x)
logsumexp(x) multigammaln(x+3,0) multigammaln(x+3,2) perm(x+3,2) polygamma(0,x) polygamma(1,x) sh_legendre(3)(x)
sinc(x) softmax(x) spherical_in(0,x) spherical_in(1,x,True) spherical_jn(1,x) spherical_jn(1,x,True)
spherical_kn(0,x,derivative=True) spherical_kn(1,x) spherical_yn(1,x) yvp(1,x) zeta(x+2) zeta(x+2,1.5) zeta(x+2,x)
zeta(x-3)
"""))  # fmt: skip
"""Calls of the functions that are Python."""

ON_CONSTANTS = words("""
SpecialFunctionError SpecialFunctionWarning ai_zeros bei_zeros beip_zeros ber_zeros bernoulli berp_zeros bi_zeros
c_roots cg_roots chebyc chebys chebyu ellip_normal erf_zeros errstate euler factorial2 factorialk fresnel_zeros
fresnelc_zeros fresnels_zeros geterr h_roots he_roots hermitenorm j_roots jn_zeros jnjnp_zeros jnp_zeros jnyn_zeros
js_roots kei_zeros keip_zeros kelvin_zeros ker_zeros kerp_zeros l_roots la_roots laguerre p_roots ps_roots
roots_chebyc roots_chebys roots_chebyt roots_chebyu roots_gegenbauer roots_genlaguerre roots_hermite roots_hermitenorm
roots_jacobi roots_laguerre roots_legendre roots_sh_chebyt roots_sh_chebyu roots_sh_jacobi roots_sh_legendre s_roots
seterr sh_chebyt sh_chebyu sh_jacobi stirling2 t_roots test ts_roots u_roots us_roots y0_zeros y1_zeros y1p_zeros
yn_zeros ynp_zeros
""")  # fmt: skip
"""Functions of orders and degrees alone, which are no traced values, and what is no function of numbers."""

REFUSED = sorted(words("""
assoc_legendre_p(2,1,x) assoc_legendre_p_all(2,1,x) ellip_harm(1,2,1,1,x) ellip_harm_2(1,2,1,1,x) legendre_p(2,x)
legendre_p_all(2,x) lmbda(2,x[0]) lqmn(1,1,x[0]) lqn(2,x[0]) mathieu_even_coef(2,x[0]) mathieu_odd_coef(2,x[0])
obl_cv_seq(1,2,x[0]) pbdn_seq(2,x[0]) pbdv_seq(2,x[0]) pbvv_seq(2,x[0]) pro_cv_seq(1,2,x[0]) riccati_jn(2,x[0])
riccati_yn(2,x[0]) sph_harm_y(2,1,x,x) sph_harm_y_all(2,1,x,x) sph_legendre_p(2,1,x) sph_legendre_p_all(2,1,x)
"""))  # fmt: skip


NEWER = {"softplus"}
"""Made of NumPy's functions; not in all versions of SciPy."""


def called(call: str) -> str:
    return call.partition("(")[0]


def hops_of(name: str) -> list[Hop]:
    """The hops that a ufunc of scipy.special is."""
    ufunc = getattr(sp, name)
    several = hops_of_results.get(f"scipy.special.{ufunc.__name__}")
    return list(several or filter(None, [find_hop(ufunc, (np.dtype(float),) * ufunc.nin)]))


PUBLIC = [name for name in dir(sp) if callable(getattr(sp, name)) and not name.startswith("_")]
UFUNCS = [name for name in PUBLIC if isinstance(getattr(sp, name), np.ufunc)]
KNOWN = [name for name in UFUNCS if hops_of(name)]
UNKNOWN = [name for name in UFUNCS if not hops_of(name)]


def test_every_public_name_is_accounted_for() -> None:
    told = {*map(called, FUNCTIONS), *map(called, REFUSED), *ON_CONSTANTS, *NEWER, *UFUNCS}
    assert set(PUBLIC) <= told, set(PUBLIC) - told


@pytest.mark.parametrize("call", FUNCTIONS)
def test_functions_that_are_python(call: str) -> None:
    def f(x: Any) -> Any:
        return eval(call, {"x": x, **{called(call): getattr(special, called(call))}})

    assert_allclose(hg.vjp(f, X)[0], eval(call, {"x": X, called(call): getattr(sp, called(call))}), rtol=1e-13)
    hg.check_grads(f, (X,))


@pytest.mark.parametrize("call", REFUSED)
def test_what_is_refused_is_named(call: str) -> None:
    if not hasattr(sp, called(call)):
        pytest.skip("not in this version of SciPy")

    def f(x: Any) -> Any:
        found = eval(call, {"x": x, called(call): getattr(special, called(call))})
        return np.sum(np.real(found[0] if isinstance(found, tuple) else found))

    word = {"mathieu_even_coef": "mathieu_a", "mathieu_odd_coef": "mathieu_b"}.get(called(call), called(call))
    with pytest.raises(HopgradError, match=word):
        hg.grad(f)(X)


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_ufuncs_are_refused_by_name(name: str) -> None:
    ufunc = getattr(sp, name)

    def f(x: Any) -> Any:
        found = ufunc(*[x] * ufunc.nin)
        return np.sum(np.real(found[0] if isinstance(found, tuple) else found))

    with pytest.raises(NotDifferentiableError, match=rf"scipy\.special\.{ufunc.__name__} is not supported on traced"):
        hg.grad(f)(0.5)


def test_an_order_without_a_derivative_is_refused_when_it_is_asked_for() -> None:
    assert_allclose(hg.grad(sp.jv, 1)(2.5, 1.0), sp.jvp(2.5, 1.0))
    with pytest.raises(NotDifferentiableError, match=r"scipy\.special\.jv by its order.*let it be a constant"):
        hg.grad(sp.jv)(2.5, 1.0)


# -- the page ----------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parent.parent / "docs" / "scipy.md"
BEGIN, END = "<!-- special: written by tests/test_special.py -->", "<!-- end -->"


def told() -> str:
    """The generated part of the page: what of scipy.special is differentiated, and by which operands."""
    whole, argument, flat = [], [], []
    for name in KNOWN:
        hops = hops_of(name)
        group = flat if not any(h.differentiable for h in hops) else argument if hops[0].degrees else whole
        group.append(name)
    kinks = sorted({(hop.name, hop.kink) for name in KNOWN for hop in hops_of(name) if hop.kink})
    return "\n\n".join([
        BEGIN,
        f"By all operands ({len(whole)} ufuncs):",
        listed(whole),
        f"By the argument; orders, degrees, other parameters are constants ({len(argument)} ufuncs; `kv` and `kve`"
        "\nhave derivatives by the order, too):",
        listed(argument),
        "Functions that are Python:",
        listed(sorted({*map(called, FUNCTIONS), *NEWER})),
        "Flat:",
        listed(flat),
        "Refused by name:",
        listed(sorted({*UNKNOWN, *map(called, REFUSED)})),
        table(["function", "derivative at the other points"], [(f"`{name}`", kink) for name, kink in kinks]),
        END,
    ])  # fmt: skip


def test_the_page_is_up_to_date() -> None:
    if ".".join(scipy.__version__.split(".")[:2]) != VERSION:
        pytest.skip(f"docs/scipy.md is of SciPy {VERSION}")
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    found = before + told() + after
    if UPDATE:
        PAGE.write_text(found, encoding="utf-8")
        text = found
    assert found == text, "docs/scipy.md differs: if it is right so, set HOPGRAD_UPDATE_GOLDEN=1 and run this again"


VERSION = "1.17"
