"""``np.polynomial``: NumPy's own code over traced values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.polynomial.chebyshev as cheb
import pytest
from numpy.polynomial import Chebyshev, Polynomial
from numpy.polynomial.polynomial import polyval
from numpy.testing import assert_allclose, assert_array_equal
from test_tracing import check

import hopgrad as hg
import hopgrad.numpy

CALLS = """
np.polynomial.polynomial.polyval(s,x)
np.polynomial.polynomial.polyval(A,x)
np.polynomial.polynomial.polyval(x,A,tensor=False)
np.polynomial.polynomial.polyval2d(x,y,S)
np.polynomial.polynomial.polygrid2d(x,y,S)
np.polynomial.polynomial.polyval3d(s,t,s,T)
np.polynomial.polynomial.polygrid3d(x,y,x,T)
np.polynomial.polynomial.polyadd(x,y)
np.polynomial.polynomial.polysub(x,L)
np.polynomial.polynomial.polymul(x,y)
np.polynomial.polynomial.polymulx(x)
np.polynomial.polynomial.polydiv(L,x)
np.polynomial.polynomial.polypow(x,3)
np.polynomial.polynomial.polyvander(x,2)
np.polynomial.polynomial.polyvander2d(x,y,[1,2])
np.polynomial.polynomial.polyder(x)
np.polynomial.polynomial.polyint(x)
np.polynomial.polynomial.polyint(x,2,[s,t],lbnd=t)
np.polynomial.polynomial.polyfromroots(x)
np.polynomial.polynomial.polyvalfromroots(s,x)
np.polynomial.polynomial.polycompanion(x)
np.polynomial.polynomial.polyline(s,t)
np.polynomial.polynomial.polyfit(w,x,1)
np.polynomial.chebyshev.chebval(s,x)
np.polynomial.chebyshev.chebval2d(x,y,S)
np.polynomial.chebyshev.chebder(x)
np.polynomial.chebyshev.chebint(x)
np.polynomial.chebyshev.chebmul(x,y)
np.polynomial.chebyshev.chebdiv(L,x)
np.polynomial.chebyshev.cheb2poly(x)
np.polynomial.chebyshev.poly2cheb(x)
np.polynomial.chebyshev.chebvander(x,3)
np.polynomial.chebyshev.chebweight(u)
np.polynomial.legendre.legval(w,x)
np.polynomial.legendre.legder(x)
np.polynomial.legendre.legmul(x,y)
np.polynomial.legendre.legfromroots(x)
np.polynomial.hermite.hermval(x,y)
np.polynomial.hermite.hermint(x)
np.polynomial.hermite_e.hermeval(x,y)
np.polynomial.laguerre.lagval(x,y)
np.polynomial.laguerre.lagmulx(x)
np.polynomial.Polynomial(x)(s)
np.polynomial.Polynomial([1.0,2,3])(x)
(np.polynomial.Polynomial(x)*np.polynomial.Polynomial(y)).coef
(np.polynomial.Polynomial(x)*s+1).coef
(2-np.polynomial.Polynomial(x)).coef
(np.polynomial.Polynomial(x)**2).deriv().coef
np.polynomial.Polynomial(x).integ(lbnd=s).coef
np.polynomial.Polynomial(x,domain=[0,2]).linspace(3)
np.polynomial.Chebyshev(x).convert(kind=np.polynomial.Polynomial).coef
np.polynomial.Chebyshev(x)(np.polynomial.Chebyshev([0.1,0.2]))(s)
np.polynomial.Polynomial.fit(w,x,1).coef
np.polynomial.Polynomial.fit(w,x,1)(s)
np.polynomial.Legendre(x)(y)
np.polynomial.Hermite(x)(y)
np.polynomial.HermiteE(x)(y)
np.polynomial.Laguerre(x)(y)
divmod(np.polynomial.Polynomial(L),np.polynomial.Polynomial(x))[0].coef
"""


@pytest.mark.parametrize("call", CALLS.strip().splitlines())
def test_values_and_derivatives_are_numpys(call: str) -> None:
    check(call)


def test_functions_and_classes_by_their_own_names() -> None:
    c = np.array([0.3, -1.2, 0.8])
    hg.check_grads(lambda c: polyval(0.4, c) + cheb.chebval(0.4, c) + Chebyshev(c)(0.2), (c,))
    transform = hg.grad(lambda c: Polynomial(c).deriv()(0.5) * polyval(2.0, c))
    for scale in (1.0, 2.0, 3.0):
        plain = Polynomial(scale * c)
        want = np.array([0, 1, 1.0]) * plain(2.0) + plain.deriv()(0.5) * np.array([1, 2, 4.0])
        assert_allclose(transform(scale * c), want)
    assert "anew" not in transform.report()


def test_a_polynomial_from_outside_has_the_coefficients_of_the_call() -> None:
    p = Polynomial([1.0, 2.0, 3.0], domain=[0, 2])

    def f(x: Any) -> Any:
        assert isinstance(p, Polynomial)
        return (p * 2.0)(x)

    transform = hg.value_and_grad(f)
    for _ in range(2):
        value, slope = transform(0.7)
        assert_allclose(value, 2 * p(0.7))
        assert_allclose(slope, 2 * p.deriv()(0.7))
        p.coef[:] = [0.5, 1.0, -1.0]


def test_classes_are_numpys() -> None:
    ours = hopgrad.numpy.polynomial.Polynomial
    assert issubclass(ours, Polynomial)
    assert ours([1.0, 2.0]) == ours(Polynomial([1.0, 2.0]).coef)
    assert_array_equal(ours([1.0, 2.0]).coef, [1.0, 2.0])
    assert set(dir(hopgrad.numpy.polynomial)) >= {"Polynomial", "chebyshev", "polyutils"}
    kept: list[Any] = []
    hg.grad(lambda x: kept.append(Polynomial([1.0, 2.0])) or x)(1.0)  # type: ignore[func-returns-value]
    assert isinstance(kept[0], Polynomial)
