"""SciPy's special functions against mpmath over wide ranges, at odd points, and called as users call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special as sp
from numpy.testing import assert_allclose

import hopgrad as hg

Array = np.ndarray[Any, Any]
inf, nan = np.inf, np.nan

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
