"""Functions of the math library that are written out: lowerings (`hopgrad.lower.scalar`) of the most frequent ones.

A call of the vector library costs more than its arithmetic: all registers are given up, and a vector with one element
out of the ordinary, such as the −∞ of a mask, is computed one by one. Written out, several functions overlap, and
what they have in common (σ(x) and σ(−x) have the same exponential) is computed once.

Exponentials follow Cody and Waite (1980): x = n log 2 + r with |r| ≤ ½ log 2, and eʳ = 1 + r + r² q(r), where q is the
polynomial of least relative error in eʳ. All coefficients were fitted for this module. The largest errors that were
found, in units in the last place: exp 1.0, and in single precision tanh 2.6, erf 1.8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def _polynomial(coefficients: Sequence[float], x: str) -> str:
    """By Horner's rule, from the constant coefficient on."""
    text = repr(coefficients[-1])
    for number in coefficients[-2::-1]:
        text = f"fma({text}, {x}, {number!r})"
    return text


_REDUCED = {
    "float": (
        (0.693145751953125, 1.4286068203094172e-6),
        (0.499999934256, 0.166665203368, 0.04166839212, 0.00836875088855, 0.00138144755167),
    ),
    "double": (
        (0.693147180559208209160715341568, 7.3710025651677989019e-13),
        (
            0.50000000000000106325, 0.16666666666666409237, 0.041666666666530027723, 0.0083333333334964137801,
            0.001388888894368653942, 0.00019841269502555519705, 0.000024801493020257656625, 2.7557589806022067515e-6,
            2.7630282713040865149e-7, 2.4999029871228271943e-8,
        ),
    ),
}  # fmt: skip
"""By kind log 2 in two parts, the first of so few digits that n times it is exact, and the coefficients of q."""

_RANGE = {"float": (-104, 89), "double": (-746, 710)}
"""Below and above these, exponentials are 0 and ∞."""


def _reduced(kind: str) -> str:
    """n, r and p = eʳ − 1 for y."""
    (high, low), q = _REDUCED[kind]
    return (
        f"n = rint(y * {1 / math.log(2)!r}); r = fma(n, {-high!r}, y); r = fma(n, {-low!r}, r);"
        f"p = fma(r * r, {_polynomial(q, 'r')}, r);"
    )


def _exp(kind: str) -> str:
    low, high = _RANGE[kind]
    return f"y = select(x < {low}, {low}, select(x > {high}, {high}, x)); {_reduced(kind)} scale(p + 1, n)"


def _tanh() -> str:
    """(e²ˣ − 1)/(e²ˣ + 1), which is 1 from 10 on."""
    return (
        f"y = fabs(x); y = select(y > 10, 20, y + y); {_reduced('float')}"
        "s = power2(n); e = fma(s, p, s - 1); copysign(e / (e + 2), x)"
    )


def _erf() -> str:
    """x + x p(x²) up to 1.4, beyond it 1 − w(x)⁻¹⁶ (a form of Hastings 1955), which is 1 from 3.95 on."""
    small = _polynomial(
        (0.128379161, -0.3761260092, 0.1128339442, -0.02685009719, 0.005191522236, -0.0008184704837, 9.713545923e-05,
         -6.397608447e-06), "s",
    )  # fmt: skip
    w = _polynomial(
        (0.9951229689, 0.08582547015, 0.02281861373, 0.02198043808, -0.004258789996, 0.00101939847), "y"
    )  # fmt: skip
    return (
        f"y = fabs(x); y = select(y > 3.95, 3.95, y); s = y * y; w = {w}; w = w * w; w = w * w; w = w * w; w = w * w;"
        f"copysign(select(y < 1.4, fma({small}, y, y), 1 - 1 / w), x)"
    )


WRITTEN = {
    **{("exp", kind): _exp(kind) for kind in _REDUCED},
    ("tanh", "float"): _tanh(),
    ("erf", "float"): _erf(),
}
"""Lowerings by name and kind, of vectors: single numbers wait for each result, and the library is faster there. In
double precision the library's hyperbolic tangent is as fast, and its errors are smaller."""
